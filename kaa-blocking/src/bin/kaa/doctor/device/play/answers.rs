//! What the doctor does with answers: holds them back, and sends wrong ones first.

use std::time::Duration;

use super::{SECOND, Stage, count, is_request};
use crate::doctor::device::record::{Act, Record, What, Wrong, answered, request};
use crate::doctor::device::wire::{Packet, Publish};

/// How long slow answers take.
pub(super) const SLOW: Duration = Duration::from_secs(3);

/// Answers that are held back until they are released.
const FOR_EVER: Option<Duration> = Some(Duration::MAX);

/// How many requests show how a device numbers them.
const REQUESTS: usize = 4;

impl Stage<'_> {
    pub(super) fn slow(&mut self) {
        self.wait(10 * SLOW, |record| {
            count(record, is_request) >= 3 * REQUESTS
        });
        self.wait(SLOW, |record| count(record, is_request) >= 4 * REQUESTS);
    }

    pub(super) fn wrong_answers(&mut self) {
        let third = self.left() / 3;
        if !self.wait(third, |record| count(record, is_request) > REQUESTS) {
            return;
        }
        self.note(Act::HoldsAnswers);
        self.act(|desk| desk.conduct.holds_answers = FOR_EVER);
        let patience = 3 * self.act(|desk| pace(Record(desk.entries()))) + SECOND / 4;
        for _ in 0..2 {
            if !self.prefix_round(patience) {
                return;
            }
        }
        self.late_round(patience);
    }

    /// Lets it wait, sends answers whose IDs only look alike, then the right one; whether it went
    /// on.
    fn prefix_round(&mut self, patience: Duration) -> bool {
        let Some(asked) = self.waits(patience) else {
            return false;
        };
        self.note(Act::AnswersWrongly(Wrong::Prefix));
        for topic in alike(&asked.topic) {
            self.act(|desk| desk.say(&topic, &asked.payload));
        }
        self.pause(patience);
        self.answer_rightly(&asked, patience)
    }

    /// Lets it give up a request, sends that answer while the next one is open, then the right one.
    fn late_round(&mut self, patience: Duration) {
        let Some(given_up) = self.waits(patience) else {
            return;
        };
        let before = self.requests();
        if !self.wait(self.left(), |record| count(record, is_request) > before) {
            return;
        }
        let Some(asked) = self.waits(patience) else {
            return;
        };
        // To the same request, sent again, the answer is none too late.
        if self.act(|desk| is_repeated(Record(desk.entries()))) {
            return;
        }
        self.act(|desk| {
            desk.note(What::Did(Act::AnswersWrongly(Wrong::Late)));
            answered(&given_up.topic).map(|topic| desk.release(topic))
        });
        self.pause(patience);
        self.answer_rightly(&asked, patience);
    }

    /// Waits until a request is open and no other one follows; its answer, which is held back.
    fn waits(&mut self, patience: Duration) -> Option<Publish> {
        let before = self.act(|desk| desk.held().count());
        if before == 0 {
            let asked = self.requests();
            self.wait(self.left(), |record| count(record, is_request) > asked);
        }
        let asked = self.requests();
        self.pause(patience);
        match self.requests() == asked {
            true => self.act(|desk| desk.held().last().cloned()),
            false => None,
        }
    }

    fn answer_rightly(&mut self, answer: &Publish, patience: Duration) -> bool {
        let asked = self.requests();
        self.act(|desk| {
            desk.note(What::Did(Act::AnswersRightly));
            answered(&answer.topic).map(|topic| desk.release(topic))
        });
        self.wait(2 * patience + SECOND, |record| {
            count(record, is_request) > asked
        })
    }
}

/// The longest pause between the latest requests.
fn pace(record: Record<'_>) -> Duration {
    let asked = record.heard().filter(
        |(_, _, packet)| matches!(packet, Packet::Publish(publish) if request(publish).is_some()),
    );
    let times: Vec<_> = asked.map(|(at, ..)| at).rev().take(REQUESTS).collect();
    let pauses = times.windows(2).map(|two| two[0] - two[1]);
    pauses.max().unwrap_or(SECOND)
}

/// Whether the latest request is the one before, sent again.
fn is_repeated(record: Record<'_>) -> bool {
    let mut asked = record
        .published()
        .map(|(_, _, publish)| publish)
        .filter(|publish| request(publish).is_some())
        .rev();
    match (asked.next(), asked.next()) {
        (Some(last), Some(before)) => last.topic == before.topic && last.payload == before.payload,
        _ => false,
    }
}

/// Topics of answers whose IDs begin as that of this answer, or are the begin of it.
fn alike(topic: &str) -> Vec<String> {
    let Some((request, suffix)) = topic.rsplit_once('/') else {
        return Vec::new();
    };
    let Some((resource, id)) = request.rsplit_once('/') else {
        return Vec::new();
    };
    let mut ids = vec![format!("{id}0"), format!("{id}7")];
    if let Some(begin) = id.get(..id.len() - 1).filter(|begin| !begin.is_empty()) {
        ids.push(begin.into());
    }
    ids.iter()
        .map(|id| format!("{resource}/{id}/{suffix}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_look_alike_differ_by_a_digit() {
        assert_eq!(
            alike("a/json/7/status"),
            ["a/json/70/status", "a/json/77/status"]
        );
        let longer = ["a/json/420/status", "a/json/427/status", "a/json/4/status"];
        assert_eq!(alike("a/json/42/status"), longer);
    }
}
