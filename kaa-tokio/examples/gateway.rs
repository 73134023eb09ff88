//! A gateway: many field devices behind one connection.
//!
//! The devices come and go. Each is an endpoint of its own on the one connection of the client. It
//! sends samples that carry their own time, and every second one answers commands. One has a token
//! that the platform refuses: that is reported, and no trouble for the others.
//!
//! ```sh
//! cargo run --package kaa-tokio --example gateway -- 1000 20
//! ```
//!
//! The numbers are how many devices there are, and for how many seconds they come back. It starts
//! a local platform inside this process. With `KAA_URL`, `KAA_APP_VERSION` and `KAA_TOKEN` set it
//! speaks to that platform instead, for the endpoints `KAA_TOKEN-0`, `KAA_TOKEN-1` and so on.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use kaa_blocking::platform::{LocalOptions, LocalPlatform};
use kaa_proto::platform::Fixture;
use kaa_tokio::connection::{Event, Removal};
use kaa_tokio::names::EndpointName;
use kaa_tokio::request::{Request, RequestExt as _, Resend};
use kaa_tokio::telemetry::Sample;
use kaa_tokio::{Client, Endpoint, LinkEvents, Options};
use serde_json::{Value, json};
use tokio::select;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, sleep_until};

type AnyError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let mut arguments = env::args().skip(1);
    let mut number = |default| arguments.next().map_or(Ok(default), |text| text.parse());
    let (count, seconds): (u64, u64) = (number(100)?, number(20)?);

    let (options, names, _local) = platform(count)?;
    let client = Client::connect(options).await?;
    tokio::spawn(watch(client.link_events()));
    client.ready(Duration::from_secs(20)).await?;

    // A task for each device. A client, like every handle, is cheap to clone.
    let tally = Arc::new(Tally::default());
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut devices = JoinSet::new();
    for (n, name) in (0..).zip(names) {
        devices.spawn(device(client.clone(), name, n, end, Arc::clone(&tally)));
    }
    let mut reports = interval(Duration::from_secs(2));
    loop {
        select! {
            ended = devices.join_next() => match ended {
                Some(ended) => ended?,
                None => break,
            },
            _ = reports.tick() => tally.print(&client),
            // One that still waits for a link then is not waited for.
            () = sleep_until(end + Duration::from_secs(60)) => break,
        }
    }

    // What is still under way is waited for; the account says what is left.
    let account = client.shutdown(Duration::from_secs(10)).await;
    tally.print(&client);
    println!("{} requests were left unfinished", account.unfinished.len());
    Ok(())
}

/// One device: it comes, works, and goes, again and again until `end`.
async fn device(client: Client, name: EndpointName, n: u64, end: Instant, tally: Arc<Tally>) {
    // They do not come all at once.
    sleep(Duration::from_millis(n * 37 % 1_000)).await;
    loop {
        tally.present.fetch_add(1, Relaxed);
        let shift = work(&client, &name, n, &tally).await;
        // What it has queued is sent for a second, then the endpoint is gone.
        client.remove_endpoint(&name, Removal::Flush(Duration::from_secs(1)));
        tally.present.fetch_sub(1, Relaxed);
        let mut pause = Duration::from_millis(1_500 + n * 53 % 1_000);
        if let Err(error) = shift {
            // Names are shown with the token shortened, so the number says which.
            println!("device {n} ({name}): {error}");
            tally.turned_away.fetch_add(1, Relaxed);
            pause = Duration::from_secs(5);
        }
        if Instant::now() + pause >= end {
            return;
        }
        sleep(pause).await;
    }
}

/// What a device does while it is there: some samples, and whatever it is commanded.
async fn work(client: &Client, name: &EndpointName, n: u64, tally: &Tally) -> Result<(), AnyError> {
    let device = client.endpoint(name)?;
    select! {
        biased; // Commands come first.
        ended = answer(&device, tally), if n % 2 == 0 => ended,
        ended = measure(&device, n, tally) => ended,
    }
}

async fn measure(device: &Endpoint, n: u64, tally: &Tally) -> Result<(), AnyError> {
    // The first sample is waited for: the platform may not know the token.
    device.request(&sample(n)).await?;
    tally.confirmed.fetch_add(1, Relaxed);

    // The others are taken whether or not there is a link, and wait for it.
    let mut clock = interval(Duration::from_millis(500));
    let mut tickets = Vec::new();
    for _ in 0..3 + n % 5 {
        clock.tick().await;
        tickets.push(device.submit(&sample(n))?);
    }
    for ticket in tickets {
        ticket.await?;
        tally.confirmed.fetch_add(1, Relaxed);
    }
    Ok(())
}

async fn answer(device: &Endpoint, tally: &Tally) -> Result<(), AnyError> {
    let mut commands = device.commands_of("blink")?;
    while let Some(command) = commands.next().await {
        let reported = command.done()?;
        tally.commands.fetch_add(1, Relaxed);
        reported.await?;
    }
    Ok(())
}

/// A sample with its own time. A second copy does no harm, so it may be sent again when the link
/// was lost before its answer came; without that, nothing is ever sent twice.
fn sample(n: u64) -> impl Request<Response = ()> {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Sample::new(json!({"ts": now.as_millis() as u64, "temperature": 20 + n % 7}))
        .resend(Resend::AfterLinkLoss)
}

/// Tells what happens to the link that all share. Who gets it dropped is searched for, and
/// suspended alone.
async fn watch(mut events: LinkEvents) {
    while let Some(event) = events.next().await {
        if let Event::LinkLost { error, .. } = &event {
            println!("the link is over: {error}");
        } else if let Event::Suspended { name, .. } = &event {
            println!("{name} gets the link dropped and is suspended");
        }
    }
}

/// What the devices did.
#[derive(Debug, Default)]
struct Tally {
    /// Devices that are there now.
    present: AtomicU64,
    /// Shifts that failed, because the platform does not know the device.
    turned_away: AtomicU64,
    /// Samples that the platform has processed.
    confirmed: AtomicU64,
    /// Commands answered.
    commands: AtomicU64,
}

impl Tally {
    fn print(&self, client: &Client) {
        let seen = client.statistics();
        let (out, back, links) = (seen.messages_out, seen.messages_in, seen.links_up);
        println!("{self:?}, {out} messages out, {back} in, over {links} links");
    }
}

/// Where the platform is, and who the devices are. A local one knows all but the last.
fn platform(count: u64) -> Result<(Options, Vec<EndpointName>, Option<LocalPlatform>), AnyError> {
    let is_told = env::var_os("KAA_URL").is_some();
    let first = match is_told {
        true => EndpointName::from_env()?,
        false => EndpointName::parse("demo-v1", "meter")?,
    };
    let (version, token) = (first.app_version().as_str(), first.token().as_str());
    let names = (0..count).map(|n| EndpointName::parse(version, &format!("{token}-{n}")));
    let names: Vec<_> = names.collect::<Result<_, _>>()?;
    if is_told {
        return Ok((Options::from_env()?, names, None));
    }
    let device = json!({"commands": {"blink": [{"payload": {"times": 3}}]}});
    let known = names.iter().rev().skip(1).map(|name| name.token().as_str());
    let known: Value = known.map(|token| (token, device.clone())).collect();
    let fixture = json!({"appVersions": {version: {"endpoints": known}}});
    let mut options = LocalOptions::default();
    options.platform.fixture = Some(Fixture::parse(&fixture.to_string())?);
    let local = LocalPlatform::start(options)?;
    Ok((Options::new(local.url())?, names, Some(local)))
}
