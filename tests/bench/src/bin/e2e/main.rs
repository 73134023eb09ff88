//! Confirmed telemetry end to end: how fast, at what cost, and how long one round trip takes, beside
//! what a user would write today and beside the practical limit.
//!
//! `e2e ROUNDS` compares all clients, each in a process of its own, in turns, and prints tables and a
//! line `NAME VALUE UNIT` for each figure. `e2e CLIENT PORT COUNT IN_FLIGHT QOS` is one of them.

mod ours;
mod raw;
mod rumqttc;
mod work;

use kaa_bench::Outcome;
use kaa_proto::QoS;

use work::Work;

fn main() -> Outcome<()> {
    let mut words = std::env::args().skip(1);
    let client = words.next().ok_or("e2e: a client is missing")?;
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
    match &*client {
        "tokio" => ours::tokio(&work),
        "smol" => ours::smol(&work),
        "blocking" => ours::blocking(&work),
        "rumqttc" => rumqttc::run(&work, false),
        "rumqttc-nodelay" => rumqttc::run(&work, true),
        "raw" => raw::run(&work),
        _ => Err("e2e: there is no such client".into()),
    }
}
