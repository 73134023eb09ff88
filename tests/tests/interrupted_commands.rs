//! Commands that were in progress when the program ended: what becomes of them when the platform
//! offers them again.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::num::NonZeroUsize;
use std::time::Duration;

use kaa_proto::commands::{Command, CommandId, CommandResult, Pending};
use kaa_proto::endpoint::{
    CommandKey, EndpointOptions, Observation, Record, Subscriptions, WhenInterrupted,
};
use kaa_proto::names::CommandType;
use kaa_proto::request::RequestExt as _;
use kaa_tests::endpoint_host::EndpointHost;

const SECOND: Duration = Duration::from_secs(1);

fn of(name: &str) -> CommandType {
    CommandType::new(name).unwrap()
}

fn key(name: &str, id: i64) -> CommandKey {
    CommandKey::new(of(name), CommandId::from(id))
}

/// Types named as what becomes of them; `ask` is the default.
fn options() -> EndpointOptions {
    EndpointOptions::default()
        .subscriptions(Subscriptions::None)
        .durable(true)
        .interrupted(of("fail"), WhenInterrupted::Fail)
        .interrupted(of("again"), WhenInterrupted::RunAgain)
}

/// The next run of the program, with what is in the store. It observes all three types.
fn next(store: &[Record], options: EndpointOptions) -> EndpointHost {
    let mut host = EndpointHost::offline(options, 1).unwrap();
    let texts = store.iter().map(Record::to_json);
    host.restore(texts.map(|text| Record::from_json(&text).unwrap()));
    host.link_up();
    for name in ["ask", "fail", "again"] {
        host.observe(&Observation::Commands(of(name))).unwrap();
    }
    let _ = host.take_sent();
    host
}

/// The platform offers commands of a type, unasked.
fn offer(host: &mut EndpointHost, name: &str, list: &str) {
    host.receive(&format!("cex/command/{name}/status"), list);
}

/// The platform answers the observation of a type with all that is outstanding of it.
fn list(host: &mut EndpointHost, name: &str, all: &str) {
    let place = ["ask", "fail", "again"].iter().position(|of| *of == name);
    let id = place.unwrap() + 1;
    host.receive(&format!("cex/command/{name}/{id}/status"), all);
}

fn read(host: &mut EndpointHost) -> Vec<Command> {
    let commands = std::iter::from_fn(|| host.endpoint.poll_command(|_| true)).collect();
    host.drain();
    commands
}

/// What the program is told of each command that it reads.
fn interruptions(host: &mut EndpointHost) -> Vec<u32> {
    read(host).iter().map(Command::interruptions).collect()
}

/// The power goes after this command was read; how often it was interrupted, run by run.
fn runs(name: &str, runs: usize) -> (Vec<Vec<u32>>, Vec<Record>, Vec<String>) {
    let (mut store, mut told, mut sent) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let mut host = next(&store, options());
        list(&mut host, name, r#"[{"id":1}]"#);
        told.push(interruptions(&mut host));
        sent.extend(host.take_lines());
        store.append(&mut host.records);
    }
    (told, store, sent)
}

#[test]
fn a_command_that_was_interrupted_comes_marked_with_how_often() {
    let (told, _, sent) = runs("ask", 6);
    assert_eq!(told, [[0], [1], [2], [3], [4], [5]]);
    assert_eq!(sent, [""; 0]);
}

#[test]
fn an_interrupted_command_that_must_not_run_twice_is_reported_as_failed() {
    let (told, store, sent) = runs("fail", 2);
    assert_eq!(told, [vec![0], vec![]]);
    let failure = r#"[{"id":1,"statusCode":500,"reasonPhrase":"interrupted by a restart"}]"#;
    let [line] = sent.as_slice() else {
        panic!("{sent:?}");
    };
    let (path, payload) = line.split_once(' ').unwrap();
    assert!(path.starts_with("cex/result/fail/"), "{path}");
    assert_eq!(payload, failure);
    // The next run knows.
    let mut host = next(&store, options());
    assert_eq!(host.take_recovered().finished, [key("fail", 1)]);
    list(&mut host, "fail", r#"[{"id":1}]"#);
    assert!(read(&mut host).is_empty());
    assert!(host.take_lines()[0].ends_with(failure));
}

#[test]
fn the_failure_of_an_interrupted_command_is_stored_before_it_is_sent() {
    let mut host = next(&[Record::Surfaced(key("fail", 1))], options());
    let now = host.now();
    let topic = "kp1/demo-v1/cex/JTjdbENzHh/command/fail/status";
    let _ = host.endpoint.handle_message(now, topic, br#"[{"id":1}]"#);
    assert!(host.endpoint.poll_message(now).is_none(), "not recorded");
    let record = host.endpoint.poll_record().unwrap();
    assert!(matches!(&record, Record::Finished(of, _) if *of == key("fail", 1)));
    assert!(host.endpoint.poll_message(now).is_none(), "not stored");
    host.endpoint.handle_stored(now, 1);
    assert!(host.endpoint.poll_message(now).is_some());
}

#[test]
fn a_command_that_may_run_again_comes_as_new_until_it_was_interrupted_three_times() {
    let (told, store, sent) = runs("again", 5);
    assert_eq!(told, [vec![0], vec![0], vec![0], vec![0], vec![]]);
    let [line] = sent.as_slice() else {
        panic!("{sent:?}");
    };
    assert!(line.contains(r#"{"id":1,"statusCode":500,"#), "{line}");
    let surfaced = |record: &&Record| matches!(record, Record::Surfaced(_));
    assert_eq!(store.iter().filter(surfaced).count(), 4);
}

#[test]
fn each_type_is_treated_as_its_own_policy_says() {
    let mut host = next(&[], options());
    for name in ["ask", "fail", "again"] {
        offer(&mut host, name, r#"[{"id":1}]"#);
    }
    assert_eq!(interruptions(&mut host), [0, 0, 0]);
    let mut host = next(&host.records, options());
    let interrupted = ["again", "ask", "fail"].map(|name| key(name, 1));
    assert_eq!(host.take_recovered().interrupted, interrupted);
    // The same identifier in another type is another command.
    for name in ["fail", "again", "ask"] {
        offer(&mut host, name, r#"[{"id":1},{"id":2}]"#);
    }
    let commands = read(&mut host);
    let seen: Vec<_> = commands
        .iter()
        .map(|of| (CommandKey::from(of), of.interruptions()))
        .collect();
    let expected = [
        ("fail", 2, 0),
        ("again", 1, 0),
        ("again", 2, 0),
        ("ask", 1, 1),
        ("ask", 2, 0),
    ];
    assert_eq!(seen, expected.map(|(name, id, n)| (key(name, id), n)));
    assert_eq!(host.take_sent().len(), 1);
}

#[test]
fn an_interrupted_command_comes_once_in_a_run_and_its_answer_ends_it() {
    let mut host = next(&[Record::Surfaced(key("ask", 1))], options());
    for _ in 0..3 {
        list(&mut host, "ask", r#"[{"id":1}]"#);
        offer(&mut host, "ask", r#"[{"id":1}]"#);
    }
    assert_eq!(interruptions(&mut host), [1]);
    host.relink();
    let _ = host.take_sent();
    offer(&mut host, "ask", r#"[{"id":1}]"#);
    assert!(read(&mut host).is_empty(), "the program has it");
    host.respond(&key("ask", 1), CommandResult::ok()).unwrap();
    assert!(host.take_lines()[0].ends_with(r#" [{"id":1,"statusCode":200}]"#));
    let mut last = next(&host.records, options());
    let recovered = last.take_recovered();
    assert!(recovered.interrupted.is_empty());
    assert_eq!(recovered.finished, [key("ask", 1)]);
}

#[test]
fn a_command_that_is_answered_before_it_is_offered_again_does_not_come() {
    let mut host = next(&[Record::Surfaced(key("ask", 1))], options());
    host.respond(&key("ask", 1), CommandResult::ok()).unwrap();
    let report = host.take_sent().remove(0).key;
    offer(&mut host, "ask", r#"[{"id":1}]"#);
    assert!(read(&mut host).is_empty());
    host.acknowledge(report);
}

#[test]
fn a_stored_result_is_sent_again_until_the_platform_stops_offering() {
    let mut store = Vec::new();
    let mut host = next(&store, options());
    list(&mut host, "ask", r#"[{"id":1}]"#);
    assert_eq!(interruptions(&mut host), [0]);
    host.respond(&key("ask", 1), CommandResult::ok()).unwrap();
    assert_eq!(host.take_sent().len(), 1);
    store.append(&mut host.records);
    for _ in 0..3 {
        let mut host = next(&store, options());
        list(&mut host, "ask", r#"[{"id":1}]"#);
        assert!(read(&mut host).is_empty());
        let lines = host.take_lines();
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].ends_with(r#" [{"id":1,"statusCode":200}]"#),
            "{lines:?}"
        );
        store.append(&mut host.records);
    }
    let mut host = next(&store, options());
    list(&mut host, "ask", "[]");
    host.advance(60 * SECOND);
    let results = host.take_paths().into_iter();
    assert_eq!(results.filter(|path| path.contains("result")).count(), 0);
    let taken = |record: &Record| matches!(record, Record::ResultTaken(of) if *of == key("ask", 1));
    assert!(host.records.iter().any(taken), "it is done with it");
}

#[test]
fn an_interrupted_command_that_is_no_longer_listed_makes_room_and_not_before() {
    let full = || options().max_commands(NonZeroUsize::new(2).unwrap());
    let store = [1, 2].map(|id| Record::Surfaced(key("ask", id)));
    let mut host = next(&store, full());
    // A push tells nothing of the others, and the list of another type neither.
    offer(&mut host, "ask", r#"[{"id":3}]"#);
    list(&mut host, "fail", "[]");
    offer(&mut host, "ask", r#"[{"id":3}]"#);
    assert!(read(&mut host).is_empty(), "there is no room");
    list(&mut host, "ask", r#"[{"id":2},{"id":3}]"#);
    let seen: Vec<_> = read(&mut host)
        .iter()
        .map(|of| (CommandKey::from(of), of.interruptions()))
        .collect();
    assert_eq!(seen, [(key("ask", 2), 1), (key("ask", 3), 0)]);
    let forgotten =
        |record: &Record| matches!(record, Record::Forgotten(of) if *of == key("ask", 1));
    assert!(host.records.iter().any(forgotten));
    // That holds for the store too.
    let both: Vec<_> = store.into_iter().chain(host.records.clone()).collect();
    let mut last = next(&both, full());
    let interrupted = [2, 3].map(|id| key("ask", id));
    assert_eq!(last.take_recovered().interrupted, interrupted);
}

/// Its time may be over long ago.
#[test]
fn an_interrupted_command_that_is_no_longer_listed_is_forgotten_by_the_store_too() {
    let mut store = [1, 2].map(|id| Record::Surfaced(key("ask", id))).to_vec();
    let mut host = next(&store, options());
    list(&mut host, "ask", r#"[{"id":2}]"#);
    assert_eq!(interruptions(&mut host), [1]);
    // What was on its way before the list is no new command.
    offer(&mut host, "ask", r#"[{"id":1}]"#);
    assert!(read(&mut host).is_empty());
    store.append(&mut host.records);
    let mut last = next(&store, options());
    assert_eq!(last.take_recovered().interrupted, [key("ask", 2)]);
    // What the platform gives that ID now is.
    list(&mut last, "ask", r#"[{"id":1},{"id":2}]"#);
    assert_eq!(interruptions(&mut last), [0, 2]);
}

#[test]
fn an_interrupted_command_that_is_forgotten_may_still_be_answered() {
    let mut host = next(&[Record::Surfaced(key("ask", 1))], options());
    list(&mut host, "ask", "[]");
    host.respond(&key("ask", 1), CommandResult::ok()).unwrap();
    let report = host.take_sent().remove(0);
    assert_eq!(report.payload, r#"[{"id":1,"statusCode":200}]"#);
    offer(&mut host, "ask", r#"[{"id":1}]"#);
    assert!(read(&mut host).is_empty());
}

#[test]
fn pending_marks_interrupted_commands_and_reports_those_that_fail() {
    let store = ["ask", "fail", "again"].map(|name| Record::Surfaced(key(name, 1)));
    for (name, marks, reports) in [
        ("ask", vec![1, 0], 0),
        ("fail", vec![0], 1),
        ("again", vec![0, 0], 0),
    ] {
        let mut host = EndpointHost::offline(options(), 1).unwrap();
        host.restore(store.clone());
        host.link_up();
        let id = host.submit(&Pending::new(of(name))).unwrap();
        let _ = host.take_sent();
        let path = format!("cex/command/{name}/1/status");
        host.receive(&path, r#"[{"id":1},{"id":2}]"#);
        let reply = host.outcome(id).unwrap().as_ref().unwrap();
        let commands = <Pending as kaa_proto::request::Request>::decode(reply).unwrap();
        let seen: Vec<_> = commands.iter().map(Command::interruptions).collect();
        assert_eq!(seen, marks, "{name}");
        assert_eq!(host.take_sent().len(), reports, "{name}");
    }
}

/// It may have been run by an earlier run of the program, whatever this one does with it.
#[test]
fn an_interrupted_command_that_is_given_back_stays_marked() {
    let mut store = vec![Record::Surfaced(key("ask", 1)); 2];
    let mut host = next(&store, options());
    let now = host.now();
    list(&mut host, "ask", r#"[{"id":1}]"#);
    assert_eq!(interruptions(&mut host), [2]);
    host.endpoint.release(now, &key("ask", 1));
    host.drain();
    list(&mut host, "ask", r#"[{"id":1}]"#);
    assert_eq!(interruptions(&mut host), [2], "no run has ended since");
    host.endpoint.release(now, &key("ask", 1));
    host.drain();
    store.append(&mut host.records);
    let mut last = next(&store, options());
    list(&mut last, "ask", r#"[{"id":1}]"#);
    assert_eq!(interruptions(&mut last), [2], "it was not in progress");
}

#[test]
fn an_interrupted_command_that_nobody_read_stays_marked() {
    let mut host = next(&[Record::Surfaced(key("ask", 1))], options());
    list(&mut host, "ask", r#"[{"id":1}]"#);
    let ask = Observation::Commands(of("ask"));
    assert!(host.unobserve(&ask));
    host.observe(&ask).unwrap();
    offer(&mut host, "ask", r#"[{"id":1}]"#);
    assert_eq!(interruptions(&mut host), [1]);
}

/// Who asked is gone, and nobody would run what the answer brings.
#[test]
fn a_request_for_commands_is_not_stored_and_ends_with_who_asked() {
    let mut host = EndpointHost::offline(options(), 1).unwrap();
    let pending = Pending::new(of("ask")).durable();
    host.submit(&pending).unwrap();
    let is_accepted = |record: &Record| matches!(record, Record::Accepted(..));
    assert!(!host.records.iter().any(is_accepted));
}

/// They have their room among the known ones already, which are four at most here.
#[test]
fn interrupted_commands_keep_to_the_bounds_of_what_is_unread_as_new_ones_do() {
    let all = r#"[{"id":1},{"id":2},{"id":3},{"id":4}]"#;
    let count = |count| NonZeroUsize::new(count).unwrap();
    for (bounded, held) in [
        (options().max_unread_commands(count(2)), 2),
        (options().max_unread_bytes(count(1)), 3),
    ] {
        let mut host = next(&[], options());
        list(&mut host, "ask", all);
        assert_eq!(read(&mut host).len(), 4);
        let mut host = next(&host.records, bounded.max_commands(count(4)));
        list(&mut host, "ask", all);
        assert_eq!(host.statistics().commands_held, held);
        let mut seen = Vec::new();
        while let Some(command) = host.endpoint.poll_command(|_| true) {
            seen.push((command.id().as_i64().unwrap(), command.interruptions()));
            host.drain();
            for message in host.take_sent() {
                host.receive(&format!("{}/status", message.path), all);
            }
        }
        assert_eq!(seen, [(1, 1), (2, 1), (3, 1), (4, 1)]);
    }
}
