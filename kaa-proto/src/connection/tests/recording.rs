//! Records on their way to the store, and what waits for them.

use super::*;
use crate::endpoint::Record;

fn durable(wire: &mut Wire, token: &str) -> EndpointKey {
    let name = EndpointName::parse("v", token).unwrap();
    let options = silent().durable(true);
    let (connection, now) = (&mut wire.connection, wire.now);
    connection.add_endpoint_with(now, name, options).unwrap()
}

fn keep(wire: &mut Wire, key: EndpointKey) -> RequestId {
    let sample = Sample::new("x").durable();
    wire.connection.submit(wire.now, key, &sample).unwrap()
}

/// Whose records are polled, until there is none.
fn polled(wire: &mut Wire) -> Vec<String> {
    let records = std::iter::from_fn(|| wire.connection.poll_record());
    records
        .map(|(name, _)| name.token().as_str().to_owned())
        .collect()
}

#[test]
fn the_last_records_of_a_removed_endpoint_go_first_and_it_is_gone_when_they_are_stored() {
    let mut wire = Wire::new(options());
    let (leaving, staying) = (durable(&mut wire, "leaving"), durable(&mut wire, "staying"));
    keep(&mut wire, staying);
    keep(&mut wire, leaving);
    let connection = &mut wire.connection;
    assert!(connection.remove_endpoint(wire.now, leaving, Removal::Discard));
    let records = polled(&mut wire);
    let last = records.iter().filter(|token| *token == "leaving").count();
    assert!(last > 0 && records[..last].iter().all(|token| token == "leaving"));
    assert!(records.len() > last && records[last..].iter().all(|token| token == "staying"));
    let is_gone = |wire: &mut Wire| {
        wire.turn();
        let mut events = wire.events.drain(..);
        events.any(|event| matches!(event, Event::EndpointRemoved { key, .. } if key == leaving))
    };
    for stored in 0..last {
        assert!(!is_gone(&mut wire), "{stored} of {last}");
        wire.connection.handle_stored(wire.now, 1);
    }
    assert!(is_gone(&mut wire));
}

#[test]
fn an_endpoint_that_is_added_while_the_store_is_lost_waits_for_no_store() {
    let mut wire = Wire::new(options());
    wire.connect();
    let full = crate::store::StoreError::Full;
    wire.connection.handle_store_lost(wire.now, full);
    let key = durable(&mut wire, "tok");
    keep(&mut wire, key);
    wire.turn();
    assert_eq!(polled(&mut wire), [""; 0]);
    assert!(contains(&wire.take_written(), "kp1/v/dcx/tok/json/1"));
}

/// Everything behind a full socket when a link dies.
#[test]
fn what_was_handed_over_and_not_written_is_recorded_as_not_sent_when_the_link_goes() {
    let mut wire = Wire::new(options());
    let key = durable(&mut wire, "tok");
    wire.connect();
    let id = keep(&mut wire, key);
    let store = |wire: &mut Wire| {
        let records = std::iter::from_fn(|| wire.connection.poll_record());
        let records: Vec<_> = records.map(|(_, record)| record).collect();
        wire.connection.handle_stored(wire.now, records.len());
        records
    };
    let mut unwritten = Vec::new();
    for _ in 0..3 {
        store(&mut wire);
        wire.connection.poll_transmit(wire.now, &mut unwritten);
    }
    assert!(contains(&unwritten, "kp1/v/dcx/tok/json/1"));
    let Demand::Exchange(link) = wire.connection.demand() else {
        panic!("the link is up");
    };
    wire.connection
        .handle_disconnected(wire.now, link, LinkError::Eof);
    assert!(matches!(store(&mut wire)[..], [Record::Unsent(unsent)] if unsent == id));
}

#[test]
fn observations_are_asked_for_again_as_fast_as_the_options_say() {
    let rate = std::num::NonZeroU32::new(10).unwrap();
    let mut wire = Wire::new(options().observe_rate(rate));
    let reboot = endpoint::Observation::Commands(crate::names::CommandType::new("reboot").unwrap());
    for n in 0..40 {
        let key = wire.add(&format!("tok{n}"));
        wire.connection.observe(wire.now, key, &reboot).unwrap();
    }
    wire.connect();
    let mut asked = 0;
    let mut count = |wire: &mut Wire| {
        let written = wire.take_written();
        asked += written.windows(9).filter(|w| w == b"/reboot/1").count();
        asked
    };
    let at_once = count(&mut wire);
    assert!(at_once <= 10, "{at_once}");
    wire.pass(secs(2));
    let later = count(&mut wire);
    assert!((15..=30).contains(&later), "{later}");
    wire.pass(secs(3));
    assert_eq!(count(&mut wire), 40);
}

#[test]
fn a_connection_is_storing_until_each_record_is_stored() {
    let mut wire = Wire::new(options());
    let key = durable(&mut wire, "tok");
    assert!(!wire.connection.is_storing());
    keep(&mut wire, key);
    assert!(wire.connection.is_storing(), "not polled yet");
    let records = polled(&mut wire).len();
    assert!(wire.connection.is_storing(), "not stored yet");
    wire.connection.handle_stored(wire.now, records);
    assert!(!wire.connection.is_storing());
    let leaving = durable(&mut wire, "leaving");
    keep(&mut wire, leaving);
    wire.connection
        .remove_endpoint(wire.now, leaving, Removal::Discard);
    assert!(wire.connection.is_storing(), "what it left is not polled");
    let records = polled(&mut wire).len();
    wire.connection.handle_stored(wire.now, records);
    assert!(records > 0 && !wire.connection.is_storing());
}
