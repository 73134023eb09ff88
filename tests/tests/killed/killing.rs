//! Starts the device, keeps it busy, kills it and starts it again, and writes down what the platform
//! sees.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};
use std::{env, fmt, io, thread};

use kaa_blocking::platform::{LocalOptions, LocalPlatform};
use kaa_proto::names::CommandType;
use kaa_proto::platform::EventKind;
use kaa_proto::store::Durability;
use kaa_tests::dice::Dice;
use kaa_tests::mosquitto::Mosquitto;
use kaa_tests::scratch::Scratch;
use serde_json::json;

use crate::bindings::PATIENCE;
use crate::device::{IN_TRAFFIC, Order, name};
use crate::journal::{self, Line};

/// A device is killed within so much time after it is in traffic.
const LIFE: u64 = 50_000;
/// One of so many kills comes sooner, within so much time after its start, and is not counted.
const EARLY: u64 = 10;
const START: u64 = 20_000;
/// One of so many runs has a store that survives a power cut.
const SYNC: u64 = 5;
/// After so many kills there is another configuration.
const ASSIGNED_FOR: usize = 50;
/// How many commands there are at a time that were not answered.
const OUTSTANDING: usize = 12;
/// No command may run out of time.
const COMMAND_TTL: Duration = Duration::from_secs(24 * 3_600);
/// How often is looked whether there is something to do.
const PAUSE: Duration = Duration::from_millis(1);

/// Which device is killed, and how often.
pub(crate) struct Plan {
    binding: &'static str,
    kills: usize,
    pub(crate) has_store: bool,
}

impl Plan {
    pub(crate) const fn new(binding: &'static str, kills: usize) -> Self {
        Self {
            binding,
            kills,
            has_store: true,
        }
    }

    /// One that cannot pass.
    pub(crate) const fn without_store(binding: &'static str, kills: usize) -> Self {
        Self {
            has_store: false,
            ..Self::new(binding, kills)
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = if self.has_store {
            ""
        } else {
            " without a store"
        };
        write!(f, "{}{store}, {} kills", self.binding, self.kills)
    }
}

/// What both sides have written down.
pub(crate) struct Evidence {
    /// The device's log.
    pub(crate) journal: Vec<Line>,
    /// The platform's log, with the run of the device during which it was written.
    pub(crate) events: Vec<(u64, EventKind)>,
    /// The commands that were invoked.
    pub(crate) commands: Vec<i64>,
    /// The configurations that were assigned, the latest last.
    pub(crate) configurations: Vec<String>,
}

/// What is written down while the device is killed.
#[derive(Default)]
struct Log {
    events: Vec<(Instant, EventKind)>,
    commands: Vec<i64>,
    /// How many commands were answered.
    answered: usize,
}

/// A device, killed when this is dropped.
struct Device {
    process: Child,
    started: Instant,
}

impl Device {
    fn start(plan: &Plan, order: &Order) -> io::Result<Self> {
        let started = Instant::now();
        let process = Command::new(env::current_exe()?)
            .args(order.to_words(plan.binding))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self { process, started })
    }

    /// Waits until it is in traffic.
    fn wait_for_traffic(&mut self) -> Result<(), String> {
        let output = self.process.stdout.take().ok_or("it has no output")?;
        let (sender, line) = mpsc::channel();
        // Ends with the process at the latest.
        thread::spawn(move || sender.send(BufReader::new(output).lines().next()));
        match line.recv_timeout(PATIENCE) {
            Ok(Some(Ok(line))) if line == IN_TRAFFIC => Ok(()),
            said => Err(format!("it is not in traffic: {said:?}")),
        }
    }

    /// Lets it end by itself.
    fn finish(mut self) -> Result<(), String> {
        drop(self.process.stdin.take());
        let status = self.process.wait().map_err(text)?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("its last run failed: {status}")),
        }
    }
}

/// SIGKILL.
impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Plays it: what both sides have written down.
///
/// # Errors
/// Why it could not be played to its end.
pub(crate) fn play(plan: &Plan) -> Result<Evidence, String> {
    let broker = Mosquitto::start().map_err(text)?;
    let mut options = LocalOptions::default();
    options.platform.switches.command_ttl = COMMAND_TTL;
    let platform = LocalPlatform::attach(&broker.url(), None, options).map_err(text)?;
    platform.ready(PATIENCE).map_err(text)?;
    let files = Scratch::new().map_err(text)?;
    let order = Order {
        url: broker.url(),
        folder: files.path().into(),
        run: 0,
        durability: None,
    };

    let (log, is_over) = (Mutex::new(Log::default()), AtomicBool::new(false));
    let (runs, configurations) = thread::scope(|scope| {
        scope.spawn(|| read_events(&platform, &log, &is_over));
        let played = kill(plan, &order, &platform, &log);
        is_over.store(true, Ordering::Relaxed);
        played
    })?;
    if platform.dropped_news() > 0 {
        return Err("the platform's log has gaps".into());
    }

    let log = log.into_inner().map_err(text)?;
    let run_at = |at: Instant| runs.partition_point(|started| *started <= at) as u64;
    let events = log.events.into_iter();
    Ok(Evidence {
        journal: journal::read(&order.journal())?,
        events: events.map(|(at, kind)| (run_at(at), kind)).collect(),
        commands: log.commands,
        configurations,
    })
}

/// When each run began, and what was assigned.
type Played = Result<(Vec<Instant>, Vec<String>), String>;

/// Kills the device as often as planned, and lets it finish.
fn kill(plan: &Plan, order: &Order, platform: &LocalPlatform, log: &Mutex<Log>) -> Played {
    let mut dice = Dice::new(plan.kills as u64);
    let (mut runs, mut configurations) = (Vec::new(), Vec::new());
    let mut kills = 0;
    let next = |runs: &mut Vec<Instant>, dice: &mut Dice| {
        let mut order = order.clone();
        order.run = runs.len() as u64 + 1;
        let durability = match dice.below(SYNC) {
            0 => Durability::Sync,
            _ => Durability::Flush,
        };
        order.durability = plan.has_store.then_some(durability);
        let device = Device::start(plan, &order).map_err(text)?;
        runs.push(device.started);
        Ok::<_, String>(device)
    };
    while kills < plan.kills {
        if configurations.len() * ASSIGNED_FOR <= kills {
            let configuration = json!({ "kills": kills });
            let id = platform.set_configuration(&name(), None, configuration);
            configurations.push(id.map_err(text)?);
        }
        let mut device = next(&mut runs, &mut dice)?;
        let is_early = dice.below(EARLY) == 0;
        let life = if is_early { START } else { LIFE };
        if !is_early {
            device
                .wait_for_traffic()
                .map_err(|error| format!("after {kills} kills: {error}"))?;
            kills += 1;
        }
        invoke(platform, log, Duration::from_micros(dice.below(life)))?;
    }

    let mut device = next(&mut runs, &mut dice)?;
    device.wait_for_traffic()?;
    let deadline = Instant::now() + PATIENCE;
    while !is_quiet(platform, configurations.last()) {
        if Instant::now() > deadline {
            return Err(format!("it is not done: {:?}", platform.state(&name())));
        }
        thread::sleep(PAUSE);
    }
    device.finish()?;
    Ok((runs, configurations))
}

/// Invokes commands as they are answered, for so long.
fn invoke(platform: &LocalPlatform, log: &Mutex<Log>, time: Duration) -> Result<(), String> {
    let reboot = CommandType::new("reboot").map_err(text)?;
    let until = Instant::now() + time;
    loop {
        let mut log = log.lock().map_err(text)?;
        if log.commands.len() < log.answered + OUTSTANDING {
            let id = platform.command(&name(), &reboot, None).map_err(text)?;
            log.commands.push(id);
        }
        drop(log);
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(PAUSE));
    }
}

/// Whether all commands are answered, and the last configuration is applied.
fn is_quiet(platform: &LocalPlatform, configuration: Option<&String>) -> bool {
    let Some(state) = platform.state(&name()) else {
        return false;
    };
    let reported = state
        .configurations
        .get("")
        .and_then(|c| c.reported.as_ref());
    let reported = reported.map(|report| &*report.config_id);
    state.commands.is_empty() && reported == configuration.map(|id| &**id)
}

/// Takes the platform's log until it is over, and all of it is taken.
fn read_events(platform: &LocalPlatform, log: &Mutex<Log>, is_over: &AtomicBool) {
    loop {
        let was_over = is_over.load(Ordering::Relaxed);
        let Some(event) = platform.next_event(Duration::from_millis(20)) else {
            if was_over {
                return;
            }
            continue;
        };
        let Ok(mut log) = log.lock() else { return };
        if let EventKind::CommandResult { known: true, .. } = event.kind {
            log.answered += 1;
        }
        log.events.push((event.at, event.kind));
    }
}

fn text(error: impl fmt::Display) -> String {
    error.to_string()
}
