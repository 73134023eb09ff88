//! Telemetry (2/DCP, `dcx`): samples as JSON, or a single number with a unit.
//!
//! The protocol has no key that would tell a repeated sample from a new one (FACTS trap 36), so
//! by default none is sent twice. A sample that carries its own time may be, and then a lost link
//! loses nothing:
//!
//! ```
//! use kaa_proto::request::{Prepared, RequestExt, Resend};
//! use kaa_proto::telemetry::{Batch, Sample};
//! use serde_json::json;
//!
//! let timed = Sample::new(json!({"ts": 1795341600000_u64, "temperature": 21}))
//!     .resend(Resend::AfterLinkLoss);
//! assert_eq!(Prepared::new(&timed)?.resource(), "json");
//!
//! let batch = Batch::new([json!({"temperature": 21}), json!({"temperature": 22})]);
//! let request = Prepared::new(&batch)?;
//! assert_eq!(request.payload(), br#"[{"temperature":21},{"temperature":22}]"#);
//! # Ok::<(), kaa_proto::request::InvalidRequest>(())
//! ```
//!
//! With [`Confirm::Nothing`] a sample goes without request ID, and nobody says whether it arrived.

use serde::Serialize;

use crate::names::Metric;
use crate::request::{
    Class, Confirm, DecodeError, InvalidRequest, Offline, Reply, Request, RequestWriter, Resend,
    Service,
};

/// One sample: any JSON value, usually an object. Sent to `json`.
///
/// Anything that serde can write as JSON will do. The platform takes a top-level array for a
/// batch, so a sample that is an array is sent as a batch of one, `[[85,34]]` (FACTS trap 22).
#[derive(Clone, Debug)]
pub struct Sample<T>(T);

impl<T: Serialize> Sample<T> {
    /// The sample; a reference will do.
    #[must_use]
    pub const fn new(sample: T) -> Self {
        Self(sample)
    }
}

impl<T: Serialize> Request for Sample<T> {
    type Response = ();

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        start(out)?;
        out.json(&self.0)?;
        if out.payload().starts_with(b"[") {
            let batch = [b"[", out.payload(), b"]"].concat();
            out.bytes(&batch);
        }
        Ok(())
    }

    fn decode(_: &Reply) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// Several samples in one message, processed together with one answer (2/DCP). Sent to `json`.
///
/// An empty one is refused: what the platform makes of it is not known.
#[derive(Clone, Debug)]
pub struct Batch<T>(Vec<T>);

impl<T: Serialize> Batch<T> {
    /// The samples, in the order given.
    pub fn new(samples: impl IntoIterator<Item = T>) -> Self {
        Self(samples.into_iter().collect())
    }
}

impl<T: Serialize> FromIterator<T> for Batch<T> {
    fn from_iter<I: IntoIterator<Item = T>>(samples: I) -> Self {
        Self::new(samples)
    }
}

impl<T: Serialize> Request for Batch<T> {
    type Response = ();

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        if self.0.is_empty() {
            return Err(InvalidRequest::Content("a batch has at least one sample"));
        }
        start(out)?;
        out.json(&self.0)
    }

    fn decode(_: &Reply) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// A number, with or without a unit, of one metric: `plain/{metric}`.
///
/// The platform makes `{"temperature-value": 21.5, "temperature-unit": "C"}` of `21.5C`, if
/// "relaxed resource path validation" is on for the application. It cannot carry a time, so it is
/// not confirmed, not kept for a later link and not sent twice. The payload is no JSON (FACTS
/// trap 40).
///
/// ```
/// use kaa_proto::names::Metric;
/// use kaa_proto::request::Prepared;
/// use kaa_proto::telemetry::Plain;
///
/// let plain = Plain::with_unit(Metric::new("temperature")?, 21.5, "C");
/// let request = Prepared::new(&plain)?;
/// assert_eq!(request.resource(), "plain/temperature");
/// assert_eq!(request.payload(), b"21.5C");
/// # Ok::<(), kaa_proto::request::InvalidRequest>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plain {
    metric: Metric,
    value: PlainValue,
}

#[derive(Clone, Debug)]
enum PlainValue {
    Number(f64),
    Measured(f64, String),
    Text(String),
}

impl Plain {
    /// A number without unit. It must be finite; it is written as a decimal, without exponent.
    #[must_use]
    pub const fn new(metric: Metric, number: f64) -> Self {
        Self {
            metric,
            value: PlainValue::Number(number),
        }
    }

    /// A number directly followed by its unit, which must not be empty, begin with white space, or
    /// with what would be read as more of the number.
    #[must_use]
    pub fn with_unit(metric: Metric, number: f64, unit: impl Into<String>) -> Self {
        Self {
            metric,
            value: PlainValue::Measured(number, unit.into()),
        }
    }

    /// A text, sent as it is.
    #[must_use]
    pub fn text(metric: Metric, text: impl Into<String>) -> Self {
        Self {
            metric,
            value: PlainValue::Text(text.into()),
        }
    }
}

impl Request for Plain {
    type Response = ();

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        out.start(Service::Telemetry, &format!("plain/{}", self.metric))?;
        out.pattern("plain/+");
        out.drops_answer();
        match &self.value {
            PlainValue::Number(number) => out.bytes(decimal(*number)?.as_bytes()),
            PlainValue::Measured(number, unit) => {
                check_unit(unit)?;
                out.bytes((decimal(*number)? + unit).as_bytes());
            }
            PlainValue::Text(text) => out.bytes(text.as_bytes()),
        }
        let policy = out.policy();
        policy.confirm = Confirm::Nothing;
        policy.resend = Resend::Never;
        policy.offline = Offline::Drop;
        policy.class = Class::Bulk;
        Ok(())
    }

    fn decode(_: &Reply) -> Result<(), DecodeError> {
        Ok(())
    }
}

fn start(out: &mut RequestWriter) -> Result<(), InvalidRequest> {
    out.start(Service::Telemetry, "json")?;
    out.policy().resend = Resend::Never;
    out.policy().class = Class::Bulk;
    out.drops_answer();
    Ok(())
}

fn decimal(number: f64) -> Result<String, InvalidRequest> {
    match number.is_finite() {
        true => Ok(number.to_string()),
        false => Err(InvalidRequest::Content("a plain number is finite")),
    }
}

fn check_unit(unit: &str) -> Result<(), InvalidRequest> {
    let continues = |text: &str| text.starts_with(|c: char| c.is_numeric() || c == '.');
    let exponent = unit
        .strip_prefix(['e', 'E'])
        .is_some_and(|rest| continues(rest.strip_prefix(['+', '-']).unwrap_or(rest)));
    if unit.is_empty() {
        Err(InvalidRequest::Content("a unit has at least one character"))
    } else if unit.starts_with(char::is_whitespace) {
        Err(InvalidRequest::Content(
            "a unit follows its number without a space",
        ))
    } else if continues(unit) || exponent {
        Err(InvalidRequest::Content(
            "the unit would be read as part of the number",
        ))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::request::{Policy, Prepared, RequestExt};

    fn sent(request: &impl Request) -> (String, String) {
        let request = Prepared::new(request).unwrap();
        assert_eq!(request.service(), &Service::Telemetry);
        let payload = String::from_utf8(request.payload().to_vec()).unwrap();
        (request.resource().into(), payload)
    }

    fn plain(unit: &str) -> Result<Prepared, InvalidRequest> {
        Prepared::new(&Plain::with_unit(Metric::new("m").unwrap(), 2.0, unit))
    }

    #[test]
    fn a_sample_and_a_batch_are_what_the_page_shows() {
        #[derive(Serialize)]
        struct Weather {
            temperature: i32,
            humidity: i32,
        }
        let weather = Weather {
            temperature: 21,
            humidity: 73,
        };
        let one = r#"{"temperature":21,"humidity":73}"#;
        assert_eq!(
            sent(&Sample::new(&weather)),
            (String::from("json"), String::from(one))
        );
        let batch: Batch<_> = [&weather, &weather].into_iter().collect();
        assert_eq!(
            sent(&batch),
            (String::from("json"), format!("[{one},{one}]"))
        );
    }

    /// FACTS trap 22.
    #[test]
    fn trap_22_a_sample_that_is_an_array_stays_one_sample() {
        assert_eq!(sent(&Sample::new([85, 34])).1, "[[85,34]]");
        assert_eq!(sent(&Sample::new((1, "a"))).1, r#"[[1,"a"]]"#);
        assert_eq!(sent(&Sample::new(json!([]))).1, "[[]]");
        assert_eq!(sent(&Batch::new([[85, 34]])).1, "[[85,34]]");
        assert_eq!(sent(&Sample::new(json!({"a": [1]}))).1, r#"{"a":[1]}"#);
    }

    /// FACTS trap 19.
    #[test]
    fn trap_19_any_answer_is_success() {
        for payload in ["", "null", "not JSON"] {
            let reply = Reply::new(Confirm::Answered, "json".into(), payload.into());
            assert_eq!(Sample::<u8>::decode(&reply), Ok(()));
            assert_eq!(Batch::<u8>::decode(&reply), Ok(()));
            assert_eq!(Plain::decode(&reply), Ok(()));
        }
    }

    #[test]
    fn an_empty_batch_is_refused() {
        assert_eq!(
            Prepared::new(&Batch::<u8>::new([])).unwrap_err(),
            InvalidRequest::Content("a batch has at least one sample")
        );
    }

    /// FACTS trap 40.
    #[test]
    fn trap_40_scalars_are_samples_and_plain_payloads_are_no_json() {
        assert_eq!(sent(&Sample::new(23)).1, "23");
        assert_eq!(sent(&Sample::new(true)).1, "true");
        assert_eq!(sent(&Sample::new(json!(null))).1, "null");
        assert_eq!(sent(&Sample::new("dry")).1, "\"dry\"");
        let metric = || Metric::new("humidity").unwrap();
        assert_eq!(
            sent(&Plain::with_unit(metric(), 47.0, "%")),
            (String::from("plain/humidity"), String::from("47%"))
        );
        assert_eq!(sent(&Plain::text(metric(), "dry")).1, "dry");
    }

    #[test]
    fn a_plain_number_is_a_finite_decimal() {
        let payload = |number| sent(&Plain::new(Metric::new("m").unwrap(), number)).1;
        assert_eq!(payload(200.0), "200");
        assert_eq!(payload(-0.25), "-0.25");
        assert_eq!(payload(1e21), "1000000000000000000000");
        assert_eq!(payload(1e-7), "0.0000001");
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let request = Plain::new(Metric::new("m").unwrap(), number);
            assert!(Prepared::new(&request).is_err());
        }
    }

    #[test]
    fn a_unit_never_changes_the_number() {
        for unit in ["C", "%", "m/s", "°C", "e", "eV", "E-field", "µg/m³"] {
            assert_eq!(
                plain(unit).unwrap().payload(),
                format!("2{unit}").as_bytes()
            );
        }
        for unit in ["", " C", "\tC", "5", ".5", "e5", "E-3", "e+1", "٣"] {
            assert!(plain(unit).is_err(), "{unit:?}");
        }
    }

    #[test]
    fn telemetry_is_bulk_and_not_sent_twice() {
        let sample = Prepared::new(&Sample::new(1)).unwrap();
        let bulk = Policy {
            resend: Resend::Never,
            class: Class::Bulk,
            ..Policy::default()
        };
        assert_eq!(sample.policy(), &bulk);
        assert!(sample.with_id);
        assert_eq!(
            Prepared::new(&Batch::new([1])).unwrap().policy(),
            sample.policy()
        );

        let plain = plain("C").unwrap();
        assert_eq!(plain.policy().confirm, Confirm::Nothing);
        assert_eq!(plain.policy().resend, Resend::Never);
        assert_eq!(plain.policy().offline, Offline::Drop);
        assert_eq!(plain.policy().class, Class::Bulk);
        assert_eq!(plain.pattern, Some("plain/+"));
        assert!(!plain.with_id);
    }

    #[test]
    fn both_go_with_and_without_request_id() {
        let sample = Sample::new(1).confirm(Confirm::Nothing);
        assert!(!Prepared::new(&sample).unwrap().with_id);
        let plain = Plain::new(Metric::new("m").unwrap(), 1.0).confirm(Confirm::Answered);
        assert!(Prepared::new(&plain).unwrap().with_id);
    }
}
