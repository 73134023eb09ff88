//! What a part of a gadget asks of the platform.

use std::time::Duration;

use kaa_proto::client::{Endpoint, Ticket};
use kaa_proto::metadata::{Get, ReplaceAll};
use kaa_proto::names::MetadataKey;
use kaa_proto::request::{Class, Confirm, Request, RequestExt as _, Resend, SubmitError};
use kaa_proto::telemetry::{Batch, Sample};
use serde_json::{Map, Value, json};

use super::super::program::Moment;
use super::book::{Item, key_of_get};
use super::part::{Asked, PROBES, Part};
use super::pending::Said;
use crate::dice::Dice;

impl Part {
    pub(super) fn act(&mut self, moment: &mut Moment<'_>, endpoint: &Endpoint) {
        match moment.dice.below(16) {
            0..6 => self.sample(moment, endpoint),
            6 => {
                // As many as there is room for, and some more.
                for _ in 0..moment.dice.below(2 * self.bounds.bulk as u64) {
                    self.sample(moment, endpoint);
                }
            }
            7 => self.batch(moment, endpoint),
            8..10 => self.replace(moment, endpoint, false),
            10..12 => self.get(endpoint, false),
            12 => {
                // Some wait is abandoned, and nobody knows how it ends.
                if let Some(n) = self.any(moment.dice) {
                    self.abandon(n);
                }
            }
            13 => {
                // What is under way for control is left alone, so that its ID is known to be in use.
                let n = self.any(moment.dice).filter(|n| self.book.is_bulk(*n));
                if let Some(n) = n {
                    if self.asked[&n].ticket.cancel() {
                        self.book.cancel(n);
                    }
                }
            }
            14 => self.service.stop(),
            _ => {}
        }
    }

    fn abandon(&mut self, n: u64) {
        let asked = self.asked.remove(&n);
        match asked.and_then(|asked| asked.floor) {
            Some(_) => self.book.forget_errand(&key_of_get(n)),
            None => self.book.abandon(n),
        }
    }

    fn any(&self, dice: &mut Dice) -> Option<u64> {
        let index = dice.below(self.asked.len() as u64) as usize;
        self.asked.keys().nth(index).copied()
    }

    fn sample(&mut self, moment: &mut Moment<'_>, endpoint: &Endpoint) {
        let n = self.n + 1;
        let request = Sample::new(json!({"n": n}));
        self.send(moment, endpoint, request, Class::Bulk);
    }

    fn batch(&mut self, moment: &mut Moment<'_>, endpoint: &Endpoint) {
        let n = self.n + 1;
        let request = Batch::new([json!({"n": n}), json!({"of": n})]);
        self.send(moment, endpoint, request, Class::Bulk);
    }

    fn send<R>(&mut self, moment: &mut Moment<'_>, endpoint: &Endpoint, request: R, class: Class)
    where
        R: Request<Response = ()> + 'static,
    {
        let resend = pick_resend(moment.dice);
        let mut item = Item::new(class, resend);
        let mut request = request.resend(resend);
        let is_durable = self.has_store && moment.dice.below(2) == 0;
        if is_durable {
            request = request.durable();
        } else {
            if moment.dice.below(6) == 0 {
                let time = Duration::from_millis(moment.dice.below(20_000));
                item.expires = Some(moment.now + time);
                request = request.expires_after(time);
            }
            match moment.dice.below(12) {
                0 => {
                    item.confirm = Confirm::Nothing;
                    request = request.confirm(Confirm::Nothing);
                }
                1 => {
                    item.confirm = Confirm::Acknowledged;
                    request = request.confirm(Confirm::Acknowledged);
                }
                _ => {}
            }
        }
        item.is_droppable |= class == Class::Bulk && self.bounds.drops_oldest;
        self.submit(moment, endpoint, &request, item);
    }

    fn replace(&mut self, moment: &mut Moment<'_>, endpoint: &Endpoint, is_probe: bool) {
        let n = self.n + 1;
        // The platform's log has the keys, not the values.
        let me = self.name.token().as_str();
        let request = ReplaceAll::new(json!({"n": n, "me": me, (format!("n{n}")): true}));
        match is_probe {
            true => {
                let item = Item::new(Class::Control, Resend::AfterLinkLoss);
                self.submit(
                    moment,
                    endpoint,
                    &request.resend(Resend::AfterLinkLoss),
                    item,
                );
            }
            false => self.send(moment, endpoint, request, Class::Control),
        }
    }

    fn submit<R>(&mut self, moment: &mut Moment<'_>, endpoint: &Endpoint, request: &R, item: Item)
    where
        R: Request<Response = ()> + 'static,
    {
        match endpoint.submit(request) {
            Ok(ticket) => {
                self.n += 1;
                moment
                    .notes
                    .push(format!("  {} submits {}: {item:?}", self.name, self.n));
                self.book.add(self.n, item);
                self.keep(self.n, ticket, None, false);
            }
            Err(SubmitError::QueueFull(_) | SubmitError::Closed) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn get(&mut self, endpoint: &Endpoint, is_probe: bool) {
        // The last key tells them apart on the wire.
        let own = key_of_get(self.n + 1);
        let keys = ["me", "n", &own]
            .map(|key| MetadataKey::new(key).unwrap_or_else(|error| panic!("{error}")));
        let request = Get::only(keys).typed::<Map<String, Value>>();
        if let Ok(ticket) = endpoint.submit(&request) {
            self.n += 1;
            self.book.add_errand(&own, Confirm::Answered);
            self.keep(self.n, ticket, Some(self.metadata.len() - 1), is_probe);
        }
    }

    pub(super) fn keep<R>(
        &mut self,
        n: u64,
        ticket: Ticket<R>,
        floor: Option<usize>,
        is_probe: bool,
    ) where
        R: Request + 'static,
        Said: From<R::Response>,
    {
        let ticket = Box::new(ticket);
        self.asked.insert(
            n,
            Asked {
                ticket,
                floor,
                is_probe,
                is_haunted: false,
            },
        );
    }

    /// In calm weather: one request of each kind, again until it is confirmed.
    pub(super) fn probe(&mut self, moment: &mut Moment<'_>, endpoint: &Endpoint) {
        for probe in 0..PROBES {
            let is_asked = self
                .probes
                .iter()
                .any(|(n, kind)| *kind == probe && self.asked.contains_key(n));
            if self.probed[probe] || is_asked {
                continue;
            }
            let before = self.n;
            match probe {
                0 => {
                    let request =
                        Sample::new(json!({"n": before + 1})).resend(Resend::AfterLinkLoss);
                    let mut item = Item::new(Class::Bulk, Resend::AfterLinkLoss);
                    item.is_droppable = self.bounds.drops_oldest;
                    self.submit(moment, endpoint, &request, item);
                }
                1 => self.replace(moment, endpoint, true),
                _ => self.get(endpoint, true),
            }
            if self.n > before {
                self.probes.insert(self.n, probe);
                if let Some(asked) = self.asked.get_mut(&self.n) {
                    asked.is_probe = true;
                }
            }
        }
    }
}

fn pick_resend(dice: &mut Dice) -> Resend {
    match dice.below(3) {
        0 => Resend::Never,
        _ => Resend::AfterLinkLoss,
    }
}
