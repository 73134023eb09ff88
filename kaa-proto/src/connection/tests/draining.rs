//! The end, of a connection and of one endpoint.

use super::*;
use crate::request::SubmitError;

#[test]
fn closing_waits_for_the_answer_then_says_goodbye() {
    let (mut wire, key) = Wire::with_one();
    wire.connect();
    wire.submit(key, "x");
    wire.connection.close(wire.now, secs(60));
    wire.turn();
    wire.take_written();
    assert_eq!(wire.connection.link_state(), LinkState::Draining);
    let more = wire.connection.submit(wire.now, key, &Sample::new("y"));
    assert_eq!(more, Err(SubmitError::Closed));
    assert!(wire.connection.account().is_none());
    wire.receive(&message("kp1/v/dcx/tok/json/1/status", ""));
    assert_eq!(wire.take_written(), b"\xe0\x00");
    assert!(matches!(wire.connection.demand(), Demand::HangUp(_)));
    wire.cut();
    assert_eq!(wire.connection.demand(), Demand::Finished);
    assert_eq!(wire.connection.poll_timeout(), None);
    assert_eq!(wire.events.last(), Some(&Event::Finished));
    let account = wire.connection.account().unwrap();
    assert_eq!(account.outcomes.confirmed, 1);
    assert!(account.unfinished.is_empty());
}

#[test]
fn what_is_left_at_the_deadline_is_told_sent_or_not() {
    let mut wire = Wire::new(options().window(1));
    let key = wire.add("tok");
    wire.connect();
    let ids = [wire.submit(key, "x"), wire.submit(key, "y")];
    wire.connection.close(wire.now, secs(5));
    wire.pass(secs(4));
    assert_eq!(wire.connection.link_state(), LinkState::Draining);
    wire.pass(secs(1));
    let closed = || Err(Failure::Closed);
    assert_eq!(
        wire.take_outcomes(),
        [(ids[0], closed()), (ids[1], closed())]
    );
    let account = wire.connection.account().unwrap();
    let left = account.unfinished.iter();
    let left: Vec<_> = left.map(|(_, left)| (left.id, left.sent)).collect();
    assert_eq!(left, [(ids[0], true), (ids[1], false)]);
    assert_eq!(account.outcomes.closed, 2);
    // The close of the transport never comes.
    wire.pass(secs(2));
    assert_eq!(wire.connection.demand(), Demand::Finished);
}

#[test]
fn closing_offline_keeps_dialing_until_the_deadline() {
    let (mut wire, key) = Wire::with_one();
    wire.submit(key, "x");
    wire.connection.close(wire.now, secs(60));
    wire.cut();
    assert_ne!(wire.connection.demand(), Demand::Finished);
    wire.connect();
    assert!(contains(&wire.take_written(), "kp1/v/dcx/tok/json/1"));
    wire.cut();
    wire.connection.close(wire.now, secs(3));
    wire.pass(secs(3));
    assert_eq!(wire.connection.demand(), Demand::Finished);
    // The sample was sent once and may not be sent again.
    let account = wire.connection.account().unwrap();
    assert_eq!(account.outcomes.outcome_unknown, 1);
}

#[test]
fn a_connack_that_comes_when_all_is_over_brings_nothing_up() {
    let (mut wire, key) = Wire::with_one();
    wire.submit(key, "x");
    wire.dial();
    wire.connection.close(wire.now, secs(1));
    wire.pass(secs(1));
    assert_eq!(wire.take_written(), b"\xe0\x00");
    wire.receive(CONNACK);
    let up = |event: &Event| matches!(event, Event::LinkUp(_));
    assert!(!wire.events.iter().any(up));
    assert!(wire.take_written().is_empty());
    wire.cut();
    assert_eq!(wire.connection.demand(), Demand::Finished);
}

#[test]
fn closing_with_nothing_to_do_is_done_at_once() {
    let (mut wire, _) = Wire::with_one();
    wire.connection.close(wire.now, secs(60));
    wire.turn();
    assert_eq!(wire.connection.demand(), Demand::Finished);
    assert_eq!(wire.events, [Event::Finished]);
    let name = EndpointName::parse("v", "late").unwrap();
    let added = wire.connection.add_endpoint(wire.now, name);
    assert_eq!(added, Err(AddError::Closed));
}

#[test]
fn an_endpoint_that_leaves_is_flushed_first_but_not_for_ever() {
    let mut wire = Wire::new(options());
    let keys = [wire.add("tok1"), wire.add("tok2")];
    wire.connect();
    for key in keys {
        wire.submit(key, "x");
        let flush = Removal::Flush(secs(5));
        assert!(wire.connection.remove_endpoint(wire.now, key, flush));
        let more = wire.connection.submit(wire.now, key, &Sample::new("y"));
        assert_eq!(more, Err(SubmitError::UnknownEndpoint));
        let again = wire.connection.remove_endpoint(wire.now, key, flush);
        assert!(!again, "it is leaving already");
    }
    wire.events.clear();
    wire.receive(&message("kp1/v/dcx/tok1/json/1/status", ""));
    assert!(wire.connection.endpoint(keys[0]).is_none());
    assert!(wire.connection.endpoint(keys[1]).is_some());
    let deadline = Deadline::Removal(keys[0]);
    assert!(!wire.connection.timers.is_set(&deadline));
    let removed = |key, count| move |event: &Event| matches!(event, Event::EndpointRemoved { key: k, unfinished } if *k == key && unfinished.len() == count);
    assert!(wire.events.iter().any(removed(keys[0], 0)));
    wire.pass(secs(5));
    assert!(wire.events.iter().any(removed(keys[1], 1)));
    assert_eq!(wire.take_outcomes().len(), 2);
    assert_eq!(wire.connection.totals.busy, 0);
    assert_eq!(wire.connection.timers.next(), None);
}

#[test]
fn who_waits_for_ever_for_the_end_may() {
    let mut wire = Wire::new(options());
    let keys = [wire.add("tok1"), wire.add("tok2")];
    wire.connect();
    for key in keys {
        wire.submit(key, "x");
    }
    let flush = Removal::Flush(Duration::MAX);
    assert!(wire.connection.remove_endpoint(wire.now, keys[0], flush));
    wire.connection.close(wire.now, Duration::MAX);
    assert_eq!(wire.connection.link_state(), LinkState::Draining);
    for token in ["tok1", "tok2"] {
        let topic = format!("kp1/v/dcx/{token}/json/1/status");
        wire.receive(&message(&topic, ""));
    }
    assert_eq!(wire.connection.account().unwrap().outcomes.confirmed, 2);
}

#[test]
fn the_subscriptions_of_an_endpoint_that_left_are_taken_back() {
    let mut wire = Wire::new(Options::new("a"));
    let key = wire.add("tok");
    wire.submit(key, "x");
    wire.connect();
    wire.receive(b"\x90\x04\x00\x01\x01\x01");
    wire.take_written();
    wire.connection
        .remove_endpoint(wire.now, key, Removal::Discard);
    wire.turn();
    let written = wire.take_written();
    assert_eq!(written[0], 0xa2);
    assert!(contains(&written, "kp1/v/dcx/tok/json/+/status"));
    assert!(contains(&written, "kp1/v/dcx/tok/json/+/error"));
}

#[test]
fn what_one_packet_cannot_hold_is_taken_back_in_two() {
    let mut wire = Wire::new(Options::new("a").max_packet_out(90));
    let key = wire.add("token-of-twenty-two-by");
    wire.submit(key, "x");
    wire.connect();
    wire.receive(b"\x90\x03\x00\x01\x01");
    wire.receive(b"\x90\x03\x00\x02\x01");
    wire.take_written();
    wire.connection
        .remove_endpoint(wire.now, key, Removal::Discard);
    wire.turn();
    let mut written = wire.take_written();
    wire.receive(b"\xb0\x02\x00\x03");
    written.extend(wire.take_written());
    for end in ["error", "status"] {
        let filter = format!("kp1/v/dcx/token-of-twenty-two-by/json/+/{end}");
        assert!(contains(&written, &filter), "{end}");
    }
}

#[test]
fn an_endpoint_that_comes_back_at_once_keeps_its_subscriptions() {
    let mut wire = Wire::new(Options::new("a"));
    let key = wire.add("tok");
    wire.submit(key, "x");
    wire.connect();
    wire.receive(b"\x90\x04\x00\x01\x01\x01");
    wire.take_written();
    wire.connection
        .remove_endpoint(wire.now, key, Removal::Discard);
    let key = wire.add("tok");
    wire.submit(key, "y");
    let mut golden = b"\x82\x3d\x00\x03".to_vec();
    golden.extend(b"\x00\x1akp1/v/dcx/tok/json/+/error\x01");
    golden.extend(b"\x00\x1bkp1/v/dcx/tok/json/+/status\x01");
    assert_eq!(wire.take_written(), golden);
}

#[test]
fn what_is_taken_back_goes_before_what_is_subscribed_to() {
    let mut wire = Wire::new(Options::new("a"));
    let key = wire.add("tok");
    wire.submit(key, "x");
    wire.connect();
    wire.receive(b"\x90\x04\x00\x01\x01\x01");
    wire.take_written();
    wire.connection
        .remove_endpoint(wire.now, key, Removal::Discard);
    let other = wire.add("other");
    wire.submit(other, "z");
    let written = wire.take_written();
    let place = |written: &[u8], text: &str| {
        let mut parts = written.windows(text.len());
        parts.position(|part| part == text.as_bytes()).unwrap()
    };
    assert_eq!(written[0], 0xa2);
    assert!(place(&written, "/tok/") < place(&written, "/other/"));
}

#[test]
fn an_endpoint_that_is_added_again_while_it_leaves_stays_with_all_it_has() {
    let (mut wire, key) = Wire::with_one();
    let mut ids = vec![wire.submit(key, "x"), wire.submit(key, "y")];
    let flush = Removal::Flush(secs(5));
    assert!(wire.connection.remove_endpoint(wire.now, key, flush));
    assert!(wire.connection.is_leaving(key));
    assert_eq!(wire.add("tok"), key);
    assert!(!wire.connection.is_leaving(key));
    ids.push(wire.submit(key, "z"));
    wire.pass(secs(6));
    wire.connect();
    let written = wire.take_written();
    for (n, id) in (1..).zip(&ids) {
        assert!(contains(&written, &format!("kp1/v/dcx/tok/json/{n}")));
        wire.receive(&message(&format!("kp1/v/dcx/tok/json/{n}/status"), ""));
        assert!(matches!(&wire.take_outcomes()[..], [(ended, Ok(_))] if ended == id));
    }
    let endpoint = wire.connection.endpoint(key).unwrap();
    assert_eq!(endpoint.statistics().confirmed, 3);
    assert_eq!(wire.connection.statistics().requests.submitted, 3);
    let name = EndpointName::parse("v", "tok").unwrap();
    let again = wire.connection.add_endpoint(wire.now, name);
    assert_eq!(again, Err(AddError::NameTaken(key)));
    // It may leave again, and is told to be gone once.
    assert!(wire.events.is_empty());
    assert!(
        wire.connection
            .remove_endpoint(wire.now, key, Removal::Discard)
    );
    wire.turn();
    assert!(matches!(
        wire.events[..],
        [Event::EndpointRemoved { key: of, .. }] if of == key
    ));
}

#[test]
fn an_endpoint_that_leaves_does_not_stay_when_all_is_over() {
    let (mut wire, key) = Wire::with_one();
    wire.submit(key, "x");
    let flush = Removal::Flush(secs(60));
    assert!(wire.connection.remove_endpoint(wire.now, key, flush));
    wire.connection.close(wire.now, secs(60));
    let name = EndpointName::parse("v", "tok").unwrap();
    let again = wire.connection.add_endpoint(wire.now, name);
    assert_eq!(again, Err(AddError::Closed));
    assert!(wire.connection.is_leaving(key));
}

/// FIN comes right behind the last answer, so its acknowledgement is never written.
#[test]
fn when_the_last_answer_and_the_end_of_the_link_come_together_nothing_is_dialed_any_more() {
    let (mut wire, key) = Wire::with_one();
    wire.connect();
    wire.submit(key, "x");
    wire.connection.close(wire.now, secs(60));
    wire.turn();
    let mut answer = message("kp1/v/dcx/tok/json/1/status", "\0\x01");
    // QoS 1, where an identifier stands behind the topic.
    answer[0] = 0x32;
    let link = wire.link();
    wire.connection.handle_input(wire.now, link, &answer);
    let acknowledged = wire.connection.poll_transmit(wire.now, &mut Vec::new());
    assert_eq!(acknowledged, 4, "taken, and never written");
    wire.cut();
    assert_eq!(wire.connection.demand(), Demand::Finished);
    assert_eq!(wire.connection.account().unwrap().outcomes.confirmed, 1);
}
