//! Whether a device speaks often enough, and notices when nobody speaks to it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::seconds;
use crate::doctor::device::record::{Act, By, Record, What};
use crate::doctor::device::wire::Packet;
use crate::doctor::finding::Finding;

/// What networks and schedulers add.
const SLACK: Duration = Duration::from_secs(1);

/// By how much longer the device may take the next time until it is watched.
const MARGIN: Duration = Duration::from_secs(10);

/// How long a device has to be watched for its keep alive to show, if it is that many seconds.
pub(crate) fn watch_keep_alive(keep_alive: u16) -> Duration {
    Duration::from_secs(keep_alive.into()) * 3 / 2 + SLACK
}

/// The same for a dead link: an interval until it asks, another one until it gives up, and some.
pub(crate) fn watch_dead_link(keep_alive: u16) -> Duration {
    Duration::from_secs(keep_alive.into()) * 2 + SLACK * 5
}

pub(super) fn keep_alive(record: Record<'_>) -> Finding {
    let Some((link, keep_alive)) = steady(record) else {
        return Finding::not_judged(
            "None of its links stayed open.",
            "Let it keep its link: commands and configurations come by it.",
        );
    };
    if keep_alive == 0 {
        return off();
    }
    let limit = watch_keep_alive(keep_alive);
    let mut last = record
        .welcomes()
        .find(|(_, of)| *of == link)
        .map_or(Duration::ZERO, |(at, _)| at);
    let begin = last;
    let watched = record.end() - begin;
    let mut longest = Duration::ZERO;
    let mut has_asked = false;
    for (at, of, packet) in record.heard() {
        if of == link && at >= last {
            longest = longest.max(at - last);
            last = at;
            has_asked |= *packet == Packet::PingReq;
        }
    }
    longest = longest.max(record.end() - last);
    let figure = |found: Finding| {
        let found = found.figure("keepAliveSeconds", keep_alive);
        found.figure("longestSilenceSeconds", longest.as_secs_f64())
    };
    figure(if longest > limit {
        Finding::fail(
            format!(
                "It said nothing for {}, with a keep alive of {keep_alive} s.",
                seconds(longest)
            ),
            "Send PINGREQ after each interval without another packet, or the platform closes the link after one and a half.",
        )
    } else if has_asked {
        Finding::pass("It sends PINGREQ in time when it has nothing to say.")
    } else if watched >= limit {
        Finding::pass("It spoke so often that no PINGREQ was needed.")
    } else {
        too_short(keep_alive, begin + limit)
    })
}

pub(super) fn dead_link(record: Record<'_>) -> Finding {
    let before = record.until(|act| *act == Act::Silences);
    let Some(after) = record.from(|act| *act == Act::Silences) else {
        return Finding::not_judged("It did not come so far.", "See the case connects.");
    };
    let Some((link, keep_alive)) = steady(before) else {
        return Finding::not_judged(
            "None of its links was open when the network died.",
            "Let it keep its link: commands and configurations come by it.",
        );
    };
    if after.has_exited() {
        return Finding::fail(
            "The program ended when its link was dead.",
            "Dial again instead, for as long as it takes.",
        );
    }
    let closed = after
        .0
        .iter()
        .find(|entry| entry.what == What::Closed(link, By::Device));
    let limit = watch_dead_link(keep_alive);
    match closed {
        Some(entry) => {
            let took = entry.at - after.begin();
            Finding::pass(format!("It gave a dead link up after {}.", seconds(took)))
                .figure("afterSeconds", took.as_secs_f64())
        }
        None if keep_alive == 0 => off(),
        None if after.end() - after.begin() >= limit => Finding::fail(
            format!(
                "It did not notice in {} that its link is dead, with a keep alive of {keep_alive} s.",
                seconds(after.end() - after.begin())
            ),
            "Close the link and dial again when PINGRESP does not come within half an interval or so.",
        ),
        None => too_short(keep_alive, after.begin() + limit),
    }
}

fn off() -> Finding {
    Finding::fail(
        "Its keep alive is off, so a dead link is never noticed.",
        "Set one, 60 s say, and send PINGREQ.",
    )
}

/// `end`: how far into the scene it would have shown.
fn too_short(keep_alive: u16, end: Duration) -> Finding {
    Finding::not_judged(
        format!("Its keep alive of {keep_alive} s is longer than it was watched."),
        format!(
            "Give it more time with --timeout {}s, or let it take a shorter one for the test.",
            (end + MARGIN).as_secs()
        ),
    )
}

/// The link that the device keeps, with its keep alive: the first that is not closed.
fn steady(record: Record<'_>) -> Option<(u32, u16)> {
    let mut open = BTreeMap::new();
    for (_, link, connect) in record.connects() {
        open.insert(link, connect.keep_alive);
    }
    for entry in record.0 {
        if let What::Closed(link, By::Device | By::Doctor) = entry.what {
            open.remove(&link);
        }
    }
    open.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::device::judge::testing::{Story, good};
    use crate::doctor::device::wire::Connect;
    use crate::doctor::finding::Verdict::{self, Fail, NotJudged, Pass};

    fn begin(keep_alive: u16) -> Story {
        let connect = Connect {
            keep_alive,
            ..good()
        };
        Story::default().connected(0.0, 1, connect)
    }

    fn quiet(interval: u16, pings: &[f64], end: f64) -> Verdict {
        let story = pings.iter().fold(begin(interval), |story, at| {
            story.heard(*at, 1, Packet::PingReq)
        });
        keep_alive(Record(&story.ends(end))).verdict
    }

    #[test]
    fn silence_is_measured_by_the_devices_own_keep_alive() {
        assert_eq!(quiet(10, &[10.0], 16.0), Pass);
        assert_eq!(quiet(10, &[], 17.0), Fail);
        assert_eq!(quiet(10, &[10.0], 30.0), Fail);
        assert_eq!(quiet(60, &[], 30.0), NotJudged);
        assert_eq!(quiet(0, &[], 30.0), Fail);
        let chatty = (1..20).fold(begin(2), |story, n| {
            story.says(n.into(), 1, "dcx/t/json", "1")
        });
        let found = keep_alive(Record(&chatty.ends(20.0)));
        assert!(found.why.contains("no PINGREQ was needed"), "{found:?}");
    }

    #[test]
    fn the_time_that_is_advised_is_one_and_is_enough() {
        // It came after 4 s, and was watched from then on, or from 10 s on.
        let connect = Connect {
            keep_alive: 120,
            ..good()
        };
        let begin = || Story::default().connected(4.0, 1, connect.clone());
        let quiet = keep_alive(Record(&begin().ends(130.0)));
        let dead = dead_link(Record(&begin().did(10.0, Act::Silences).ends(130.0)));
        for (found, least) in [
            (quiet, Duration::from_secs(4) + watch_keep_alive(120)),
            (dead, Duration::from_secs(10) + watch_dead_link(120)),
        ] {
            assert_eq!(found.verdict, NotJudged, "{found:?}");
            let advised = found.advice.split_once("--timeout ").unwrap().1;
            let advised = advised.split_once(',').unwrap().0;
            let time = crate::time::parse(advised).unwrap();
            assert!(time >= least + MARGIN, "{found:?}");
        }
    }

    #[test]
    fn a_dead_link_is_noticed_within_two_intervals() {
        let dead = |keep_alive| begin(keep_alive).did(1.0, Act::Silences);
        let verdict = |story: Story, end| dead_link(Record(&story.ends(end))).verdict;
        assert_eq!(verdict(dead(10).closed(15.0, 1, By::Device), 16.0), Pass);
        assert_eq!(verdict(dead(10), 27.0), Fail);
        assert_eq!(verdict(dead(10), 20.0), NotJudged);
        assert_eq!(verdict(dead(0), 20.0), Fail);
        let ended = dead(10).at(15.0, What::Exited);
        assert_eq!(verdict(ended, 20.0), Fail);
    }
}
