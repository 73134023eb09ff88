//! Which answers a device waits for, and which it takes.

use std::collections::BTreeMap;
use std::time::Duration;

use kaa_proto::mqtt::filter;

use super::seconds;
use crate::doctor::device::record::{
    Act, Entry, Record, RequestId, What, Wrong, answered, request,
};
use crate::doctor::device::wire::{Packet, Publish};
use crate::doctor::finding::Finding;

pub(super) fn subscribes(record: Record<'_>) -> Finding {
    let requests: Vec<_> = record
        .published()
        .filter(|(_, _, publish)| request(publish).is_some())
        .collect();
    let subscriptions: Vec<_> = record
        .heard()
        .filter_map(|(at, _, packet)| match packet {
            Packet::Subscribe(filters) => Some((at, filters)),
            _ => None,
        })
        .collect();
    if subscriptions.is_empty() {
        return match requests.is_empty() {
            true => Finding::not_judged(
                "It neither subscribes nor asks for an answer.",
                "Let it send a request with an ID, which is answered, or subscribe to commands.",
            ),
            false => Finding::pass("It needs no subscription for its answers.").advising(
                "Kaa delivers so; behind a broker or a bridge nothing would come without one.",
            ),
        };
    }
    // Two connections may share the work, as those of mosquitto_sub and mosquitto_pub do.
    let covers = |filters: &[String], topic: &str| {
        let answer = format!("{topic}/status");
        filters.iter().any(|one| filter::matches(one, &answer))
    };
    let mut late = None;
    for (at, _, publish) in &requests {
        let covering = subscriptions
            .iter()
            .find(|(_, filters)| covers(filters, &publish.topic));
        match covering {
            Some((subscribed, _)) if subscribed <= at => {}
            Some(_) => late = Some(publish),
            None => {
                return Finding::fail(
                    format!(
                        "It subscribes, but not to the answer of {}.",
                        kaa_proto::topic::shortened(&publish.topic)
                    ),
                    "Subscribe to the topic of the request with /status and /error behind it.",
                );
            }
        }
    }
    match late {
        Some(publish) => Finding::fail(
            format!(
                "It asks on {} before it subscribes to the answer.",
                kaa_proto::topic::shortened(&publish.topic)
            ),
            "Subscribe first, then publish: behind a broker the answer may be faster.",
        ),
        None => Finding::pass("It subscribes to its answers before it asks."),
    }
}

pub(super) fn request_ids(record: Record<'_>) -> Finding {
    let mut open: BTreeMap<&str, Duration> = BTreeMap::new();
    let mut numbers: BTreeMap<RequestId<'_>, &str> = BTreeMap::new();
    let (mut asked, mut most) = (0, 0);
    for Entry { at, what } in record.0 {
        match what {
            What::Heard(_, Packet::Publish(publish)) => {
                let Some(id) = request(publish) else {
                    continue;
                };
                if let Some(since) = open.get(publish.topic.as_str()) {
                    return reused(id, *at - *since);
                }
                if let Some(other) = numbers.get(&id) {
                    if let Some(since) = open.get(other) {
                        return reused(id, *at - *since);
                    }
                }
                asked += 1;
                open.insert(&publish.topic, *at);
                numbers.insert(id, &publish.topic);
                most = most.max(open.len());
            }
            What::Told(_, Packet::Publish(Publish { topic, .. })) => {
                if let Some(topic) = answered(topic) {
                    open.remove(topic);
                }
            }
            // What was open is lost with its link.
            What::Opened(_) => open.clear(),
            _ => {}
        }
    }
    match asked {
        0 | 1 => Finding::not_judged(
            format!("It asked for {asked} answers only."),
            "Let it send requests with an ID more often, or give it more time with --timeout.",
        ),
        _ => Finding::pass(format!(
            "Of its {asked} requests up to {most} were open at a time, each with an ID of its own."
        ))
        .figure("requests", asked)
        .figure("open", most),
    }
}

fn reused(id: RequestId<'_>, since: Duration) -> Finding {
    let RequestId { extension, id, .. } = id;
    Finding::fail(
        format!(
            "It used the request ID {id} of {extension} again, {} after a request whose answer had \
             not come yet.",
            seconds(since)
        ),
        "Give each open request an ID of its own, and let an ID rest after a time-out.",
    )
}

pub(super) fn prefix(record: Record<'_>) -> Finding {
    let advice = "Compare topics level by level, to the end: /1 is not the begin of /10.";
    wrong(
        record,
        Wrong::Prefix,
        "one whose ID only begins alike",
        advice,
    )
}

pub(super) fn late(record: Record<'_>) -> Finding {
    let advice = "Let an ID rest after a time-out, and match answers by ID: a late one would confirm what was \
                  not processed.";
    wrong(
        record,
        Wrong::Late,
        "the late one of the request before",
        advice,
    )
}

/// What it did after a wrong answer and then the right one to the request that was open.
fn wrong(record: Record<'_>, kind: Wrong, what: &str, advice: &str) -> Finding {
    let is_wrong = |entry: &Entry| entry.what == What::Did(Act::AnswersWrongly(kind));
    let (mut taken, mut left) = (0, 0);
    let mut starts: Vec<_> = (0..record.0.len())
        .filter(|index| is_wrong(&record.0[*index]))
        .collect();
    let rounds = starts.len();
    starts.push(record.0.len());
    for two in starts.windows(2) {
        let round = Record(record.0.get(two[0]..two[1]).unwrap_or_default());
        let is_right = |act: &Act| *act == Act::AnswersRightly;
        let asks = |part: Record<'_>| part.published().any(|(_, _, p)| request(p).is_some());
        match round.from(is_right) {
            _ if asks(round.until(is_right)) => taken += 1,
            Some(after) if asks(after) => left += 1,
            _ => {}
        }
    }
    match (rounds, taken, left) {
        (0, ..) => {
            let holds = record.from(|act| *act == Act::HoldsAnswers);
            let asked = holds.map_or(0, |held| {
                held.published()
                    .filter(|(_, _, p)| request(p).is_some())
                    .count()
            });
            let why = match (asked, kind) {
                (0, _) => "It asked for nothing that is answered.",
                (_, Wrong::Prefix) => {
                    "It goes on without waiting for answers, so nothing shows which it takes."
                }
                (_, Wrong::Late) => {
                    "It did not give up a request whose answer did not come, or did not wait for it."
                }
            };
            Finding::not_judged(
                why,
                "Let it wait for an answer, for some seconds at most, before it sends the next \
                 request; or give it more time with --timeout.",
            )
        }
        (_, taken, 0) if taken > 0 => Finding::fail(
            format!("It took an answer for its request that was none: {what}."),
            advice,
        ),
        (_, _, 0) => Finding::not_judged(
            "It did not go on after the right answer either, so nothing shows which it takes.",
            "Give it more time with --timeout.",
        ),
        _ => Finding::pass(format!(
            "It went on waiting at {what}, and took the right one."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::device::judge::testing::{Story, good};
    use crate::doctor::finding::Verdict::{Fail, NotJudged, Pass};

    fn subscribe(filter: &str) -> Packet {
        Packet::Subscribe(vec![format!("kp1/demo-v1/{filter}")])
    }

    #[test]
    fn subscriptions_come_before_requests_or_not_at_all() {
        let begin = || Story::default().connected(0.0, 1, good());
        let good = begin()
            .heard(0.1, 1, subscribe("dcx/t/json/+/status"))
            .says(0.2, 1, "dcx/t/json/7", "1");
        let late = begin().says(0.2, 1, "dcx/t/json/7", "1").heard(
            0.3,
            1,
            subscribe("dcx/t/json/7/status"),
        );
        let other = begin()
            .heard(0.1, 1, subscribe("cex/t/#"))
            .says(0.2, 1, "dcx/t/json/7", "1");
        let none = begin().says(0.2, 1, "dcx/t/json/7", "1");
        let quiet = begin().says(0.2, 1, "dcx/t/json", "1");
        for (story, verdict, gist) in [
            (good, Pass, "before it asks"),
            (late, Fail, "before it subscribes"),
            (other, Fail, "not to the answer"),
            (none, Pass, "needs no subscription"),
            (quiet, NotJudged, "neither"),
        ] {
            let found = subscribes(Record(&story.ends(9.0)));
            assert_eq!(found.verdict, verdict, "{found:?}");
            assert!(found.why.contains(gist), "{found:?}");
        }
    }

    #[test]
    fn an_id_is_reused_only_after_its_answer() {
        let begin = || {
            Story::default()
                .connected(0.0, 1, good())
                .says(1.0, 1, "dcx/t/json/7", "1")
        };
        let answered =
            begin()
                .told(4.0, 1, "dcx/t/json/7/status")
                .says(5.0, 1, "dcx/t/json/7", "2");
        let open = begin().says(2.0, 1, "dcx/t/json/7", "2");
        let other_resource = begin().says(2.0, 1, "dcx/t/plain/x/7", "2");
        let other_extension = begin().says(2.0, 1, "cex/t/command/x/7", "{}");
        let other_link = begin().opened(2.0, 2).says(2.0, 2, "dcx/t/json/7", "2");
        for (story, verdict) in [
            (answered, Pass),
            (open, Fail),
            (other_resource, Fail),
            (other_extension, Pass),
            (other_link, Pass),
            (begin(), NotJudged),
        ] {
            let found = request_ids(Record(&story.ends(9.0)));
            assert_eq!(found.verdict, verdict, "{found:?}");
        }
    }

    #[test]
    fn endpoints_of_a_gateway_have_ids_of_their_own() {
        let begin = || {
            Story::default()
                .connected(0.0, 1, good())
                .says(1.0, 1, "dcx/t/json/7", "1")
        };
        let other_token = begin().says(2.0, 1, "dcx/u/json/7", "1");
        let other_version = begin().heard(
            2.0,
            1,
            Packet::Publish(Publish::plain("kp1/demo-v2/dcx/t/json/7", "1")),
        );
        let same = begin()
            .says(2.0, 1, "dcx/u/json/7", "1")
            .says(3.0, 1, "dcx/t/plain/x/7", "1");
        for (story, verdict) in [(other_token, Pass), (other_version, Pass), (same, Fail)] {
            let found = request_ids(Record(&story.ends(9.0)));
            assert_eq!(found.verdict, verdict, "{found:?}");
        }
    }

    /// It sends its next request at these times, if any, after a wrong answer at 2 s and the right
    /// one at 3 s.
    fn round(kind: Wrong, at: Option<f64>) -> Finding {
        let mut story = Story::default()
            .connected(0.0, 1, good())
            .did(0.5, Act::HoldsAnswers)
            .says(1.0, 1, "dcx/t/json/1", "1")
            .did(2.0, Act::AnswersWrongly(kind));
        let next = |story: Story, at: f64| story.says(at, 1, "dcx/t/json/2", "2");
        if let Some(at) = at.filter(|at| *at < 3.0) {
            story = next(story, at);
        }
        story = story.did(3.0, Act::AnswersRightly);
        if let Some(at) = at.filter(|at| *at >= 3.0) {
            story = next(story, at);
        }
        let record = story.ends(9.0);
        match kind {
            Wrong::Prefix => prefix(Record(&record)),
            Wrong::Late => late(Record(&record)),
        }
    }

    #[test]
    fn what_it_does_next_shows_which_answer_it_took() {
        for kind in [Wrong::Prefix, Wrong::Late] {
            assert_eq!(round(kind, Some(2.1)).verdict, Fail);
            assert_eq!(round(kind, Some(3.1)).verdict, Pass);
            assert_eq!(round(kind, None).verdict, NotJudged);
        }
        let careless = Story::default()
            .connected(0.0, 1, good())
            .did(0.5, Act::HoldsAnswers)
            .says(1.0, 1, "dcx/t/json/1", "1")
            .says(2.0, 1, "dcx/t/json/2", "1")
            .ends(9.0);
        let found = prefix(Record(&careless));
        assert!(found.why.contains("without waiting"), "{found:?}");
    }
}
