//! What the platform publishes: answers and pushes past the faults, and who gets them.

use std::time::Instant;

use super::choices::DeliverTo;
use super::event::EventKind;
use super::observation::Push;
use super::options::{LinkId, Service};
use super::outbox::{Addressee, Fate, Parcel};
use super::platform::{Platform, Recipients};
use crate::names::EndpointName;
use crate::topic::{self, Suffix, Topic};

impl Platform {
    /// Pushes what is assigned and not applied yet to an endpoint that just spoke.
    pub(super) fn push_unsolicited(&mut self, now: Instant, index: usize) {
        let is_on = self.switches.unsolicited_config;
        let Some(device) = self.devices.get(index).filter(|_| is_on) else {
            return;
        };
        let configurations = device.configurations.unsolicited(&self.switches);
        let software = device.software.unsolicited(&self.switches);
        for (name, push) in configurations {
            self.push_config(now, index, Service::Cmx, &name, push);
        }
        for (name, push) in software {
            self.push_config(now, index, Service::CmxOta, &name, push);
        }
    }

    /// Pushes a configuration, or software, and remembers that it was delivered.
    pub(super) fn push_config(
        &mut self,
        now: Instant,
        index: usize,
        service: Service,
        slot: &str,
        push: Push,
    ) {
        self.push(now, index, service, push);
        let Some(device) = self.devices.get_mut(index) else {
            return;
        };
        let event = device.configurations_of(service).handle_pushed(slot);
        let name = device.name.clone();
        if let Some(event) = event {
            self.note(now, None, Some(name), event);
        }
    }

    /// Sends a push to its topics, under the first instance name of the service.
    pub(super) fn push(&mut self, now: Instant, index: usize, service: Service, push: Push) {
        let instance = self.extensions.iter().find(|(_, s)| **s == service);
        let extension = instance.map(|(name, _)| name.clone());
        let Some((extension, device)) = extension.zip(self.devices.get(index)) else {
            return;
        };
        let (name, qos) = (device.name.clone(), device.qos);
        for id in push.ids {
            let topic = Topic::of_valid(&name, &extension, &push.resource)
                .with_id(id)
                .with_suffix(Some(Suffix::Status));
            let parcel = Parcel {
                to: Addressee::Device(index),
                topic: topic.to_wire(),
                payload: push.payload.clone(),
                qos,
            };
            self.publish(now, &name, service, parcel);
        }
    }

    /// Sends a message of an endpoint, if no fault is in its way.
    pub(super) fn publish(
        &mut self,
        now: Instant,
        name: &EndpointName,
        service: Service,
        parcel: Parcel,
    ) {
        let (fate, fault) = self.faults.fate(name, service);
        if let Some(fault) = fault {
            self.note_fault(now, None, Some(name.clone()), fault, &parcel.topic);
        }
        self.dispatch(now, parcel, fate);
    }

    pub(super) fn dispatch(&mut self, now: Instant, parcel: Parcel, fate: Fate) {
        let topic = topic::cut(&topic::shortened(&parcel.topic));
        if !self.outbox.push(now, parcel, fate, self.limits.waiting) {
            self.note(now, None, None, EventKind::Overflow { topic });
        }
    }

    pub(super) fn recipients(&self, to: Addressee) -> Recipients {
        let speaker = match to {
            Addressee::Device(index) => self.devices.get(index).and_then(|device| device.speaker),
            Addressee::Link(link) => Some(link),
            Addressee::Subscribers => {
                return Recipients {
                    link: None,
                    subscribers: true,
                };
            }
        };
        Recipients {
            link: speaker.filter(|_| self.switches.delivery != DeliverTo::Subscription),
            subscribers: self.switches.delivery != DeliverTo::LastSpeaker,
        }
    }

    /// Whether a push is worth sending. An endpoint that was silent for too long gets none until
    /// it speaks (FACTS trap 35); subscribers are served even if it never spoke.
    pub(super) fn is_reachable(&self, index: usize) -> bool {
        let by_subscription = self.switches.delivery != DeliverTo::LastSpeaker;
        let device = self.devices.get(index).filter(|device| !device.is_idle);
        device.is_some_and(|device| device.speaker.is_some() || by_subscription)
    }

    pub(super) fn note_fault(
        &mut self,
        now: Instant,
        link: Option<LinkId>,
        name: Option<EndpointName>,
        fault: &str,
        topic: &str,
    ) {
        let (fault, topic) = (fault.into(), topic::cut(&topic::shortened(topic)));
        self.note(now, link, name, EventKind::Fault { fault, topic });
    }
}
