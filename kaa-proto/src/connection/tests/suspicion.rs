//! Many endpoints, one of which gets the link dropped.

use super::*;

/// Runs the connection against a server that drops it as soon as a bad endpoint speaks, until
/// `time` has passed. Returns how many links were dropped.
fn run(wire: &mut Wire, bad: &str, time: Duration) -> u32 {
    let (end, mut dropped) = (wire.now + time, 0);
    while wire.now < end {
        if !matches!(wire.connection.demand(), Demand::Exchange(_)) {
            wire.connect();
        }
        if contains(&wire.take_written(), bad) {
            dropped += 1;
            wire.cut();
        } else {
            wire.pass(secs(1));
        }
    }
    dropped
}

/// The last request ends by itself, not with the time for closing.
#[test]
fn a_search_that_ends_with_the_last_request_of_one_who_closes_is_told_at_once() {
    let mut wire = Wire::new(options().kick_limit(2));
    let keys = ["a", "b"].map(|token| wire.add(token));
    let sample = Sample::new("x").resend(Resend::AfterLinkLoss);
    let id = wire.connection.submit(wire.now, keys[0], &sample).unwrap();
    for _ in 0..2 {
        wire.connect();
        wire.take_written();
        wire.cut();
    }
    wire.connect();
    assert!(wire.events.contains(&Event::SearchStarted { endpoints: 2 }));
    wire.connection.close(wire.now, secs(60));
    wire.turn();
    wire.connection.cancel(wire.now, keys[0], id);
    let mut told = std::iter::from_fn(|| wire.connection.poll_event());
    assert!(told.any(|event| event == Event::SearchEnded));
    assert!(wire.connection.account().is_some());
}

fn without_pings() -> Options {
    options().keep_alive(secs(65_535))
}

/// FACTS traps 32 and 34.
#[test]
fn trap_34_the_endpoint_that_gets_the_link_dropped_is_suspended_and_the_others_are_served() {
    let mut wire = Wire::new(without_pings());
    let keys: Vec<_> = (0..20).map(|n| wire.add(&format!("tok{n:02}"))).collect();
    for key in &keys {
        let sample = Sample::new("x").resend(Resend::AfterLinkLoss);
        wire.connection.submit(wire.now, *key, &sample).unwrap();
    }
    let dropped = run(&mut wire, "/tok13/", secs(600));
    assert!(dropped <= 3 + 5 + 1, "{dropped} links were dropped");
    let suspended = wire.events.iter().filter_map(|event| {
        if let Event::Suspended { key, name } = event {
            return Some((*key, name.to_string()));
        }
        None
    });
    let suspended: Vec<_> = suspended.collect();
    assert_eq!(suspended[0], (keys[13], "v/t…".to_owned()));
    assert!(suspended.iter().all(|(key, _)| *key == keys[13]));
    let counted = wire.connection.statistics().suspensions;
    assert_eq!(counted, suspended.len() as u64);
    assert!(wire.events.contains(&Event::SearchEnded));
    let sent = |key: &EndpointKey| {
        wire.connection.endpoint(*key).unwrap().in_flight_len() == 1
            || wire
                .connection
                .endpoint(*key)
                .unwrap()
                .statistics()
                .unanswered
                == 1
    };
    assert!(keys.iter().filter(|key| **key != keys[13]).all(sent));
    assert_eq!(wire.connection.endpoint(keys[13]).unwrap().queue_len(), 1);
    assert_eq!(wire.connection.link_state(), LinkState::Up);
}

#[test]
fn a_suspended_endpoint_says_nothing_until_it_is_tried_alone() {
    let mut wire = Wire::new(without_pings());
    let keys = [wire.add("good"), wire.add("evil")];
    for key in keys {
        let sample = Sample::new("x").resend(Resend::AfterLinkLoss);
        wire.connection.submit(wire.now, key, &sample).unwrap();
    }
    run(&mut wire, "/evil/", secs(600));
    wire.take_written();
    assert!(wire.connection.is_muted(keys[1]) && !wire.connection.is_muted(keys[0]));
    let sample = Sample::new("y").resend(Resend::AfterLinkLoss);
    wire.connection.submit(wire.now, keys[1], &sample).unwrap();
    wire.pass(secs(30));
    assert!(!contains(&wire.take_written(), "/evil/"));
    // The platform has changed its mind by the time it is tried again.
    run(&mut wire, "/nobody/", secs(1_800));
    let resumed = |event: &Event| matches!(event, Event::Resumed { key, .. } if *key == keys[1]);
    assert!(wire.events.iter().any(resumed));
    assert_eq!(wire.connection.endpoint(keys[1]).unwrap().queue_len(), 0);
}

#[test]
fn a_new_login_lets_the_suspended_speak_from_the_next_link_on() {
    let mut wire = Wire::new(without_pings());
    let keys = [wire.add("good"), wire.add("evil")];
    for key in keys {
        let sample = Sample::new("x").resend(Resend::AfterLinkLoss);
        wire.connection.submit(wire.now, key, &sample).unwrap();
    }
    run(&mut wire, "/evil/", secs(600));
    wire.take_written();
    let login = Some(Login::new("other"));
    wire.connection.set_login(wire.now, login).unwrap();
    wire.turn();
    // The link that is up was made with the old login.
    assert_eq!(wire.connection.link_state(), LinkState::Up);
    assert!(wire.connection.is_muted(keys[1]));
    wire.events.clear();
    wire.cut();
    let resumed = |event: &Event| matches!(event, Event::Resumed { key, .. } if *key == keys[1]);
    assert!(wire.events.iter().any(resumed));
    wire.connect();
    assert!(contains(&wire.take_written(), "/evil/"));
}

#[test]
fn one_endpoint_alone_is_never_muted() {
    let mut wire = Wire::new(without_pings());
    let key = wire.add("tok");
    let sample = Sample::new("x").resend(Resend::AfterLinkLoss);
    wire.connection.submit(wire.now, key, &sample).unwrap();
    let dropped = run(&mut wire, "/tok/", secs(3_600));
    // The delays grow to two minutes, a minute on the average.
    assert!((30..=120).contains(&dropped), "{dropped}");
    let searched = |event: &Event| matches!(event, Event::SearchStarted { .. });
    assert!(!wire.events.iter().any(searched));
}
