//! cmx and cmx_ota: configurations, and software versions over the same protocol (7/CMP, FACTS
//! sections 4 and 5).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::answer::{Answer, Call, Refusal, Reply};
use super::choices::{ConfigBody, NoConfig, NotModified, ObserveUntil};
use super::event::EventKind;
use super::observation::{Observation, Push};
use super::operator::OperatorError;
use super::switches::Switches;
use super::validate;
use super::weight::Weigh;
use crate::names::ConfigName;

/// How many names an endpoint may have; one more is refused.
const MAX_NAMES: usize = 256;

/// What a name takes beside itself.
const SLOT: usize = 512;

/// Which of the two services it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Subject {
    /// cmx: what the device has counts only if the request says so.
    Configuration,
    /// cmx_ota: the configuration ID is a version, and what the device reported counts.
    Software,
}

/// The configurations of one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Configurations {
    subject: Subject,
    /// By name; the default one's is empty.
    slots: BTreeMap<String, Slot>,
}

/// One named configuration.
#[derive(Clone, Debug, Default)]
struct Slot {
    assigned: Option<Assigned>,
    report: Option<Report>,
    observation: Observation,
    /// The ID that was delivered on this link.
    delivered: Option<String>,
}

/// What the operator wants the device to have.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Assigned {
    /// Its ID; of software the version.
    pub config_id: String,
    /// Its content.
    pub config: Value,
}

/// What the device said about a configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Which one.
    pub config_id: String,
    /// 2xx: applied; anything else: rejected (7/CMP).
    pub status_code: f64,
    /// Why.
    pub reason_phrase: Option<String>,
}

impl Report {
    /// Whether it was applied.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        (200.0..300.0).contains(&self.status_code)
    }
}

impl Configurations {
    pub(super) const fn new(subject: Subject) -> Self {
        Self {
            subject,
            slots: BTreeMap::new(),
        }
    }

    pub(super) fn handle(&mut self, call: &mut Call<'_>) -> Answer {
        match *call.levels().as_slice() {
            ["config", "json"] => self.current(call, ""),
            ["config", "json", name] => self.current(call, checked(name)?),
            ["applied", "json"] => self.report(call, ""),
            ["applied", "json", name] => self.report(call, checked(name)?),
            _ => Err(Refusal::unknown_resource()),
        }
    }

    /// Gives the device a configuration; the push of it unless the device does not want any.
    pub(super) fn assign(
        &mut self,
        name: &str,
        assigned: Assigned,
        switches: &Switches,
    ) -> Result<Option<Push>, OperatorError> {
        let name = default_is_unnamed(name);
        self.check_room(name).map_err(|_| OperatorError::TooMany)?;
        let slot = self.slots.entry(name.into()).or_default();
        slot.assigned = Some(assigned);
        slot.delivered = None;
        Ok(slot.push(name, switches))
    }

    /// What is assigned, not yet delivered on this link and not yet applied.
    pub(super) fn unsolicited(&self, switches: &Switches) -> Vec<(String, Push)> {
        let push = |(name, slot): (&String, &Slot)| {
            let assigned = &slot.assigned.as_ref()?.config_id;
            let has_it =
                slot.applied() == Some(assigned) || slot.delivered.as_ref() == Some(assigned);
            let push = if has_it {
                None
            } else {
                slot.push(name, switches)
            };
            Some((name.clone(), push?))
        };
        self.slots.iter().filter_map(push).collect()
    }

    /// A push of that name is on its way; what to write down.
    pub(super) fn handle_pushed(&mut self, name: &str) -> Option<EventKind> {
        let slot = self.slots.get_mut(default_is_unnamed(name))?;
        let config_id = slot.assigned.as_ref()?.config_id.clone();
        slot.delivered = Some(config_id.clone());
        Some(delivered_event(
            self.subject,
            default_is_unnamed(name),
            config_id,
        ))
    }

    /// The endpoint disconnected or moved to another link.
    pub(super) fn end_session(&mut self, switches: &Switches) {
        for slot in self.slots.values_mut() {
            slot.delivered = None;
            if switches.observe_until == ObserveUntil::Disconnect {
                slot.observation = Observation::default();
            }
        }
    }

    /// Every name with what is assigned and what was reported.
    pub(super) fn slots(
        &self,
    ) -> impl Iterator<Item = (&String, Option<&Assigned>, Option<&Report>)> {
        let parts = |(name, slot)| {
            let Slot {
                assigned, report, ..
            }: &Slot = slot;
            (name, assigned.as_ref(), report.as_ref())
        };
        self.slots.iter().map(parts)
    }

    /// `config/json[/{name}]`.
    fn current(&mut self, call: &mut Call<'_>, name: &str) -> Answer {
        let request = validate::config_request(call.payload)?;
        self.check_room(name)?;
        self.check_bytes(call.room, name, 0)?;
        let slot = self.slots.entry(name.into()).or_default();
        slot.observation.note(request.observe, call.topic.id());
        let reported = match self.subject {
            Subject::Configuration => None,
            Subject::Software => slot.applied().cloned(),
        };
        let known = request.config_id.clone().or(reported);
        call.note(requested_event(self.subject, name, request));
        let Some(assigned) = &slot.assigned else {
            let says_null = self.subject == Subject::Configuration
                && call.switches.no_config == NoConfig::Null
                && known.as_deref() != Some("");
            return match says_null {
                true => Ok(Reply::Status(body("", &Value::Null, call.switches))),
                false => not_modified(call.switches),
            };
        };
        if known.as_ref() == Some(&assigned.config_id) {
            return not_modified(call.switches);
        }
        let reply = Reply::Content(body(&assigned.config_id, &assigned.config, call.switches));
        let config_id = assigned.config_id.clone();
        slot.delivered = Some(config_id.clone());
        call.note(delivered_event(self.subject, name, config_id));
        Ok(reply)
    }

    /// `applied/json[/{name}]`. An ID that is not assigned is taken: the platform may have
    /// assigned another one meanwhile.
    fn report(&mut self, call: &mut Call<'_>, name: &str) -> Answer {
        let applied = validate::applied(call.payload)?;
        if applied.config_id.is_empty() {
            return Err(Refusal::breach(400, "configId is empty: none is assigned"));
        }
        self.check_room(name)?;
        let bytes = applied.config_id.len() + applied.reason_phrase.weigh();
        self.check_bytes(call.room, name, bytes)?;
        let slot = self.slots.entry(name.into()).or_default();
        let report = Report {
            config_id: applied.config_id,
            status_code: applied.status_code,
            reason_phrase: applied.reason_phrase,
        };
        call.note(report_event(self.subject, name, report.clone()));
        slot.report = Some(report);
        Ok(Reply::done())
    }

    /// Whether there is room for so many more bytes under a name.
    fn check_bytes(&self, room: usize, name: &str, more: usize) -> Result<(), Refusal> {
        let slot = if self.slots.contains_key(name) {
            0
        } else {
            SLOT + name.len()
        };
        match slot + more > room {
            true => Err(Refusal::denied(413, "Too many configurations")),
            false => Ok(()),
        }
    }

    fn check_room(&self, name: &str) -> Result<(), Refusal> {
        match self.slots.len() >= MAX_NAMES && !self.slots.contains_key(name) {
            true => Err(Refusal::denied(429, "Too many configurations")),
            false => Ok(()),
        }
    }
}

/// What the device said; what is assigned is the operator's.
impl Weigh for Configurations {
    fn weigh(&self) -> usize {
        let report = |report: &Report| report.config_id.len() + report.reason_phrase.weigh();
        let slot = |(name, slot): (&String, &Slot)| {
            SLOT + name.len() + slot.report.as_ref().map_or(0, report)
        };
        self.slots.iter().map(slot).sum()
    }
}

impl Slot {
    /// The ID that the device said it applied.
    fn applied(&self) -> Option<&String> {
        let report = self.report.as_ref().filter(|report| report.is_applied());
        report.map(|report| &report.config_id)
    }

    fn push(&self, name: &str, switches: &Switches) -> Option<Push> {
        let assigned = self
            .assigned
            .as_ref()
            .filter(|_| !self.observation.is_refused())?;
        Some(Push {
            resource: match name {
                "" => String::from("config/json"),
                _ => format!("config/json/{name}"),
            },
            ids: self.observation.push_ids(switches.push_topic),
            payload: body(&assigned.config_id, &assigned.config, switches),
        })
    }
}

/// The name of a topic level; `default` is the unnamed one.
fn checked(name: &str) -> Result<&str, Refusal> {
    match ConfigName::new(name) {
        Ok(_) => Ok(default_is_unnamed(name)),
        Err(_) => Err(Refusal::breach(
            400,
            "A configuration name must match ^[a-zA-Z0-9_-]+$",
        )),
    }
}

fn default_is_unnamed(name: &str) -> &str {
    if name == "default" { "" } else { name }
}

/// In the order in which the device API page shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    config_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_phrase: Option<&'a str>,
    config: &'a Value,
}

fn body(config_id: &str, config: &Value, switches: &Switches) -> Vec<u8> {
    let is_cloud = switches.config_body == ConfigBody::Cloud;
    let body = Body {
        config_id,
        status_code: is_cloud.then_some(200),
        reason_phrase: is_cloud.then_some("ok"),
        config,
    };
    // Strings, a number and JSON: this cannot fail.
    serde_json::to_vec(&body).unwrap_or_default()
}

fn not_modified(switches: &Switches) -> Answer {
    let refusal = Refusal::denied(304, "Not Modified");
    match switches.not_modified {
        NotModified::Object => Ok(Reply::Status(b"{}".to_vec())),
        NotModified::Empty => Ok(Reply::done()),
        NotModified::Null => Ok(Reply::Status(b"null".to_vec())),
        NotModified::Status304 => Ok(Reply::Status(refusal.payload())),
        NotModified::Error304 => Err(refusal),
    }
}

fn requested_event(subject: Subject, name: &str, request: validate::ConfigRequest) -> EventKind {
    match subject {
        Subject::Configuration => EventKind::ConfigRequested {
            name: name.into(),
            config_id: request.config_id,
            observe: request.observe,
        },
        Subject::Software => EventKind::SoftwareRequested {
            version: request.config_id,
            observe: request.observe,
        },
    }
}

fn delivered_event(subject: Subject, name: &str, config_id: String) -> EventKind {
    match subject {
        Subject::Configuration => EventKind::ConfigDelivered {
            name: name.into(),
            config_id,
        },
        Subject::Software => EventKind::SoftwareDelivered { version: config_id },
    }
}

fn report_event(subject: Subject, name: &str, report: Report) -> EventKind {
    let is_applied = report.is_applied();
    let Report {
        config_id,
        status_code,
        reason_phrase,
    } = report;
    match (subject, is_applied) {
        (Subject::Configuration, true) => EventKind::ConfigApplied {
            name: name.into(),
            config_id,
        },
        (Subject::Configuration, false) => EventKind::ConfigRejected {
            name: name.into(),
            config_id,
            status_code,
            reason_phrase,
        },
        (Subject::Software, true) => EventKind::SoftwareReported { version: config_id },
        (Subject::Software, false) => EventKind::SoftwareRejected {
            version: config_id,
            status_code,
            reason_phrase,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_taken_if_it_fits_with_what_a_new_name_takes() {
        let mut configurations = Configurations::new(Subject::Configuration);
        configurations.slots.insert("known".into(), Slot::default());
        for (name, own) in [("known", 0), ("new", SLOT + 3)] {
            for bytes in [0, 1, 700] {
                let check = |room| configurations.check_bytes(room, name, bytes);
                assert_eq!(check(own + bytes), Ok(()), "{name} {bytes}");
                assert_eq!(check(own + bytes + 1), Ok(()), "{name} {bytes}");
                if let Some(less) = (own + bytes).checked_sub(1) {
                    assert!(check(less).is_err(), "{name} {bytes}");
                }
            }
        }
    }
}
