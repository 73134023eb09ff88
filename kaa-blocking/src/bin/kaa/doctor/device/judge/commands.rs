//! Whether a command that is repeated is run once, and its result sent again.
//!
//! A run leaves no trace outside but its result. So two commands are invoked first: if their results
//! differ in more than the ID, a second run of a third would show.

use serde_json::Value;

use super::Record;
use crate::doctor::device::record::{Act, Entry, What, is_result};
use crate::doctor::device::wire::Packet;
use crate::doctor::finding::Finding;

pub(super) fn once(record: Record<'_>) -> Finding {
    let invoked = invoked(record);
    let [first, second, third] = invoked[..] else {
        return not_run(&invoked);
    };
    let run = |id| results(record, id);
    let (one, other, again) = (run(first), run(second), run(third));
    let (Some(one), Some(other)) = (one.first(), other.first()) else {
        return not_run(&[]);
    };
    let Some(result) = again.first() else {
        return not_run(&[]);
    };
    let advice = "Remember the IDs of commands with their results, by type, and answer a repeated one from there.";
    if again.iter().any(|(_, next)| *next != result.1) {
        return Finding::fail(
            format!(
                "It ran a repeated command again: its {} results differ.",
                again.len()
            ),
            advice,
        );
    }
    match (again.len(), one.1 == other.1) {
        (1, _) => Finding::pass("It reported a repeated command once."),
        (_, false) => Finding::pass(
            "It ran a repeated command once: the result that it sent again is that of its run.",
        ),
        (_, true) => Finding::not_judged(
            "It sent equal results for different commands, so a second run would not show.",
            "Let the payload of a result carry something of its run, a counter or the time.",
        ),
    }
}

pub(super) fn result_again(record: Record<'_>) -> Finding {
    let invoked = invoked(record);
    let [_, _, third] = invoked[..] else {
        return not_run(&invoked);
    };
    let results = results(record, third);
    let Some((first, _)) = results.first() else {
        return not_run(&[]);
    };
    match results.len() {
        1 if record
            .0
            .get(*first..)
            .unwrap_or_default()
            .iter()
            .any(is_repeat) =>
        {
            Finding::fail(
                "It did not send its result again, though the command was repeated.",
                "Send the stored result again: a command that comes again says that the result was lost.",
            )
        }
        1 => Finding::not_judged(
            "The command was not repeated after its result.",
            "Give it more time with --timeout.",
        ),
        times => Finding::pass(format!(
            "It sent its result again when the command came again, {times} times in all."
        ))
        .figure("times", times),
    }
}

fn is_repeat(entry: &Entry) -> bool {
    entry.what == What::Did(Act::Repeats)
}

fn not_run(invoked: &[i64]) -> Finding {
    match invoked {
        [] => Finding::not_judged(
            "It asked for no commands, or reported no result.",
            "Let it request or subscribe to a type of commands, or name one with --command.",
        ),
        _ => Finding::not_judged(
            "It did not report the result of a command.",
            "Let it run the command and publish its result on …/result/TYPE; or name another with --command.",
        ),
    }
}

/// The IDs of the commands that were invoked.
fn invoked(record: Record<'_>) -> Vec<i64> {
    let ids = record.0.iter().filter_map(|entry| match entry.what {
        What::Did(Act::Commands(id)) => Some(id),
        _ => None,
    });
    ids.collect()
}

/// The results of a command without their IDs, and where in the record they stand.
fn results(record: Record<'_>, id: i64) -> Vec<(usize, Value)> {
    let mut found = Vec::new();
    for (index, entry) in record.0.iter().enumerate() {
        let What::Heard(_, Packet::Publish(publish)) = &entry.what else {
            continue;
        };
        if !is_result(publish) {
            continue;
        }
        let list = match serde_json::from_slice(&publish.payload) {
            Ok(Value::Array(list)) => list,
            Ok(one) => vec![one],
            Err(_) => continue,
        };
        for mut result in list {
            let Some(fields) = result.as_object_mut() else {
                continue;
            };
            if fields.remove("id").is_some_and(|found| found == id) {
                found.push((index, result));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::device::judge::testing::{Story, good};
    use crate::doctor::finding::Verdict::{self, Fail, NotJudged, Pass};

    /// Runs commands 1, 2 and 3 with these payloads in their results; the last is repeated.
    fn found(first: i64, second: i64, third: &[i64]) -> (Verdict, Verdict) {
        let result =
            |id: i64, run: i64| format!(r#"[{{"id":{id},"statusCode":200,"payload":{run}}}]"#);
        let mut story = Story::default()
            .connected(0.0, 1, good())
            .did(1.0, Act::Commands(1))
            .says(1.1, 1, "cex/t/result/switch/4", &result(1, first))
            .did(2.0, Act::Commands(2))
            .says(2.1, 1, "cex/t/result/switch/5", &result(2, second))
            .did(3.0, Act::HoldsResults)
            .did(3.0, Act::Commands(3));
        for run in third {
            story = story
                .says(3.1, 1, "cex/t/result/switch", &result(3, *run))
                .did(3.2, Act::Repeats);
        }
        let record = story.ends(9.0);
        (
            once(Record(&record)).verdict,
            result_again(Record(&record)).verdict,
        )
    }

    #[test]
    fn results_show_whether_a_command_ran_again() {
        assert_eq!(found(1, 2, &[3, 3, 3]), (Pass, Pass));
        assert_eq!(found(1, 2, &[3, 4]), (Fail, Pass));
        assert_eq!(found(0, 0, &[0, 0]), (NotJudged, Pass));
        assert_eq!(found(0, 0, &[0]), (Pass, Fail));
        assert_eq!(found(1, 2, &[]), (NotJudged, NotJudged));
    }

    #[test]
    fn a_device_without_commands_is_not_judged() {
        let record = Story::default().connected(0.0, 1, good()).ends(9.0);
        assert_eq!(once(Record(&record)).verdict, NotJudged);
        assert_eq!(result_again(Record(&record)).verdict, NotJudged);
    }
}
