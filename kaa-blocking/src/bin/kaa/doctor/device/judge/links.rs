//! How a device comes, comes back and goes.

use std::collections::BTreeSet;

use super::seconds;
use crate::doctor::device::record::{Act, By, Record, What};
use crate::doctor::device::wire::Packet;
use crate::doctor::finding::Finding;

/// The longest interval that still notices a dead link in decent time, in seconds.
const MAX_KEEP_ALIVE: u16 = 1_200;

pub(super) fn connects(record: Record<'_>) -> Finding {
    let Some((at, link, connect)) = record.connects().next() else {
        return match record.0.iter().any(|e| matches!(e.what, What::Opened(_))) {
            true => Finding::fail(
                "It dialed, and sent no CONNECT.",
                "Let it speak plain MQTT 3.1.1 at the address of KAA_URL, without TLS.",
            ),
            false => Finding::fail(
                "It did not dial.",
                "Let it read the address from KAA_URL, or start it yourself and point it there.",
            ),
        };
    };
    let first = record.heard().find(|(_, of, _)| *of == link);
    if !matches!(first, Some((_, _, Packet::Connect(_)))) {
        return Finding::fail(
            "Its first packet was not CONNECT.",
            "Send CONNECT first (MQTT-3.1.0-1).",
        );
    }
    if connect.level != 4 {
        return Finding::fail(
            format!(
                "It speaks protocol level {}, not MQTT 3.1.1.",
                connect.level
            ),
            "Ask the client library for MQTT 3.1.1 (level 4), which is what the platform takes for sure.",
        );
    }
    if !connect.is_clean {
        return Finding::fail(
            "It asks for a session that the platform keeps (clean session 0).",
            "Connect with a clean session: the platform keeps none, so count on nothing of it.",
        );
    }
    if connect.has_will {
        return Finding::fail(
            "It leaves a will.",
            "Leave it out: the platform knows by the connection itself who is online.",
        );
    }
    match connect.keep_alive {
        0 => {
            return Finding::fail(
                "Its keep alive is off.",
                "Set one, 60 s say: without it a dead link is never noticed.",
            );
        }
        long if long > MAX_KEEP_ALIVE => {
            return Finding::fail(
                format!("Its keep alive is {long} s."),
                "Set a shorter one, 60 s say: a dead link is noticed that late.",
            );
        }
        _ => {}
    }
    if !record.welcomes().any(|(_, of)| of == link) {
        return Finding::fail(
            "It went before CONNACK came.",
            "Give the platform some seconds to answer.",
        );
    }
    let keep_alive = connect.keep_alive;
    Finding::pass(format!(
        "It connects by MQTT 3.1.1 with a clean session and a keep alive of {keep_alive} s."
    ))
    .figure("keepAliveSeconds", keep_alive)
    .figure("afterSeconds", at.as_secs_f64())
}

pub(super) fn reconnects(record: Record<'_>) -> Finding {
    let before = record.until(|act| *act == Act::Cut);
    let Some(after) = record.from(|act| *act == Act::Cut) else {
        return Finding::not_judged("It did not come so far.", "See the case connects.");
    };
    if after.has_exited() {
        return Finding::fail(
            "The program ended when its link was cut.",
            "Dial again instead, for as long as it takes.",
        );
    }
    let Some((at, _)) = after.welcomes().next() else {
        return Finding::fail(
            format!(
                "It did not come back within {} of a cut.",
                seconds(after.end() - after.begin())
            ),
            "Dial again when the link is lost, for as long as it takes.",
        );
    };
    let missing: Vec<_> = filters(before)
        .difference(&filters(after))
        .copied()
        .collect();
    if let Some(filter) = missing.first() {
        let filter = kaa_proto::topic::shortened(filter);
        return Finding::fail(
            format!("It does not subscribe to {filter} on the new link."),
            "Subscribe anew on every link: the platform forgets a clean session.",
        );
    }
    let spoke = before.published().next().is_some();
    if spoke && after.published().next().is_none() {
        return Finding::fail(
            "It came back and said nothing.",
            "Publish something for each endpoint on each link, a command request say: before that \
             the platform does not know where the endpoint is, and pushes nothing.",
        );
    }
    let after = at - after.begin();
    Finding::pass(format!("It was back {} after a cut.", seconds(after)))
        .figure("afterSeconds", after.as_secs_f64())
}

pub(super) fn goodbye(record: Record<'_>) -> Finding {
    let Some(after) = record.from(|act| *act == Act::Terminates) else {
        return Finding::not_judged(
            "There is no program to end.",
            "Give the doctor the program after --, so that he can send SIGTERM.",
        );
    };
    let says = |(_, _, packet): (_, _, &Packet)| *packet == Packet::Disconnect;
    if after.heard().any(says) {
        let lasted = after.end() - after.begin();
        return Finding::pass("It says DISCONNECT when it is told to end.")
            .figure("afterSeconds", lasted.as_secs_f64());
    }
    let is_gone = |what: &What| matches!(what, What::Closed(_, By::Device));
    if after.0.iter().any(|entry| is_gone(&entry.what)) {
        return Finding::fail(
            "It ended without DISCONNECT when it was told to by SIGTERM.",
            "Handle SIGTERM: send what is queued, then DISCONNECT, then close.",
        );
    }
    Finding::fail(
        format!(
            "It was still there {} after SIGTERM.",
            seconds(after.end() - after.begin())
        ),
        "Handle SIGTERM: send what is queued, then DISCONNECT, then end.",
    )
}

fn filters(record: Record<'_>) -> BTreeSet<&str> {
    let subscribed = record.heard().filter_map(|(_, _, packet)| match packet {
        Packet::Subscribe(filters) => Some(filters),
        _ => None,
    });
    subscribed
        .flatten()
        .filter_map(|filter| stable(filter))
        .collect()
}

/// Filters for one answer go with its request; the others are to be there on every link.
fn stable(filter: &str) -> Option<&str> {
    let is_of_one = crate::doctor::device::record::answered(filter).is_some();
    (!is_of_one).then_some(filter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::device::judge::testing::{Story, good};
    use crate::doctor::device::wire::Connect;
    use crate::doctor::finding::Verdict::{Fail, NotJudged, Pass};

    #[test]
    fn a_connect_is_judged_by_its_fields() {
        for (connect, verdict, gist) in [
            (good(), Pass, "keep alive of 60 s"),
            (Connect { level: 3, ..good() }, Fail, "level 3"),
            (
                Connect {
                    is_clean: false,
                    ..good()
                },
                Fail,
                "session",
            ),
            (
                Connect {
                    has_will: true,
                    ..good()
                },
                Fail,
                "will",
            ),
            (
                Connect {
                    keep_alive: 0,
                    ..good()
                },
                Fail,
                "off",
            ),
            (
                Connect {
                    keep_alive: 3_600,
                    ..good()
                },
                Fail,
                "3600 s",
            ),
        ] {
            let record = Story::default().connected(0.5, 1, connect).ends(5.0);
            let found = connects(Record(&record));
            assert_eq!(found.verdict, verdict, "{found:?}");
            assert!(found.why.contains(gist), "{found:?}");
        }
        let silent = Story::default().opened(0.1, 1).ends(5.0);
        assert!(connects(Record(&silent)).why.contains("no CONNECT"));
        let absent = Story::default().ends(5.0);
        assert!(connects(Record(&absent)).why.contains("did not dial"));
    }

    /// On the new link it subscribes to `filter` and speaks, or not.
    fn cut(filter: &str, speaks: bool) -> Finding {
        let subscribe = |filter: &str| Packet::Subscribe(vec![filter.into()]);
        let story = Story::default()
            .connected(0.0, 1, good())
            .heard(0.1, 1, subscribe("kp1/demo-v1/cex/t/command/#"))
            .heard(0.1, 1, subscribe("kp1/demo-v1/dcx/t/json/7/status"))
            .says(0.2, 1, "dcx/t/json/7", "1")
            .did(1.0, Act::Cut)
            .closed(1.0, 1, By::Doctor)
            .connected(2.5, 2, good())
            .heard(2.6, 2, subscribe(filter));
        let story = match speaks {
            true => story.says(2.7, 2, "dcx/t/json/8", "2"),
            false => story,
        };
        reconnects(Record(&story.ends(9.0)))
    }

    #[test]
    fn a_device_comes_back_subscribes_and_speaks() {
        let found = cut("kp1/demo-v1/cex/t/command/#", true);
        assert_eq!(found.verdict, Pass, "{found:?}");
        assert!(found.why.contains("1.5 s"), "{found:?}");
        let found = cut("something/else", true);
        assert!(found.why.contains("does not subscribe"), "{found:?}");
        let found = cut("kp1/demo-v1/cex/t/command/#", false);
        assert!(found.why.contains("said nothing"), "{found:?}");
        let away = Story::default()
            .connected(0.0, 1, good())
            .did(1.0, Act::Cut)
            .ends(31.0);
        let found = reconnects(Record(&away));
        assert!(found.why.contains("within 30 s"), "{found:?}");
    }

    #[test]
    fn a_goodbye_is_a_disconnect_after_sigterm() {
        let begin = || Story::default().connected(0.0, 1, good());
        let said = begin()
            .did(1.0, Act::Terminates)
            .heard(1.1, 1, Packet::Disconnect)
            .closed(1.1, 1, By::Device);
        assert_eq!(goodbye(Record(&said.ends(2.0))).verdict, Pass);
        let fell = begin().did(1.0, Act::Terminates).closed(1.1, 1, By::Device);
        let found = goodbye(Record(&fell.ends(2.0)));
        assert!(found.why.contains("without DISCONNECT"), "{found:?}");
        let stays = begin().did(1.0, Act::Terminates);
        let found = goodbye(Record(&stays.ends(11.0)));
        assert!(found.why.contains("still there"), "{found:?}");
        let alone = begin().ends(1.0);
        assert_eq!(goodbye(Record(&alone)).verdict, NotJudged);
    }
}
