//! How often the direction changes between the transport and the first confirmed sample, in memory.

use std::time::Instant;

use kaa_proto::connection::{Connection, Demand, Event, Options};
use kaa_proto::endpoint;
use kaa_proto::names::EndpointName;
use kaa_proto::platform::{PlatformOptions, PlatformServer};
use kaa_proto::telemetry::Sample;

/// Flights there and back.
pub(crate) fn count(name: EndpointName, is_eager: bool) -> u32 {
    let now = Instant::now();
    let options = Options::new("wakeup").eager_start(is_eager);
    let mut connection = Connection::new(options, now, 1).expect("the options are right");
    let key = connection.add_endpoint(now, name).expect("there is room");
    connection
        .submit(now, key, &Sample::new(21))
        .expect("there is room");
    let Demand::Dial(link) = connection.demand() else {
        panic!("it does not dial");
    };
    connection.handle_connected(now, link);
    let mut server = PlatformServer::new(PlatformOptions::default(), 1);
    let there = server.handle_accepted(now);
    for flights in (0..).step_by(2) {
        while let Some(event) = connection.poll_event() {
            if is_end(&event) {
                return flights;
            }
        }
        let mut out = Vec::new();
        while connection.poll_transmit(now, &mut out) > 0 {
            connection.handle_written(now, link, out.len());
            server.handle_input(now, there, &std::mem::take(&mut out));
        }
        let mut back = Vec::new();
        let length = server.poll_transmit(there, &mut back);
        server.handle_written(now, there, length);
        assert_ne!(length, 0, "nobody says anything");
        connection.handle_input(now, link, &back);
    }
    0
}

fn is_end(event: &Event) -> bool {
    matches!(
        event,
        Event::Endpoint {
            event: endpoint::Event::Completed { outcome: Ok(_), .. },
            ..
        }
    )
}
