//! What has room, to the last byte, and what takes none.

use super::*;
use crate::commands::CommandResult;
use crate::endpoint::{CommandKey, Observation};
use crate::names::CommandType;
use crate::request::{Class, SubmitError};

/// A sample whose payload has so many bytes: a JSON string with its quotes.
fn sample(len: usize) -> Sample<String> {
    Sample::new("x".repeat(len - 2))
}

/// Nine bytes of MQTT, 44 of `kp1/demo-v1/dcx/device-token/json/4294967295`, and 75 of payload.
#[test]
fn a_request_may_fill_a_packet_to_the_last_byte() {
    let mut wire = Wire::new(options().max_packet_out(128));
    let name = EndpointName::parse("demo-v1", "device-token").unwrap();
    let key = wire.connection.add_endpoint(wire.now, name).unwrap();
    let mut submit = |len| wire.connection.submit(wire.now, key, &sample(len));
    assert!(submit(75).is_ok());
    let (size, limit) = (129, 128);
    assert_eq!(submit(76), Err(SubmitError::TooLarge { size, limit }));
}

/// Of the bytes of all endpoints an eighth is kept for control: 700 of 800 are left for two samples
/// to `json` of 346.
#[test]
fn samples_may_fill_their_part_of_the_queue_to_the_last_byte() {
    let mut wire = Wire::new(options().max_queued(8, 800));
    let keys = [wire.add("tok1"), wire.add("tok2")];
    let mut submit = |key, len| wire.connection.submit(wire.now, key, &sample(len));
    assert!(submit(keys[0], 346).is_ok());
    let full = Err(SubmitError::QueueFull(Class::Bulk));
    assert_eq!(submit(keys[1], 347), full);
    assert!(submit(keys[1], 346).is_ok());
}

#[test]
fn nobody_waits_behind_endpoints_that_have_nothing_to_say() {
    let mut wire = Wire::new(options());
    let keys: Vec<_> = (0..900).map(|n| wire.add(&format!("tok{n}"))).collect();
    wire.submit(keys[899], "x");
    wire.connect();
    assert!(contains(&wire.take_written(), "kp1/v/dcx/tok899/json/1"));
}

/// With five endpoints a window of four has one message for each.
#[test]
fn what_is_not_acknowledged_takes_no_room_in_the_window() {
    let endpoint = silent().qos(crate::QoS::AtMostOnce).unwrap();
    let mut wire = Wire::new(options().window(4).endpoint(endpoint));
    let keys: Vec<_> = (0..5).map(|n| wire.add(&format!("tok{n}"))).collect();
    for _ in 0..3 {
        wire.submit(keys[0], "x");
    }
    wire.connect();
    let written = wire.take_written();
    for topic in ["json/1", "json/2", "json/3"] {
        assert!(
            contains(&written, &format!("kp1/v/dcx/tok0/{topic}")),
            "{topic}"
        );
    }
}

/// Commands that are all answered alike, by nobody acknowledged, and offered again on the next link; what
/// is written then.
fn answered_and_offered_again(
    wire: &mut Wire,
    (version, token): (&str, &str),
    list: &str,
    result: &CommandResult,
) -> Vec<u8> {
    let name = EndpointName::parse(version, token).unwrap();
    let key = wire.connection.add_endpoint(wire.now, name).unwrap();
    let observed = Observation::Commands(CommandType::new("reboot").unwrap());
    wire.connection.observe(wire.now, key, &observed).unwrap();
    wire.connect();
    let topic = format!("kp1/{version}/cex/{token}/command/reboot/1/status");
    let commands = message(&topic, list);
    wire.receive(&commands);
    while let Some(command) = wire.connection.poll_command(key, |_| true) {
        let command = CommandKey::from(&command);
        let taken = wire
            .connection
            .respond(wire.now, key, &command, result.clone());
        assert!(taken.is_ok());
        wire.turn();
    }
    wire.cut();
    wire.connect();
    wire.pass(secs(31));
    wire.take_written();
    wire.receive(&commands);
    wire.receive(b"\xd0\x00");
    wire.take_written()
}

/// Each fits into a packet, two do not: `result/reboot` and eleven bytes around each payload.
#[test]
fn results_that_are_sent_again_together_fit_into_packets() {
    let mut wire = Wire::new(options().max_packet_out(300));
    let payload = "x".repeat(90);
    let result = CommandResult::ok().with_payload(&payload).unwrap();
    let list = r#"[{"id":1},{"id":2},{"id":3},{"id":4}]"#;
    let written = answered_and_offered_again(&mut wire, ("v", "tok"), list, &result);
    for id in 1..=4 {
        assert!(contains(&written, &format!("{{\"id\":{id},")), "{id}");
    }
    assert_eq!(wire.connection.statistics().unsendable, 0);
    let resent = wire.connection.statistics().requests.results_resent;
    assert_eq!(resent, 4);
}

#[test]
fn the_lowest_high_water_mark_leaves_room_for_a_filter_and_a_message() {
    let mut wire = Wire::new(Options::new("a").high_water(1));
    let key = wire.add("tok");
    wire.submit(key, "x");
    wire.connect();
    let written = wire.take_written();
    assert!(contains(&written, "kp1/v/dcx/tok/json/+/status"));
    // Two filters, each in a packet of its own: the next one once the other is written.
    wire.receive(b"\x90\x03\x00\x01\x01\x90\x03\x00\x02\x01");
    assert!(contains(&wire.take_written(), "kp1/v/dcx/tok/json/1"));
}

#[test]
fn among_many_an_idle_endpoint_leaves_its_room_to_the_next_one_that_speaks() {
    let mut wire = Wire::new(options());
    let keys: Vec<_> = (0..65).map(|n| wire.add(&format!("tok{n}"))).collect();
    wire.connect();
    for key in &keys[..2] {
        wire.submit(*key, "x");
    }
    assert!(wire.connection.rooms.is_empty());
    for n in 0..2 {
        wire.receive(&message(&format!("kp1/v/dcx/tok{n}/json/1/status"), ""));
    }
    let spare = |wire: &Wire| {
        let rooms = wire.connection.rooms.iter();
        rooms.map(|room| room.spare_len()).collect::<Vec<_>>()
    };
    assert_eq!(spare(&wire), [1, 1], "with the box of a request in each");
    wire.take_outcomes();
    let ids = [wire.submit(keys[2], "x"), wire.submit(keys[2], "y")];
    assert_eq!(spare(&wire).len(), 1, "who has room takes no more");
    for n in 1..=2 {
        wire.receive(&message(&format!("kp1/v/dcx/tok2/json/{n}/status"), ""));
    }
    let ended = wire.take_outcomes();
    let confirmed = ended.iter().filter(|(_, outcome)| outcome.is_ok());
    assert!(confirmed.map(|(id, _)| *id).eq(ids));
    let sample = Sample::new("z");
    wire.connection.submit(wire.now, keys[2], &sample).unwrap();
    assert!(wire.connection.filtering.is_empty(), "nobody subscribes");
}

/// Two filters of 61 bytes together, and four around them: one byte more than a packet has.
#[test]
fn filters_that_do_not_fit_into_one_packet_go_by_two() {
    let mut wire = Wire::new(Options::new("a").max_packet_out(64));
    let key = wire.add("toke");
    wire.submit(key, "x");
    wire.connect();
    let written = wire.take_written();
    for filter in [
        "kp1/v/dcx/toke/json/+/status",
        "kp1/v/dcx/toke/json/+/error",
    ] {
        assert!(contains(&written, filter), "{filter}");
    }
    assert_eq!(wire.connection.statistics().unsendable, 0);
}

#[test]
fn a_full_window_is_used_again_two_milliseconds_after_the_last_acknowledgement() {
    let mut wire = Wire::new(options().window(8));
    let key = wire.add("tok");
    for _ in 0..16 {
        wire.submit(key, "x");
    }
    wire.connect();
    let written = wire.take_written();
    assert!(contains(&written, "json/8") && !contains(&written, "json/9"));
    wire.receive(b"\x40\x02\x00\x01");
    assert!(wire.take_written().is_empty(), "half of it may follow");
    let patience = Duration::from_millis(2);
    assert_eq!(wire.connection.poll_timeout(), Some(wire.now + patience));
    wire.pass(patience);
    let written = wire.take_written();
    assert!(contains(&written, "json/9") && !contains(&written, "json/10"));
}

/// 1,024 bytes a turn, of which a message takes 256 beside topic and payload.
#[test]
fn a_turn_is_as_many_messages_as_fit_into_it() {
    let mut wire = Wire::new(options());
    let keys = [wire.add("tok1"), wire.add("tok2")];
    for _ in 0..6 {
        for key in keys {
            wire.submit(key, &"x".repeat(100));
        }
    }
    wire.connect();
    let written = wire.take_written();
    let turns: Vec<_> = written
        .windows(4)
        .filter_map(|part| part.strip_prefix(b"tok"))
        .map(|of| of[0])
        .collect();
    assert_eq!(turns, b"111222111222");
}

#[test]
fn results_that_are_sent_again_go_together_however_long_the_names_are() {
    let mut wire = Wire::new(options().max_packet_out(300));
    let (version, token) = ("v".repeat(30), "t".repeat(30));
    let (names, list) = ((&*version, &*token), r#"[{"id":1},{"id":2}]"#);
    let written = answered_and_offered_again(&mut wire, names, list, &CommandResult::ok());
    let both = r#"[{"id":1,"statusCode":200},{"id":2,"statusCode":200}]"#;
    assert!(contains(&written, both));
}
