//! Commands: surfaced once, answered from what was stored, and left with the platform when there
//! is no room.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::num::NonZeroUsize;
use std::time::Duration;

use kaa_proto::commands::{Command, CommandId, CommandResult, Pending, Report};
use kaa_proto::endpoint::{CommandKey, EndpointOptions, Event, Observation, Record, Subscriptions};
use kaa_proto::names::CommandType;
use kaa_proto::request::{Class, Failure, Request, RequestId, SubmitError};
use kaa_tests::endpoint_host::EndpointHost;
use serde_json::json;

const PUSH: &str = "cex/command/reboot/status";

fn options() -> EndpointOptions {
    EndpointOptions::default().subscriptions(Subscriptions::None)
}

fn reboot() -> CommandType {
    CommandType::new("reboot").unwrap()
}

fn key(id: i64) -> CommandKey {
    CommandKey::new(reboot(), CommandId::from(id))
}

fn count(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

/// Observes the type; its request has ID 1 and was answered.
fn observing(options: EndpointOptions) -> EndpointHost {
    let mut host = EndpointHost::online(options, 1).unwrap();
    host.observe(&Observation::Commands(reboot())).unwrap();
    host.receive("cex/command/reboot/1/status", "[]");
    let _ = (host.take_sent(), host.take_events());
    host
}

fn read(host: &mut EndpointHost) -> Vec<Option<i64>> {
    let commands: Vec<_> = std::iter::from_fn(|| host.endpoint.poll_command(|_| true)).collect();
    host.drain();
    commands
        .iter()
        .map(|command| command.id().as_i64())
        .collect()
}

/// Responds and has the result acknowledged; what was published.
fn finish(host: &mut EndpointHost, id: i64, result: CommandResult) -> String {
    let _ = host.take_sent();
    host.respond(&key(id), result).unwrap();
    let sent = host.take_sent().remove(0);
    host.acknowledge(sent.key);
    sent.payload
}

fn pending(host: &EndpointHost, id: RequestId) -> Vec<Command> {
    Pending::decode(host.outcome(id).unwrap().as_ref().unwrap()).unwrap()
}

#[test]
fn a_command_is_surfaced_once_however_often_it_comes() {
    let mut host = observing(options());
    host.receive(PUSH, r#"[{"id":1,"payload":{"delay":5}}]"#);
    let event = Event::Unread(Observation::Commands(reboot()));
    assert_eq!(host.take_events(), [event]);
    host.receive(PUSH, r#"[{"id":1,"payload":{"delay":5}}]"#);
    host.receive(
        "cex/command/reboot/1/status",
        r#"[{"id":1,"payload":{"delay":5}}]"#,
    );
    let command = host.endpoint.poll_command(|_| true).unwrap();
    assert_eq!(
        command.payload::<serde_json::Value>().unwrap(),
        json!({"delay": 5})
    );
    assert!(!command.is_interrupted());
    assert!(host.endpoint.poll_command(|_| true).is_none());
    host.receive(PUSH, r#"[{"id":1}]"#);
    assert!(
        host.endpoint.poll_command(|_| true).is_none(),
        "it is running"
    );
    assert_eq!(host.statistics().commands_repeated, 3);
    assert_eq!(host.statistics().commands_surfaced, 1);
}

#[test]
fn a_finished_command_gets_its_stored_result_verbatim() {
    let results = [
        (CommandResult::ok(), r#"[{"id":1,"statusCode":200}]"#),
        (
            CommandResult::ok().with_payload(&0).unwrap(),
            r#"[{"id":1,"statusCode":200,"payload":0}]"#,
        ),
        (
            CommandResult::ok().with_payload(&false).unwrap(),
            r#"[{"id":1,"statusCode":200,"payload":false}]"#,
        ),
        (
            CommandResult::ok().with_payload("").unwrap(),
            r#"[{"id":1,"statusCode":200,"payload":""}]"#,
        ),
        (
            CommandResult::ok().with_payload(&json!(null)).unwrap(),
            r#"[{"id":1,"statusCode":200,"payload":null}]"#,
        ),
        (
            CommandResult::failed(409, "the door is open"),
            r#"[{"id":1,"statusCode":409,"reasonPhrase":"the door is open"}]"#,
        ),
    ];
    for (result, payload) in results {
        let mut host = observing(options());
        host.receive(PUSH, r#"[{"id":1}]"#);
        assert_eq!(read(&mut host), [Some(1)]);
        assert_eq!(finish(&mut host, 1, result), payload);
        host.receive(PUSH, r#"[{"id":1}]"#);
        assert!(read(&mut host).is_empty());
        let again = host.take_sent();
        assert_eq!(again.len(), 1);
        assert!(again[0].path.starts_with("cex/result/reboot/"));
        assert_eq!(again[0].payload, payload);
        host.receive(PUSH, r#"[{"id":1}]"#);
        assert!(host.take_sent().is_empty(), "it is on the way");
        assert_eq!(host.statistics().results_resent, 1);
    }
}

#[test]
fn repeated_results_of_a_type_go_in_one_report_within_the_largest_message() {
    let mut host = observing(options().max_message(count(100)));
    host.receive(PUSH, r#"[{"id":1},{"id":2},{"id":3},{"id":4}]"#);
    for id in 1..=4 {
        finish(&mut host, id, CommandResult::ok());
    }
    host.receive(PUSH, r#"[{"id":1},{"id":2},{"id":3},{"id":4}]"#);
    let payloads: Vec<_> = host
        .take_sent()
        .into_iter()
        .map(|sent| sent.payload)
        .collect();
    let expected = [
        r#"[{"id":1,"statusCode":200},{"id":2,"statusCode":200},{"id":3,"statusCode":200}]"#,
        r#"[{"id":4,"statusCode":200}]"#,
    ];
    assert_eq!(payloads, expected);
}

/// Three results of 25 bytes each take 79.
#[test]
fn a_report_of_repeated_results_may_be_as_large_as_the_largest_message() {
    const LIST: &str = r#"[{"id":1},{"id":2},{"id":3}]"#;
    for (max, reports) in [(79, 1), (78, 2), (53, 2), (52, 3)] {
        let mut host = observing(options().max_message(count(max)));
        host.receive(PUSH, LIST);
        for id in 1..=3 {
            finish(&mut host, id, CommandResult::ok());
        }
        host.receive(PUSH, LIST);
        assert_eq!(host.take_sent().len(), reports, "{max} bytes");
    }
}

#[test]
fn a_full_inbox_does_not_hold_back_what_is_known() {
    let mut host = observing(options().max_unread_commands(count(1)));
    for _ in 0..2 {
        host.receive(PUSH, r#"[{"id":1}]"#);
    }
    let statistics = host.statistics();
    assert_eq!(statistics.commands_held, 0);
    assert_eq!(statistics.commands_repeated, 1);
}

#[test]
fn several_results_go_in_one_report() {
    let mut host = observing(options());
    host.receive(PUSH, r#"[{"id":1},{"id":2}]"#);
    let report = Report::new(reboot(), 1, CommandResult::ok()).and(2, CommandResult::new(203));
    host.submit(&report).unwrap();
    let sent = host.take_sent().remove(0);
    assert_eq!(
        sent.payload,
        r#"[{"id":1,"statusCode":200},{"id":2,"statusCode":203}]"#
    );
    host.acknowledge(sent.key);
    host.receive(PUSH, r#"[{"id":2}]"#);
    assert_eq!(
        host.take_sent()[0].payload,
        r#"[{"id":2,"statusCode":203}]"#
    );
}

#[test]
fn a_released_command_is_surfaced_by_the_next_delivery() {
    let mut host = observing(options());
    host.receive(PUSH, r#"[{"id":1}]"#);
    assert_eq!(read(&mut host), [Some(1)]);
    let now = host.now();
    host.endpoint.release(now, &key(1));
    host.receive(PUSH, r#"[{"id":1}]"#);
    assert_eq!(read(&mut host), [Some(1)]);
    finish(&mut host, 1, CommandResult::ok());
    host.endpoint.release(now, &key(1));
    host.receive(PUSH, r#"[{"id":1}]"#);
    assert!(read(&mut host).is_empty(), "what is answered stays so");
}

#[test]
fn pending_brings_only_what_the_ledger_does_not_know() {
    let mut host = observing(options());
    host.receive(PUSH, r#"[{"id":1},{"id":2}]"#);
    finish(&mut host, 1, CommandResult::ok());
    let asked = host.submit(&Pending::new(reboot())).unwrap();
    let path = host.take_paths().remove(0);
    host.receive(
        &format!("{path}/status"),
        r#"[{"id":1},{"id":2},{"id":3,"payload":"x"}]"#,
    );
    let commands = pending(&host, asked);
    assert_eq!(commands.len(), 1);
    assert_eq!(
        (commands[0].id().as_i64(), commands[0].payload_json()),
        (Some(3), Some("\"x\""))
    );
    assert_eq!(
        host.take_lines().len(),
        1,
        "the finished one gets its result"
    );
    host.receive(PUSH, r#"[{"id":3}]"#);
    assert_eq!(read(&mut host), [Some(1), Some(2)], "3 was handed out");
}

#[test]
fn a_full_inbox_leaves_commands_with_the_platform_until_there_is_room() {
    let mut host = observing(options().max_unread_commands(count(2)));
    host.receive(PUSH, r#"[{"id":1},{"id":2},{"id":3},{"id":4}]"#);
    assert_eq!(host.statistics().commands_held, 2);
    let held = Event::CommandsHeld(reboot());
    assert_eq!(
        host.take_events()
            .iter()
            .filter(|event| **event == held)
            .count(),
        1
    );
    assert!(host.take_sent().is_empty());
    assert_eq!(
        host.endpoint.poll_command(|_| true).unwrap().id().as_i64(),
        Some(1)
    );
    host.drain();
    assert_eq!(
        host.take_lines(),
        [r#"cex/command/reboot/1 {"observe":true}"#]
    );
    host.receive(
        "cex/command/reboot/1/status",
        r#"[{"id":1},{"id":2},{"id":3},{"id":4}]"#,
    );
    assert_eq!(read(&mut host), [Some(2), Some(3)]);
    host.receive(
        "cex/command/reboot/1/status",
        r#"[{"id":1},{"id":2},{"id":3},{"id":4}]"#,
    );
    assert_eq!(read(&mut host), [Some(4)]);
}

/// `reboot`, an ID of one digit and `"abcdef"`: 15 bytes each.
#[test]
fn an_inbox_is_filled_to_the_last_byte_and_a_lone_command_may_be_larger() {
    let commands = [1, 2, 3].map(|id| format!(r#"{{"id":{id},"payload":"abcdef"}}"#));
    for (bytes, read_at_once) in [(45, 3), (44, 2), (30, 2), (29, 1), (15, 1), (1, 1)] {
        // In one list, and one by one.
        for at_once in [3, 1] {
            let mut host = observing(options().max_unread_bytes(count(bytes)));
            for list in commands.chunks(at_once) {
                host.receive(PUSH, &format!("[{}]", list.join(",")));
            }
            let held = 3 - read_at_once as u64;
            assert_eq!(host.statistics().commands_held, held, "{bytes} bytes");
            assert_eq!(read(&mut host).len(), read_at_once, "{bytes} bytes");
        }
    }
}

#[test]
fn a_full_ledger_leaves_commands_with_the_platform_until_one_is_confirmed() {
    let mut host = observing(options().max_commands(count(2)));
    host.receive(PUSH, r#"[{"id":1},{"id":2},{"id":3}]"#);
    assert_eq!(read(&mut host), [Some(1), Some(2)]);
    let _ = host.take_sent();
    host.respond(&key(1), CommandResult::ok()).unwrap();
    let sent = host.take_sent();
    assert_eq!(sent.len(), 1, "not confirmed yet");
    host.acknowledge(sent[0].key);
    assert_eq!(host.take_paths(), ["cex/command/reboot/1"]);
    host.receive("cex/command/reboot/1/status", r#"[{"id":2},{"id":3}]"#);
    assert_eq!(read(&mut host), [Some(3)]);
}

#[test]
fn results_that_were_never_acknowledged_do_not_fill_the_ledger_for_good() {
    let mut host = observing(options().max_commands(count(2)));
    host.receive(PUSH, r#"[{"id":1},{"id":2}]"#);
    assert_eq!(read(&mut host), [Some(1), Some(2)]);
    for id in [1, 2] {
        host.respond(&key(id), CommandResult::ok()).unwrap();
    }
    host.advance(Duration::from_secs(31));
    assert_eq!(host.statistics().unanswered, 2);
    host.receive(PUSH, r#"[{"id":3}]"#);
    assert!(
        read(&mut host).is_empty(),
        "the platform may still offer 1 and 2"
    );
    // The oldest was sent again, to make room; that is not acknowledged either.
    host.advance(Duration::from_secs(31));
    host.relink();
    host.receive("cex/command/reboot/1/status", r#"[{"id":2},{"id":3}]"#);
    assert_eq!(read(&mut host), [Some(3)], "1 is done with");
}

#[test]
fn commands_of_types_that_nobody_observes_take_no_slot() {
    let mut host = observing(options().max_commands(count(1)));
    host.receive("cex/command/other/status", r#"[{"id":1},{"id":2}]"#);
    assert_eq!(host.statistics().commands_unobserved, 2);
    host.receive(PUSH, r#"[{"id":1}]"#);
    assert_eq!(read(&mut host), [Some(1)]);
}

#[test]
fn commands_on_the_path_of_all_types_say_their_own() {
    let mut host = observing(options());
    let list = r#"[{"id":1,"type":"reboot"},{"id":2,"type":"other"},{"id":3},{"id":4,"type":7}]"#;
    host.receive("cex/command/status", list);
    assert_eq!(read(&mut host), [Some(1)]);
    assert_eq!(
        (
            host.statistics().commands_unobserved,
            host.statistics().malformed
        ),
        (1, 1)
    );
}

#[test]
fn each_type_is_read_by_its_own_reader() {
    let mut host = observing(options());
    let close = CommandType::new("close-door").unwrap();
    host.observe(&Observation::Commands(close.clone())).unwrap();
    host.receive(PUSH, r#"[{"id":1}]"#);
    host.receive("cex/command/close-door/status", r#"[{"id":1}]"#);
    let command = host.endpoint.poll_command(|name| *name == close).unwrap();
    assert_eq!(
        command.command_type(),
        &close,
        "the same ID, another command"
    );
    assert_eq!(read(&mut host), [Some(1)]);
}

#[test]
fn a_single_object_is_a_command_and_what_is_none_is_counted() {
    let mut host = observing(options());
    host.receive(PUSH, r#"{"id":1,"payload":"now"}"#);
    host.receive(PUSH, r#"[7,{"id":2},{},[3],{"id":null},{"id":4}]"#);
    host.receive(PUSH, "not json");
    host.receive(PUSH, r#"{"observe":true}"#);
    assert_eq!(read(&mut host), [Some(1), Some(2), Some(4)]);
    assert_eq!(host.statistics().malformed, 3, "once for each message");
    let malformed = |event: &&Event| matches!(event, Event::Malformed { .. });
    assert_eq!(host.take_events().iter().filter(malformed).count(), 3);
}

#[test]
fn a_result_is_taken_even_when_the_queue_is_full() {
    let mut host = observing(options().queue(Class::Control, count(1), count(1000)));
    host.receive(PUSH, r#"[{"id":1}]"#);
    host.link_down();
    host.submit(&Pending::new(reboot())).unwrap();
    let full = host.submit(&Pending::new(reboot()));
    assert_eq!(full, Err(SubmitError::QueueFull(Class::Control)));
    host.respond(&key(1), CommandResult::ok()).unwrap();
    host.link_up();
    assert!(
        host.take_lines()
            .iter()
            .any(|line| line.ends_with(r#"[{"id":1,"statusCode":200}]"#))
    );
}

#[test]
fn a_result_that_is_too_large_leaves_the_command_in_progress() {
    let mut host = observing(options().max_message(count(40)));
    host.receive(PUSH, r#"[{"id":1}]"#);
    let large = CommandResult::ok().with_payload("0123456789").unwrap();
    let error = host.respond(&key(1), large).unwrap_err();
    assert_eq!(
        error,
        SubmitError::TooLarge {
            size: 50,
            limit: 40
        }
    );
    host.respond(&key(1), CommandResult::ok()).unwrap();
}

#[test]
fn a_result_is_sent_again_after_a_link_loss() {
    let mut host = observing(options());
    host.receive(PUSH, r#"[{"id":1}]"#);
    let id = host.respond(&key(1), CommandResult::ok()).unwrap();
    let first = host.take_lines();
    host.relink();
    let again = host.take_lines();
    assert_eq!(first.len(), 1);
    assert!(again.contains(&first[0]), "{again:?}");
    assert!(host.outcome(id).is_none());
}

#[test]
fn a_rejected_result_is_kept_for_the_next_delivery() {
    let mut host = observing(options());
    host.receive(PUSH, r#"[{"id":1}]"#);
    let id = host.respond(&key(1), CommandResult::ok()).unwrap();
    let path = host.take_paths().remove(0);
    host.receive(&format!("{path}/error"), r#"{"statusCode":500}"#);
    assert!(matches!(
        host.outcome(id),
        Some(Err(Failure::Rejected { .. }))
    ));
    host.receive(PUSH, r#"[{"id":1}]"#);
    assert_eq!(
        host.take_sent()[0].payload,
        r#"[{"id":1,"statusCode":200}]"#
    );
}

/// PUBACK is not the platform's word (FACTS trap 36): its late `/error` is.
#[test]
fn a_rejected_result_makes_no_room_in_a_full_ledger_or_its_command_would_be_run_again() {
    let mut host = observing(options().max_commands(count(1)).durable(true));
    host.receive(PUSH, r#"[{"id":1}]"#);
    assert_eq!(read(&mut host), [Some(1)]);
    let _ = finish(&mut host, 1, CommandResult::ok());
    host.receive("cex/result/reboot/2/error", r#"{"statusCode":500}"#);
    host.receive(PUSH, r#"[{"id":2},{"id":1}]"#);
    host.receive(PUSH, r#"[{"id":1}]"#);
    assert_eq!(read(&mut host), []);
    let of_result =
        |record: &&Record| matches!(record, Record::Finished(..) | Record::ResultTaken(_));
    let records: Vec<_> = host.records.iter().filter(of_result).collect();
    assert!(
        matches!(
            records[..],
            [
                Record::Finished(..),
                Record::ResultTaken(_),
                Record::Finished(..)
            ]
        ),
        "it was taken, and was not after all: {records:?}"
    );

    // The result was sent again, and now it is taken.
    let again = host.take_sent();
    let reports = again
        .iter()
        .filter(|sent| sent.path.starts_with("cex/result"));
    let keys: Vec<_> = reports.map(|sent| sent.key).collect();
    keys.into_iter().for_each(|key| host.acknowledge(key));
    host.receive(PUSH, r#"[{"id":2}]"#);
    assert_eq!(read(&mut host), [Some(2)]);
}

/// Only a list says what is outstanding, and with it what is not.
#[test]
fn an_answer_without_a_list_takes_no_result_for_taken_or_its_command_would_be_run_again() {
    for (suffix, answer) in [
        ("error", r#"{"statusCode":304}"#),
        ("status", r#"{"statusCode":304}"#),
        ("status", ""),
        ("status", "null"),
        ("status", r#"{"statusCode":200,"reasonPhrase":"OK"}"#),
        ("status", r#"{"id":2}"#),
        ("status", r#"[{"ID":1}]"#),
    ] {
        let mut host = observing(options().max_commands(count(1)));
        host.receive(PUSH, r#"[{"id":1}]"#);
        assert_eq!(read(&mut host), [Some(1)]);
        host.respond(&key(1), CommandResult::ok()).unwrap();
        host.advance(Duration::from_secs(31));
        host.relink();
        host.receive(&format!("cex/command/reboot/1/{suffix}"), answer);
        host.receive(PUSH, r#"[{"id":3}]"#);
        host.receive(PUSH, r#"[{"id":1}]"#);
        assert_eq!(read(&mut host), [], "{suffix} {answer}");
    }
}

#[test]
fn results_that_nobody_asks_for_again_are_sent_again_where_they_fill_the_ledger() {
    let mut host = observing(options().max_commands(count(1)));
    let open = CommandType::new("open").unwrap();
    let asked = host.submit(&Pending::new(open.clone())).unwrap();
    let path = host.take_paths().remove(0);
    host.receive(&format!("{path}/status"), r#"[{"id":7}]"#);
    assert_eq!(pending(&host, asked).len(), 1);
    let key = CommandKey::new(open, CommandId::from(7));
    host.respond(&key, CommandResult::ok()).unwrap();
    host.advance(Duration::from_secs(31));
    assert_eq!(host.statistics().unanswered, 1);
    let _ = host.take_sent();

    host.receive(PUSH, r#"[{"id":1}]"#);
    assert_eq!(read(&mut host), []);
    let again = host.take_sent();
    assert_eq!(again[0].payload, r#"[{"id":7,"statusCode":200}]"#);
    assert_eq!(host.statistics().results_resent, 1);
    host.acknowledge(again[0].key);
    let path = host.take_paths().remove(0);
    host.receive(&format!("{path}/status"), r#"[{"id":1}]"#);
    assert_eq!(read(&mut host), [Some(1)]);
}

/// What comes then on its ID may be a push, which says nothing of what else is outstanding.
#[test]
fn a_push_while_a_live_observation_is_asked_for_again_takes_no_result_for_taken() {
    let mut host = observing(options().max_commands(count(1)));
    host.receive(PUSH, r#"[{"id":1}]"#);
    assert_eq!(read(&mut host), [Some(1)]);
    host.respond(&key(1), CommandResult::ok()).unwrap();
    let _ = host.take_sent();
    let asks = |line: &String| line.starts_with("cex/command/reboot/1 ");
    while !host.take_lines().iter().any(asks) {
        host.advance(Duration::from_secs(10));
    }
    host.receive("cex/command/reboot/1/status", r#"[{"id":2}]"#);
    assert_eq!(read(&mut host), []);
    host.receive(PUSH, r#"[{"id":1}]"#);
    assert_eq!(read(&mut host), [], "it was run a second time");
}

/// Found by the fuzz target `pair`: the list was held up until the platform had the results of what it
/// names, and a full ledger had forgotten those.
#[test]
fn a_list_that_comes_late_brings_no_command_again_that_was_forgotten_meanwhile() {
    let mut host = observing(options().max_commands(count(1)));
    let run = |host: &mut EndpointHost, id: i64| {
        host.receive(PUSH, &format!(r#"[{{"id":{id}}}]"#));
        assert_eq!(read(host), [Some(id)]);
        finish(host, id, CommandResult::ok());
    };
    run(&mut host, 1);
    run(&mut host, 2);
    host.receive("cex/command/reboot/1/status", r#"[{"id":1},{"id":2}]"#);
    assert_eq!(read(&mut host), [], "it was run a second time");
    assert_eq!(host.statistics().commands_repeated, 1);
    // Perhaps its result is lost, and the platform waits for it.
    host.advance(Duration::from_secs(301));
    host.receive(PUSH, r#"[{"id":1}]"#);
    assert_eq!(read(&mut host), [Some(1)]);
}
