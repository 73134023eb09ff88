//! The clients of this project: all is the same but how they are started, and how one waits.

use std::num::NonZeroU16;
use std::rc::Rc;

use kaa_bench::Outcome;
use kaa_proto::client::{Client, Endpoint};
use kaa_proto::endpoint::EndpointOptions;
use kaa_proto::names::EndpointName;
use kaa_proto::telemetry::Sample;
use kaa_smol::Options;
use serde_json::value::RawValue;

use crate::work::{APP_VERSION, Meter, PATIENCE, SAMPLE, TOKEN, Window, Work};

/// In a task beside that of the client, on one thread.
pub(crate) fn tokio(work: &Work) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client = kaa_tokio::Client::connect(options(work)?).await?;
        confirm(&client, work).await
    })
}

/// The same on the executor of smol.
pub(crate) fn smol(work: &Work) -> Outcome<()> {
    let (executor, work) = (Rc::new(smol::LocalExecutor::new()), *work);
    let tasks = Rc::clone(&executor);
    let device = executor.spawn(async move {
        let (client, driver) = kaa_smol::Client::with_driver(options(&work)?).await?;
        tasks.spawn(driver).detach();
        confirm(&client, &work).await
    });
    smol::block_on(executor.run(device))
}

/// The client has a thread of its own.
pub(crate) fn blocking(work: &Work) -> Outcome<()> {
    let client = kaa_blocking::Client::connect(options(work)?)?;
    client.ready(PATIENCE)?;
    let device = client.endpoint_with(&name()?, endpoint_options(work)?)?;
    let sample = sample()?;
    device.request(&Sample::new(&*sample))?;
    let mut meter = Meter::start(work)?;
    let mut window = Window::new(work);
    for _ in 0..work.count {
        if window.is_full() {
            let (since, ticket): (_, kaa_blocking::Ticket<_>) = window.pop().ok_or("empty")?;
            ticket.outcome()?;
            meter.confirmed(since);
        }
        window.push(meter.sent(), device.submit(&Sample::new(&*sample))?);
    }
    while let Some((since, ticket)) = window.pop() {
        ticket.outcome()?;
        meter.confirmed(since);
    }
    meter.finish()
}

async fn confirm(client: &Client, work: &Work) -> Outcome<()> {
    client.ready(PATIENCE).await?;
    let device: Endpoint = client.endpoint_with(&name()?, endpoint_options(work)?)?;
    let sample = sample()?;
    device.request(&Sample::new(&*sample)).await?;
    let mut meter = Meter::start(work)?;
    let mut window = Window::new(work);
    for _ in 0..work.count {
        if window.is_full() {
            let (since, ticket): (_, kaa_proto::client::Ticket<_>) = window.pop().ok_or("empty")?;
            ticket.await?;
            meter.confirmed(since);
        }
        window.push(meter.sent(), device.submit(&Sample::new(&*sample))?);
    }
    while let Some((since, ticket)) = window.pop() {
        ticket.await?;
        meter.confirmed(since);
    }
    meter.finish()
}

fn options(work: &Work) -> Outcome<Options> {
    let options = Options::new(&format!("mqtt://127.0.0.1:{}", work.port))?;
    Ok(options.connection(|options| options.window(work.in_flight)))
}

/// As many samples on their way as are wanted, and the eighth more that is kept for commands.
fn endpoint_options(work: &Work) -> Outcome<EndpointOptions> {
    let max = NonZeroU16::new(work.in_flight + 8).ok_or("nothing in flight")?;
    Ok(EndpointOptions::default().qos(work.qos)?.max_in_flight(max))
}

fn name() -> Outcome<EndpointName> {
    Ok(EndpointName::parse(APP_VERSION, TOKEN)?)
}

fn sample() -> Outcome<Box<RawValue>> {
    Ok(RawValue::from_string(SAMPLE.into())?)
}
