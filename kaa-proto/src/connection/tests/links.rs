//! Dialing, greeting, losing, and what arrives.

use super::*;
use crate::mqtt::{ConnectRefusal, Login, Violation};
use crate::names::MAX_NAME_LEN;

#[test]
fn connect_is_the_first_packet_and_nothing_follows_before_connack() {
    let options = Options::new("dev-1")
        .endpoint(silent())
        .login(Some(Login::new("u@t").with_password("pw")));
    let mut wire = Wire::new(options);
    let key = wire.add("tok");
    wire.submit(key, "x");
    let link = wire.link();
    wire.connection.handle_connected(wire.now, link);
    wire.turn();
    let golden = b"\x10\x1a\x00\x04MQTT\x04\xc2\x00\x3c\x00\x05dev-1\x00\x03u@t\x00\x02pw";
    assert_eq!(wire.take_written(), golden);
    wire.receive(CONNACK);
    assert_eq!(wire.events, [Event::LinkUp(link)]);
    let golden = b"\x32\x1b\x00\x14kp1/v/dcx/tok/json/1\x00\x01\"x\"";
    assert_eq!(wire.take_written(), golden);
}

#[test]
fn input_of_a_link_that_is_gone_is_ignored() {
    let (mut wire, _) = Wire::with_one();
    let old = wire.link();
    wire.connect();
    wire.cut();
    wire.dial();
    wire.connection.handle_input(wire.now, old, CONNACK);
    assert_eq!(wire.connection.link_state(), LinkState::Greeting);
    wire.connection
        .handle_disconnected(wire.now, old, LinkError::Eof);
    assert_eq!(wire.connection.link_state(), LinkState::Greeting);
    wire.receive(CONNACK);
    assert_eq!(wire.connection.link_state(), LinkState::Up);
    assert_eq!(wire.connection.statistics().links_up, 2);
}

#[test]
fn malformed_mqtt_closes_the_link_and_counts_into_the_backoff() {
    let (mut wire, _) = Wire::with_one();
    for failures in 1..=5 {
        wire.connect();
        wire.events.clear();
        let link = wire.link();
        wire.receive(b"\xf0\x00");
        let Event::LinkLost { error, was, .. } = &wire.events[0] else {
            panic!("{:?}", wire.events);
        };
        let violation = LinkError::Violation(Violation::ReservedType(15));
        assert_eq!((error, *was), (&violation, LinkState::Up));
        assert_eq!(wire.connection.demand(), Demand::Abandon(link));
        assert!(!wire.connection.wants_input());
        wire.cut();
        let statistics = wire.connection.statistics();
        assert_eq!(statistics.failures_in_a_row, failures);
    }
}

#[test]
fn a_refusal_is_told_by_its_name_and_new_credentials_cut_the_wait() {
    let (mut wire, _) = Wire::with_one();
    wire.dial();
    wire.receive(b"\x20\x02\x00\x04");
    let Event::LinkLost {
        error, next_dial, ..
    } = &wire.events[0]
    else {
        panic!("{:?}", wire.events);
    };
    assert_eq!(*error, LinkError::Refused(ConnectRefusal::BadLogin));
    assert!(next_dial.unwrap() - wire.now > secs(600));
    wire.cut();
    assert_eq!(wire.connection.demand(), Demand::Rest);
    let login = Some(Login::new("u".repeat(65_536)));
    assert!(wire.connection.set_login(wire.now, login).is_err());
    assert_eq!(wire.connection.demand(), Demand::Rest);
    let login = Some(Login::new("other"));
    wire.connection.set_login(wire.now, login).unwrap();
    let link = wire.link();
    wire.connection.handle_connected(wire.now, link);
    wire.turn();
    assert!(contains(&wire.take_written(), "other"));
}

#[test]
fn a_login_that_was_changed_before_the_old_one_is_refused_is_tried_at_once() {
    for give_up in [false, true] {
        let mut wire = Wire::new(options().give_up_on_refusal(give_up));
        wire.dial();
        let login = |name| Some(Login::new(name));
        let now = wire.now;
        wire.connection.set_login(now, login("other")).unwrap();
        wire.receive(b"\x20\x02\x00\x04");
        wire.cut();
        let Demand::Dial(link) = wire.connection.demand() else {
            panic!("{:?}", wire.connection.demand());
        };
        wire.connection.handle_connected(now, link);
        wire.turn();
        assert!(contains(&wire.take_written(), "other"));
        // Nothing is known against the second one before it is refused, too.
        wire.receive(b"\x20\x02\x00\x04");
        wire.cut();
        let expected = match give_up {
            true => Demand::Finished,
            false => Demand::Rest,
        };
        assert_eq!(wire.connection.demand(), expected);
    }
}

#[test]
fn giving_up_on_a_refusal_ends_every_request() {
    let mut wire = Wire::new(options().give_up_on_refusal(true));
    let key = wire.add("tok");
    let id = wire.submit(key, "x");
    wire.dial();
    wire.receive(b"\x20\x02\x00\x05");
    wire.cut();
    assert_eq!(wire.connection.demand(), Demand::Finished);
    assert!(wire.events.contains(&Event::Finished));
    assert_eq!(wire.take_outcomes(), [(id, Err(Failure::Closed))]);
    let account = wire.connection.account().unwrap();
    assert_eq!(account.unfinished.len(), 1);
    let more = wire.connection.submit(wire.now, key, &Sample::new("y"));
    assert_eq!(more, Err(crate::request::SubmitError::Closed));
}

#[test]
fn what_expired_on_a_link_that_died_ends_with_the_same_time_out() {
    let mut wire = Wire::new(options().keep_alive(secs(10)));
    let key = wire.add("tok");
    wire.connect();
    let sample = Sample::new("x").expires_after(secs(1));
    let id = wire.connection.submit(wire.now, key, &sample).unwrap();
    // Nothing of what is polled gets written.
    let mut out = Vec::new();
    while matches!(wire.connection.demand(), Demand::Exchange(_)) {
        wire.connection.poll_transmit(wire.now, &mut out);
        wire.now = wire.connection.poll_timeout().unwrap();
        wire.connection.handle_timeout(wire.now);
        assert!(wire.connection.poll_timeout() > Some(wire.now));
    }
    wire.turn();
    assert_eq!(wire.take_outcomes(), [(id, Err(Failure::Expired))]);
}

#[test]
fn no_connack_in_time_hangs_up() {
    let (mut wire, _) = Wire::with_one();
    wire.dial();
    wire.pass(secs(10));
    let lost = |event: &Event| matches!(event, Event::LinkLost { error, .. } if *error == LinkError::NoConnAck);
    assert!(wire.events.iter().any(lost));
    assert!(matches!(wire.connection.demand(), Demand::Abandon(_)));
}

/// FACTS trap 8: nobody asked for it, and nobody subscribed to it.
#[test]
fn trap_08_what_nobody_asked_for_reaches_its_endpoint_at_any_time() {
    let (mut wire, key) = Wire::with_one();
    wire.connect();
    wire.receive(&message("kp1/v/dcx/tok/json/77/status", ""));
    let endpoint = wire.connection.endpoint(key).unwrap();
    assert_eq!(endpoint.statistics().foreign_answers, 1);
}

#[test]
fn messages_that_nobody_can_use_are_acknowledged_counted_and_reported() {
    let (mut wire, _) = Wire::with_one();
    wire.connect();
    wire.events.clear();
    wire.receive(b"\x32\x15\x00\x10kp1/v/dcx/secret\x00\x09x");
    wire.receive(b"\x32\x07\x00\x03a/b\x00\x0a");
    assert_eq!(wire.take_written(), b"\x40\x02\x00\x09\x40\x02\x00\x0a");
    wire.receive(&message("kp1/v/dcx/secret/json/1/status", ""));
    wire.receive(&message("zigbee/secret/state", ""));
    let stray = |topic: &str, reason| Event::Stray {
        topic: topic.into(),
        reason,
    };
    let expected = [
        stray("…/…", Stray::Malformed),
        stray("kp1/v/dcx/se…/json/1/status", Stray::UnknownEndpoint),
        stray("zi…/se…/s…", Stray::Malformed),
    ];
    assert_eq!(wire.events, expected);
    let statistics = wire.connection.statistics();
    assert_eq!((statistics.echoes, statistics.unknown_endpoints), (1, 1));
    assert_eq!(statistics.malformed_topics, 2);
    assert_eq!(wire.connection.link_state(), LinkState::Up);
}

#[test]
fn a_flood_of_strays_costs_bounded_memory() {
    let (mut wire, _) = Wire::with_one();
    wire.connect();
    let topic = "x/".repeat(32_500);
    let mut packet = b"\x30\xea\xfb\x03\xfd\xe8".to_vec();
    packet.extend(topic.bytes());
    for _ in 0..1_500 {
        let link = wire.link();
        wire.connection.handle_input(wire.now, link, &packet);
    }
    let statistics = wire.connection.statistics();
    assert_eq!(statistics.malformed_topics, 1_500);
    assert_eq!(statistics.events_lost, 1_500 - 1_024);
    wire.events.clear();
    wire.turn();
    assert_eq!(wire.events.len(), 1_024);
    let short = |event: &Event| matches!(event, Event::Stray { topic, .. } if (254..=256).contains(&topic.len()));
    assert!(wire.events.iter().all(short));
}

#[test]
fn an_oversize_message_is_skipped_and_the_link_lives() {
    let mut wire = Wire::new(options().max_packet_in(64));
    wire.add("tok");
    wire.connect();
    wire.events.clear();
    let mut packet = b"\x32\xc8\x01\x00\x10kp1/v/dcx/tok/ab\x00\x05".to_vec();
    packet.resize(3 + 200, b'x');
    packet.extend(message("kp1/v/dcx/tok/json/1/status", ""));
    wire.receive(&packet);
    let size = 203;
    assert_eq!(
        wire.events,
        [Event::Stray {
            topic: "kp1/v/dcx/t…/ab".into(),
            reason: Stray::Oversize { size }
        }]
    );
    assert_eq!(wire.take_written(), b"\x40\x02\x00\x05");
    assert_eq!(wire.connection.statistics().messages_in, 1);
}

#[test]
fn an_acknowledgement_that_nobody_waits_for_is_counted() {
    let (mut wire, _) = Wire::with_one();
    wire.connect();
    wire.receive(b"\x40\x02\x00\x63");
    assert_eq!(wire.connection.statistics().unexpected_packets, 1);
}

#[test]
fn a_key_is_not_valid_for_a_later_endpoint_of_the_same_name() {
    let (mut wire, key) = Wire::with_one();
    let name = EndpointName::parse("v", "tok").unwrap();
    let again = wire.connection.add_endpoint(wire.now, name.clone());
    assert_eq!(again, Err(AddError::NameTaken(key)));
    let removed = |wire: &mut Wire, key| {
        wire.connection
            .remove_endpoint(wire.now, key, Removal::Discard)
    };
    assert!(removed(&mut wire, key) && !removed(&mut wire, key));
    let second = wire.connection.add_endpoint(wire.now, name).unwrap();
    assert!(wire.connection.endpoint(key).is_none());
    let submitted = wire.connection.submit(wire.now, key, &Sample::new("x"));
    let gone = crate::request::SubmitError::UnknownEndpoint;
    assert_eq!(submitted, Err(gone));
    assert!(wire.connection.endpoint(second).is_some());
}

/// FACTS trap 13.
#[test]
fn trap_13_a_late_answer_to_a_removed_endpoint_ends_nothing_of_its_successor() {
    let (mut wire, key) = Wire::with_one();
    wire.connect();
    wire.submit(key, "x");
    let name = EndpointName::parse("v", "tok").unwrap();
    for options in [None, Some(silent())] {
        let key = wire.connection.find(&name).unwrap();
        wire.connection
            .remove_endpoint(wire.now, key, Removal::Discard);
        let added = match options {
            None => wire.connection.add_endpoint(wire.now, name.clone()),
            Some(options) => {
                let connection = &mut wire.connection;
                connection.add_endpoint_with(wire.now, name.clone(), options)
            }
        };
        wire.submit(added.unwrap(), "y");
        wire.take_outcomes();
        wire.receive(&message("kp1/v/dcx/tok/json/1/status", ""));
        assert!(wire.take_outcomes().is_empty());
    }
}

/// A broker sends what it kept to each new subscriber: older than what was asked.
#[test]
fn an_answer_that_a_broker_kept_confirms_no_request() {
    let (mut wire, key) = Wire::with_one();
    wire.connect();
    let id = wire.submit(key, "x");
    wire.take_written();
    wire.receive(b"\x33\x1f\x00\x1bkp1/v/dcx/tok/json/1/status\x00\x09");
    assert_eq!(wire.take_written(), b"\x40\x02\x00\x09", "PUBACK");
    assert!(wire.take_outcomes().is_empty());
    wire.receive(b"\x31\x0d\x00\x0bkp1/v/x/y/z");
    assert!(wire.events.is_empty());
    let statistics = wire.connection.statistics();
    assert_eq!((statistics.retained, statistics.messages_in), (2, 2));
    wire.receive(&message("kp1/v/dcx/tok/json/1/status", ""));
    assert!(matches!(wire.take_outcomes()[..], [(ended, Ok(_))] if ended == id));
}

#[test]
fn there_are_at_most_as_many_endpoints_as_was_said() {
    let mut wire = Wire::new(options().max_endpoints(1));
    wire.add("tok");
    let name = EndpointName::parse("v", "x".repeat(MAX_NAME_LEN).as_str()).unwrap();
    let added = wire.connection.add_endpoint(wire.now, name);
    assert_eq!(added, Err(AddError::TooMany));
}

#[test]
fn the_same_seed_and_inputs_give_the_same_bytes_and_events() {
    let run = || {
        let mut wire = Wire::new(options());
        let keys: Vec<_> = (0..5).map(|n| wire.add(&format!("tok{n}"))).collect();
        let mut transcript = Vec::new();
        for round in 0..8 {
            for key in &keys {
                wire.submit(*key, "x");
            }
            wire.connect();
            wire.pass(secs(round * 9));
            wire.cut();
            transcript.push(format!("{:?}", wire.events.len()));
            transcript.push(format!(
                "{:?}",
                wire.connection.poll_timeout().unwrap() - wire.now
            ));
            transcript.push(format!("{:?}", wire.take_written()));
        }
        transcript
    };
    assert_eq!(run(), run());
}

/// So the link outlives a server that acknowledges nothing.
fn without_acknowledgements() -> Options {
    let endpoint = EndpointOptions::default().qos(crate::QoS::AtMostOnce);
    let options = Options::new("a").endpoint(endpoint.unwrap());
    options.keep_alive(secs(65_535))
}

/// A server that answers no UNSUBSCRIBE, on a link that lives for months.
#[test]
fn filters_of_those_who_come_and_go_do_not_pile_up() {
    let mut wire = Wire::new(without_acknowledgements().window(1));
    wire.connect();
    for n in 0..200 {
        let key = wire.add(&format!("tok{n}"));
        wire.submit(key, "x");
        wire.pass(secs(31));
        let removed = wire
            .connection
            .remove_endpoint(wire.now, key, Removal::Discard);
        assert!(removed);
        wire.turn();
    }
    assert_eq!(wire.connection.link_state(), LinkState::Up);
    let waiting = wire.connection.subscribing.farewells();
    assert!(waiting <= 64, "{waiting} filters");
}

#[test]
fn the_filters_of_all_who_leave_at_once_are_taken_back() {
    let mut wire = Wire::new(without_acknowledgements());
    let keys: Vec<_> = (10..60).map(|n| wire.add(&format!("tok{n}"))).collect();
    for key in &keys {
        wire.submit(*key, "x");
    }
    wire.connect();
    wire.pass(secs(31));
    wire.take_written();
    for key in &keys {
        wire.connection
            .remove_endpoint(wire.now, *key, Removal::Discard);
    }
    wire.turn();
    let written = wire.take_written();
    for n in 10..60 {
        let filter = format!("kp1/v/dcx/tok{n}/json/+/status");
        assert!(contains(&written, &filter), "{filter}");
    }
}
