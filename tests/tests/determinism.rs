//! The same seed and the same calls give the same output; and no output shows a secret.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::fmt::Debug;
use std::time::Duration;

use kaa_proto::commands::{CommandId, CommandResult};
use kaa_proto::endpoint::{CommandKey, Endpoint, EndpointOptions, Event, Filter, Observation};
use kaa_proto::names::{CommandType, EndpointName};
use kaa_proto::request::{Request, RequestExt, Resend};
use kaa_proto::telemetry::Sample;
use kaa_proto::{config, metadata, upload};
use kaa_tests::clock::Clock;
use kaa_tests::endpoint_host::EndpointHost;
use serde_json::json;

/// A long life with losses, drawn from `choices`; what came out, in order.
fn life(seed: u64, choices: u64) -> (Vec<String>, String) {
    let mut host = EndpointHost::offline(EndpointOptions::default().durable(true), seed).unwrap();
    let mut random = choices;
    let mut below = |bound: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % bound
    };
    let reboot = CommandType::new("reboot").unwrap();
    let observations = [
        Observation::Commands(reboot),
        Observation::Configuration(None),
        Observation::Software,
    ];
    let (mut log, mut topics) = (Vec::new(), Vec::new());
    for step in 0..3000_u64 {
        match below(14) {
            0 => host.link_up(),
            1 => host.link_down(),
            2 => drop(host.submit(&Sample::new(step).resend(Resend::AfterLinkLoss))),
            3 => drop(host.submit(&Sample::new(step).durable())),
            4 => drop(host.submit(&metadata::Merge::new(json!({"a": step})))),
            5 => drop(host.submit(&config::Applied::new("a"))),
            6 => drop(host.observe(&observations[below(3) as usize])),
            7 => drop(host.unobserve(&observations[below(3) as usize])),
            8 => host.receive(
                "cex/command/reboot/status",
                &format!(r#"[{{"id":{}}}]"#, step % 40),
            ),
            9 => {
                if let Some(command) = host.endpoint.poll_command(|_| true) {
                    drop(host.respond(&CommandKey::from(&command), CommandResult::ok()));
                }
            }
            10 => host.advance(Duration::from_secs(below(90))),
            11 => host.receive(
                "cmx/config/json/status",
                &format!(r#"{{"configId":"{step}","config":1}}"#),
            ),
            _ => {
                let topic: String = match topics.is_empty() {
                    true => continue,
                    false => topics.swap_remove(below(topics.len() as u64) as usize),
                };
                let suffix = if below(5) == 0 { "error" } else { "status" };
                let _ = host.receive_raw(&format!("{topic}/{suffix}"), b"");
            }
        }
        for sent in host.take_sent() {
            log.push(format!("{} {} {:?}", sent.topic, sent.payload, sent.qos));
            topics.push(sent.topic);
        }
        log.extend(host.take_events().iter().map(|event| format!("{event:?}")));
    }
    log.extend(host.filters.iter().cloned());
    log.extend(host.records.iter().map(|record| format!("{record:?}")));
    (log, format!("{:?}", host.statistics()))
}

#[test]
fn the_same_seed_and_calls_give_the_same_messages_events_and_records() {
    for choices in 0..20 {
        let (first, second) = (life(7, choices), life(7, choices));
        assert!(first.0.len() > 500, "{}", first.0.len());
        assert_eq!(first, second, "{choices}");
    }
}

/// Not a test of its own: the host checks the contract after each of these steps.
#[test]
fn the_contract_holds_in_any_order_of_calls() {
    for choices in 100..160 {
        let _ = life(choices, choices);
    }
}

const TOKEN: &str = "JTjdbENzHh";
const UPLOAD_TOKEN: &str = "very-secret-2222";

fn assert_hidden(shown: &(impl Debug + ?Sized)) {
    for text in [format!("{shown:?}"), format!("{shown:#?}")] {
        assert!(
            !text.contains(TOKEN) && !text.contains(UPLOAD_TOKEN),
            "{text}"
        );
    }
}

#[test]
fn nothing_that_can_be_shown_shows_a_token() {
    let name = EndpointName::parse("demo-v1", TOKEN).unwrap();
    let options = EndpointOptions::default().durable(true);
    let mut endpoint = Endpoint::new(name, options.into(), 1);
    let now = Clock::new().now();
    endpoint.handle_link_up(now);
    endpoint.submit(now, &upload::GetToken.durable()).unwrap();
    let reboot = CommandType::new("reboot").unwrap();
    endpoint
        .observe(now, &Observation::Commands(reboot.clone()))
        .unwrap();
    assert_hidden(&endpoint);
    let mut kinds = [0; 4];
    for round in 0..10 {
        while let Some(record) = endpoint.poll_record() {
            kinds[0] += 1;
            assert_hidden(&record);
        }
        endpoint.handle_stored(now, usize::MAX);
        while let Some(filter) = endpoint.poll_filter(now) {
            kinds[1] += 1;
            assert_hidden(&filter);
            let (Filter::Subscribe(filter) | Filter::Unsubscribe(filter)) = filter;
            endpoint.handle_filter(now, &filter, kaa_proto::endpoint::FilterOutcome::Refused);
        }
        while let Some(message) = endpoint.poll_message(now) {
            kinds[2] += 1;
            assert_hidden(&message);
            let answer = format!(r#"{{"token":"{UPLOAD_TOKEN}"}}"#);
            let _ = endpoint.handle_message(
                now,
                &format!("{}/status", message.topic),
                answer.as_bytes(),
            );
        }
        while let Some(event) = endpoint.poll_event() {
            kinds[3] += 1;
            assert_hidden(&event);
            if let Event::Completed {
                outcome: Ok(reply), ..
            } = &event
            {
                if reply.resource() == "token" {
                    assert_hidden(&upload::GetToken::decode(reply).unwrap());
                }
            }
        }
        if round == 2 {
            let topic = format!("kp1/demo-v1/cex/{TOKEN}/command/reboot/status");
            let _ = endpoint.handle_message(now, &topic, br#"[{"id":1},7]"#);
            let key = CommandKey::new(reboot.clone(), CommandId::from(1));
            let result = CommandResult::ok().with_payload(UPLOAD_TOKEN).unwrap();
            endpoint.respond(now, &key, result).unwrap();
        }
        if round == 5 {
            endpoint
                .submit(now, &Sample::new(UPLOAD_TOKEN).durable())
                .unwrap();
            endpoint.handle_link_down(now);
            endpoint.close(now).iter().for_each(assert_hidden);
        }
    }
    assert!(kinds.iter().all(|seen| *seen > 1), "{kinds:?}");
    assert_hidden(&endpoint);
    assert_hidden(endpoint.name());
    assert_hidden(&endpoint.statistics());
}
