//! The device that is killed: it sends samples without end, executes commands and applies
//! configurations, and writes down what it does and what it is told.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once};

use kaa_proto::client::Options;
use kaa_proto::commands::{self, CommandResult};
use kaa_proto::endpoint::Unfinished;
use kaa_proto::names::EndpointName;
use kaa_proto::request::{Failure, Outcome, RequestExt as _, RequestId, Resend};
use kaa_proto::store::{Durability, LogOptions};
use kaa_proto::telemetry::Sample;
use serde_json::{Value, json};

use crate::bindings::{Api, PATIENCE, Waiting};
use crate::hands::{Durable, Hands, Open};
use crate::journal::{Journal, Line};

/// What it says when it is in the middle of traffic.
pub(crate) const IN_TRAFFIC: &str = "in traffic";

/// The status of a command that was interrupted, and so was not executed again.
pub(crate) const INTERRUPTED: u16 = 503;

/// How many samples are on their way at a time.
const WORKERS: usize = 8;
/// The numbers of samples begin with that of their run.
const SAMPLES_OF_A_RUN: u64 = 1_000_000;
/// One of so many samples may be sent only once.
const ONCE: u64 = 3;
/// So small that it is written anew every few runs.
const STORE_BYTES: u64 = 256 * 1024;

/// How a device is started.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) url: String,
    /// Where it has its store and its log.
    pub(crate) folder: PathBuf,
    /// Which run this is.
    pub(crate) run: u64,
    /// What its store survives; `None`: there is none.
    pub(crate) durability: Option<Durability>,
}

impl Order {
    /// As words of a command line, for a device in this binding.
    pub(crate) fn to_words(&self, binding: &str) -> Vec<String> {
        let folder = self.folder.to_str().expect("it is text").into();
        let durability = match self.durability {
            None => "no-store",
            Some(Durability::Sync) => "sync",
            Some(_) => "flush",
        };
        let run = self.run.to_string();
        let (url, durability) = (self.url.clone(), durability.into());
        vec![
            "--device".into(),
            binding.into(),
            url,
            folder,
            run,
            durability,
        ]
    }

    /// The binding and the order, if that is what the words are.
    pub(crate) fn from_words(words: &[String]) -> Option<(&str, Self)> {
        let [first, binding, url, folder, run, durability] = words else {
            return None;
        };
        let durability = match &**durability {
            "flush" => Some(Durability::Flush),
            "sync" => Some(Durability::Sync),
            _ => None,
        };
        let (url, folder, run) = (url.clone(), folder.into(), run.parse().ok()?);
        let order = Self {
            url,
            folder,
            run,
            durability,
        };
        (first == "--device").then_some((&**binding, order))
    }

    /// Where its log is.
    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.join("journal")
    }

    fn options(&self) -> Options {
        let options = Options::new(&self.url).unwrap();
        let Some(durability) = self.durability else {
            return options;
        };
        let log = LogOptions::default().max_bytes(STORE_BYTES).unwrap();
        let options = options.store_in_with(self.folder.join("store"), log);
        options.durability(durability)
    }
}

/// The device.
pub(crate) fn name() -> EndpointName {
    EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap()
}

/// Whether this sample may be sent only once.
pub(crate) const fn is_once(n: u64) -> bool {
    n % ONCE == 0
}

/// The number in a sample.
pub(crate) fn number(sample: &Value) -> Option<u64> {
    sample.get("n").and_then(Value::as_u64)
}

fn sample(n: u64) -> Durable {
    let resend = if is_once(n) {
        Resend::Never
    } else {
        Resend::AfterLinkLoss
    };
    Sample::new(json!({ "n": n })).resend(resend).durable()
}

/// Runs until it is killed, or until its standard input ends and nothing is left to do.
pub(crate) fn run<K: Open>(order: &Order) {
    let journal = Arc::new(Journal::open(&order.journal()));
    journal.write(&Line::Run(order.run));
    let kit = K::new();
    let client = kit.end_of(K::open(order.options())).unwrap();
    let device = client.endpoint(&name());

    let restored = device.restored(ended(&journal));
    device.recover(|left| {
        let unknown = left.unknown.iter().map(unknown);
        unknown.for_each(|line| journal.write(&line));
        let resumed = left.resumed.iter().map(|request| request.id.number());
        resumed.for_each(|id| journal.write(&Line::Resumed(id)));
        journal.write(&Line::Recovered);
    });

    drop(kit.spawn(restored));
    drop(kit.spawn(device.serve(execute(&journal))));
    drop(kit.spawn(device.configure(configured(&journal))));
    let is_over = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&is_over);
    let next = Arc::new(Mutex::new(order.run * SAMPLES_OF_A_RUN));
    let workers = [(); WORKERS].map(|()| {
        kit.spawn(work(
            device.clone(),
            Arc::clone(&journal),
            Arc::clone(&next),
            Arc::clone(&over),
        ))
    });

    // The end of the input says that it is enough.
    let _ = io::stdin().read_to_end(&mut Vec::new());
    is_over.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.recv_timeout(PATIENCE).expect("its last sample ends");
    }
    let account = kit.end_of(client.shutdown(PATIENCE));
    assert_eq!(account.unfinished, []);
    journal.write(&Line::Quiet);
}

fn unknown(request: &Unfinished) -> Line {
    let sample = serde_json::from_slice(&request.payload).unwrap();
    Line::Unknown(number(&sample).expect("it is a sample"))
}

/// Writes down how requests of earlier runs end.
fn ended(journal: &Arc<Journal>) -> impl FnMut(RequestId, &Outcome) + Send + 'static {
    let journal = Arc::clone(journal);
    move |id, outcome| {
        let outcome = outcome.as_ref().map(drop).map_err(ToString::to_string);
        journal.write(&Line::Ended(id.number(), outcome));
    }
}

/// Executes a command, which is to write it down; one that was interrupted is not executed, for it
/// may have been.
fn execute(
    journal: &Arc<Journal>,
) -> impl FnMut(&commands::Command) -> CommandResult + Send + 'static {
    let journal = Arc::clone(journal);
    move |command| {
        let id = command.id().as_i64().expect("it is a number");
        if command.is_interrupted() {
            journal.write(&Line::Interrupted(id));
            return CommandResult::failed(INTERRUPTED, "interrupted");
        }
        journal.write(&Line::Executed(id));
        CommandResult::ok()
    }
}

/// Writes down what is given and what is known to be applied.
fn configured(journal: &Arc<Journal>) -> impl FnMut(&str, bool) + Send + 'static {
    let journal = Arc::clone(journal);
    move |id, is_known| {
        let line = if is_known { Line::Applied } else { Line::Given };
        journal.write(&line(id.into()));
    }
}

/// Sends one sample after the other. The numbers rise in the order in which they are submitted.
async fn work(
    device: impl Hands,
    journal: Arc<Journal>,
    next: Arc<Mutex<u64>>,
    is_over: Arc<AtomicBool>,
) {
    static TRAFFIC: Once = Once::new();
    while !is_over.load(Ordering::Relaxed) {
        let (n, outcome) = submit(&device, &journal, &mut next.lock().unwrap());
        match outcome.await {
            Ok(()) => journal.write(&Line::Confirmed(n)),
            Err(failure) => journal.write(&Line::Failed(n, failure.to_string())),
        }
        TRAFFIC.call_once(|| {
            let mut output = io::stdout();
            let _ = writeln!(output, "{IN_TRAFFIC}").and_then(|()| output.flush());
        });
    }
}

/// Submits the next sample: its number, and what waits for its outcome.
fn submit(
    device: &impl Hands,
    journal: &Arc<Journal>,
    next: &mut u64,
) -> (u64, Waiting<Result<(), Failure>>) {
    *next += 1;
    let (n, stored) = (*next, Arc::clone(journal));
    journal.write(&Line::Intended(n));
    let (id, outcome) = device.send(&sample(n), move |result| {
        stored.write(&match result {
            Ok(()) => Line::Stored(n),
            Err(why) => Line::NotStored(n, why.to_string()),
        });
    });
    journal.write(&Line::Submitted(n, id.number()));
    (n, outcome)
}
