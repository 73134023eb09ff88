//! A device as programs are: it observes, asks and reports, and reads little of what comes back.

use std::cell::RefCell;
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

use kaa_proto::client::{
    Client, Commands, Configurations, Driver, Endpoint, EndpointEvents, LinkEvents, Options,
    SoftwareUpdates, Ticket, Turn,
};
use kaa_proto::commands::{CommandResult, Pending};
use kaa_proto::connection::{MemoryBudget, Statistics};
use kaa_proto::endpoint::EndpointOptions;
use kaa_proto::metadata::{Get, Keys, Merge};
use kaa_proto::names::{CommandType, ConfigName, EndpointName};
use kaa_proto::platform::{PlatformOptions, PlatformServer};
use kaa_proto::request::{Class, Request};
use kaa_proto::telemetry::Sample;
use kaa_proto::{config, upload};
use kaa_tests::clock::Clock;
use serde_json::json;

use crate::attacks::{Attack, Manners};
use crate::meter::{Meter, aside};
use crate::peer::Line;

const SECOND: Duration = Duration::from_secs(1);

/// How large a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// As the options are.
    Default,
    /// As on a device with a few hundred KiB.
    Small,
    /// As where messages of megabytes are wanted.
    Large,
}

/// The largest message that a small device takes.
const SMALL_PACKET: usize = 4 * 1_024;

/// The largest message that a large device takes.
const LARGE_PACKET: usize = 2 * 1_024 * 1_024;

impl Size {
    pub(crate) fn options(self) -> Options {
        let options = Options::new("mqtt://localhost").unwrap();
        match self {
            Self::Default => return options,
            Self::Large => return options.connection(|all| all.max_packet_in(LARGE_PACKET)),
            Self::Small => {}
        }
        let count = |count| NonZeroUsize::new(count).unwrap();
        let endpoint = EndpointOptions::default()
            .max_in_flight(NonZeroU16::new(8).unwrap())
            .queue(Class::Control, count(32), count(8 * 1_024))
            .queue(Class::Bulk, count(64), count(8 * 1_024))
            .max_commands(count(16))
            .max_unread_commands(count(8))
            .max_unread_bytes(count(SMALL_PACKET));
        options.connection(|options| {
            options
                .max_packet_in(SMALL_PACKET)
                .max_packet_out(SMALL_PACKET)
                .high_water(2 * 1_024)
                .window(16)
                .max_queued(128, 16 * 1_024)
                .endpoint(endpoint)
        })
    }

    /// The largest message that is taken.
    pub(crate) fn packet(self) -> usize {
        match self {
            Self::Default => 256 * 1_024,
            Self::Small => SMALL_PACKET,
            Self::Large => LARGE_PACKET,
        }
    }

    /// What the device may hold: it has two endpoints, observes four states, waits for five answers
    /// with a content and has two listeners.
    pub(crate) fn budget(self) -> usize {
        let budget: MemoryBudget = self.options().memory_budget();
        budget.link
            + 2 * budget.endpoint
            + 4 * budget.observed
            + 5 * budget.answer
            + 2 * budget.listener
            + 20 * budget.request
    }
}

/// The device, what it holds, and the meter that counts all of it.
pub(crate) struct Device {
    pub(crate) meter: Meter,
    clock: Arc<Mutex<Clock>>,
    driver: Option<Driver>,
    line: Option<Line>,
    turn: Turn,
    /// How often the driver was turned.
    pub(crate) turns: usize,
    program: Option<Program>,
    size: Size,
    /// Those of impostors, until they are cut.
    lines: Vec<Line>,
}

/// What the application holds.
pub(crate) struct Program {
    client: Client,
    endpoint: Endpoint,
    /// More endpoints, and what each of them observes.
    _others: Vec<(Endpoint, Commands, Configurations)>,
    commands: Commands,
    _configurations: (Configurations, Configurations),
    _software: SoftwareUpdates,
    _listeners: (LinkEvents, EndpointEvents),
    tickets: Vec<Box<dyn Waits>>,
}

/// A ticket of any request.
trait Waits {
    /// Whether it has ended; `Some(false)` if the platform did not do it.
    fn ended(&mut self) -> Option<bool>;
}

impl<R: Request> Waits for Ticket<R> {
    fn ended(&mut self) -> Option<bool> {
        self.try_outcome().map(|outcome| outcome.is_ok())
    }
}

fn other(client: &Client, number: usize) -> (Endpoint, Commands, Configurations) {
    let endpoint = client.endpoint(&name(&format!("other-{number}"))).unwrap();
    let commands = endpoint.commands_of("light").unwrap();
    let configurations = endpoint.configurations().unwrap();
    (endpoint, commands, configurations)
}

fn name(token: &str) -> EndpointName {
    EndpointName::parse("v", token).unwrap()
}

impl Program {
    fn new(client: Client, others: usize) -> Self {
        let endpoint = client.endpoint(&name("tok")).unwrap();
        let net = ConfigName::new("net").unwrap();
        let types = ["reboot", "light"].map(|name| CommandType::new(name).unwrap());
        Self {
            commands: endpoint.commands(types).unwrap(),
            _configurations: (
                endpoint.configurations().unwrap(),
                endpoint.named_configurations(net).unwrap(),
            ),
            _software: endpoint.software_updates("1.0").unwrap(),
            _listeners: (client.link_events(), endpoint.events()),
            _others: (0..others).map(|number| other(&client, number)).collect(),
            tickets: Vec::new(),
            endpoint,
            client,
        }
    }

    /// Takes the outcomes that there are, and forgets their requests.
    fn settle(&mut self) {
        self.tickets.retain_mut(|ticket| ticket.ended().is_none());
    }

    fn ask<R: Request + 'static>(&mut self, request: &R) {
        let ticket = self.endpoint.submit(request).unwrap();
        self.tickets.push(Box::new(ticket));
    }

    fn ask_all(&mut self) {
        for number in 0..8 {
            self.ask(&Sample::new(json!({ "number": number })));
        }
        self.ask(&Get::all());
        self.ask(&Keys);
        self.ask(&config::Get::new());
        self.ask(&Pending::new(CommandType::new("blink").unwrap()));
        self.ask(&upload::GetToken);
        self.ask(&Merge::new(json!({"name": "device"})));
    }
}

impl Device {
    pub(crate) fn new(size: Size) -> Self {
        Self::with(size, size.options(), 1)
    }

    /// A gateway with so many endpoints more, all of which observe at once on each link.
    pub(crate) fn gateway(others: usize) -> Self {
        let options = Size::Default.options();
        let options = options.connection(|options| options.observe_rate(NonZeroU32::MAX));
        Self::with(Size::Default, options, others)
    }

    fn with(size: Size, options: Options, others: usize) -> Self {
        let clock = Arc::new(Mutex::new(Clock::new()));
        let time = Arc::clone(&clock);
        let mut meter = Meter::default();
        let (driver, program) = meter.run(|| {
            let now = move || time.lock().unwrap().now();
            let (client, driver) = Client::new(options, 1, 2, now).unwrap();
            let mut program = Program::new(client, others);
            program.ask_all();
            (driver, program)
        });
        Self {
            meter,
            clock,
            driver: Some(driver),
            line: None,
            turn: Turn::Again,
            turns: 0,
            program: Some(program),
            size,
            lines: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.lock().unwrap().now()
    }

    /// Turns the driver until there is nothing to do now; a dial goes to `host`.
    pub(crate) fn run(&mut self, mut host: impl FnMut(Instant) -> Option<Line>) {
        loop {
            let before = self.line.as_ref().map(Line::moved);
            let (driver, line) = (self.driver.as_mut().unwrap(), &mut self.line);
            self.turn = self.meter.run(|| driver.turn(Waker::noop(), line));
            self.turns += 1;
            match self.turn {
                Turn::Again => {}
                Turn::Dial { link, .. } if self.line.is_none() => {
                    self.line = host(self.now());
                    if self.line.is_none() {
                        return;
                    }
                    let driver = self.driver.as_mut().unwrap();
                    self.meter.run(|| driver.handle_connected(link));
                }
                // What was written may have been answered.
                Turn::Wait { .. } if self.line.as_ref().map(Line::moved) > before => {}
                Turn::Dial { .. } | Turn::Wait { .. } | Turn::Finished => return,
            }
        }
    }

    /// Lets time pass, from one deadline to the next, a second at most.
    pub(crate) fn pass(&mut self, time: Duration, mut host: impl FnMut(Instant) -> Option<Line>) {
        let end = self.now() + time;
        while self.now() < end {
            let until = match self.turn {
                Turn::Dial { until, .. } | Turn::Wait { until } => until,
                Turn::Again | Turn::Finished => None,
            };
            let next = until.unwrap_or(end).min(end).min(self.now() + SECOND);
            self.clock.lock().unwrap().advance_to(next);
            if let Some(line) = &mut self.line {
                line.tick(next);
            }
            self.run(&mut host);
        }
    }

    /// Meets an impostor, until its script is played or the link is over; gives how many bytes it sent.
    pub(crate) fn meet(&mut self, attack: Attack) -> usize {
        let met = RefCell::new(Vec::new());
        let packet = self.size.packet();
        let host = |now| {
            let mut met = met.borrow_mut();
            let line =
                (met.len() < attack.links).then(|| Line::to_impostor(now, attack, packet))?;
            met.push(line.clone());
            Some(line)
        };
        let program = self.program.as_ref().unwrap();
        self.meter.run(|| program.client.dial_now());
        self.run(host);
        while met.borrow().is_empty() {
            self.pass(SECOND, host);
        }
        self.pass(attack.lasts, host);
        let met = met.into_inner();
        let (mut pieces, mut bytes) = (0, 0);
        for line in &met {
            (pieces, bytes) = (pieces + line.pieces(), bytes + line.given());
        }
        let is_patient = attack.pace < usize::MAX || attack.manners == Manners::Deaf;
        let is_over = met.iter().all(Line::is_done) || self.line.is_none() || is_patient;
        assert!(is_over, "{} goes on after {pieces} pieces", attack.name);
        // What the driver drops is not its own.
        self.lines.extend(met);
        bytes
    }

    pub(crate) fn statistics(&self) -> Statistics {
        self.program.as_ref().unwrap().client.statistics()
    }

    /// What is held when the outcomes that there are were taken.
    pub(crate) fn settled(&mut self) -> usize {
        let program = self.program.as_mut().unwrap();
        self.meter.run(|| program.settle());
        self.meter.live()
    }

    /// How many filters the impostor was asked for.
    pub(crate) fn filters(&self) -> usize {
        self.lines.iter().map(Line::filters).sum()
    }

    /// The link is gone.
    pub(crate) fn cut(&mut self) {
        self.line = None;
        self.run(|_| None);
        self.lines.clear();
    }

    /// Goes on with a platform that does what it should, until everything that was accepted has
    /// ended and a command was done.
    pub(crate) fn recover(&mut self, what: &str) {
        let program = self.program.as_mut().unwrap();
        self.meter
            .run(|| program.ask(&Merge::new(json!({"after": "the attack"}))));
        let mut server = Some(PlatformServer::new(PlatformOptions::default(), 3));
        let reboot = CommandType::new("reboot").unwrap();
        let now = self.now();
        server.as_mut().unwrap().operate(now, |platform| {
            platform.switches_mut().command_ttl = Duration::from_secs(3_600);
            platform.command(now, &name("tok"), &reboot, None).unwrap();
        });
        let mut has_rebooted = false;
        let mut outcomes = Vec::new();
        for _ in 0..60 {
            self.pass(60 * SECOND, |now| {
                let server = server.take()?;
                Some(Line::to_platform(now, server))
            });
            let Program {
                commands, tickets, ..
            } = self.program.as_mut().unwrap();
            let (rebooted, ended) = self.meter.run(|| {
                let mut rebooted = false;
                while let Some(command) = commands.try_next() {
                    rebooted |= command.command_type().as_str() == "reboot"
                        && command.id().as_i64() == Some(1);
                    drop(command.respond(CommandResult::ok()));
                }
                let ended: Vec<_> = tickets.iter_mut().map(|ticket| ticket.ended()).collect();
                (rebooted, ended)
            });
            has_rebooted |= rebooted;
            outcomes.resize(ended.len(), None);
            for (known, ended) in outcomes.iter_mut().zip(&ended) {
                *known = known.or(*ended);
            }
            self.meter.run(|| drop(ended));
            if has_rebooted && outcomes.iter().all(Option::is_some) {
                break;
            }
        }
        assert!(has_rebooted, "{what}: no command is done any more");
        assert!(outcomes.iter().all(Option::is_some), "{what}: {outcomes:?}");
        assert_eq!(
            outcomes.last(),
            Some(&Some(true)),
            "{what}: a request is lost"
        );
    }

    /// Ends the program and the client; gives what is still held.
    pub(crate) fn end(mut self) -> usize {
        let (driver, program, line) = (self.driver.take(), self.program.take(), self.line.take());
        aside(|| drop(line));
        self.meter.run(|| drop((driver, program)));
        self.meter.live()
    }
}
