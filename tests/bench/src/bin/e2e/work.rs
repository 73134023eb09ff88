//! What every client does: samples that the platform confirms, so many of them unconfirmed at a time.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use kaa_bench::Outcome;
use kaa_proto::QoS;
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// 64 bytes.
pub(crate) const SAMPLE: &str =
    r#"{"ts":1795341600000,"temperature":21.5,"humidity":40,"door":"n"}"#;
pub(crate) const APP_VERSION: &str = "demo-v1";
pub(crate) const TOKEN: &str = "JTjdbENzHh";
/// Of the topics of samples: the request ID follows.
pub(crate) const TOPIC: &str = "kp1/demo-v1/dcx/JTjdbENzHh/json/";
/// Of the answers.
pub(crate) const FILTERS: [&str; 2] = [
    "kp1/demo-v1/dcx/JTjdbENzHh/json/+/status",
    "kp1/demo-v1/dcx/JTjdbENzHh/json/+/error",
];
/// The largest request ID; then they begin again.
pub(crate) const MAX_ID: u32 = 99_999;
/// How long anything may take that takes no time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// Where the platform or its broker listens, on 127.0.0.1.
    pub(crate) port: u16,
    pub(crate) count: u32,
    pub(crate) in_flight: u16,
    pub(crate) qos: QoS,
}

/// Takes the time from when the client is ready.
pub(crate) struct Meter {
    start: Instant,
    cpu: Duration,
    trips: Vec<Duration>,
}

impl Meter {
    pub(crate) fn start(work: &Work) -> Outcome<Self> {
        let trips = Vec::with_capacity(usize::try_from(work.count)?);
        Ok(Self {
            cpu: cpu()?,
            trips,
            start: Instant::now(),
        })
    }

    /// What was sent then is confirmed.
    pub(crate) fn confirmed(&mut self, since: Instant) {
        self.trips.push(since.elapsed());
    }

    /// Prints how many were confirmed, the seconds, those of the processor, and the median of the
    /// trips in microseconds.
    pub(crate) fn finish(mut self) -> Outcome<()> {
        let seconds = self.start.elapsed().as_secs_f64();
        let cpu = (cpu()? - self.cpu).as_secs_f64();
        self.trips.sort();
        let trip = self
            .trips
            .get(self.trips.len() / 2)
            .ok_or("nothing was sent")?;
        let trip = trip.as_secs_f64() * 1e6;
        Ok(writeln!(
            io::stdout(),
            "{} {seconds} {cpu} {trip}",
            self.trips.len()
        )?)
    }
}

/// What the process took of the processor so far, for itself and in the system.
fn cpu() -> Outcome<Duration> {
    let usage: Usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let time = |value: TimeVal| -> Outcome<Duration> {
        let seconds = Duration::from_secs(value.tv_sec().try_into()?);
        Ok(seconds + Duration::from_micros(value.tv_usec().try_into()?))
    };
    Ok(time(usage.user_time())? + time(usage.system_time())?)
}

/// What is on its way, the oldest first, and since when.
pub(crate) struct Window<T> {
    size: usize,
    sent: VecDeque<(Instant, T)>,
}

impl<T> Window<T> {
    pub(crate) fn new(work: &Work) -> Self {
        let size = usize::from(work.in_flight);
        let sent = VecDeque::with_capacity(size);
        Self { size, sent }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.sent.len() >= self.size
    }

    pub(crate) fn push(&mut self, since: Instant, sent: T) {
        self.sent.push_back((since, sent));
    }

    pub(crate) fn pop(&mut self) -> Option<(Instant, T)> {
        self.sent.pop_front()
    }
}
