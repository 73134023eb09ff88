//! Plays a scenario, step by step.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "each function picks the steps of its kind"
)]

use std::time::Duration;

use kaa_proto::commands::CommandResult;
use kaa_proto::connection::Event;
use kaa_proto::mqtt::Login;
use kaa_proto::names::{CommandType, ConfigName};
use kaa_proto::platform::Fault;
use kaa_proto::request::RequestError;
use kaa_proto::{config, software};

use super::expect::{begins, end, ends, holds};
use super::op::parse;
use super::scene::{DEVICE, Device, Read, Scene, shown};
use super::{
    Given, Held, Item, Op, Scenario, Setup, Source, Step, Verdict, Waiting, World, counters,
};

/// How long [`Step::Ready`] waits; longer than the patience of any world.
const LONG: Duration = Duration::from_secs(3_600);

/// Plays a scenario.
///
/// # Errors
/// The step that went wrong, and how.
pub async fn play<W: World>(
    scenario: &Scenario,
    setup: Setup,
    world: &mut W,
) -> Result<(), String> {
    let client = world.connect().await?;
    let mut scene = Scene::new(world, setup, client);
    let mut steps = Vec::new();
    flatten(DEVICE, scenario.steps, &mut steps);
    for (index, (token, step)) in steps.into_iter().enumerate() {
        scene.token = token;
        let done = scene.step(&step).await;
        scene.world.settle();
        scene.listen();
        done.map_err(|error| format!("step {}: {step:?}\n  {error}{}", index + 1, scene.tail()))?;
    }
    scene.accounts_balance()?;
    let complaints =
        ["breach", "refused"].map(|kind| scene.log.iter().filter(|told| told.is(kind)).count());
    match complaints {
        [0, 0] => Ok(()),
        _ if setup.has(Given::Complaints) => Ok(()),
        _ => Err(format!("the platform complained{}", scene.tail())),
    }
}

/// Whose steps come in which order.
fn flatten(token: &'static str, steps: &'static [Step], flat: &mut Vec<(&'static str, Step)>) {
    for step in steps {
        match step {
            Step::As(token, steps) => flatten(token, steps, flat),
            Step::Repeat(times, steps) => (0..*times).for_each(|_| flatten(token, steps, flat)),
            step => flat.push((token, *step)),
        }
    }
}

impl<W: World> Scene<'_, W> {
    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::As(..) | Step::Repeat(..) => Err("it is not flat".into()),
            Step::Submit(name, op) => self.burst(name, 1, &op),
            Step::Burst(name, count, op) => self.burst(name, count, &op),
            Step::Send(op) => {
                self.with_device(|device, held| device.hand.send(&op, held).map_err(shown))
            }
            Step::Request(op, expected) => {
                self.device()?;
                let device = Self::held(&mut self.devices, self.token)?;
                let wait = device.hand.request(&op, &self.held);
                let found = Self::until(self.world, wait).await?;
                if let Ok(answer) = &found {
                    self.held.commands.extend(answer.commands.clone());
                }
                end(&expected, &found)
            }
            Step::Abandon(op) => {
                self.with_device(|device, held| device.hand.abandon(&op, held).map_err(shown))
            }
            Step::Refuse(op, reason) => {
                self.with_device(|device, held| match device.hand.submit(&op, held, 0) {
                    Err(error) if begins(&error, reason) => Ok(()),
                    Err(error) => Err(shown(error)),
                    Ok(_) => Err("it was taken".into()),
                })
            }
            Step::Expect(name, expected) => {
                let tickets = self.tickets.remove(name).ok_or("there is no such ticket")?;
                let mut found = Vec::new();
                for mut ticket in tickets {
                    let outcome = Self::until(self.world, ticket.outcome()).await?;
                    let outcome = outcome.ok_or("it did not end")?;
                    if ticket.try_outcome().is_some() {
                        return Err("it ended twice".into());
                    }
                    found.push(outcome.map_err(RequestError::Failed));
                }
                ends(&expected, &found)
            }
            Step::Open(name) => {
                let tickets = Self::held(&mut self.tickets, name)?;
                match tickets.iter_mut().find_map(|ticket| ticket.try_outcome()) {
                    None => Ok(()),
                    Some(outcome) => Err(format!("one has ended: {outcome:?}")),
                }
            }
            Step::Cancel(name) => {
                let tickets = Self::held(&mut self.tickets, name)?;
                let all = tickets.iter().all(|ticket| ticket.cancel());
                all.then_some(()).ok_or_else(|| "one had ended".into())
            }
            Step::Forget(name) => self
                .tickets
                .remove(name)
                .map(|_| ())
                .ok_or_else(|| "there is none".into()),
            Step::Read(name, source) => self.read(name, source),
            Step::Stop(name) => self
                .readers
                .remove(name)
                .map(|_| ())
                .ok_or_else(|| "there is none".into()),
            Step::Next(name, item) => self.next(name, item).await,
            Step::Nothing(name) => {
                let shown = match Self::held(&mut self.readers, name)? {
                    Read::Commands(reader) => reader.try_next().map(|c| shown(c.command())),
                    Read::Configuration(reader) => reader.try_next().map(shown),
                    Read::Software(reader) => reader.try_next().map(shown),
                };
                shown.map_or(Ok(()), |item| Err(format!("there is {item}")))
            }
            Step::Respond(name, verdict, ticket) => {
                let command = self
                    .commands
                    .remove(name)
                    .ok_or("there is no such command")?;
                let taken = command.respond(result(verdict)?).map_err(shown)?;
                self.tickets.entry(ticket).or_default().push(taken);
                Ok(())
            }
            Step::Adopt(name) => {
                let command = self.held.commands.pop().ok_or("no command is held")?;
                let command = self.device()?.hand.adopt(command);
                self.commands.insert(name, command);
                Ok(())
            }
            Step::Release(name) => self
                .commands
                .remove(name)
                .map(|_| ())
                .ok_or_else(|| "there is none".into()),
            _ => self.step_outside(step).await,
        }
    }

    /// The steps of the client and of those around it.
    async fn step_outside(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Ready => {
                let client = self.client.as_deref().ok_or("the handles were dropped")?;
                Self::until(self.world, client.ready(LONG))
                    .await?
                    .map_err(shown)
            }
            Step::NotReady(cause) => {
                let client = self.client.as_deref().ok_or("the handles were dropped")?;
                match Self::until(self.world, client.ready(LONG)).await? {
                    Err(error) if begins(&error, cause) => Ok(()),
                    other => Err(shown(other)),
                }
            }
            Step::Lost(causes) => {
                let is_so = |event: &Event| match event {
                    Event::LinkLost { error, .. } => {
                        causes.iter().any(|cause| begins(error, cause))
                    }
                    _ => false,
                };
                self.link_tells(is_so).await
            }
            Step::LinkTells(words) => self.link_tells(|event| begins(event, words)).await,
            Step::Tells(words) => {
                self.device()?;
                let device = Self::held(&mut self.devices, self.token)?;
                let mut told = Vec::new();
                loop {
                    let next = Self::until(self.world, device.events.next()).await;
                    match next.map_err(|error| format!("{error}; but {told:?}"))? {
                        Some(event) if begins(&event, words) => return Ok(()),
                        Some(event) => told.push(event),
                        None => return Err(format!("it ended; before that {told:?}")),
                    }
                }
            }
            Step::Count(name, expected) => {
                self.device()?;
                self.eventually(move |scene| {
                    let counters = scene.device()?.hand.statistics().ok_or("it was removed")?;
                    let found = counters::of_endpoint(&counters, name);
                    (found == expected)
                        .then_some(())
                        .ok_or_else(|| format!("it is {found}"))
                })
                .await
            }
            Step::LinkCount(name, low, high) => {
                let found = self
                    .eventually(move |scene| {
                        let counters = scene.client()?.statistics();
                        let found = counters::of_connection(&counters, name);
                        (found >= low)
                            .then_some(found)
                            .ok_or_else(|| format!("it is {found}"))
                    })
                    .await?;
                (found <= high)
                    .then_some(())
                    .ok_or_else(|| format!("it is {found}"))
            }
            Step::DialNow => self.client().map(|client| client.dial_now()),
            Step::Login(user, password) => {
                let login = Login::new(user).with_password(password.as_bytes());
                self.client()?.set_login(login).map_err(shown)
            }
            Step::Remove(removal) => {
                let name = self.name()?;
                let was_there = self.client()?.remove_endpoint(&name, removal);
                was_there
                    .then_some(())
                    .ok_or_else(|| "it was not there".into())
            }
            Step::Add => {
                self.devices.remove(self.token);
                self.device().map(|_| ())
            }
            Step::Shutdown(seconds, outcomes, unfinished) => {
                let client = self.client.as_deref().ok_or("the handles were dropped")?;
                let wait = client.shutdown(Duration::from_secs(seconds));
                let account = Self::until(self.world, wait).await?;
                let is_so =
                    |(name, n): &(&str, u64)| counters::of_account(&account.outcomes, name) == *n;
                let is_so = outcomes.iter().all(is_so) && account.unfinished.len() == unfinished;
                is_so.then_some(()).ok_or_else(|| shown(account))
            }
            Step::DropHandles => {
                self.tickets.clear();
                self.readers.clear();
                self.commands.clear();
                self.devices.clear();
                (self.links, self.client) = (None, None);
                Ok(())
            }
            Step::EndDriver => {
                self.world.end_driver().await;
                Ok(())
            }
            Step::Panic(op) => {
                let device = self.device()?.hand.again();
                let task: Waiting<'static, ()> = Box::pin(async move {
                    let _commands = device.commands(&["reboot"]);
                    let _ticket = device.submit(&op, &Held::default(), 0);
                    panic!("this panic is part of a scenario");
                });
                let panicked = self.world.run(task).await;
                panicked
                    .then_some(())
                    .ok_or_else(|| "nobody noticed".into())
            }
            _ => self.step_beyond(step).await,
        }
    }

    /// The steps of the platform, the network and time.
    async fn step_beyond(&mut self, step: &Step) -> Result<(), String> {
        let name = self.name()?;
        match *step {
            Step::Invoke(of_type, payload) => {
                let of_type = CommandType::new(of_type).map_err(shown)?;
                let payload = Some(parse(payload)).filter(|payload| !payload.is_null());
                self.operate(|platform, now| {
                    platform
                        .command(now, &name, &of_type, payload.clone())
                        .map(|_| ())
                })
            }
            Step::Configure(configuration, content) => {
                let of = Some(configuration).filter(|name| !name.is_empty());
                let of = of.map(ConfigName::new).transpose().map_err(shown)?;
                let content = parse(content);
                self.operate(|platform, now| {
                    let set = platform.set_configuration(now, &name, of.as_ref(), content.clone());
                    set.map(|_| ())
                })
            }
            Step::Offer(version, specification) => {
                let specification = parse(specification);
                self.operate(|platform, now| {
                    platform.set_software(now, &name, version, specification.clone())
                })
            }
            Step::Fault(words) => {
                let words: Vec<_> = words.split_whitespace().collect();
                let fault = Fault::parse(&words).map_err(shown)?;
                self.operate(|platform, now| {
                    platform.fault(now, fault.clone());
                    Ok::<_, String>(())
                })
            }
            Step::Switch(switch, value) => {
                self.operate(|platform, _| platform.switches_mut().set(switch, value))
            }
            Step::Kick => self.operate(|platform, now| platform.kick(now, &name).map(|_| ())),
            Step::Sees(event, fields) => {
                self.eventually(move |scene| {
                    let seen = scene.told(event, fields).any(|told| told.see());
                    seen.then_some(()).ok_or_else(|| "it did not happen".into())
                })
                .await
            }
            Step::SawTimes(event, fields, times) => {
                let found = self
                    .eventually(move |scene| {
                        let found = scene.told(event, fields).count();
                        (found >= times)
                            .then_some(found)
                            .ok_or_else(|| format!("{found} times"))
                    })
                    .await?;
                (found == times)
                    .then_some(())
                    .ok_or_else(|| format!("{found} times"))
            }
            Step::Numbered(event, count) => {
                let numbers = self
                    .eventually(move |scene| {
                        let all = scene.told(event, "{}");
                        let all: Vec<_> = all.map(|told| told.number()).collect();
                        let is_so = all.len() >= count;
                        is_so.then_some(all).ok_or_else(|| "there are fewer".into())
                    })
                    .await?;
                let is_so = numbers.iter().copied().eq((0..count as u64).map(Some));
                is_so.then_some(()).ok_or_else(|| format!("{numbers:?}"))
            }
            Step::State(pattern) => {
                self.eventually(move |scene| {
                    let mut state = None;
                    scene
                        .world
                        .operate(&mut |platform, _| state = platform.state(&name));
                    let state =
                        serde_json::to_value(state.ok_or("it is not known")?).map_err(shown)?;
                    let is_so = holds(&state, &parse(pattern));
                    is_so.then_some(()).ok_or_else(|| state.to_string())
                })
                .await
            }
            Step::Net(network) => {
                self.world.settle();
                self.listen();
                self.world.change(network)
            }
            Step::Pass(seconds) => self.world.pass(Duration::from_secs(seconds)),
            _ => Err("nobody knows this step".into()),
        }
    }

    fn with_device(
        &mut self,
        act: impl FnOnce(&Device, &Held) -> Result<(), String>,
    ) -> Result<(), String> {
        self.device()?;
        act(Self::held(&mut self.devices, self.token)?, &self.held)
    }

    fn burst(&mut self, name: &'static str, count: usize, op: &Op) -> Result<(), String> {
        self.device()?;
        let device = Self::held(&mut self.devices, self.token)?;
        let tickets = self.tickets.entry(name).or_default();
        for number in 0..count {
            tickets.push(device.hand.submit(op, &self.held, number).map_err(shown)?);
        }
        Ok(())
    }

    fn read(&mut self, name: &'static str, source: Source) -> Result<(), String> {
        let device = &self.device()?.hand;
        let reader = match source {
            Source::Commands(types) => Read::Commands(device.commands(types).map_err(shown)?),
            Source::Configuration(name) => {
                Read::Configuration(device.configurations(name).map_err(shown)?)
            }
            Source::Software(runs) => Read::Software(device.software(runs).map_err(shown)?),
        };
        self.readers.insert(name, reader);
        Ok(())
    }

    async fn next(&mut self, name: &str, item: Item) -> Result<(), String> {
        match Self::held(&mut self.readers, name)? {
            Read::Commands(reader) => {
                let next = Self::until(self.world, reader.next()).await?;
                match (item, next) {
                    (Item::Command(name, payload), Some(command)) => {
                        let found = command.command().value().unwrap_or_default();
                        self.commands.insert(name, command);
                        let is_so = found == parse(payload);
                        is_so.then_some(()).ok_or_else(|| found.to_string())
                    }
                    (Item::Ended, None) => Ok(()),
                    (_, next) => Err(shown(next.map(|command| command.command().clone()))),
                }
            }
            Read::Configuration(reader) => {
                let next = Self::until(self.world, reader.next()).await?;
                match (item, next) {
                    (Item::Assigned(name, content), Some(config::Answer::Assigned(found))) => {
                        let is_so = found.value() == Ok(parse(content));
                        self.held.configurations.insert(name, found.clone());
                        is_so.then_some(()).ok_or_else(|| found.json().into())
                    }
                    (Item::Unassigned, Some(config::Answer::Unassigned)) | (Item::Ended, None) => {
                        Ok(())
                    }
                    (_, next) => Err(shown(next)),
                }
            }
            Read::Software(reader) => {
                let next = Self::until(self.world, reader.next()).await?;
                match (item, next) {
                    (Item::Version(name, version), Some(software::Answer::Assigned(found))) => {
                        let is_so = found.version() == version;
                        self.held.updates.insert(name, found.clone());
                        is_so.then_some(()).ok_or_else(|| found.version().into())
                    }
                    (Item::Ended, None) => Ok(()),
                    (_, next) => Err(shown(next)),
                }
            }
        }
    }

    /// Waits for an event of the link; those before it are skipped.
    async fn link_tells(&mut self, is_it: impl Fn(&Event) -> bool + Send) -> Result<(), String> {
        let links = self.links.as_mut().ok_or("the handles were dropped")?;
        let mut told = Vec::new();
        loop {
            let next = Self::until(self.world, links.next()).await;
            match next.map_err(|error| format!("{error}; but {told:?}"))? {
                Some(event) if is_it(&event) => return Ok(()),
                Some(event) => told.push(event),
                None => return Err(format!("it ended; before that {told:?}")),
            }
        }
    }

    fn operate<E: std::fmt::Debug>(
        &mut self,
        mut verb: impl FnMut(&mut kaa_proto::platform::Platform, std::time::Instant) -> Result<(), E>,
    ) -> Result<(), String> {
        let mut done = Ok(());
        self.world
            .operate(&mut |platform, now| done = verb(platform, now));
        done.map_err(shown)
    }

    /// Not more requests have ended than were taken: none has ended twice.
    fn accounts_balance(&self) -> Result<(), String> {
        for device in self.devices.values() {
            if let Some(counters) = device.hand.statistics() {
                if counters.ended() > counters.submitted {
                    return Err(format!("more ended than were taken: {counters:?}"));
                }
            }
        }
        Ok(())
    }
}

fn result(verdict: Verdict) -> Result<CommandResult, String> {
    match verdict {
        Verdict::Done => Ok(CommandResult::ok()),
        Verdict::With(payload) => CommandResult::ok()
            .with_payload(&parse(payload))
            .map_err(shown),
        Verdict::Failed(status, reason) => Ok(CommandResult::failed(status, reason)),
    }
}
