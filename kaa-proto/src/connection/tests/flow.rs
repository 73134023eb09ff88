//! What goes out, in which order, and how much of it.

use super::*;
use crate::commands::CommandResult;
use crate::endpoint::{CommandKey, Observation};
use crate::names::CommandType;
use crate::request::SubmitError;

/// FACTS trap 17.
#[test]
fn trap_17_subscriptions_go_first_and_are_answered_before_what_needs_them() {
    let mut wire = Wire::new(Options::new("a"));
    let key = wire.add("tok");
    wire.submit(key, "x");
    wire.connect();
    let mut golden = b"\x82\x3d\x00\x01".to_vec();
    golden.extend(b"\x00\x1akp1/v/dcx/tok/json/+/error\x01");
    golden.extend(b"\x00\x1bkp1/v/dcx/tok/json/+/status\x01");
    assert_eq!(wire.take_written(), golden);
    wire.receive(b"\x90\x04\x00\x01\x01\x01");
    assert_eq!(
        wire.take_written(),
        b"\x32\x1b\x00\x14kp1/v/dcx/tok/json/1\x00\x02\"x\""
    );
    wire.receive(b"\x40\x02\x00\x02");
    assert!(wire.take_outcomes().is_empty());
    wire.receive(&message("kp1/v/dcx/tok/json/1/status", ""));
    let outcomes = wire.take_outcomes();
    assert!(matches!(outcomes[..], [(_, Ok(_))]), "{outcomes:?}");
    let statistics = wire.connection.statistics();
    assert_eq!(statistics.last_confirmed, Some(wire.now));
}

#[test]
fn refused_and_unanswered_subscriptions_block_nothing() {
    for answer in [&b"\x90\x04\x00\x01\x80\x80"[..], b""] {
        let mut wire = Wire::new(Options::new("a"));
        let key = wire.add("tok");
        wire.submit(key, "x");
        wire.connect();
        wire.take_written();
        wire.receive(answer);
        wire.pass(secs(30));
        assert!(contains(&wire.take_written(), "dcx/tok/json/1"));
        let refused = |event: &&Event| {
            matches!(
                event,
                Event::Endpoint {
                    event: endpoint::Event::SubscriptionRefused { .. },
                    ..
                }
            )
        };
        assert_eq!(wire.events.iter().filter(refused).count(), 2);
        let unanswered = match answer.is_empty() {
            true => 2,
            false => 0,
        };
        let statistics = wire.connection.statistics();
        assert_eq!(statistics.subscriptions_unanswered, unanswered);
    }
}

#[test]
fn the_subscriptions_of_many_endpoints_share_packets() {
    let mut wire = Wire::new(Options::new("a").max_packet_out(1_024));
    for n in 0..100 {
        let key = wire.add(&format!("tok{n:02}"));
        wire.submit(key, "x");
    }
    wire.connect();
    let written = wire.take_written();
    let (mut rest, mut packets) = (&written[..], 0);
    while let [0x82, low, rest_of @ ..] = rest {
        let (length, body) = match *low < 0x80 {
            true => (usize::from(*low), rest_of),
            false => (
                usize::from(low & 0x7f) | usize::from(rest_of[0]) << 7,
                &rest_of[1..],
            ),
        };
        assert!(length <= 1_021);
        packets += 1;
        rest = &body[length..];
    }
    assert!(rest.is_empty());
    // 200 filters of 32 bytes each, 31 in a packet.
    assert!((6..=8).contains(&packets), "{packets}");
}

#[test]
fn what_was_not_written_whole_is_sent_on_the_next_link_even_if_it_may_be_sent_once() {
    let (mut wire, key) = Wire::with_one();
    wire.connect();
    let once = Sample::new("x").resend(Resend::Never);
    wire.connection.submit(wire.now, key, &once).unwrap();
    let mut out = Vec::new();
    let bytes = wire.connection.poll_transmit(wire.now, &mut out);
    let link = wire.link();
    wire.connection.handle_written(wire.now, link, bytes - 1);
    wire.cut();
    assert!(wire.take_outcomes().is_empty());
    wire.connect();
    assert!(contains(&wire.take_written(), "kp1/v/dcx/tok/json/1"));
    wire.cut();
    let outcomes = wire.take_outcomes();
    assert!(matches!(outcomes[..], [(_, Err(Failure::OutcomeUnknown))]));
}

#[test]
fn what_a_failed_link_left_unwritten_is_abandoned_and_goes_out_once() {
    let (mut wire, key) = Wire::with_one();
    wire.connect();
    let once = Sample::new("x").resend(Resend::Never);
    wire.connection.submit(wire.now, key, &once).unwrap();
    let mut out = Vec::new();
    wire.connection.poll_transmit(wire.now, &mut out);
    assert!(contains(&out, "kp1/v/dcx/tok/json/1"));
    let link = wire.link();
    wire.connection.handle_input(wire.now, link, b"\xf0\x00");
    // The driver is told to write none of `out`, and gets nothing more.
    assert_eq!(wire.connection.demand(), Demand::Abandon(link));
    assert_eq!(wire.connection.poll_transmit(wire.now, &mut out), 0);
    wire.cut();
    assert!(wire.take_outcomes().is_empty());
    wire.connect();
    assert!(contains(&wire.take_written(), "kp1/v/dcx/tok/json/1"));
}

/// FACTS trap 13.
#[test]
fn trap_13_what_may_be_sent_again_keeps_its_number_on_the_next_link() {
    let (mut wire, key) = Wire::with_one();
    wire.connect();
    let again = Sample::new("x").resend(Resend::AfterLinkLoss);
    wire.connection.submit(wire.now, key, &again).unwrap();
    wire.turn();
    let first = wire.take_written();
    wire.cut();
    wire.connect();
    assert_eq!(wire.take_written(), first);
    // New requests go on behind it.
    wire.submit(key, "y");
    assert!(contains(&wire.take_written(), "kp1/v/dcx/tok/json/2"));
}

/// FACTS trap 35: the platform learns of an endpoint on a connection by its first message.
#[test]
fn trap_35_every_endpoint_speaks_again_on_every_link() {
    let mut wire = Wire::new(options());
    let reboot = Observation::Commands(CommandType::new("reboot").unwrap());
    for n in 0..3 {
        let key = wire.add(&format!("tok{n}"));
        wire.connection.observe(wire.now, key, &reboot).unwrap();
    }
    for _ in 0..3 {
        wire.connect();
        let written = wire.take_written();
        for n in 0..3 {
            let topic = format!("kp1/v/cex/tok{n}/command/reboot/");
            assert!(contains(&written, &topic), "{n}");
        }
        wire.cut();
    }
}

#[test]
fn no_more_is_encoded_than_the_transport_can_take() {
    let mut wire = Wire::new(options().high_water(1_000).window(1_000));
    let key = wire.add("tok");
    wire.connect();
    let payload = "x".repeat(100);
    for _ in 0..100 {
        let sample = Sample::new(&payload).confirm(crate::request::Confirm::Nothing);
        wire.connection.submit(wire.now, key, &sample).unwrap();
    }
    let mut out = Vec::new();
    wire.connection.poll_transmit(wire.now, &mut out);
    assert!((1_000..1_200).contains(&out.len()), "{}", out.len());
    assert_eq!(wire.connection.poll_transmit(wire.now, &mut out), 0);
    let link = wire.link();
    wire.connection.handle_written(wire.now, link, 500);
    let more = wire.connection.poll_transmit(wire.now, &mut out);
    assert!((400..700).contains(&more), "{more}");
    assert!(wire.connection.endpoint(key).unwrap().queue_len() > 80);
}

#[test]
fn a_full_window_is_filled_in_batches_and_never_holds_back_a_lone_message() {
    let mut wire = Wire::new(options().window(4));
    let key = wire.add("tok");
    wire.connect();
    for _ in 0..9 {
        wire.submit(key, "x");
    }
    let sent = |wire: &mut Wire| {
        let written = wire.take_written();
        written.iter().filter(|byte| **byte == b'"').count() / 2
    };
    assert_eq!(sent(&mut wire), 4);
    wire.receive(b"\x40\x02\x00\x01");
    assert_eq!(sent(&mut wire), 0);
    wire.receive(b"\x40\x02\x00\x02");
    assert_eq!(sent(&mut wire), 2);
    // The server acknowledges one more, then nothing for a while.
    wire.receive(b"\x40\x02\x00\x03");
    assert_eq!(sent(&mut wire), 0);
    wire.pass(Duration::from_millis(20));
    assert_eq!(sent(&mut wire), 1);
}

#[test]
fn a_window_full_of_messages_that_nobody_acknowledges_ends_the_link() {
    let mut wire = Wire::new(options().window(2));
    let key = wire.add("tok");
    for round in 1..=4 {
        wire.connect();
        for _ in 0..3 {
            wire.submit(key, "x");
        }
        wire.pass(secs(29));
        assert_eq!(wire.connection.link_state(), LinkState::Up);
        wire.events.clear();
        let link = wire.link();
        wire.pass(secs(1));
        assert_eq!(wire.connection.demand(), Demand::Abandon(link));
        let lost = |event: &Event| matches!(event, Event::LinkLost { error, .. } if *error == LinkError::Unacknowledged);
        assert!(wire.events.iter().any(lost));
        wire.cut();
        // It counts into the backoff; stable_after had passed.
        assert_eq!(wire.connection.statistics().failures_in_a_row, 1);
        assert_eq!(wire.connection.statistics().links_lost, round);
    }
    assert_eq!(wire.connection.statistics().suspensions, 0);
}

#[test]
fn a_window_that_is_not_full_waits_for_its_acknowledgements() {
    let mut wire = Wire::new(options().window(2));
    let key = wire.add("tok");
    wire.connect();
    wire.submit(key, "x");
    for _ in 0..20 {
        wire.pass(secs(20));
        wire.receive(b"\xd0\x00");
    }
    assert_eq!(wire.connection.link_state(), LinkState::Up);
}

#[test]
fn a_request_that_no_packet_can_hold_is_refused_at_submit() {
    let mut wire = Wire::new(options().max_packet_out(128));
    let key = wire.add("tok");
    let sample = Sample::new("x".repeat(100));
    let refused = wire.connection.submit(wire.now, key, &sample);
    assert!(matches!(
        refused,
        Err(SubmitError::TooLarge { limit: 128, .. })
    ));
    assert!(
        wire.connection
            .submit(wire.now, key, &Sample::new("x"))
            .is_ok()
    );
}

#[test]
fn a_result_that_no_packet_can_hold_is_refused_and_a_smaller_one_taken() {
    let mut wire = Wire::new(options().max_packet_out(300));
    let key = wire.add("tok");
    let reboot = CommandType::new("reboot").unwrap();
    let observed = Observation::Commands(reboot);
    wire.connection.observe(wire.now, key, &observed).unwrap();
    wire.connect();
    let commands = message("kp1/v/cex/tok/command/reboot/1/status", "[{\"id\":1}]");
    wire.receive(&commands);
    let command = wire.connection.poll_command(key, |_| true).unwrap();
    let command = CommandKey::from(&command);
    let large = CommandResult::ok().with_payload(&"x".repeat(300)).unwrap();
    let refused = wire.connection.respond(wire.now, key, &command, large);
    assert!(matches!(
        refused,
        Err(SubmitError::TooLarge { limit: 300, .. })
    ));
    let small = CommandResult::ok();
    let taken = wire.connection.respond(wire.now, key, &command, small);
    assert!(taken.is_ok());
    wire.take_written();
    wire.turn();
    assert!(contains(&wire.take_written(), "/cex/tok/result/reboot/2"));
}

#[test]
fn a_restored_request_that_no_packet_can_hold_ends_and_the_next_one_goes() {
    let durable = silent().durable(true);
    let name = EndpointName::parse("v", "tok").unwrap();
    let mut before = Wire::new(options());
    let add = |wire: &mut Wire| {
        let (connection, now) = (&mut wire.connection, wire.now);
        connection
            .add_endpoint_with(now, name.clone(), durable.clone())
            .unwrap()
    };
    let key = add(&mut before);
    for sample in ["x".repeat(300), "y".into()] {
        let sample = Sample::new(sample).durable();
        before.connection.submit(before.now, key, &sample).unwrap();
    }
    let records = std::iter::from_fn(|| before.connection.poll_record());
    let records: Vec<_> = records.map(|(_, record)| record).collect();
    let mut wire = Wire::new(options().max_packet_out(128));
    let key = add(&mut wire);
    assert!(wire.connection.restore(wire.now, key, records));
    wire.connect();
    for _ in 0..4 {
        while wire.connection.poll_record().is_some() {}
        wire.connection.handle_stored(wire.now, usize::MAX);
        wire.turn();
    }
    let endpoint = wire.connection.endpoint(key).unwrap();
    assert_eq!(endpoint.statistics().cancelled, 1);
    assert_eq!(wire.connection.statistics().unsendable, 1);
    assert!(contains(&wire.take_written(), "\"y\""));
}

#[test]
fn only_what_the_server_confirms_moves_the_watchdog() {
    let (mut wire, key) = Wire::with_one();
    wire.connect();
    let nothing = Sample::new("x").confirm(crate::request::Confirm::Nothing);
    wire.connection.submit(wire.now, key, &nothing).unwrap();
    wire.turn();
    assert!(matches!(wire.take_outcomes()[..], [(_, Ok(_))]));
    assert_eq!(wire.connection.statistics().last_confirmed, None);
    let acknowledged = Sample::new("y").confirm(crate::request::Confirm::Acknowledged);
    wire.connection
        .submit(wire.now, key, &acknowledged)
        .unwrap();
    wire.turn();
    wire.pass(secs(1));
    wire.receive(b"\x40\x02\x00\x01");
    let statistics = wire.connection.statistics();
    assert_eq!(statistics.last_confirmed, Some(wire.now));
}

#[test]
fn all_endpoints_together_have_a_bound_with_room_for_control() {
    let mut wire = Wire::new(options().max_queued(8, 1 << 20));
    let keys = [wire.add("tok1"), wire.add("tok2")];
    for n in 0..7 {
        wire.submit(keys[n % 2], "x");
    }
    let full = |wire: &mut Wire, key| wire.connection.submit(wire.now, key, &Sample::new("x"));
    let class = crate::request::Class::Bulk;
    assert_eq!(full(&mut wire, keys[0]), Err(SubmitError::QueueFull(class)));
    let control = crate::metadata::Keys;
    assert!(wire.connection.submit(wire.now, keys[1], &control).is_ok());
    assert!(wire.connection.submit(wire.now, keys[1], &control).is_err());
}

#[test]
fn a_busy_endpoint_does_not_starve_the_others() {
    let mut wire = Wire::new(options().window(40));
    let (busy, quiet) = (wire.add("busy"), wire.add("quiet"));
    for _ in 0..60 {
        wire.submit(busy, "x");
    }
    wire.submit(quiet, "x");
    wire.connect();
    assert!(contains(&wire.take_written(), "kp1/v/dcx/quiet/json/1"));
}

#[test]
fn nothing_comes_out_before_what_guards_it_was_stored() {
    let mut wire = Wire::new(options());
    let name = EndpointName::parse("v", "tok").unwrap();
    let durable = silent().durable(true);
    let added = wire
        .connection
        .add_endpoint_with(wire.now, name.clone(), durable);
    wire.connect();
    let sample = Sample::new("x").durable();
    wire.connection
        .submit(wire.now, added.unwrap(), &sample)
        .unwrap();
    let mut stored = 0;
    loop {
        wire.turn();
        let Some((whose, _)) = wire.connection.poll_record() else {
            break;
        };
        wire.turn();
        assert!(wire.take_written().is_empty());
        assert_eq!(whose, name);
        wire.connection.handle_stored(wire.now, 1);
        stored += 1;
    }
    // Accepted, then sent.
    assert_eq!(stored, 2);
    assert!(contains(&wire.take_written(), "kp1/v/dcx/tok/json/1"));
}

/// Neither its filters nor what it sends by itself fits into a packet.
#[test]
fn an_endpoint_for_which_the_packets_are_too_small_holds_nobody_up() {
    let mut wire = Wire::new(Options::new("a").max_packet_out(128));
    let large = wire.add(&"t".repeat(200));
    let small = wire.add("tok");
    let reboot = Observation::Commands(CommandType::new("reboot").unwrap());
    wire.connection.observe(wire.now, large, &reboot).unwrap();
    wire.connect();
    wire.submit(small, "x");
    wire.pass(secs(31));
    let written = wire.take_written();
    assert!(contains(&written, "kp1/v/dcx/tok/json/1"));
    assert!(!contains(&written, "ttt"));
    assert!(wire.connection.statistics().unsendable > 0);
    let refused = wire.events.iter().filter(|event| {
        matches!(event, Event::Endpoint { key, event: endpoint::Event::SubscriptionRefused { .. } } if *key == large)
    });
    assert!(refused.count() > 0);
    // It is told that nobody answers it, and tried again at its own pace.
    wire.pass(secs(3_600));
    assert!(wire.connection.statistics().unsendable < 200);
}

#[test]
fn a_request_whose_topic_no_packet_can_hold_is_refused() {
    let (mut wire, key) = Wire::with_one();
    let of_length = |length: usize| {
        let levels = "level/".repeat(length / 6 + 1);
        crate::raw::Call::new(crate::request::Service::Telemetry, &levels[..length])
    };
    let mut submit = |length| wire.connection.submit(wire.now, key, &of_length(length));
    // `kp1/v/dcx/tok/`, the resource, and an ID of up to five digits.
    let Err(SubmitError::TooLarge { size, limit }) = submit(65_535) else {
        panic!("it was taken");
    };
    assert!(size > 65_535 && limit == 65_535);
    assert!(submit(65_500).is_ok());
}

#[test]
fn what_a_dead_link_held_of_the_window_is_free_on_the_next() {
    let mut wire = Wire::new(options().window(4));
    let (first, second) = (wire.add("first"), wire.add("second"));
    wire.connect();
    for _ in 0..4 {
        wire.submit(first, "x");
    }
    wire.cut();
    wire.submit(first, "x");
    wire.submit(second, "x");
    wire.connect();
    let written = wire.take_written();
    let place = |text: &str| {
        written
            .windows(text.len())
            .position(|w| w == text.as_bytes())
    };
    assert!(place("/first/") < place("/second/"));
}

#[test]
fn ten_thousand_endpoints_come_up_by_and_by() {
    let mut wire = Wire::new(options().high_water(4_096));
    let reboot = Observation::Commands(CommandType::new("reboot").unwrap());
    for n in 0..10_000 {
        let key = wire.add(&format!("tok{n}"));
        if n % 2 == 0 {
            wire.connection.observe(wire.now, key, &reboot).unwrap();
        }
    }
    wire.dial();
    let link = wire.link();
    wire.connection.handle_input(wire.now, link, CONNACK);
    let mut out = Vec::new();
    wire.connection.poll_transmit(wire.now, &mut out);
    assert!(out.len() < 4_096 + 200, "{}", out.len());
    let up = wire
        .connection
        .slots
        .iter()
        .filter(|(_, slot)| slot.is_up)
        .count();
    assert!(up <= 1_024, "{up}");
    wire.connection.handle_written(wire.now, link, out.len());
    wire.turn();
    wire.pass(secs(1));
    assert!(wire.connection.arrivals.is_empty());
    let up = wire
        .connection
        .slots
        .iter()
        .filter(|(_, slot)| slot.is_up)
        .count();
    assert_eq!(up, 10_000);
}
