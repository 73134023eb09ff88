//! One message on its way through the platform: who speaks, to what, and what is answered.

use std::time::Instant;

use super::answer::{Answer, Call, Refusal, Reply};
use super::choices::{BadToken, ForeignTopic, Unknown, WithoutId};
use super::device::Device;
use super::event::EventKind;
use super::options::{LinkId, Service};
use super::outbox::{Addressee, Fate, Parcel};
use super::platform::Platform;
use super::weight::{self, Weigh as _};
use crate::names::{AppVersion, EndpointName, EndpointToken, Extension};
use crate::qos::QoS;
use crate::topic::{self, Suffix, Topic};

/// A message as it arrived.
#[derive(Clone, Copy)]
struct Message<'a> {
    now: Instant,
    link: LinkId,
    topic: Topic<'a>,
    payload: &'a [u8],
    qos: QoS,
}

/// Who sent a message and which extension it is for.
struct Admitted {
    service: Service,
    device: usize,
    name: EndpointName,
}

impl Platform {
    /// A message arrived. Answers of others and own publishes that come back are ignored.
    pub fn handle_message(
        &mut self,
        now: Instant,
        link: LinkId,
        topic: &str,
        payload: &[u8],
        qos: QoS,
    ) {
        if topic.len() + payload.len() > self.switches.max_packet {
            self.refuse_oversize(now, link, topic);
            return;
        }
        if self.switches.echo {
            let parcel = Parcel {
                to: Addressee::Subscribers,
                topic: topic.into(),
                payload: payload.into(),
                qos,
            };
            self.dispatch(now, parcel, Fate::Sent);
        }
        // A topic with a wildcard could not be answered (MQTT-3.3.2-2).
        let is_plain = !topic.contains(['+', '#', '\0']);
        let Some(parsed) = Topic::parse(topic).ok().filter(|_| is_plain) else {
            self.note_breach(now, link, None, 400, "Not a 1/KP topic", topic);
            if self.switches.foreign_topic == ForeignTopic::Disconnect {
                self.hang_up(now, link, "foreign topic");
            }
            return;
        };
        if parsed.suffix().is_some() {
            return;
        }
        let message = Message {
            now,
            link,
            topic: parsed,
            payload,
            qos,
        };
        match self.admit(parsed) {
            Ok(admitted) => {
                let device = admitted.device;
                self.serve(message, &admitted);
                self.schedule(device);
            }
            Err((refusal, how)) => self.turn_away(message, &refusal, how),
        }
    }

    /// A message was too large to be taken.
    pub(super) fn refuse_oversize(&mut self, now: Instant, link: LinkId, topic: &str) {
        self.note_breach(now, link, None, 413, "Message is too large", topic);
        self.hang_up(now, link, "message too large");
    }

    /// Finds out who speaks and to what, or how they are turned away.
    fn admit(&mut self, topic: Topic<'_>) -> Result<Admitted, (Refusal, Unknown)> {
        let version = AppVersion::new(topic.app_version()).ok();
        let is_known = |v: &AppVersion| self.known_versions.as_ref().is_none_or(|k| k.contains(v));
        let version = version.filter(is_known).ok_or_else(|| {
            let refusal = Refusal::breach(404, "Unknown application version");
            (refusal, self.switches.unknown_version)
        })?;
        let extension = Extension::new(topic.extension()).ok();
        let service = extension.and_then(|name| self.extensions.get(&name).copied());
        let service = service.ok_or_else(|| {
            let refusal = Refusal::breach(404, "Unknown extension");
            (refusal, self.switches.unknown_extension)
        })?;
        let token = EndpointToken::new(topic.token()).ok();
        let name = token.map(|token| EndpointName::new(version, token));
        let found = name.and_then(|name| Some((self.find_or_create(&name).ok()?, name)));
        let (device, name) = found.ok_or_else(|| {
            let (status, how) = match self.switches.bad_token {
                BadToken::Unauthorized => (401, Unknown::NotFound),
                BadToken::Forbidden => (403, Unknown::NotFound),
                BadToken::NotFound => (404, Unknown::NotFound),
                BadToken::Disconnect => (401, Unknown::Disconnect),
            };
            (Refusal::breach(status, "Unknown endpoint token"), how)
        })?;
        Ok(Admitted {
            service,
            device,
            name,
        })
    }

    /// Refuses a message of nobody that is known.
    fn turn_away(&mut self, message: Message<'_>, refusal: &Refusal, how: Unknown) {
        let Message {
            now, link, topic, ..
        } = message;
        let (status, reason) = (refusal.status, refusal.reason.as_str());
        self.note_breach(now, link, None, status, reason, &topic.to_wire());
        match how {
            Unknown::Silence => {}
            Unknown::Disconnect => self.hang_up(now, link, reason),
            Unknown::NotFound => {
                if topic.id().is_some() || self.switches.without_id != WithoutId::None {
                    let parcel = Parcel {
                        to: Addressee::Link(link),
                        topic: topic.with_suffix(Some(Suffix::Error)).to_wire(),
                        payload: refusal.payload(),
                        qos: message.qos,
                    };
                    self.dispatch(now, parcel, Fate::Sent);
                }
            }
        }
    }

    /// A request of a known endpoint to a known extension.
    fn serve(&mut self, message: Message<'_>, admitted: &Admitted) {
        let Admitted {
            service,
            device,
            name,
        } = admitted;
        let Message {
            now,
            link,
            topic,
            qos,
            ..
        } = message;
        let (service, device) = (*service, *device);
        let note_fault = |platform: &mut Self, fault| {
            let topic = topic.to_wire();
            platform.note_fault(now, Some(link), Some(name.clone()), fault, &topic);
        };
        if self.faults.swallows(name, service) {
            note_fault(self, "black-hole");
            return;
        }
        self.begin_session(message, device);
        let answer = match self.faults.error(name, service) {
            None => self.ask(message, admitted),
            Some(refusal) => {
                note_fault(self, "error");
                Err(refusal)
            }
        };
        self.note_refusal(message, name, &answer);
        self.record(message, admitted, &answer);
        if self.faults.kicks(name, service) {
            note_fault(self, "kick");
            self.hang_up(now, link, "fault");
            return;
        }
        if let Some((suffix, payload)) = self.rendered(topic, answer) {
            let parcel = Parcel {
                to: Addressee::Device(device),
                topic: topic.with_suffix(Some(suffix)).to_wire(),
                payload,
                qos,
            };
            self.publish(now, name, service, parcel);
        }
        self.push_unsolicited(now, device);
    }

    /// Hands the request to its extension.
    fn ask(&mut self, message: Message<'_>, admitted: &Admitted) -> Answer {
        let Some(device) = self.devices.get_mut(admitted.device) else {
            return Err(Refusal::unknown_resource());
        };
        let limits = &self.limits;
        if weight::of_json(message.payload).is_ok_and(|weight| weight > limits.endpoint) {
            return Err(Refusal::denied(413, "Too much JSON"));
        }
        let of_endpoint = limits.endpoint.saturating_sub(device.kept);
        let of_all = limits.endpoints.saturating_sub(self.kept);
        let mut call = Call {
            now: message.now,
            link: message.link,
            name: &admitted.name,
            topic: message.topic,
            payload: message.payload,
            switches: &self.switches,
            room: of_endpoint.min(of_all),
            log: &mut self.log,
        };
        let answer = match admitted.service {
            Service::Dcx => device.telemetry.handle(&mut call),
            Service::Epmx => device.metadata.handle(&mut call),
            Service::Cex => device.commands.handle(&mut call),
            Service::Cmx => device.configurations.handle(&mut call),
            Service::CmxOta => device.software.handle(&mut call),
            Service::Bcx => {
                let fixed = device.upload_token.as_ref();
                self.uploads
                    .issue(&mut call, admitted.device, fixed, &mut self.rng)
            }
            Service::Rsx => device.requests.handle(&mut call),
            Service::Tsx => self.clock.handle(&mut call),
        };
        let kept = device.weigh();
        self.kept = self.kept - device.kept + kept;
        device.kept = kept;
        answer
    }

    /// The suffix and payload of an answer, if there is to be one (1/KP "Request ID").
    fn rendered(&self, topic: Topic<'_>, answer: Answer) -> Option<(Suffix, Vec<u8>)> {
        let policy = self.switches.without_id;
        let (is_answered_without, suffix, payload) = match answer {
            Err(refusal) => (policy != WithoutId::None, Suffix::Error, refusal.payload()),
            Ok(Reply::Silence) => return None,
            Ok(Reply::Status(payload)) => (policy == WithoutId::All, Suffix::Status, payload),
            Ok(Reply::Content(payload)) => (policy != WithoutId::None, Suffix::Status, payload),
            Ok(Reply::Token(payload)) => {
                let is_given = matches!(policy, WithoutId::Bcx | WithoutId::All);
                (is_given, Suffix::Status, payload)
            }
        };
        (topic.id().is_some() || is_answered_without).then_some((suffix, payload))
    }

    /// The endpoint speaks on this link. The first time, it comes online there.
    fn begin_session(&mut self, message: Message<'_>, index: usize) {
        let Message { now, link, qos, .. } = message;
        let Some(device) = self.devices.get_mut(index) else {
            return;
        };
        device.last_seen = Some(now);
        device.qos = qos;
        device.is_idle = false;
        if device.speaker == Some(link) {
            return;
        }
        let before = device.speaker.replace(link);
        device.end_session(&self.switches);
        device.commands.start_clocks(now, &self.switches);
        let name = device.name.clone();
        if let Some(devices) = before.and_then(|before| self.links.get_mut(&before)) {
            devices.remove(&index);
        }
        self.links.entry(link).or_default().insert(index);
        self.note(now, Some(link), Some(name), EventKind::Connected {});
    }

    /// Remembers the request for rsx, whose own queries are none.
    fn record(&mut self, message: Message<'_>, admitted: &Admitted, answer: &Answer) {
        let device = self.devices.get_mut(admitted.device);
        let is_query = admitted.service == Service::Rsx;
        let has_room = |device: &&mut Device| device.kept < self.limits.endpoint;
        let device = device.filter(has_room);
        if let (Some(device), Some(id), false) = (device, message.topic.id(), is_query) {
            let extension = message.topic.extension();
            device.requests.record(extension, id, answer);
        }
    }

    fn note_refusal(&mut self, message: Message<'_>, name: &EndpointName, answer: &Answer) {
        let Message {
            now, link, topic, ..
        } = message;
        let Err(refusal) = answer else {
            return;
        };
        let (status_code, name) = (refusal.status, Some(name.clone()));
        if refusal.is_breach {
            self.note_breach(
                now,
                link,
                name,
                status_code,
                &refusal.reason,
                &topic.to_wire(),
            );
        } else {
            let event = EventKind::Refused {
                status_code,
                reason_phrase: refusal.reason.clone(),
                topic: topic::cut(&topic.shortened()),
            };
            self.note(now, Some(link), name, event);
        }
    }

    pub(super) fn note_breach(
        &mut self,
        now: Instant,
        link: LinkId,
        name: Option<EndpointName>,
        status: u16,
        reason: &str,
        topic: &str,
    ) {
        let event = EventKind::Breach {
            status_code: status,
            reason_phrase: reason.into(),
            topic: topic::cut(&topic::shortened(topic)),
        };
        self.note(now, Some(link), name, event);
    }
}
