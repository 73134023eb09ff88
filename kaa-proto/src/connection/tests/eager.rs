//! The first flight of an eager start, and what becomes of it.

use super::*;
use crate::mqtt::{ConnectRefusal, Violation};
use crate::request::Confirm;

fn eager() -> Options {
    options().eager_start(true)
}

/// The transport is there, and what follows at once is written.
fn dial(wire: &mut Wire) -> Vec<u8> {
    while wire.connection.demand() == Demand::Rest {
        let at = wire.connection.poll_timeout().unwrap();
        wire.pass(at - wire.now);
    }
    let link = wire.link();
    wire.connection.handle_connected(wire.now, link);
    wire.turn();
    wire.take_written()
}

/// How many messages are in it.
fn messages(bytes: &[u8]) -> usize {
    bytes.windows(4).filter(|part| part == b"kp1/").count()
}

fn once(wire: &mut Wire, key: EndpointKey, sample: &str) -> RequestId {
    wire.submit(key, sample)
}

fn again(wire: &mut Wire, key: EndpointKey, sample: &str) -> RequestId {
    let sample = Sample::new(sample).resend(Resend::AfterLinkLoss);
    let id = wire.connection.submit(wire.now, key, &sample).unwrap();
    wire.turn();
    id
}

#[test]
fn connect_subscribe_and_publish_are_one_flight_in_this_order() {
    let per_endpoint = EndpointOptions::default().subscriptions(Subscriptions::PerEndpoint);
    let mut wire = Wire::new(
        Options::new("dev-1")
            .endpoint(per_endpoint)
            .eager_start(true),
    );
    let key = wire.add("tok");
    wire.submit(key, "x");
    let golden = [
        &b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05dev-1"[..],
        b"\x82\x12\x00\x01\x00\x0dkp1/v/+/tok/#\x01",
        b"\x32\x1b\x00\x14kp1/v/dcx/tok/json/1\x00\x02\"x\"",
    ];
    let link = wire.link();
    wire.connection.handle_connected(wire.now, link);
    let mut out = Vec::new();
    wire.connection.poll_transmit(wire.now, &mut out);
    assert_eq!(out, golden.concat());
    assert_eq!(wire.connection.link_state(), LinkState::Greeting);
    assert_eq!(wire.connection.statistics().early_links, 1);
}

#[test]
fn what_is_submitted_before_connack_leaves_at_once() {
    let mut wire = Wire::new(eager());
    let key = wire.add("tok");
    assert_eq!(messages(&dial(&mut wire)), 0);
    wire.submit(key, "x");
    assert_eq!(messages(&wire.take_written()), 1);
    let late = wire.add("late");
    wire.submit(late, "y");
    assert!(contains(&wire.take_written(), "kp1/v/dcx/late/json/1"));
}

#[test]
fn a_refusal_gives_all_back_as_never_sent_in_its_order_and_with_its_ids() {
    let mut wire = Wire::new(eager());
    let key = wire.add("tok");
    once(&mut wire, key, "a");
    again(&mut wire, key, "b");
    let nothing = Sample::new("c").confirm(Confirm::Nothing);
    wire.connection.submit(wire.now, key, &nothing).unwrap();
    let first = dial(&mut wire);
    assert_eq!(messages(&first), 3);
    wire.receive(b"\x20\x02\x00\x03");
    let lost = |event: &Event| {
        matches!(event, Event::LinkLost { error, was, .. }
            if *was == LinkState::Greeting
                && *error == LinkError::Refused(ConnectRefusal::ServerUnavailable))
    };
    assert!(wire.events.iter().any(lost), "{:?}", wire.events);
    wire.cut();
    assert_eq!(wire.take_outcomes(), []);
    let statistics = wire.connection.statistics();
    assert_eq!((statistics.queued, statistics.in_flight), (3, 0));
    // The server may do so again: nothing goes to it in vain.
    assert_eq!(messages(&dial(&mut wire)), 0);
    wire.receive(CONNACK);
    let body = |bytes: &[u8]| {
        let begin = bytes.windows(2).position(|part| part == b"\x32\x1b");
        bytes[begin.unwrap()..].to_vec()
    };
    assert_eq!(body(&wire.take_written()), body(&first));
    assert_eq!(wire.connection.statistics().requests.resent, 0);
}

#[test]
fn a_link_that_dies_before_connack_leaves_what_may_be_sent_once_with_an_unknown_outcome() {
    let ends: [fn(&mut Wire); 2] = [Wire::cut, |wire| {
        // No CONNACK in time.
        wire.pass(secs(10));
        wire.cut();
    }];
    for end in ends {
        let mut wire = Wire::new(eager());
        let key = wire.add("tok");
        let id = once(&mut wire, key, "a");
        again(&mut wire, key, "b");
        assert_eq!(messages(&dial(&mut wire)), 2);
        end(&mut wire);
        assert_eq!(wire.take_outcomes(), [(id, Err(Failure::OutcomeUnknown))]);
        assert_eq!(wire.connection.statistics().queued, 1);
        let once_more = once(&mut wire, key, "c");
        assert_eq!(messages(&dial(&mut wire)), 0, "it waits for CONNACK now");
        wire.cut();
        assert_eq!(messages(&dial(&mut wire)), 0, "and does until one comes");
        wire.receive(CONNACK);
        assert_eq!(messages(&wire.take_written()), 2);
        assert_eq!(wire.connection.statistics().requests.resent, 1);
        wire.cut();
        assert_eq!(
            wire.take_outcomes(),
            [(once_more, Err(Failure::OutcomeUnknown))]
        );
        assert_eq!(messages(&dial(&mut wire)), 1, "it is trusted again");
    }
}

/// Found by the simulator: a flight that was held up set the configuration of before as applied.
#[test]
fn what_sets_a_state_waits_for_connack_for_its_flight_may_arrive_after_the_next() {
    let mut wire = Wire::new(eager());
    let key = wire.add("tok");
    let applied = crate::config::Applied::new("c1");
    wire.connection.submit(wire.now, key, &applied).unwrap();
    wire.submit(key, "a");
    let first = dial(&mut wire);
    assert!(messages(&first) == 1 && contains(&first, "kp1/v/dcx/tok/json/1"));
    wire.receive(CONNACK);
    assert!(contains(
        &wire.take_written(),
        "kp1/v/cmx/tok/applied/json/"
    ));
}

#[test]
fn what_was_not_written_whole_before_the_link_died_was_not_sent() {
    let mut wire = Wire::new(eager());
    let key = wire.add("tok");
    once(&mut wire, key, "a");
    let link = wire.link();
    wire.connection.handle_connected(wire.now, link);
    let mut out = Vec::new();
    let bytes = wire.connection.poll_transmit(wire.now, &mut out);
    wire.connection.handle_written(wire.now, link, bytes - 1);
    wire.cut();
    assert_eq!(wire.take_outcomes(), []);
    assert_eq!(wire.connection.statistics().queued, 1);
}

/// MQTT-3.2.0-1.
#[test]
fn anything_but_connack_is_a_violation_although_requests_have_left() {
    for first in [
        &b"\x40\x02\x00\x01"[..],
        &message("kp1/v/dcx/tok/json/1/status", ""),
    ] {
        let mut wire = Wire::new(eager());
        let key = wire.add("tok");
        let id = once(&mut wire, key, "a");
        dial(&mut wire);
        wire.receive(first);
        let violated = |event: &Event| {
            matches!(event, Event::LinkLost { error: LinkError::Violation(violation), was, .. }
                if *was == LinkState::Greeting && matches!(violation, Violation::UnexpectedPacket(_)))
        };
        assert!(wire.events.iter().any(violated), "{:?}", wire.events);
        assert_eq!(wire.take_outcomes(), [(id, Err(Failure::OutcomeUnknown))]);
    }
}

#[test]
fn what_needs_no_confirmation_ends_with_connack_not_before() {
    let mut wire = Wire::new(eager());
    let key = wire.add("tok");
    let nothing = Sample::new("c").confirm(Confirm::Nothing);
    let id = wire.connection.submit(wire.now, key, &nothing).unwrap();
    assert_eq!(messages(&dial(&mut wire)), 1);
    assert_eq!(wire.take_outcomes(), []);
    wire.receive(CONNACK);
    let outcomes = wire.take_outcomes();
    assert!(
        matches!(&outcomes[..], [(ended, Ok(_))] if *ended == id),
        "{outcomes:?}"
    );
    let id = wire.connection.submit(wire.now, key, &nothing).unwrap();
    wire.turn();
    assert_eq!(wire.take_outcomes().len(), 1, "{id:?}");
}

#[test]
fn the_window_and_the_bound_of_the_output_hold_before_connack() {
    let mut wire = Wire::new(eager().window(3));
    let key = wire.add("tok");
    for _ in 0..8 {
        again(&mut wire, key, "x");
    }
    assert_eq!(messages(&dial(&mut wire)), 3);
    let mut wire = Wire::new(eager().high_water(100));
    let key = wire.add("tok");
    for _ in 0..8 {
        again(&mut wire, key, "x");
    }
    let link = wire.link();
    wire.connection.handle_connected(wire.now, link);
    let mut out = Vec::new();
    wire.connection.poll_transmit(wire.now, &mut out);
    assert!(out.len() < 100 + 30, "{} bytes", out.len());
    wire.connection.poll_transmit(wire.now, &mut out);
    assert!(out.len() < 100 + 30, "{} bytes", out.len());
}

#[test]
fn a_goodbye_waits_for_what_left_early() {
    let mut wire = Wire::new(eager());
    let key = wire.add("tok");
    let nothing = Sample::new("c").confirm(Confirm::Nothing);
    wire.connection.submit(wire.now, key, &nothing).unwrap();
    dial(&mut wire);
    wire.connection.close(wire.now, secs(60));
    wire.turn();
    assert_eq!(wire.connection.account(), None);
    wire.receive(CONNACK);
    assert_eq!(wire.connection.account().unwrap().outcomes.confirmed, 1);
    assert_eq!(wire.take_written(), b"\xe0\x00");
}

#[test]
fn a_close_without_time_before_connack_gives_account_of_what_left() {
    let mut wire = Wire::new(eager());
    let key = wire.add("tok");
    once(&mut wire, key, "a");
    dial(&mut wire);
    wire.connection.close(wire.now, Duration::ZERO);
    wire.turn();
    let account = wire.connection.account().unwrap();
    assert!(account.unfinished[0].1.sent);
    assert_eq!(wire.take_written(), b"\xe0\x00");
    wire.cut();
    assert_eq!(wire.connection.demand(), Demand::Finished);
}

/// Stores what there is to be stored, and gives it.
fn store(wire: &mut Wire) -> Vec<endpoint::Record> {
    let records = std::iter::from_fn(|| wire.connection.poll_record());
    let records: Vec<_> = records.map(|(_, record)| record).collect();
    wire.connection.handle_stored(wire.now, records.len());
    wire.turn();
    records
}

/// What a run that finds these records is told: how many requests go on, and how many are unknown.
fn recovered(records: &[endpoint::Record]) -> (usize, usize) {
    let name = EndpointName::parse("v", "tok").unwrap();
    let mut endpoint = Endpoint::new(name, silent().durable(true).into(), 1);
    let wire = Wire::new(options());
    endpoint.restore(wire.now, records.iter().cloned());
    let recovered = endpoint.take_recovered(wire.now).unwrap();
    (recovered.resumed.len(), recovered.unknown.len())
}

#[test]
fn a_durable_request_leaves_when_it_is_recorded_and_a_refusal_is_recorded_too() {
    for is_compacted in [false, true] {
        let mut wire = Wire::new(eager().endpoint(silent().durable(true)));
        let key = wire.add("tok");
        let sample = Sample::new("x").durable();
        wire.connection.submit(wire.now, key, &sample).unwrap();
        let mut records = store(&mut wire);
        assert_eq!(
            messages(&dial(&mut wire)),
            0,
            "that it leaves is not stored"
        );
        records.extend(store(&mut wire));
        assert_eq!(messages(&wire.take_written()), 1);
        assert_eq!(
            recovered(&records),
            (0, 1),
            "nobody knows what became of it"
        );
        if is_compacted {
            let snapshot = wire.connection.snapshot(wire.now);
            wire.connection.handle_stored(wire.now, snapshot.covers);
            let of = snapshot.records.into_iter();
            records = of.map(|(_, stored)| stored.record).collect();
            assert_eq!(recovered(&records), (0, 1));
        }
        wire.receive(b"\x20\x02\x00\x03");
        records.extend(store(&mut wire));
        assert_eq!(recovered(&records), (1, 0), "it was not processed");
    }
}

#[test]
fn a_snapshot_knows_what_left_while_nothing_was_recorded() {
    let mut wire = Wire::new(eager().endpoint(silent().durable(true)));
    let key = wire.add("tok");
    let full = crate::store::StoreError::Full;
    wire.connection.handle_store_lost(wire.now, full);
    let sample = Sample::new("x").durable();
    wire.connection.submit(wire.now, key, &sample).unwrap();
    assert_eq!(messages(&dial(&mut wire)), 1);
    let snapshot = wire.connection.snapshot(wire.now);
    wire.connection.handle_stored(wire.now, snapshot.covers);
    let of = snapshot.records.into_iter();
    let mut records: Vec<_> = of.map(|(_, stored)| stored.record).collect();
    assert_eq!(recovered(&records), (0, 1));
    wire.receive(b"\x20\x02\x00\x03");
    records.extend(store(&mut wire));
    assert_eq!(recovered(&records), (1, 0), "it was not processed");
}
