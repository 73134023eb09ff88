//! The platform over topics and payloads: who is let in, which extension answers, who gets it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Instant;

use serde_json::Value;

use super::configurations::Assigned;
use super::device::{Device, config_id};
use super::event::{Event, EventKind, Log};
use super::fault::{Fault, FaultKind, Faults};
use super::fixture::Fixture;
use super::limits::Limits;
use super::operator::{OperatorError, Snapshot};
use super::options::{LinkId, PlatformOptions, Service};
use super::others::Clock;
use super::outbox::Outbox;
use super::switches::Switches;
use super::uploads::{UploadRequest, UploadResponse, Uploads, refused};
use crate::names::{AppVersion, CommandType, ConfigName, EndpointName, EndpointToken, Extension};
use crate::qos::QoS;
use crate::rng::Rng;
use crate::timers::Timers;

/// The server side of the Kaa device protocol, level A: topics and payloads in and out.
///
/// Whoever owns the links (an MQTT server, a client of a broker, a test) tells the platform what
/// arrives, and after each such call polls deliveries, links to close, and events until there are
/// none, then sleeps until [`Platform::poll_timeout`]. A host that reaches devices through a
/// broker uses one link for all of them, publishes every delivery, and ignores what it cannot do:
/// closing a device's link.
///
/// Nothing here fails: what a device does wrong is answered and logged.
#[derive(Clone)]
pub struct Platform {
    pub(super) switches: Switches,
    /// Extension instances by name.
    pub(super) extensions: BTreeMap<Extension, Service>,
    /// The versions that exist; `None`: all.
    pub(super) known_versions: Option<BTreeSet<AppVersion>>,
    /// How many endpoints there can be.
    pub(super) max_endpoints: usize,
    pub(super) limits: Limits,
    /// What all endpoints keep, in bytes.
    pub(super) kept: usize,
    /// Endpoints in the order they became known; none is ever removed.
    pub(super) devices: Vec<Device>,
    /// Where to find an endpoint.
    pub(super) index: BTreeMap<EndpointName, usize>,
    /// Open links and the endpoints that spoke there last.
    pub(super) links: BTreeMap<LinkId, BTreeSet<usize>>,
    /// One deadline for each endpoint.
    pub(super) timers: Timers<usize>,
    pub(super) uploads: Uploads,
    pub(super) clock: Clock,
    pub(super) faults: Faults,
    pub(super) outbox: Outbox,
    /// Links that are to be closed.
    pub(super) hang_ups: VecDeque<LinkId>,
    pub(super) log: Log,
    pub(super) rng: Rng,
}

/// A message to publish. `Debug` shows neither the whole token nor the payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Who gets it; each link at most once.
    pub recipients: Recipients,
    /// The topic, with the whole token.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// The highest QoS at which it is sent; a subscription may lower it.
    pub qos: QoS,
}

/// Who gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipients {
    /// This link, whatever it subscribed to.
    pub link: Option<LinkId>,
    /// Every link with a matching subscription.
    pub subscribers: bool,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("recipients", &self.recipients)
            .field("topic", &crate::topic::shortened(&self.topic))
            .field("payload_len", &self.payload.len())
            .field("qos", &self.qos)
            .finish()
    }
}

/// Tokens, uploads and messages are not shown.
impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Platform")
            .field("switches", &self.switches)
            .field("endpoints", &self.devices.len())
            .field("links", &self.links.len())
            .finish_non_exhaustive()
    }
}

impl Platform {
    /// A platform in its initial state. The seed decides IDs, tokens and chance.
    #[must_use]
    pub fn new(options: PlatformOptions, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut platform = Self {
            switches: options.switches,
            extensions: options.extensions,
            known_versions: None,
            max_endpoints: options.max_endpoints,
            limits: options.limits,
            kept: 0,
            devices: Vec::new(),
            index: BTreeMap::new(),
            links: BTreeMap::new(),
            timers: Timers::default(),
            uploads: Uploads::default(),
            clock: Clock::default(),
            faults: Faults::new(Rng::new(rng.next_u64())),
            outbox: Outbox::default(),
            hang_ups: VecDeque::new(),
            log: Log::new(options.limits.events),
            rng,
        };
        if let Some(fixture) = options.fixture {
            platform.load(fixture);
        }
        platform
    }

    /// A link was opened.
    pub fn handle_link_opened(&mut self, now: Instant, link: LinkId) {
        self.links.entry(link).or_default();
        self.note(now, Some(link), None, EventKind::LinkOpened {});
    }

    /// A link is gone, for whatever reason. The endpoints that spoke there last are offline.
    pub fn handle_link_closed(&mut self, now: Instant, link: LinkId) {
        for device in self.links.remove(&link).unwrap_or_default() {
            self.end_session(now, device, "link closed");
        }
        self.note(now, Some(link), None, EventKind::LinkClosed {});
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(index) = self.timers.pop_due(now) {
            let Some(device) = self.devices.get_mut(index) else {
                continue;
            };
            let name = device.name.clone();
            for event in device.commands.expire(now) {
                self.note(now, None, Some(name.clone()), event);
            }
            self.disconnect_if_idle(now, index);
            self.schedule(index);
        }
        self.outbox.handle_timeout(now);
        self.faults.handle_timeout(now);
    }

    /// What to publish next.
    pub fn poll_delivery(&mut self) -> Option<Delivery> {
        loop {
            let parcel = self.outbox.pop()?;
            let recipients = self.recipients(parcel.to);
            if recipients.link.is_some() || recipients.subscribers {
                return Some(Delivery {
                    recipients,
                    topic: parcel.topic,
                    payload: parcel.payload,
                    qos: parcel.qos,
                });
            }
        }
    }

    /// A link to close. Its host reports it closed by [`Platform::handle_link_closed`].
    pub fn poll_hang_up(&mut self) -> Option<LinkId> {
        self.hang_ups.pop_front()
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.log.pop()
    }

    /// When [`Platform::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let all = [
            self.timers.next(),
            self.outbox.poll_timeout(),
            self.faults.poll_timeout(),
        ];
        all.into_iter().flatten().min()
    }

    /// The operator invokes a command. It is pushed if the endpoint is online, and waits.
    ///
    /// # Errors
    /// [`OperatorError::UnknownEndpoint`], or [`OperatorError::TooMany`] commands outstanding.
    pub fn command(
        &mut self,
        now: Instant,
        name: &EndpointName,
        of_type: &CommandType,
        payload: Option<Value>,
    ) -> Result<i64, OperatorError> {
        let index = self.find_or_create(name)?;
        let device = self
            .devices
            .get_mut(index)
            .ok_or(OperatorError::UnknownEndpoint)?;
        let commands = &mut device.commands;
        let (id, push) = commands.invoke(now, of_type.as_str(), payload, &self.switches)?;
        if let Some(push) = push.filter(|_| self.is_reachable(index)) {
            self.push(now, index, Service::Cex, push);
            if let Some(device) = self.devices.get_mut(index) {
                device
                    .commands
                    .handle_pushed(now, of_type.as_str(), id, &self.switches);
            }
            let command_type = of_type.to_string();
            let event = EventKind::CommandDelivered { command_type, id };
            self.note(now, None, Some(name.clone()), event);
        }
        self.schedule(index);
        Ok(id)
    }

    /// The operator assigns a configuration; `None` is the default one. It is pushed if the
    /// endpoint is online. Gives its ID.
    ///
    /// # Errors
    /// [`OperatorError::UnknownEndpoint`], or [`OperatorError::TooMany`] names.
    pub fn set_configuration(
        &mut self,
        now: Instant,
        name: &EndpointName,
        config_name: Option<&ConfigName>,
        config: Value,
    ) -> Result<String, OperatorError> {
        let config_id = config_id(&mut self.rng);
        let slot = config_name.map_or("", ConfigName::as_str);
        let assigned = Assigned {
            config_id: config_id.clone(),
            config,
        };
        self.assign(now, name, Service::Cmx, slot, assigned)?;
        Ok(config_id)
    }

    /// The operator assigns a software version. It is pushed if the endpoint is online.
    ///
    /// # Errors
    /// [`OperatorError::UnknownEndpoint`].
    pub fn set_software(
        &mut self,
        now: Instant,
        name: &EndpointName,
        version: &str,
        specification: Value,
    ) -> Result<(), OperatorError> {
        let assigned = Assigned {
            config_id: version.into(),
            config: specification,
        };
        self.assign(now, name, Service::CmxOta, "", assigned)
    }

    /// The operator closes the link where the endpoint speaks.
    ///
    /// # Errors
    /// [`OperatorError::UnknownEndpoint`] or [`OperatorError::NotConnected`].
    pub fn kick(&mut self, now: Instant, name: &EndpointName) -> Result<LinkId, OperatorError> {
        let index = self.index.get(name).ok_or(OperatorError::UnknownEndpoint)?;
        let speaker = self.devices.get(*index).and_then(|device| device.speaker);
        let link = speaker.ok_or(OperatorError::NotConnected)?;
        self.hang_up(now, link, "operator");
        Ok(link)
    }

    /// The operator sets a fault, or takes faults back.
    pub fn fault(&mut self, now: Instant, fault: Fault) {
        if matches!(fault.kind, FaultKind::BlackHole(_) | FaultKind::Clear) {
            self.note_fault(now, None, None, fault.name(), "");
        }
        self.faults.inject(now, fault);
    }

    /// The state of an endpoint.
    #[must_use]
    pub fn state(&self, name: &EndpointName) -> Option<Snapshot> {
        let &index = self.index.get(name)?;
        Some(self.devices.get(index)?.snapshot(self.uploads.of(index)))
    }

    /// The endpoints of that token, the one that spoke last in front.
    #[must_use]
    pub fn endpoints_of(&self, token: &EndpointToken) -> Vec<EndpointName> {
        let mut found: Vec<&Device> = self
            .devices
            .iter()
            .filter(|d| d.name.token() == token)
            .collect();
        found.sort_by_key(|device| std::cmp::Reverse(device.last_seen));
        found
            .into_iter()
            .map(|device| device.name.clone())
            .collect()
    }

    /// Every endpoint that is known.
    pub fn endpoints(&self) -> impl Iterator<Item = &EndpointName> {
        self.index.keys()
    }

    /// Whether a black hole takes everything of this link (level B stops reading it then).
    #[must_use]
    pub fn is_black_holed(&self, link: LinkId) -> bool {
        // A link may speak for ten thousand, and this is asked at every turn.
        if !self.faults.has_black_hole() {
            return false;
        }
        let devices = self.links.get(&link).into_iter().flatten();
        let names = devices.filter_map(|&index| Some(&self.devices.get(index)?.name));
        self.faults.swallows_link(&names.collect::<Vec<_>>())
    }

    /// Sets the clock that tsx shows. Until then it starts at an arbitrary time.
    pub fn handle_wall_clock(&mut self, now: Instant, unix_millis: u64) {
        self.clock.set(now, unix_millis);
    }

    /// Whether an upload may come under this token.
    #[must_use]
    pub fn upload_token_is_valid(&self, now: Instant, token: &str) -> bool {
        self.uploads.owner(now, token).is_some()
    }

    /// An upload arrived over HTTP. A bad token is 403 whatever else is wrong.
    pub fn upload(&mut self, now: Instant, request: UploadRequest<'_>) -> UploadResponse {
        let owner = request
            .token
            .and_then(|token| self.uploads.owner(now, token));
        let device = owner.and_then(|index| Some((index, self.devices.get(index)?)));
        let Some((index, device)) = device else {
            let (response, event) = refused(403);
            self.note(now, None, None, event);
            return response;
        };
        let version = device.name.app_version().as_str();
        let application = version.rsplit_once('-').map_or(version, |(name, _)| name);
        let (origin, id) = (request.origin, &device.id);
        let folder = format!("{origin}/applications/{application}/endpoints/{id}/binary-data");
        let name = device.name.clone();
        let (response, event) = self.uploads.take(request, index, &folder, &mut self.rng);
        self.note(now, None, Some(name), event);
        response
    }

    /// How open questions are settled. They may be changed at any time.
    pub const fn switches_mut(&mut self) -> &mut Switches {
        &mut self.switches
    }

    /// How open questions are settled.
    #[must_use]
    pub const fn switches(&self) -> &Switches {
        &self.switches
    }

    /// How many events were dropped because nobody polled them.
    #[must_use]
    pub const fn dropped_events(&self) -> u64 {
        self.log.dropped()
    }

    /// Closes a link for a reason that the host found.
    pub(super) fn hang_up(&mut self, now: Instant, link: LinkId, cause: &str) {
        if !self.hang_ups.contains(&link) {
            self.hang_ups.push_back(link);
            let cause = cause.into();
            self.note(now, Some(link), None, EventKind::Kicked { cause });
        }
    }

    pub(super) fn note(
        &mut self,
        at: Instant,
        link: Option<LinkId>,
        endpoint: Option<EndpointName>,
        kind: EventKind,
    ) {
        self.log.push(Event {
            at,
            link,
            endpoint,
            kind,
        });
    }

    fn load(&mut self, fixture: Fixture) {
        self.known_versions = Some(fixture.app_versions.keys().cloned().collect());
        for (version, app) in fixture.app_versions {
            for (token, endpoint) in app.endpoints {
                let name = EndpointName::new(version.clone(), token);
                let switches = &self.switches;
                let device = Device::from_fixture(name, endpoint, switches, &mut self.rng);
                self.kept += device.kept;
                self.index.insert(device.name.clone(), self.devices.len());
                self.devices.push(device);
            }
        }
    }

    fn end_session(&mut self, now: Instant, index: usize, cause: &str) {
        let Some(device) = self.devices.get_mut(index) else {
            return;
        };
        let link = device.speaker.take();
        device.end_session(&self.switches);
        let name = device.name.clone();
        if let Some(devices) = link.and_then(|link| self.links.get_mut(&link)) {
            devices.remove(&index);
        }
        let cause = cause.into();
        self.note(now, link, Some(name), EventKind::Disconnected { cause });
        self.schedule(index);
    }

    fn disconnect_if_idle(&mut self, now: Instant, index: usize) {
        let Some(device) = self.devices.get_mut(index) else {
            return;
        };
        if device.idle_at(&self.switches).is_some_and(|at| at <= now) {
            device.is_idle = true;
            self.end_session(now, index, "idle");
        }
    }

    fn assign(
        &mut self,
        now: Instant,
        name: &EndpointName,
        service: Service,
        slot: &str,
        assigned: Assigned,
    ) -> Result<(), OperatorError> {
        let index = self.find_or_create(name)?;
        let device = self
            .devices
            .get_mut(index)
            .ok_or(OperatorError::UnknownEndpoint)?;
        let configurations = device.configurations_of(service);
        let push = configurations.assign(slot, assigned, &self.switches)?;
        if let Some(push) = push.filter(|_| self.is_reachable(index)) {
            self.push_config(now, index, service, slot, push);
        }
        Ok(())
    }

    pub(super) fn find_or_create(&mut self, name: &EndpointName) -> Result<usize, OperatorError> {
        if let Some(&index) = self.index.get(name) {
            return Ok(index);
        }
        if self.known_versions.is_some() || self.devices.len() >= self.max_endpoints {
            return Err(OperatorError::UnknownEndpoint);
        }
        let device = Device::new(name.clone(), &mut self.rng);
        if self.kept + device.kept > self.limits.endpoints {
            return Err(OperatorError::UnknownEndpoint);
        }
        self.kept += device.kept;
        let index = self.devices.len();
        self.devices.push(device);
        self.index.insert(name.clone(), index);
        Ok(index)
    }

    pub(super) fn schedule(&mut self, index: usize) {
        let deadline = self
            .devices
            .get(index)
            .and_then(|d| d.deadline(&self.switches));
        self.timers.set(index, deadline);
    }
}
