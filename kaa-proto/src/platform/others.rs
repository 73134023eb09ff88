//! rsx and tsx: the status of earlier requests and the time (FACTS section 8), so that raw calls
//! have a partner.

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::{Value, json};

use super::answer::{Answer, Call, Refusal, Reply};
use super::event::EventKind;
use super::validate;
use super::weight::Weigh;

/// How many requests rsx remembers; the oldest goes.
const MAX_RECORDS: usize = 64;

/// What a record takes beside its texts.
const RECORD: usize = 160;

/// What the clock shows until it is set, in milliseconds of Unix time.
const FIRST_TIME: u64 = 1_700_000_000_000;

/// The latest requests with ID of one endpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests {
    /// Oldest first.
    records: VecDeque<Record>,
}

#[derive(Clone, Debug)]
struct Record {
    extension: String,
    id: u32,
    status: u16,
    reason: String,
}

impl Requests {
    /// `rsx/{token}/{extension}/{id}`: the queried ID is the request's own, too (FACTS trap 5).
    pub(super) fn handle(&self, call: &mut Call<'_>) -> Answer {
        let (&[extension], Some(id)) = (call.levels().as_slice(), call.topic.id()) else {
            return Err(Refusal::unknown_resource());
        };
        call.note(EventKind::StatusAsked {
            extension: extension.into(),
            id,
        });
        let is_it = |record: &&Record| record.extension == extension && record.id == id;
        match self.records.iter().rev().find(is_it) {
            None => Err(Refusal::denied(404, "Unknown request")),
            Some(record) => Ok(Reply::json(&json!({
                "requestId": id,
                "statusCode": record.status,
                "reasonPhrase": record.reason,
            }))),
        }
    }

    pub(super) fn record(&mut self, extension: &str, id: u32, answer: &Answer) {
        let (status, reason) = match answer {
            Ok(_) => (200, String::from("Ok")),
            Err(refusal) => (refusal.status, refusal.reason.clone()),
        };
        if self.records.len() == MAX_RECORDS {
            self.records.pop_front();
        }
        self.records.push_back(Record {
            extension: extension.into(),
            id,
            status,
            reason,
        });
    }
}

impl Weigh for Requests {
    fn weigh(&self) -> usize {
        let texts = |record: &Record| record.extension.len() + record.reason.len();
        self.records
            .iter()
            .map(|record| RECORD + texts(record))
            .sum()
    }
}

/// The platform's wall clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    /// An instant, and the Unix time in milliseconds it stands for.
    anchor: Option<(Instant, u64)>,
}

impl Clock {
    pub(super) const fn set(&mut self, now: Instant, unix_millis: u64) {
        self.anchor = Some((now, unix_millis));
    }

    /// `tsx/{token}`: empty, or with a `timezone`. Only zones of a fixed offset are known.
    pub(super) fn handle(&mut self, call: &mut Call<'_>) -> Answer {
        if !call.topic.resource().is_empty() {
            return Err(Refusal::unknown_resource());
        }
        let offset = match call.payload {
            b"" => 0,
            payload => {
                let asked = validate::json(payload)?;
                let zone = asked.get("timezone").map(Value::as_str);
                let zone = zone.unwrap_or(Some("UTC")).and_then(fixed_offset);
                zone.ok_or_else(|| Refusal::denied(400, "Unknown timezone"))?
            }
        };
        let &mut (at, millis) = self.anchor.get_or_insert((call.now, FIRST_TIME));
        let passed = call.now.saturating_duration_since(at).as_millis();
        let mut answer = json!({"timestamp": u128::from(millis) + passed});
        if offset != 0 {
            answer["offset"] = json!(offset);
        }
        call.note(EventKind::TimeAsked {});
        Ok(Reply::json(&answer))
    }
}

/// Seconds east of Greenwich. The sign of `Etc/GMT+5` points west.
fn fixed_offset(zone: &str) -> Option<i64> {
    match zone.strip_prefix("Etc/GMT") {
        Some(hours) => hours
            .parse()
            .ok()
            .filter(|h| (-14..=12).contains(h))
            .map(|h: i64| -h * 3_600),
        None => matches!(zone, "UTC" | "GMT").then_some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;

    #[test]
    fn trap_05_the_status_of_a_request_is_asked_for_by_its_id() {
        let mut bench = Bench::new();
        bench.publish("kp1/v/dcx/t/json/234531", "1");
        bench.publish("kp1/v/dcx/t/json/7", "{");
        bench.drain();
        let mut ask = |topic: &str| {
            bench.publish(topic, "");
            bench.answer()
        };
        assert_eq!(
            ask("kp1/v/rsx/t/dcx/234531"),
            (
                "kp1/v/rsx/t/dcx/234531/status".into(),
                r#"{"reasonPhrase":"Ok","requestId":234531,"statusCode":200}"#.into()
            )
        );
        assert!(ask("kp1/v/rsx/t/dcx/7").1.contains(r#""statusCode":400"#));
        assert_eq!(ask("kp1/v/rsx/t/epmx/7").0, "kp1/v/rsx/t/epmx/7/error");
        assert_eq!(ask("kp1/v/rsx/t/dcx").0, "kp1/v/rsx/t/dcx/error");
    }

    #[test]
    fn the_time_passes_with_the_clock_it_was_given() {
        let mut bench = Bench::new();
        let now = bench.now();
        bench.platform.handle_wall_clock(now, 1_566_987_697_005);
        bench.advance(5);
        bench.publish("kp1/v/tsx/42/7", "");
        let timestamp = r#"{"timestamp":1566987702005}"#;
        assert_eq!(
            bench.answer(),
            ("kp1/v/tsx/42/7/status".into(), timestamp.into())
        );
        bench.publish("kp1/v/tsx/42/7", r#"{"timezone":"Etc/GMT+5"}"#);
        assert!(bench.answer().1.contains(r#""offset":-18000"#));
        bench.publish("kp1/v/tsx/42/7", r#"{"timezone":"Pacific/Easter"}"#);
        assert_eq!(bench.answer().0, "kp1/v/tsx/42/7/error");
        // Without ID there is no answer, though the token is a number (FACTS trap 2).
        bench.publish("kp1/v/tsx/42", "");
        assert!(bench.is_silent());
    }
}
