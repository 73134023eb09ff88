//! Confirmed telemetry end to end: how fast, at what cost, and how long one round trip takes, beside
//! what a user would write today and beside the practical limit.
//!
//! `e2e` compares all clients, each in a process of its own, in turns, and prints tables and a line
//! `NAME VALUE UNIT` for each figure; `e2e latency` compares one request at a time. `e2e CLIENT PORT COUNT IN_FLIGHT QOS` is one of them.

mod compare;
mod ours;
mod raw;
mod report;
mod rumqttc;
mod servers;
mod work;

use kaa_bench::Outcome;
use kaa_proto::QoS;

use work::{Client, Work};

fn main() -> Outcome<()> {
    let mut words = std::env::args().skip(1);
    let client = match words.next() {
        None => return compare::all(compare::RATE),
        Some(word) if word == "latency" => return compare::all(compare::LATENCY),
        Some(client) => client,
    };
    let mut number =
        || -> Outcome<u32> { Ok(words.next().ok_or("e2e: a number is missing")?.parse()?) };
    let work = Work {
        port: number()?.try_into()?,
        count: number()?,
        in_flight: number()?.try_into()?,
        qos: match number()? {
            0 => QoS::AtMostOnce,
            _ => QoS::AtLeastOnce,
        },
    };
    match Client::named(&client).ok_or("e2e: there is no such client")? {
        Client::Tokio => ours::tokio(&work),
        Client::Smol => ours::smol(&work),
        Client::Blocking => ours::blocking(&work),
        Client::Rumqttc => rumqttc::run(&work, false),
        Client::RumqttcNodelay => rumqttc::run(&work, true),
        Client::Raw => raw::run(&work),
    }
}
