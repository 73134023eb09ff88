//! Commands and results where room is short: what is asked for, what is kept, what is let go.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::num::NonZeroUsize;
use std::time::Duration;

use kaa_proto::commands::{CommandId, CommandResult, Report};
use kaa_proto::endpoint::{CommandKey, EndpointOptions, Event, Observation, Subscriptions};
use kaa_proto::names::CommandType;
use kaa_tests::endpoint_host::EndpointHost;

const PUSH: &str = "cex/command/reboot/status";
const MINUTE: Duration = Duration::from_secs(60);

fn reboot() -> CommandType {
    CommandType::new("reboot").unwrap()
}

fn count(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

/// Observes the type; its request has ID 1 and was answered.
fn observing(options: EndpointOptions) -> EndpointHost {
    let options = options.subscriptions(Subscriptions::None);
    let mut host = EndpointHost::online(options, 1).unwrap();
    host.observe(&Observation::Commands(reboot())).unwrap();
    host.receive("cex/command/reboot/1/status", "[]");
    let _ = (host.take_sent(), host.take_events());
    host
}

/// A list of commands, as the platform writes it.
fn list(ids: impl IntoIterator<Item = i64>) -> String {
    let elements: Vec<_> = ids
        .into_iter()
        .map(|id| format!(r#"{{"id":{id}}}"#))
        .collect();
    format!("[{}]", elements.join(","))
}

fn read(host: &mut EndpointHost) -> Vec<i64> {
    let mut ids = Vec::new();
    while let Some(command) = host.endpoint.poll_command(|_| true) {
        ids.push(command.id().as_i64().unwrap());
        host.drain();
    }
    ids
}

fn respond(host: &mut EndpointHost, id: i64) {
    let key = CommandKey::new(reboot(), CommandId::from(id));
    host.respond(&key, CommandResult::ok()).unwrap();
}

/// How many messages such a platform gets until it hears no more, `most` at the most: it acknowledges
/// each result and refuses it then, and lists what is outstanding when it is asked.
fn heard_by_one_that_refuses(host: &mut EndpointHost, outstanding: &[i64], most: usize) -> usize {
    let mut heard = 0;
    loop {
        let sent = host.take_sent();
        if sent.is_empty() || heard >= most {
            return heard;
        }
        for message in sent {
            heard += 1;
            match message.path.starts_with("cex/result/") {
                true => {
                    host.acknowledge(message.key);
                    host.receive(&format!("{}/error", message.path), r#"{"statusCode":409}"#);
                }
                false => {
                    let all = list(outstanding.iter().copied());
                    host.receive(&format!("{}/status", message.path), &all);
                }
            }
        }
    }
}

#[test]
fn results_that_the_platform_refuses_are_not_sent_at_the_pace_of_the_link_and_make_room_in_the_end()
{
    let mut host = observing(EndpointOptions::default().max_commands(count(2)));
    host.receive(PUSH, &list([1, 2]));
    assert_eq!(read(&mut host), [1, 2]);
    respond(&mut host, 1);
    respond(&mut host, 2);
    heard_by_one_that_refuses(&mut host, &[1, 2], 100);
    host.receive(PUSH, &list([3]));
    let heard = heard_by_one_that_refuses(&mut host, &[1, 2, 3], 100);
    assert!(heard < 20, "{heard} messages, and on and on");
    assert!(read(&mut host).is_empty(), "1 and 2 are outstanding");
    // The time of both is over, and nobody says so unasked.
    host.advance(2 * MINUTE);
    host.receive(PUSH, &list([4]));
    heard_by_one_that_refuses(&mut host, &[3, 4], 100);
    assert_eq!(read(&mut host), [3, 4]);
    // They were run, whatever comes late.
    host.receive(PUSH, &list([1, 2]));
    assert!(read(&mut host).is_empty());
}

#[test]
fn a_result_that_was_refused_on_one_link_may_be_taken_on_the_next() {
    let mut host = observing(EndpointOptions::default().max_commands(count(1)));
    host.receive(PUSH, &list([1]));
    assert_eq!(read(&mut host), [1]);
    respond(&mut host, 1);
    heard_by_one_that_refuses(&mut host, &[1], 100);
    for _ in 0..3 {
        host.receive(PUSH, &list([1]));
        heard_by_one_that_refuses(&mut host, &[1], 100);
    }
    host.receive(PUSH, &list([2]));
    heard_by_one_that_refuses(&mut host, &[1, 2], 100);
    assert!(read(&mut host).is_empty());
    host.relink();
    let _ = host.take_sent();
    host.receive("cex/command/reboot/1/status", &list([1, 2]));
    let again = host.take_sent().remove(0);
    assert_eq!(again.payload, r#"[{"id":1,"statusCode":200}]"#);
    host.acknowledge(again.key);
    host.receive(PUSH, &list([2]));
    assert_eq!(read(&mut host), [2]);
}

#[test]
fn types_whose_results_were_refused_are_asked_for_in_turn_and_once_a_minute() {
    let mut host = observing(EndpointOptions::default().max_commands(count(2)));
    let open = CommandType::new("open").unwrap();
    host.observe(&Observation::Commands(open.clone())).unwrap();
    host.receive("cex/command/open/2/status", &list([1]));
    host.receive(PUSH, &list([1]));
    assert_eq!(read(&mut host), [1, 1]);
    respond(&mut host, 1);
    host.respond(
        &CommandKey::new(open, CommandId::from(1)),
        CommandResult::ok(),
    )
    .unwrap();
    heard_by_one_that_refuses(&mut host, &[1, 2], 100);
    host.receive(PUSH, &list([2]));
    heard_by_one_that_refuses(&mut host, &[1, 2], 100);
    let mut asked = Vec::new();
    for _ in 0..8 {
        host.advance(MINUTE / 2);
        host.receive(PUSH, &list([2]));
        let sent = host.take_sent();
        let lists = sent.iter().filter(|sent| sent.payload == "{}");
        asked.extend(lists.map(|sent| sent.path.split('/').nth(2).unwrap().to_owned()));
        for message in sent {
            host.receive(&format!("{}/status", message.path), &list([1, 2]));
        }
        heard_by_one_that_refuses(&mut host, &[1, 2], 100);
    }
    assert!(asked.len() <= 4, "{asked:?}");
    assert!(
        asked.windows(2).all(|two| two[0] != two[1]) && asked.len() >= 3,
        "{asked:?}"
    );
}

#[test]
fn held_commands_are_asked_for_when_half_of_the_inbox_was_read() {
    let options = EndpointOptions::default();
    // `reboot` and an ID of up to three digits.
    let by_bytes = options.clone().max_unread_commands(count(1_000));
    let by_bytes = by_bytes.max_unread_bytes(count(64 * 9));
    for options in [options.max_unread_commands(count(64)), by_bytes] {
        let mut host = observing(options);
        host.receive(PUSH, &list(1..=200));
        let (mut seen, mut asked) = (Vec::new(), 0);
        while let Some(command) = host.endpoint.poll_command(|_| true) {
            seen.push(command.id().as_i64().unwrap());
            host.drain();
            for message in host.take_sent() {
                asked += 1;
                host.receive(&format!("{}/status", message.path), &list(1..=200));
            }
        }
        assert!(seen.into_iter().eq(1..=200));
        assert!(asked <= 8, "{asked} lists of 200");
    }
}

#[test]
fn of_many_results_that_were_acknowledged_the_latest_256_are_listened_for() {
    let mut host = observing(EndpointOptions::default());
    let mut paths = Vec::new();
    for id in 0..257 {
        host.submit(&Report::new(reboot(), id, CommandResult::ok()))
            .unwrap();
        let sent = host.take_sent().remove(0);
        host.acknowledge(sent.key);
        paths.push(sent.path);
    }
    let _ = host.take_events();
    host.receive(&format!("{}/error", paths[0]), "{}");
    assert!(host.take_events().is_empty());
    assert_eq!(host.statistics().late_answers, 1);
    for path in [&paths[1], &paths[256]] {
        host.receive(&format!("{path}/error"), "{}");
        let told = host.take_events();
        assert!(
            matches!(told[..], [Event::ResultsRejected { .. }]),
            "{told:?}"
        );
    }
    assert_eq!(host.statistics().late_answers, 1);
}
