//! Who holds how much of the in-flight window when acknowledgements are lost.

use super::*;

/// PUBLISH packets of QoS 1 with a short topic: the tokens and packet identifiers.
fn published(mut bytes: &[u8]) -> Vec<(String, u8)> {
    let mut published = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        let (packet, rest) = rest.split_at(usize::from(*length));
        if *first == 0x32 {
            let (topic, rest) = packet[2..].split_at(usize::from(packet[1]));
            let topic = std::str::from_utf8(topic).unwrap();
            let token = topic.split('/').nth(3).unwrap();
            published.push((token.to_owned(), rest[1]));
        }
        bytes = rest;
    }
    published
}

/// Acknowledges what was written of all endpoints but one; how much it wrote.
fn serve_all_but(wire: &mut Wire, lost: &str) -> usize {
    let mut of_lost = 0;
    for (token, id) in published(&wire.take_written()) {
        if token == lost {
            of_lost += 1;
        } else {
            wire.receive(&[0x40, 2, 0, id]);
        }
    }
    of_lost
}

/// With five endpoints a window of eight has two messages for each.
fn gateway() -> (Wire, Vec<EndpointKey>) {
    let mut wire = Wire::new(options().window(8).keep_alive(secs(65_535)));
    let keys = (0..5).map(|n| wire.add(&format!("tok{n}"))).collect();
    wire.connect();
    (wire, keys)
}

#[test]
fn an_endpoint_whose_acknowledgements_are_lost_is_not_silent_for_the_life_of_the_link() {
    let (mut wire, keys) = gateway();
    for _ in 0..3 {
        wire.submit(keys[0], "x");
    }
    assert_eq!(serve_all_but(&mut wire, "tok0"), 2);
    for _ in 0..3 {
        wire.pass(secs(9));
        wire.submit(keys[1], "x");
        assert_eq!(serve_all_but(&mut wire, "tok0"), 0);
    }
    wire.pass(secs(3));
    assert_eq!(serve_all_but(&mut wire, "tok0"), 1);
    assert_eq!(wire.connection.link_state(), LinkState::Up);
}

#[test]
fn a_link_on_which_the_acknowledgements_of_one_endpoint_are_lost_is_given_up_in_the_end() {
    let (mut wire, keys) = gateway();
    for _ in 0..30 {
        wire.submit(keys[0], "x");
        wire.submit(keys[1], "x");
        wire.pass(secs(10));
        serve_all_but(&mut wire, "tok0");
        if wire.connection.link_state() != LinkState::Up {
            break;
        }
    }
    let lost = |event: &Event| matches!(event, Event::LinkLost { error, .. } if *error == LinkError::Unacknowledged);
    assert!(wire.events.iter().any(lost));
    // What it had not sent, and what may be sent again, goes on the next link.
    wire.cut();
    wire.connect();
    assert!(serve_all_but(&mut wire, "tok0") > 0);
}
