//! epmx: endpoint metadata (10/EPMP, FACTS section 2).
//!
//! Read-only keys are seen but not written, hidden ones neither. A write that touches one of
//! them is refused as a whole.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::answer::{Answer, Call, Refusal, Reply};
use super::event::EventKind;
use super::validate;
use super::weight::Weigh as _;
use crate::names::MetadataKey;

/// How many keys an endpoint may have; a write beyond it is refused. A twin has dozens.
const MAX_KEYS: usize = 1_024;

/// The metadata of one endpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Metadata {
    /// Every attribute, the hidden ones too.
    values: Map<String, Value>,
    /// What the device may read but not write.
    read_only: BTreeSet<MetadataKey>,
    /// What the device may neither read nor write.
    hidden: BTreeSet<MetadataKey>,
}

impl Metadata {
    pub(super) const fn new(
        values: Map<String, Value>,
        read_only: BTreeSet<MetadataKey>,
        hidden: BTreeSet<MetadataKey>,
    ) -> Self {
        Self {
            values,
            read_only,
            hidden,
        }
    }

    pub(super) fn handle(&mut self, call: &mut Call<'_>) -> Answer {
        match *call.levels().as_slice() {
            ["get", "keys"] => Ok(self.list(call)),
            ["get"] => self.read(call),
            ["update"] => self.replace_all(call),
            ["update", "keys"] => self.merge(call),
            ["delete", "keys"] => self.delete(call),
            _ => Err(Refusal::unknown_resource()),
        }
    }

    /// Every attribute, the hidden ones too.
    pub(super) const fn values(&self) -> &Map<String, Value> {
        &self.values
    }

    /// `get/keys`: any payload is ignored.
    fn list(&self, call: &mut Call<'_>) -> Reply {
        let visible = |key: &&String| !is_in(&self.hidden, key);
        let keys: Vec<String> = self.values.keys().filter(visible).cloned().collect();
        let reply = Reply::json(&json!(keys));
        call.note(EventKind::MetadataRead { keys });
        reply
    }

    /// `get`: a hidden key is left out, or refused if it was asked for; an absent one is left out.
    fn read(&self, call: &mut Call<'_>) -> Answer {
        let chosen = validate::metadata_request(call.payload)?;
        let mut shown = Map::new();
        match chosen {
            None => {
                let visible = self
                    .values
                    .iter()
                    .filter(|(key, _)| !is_in(&self.hidden, key));
                shown.extend(visible.map(|(key, value)| (key.clone(), value.clone())));
            }
            Some(keys) => {
                if keys.iter().any(|key| is_in(&self.hidden, key)) {
                    return Err(Refusal::denied(403, "Key is not accessible"));
                }
                let found = |key: String| {
                    let value = self.values.get(&key)?.clone();
                    Some((key, value))
                };
                shown.extend(keys.into_iter().filter_map(found));
            }
        }
        let keys = shown.keys().cloned().collect();
        let reply = Reply::json(&Value::Object(shown));
        call.note(EventKind::MetadataRead { keys });
        Ok(reply)
    }

    /// `update`: what is not mentioned goes, unless the device may not write it (FACTS trap 23).
    fn replace_all(&mut self, call: &mut Call<'_>) -> Answer {
        let values = validate::metadata_object(call.payload)?;
        let keys: Vec<String> = values.keys().cloned().collect();
        self.check_writable(&keys)?;
        check_room(&values, call.room + self.values.weigh())?;
        let (read_only, hidden) = (&self.read_only, &self.hidden);
        self.values
            .retain(|key, _| is_in(read_only, key) || is_in(hidden, key));
        self.values.extend(values);
        call.note(EventKind::MetadataReplaced { keys });
        Ok(Reply::done())
    }

    /// `update/keys`.
    fn merge(&mut self, call: &mut Call<'_>) -> Answer {
        let values = validate::metadata_object(call.payload)?;
        let keys: Vec<String> = values.keys().cloned().collect();
        self.check_writable(&keys)?;
        check_room(&values, call.room)?;
        self.values.extend(values);
        call.note(EventKind::MetadataMerged { keys });
        Ok(Reply::done())
    }

    /// `delete/keys`: an absent key is deleted already.
    fn delete(&mut self, call: &mut Call<'_>) -> Answer {
        let keys = validate::metadata_deletion(call.payload)?;
        self.check_writable(&keys)?;
        for key in &keys {
            self.values.remove(key);
        }
        call.note(EventKind::MetadataDeleted { keys });
        Ok(Reply::done())
    }

    fn check_writable(&self, keys: &[String]) -> Result<(), Refusal> {
        let mut fresh = 0;
        for key in keys {
            if is_in(&self.read_only, key) || is_in(&self.hidden, key) {
                return Err(Refusal::denied(403, "Key is not writable"));
            }
            fresh += usize::from(!self.values.contains_key(key));
        }
        match self.values.len() + fresh > MAX_KEYS {
            true => Err(Refusal::denied(413, "Too many keys")),
            false => Ok(()),
        }
    }
}

/// What is replaced is not taken off: it goes only afterwards.
fn check_room(values: &Map<String, Value>, room: usize) -> Result<(), Refusal> {
    match values.weigh() > room {
        true => Err(Refusal::denied(413, "Too much metadata")),
        false => Ok(()),
    }
}

fn is_in(keys: &BTreeSet<MetadataKey>, key: &str) -> bool {
    keys.iter().any(|k| k.as_str() == key)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;

    const PAGE: &str = r#"{"appVersions": {"demo-v1": {"endpoints": {"JTjdbENzHh": {
        "metadata": {"name": "Device name", "deviceModel": "new model"}}}}}}"#;
    const GUARDED: &str = r#"{"appVersions": {"v": {"endpoints": {"t": {
        "metadata": {"name": "n", "serial": 7, "secret": "s"},
        "readOnly": ["serial"], "hidden": ["secret"]}}}}}"#;

    fn ask(bench: &mut Bench, resource: &str, payload: &str) -> (String, String) {
        bench.publish(&format!("kp1/v/epmx/t/{resource}/1"), payload);
        let (topic, answer) = bench.answer();
        let suffix = topic.strip_prefix(&format!("kp1/v/epmx/t/{resource}/1/"));
        (suffix.unwrap().into(), answer)
    }

    fn ok(answer: &str) -> (String, String) {
        ("status".into(), answer.into())
    }

    /// The topics and payloads of the device API page.
    #[test]
    fn metadata_are_read_as_the_page_shows() {
        let mut bench = Bench::with_fixture(PAGE, &[]);
        bench.publish("kp1/demo-v1/epmx/JTjdbENzHh/get/keys/1", "");
        assert_eq!(
            bench.answer(),
            (
                "kp1/demo-v1/epmx/JTjdbENzHh/get/keys/1/status".into(),
                r#"["deviceModel","name"]"#.into()
            )
        );
        bench.publish("kp1/demo-v1/epmx/JTjdbENzHh/get/1", "");
        assert_eq!(
            bench.answer(),
            (
                "kp1/demo-v1/epmx/JTjdbENzHh/get/1/status".into(),
                r#"{"deviceModel":"new model","name":"Device name"}"#.into()
            )
        );
        assert!(bench.saw(r#"metadata-read keys=["deviceModel","name"]"#));
    }

    #[test]
    fn chosen_keys_are_read_and_absent_ones_left_out() {
        let mut bench = Bench::with_fixture(GUARDED, &[]);
        let answer = ask(&mut bench, "get", r#"{"keys":["name","nothing"]}"#);
        assert_eq!(answer, ok(r#"{"name":"n"}"#));
        let all = ask(&mut bench, "get", "{}");
        assert_eq!(all, ok(r#"{"name":"n","serial":7}"#));
    }

    #[test]
    fn trap_23_update_deletes_what_it_does_not_mention_but_what_is_not_writable() {
        let mut bench = Bench::with_fixture(GUARDED, &[]);
        assert_eq!(ask(&mut bench, "update", r#"{"model":{"a":null}}"#), ok(""));
        assert_eq!(
            ask(&mut bench, "get", ""),
            ok(r#"{"model":{"a":null},"serial":7}"#)
        );
        assert!(bench.snapshot("v", "t").metadata.contains_key("secret"));
        assert!(bench.saw("metadata-replaced"));
    }

    #[test]
    fn update_keys_merges_and_delete_keys_deletes() {
        let mut bench = Bench::with_fixture(GUARDED, &[]);
        assert_eq!(ask(&mut bench, "update/keys", r#"{"model":"m"}"#), ok(""));
        assert_eq!(
            ask(&mut bench, "get/keys", "ignored"),
            ok(r#"["model","name","serial"]"#)
        );
        assert_eq!(
            ask(&mut bench, "delete/keys", r#"["name","absent"]"#),
            ok("")
        );
        assert_eq!(ask(&mut bench, "get/keys", ""), ok(r#"["model","serial"]"#));
        assert!(bench.saw("metadata-merged") && bench.saw("metadata-deleted"));
    }

    #[test]
    fn a_guarded_key_refuses_the_whole_write_and_is_no_breach() {
        let mut bench = Bench::with_fixture(GUARDED, &[]);
        let before = bench.snapshot("v", "t").metadata;
        for (resource, payload) in [
            ("update", r#"{"name":"x","serial":8}"#),
            ("update/keys", r#"{"name":"x","secret":8}"#),
            ("delete/keys", r#"["name","serial"]"#),
            ("get", r#"{"keys":["secret"]}"#),
        ] {
            let (suffix, answer) = ask(&mut bench, resource, payload);
            assert_eq!(suffix, "error", "{resource}");
            assert!(
                answer.contains(r#""statusCode":403"#),
                "{resource}: {answer}"
            );
        }
        assert_eq!(bench.snapshot("v", "t").metadata, before);
        assert!(bench.saw("refused") && !bench.saw("breach"));
    }

    #[test]
    fn what_the_schemas_forbid_is_400_and_an_unknown_path_404() {
        let mut bench = Bench::with_fixture(GUARDED, &[]);
        for (resource, payload, code) in [
            ("update", "{}", 400),
            ("update/keys", r#"{"a.b":1}"#, 400),
            ("delete/keys", "[]", 400),
            ("get", r#"{"key":[]}"#, 400),
            ("get/everything", "", 404),
        ] {
            let (suffix, answer) = ask(&mut bench, resource, payload);
            assert_eq!(suffix, "error", "{resource}");
            assert!(
                answer.contains(&format!(r#""statusCode":{code}"#)),
                "{answer}"
            );
            assert!(bench.saw("breach"), "{resource}");
        }
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let mut bench = Bench::new();
        let pairs: Vec<_> = (0..1_024).map(|n| format!(r#""k{n}":0"#)).collect();
        let full = format!("{{{}}}", pairs.join(","));
        assert_eq!(ask(&mut bench, "update", &full), ok(""));
        assert!(
            ask(&mut bench, "update/keys", r#"{"more":0}"#)
                .1
                .contains("413")
        );
        assert_eq!(ask(&mut bench, "update/keys", r#"{"k1":1}"#), ok(""));
    }
}
