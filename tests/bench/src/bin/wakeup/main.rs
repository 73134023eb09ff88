//! What a device that sleeps pays for a sample: round trips and bytes from the dial to the
//! confirmation, ours and rumqttc's, through a proxy that delays.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what cannot go on has failed, and the rest is its output"
)]

mod flights;
mod ours;
mod peer;
mod proxy;

use std::time::Duration;

use kaa_blocking::names::EndpointName;
use kaa_blocking::platform::{LocalOptions, LocalPlatform, LocalTls};

use peer::Order;
use proxy::{Proxy, ROUND_TRIP};

/// How often each is done.
const ROUNDS: usize = 7;

/// A platform, and the way to it.
struct World {
    proxy: Proxy,
    /// Whom to trust, over TLS.
    authority: Option<String>,
    /// It is there as long as this.
    _platform: LocalPlatform,
}

impl World {
    fn new(is_secured: bool) -> Self {
        let mut options = LocalOptions::default();
        let mut authority = None;
        if is_secured {
            let names = [String::from("localhost")];
            let made = rcgen::generate_simple_self_signed(names).expect("it can be made");
            let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
            let tls = LocalTls::from_pem(certificate.as_bytes(), key.as_bytes(), None);
            options.tls = Some(tls.expect("it can be used"));
            authority = Some(certificate);
        }
        let platform = LocalPlatform::start(options).expect("there is a port");
        let url = platform.url();
        let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
        let port: u16 = port.expect("it has a port");
        Self {
            proxy: Proxy::new(([127, 0, 0, 1], port).into()),
            authority,
            _platform: platform,
        }
    }

    fn url(&self) -> String {
        let scheme = if self.authority.is_some() {
            "mqtts"
        } else {
            "mqtt"
        };
        format!("{scheme}://localhost:{}", self.proxy.port())
    }

    #[allow(clippy::unused_self, reason = "it is the device of this world")]
    fn name(&self) -> EndpointName {
        EndpointName::parse("demo-v1", "JTjdbENzHh").expect("it is one")
    }

    fn topic(&self) -> String {
        format!("kp1/demo-v1/dcx/{}/json/1", self.name().token().as_str())
    }
}

/// From the dial to the confirmed sample.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wake {
    elapsed: Duration,
    /// Both ways, from the first to the goodbye, without what TCP adds.
    bytes: u64,
}

fn main() {
    let (plain, secured) = (World::new(false), World::new(true));
    println!("| | ms | round trips | bytes |");
    println!("|---|---|---|---|");
    let mut lines = Vec::new();
    for is_eager in [true, false] {
        let mode = if is_eager { "" } else { "patient." };
        let mut tell = |name: &str, what: &dyn Fn() -> Wake| {
            lines.extend(report(&format!("wakeup.{mode}{name}"), what));
        };
        tell("tcp", &|| ours::wake(&plain, is_eager));
        tell("tls13", &|| ours::wake(&secured, is_eager));
        tell("tls13.resumed", &|| ours::wake_again(&secured, is_eager));
    }
    for (order, word) in [(Order::Ahead, "ahead"), (Order::Natural, "natural")] {
        let mut tell = |name: &str, what: &dyn Fn() -> Wake| {
            lines.extend(report(&format!("wakeup.rumqttc.{word}.{name}"), what));
        };
        tell("tcp", &|| peer::wake(&plain, None, order));
        tell("tls13", &|| {
            peer::wake(&secured, peer::tls(&secured), order)
        });
        let config = peer::tls(&secured);
        peer::wake(&secured, config.clone(), order);
        tell("tls13.resumed", &|| {
            peer::wake(&secured, config.clone(), order)
        });
    }
    println!();
    for line in lines {
        println!("{line}");
    }
    for (name, is_eager) in [("wakeup.flights", true), ("wakeup.patient.flights", false)] {
        println!("{name} {} flights", flights::count(plain.name(), is_eager));
    }
}

/// Does it some times, and gives the lines for programs. Those are of the quickest: a busy machine only
/// adds to what the protocols take. The table has them, the median and the slowest.
fn report(name: &str, what: &dyn Fn() -> Wake) -> [String; 2] {
    let mut wakes: Vec<Wake> = (0..ROUNDS).map(|_| what()).collect();
    wakes.sort();
    let ms = |index: usize| wakes[index].elapsed.as_millis();
    let Wake { elapsed, bytes } = wakes[0];
    let trips = (elapsed.as_secs_f64() / ROUND_TRIP.as_secs_f64()).round();
    let (median, most) = (ms(ROUNDS / 2), ms(ROUNDS - 1));
    println!(
        "| {name} | {} ({median}, {most}) | {trips} | {bytes} |",
        ms(0)
    );
    [
        format!("{name}.round_trips {trips} round_trips"),
        format!("{name}.bytes {bytes} bytes"),
    ]
}
