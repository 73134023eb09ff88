//! All that a scenario holds while it is played.

use std::collections::BTreeMap;
use std::fmt::Debug;

use kaa_proto::connection::Event;
use kaa_proto::names::EndpointName;
use kaa_proto::{config, endpoint, software};
use serde_json::{Value, json};

use super::expect::holds;
use super::op::parse;
use super::{
    ClientHand, CommandHand, EndpointHand, Held, Reader, Setup, TicketHand, Waiting, World,
};

/// The endpoint whose steps are not under [`Step::As`](super::Step::As).
pub(super) const DEVICE: &str = "JTjdbENzHh";

pub(super) struct Scene<'w, W> {
    pub(super) world: &'w mut W,
    pub(super) setup: Setup,
    /// `None` after the handles were dropped.
    pub(super) client: Option<Box<dyn ClientHand>>,
    pub(super) links: Option<Box<dyn Reader<Event>>>,
    /// Whose step it is.
    pub(super) token: &'static str,
    pub(super) devices: BTreeMap<&'static str, Device>,
    pub(super) tickets: BTreeMap<&'static str, Vec<Box<dyn TicketHand>>>,
    pub(super) readers: BTreeMap<&'static str, Read>,
    pub(super) commands: BTreeMap<&'static str, Box<dyn CommandHand>>,
    pub(super) held: Held,
    /// What the platform told, as JSON; whose it is, and whether a step has seen it.
    pub(super) log: Vec<Told>,
}

pub(super) struct Device {
    pub(super) hand: Box<dyn EndpointHand>,
    pub(super) events: Box<dyn Reader<endpoint::Event>>,
}

pub(super) enum Read {
    Commands(Box<dyn Reader<Box<dyn CommandHand>>>),
    Configuration(Box<dyn Reader<config::Answer>>),
    Software(Box<dyn Reader<software::Answer>>),
}

pub(super) struct Told {
    token: Option<String>,
    event: Value,
    is_seen: bool,
}

impl<'w, W: World> Scene<'w, W> {
    pub(super) fn new(world: &'w mut W, setup: Setup, client: Box<dyn ClientHand>) -> Self {
        Self {
            world,
            setup,
            links: Some(client.link_events()),
            client: Some(client),
            token: DEVICE,
            devices: BTreeMap::new(),
            tickets: BTreeMap::new(),
            readers: BTreeMap::new(),
            commands: BTreeMap::new(),
            held: Held::default(),
            log: Vec::new(),
        }
    }

    pub(super) fn client(&self) -> Result<&dyn ClientHand, String> {
        self.client
            .as_deref()
            .ok_or_else(|| "the handles were dropped".into())
    }

    pub(super) fn name(&self) -> Result<EndpointName, String> {
        EndpointName::parse("demo-v1", self.token).map_err(|error| error.to_string())
    }

    /// The endpoint whose step it is; it is added if it is not there.
    pub(super) fn device(&mut self) -> Result<&mut Device, String> {
        if !self.devices.contains_key(self.token) {
            let (name, options) = (self.name()?, self.setup.endpoint());
            let hand = self.client()?.endpoint(&name, options).map_err(shown)?;
            let events = hand.events();
            self.devices.insert(self.token, Device { hand, events });
        }
        self.devices
            .get_mut(self.token)
            .ok_or_else(|| "it was just added".into())
    }

    /// Waits for something that `wait` makes out of the scene's parts.
    pub(super) async fn until<T: Send>(world: &mut W, wait: Waiting<'_, T>) -> Result<T, String> {
        let done = world.until(wait).await;
        done.ok_or_else(|| "it did not happen in time".into())
    }

    /// Waits until `look` finds what it looks for; else says what it found instead.
    pub(super) async fn eventually<T>(
        &mut self,
        mut look: impl FnMut(&mut Self) -> Result<T, String> + Send,
    ) -> Result<T, String>
    where
        T: Send,
    {
        for nth in 0.. {
            self.world.settle();
            self.listen();
            let found = look(self);
            if found.is_ok() || !self.world.nap(nth).await {
                return found;
            }
        }
        Err("there is no end of numbers".into())
    }

    /// Takes note of what the platform tells.
    pub(super) fn listen(&mut self) {
        while let Some(event) = self.world.poll_event() {
            let token = event.endpoint.map(|name| name.token().as_str().to_owned());
            let event = serde_json::to_value(&event.kind).unwrap_or_default();
            self.log.push(Told {
                token,
                event,
                is_seen: false,
            });
        }
    }

    /// What the platform told of the endpoint whose step it is, of this kind and with these
    /// fields.
    pub(super) fn told(&mut self, event: &str, fields: &str) -> impl Iterator<Item = &mut Told> {
        let (fields, kind, token) = (parse(fields), json!(event), self.token);
        self.log.iter_mut().filter(move |told| {
            let is_ours = told.token.as_ref().is_none_or(|of| of == token);
            is_ours && told.event["event"] == kind && holds(&told.event, &fields)
        })
    }

    /// Something that a step held under a name.
    pub(super) fn held<'a, T>(
        all: &'a mut BTreeMap<&'static str, T>,
        name: &str,
    ) -> Result<&'a mut T, String> {
        all.get_mut(name)
            .ok_or_else(|| format!("nothing is held as {name:?}"))
    }

    /// The last that was told, for the report of a failure.
    pub(super) fn tail(&self) -> String {
        let told = self
            .log
            .iter()
            .rev()
            .take(20)
            .map(|told| format!("\n    {}", told.event));
        told.collect::<Vec<_>>().into_iter().rev().collect()
    }
}

impl Told {
    pub(super) fn is(&self, kind: &str) -> bool {
        self.event["event"] == kind
    }

    /// The number in its data.
    pub(super) fn number(&self) -> Option<u64> {
        self.event["data"]["n"].as_u64()
    }

    /// Each is seen by one step.
    pub(super) fn see(&mut self) -> bool {
        !std::mem::replace(&mut self.is_seen, true)
    }
}

pub(super) fn shown(error: impl Debug) -> String {
    format!("{error:?}")
}
