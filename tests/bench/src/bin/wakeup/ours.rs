//! A device of this library.

use std::time::{Duration, Instant};

use kaa_blocking::connection::Event;
use kaa_blocking::request::{RequestExt as _, Resend};
use kaa_blocking::telemetry::Sample;
use kaa_blocking::{Client, Endpoint, Options, tls};
use serde_json::json;

use crate::{Wake, World};

/// It wakes, sends a sample, has it confirmed, and sleeps.
pub(crate) fn wake(world: &World, is_eager: bool) -> Wake {
    let options = options(world, is_eager);
    let start = Instant::now();
    let client = Client::connect(options).expect("the options are right");
    let device = client.endpoint(&world.name()).expect("there is room");
    device
        .request(&Sample::new(json!({"temperature": 21})))
        .expect("it is confirmed");
    let elapsed = start.elapsed();
    let account = client.shutdown(Duration::from_secs(10));
    assert_eq!(account.unfinished, []);
    let bytes = world.proxy.ended().bytes();
    Wake { elapsed, bytes }
}

/// Its link is lost, and it sends a sample on the next one: over TLS in a session that is resumed.
pub(crate) fn wake_again(world: &World, is_eager: bool) -> Wake {
    let client = Client::connect(options(world, is_eager)).expect("the options are right");
    let device = client.endpoint(&world.name()).expect("there is room");
    let mut events = client.link_events();
    confirm(&device);
    world.proxy.cut();
    let lost = |event: &Event| matches!(event, Event::LinkLost { .. });
    assert!(
        events.by_ref().any(|event| lost(&event)),
        "the link is lost"
    );
    confirm(&device);
    let end = Instant::now();
    client.shutdown(Duration::from_secs(10));
    let carried = world.proxy.ended();
    Wake {
        elapsed: end - carried.begin,
        bytes: carried.bytes(),
    }
}

fn confirm(device: &Endpoint) {
    let sample = Sample::new(json!({"temperature": 21}));
    device
        .request(&sample.resend(Resend::AfterLinkLoss))
        .expect("it is confirmed");
}

fn options(world: &World, is_eager: bool) -> Options {
    let shortly = Duration::from_millis(100);
    let options = Options::new(&world.url())
        .expect("it is a URL")
        .connection(|options| options.eager_start(is_eager).backoff(shortly, shortly));
    match &world.authority {
        Some(authority) => options.tls(tls::Options::new().ca(authority.as_bytes())),
        None => options,
    }
}
