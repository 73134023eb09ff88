//! The heap of idle clients: a thousand in one process on one thread, each with one endpoint that has
//! had a sample confirmed. `idle CLIENT PORT` prints how many bytes that are for one: `sockets` are
//! connections with nothing above them, `kaa` those of kaa-tokio, `rumqttc` its.

use std::future::Future;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::time::Duration;

use kaa_bench::Outcome;
use kaa_proto::names::EndpointName;
use kaa_proto::telemetry::Sample;
use kaa_tokio::{Client, Endpoint, Options};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

const CLIENTS: usize = 1_000;
/// How long they do nothing before they are measured.
const REST: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Outcome<()> {
    let mut words = std::env::args().skip(1);
    let client = words.next().ok_or("idle: a client is missing")?;
    let port: u16 = words.next().ok_or("idle: a port is missing")?.parse()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let bytes = match &*client {
        "sockets" => measure(&runtime, || socket(port)),
        "kaa" => measure(&runtime, || kaa(port)),
        "rumqttc" => measure(&runtime, || with_rumqttc(port)),
        _ => return Err("idle: there is no such client".into()),
    }?;
    Ok(writeln!(io::stdout(), "{bytes}")?)
}

/// What one of so many clients holds.
fn measure<F, C>(runtime: &Runtime, client: impl Fn() -> F) -> Outcome<u64>
where
    F: Future<Output = Outcome<C>>,
{
    let mut clients = Vec::with_capacity(CLIENTS);
    let mut outcome: Outcome<()> = Ok(());
    let work = async {
        for _ in 0..CLIENTS {
            clients.push(client().await?);
        }
        tokio::time::sleep(REST).await;
        Ok(())
    };
    let info = allocation_counter::measure(|| outcome = runtime.block_on(work));
    outcome?;
    Ok(u64::try_from(info.bytes_current)? / u64::try_from(CLIENTS)?)
}

/// A task that waits for what never comes.
async fn socket(port: u16) -> Outcome<()> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    tokio::spawn(async move { stream.readable().await });
    Ok(())
}

async fn kaa(port: u16) -> Outcome<(Client, Endpoint)> {
    let client = Client::connect(Options::new(&format!("mqtt://127.0.0.1:{port}"))?).await?;
    client.ready(PATIENCE).await?;
    let device = client.endpoint(&EndpointName::parse("demo-v1", "JTjdbENzHh")?)?;
    device.request(&Sample::new([21.5])).await?;
    Ok((client, device))
}

async fn with_rumqttc(port: u16) -> Outcome<AsyncClient> {
    let mut options = MqttOptions::new("idle", "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(60));
    let (client, mut events) = AsyncClient::new(options, 10);
    let topic = "kp1/demo-v1/dcx/JTjdbENzHh/json/1";
    let (confirmed, confirmation) = oneshot::channel();
    let mut confirmed = Some(confirmed);
    tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            if let Event::Incoming(Packet::Publish(_)) = event {
                let _ = confirmed.take().map(|confirmed| confirmed.send(()));
            }
        }
    });
    client
        .subscribe(format!("{topic}/status"), QoS::AtLeastOnce)
        .await?;
    client
        .subscribe(format!("{topic}/error"), QoS::AtLeastOnce)
        .await?;
    client
        .publish(topic, QoS::AtLeastOnce, false, "[21.5]")
        .await?;
    confirmation.await?;
    Ok(client)
}
