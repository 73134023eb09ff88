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

/// Who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Client {
    Tokio,
    Smol,
    Blocking,
    /// As it comes.
    Rumqttc,
    /// With TCP_NODELAY.
    RumqttcNodelay,
    Raw,
}

impl Client {
    pub(crate) const ALL: [Self; 6] = [
        Self::Tokio,
        Self::Smol,
        Self::Blocking,
        Self::Rumqttc,
        Self::RumqttcNodelay,
        Self::Raw,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::Smol => "smol",
            Self::Blocking => "blocking",
            Self::Rumqttc => "rumqttc",
            Self::RumqttcNodelay => "rumqttc-nodelay",
            Self::Raw => "raw",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|client| client.name() == name)
    }
}

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
    confirmed: usize,
    /// Looked at one by one only where there is one at a time: reading the clock is dear beside a
    /// message in a batch.
    trips: Option<Vec<Duration>>,
}

impl Meter {
    pub(crate) fn start(work: &Work) -> Outcome<Self> {
        let trips = (work.in_flight == 1).then(Vec::new);
        Ok(Self {
            cpu: cpu()?,
            confirmed: 0,
            trips,
            start: Instant::now(),
        })
    }

    /// Something is sent.
    pub(crate) fn sent(&self) -> Option<Instant> {
        self.trips.as_ref().map(|_| Instant::now())
    }

    /// What was sent then is confirmed.
    pub(crate) fn confirmed(&mut self, sent: Option<Instant>) {
        self.confirmed += 1;
        if let (Some(trips), Some(sent)) = (&mut self.trips, sent) {
            trips.push(sent.elapsed());
        }
    }

    /// Prints how many were confirmed, the seconds, those of the processor, and the median of the
    /// trips in microseconds.
    pub(crate) fn finish(self) -> Outcome<()> {
        let seconds = self.start.elapsed().as_secs_f64();
        let cpu = (cpu()? - self.cpu).as_secs_f64();
        let mut trips = self.trips.unwrap_or_default();
        trips.sort();
        let trip = trips.get(trips.len() / 2).copied().unwrap_or_default();
        let (confirmed, trip) = (self.confirmed, trip.as_secs_f64() * 1e6);
        Ok(writeln!(
            io::stdout(),
            "{confirmed} {seconds} {cpu} {trip}"
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
    sent: VecDeque<(Option<Instant>, T)>,
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

    pub(crate) fn push(&mut self, since: Option<Instant>, sent: T) {
        self.sent.push_back((since, sent));
    }

    pub(crate) fn pop(&mut self) -> Option<(Option<Instant>, T)> {
        self.sent.pop_front()
    }
}
