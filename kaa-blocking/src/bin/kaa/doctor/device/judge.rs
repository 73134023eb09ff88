//! The judges: from what was seen of a device to a verdict. Nothing here waits or reads a clock.

mod answers;
mod commands;
mod dials;
mod links;
mod queue;
mod silence;
mod survival;
#[cfg(test)]
mod testing;

use std::time::Duration;

pub(crate) use self::dials::pauses;
pub(crate) use self::silence::{watch_dead_link, watch_keep_alive};
use super::case::Case;
use super::record::Record;
use crate::doctor::finding::Finding;

/// Judges a case by the record of its scene.
pub(crate) fn judge(case: Case, record: Record<'_>) -> Finding {
    if record.connects().next().is_none() && case != Case::Connects {
        return Finding::not_judged("It did not connect.", "See the case connects.");
    }
    match case {
        Case::Connects => links::connects(record),
        Case::Subscribes => answers::subscribes(record),
        Case::RequestIds => answers::request_ids(record),
        Case::PrefixAnswer => answers::prefix(record),
        Case::LateAnswer => answers::late(record),
        Case::Acknowledges => survival::acknowledges(record),
        Case::UnknownPush => survival::unknown_push(record),
        Case::OddPackets => survival::odd_packets(record),
        Case::Reconnects => links::reconnects(record),
        Case::Backoff => dials::backoff(record),
        Case::Refused => dials::refused(record),
        Case::KeepsQueue => queue::keeps(record),
        Case::KeepAlive => silence::keep_alive(record),
        Case::DeadLink => silence::dead_link(record),
        Case::CommandOnce => commands::once(record),
        Case::ResultAgain => commands::result_again(record),
        Case::Goodbye => links::goodbye(record),
    }
}

/// `1.5 s`.
fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        long if long >= 10.0 => format!("{long:.0} s"),
        short => format!("{short:.1} s"),
    }
}

/// The same for some.
fn list(times: &[Duration]) -> String {
    let texts: Vec<_> = times.iter().map(|time| seconds(*time)).collect();
    texts.join(", ")
}
