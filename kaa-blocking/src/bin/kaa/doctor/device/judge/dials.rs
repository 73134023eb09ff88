//! How long a device waits before it dials again.

use std::time::Duration;

use super::list;
use crate::doctor::device::delays::{Growth, Shape, shape};
use crate::doctor::device::record::{Act, Record, What};
use crate::doctor::finding::Finding;

/// Devices that dial more often than that, for long, are a burden to the server and to themselves.
const TIGHT: Duration = Duration::from_millis(500);

pub(super) fn backoff(record: Record<'_>) -> Finding {
    judge(record, "while nobody let it in")
}

pub(super) fn refused(record: Record<'_>) -> Finding {
    let found = judge(record, "while CONNACK refused it");
    let came_back = record
        .from(|act| *act == Act::Welcomes)
        .is_some_and(|after| after.welcomes().next().is_some());
    match came_back {
        true => found,
        false if found.verdict == crate::doctor::finding::Verdict::Pass => Finding::fail(
            "It did not come back after CONNACK had refused it for a while.",
            "Dial again, ever more slowly, also after a refusal: a server that starts refuses too.",
        ),
        false => found,
    }
}

/// Judges the dials between the acts `Refuses` and `Welcomes`.
fn judge(record: Record<'_>, when: &str) -> Finding {
    let Some(refused) = record.from(|act| *act == Act::Refuses) else {
        return Finding::not_judged("It did not come so far.", "See the case connects.");
    };
    let refused = refused.until(|act| *act == Act::Welcomes);
    if refused.has_exited() {
        return Finding::fail(
            format!("The program ended {when}."),
            "Dial again instead, for as long as it takes.",
        );
    }
    let pauses = pauses(refused);
    let figure = |found: Finding| {
        let seconds: Vec<_> = pauses.iter().map(Duration::as_secs_f64).collect();
        found.figure("pausesSeconds", seconds)
    };
    let later = pauses.get(pauses.len() / 2..).unwrap_or_default();
    let mean = later.iter().sum::<Duration>() / u32::try_from(later.len()).unwrap_or(1).max(1);
    if pauses.len() < 2 {
        let watched = refused.end() - refused.begin();
        return figure(match pauses.len() {
            0 => Finding::fail(
                format!(
                    "It did not dial once in {} {when}.",
                    super::seconds(watched)
                ),
                "Dial again when the link is lost, for as long as it takes.",
            ),
            _ => Finding::not_judged(
                format!("It dialed once in {} {when}.", super::seconds(watched)),
                "Give it more time with --timeout.",
            ),
        });
    }
    if mean < TIGHT {
        return figure(Finding::fail(
            format!(
                "It dialed {} times within {} {when}: a tight loop.",
                pauses.len() + 1,
                super::seconds(pauses.iter().sum()),
            ),
            "Wait between dials, twice as long each time, up to a minute or two, with some chance in it.",
        ));
    }
    let shown = list(&pauses);
    figure(match shape(&pauses) {
        None => Finding::pass(format!("It waits between dials {when}: {shown}.")).advising(
            "Too few dials to say how its pauses grow; give it more time with --timeout.",
        ),
        Some(shape) => {
            let (growth, jitter) = (word(shape.growth), jitter(shape));
            Finding::pass(format!("Its pauses {when} are {growth} {jitter}: {shown}."))
                .advising(advice(shape))
                .figure("growth", growth)
                .figure("jitter", shape.is_jittered)
        }
    })
}

/// Between the dials.
pub(crate) fn pauses(record: Record<'_>) -> Vec<Duration> {
    let dials = record.0.iter().filter_map(|entry| match entry.what {
        What::Opened(_) => Some(entry.at),
        _ => None,
    });
    let dials: Vec<_> = std::iter::once(record.begin()).chain(dials).collect();
    dials.windows(2).map(|two| two[1] - two[0]).collect()
}

const fn word(growth: Growth) -> &'static str {
    match growth {
        Growth::Constant => "constant",
        Growth::Linear => "linear",
        Growth::Exponential => "exponential",
        Growth::Somehow => "growing",
    }
}

const fn jitter(shape: Shape) -> &'static str {
    match shape.is_jittered {
        true => "with jitter",
        false => "without jitter",
    }
}

const fn advice(shape: Shape) -> &'static str {
    match (shape.growth, shape.is_jittered) {
        (Growth::Exponential, true) | (Growth::Somehow, _) => "",
        (Growth::Exponential, false) => {
            "Better with some chance in them: devices that lost their server together come back together."
        }
        (Growth::Constant | Growth::Linear, _) => {
            "Better exponential and with some chance in them: many devices that lost their server \
             together keep it down."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::device::judge::testing::{Story, good};
    use crate::doctor::device::record::By;
    use crate::doctor::finding::Verdict::{Fail, NotJudged, Pass};

    /// Refused after one second, until after the last of these pauses.
    fn story(pauses: &[f64]) -> Story {
        let mut story = Story::default()
            .connected(0.0, 1, good())
            .did(1.0, Act::Refuses)
            .closed(1.0, 1, By::Doctor);
        let (mut at, mut link) = (1.0, 1);
        for pause in pauses {
            (at, link) = (at + pause, link + 1);
            story = story.opened(at, link).closed(at, link, By::Doctor);
        }
        story.did(at + 0.1, Act::Welcomes)
    }

    #[test]
    fn a_tight_loop_fails_and_what_waits_is_described() {
        for (pauses, verdict, gist) in [
            (&[0.01; 40][..], Fail, "tight loop"),
            (&[0.3; 10], Fail, "tight loop"),
            (&[1.0; 6], Pass, "constant without jitter"),
            (&[1.0, 2.0, 4.0, 8.0], Pass, "exponential without jitter"),
            (&[0.3, 0.5, 2.9, 3.3, 11.8], Pass, "growing with jitter"),
            (&[0.0, 3.0, 3.1, 3.0, 3.0], Pass, "constant without jitter"),
            (&[0.0, 3.0, 3.1, 3.0], Pass, "It waits"),
            (&[1.0, 2.0], Pass, "It waits"),
            (&[1.0], NotJudged, "once"),
            (&[], Fail, "did not dial"),
        ] {
            let record = story(pauses).connected(99.0, 50, good()).ends(100.0);
            let found = backoff(Record(&record));
            assert_eq!(found.verdict, verdict, "{found:?}");
            assert!(found.why.contains(gist), "{found:?}");
        }
    }

    #[test]
    fn a_device_that_gives_up_after_a_refusal_fails() {
        let gone = story(&[1.0, 2.0, 4.0]).ends(60.0);
        let found = refused(Record(&gone));
        assert!(found.why.contains("did not come back"), "{found:?}");
        let back = story(&[1.0, 2.0, 4.0])
            .connected(16.0, 9, good())
            .ends(60.0);
        assert_eq!(refused(Record(&back)).verdict, Pass);
        let ended = story(&[]).0;
        let mut ended = ended[..ended.len() - 1].to_vec();
        ended.extend(Story::default().at(1.2, What::Exited).ends(2.0));
        let found = refused(Record(&ended));
        assert!(found.why.contains("ended"), "{found:?}");
    }
}
