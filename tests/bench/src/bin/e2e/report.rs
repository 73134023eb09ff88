//! Tables for people, and the figures.

use std::io::{self, Write as _};

use kaa_bench::Outcome;
use kaa_bench::spread::{Spread, rounded};

use crate::compare::{Kind, Rounds, Run, Table};
use crate::work::Client;

/// Prints the table; gives the lines of its figures.
pub(crate) fn table(table: Table, rounds: &Rounds) -> Outcome<Vec<String>> {
    let mut out = io::stdout().lock();
    let server = match table.server {
        Kind::Null => "the null platform",
        Kind::Mosquitto => "Mosquitto, with the local platform",
    };
    let Table { in_flight, qos, .. } = table;
    writeln!(
        out,
        "QoS {qos} both ways, {in_flight} in flight, {server}:\n"
    )?;
    let trip = if in_flight == 1 {
        " µs of a round trip |"
    } else {
        ""
    };
    let rule = if in_flight == 1 { "---|" } else { "" };
    writeln!(
        out,
        "| client | messages/s | µs of the processor a message |{trip}"
    )?;
    writeln!(out, "|---|---|---|{rule}")?;
    for client in Client::ALL {
        let (rate, cpu) = (rounds.of(client, rate)?, rounds.of(client, cpu)?);
        let name = client.name();
        write!(out, "| {name} | {rate} | {cpu:} |")?;
        if in_flight == 1 {
            write!(out, " {} |", rounds.of(client, trip_of)?)?;
        }
        writeln!(out)?;
    }
    writeln!(out)?;
    figures(table, rounds)
}

fn figures(table: Table, rounds: &Rounds) -> Outcome<Vec<String>> {
    let server = match table.server {
        Kind::Null => "",
        Kind::Mosquitto => "mosquitto_",
    };
    if table.in_flight == 1 {
        let ours = [Client::Tokio, Client::Smol, Client::Blocking];
        let line = |of: Client| {
            let ratio = rounds.ratio(of, Client::Raw, trip_of)?;
            Ok(line(
                &format!("latency.{}_vs_raw.{server}ratio", of.name()),
                ratio,
            ))
        };
        return ours.map(line).into_iter().collect();
    }
    let e2e = if table.qos == 0 { "e2e.qos0" } else { "e2e" };
    // The faster one of these two, and the cheaper one.
    let peers = [Client::Rumqttc, Client::RumqttcNodelay];
    let [a, b] = peers.map(|peer| rounds.of(peer, rate));
    let fast = if a?.median >= b?.median {
        peers[0]
    } else {
        peers[1]
    };
    let [a, b] = peers.map(|peer| rounds.of(peer, cpu));
    let cheap = if a?.median <= b?.median {
        peers[0]
    } else {
        peers[1]
    };
    Ok([
        (
            "tokio_vs_rumqttc",
            "messages_ratio",
            rounds.ratio(Client::Tokio, fast, rate)?,
        ),
        (
            "tokio_vs_rumqttc",
            "cpu_ratio",
            rounds.ratio(Client::Tokio, cheap, cpu)?,
        ),
        (
            "blocking_vs_raw",
            "messages_ratio",
            rounds.ratio(Client::Blocking, Client::Raw, rate)?,
        ),
        (
            "smol_vs_tokio",
            "messages_ratio",
            rounds.ratio(Client::Smol, Client::Tokio, rate)?,
        ),
    ]
    .map(|(who, what, ratio)| line(&format!("{e2e}.{who}.{server}{what}"), ratio))
    .into())
}

fn line(name: &str, ratio: Spread) -> String {
    format!("{name} {} ratio", rounded(ratio.median))
}

const fn rate(run: &Run) -> f64 {
    run.rate
}

const fn cpu(run: &Run) -> f64 {
    run.cpu
}

const fn trip_of(run: &Run) -> f64 {
    run.trip
}
