//! What is to be kept: timed samples of 64 bytes, each from its acceptance to its end.

use kaa_proto::endpoint::Record;
use kaa_proto::request::{Prepared, RequestExt, RequestId, Resend};
use kaa_proto::telemetry::Sample;
use serde_json::value::RawValue;

use crate::Outcome;

/// How many samples wait for their answer at any time.
pub const OUTSTANDING: u64 = 1000;

/// How long the payload of a sample is.
pub const PAYLOAD: usize = 64;

/// One record.
#[derive(Clone, Debug)]
pub enum Step {
    /// A sample was taken.
    Accept(u64, Prepared),
    /// The platform has confirmed it.
    End(u64),
}

impl Step {
    /// As the machines record it.
    #[must_use]
    pub fn record(&self) -> Record {
        match self {
            Self::Accept(id, request) => accepted(*id, request),
            Self::End(id) => Record::Ended(RequestId::from_number(*id)),
        }
    }
}

/// What the machines record when they take a request.
#[must_use]
pub fn accepted(id: u64, request: &Prepared) -> Record {
    Record::Accepted(RequestId::from_number(id), request.clone())
}

/// A sample that is sent again when a link was lost.
///
/// # Errors
/// If it is not as long as it should be.
pub fn sample(id: u64) -> Outcome<Prepared> {
    let time = 1_795_341_600_000 + id;
    let (milli, sequence) = (id % 1000, 10_000_000_000 + id);
    let json = format!(r#"{{"ts":{time},"temperature":21.{milli:03},"sequence":{sequence}}}"#);
    let sample = Sample::new(RawValue::from_string(json)?).resend(Resend::AfterLinkLoss);
    let request = Prepared::new(&sample)?;
    match request.payload().len() {
        PAYLOAD => Ok(request),
        len => Err(format!("a sample of {len} bytes").into()),
    }
}

/// The first steps of a life: as many samples as may wait.
///
/// # Errors
/// See [`sample`].
pub fn first() -> Outcome<Vec<Step>> {
    let accept = |id| Ok(Step::Accept(id, sample(id)?));
    (0..OUTSTANDING).map(accept).collect()
}

/// The groups of a life from this sample on: in each as many are taken as end, `size` steps in all.
///
/// # Errors
/// See [`sample`].
pub fn groups(first: u64, size: u64, count: u64) -> Outcome<Vec<Vec<Step>>> {
    let per_group = size / 2;
    let group = |number| {
        let from = first + number * per_group;
        let mut steps = Vec::new();
        for id in from..from + per_group {
            steps.push(Step::Accept(id, sample(id)?));
            steps.push(Step::End(id - OUTSTANDING));
        }
        Ok(steps)
    };
    (0..count).map(group).collect()
}

/// Groups of `size` steps, `records` steps in all, of which every third one is the end of a sample.
pub fn history(records: u64, size: u64) -> impl Iterator<Item = Outcome<Vec<Step>>> {
    let step = |place: u64| {
        let (round, place) = (place / 3, place % 3);
        Ok(match place {
            2 => Step::End(round),
            _ => Step::Accept(2 * round + place, sample(2 * round + place)?),
        })
    };
    let starts = (0..records).step_by(usize::try_from(size).unwrap_or(usize::MAX));
    starts.map(move |start| (start..records.min(start + size)).map(step).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_its_length() {
        assert_eq!(
            sample(1_234_567).unwrap().payload(),
            br#"{"ts":1795342834567,"temperature":21.567,"sequence":10001234567}"#
        );
        for id in [0, 999, 1_000_000] {
            assert!(sample(id).is_ok());
        }
    }

    #[test]
    fn a_history_has_its_length_and_ends_a_third() {
        let steps: Vec<_> = history(1000, 64).flat_map(Result::unwrap).collect();
        let ends = steps.iter().filter(|step| matches!(step, Step::End(_)));
        assert_eq!((steps.len(), ends.count()), (1000, 333));
    }
}
