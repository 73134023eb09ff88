//! What a device does with messages that it did not expect.

use super::Record;
use crate::doctor::device::record::{Act, By, Oddity, What, is_sign_of_life};
use crate::doctor::device::wire::Packet;
use crate::doctor::finding::Finding;

pub(super) fn acknowledges(record: Record<'_>) -> Finding {
    let Some((after, id)) = unknown(record) else {
        return not_sent();
    };
    let acknowledged = after
        .heard()
        .find(|(_, _, packet)| **packet == Packet::PubAck(id));
    match acknowledged {
        Some((at, ..)) => Finding::pass("It acknowledges messages of QoS 1.")
            .figure("afterSeconds", (at - after.begin()).as_secs_f64()),
        None => Finding::fail(
            "It did not acknowledge a message of QoS 1.",
            "Answer each with PUBACK, also one that it does not know: what is not acknowledged comes again, \
             or blocks what is behind it.",
        ),
    }
}

pub(super) fn unknown_push(record: Record<'_>) -> Finding {
    let Some((after, _)) = unknown(record) else {
        return not_sent();
    };
    survived(after, "a push that nobody asked for").unwrap_or_else(|| {
        match after
            .0
            .iter()
            .any(|e| matches!(e.what, What::Closed(_, By::Device)))
        {
            true => Finding::fail(
                "It closed its link over a push that nobody asked for.",
                "Ignore messages on topics that it does not know.",
            ),
            false => Finding::pass("It ignores a push that nobody asked for."),
        }
    })
}

pub(super) fn odd_packets(record: Record<'_>) -> Finding {
    let was_sent = |oddity| record.from(|act| *act == Act::Pushes(oddity));
    let (Some(large), Some(malformed)) = (was_sent(Oddity::Oversized), was_sent(Oddity::Malformed))
    else {
        return not_sent();
    };
    let large = large.until(|act| *act == Act::Pushes(Oddity::Malformed));
    if let Some(found) = survived(large, "a message of a megabyte") {
        return found;
    }
    if let Some(found) = survived(malformed, "bytes that are no MQTT") {
        return found;
    }
    let left = malformed
        .0
        .iter()
        .any(|e| matches!(e.what, What::Closed(_, By::Device)));
    match left {
        true => Finding::pass("It takes a message of a megabyte or leaves over it, leaves over bytes that are no MQTT, and comes back."),
        false => Finding::pass("It lives on after a message of a megabyte and bytes that are no MQTT.")
            .advising("Better to close the link over bytes that are no MQTT (MQTT-4.8.0-1): nothing behind them can be trusted."),
    }
}

/// Why it did not live on after that, if it did not.
fn survived(after: Record<'_>, what: &str) -> Option<Finding> {
    if after.has_exited() {
        return Some(Finding::fail(
            format!("The program ended over {what}."),
            "Ignore it, or close the link and dial again.",
        ));
    }
    let spoke = after.heard().any(|(_, _, packet)| is_sign_of_life(packet));
    match spoke {
        true => None,
        false => Some(Finding::fail(
            format!("It said nothing any more after {what}."),
            "Ignore it, or close the link and dial again; or give it more time with --timeout, if it is always that quiet.",
        )),
    }
}

fn unknown(record: Record<'_>) -> Option<(Record<'_>, u16)> {
    let id = record.0.iter().find_map(|entry| match entry.what {
        What::Did(Act::Pushes(Oddity::Unknown(id))) => Some(id),
        _ => None,
    })?;
    let after = record.from(|act| matches!(act, Act::Pushes(Oddity::Unknown(_))))?;
    Some((after, id))
}

fn not_sent() -> Finding {
    Finding::not_judged(
        "None of its links stayed open long enough.",
        "Let it keep its link: commands and configurations come by it.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::device::judge::testing::{Story, good};
    use crate::doctor::finding::Verdict::{Fail, NotJudged, Pass};

    fn pushed() -> Story {
        Story::default()
            .connected(0.0, 1, good())
            .did(1.0, Act::Pushes(Oddity::Unknown(60_000)))
    }

    #[test]
    fn a_push_is_acknowledged_and_ignored() {
        let good = pushed()
            .heard(1.1, 1, Packet::PubAck(60_000))
            .heard(2.0, 1, Packet::PingReq)
            .ends(3.0);
        assert_eq!(acknowledges(Record(&good)).verdict, Pass);
        assert_eq!(unknown_push(Record(&good)).verdict, Pass);
        let other = pushed().heard(1.1, 1, Packet::PubAck(1)).ends(3.0);
        assert_eq!(acknowledges(Record(&other)).verdict, Fail);
        let leaves = pushed()
            .closed(1.1, 1, By::Device)
            .heard(2.0, 2, Packet::Connect(super::super::testing::good()))
            .ends(3.0);
        let found = unknown_push(Record(&leaves));
        assert!(found.why.contains("closed its link"), "{found:?}");
        let nothing = Story::default().ends(3.0);
        assert_eq!(acknowledges(Record(&nothing)).verdict, NotJudged);
    }

    #[test]
    fn odd_packets_are_lived_through() {
        let large = || {
            Story::default()
                .connected(0.0, 1, good())
                .did(1.0, Act::Pushes(Oddity::Oversized))
        };
        let malformed = || {
            large()
                .heard(2.0, 1, Packet::PingReq)
                .did(3.0, Act::Pushes(Oddity::Malformed))
        };
        let back = malformed()
            .closed(3.1, 1, By::Device)
            .connected(4.0, 2, good());
        let found = odd_packets(Record(&back.ends(5.0)));
        assert!(found.why.contains("comes back"), "{found:?}");
        let ended = malformed().at(3.1, What::Exited).ends(5.0);
        assert_eq!(odd_packets(Record(&ended)).verdict, Fail);
        let mute = malformed().ends(5.0);
        assert!(odd_packets(Record(&mute)).why.contains("said nothing"));
        let at_once = large()
            .at(1.1, What::Exited)
            .did(3.0, Act::Pushes(Oddity::Malformed))
            .ends(5.0);
        assert!(odd_packets(Record(&at_once)).why.contains("megabyte"));
    }
}
