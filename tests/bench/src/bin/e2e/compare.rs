//! All clients in turns, round by round: what disturbs one disturbs the others too.

use std::env;
use std::io::{self, Write as _};
use std::process::Command;

use kaa_bench::Outcome;
use kaa_bench::spread::Spread;

use crate::report;
use crate::servers::Server;
use crate::work::Client;

/// Rounds that count, after one that does not.
const ROUNDS: usize = 9;
/// How long a run is to take, about.
const SECONDS: f64 = 0.5;
/// What is compared: how many are unconfirmed at a time, and the QoS.
pub(crate) type Tables = &'static [(u16, u8)];
pub(crate) const RATE: Tables = &[(64, 1), (64, 0)];
pub(crate) const LATENCY: Tables = &[(1, 1)];

/// One table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) server: Kind,
    pub(crate) in_flight: u16,
    /// Both ways.
    pub(crate) qos: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Mosquitto,
}

/// What one run came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Messages a second.
    pub(crate) rate: f64,
    /// Microseconds of the processor for a message.
    pub(crate) cpu: f64,
    /// The median time from submit to confirmed, in microseconds.
    pub(crate) trip: f64,
}

/// The rounds of each client, in the order of [`Client::ALL`].
pub(crate) struct Rounds(Vec<Vec<Run>>);

impl Rounds {
    /// One figure of one client.
    pub(crate) fn of(&self, client: Client, figure: fn(&Run) -> f64) -> Outcome<Spread> {
        Spread::of(self.runs(client).iter().map(figure))
    }

    /// One client against another, round by round.
    pub(crate) fn ratio(&self, of: Client, to: Client, figure: fn(&Run) -> f64) -> Outcome<Spread> {
        let pairs = self.runs(of).iter().zip(self.runs(to));
        Spread::of(pairs.map(|(of, to)| figure(of) / figure(to)))
    }

    fn runs(&self, client: Client) -> &[Run] {
        let place = Client::ALL.iter().position(|of| *of == client);
        place
            .and_then(|place| self.0.get(place))
            .map_or(&[], Vec::as_slice)
    }
}

pub(crate) fn all(tables: Tables) -> Outcome<()> {
    let mut lines = Vec::new();
    for server in [Kind::Mosquitto, Kind::Null] {
        let running = match server {
            Kind::Null => Server::null()?,
            Kind::Mosquitto => Server::mosquitto()?,
        };
        for &(in_flight, qos) in tables {
            let table = Table {
                server,
                in_flight,
                qos,
            };
            let rounds = compare(table, running.port)?;
            lines.extend(report::table(table, &rounds)?);
        }
    }
    let mut out = io::stdout().lock();
    Ok(lines.iter().try_for_each(|line| writeln!(out, "{line}"))?)
}

fn compare(table: Table, port: u16) -> Outcome<Rounds> {
    let mut counts = Vec::new();
    for client in Client::ALL {
        let first = run(client, port, 100, table)?.rate;
        let better = run(client, port, as_many(first * SECONDS / 8.0), table)?.rate;
        counts.push(as_many(better * SECONDS));
    }
    let mut rounds = vec![Vec::new(); counts.len()];
    for _ in 0..ROUNDS {
        for ((client, count), runs) in Client::ALL.into_iter().zip(&counts).zip(&mut rounds) {
            runs.push(run(client, port, *count, table)?);
        }
    }
    Ok(Rounds(rounds))
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a few thousand more or less are all the same"
)]
fn as_many(messages: f64) -> u32 {
    messages.clamp(50.0, 10_000_000.0) as u32
}

/// One client in a process of its own.
fn run(client: Client, port: u16, count: u32, table: Table) -> Outcome<Run> {
    let numbers = [port.into(), count, table.in_flight.into(), table.qos.into()];
    let output = Command::new(env::current_exe()?)
        .arg(client.name())
        .args(numbers.map(|number| number.to_string()))
        .stderr(std::process::Stdio::inherit())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = text
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let &[messages, seconds, cpu, trip] = &numbers[..] else {
        return Err(format!("{} failed", client.name()).into());
    };
    Ok(Run {
        rate: messages / seconds,
        cpu: cpu * 1e6 / messages,
        trip,
    })
}
