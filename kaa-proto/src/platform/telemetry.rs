//! dcx: telemetry as JSON and as plain text with a unit (2/DCP, FACTS section 1).

use serde_json::{Map, Number, Value, json};

use super::answer::{Answer, Call, Refusal, Reply};
use super::event::EventKind;
use super::validate;
use super::weight::Weigh as _;

/// What one endpoint has sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Telemetry {
    /// How many samples.
    samples: u64,
    /// The latest one, if there is room for it.
    last: Option<Value>,
}

impl Telemetry {
    pub(super) fn handle(&mut self, call: &mut Call<'_>) -> Answer {
        let relaxed = call.switches.relaxed_dcx;
        let data = match *call.levels().as_slice() {
            ["json"] => validate::json(call.payload)?,
            ["json", ..] if relaxed => validate::json(call.payload)?,
            ["plain", metric] if relaxed => plain_sample(metric, call.payload)?,
            _ => return Err(Refusal::unknown_resource()),
        };
        // A top-level array is always a batch (FACTS trap 22).
        let (samples, last) = if let Value::Array(batch) = &data {
            (batch.len(), batch.last())
        } else {
            (1, Some(&data))
        };
        self.samples += samples as u64;
        if let Some(last) = last {
            let room = call.room + self.last.weigh();
            self.last = (last.weigh() <= room).then(|| last.clone());
        }
        call.note(EventKind::Telemetry { samples, data });
        Ok(Reply::done())
    }

    pub(super) const fn samples(&self) -> u64 {
        self.samples
    }

    pub(super) const fn last(&self) -> Option<&Value> {
        self.last.as_ref()
    }
}

/// `2061m` under `altitude` is `{"altitude-value":2061,"altitude-unit":"m"}`.
fn plain_sample(metric: &str, payload: &[u8]) -> Result<Value, Refusal> {
    let wrong = || {
        Refusal::breach(
            400,
            "A number, or a number directly followed by a unit, is required",
        )
    };
    let text = std::str::from_utf8(payload).map_err(|_| wrong())?;
    let (number, unit) = text.split_at(number_len(text));
    if unit.starts_with(char::is_whitespace) {
        return Err(wrong());
    }
    let number = number.strip_prefix('+').unwrap_or(number);
    let value = match number.parse::<i64>() {
        Ok(whole) => Some(Number::from(whole)),
        Err(_) => number.parse().ok().and_then(Number::from_f64),
    };
    let mut sample = Map::new();
    sample.insert(
        format!("{metric}-value"),
        Value::Number(value.ok_or_else(wrong)?),
    );
    let unit = if unit.is_empty() { "number" } else { unit };
    sample.insert(format!("{metric}-unit"), json!(unit));
    Ok(Value::Object(sample))
}

/// The length of the number in front: sign, digits, fraction, exponent. An `e` without digits
/// behind it belongs to the unit.
fn number_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        rest.iter().take_while(|b| b.is_ascii_digit()).count()
    };
    let sign = |at: usize| usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
    let mut end = sign(0);
    if digits(end) == 0 {
        return 0;
    }
    end += digits(end);
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let exponent = end + 1 + sign(end + 1);
        if digits(exponent) > 0 {
            end = exponent + digits(exponent);
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    /// The topics and payloads of the device API page.
    #[test]
    fn a_sample_and_a_batch_are_confirmed_with_an_empty_payload() {
        let mut bench = Bench::new();
        bench.publish(
            "kp1/demo-v1/dcx/JTjdbENzHh/json/1",
            r#"{"temperature": 21, "humidity": 73}"#,
        );
        assert_eq!(
            bench.answer(),
            ("kp1/demo-v1/dcx/JTjdbENzHh/json/1/status".into(), "".into())
        );
        assert!(bench.saw("telemetry") && bench.saw("samples=1"));
        bench.publish(
            "kp1/demo-v1/dcx/JTjdbENzHh/json/42",
            r#"[{"t": 21}, 23, null]"#,
        );
        assert_eq!(
            bench.answer().0,
            "kp1/demo-v1/dcx/JTjdbENzHh/json/42/status"
        );
        assert!(bench.saw("samples=3"));
        let state = bench.snapshot("demo-v1", "JTjdbENzHh");
        assert_eq!((state.samples, state.last_sample), (4, Some(Value::Null)));
    }

    #[test]
    fn the_operator_sees_the_latest_sample() {
        let mut bench = Bench::new();
        bench.publish("kp1/demo-v1/epmx/t/get/1", "");
        assert_eq!(bench.snapshot("demo-v1", "t").last_sample, None);
        bench.publish("kp1/demo-v1/dcx/t/json/1", "[1, 2]");
        let latest = bench.snapshot("demo-v1", "t").last_sample;
        assert_eq!(latest, Some(json!(2)));
    }

    #[test]
    fn trap_40_scalars_are_samples_and_plain_payloads_are_not_json() {
        let mut bench = Bench::new();
        for scalar in ["23", "true", "null", "\"x\""] {
            bench.publish("kp1/demo-v1/dcx/t/json/7", scalar);
            assert_eq!(
                bench.answer().0,
                "kp1/demo-v1/dcx/t/json/7/status",
                "{scalar}"
            );
        }
        bench.publish("kp1/demo-v1/dcx/t/plain/load/7", "47%");
        assert_eq!(bench.answer().0, "kp1/demo-v1/dcx/t/plain/load/7/status");
        assert!(bench.saw(r#"data={"load-unit":"%","load-value":47}"#));
    }

    #[test]
    fn plain_text_is_a_number_with_an_optional_unit_and_nothing_between() {
        let sample = |text: &str| plain_sample("m", text.as_bytes()).map(|v| v.to_string());
        assert_eq!(
            sample("2061"),
            Ok(r#"{"m-unit":"number","m-value":2061}"#.into())
        );
        assert_eq!(
            sample("-2.5e3mm"),
            Ok(r#"{"m-unit":"mm","m-value":-2500.0}"#.into())
        );
        assert_eq!(
            sample("+5eggs"),
            Ok(r#"{"m-unit":"eggs","m-value":5}"#.into())
        );
        assert_eq!(sample("20°C"), Ok(r#"{"m-unit":"°C","m-value":20}"#.into()));
        assert_eq!(sample("5m2"), Ok(r#"{"m-unit":"m2","m-value":5}"#.into()));
        assert_eq!(sample("5.m"), Ok(r#"{"m-unit":".m","m-value":5}"#.into()));
        assert_eq!(
            sample("12.25E+1em"),
            Ok(r#"{"m-unit":"em","m-value":122.5}"#.into())
        );
        for wrong in ["", "warm", "200 C", ".5", "-", "1e999", " 1"] {
            assert_eq!(sample(wrong).map_err(|r| r.status), Err(400), "{wrong}");
        }
        assert!(plain_sample("m", b"\xff").is_err());
    }

    #[test]
    fn malformed_json_and_unknown_paths_are_errors_and_breaches() {
        let mut bench = Bench::new();
        bench.publish("kp1/demo-v1/dcx/t/json/1", "{");
        assert_eq!(
            bench.answer(),
            (
                "kp1/demo-v1/dcx/t/json/1/error".into(),
                r#"{"statusCode":400,"reasonPhrase":"Malformed JSON at line 1 column 1"}"#.into()
            )
        );
        assert!(bench.saw("breach"));
        bench.publish("kp1/demo-v1/dcx/t/yaml/1", "1");
        assert!(bench.answer().1.contains("404"));
        // A purely numeric metric is an ID (FACTS trap 1).
        bench.publish("kp1/demo-v1/dcx/t/plain/42", "1");
        assert_eq!(bench.answer().0, "kp1/demo-v1/dcx/t/plain/42/error");
    }

    #[test]
    fn strict_path_validation_takes_json_alone() {
        let mut bench = Bench::with(&[("relaxed-dcx", "off")]);
        for (resource, suffix) in [
            ("json/x/1", "error"),
            ("plain/t/1", "error"),
            ("json/1", "status"),
        ] {
            bench.publish(&format!("kp1/demo-v1/dcx/t/{resource}"), "1");
            assert!(bench.answer().0.ends_with(suffix), "{resource}");
        }
        let mut bench = Bench::new();
        bench.publish("kp1/demo-v1/dcx/t/json/random_string/1", "1");
        assert!(bench.answer().0.ends_with("json/random_string/1/status"));
    }

    #[test]
    fn trap_07_a_sample_without_id_gets_no_answer_but_its_errors_do() {
        let mut bench = Bench::new();
        bench.publish("kp1/demo-v1/dcx/t/json", "1");
        assert!(bench.is_silent());
        bench.publish("kp1/demo-v1/dcx/t/json", "{");
        assert_eq!(bench.answer().0, "kp1/demo-v1/dcx/t/json/error");
        let mut bench = Bench::with(&[("without-id", "none")]);
        bench.publish("kp1/demo-v1/dcx/t/json", "{");
        assert!(bench.is_silent());
        let mut bench = Bench::with(&[("without-id", "all")]);
        bench.publish("kp1/demo-v1/dcx/t/json", "1");
        assert_eq!(bench.answer().0, "kp1/demo-v1/dcx/t/json/status");
    }
}
