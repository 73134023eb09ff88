//! Whether what a device takes while it is offline arrives later.
//!
//! Only a number that counts up tells what is missing; any field of the samples may be it. A clock
//! counts up too, and goes on while no sample is taken: what it skips says nothing.

mod counters;

use std::collections::BTreeSet;

use self::counters::{Counter, counter};
use super::Record;
use crate::doctor::finding::Finding;

pub(super) fn keeps(record: Record<'_>) -> Finding {
    let Some(counter) = counter(record) else {
        return Finding::not_judged(
            "Its samples carry no number that counts up, or none came after the outage.",
            "Let a field of the telemetry count the samples; or give it more time with --timeout.",
        );
    };
    let (all, lost) = gap(&counter);
    let figure = |found: Finding| {
        let found = found.figure("counter", counter.field.as_str());
        found.figure("samples", all).figure("lost", lost)
    };
    figure(match (all, lost) {
        (0, _) => Finding::not_judged(
            "It took no sample during the outage.",
            "Let it go on taking samples while it is offline.",
        ),
        (all, 0) => Finding::pass(format!(
            "All {all} samples that it took around the outage arrived when it was back."
        )),
        _ if counter.may_be_clock => Finding::not_judged(
            "The only number in its samples that counts up may be a clock, which also goes on when no \
             sample is taken.",
            "Let a field of the telemetry count the samples, at another pace than one a second.",
        ),
        (all, lost) => Finding::fail(
            format!("Of {all} samples that it took around the outage {lost} never came."),
            "Queue what is taken while the link is down, and send again what was not acknowledged.",
        ),
    })
}

/// How many samples were taken after the last one before the outage and before the newest, and how
/// many of them did not come. A device may count to anything, so nothing is kept for each.
fn gap(counter: &Counter) -> (u64, u64) {
    let Some(last) = counter.sent.last().copied() else {
        return (0, 0);
    };
    let newest = counter.later.iter().copied().max().unwrap_or(last);
    if newest <= last {
        return (0, 0);
    }
    let all = (newest.abs_diff(last) - 1) / counter.step;
    let is_between = |n: i64| last < n && n < newest && n.abs_diff(last) % counter.step == 0;
    let came: BTreeSet<_> = counter.later.iter().filter(|n| is_between(**n)).collect();
    let came = u64::try_from(came.len()).unwrap_or(u64::MAX);
    (all, all.saturating_sub(came))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::device::judge::testing::{Story, good};
    use crate::doctor::device::record::Act;
    use crate::doctor::finding::Verdict::{Fail, NotJudged, Pass};

    fn found(before: &[i64], after: &[i64]) -> Finding {
        let mut story = Story::default().connected(0.0, 1, good());
        for n in before {
            story = story.says(1.0, 1, "dcx/t/json/1", &format!(r#"{{"n":{n},"t":20}}"#));
        }
        story = story.did(2.0, Act::Refuses).did(9.0, Act::Welcomes);
        for n in after {
            story = story.says(10.0, 2, "dcx/t/json/1", &format!(r#"[{{"n":{n},"t":20}}]"#));
        }
        keeps(Record(&story.ends(12.0)))
    }

    #[test]
    fn what_is_missing_shows_by_a_counter() {
        assert_eq!(found(&[1, 2, 3], &[4, 5, 6, 7]).verdict, Pass);
        assert_eq!(found(&[1, 2, 3], &[3, 7, 4, 5, 6, 8]).verdict, Pass);
        assert_eq!(found(&[2, 4, 6], &[8, 10]).verdict, Pass);
        let lossy = found(&[1, 2, 3], &[7, 8]);
        assert_eq!(lossy.verdict, Fail);
        assert!(lossy.why.contains("Of 4 samples"), "{lossy:?}");
        for (before, after) in [
            (&[1, 2, 3][..], &[][..]),
            (&[1, 2, 3], &[4]),
            (&[5, 5, 5], &[5, 5]),
            (&[1, 2], &[3, 4]),
            (&[1, 2, 4], &[8, 9]),
        ] {
            assert_eq!(found(before, after).verdict, NotJudged, "{before:?}");
        }
    }
    /// A device that takes no sample while it is offline, from 6 s to 30 s, and sends this one at
    /// that time.
    fn offline(sample: impl Fn(f64) -> String, times: &[f64]) -> Finding {
        let mut story = Story::default().connected(0.0, 1, good());
        let (before, after) = times.split_at(times.iter().filter(|at| **at < 6.0).count());
        for at in before {
            story = story.says(*at, 1, "dcx/t/json/1", &sample(*at));
        }
        story = story.did(6.0, Act::Refuses).did(30.0, Act::Welcomes);
        for at in after {
            story = story.says(*at, 2, "dcx/t/json/1", &sample(*at));
        }
        keeps(Record(&story.ends(35.0)))
    }

    const ONE_A_SECOND: &[f64] = &[0.5, 1.5, 2.51, 3.5, 4.53, 5.5, 31.5, 32.5, 33.5];

    #[test]
    fn what_a_clock_skips_is_no_loss() {
        let seconds = |at: f64| format!(r#"{{"ts":{},"t":20}}"#, 1_764_272_436 + at as i64);
        let millis = |at: f64| format!(r#"{{"ts":{}000,"t":20}}"#, 1_764_272_436 + at as i64);
        let uptime = |at: f64| format!(r#"{{"up":{}}}"#, 17 + at as i64);
        let ticks = |at: f64| format!(r#"{{"up":{}}}"#, 1_000 * at as i64);
        for sample in [&seconds as &dyn Fn(f64) -> String, &millis, &uptime, &ticks] {
            let found = offline(sample, ONE_A_SECOND);
            assert_eq!(found.verdict, NotJudged, "{found:?}");
            assert!(found.why.contains("clock"), "{found:?}");
        }
        // One batch shows no pace; the time of day is known by itself.
        let batch = |at: f64| match at {
            5.0 => "[1764272431,1764272432,1764272433,1764272434]".into(),
            _ => String::from("1764272460"),
        };
        let found = offline(batch, &[5.0, 31.0]);
        assert!(found.why.contains("clock"), "{found:?}");
    }

    #[test]
    fn a_counter_beside_a_clock_is_judged() {
        let sample = |at: f64| {
            let n = (at * 2.0) as i64;
            format!(r#"{{"a_ts":{},"n":{n}}}"#, 1_764_272_436 + n / 2)
        };
        let times: Vec<_> = (1..12).chain(62..68).map(|n| f64::from(n) / 2.0).collect();
        let found = offline(sample, &times);
        assert_eq!(found.verdict, Fail, "{found:?}");
        assert_eq!(found.figures["counter"], "n");
        let every_second = |at: f64| {
            format!(
                r#"{{"a_ts":{},"n":{}}}"#,
                1_764_272_436 + at as i64,
                3 * at as i64
            )
        };
        let found = offline(every_second, ONE_A_SECOND);
        assert_eq!(found.verdict, Fail, "{found:?}");
        assert_eq!(found.figures["counter"], "n");
    }

    #[test]
    fn a_clock_without_gaps_shows_that_all_came() {
        let mut story = Story::default().connected(0.0, 1, good());
        for at in 1..6 {
            story = story.says(at.into(), 1, "dcx/t/json/1", &format!(r#"{{"ts":{at}}}"#));
        }
        story = story.did(6.0, Act::Refuses).did(30.0, Act::Welcomes);
        let batch: Vec<_> = (6..32).map(|at| format!(r#"{{"ts":{at}}}"#)).collect();
        story = story.says(31.0, 2, "dcx/t/json/1", &format!("[{}]", batch.join(",")));
        assert_eq!(keeps(Record(&story.ends(35.0))).verdict, Pass);
    }

    #[test]
    fn a_number_that_jumps_as_far_as_numbers_go_is_counted_at_once() {
        let far = found(&[1, 2, 3], &[4, i64::MAX]);
        assert_eq!(far.verdict, Fail);
        assert_eq!(far.figures["lost"], i64::MAX - 5);
        let whole = found(&[i64::MIN, i64::MIN + 1, i64::MIN + 2], &[i64::MAX]);
        assert_eq!(whole.figures["samples"], u64::MAX - 3);
        let apart = found(&[i64::MIN, 0, i64::MAX], &[1]);
        assert_eq!(apart.verdict, NotJudged);
        assert_eq!(found(&[0, i64::MAX, i64::MIN], &[1]).verdict, NotJudged);
    }
}
