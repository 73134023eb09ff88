//! The program that a user would write today: rumqttc, with the matching of answers written by hand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kaa_bench::Outcome;
use kaa_proto::QoS;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet};
use tokio::sync::oneshot;

use crate::work::{FILTERS, MAX_ID, Meter, SAMPLE, TOPIC, Window, Work};

/// Who waits for the answer of which request ID.
type Waiting = Arc<Mutex<HashMap<u32, oneshot::Sender<bool>>>>;

/// In a task beside that of the event loop, on one thread.
pub(crate) fn run(work: &Work, nodelay: bool) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut options = MqttOptions::new("e2e", "127.0.0.1", work.port);
        options
            .set_keep_alive(Duration::from_secs(60))
            .set_inflight(work.in_flight);
        let (client, mut events) = AsyncClient::new(options, work.in_flight.into());
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(nodelay);
        events.set_network_options(network);
        let waiting = Waiting::default();
        tokio::spawn(drive(events, Arc::clone(&waiting)));
        for filter in FILTERS {
            client.subscribe(filter, rumqttc::QoS::AtLeastOnce).await?;
        }
        let mut device = Device {
            client,
            waiting,
            qos: match work.qos {
                QoS::AtMostOnce => rumqttc::QoS::AtMostOnce,
                QoS::AtLeastOnce | QoS::ExactlyOnce => rumqttc::QoS::AtLeastOnce,
            },
            last_id: 0,
        };
        confirm(&mut device, work).await
    })
}

async fn confirm(device: &mut Device, work: &Work) -> Outcome<()> {
    device.send().await?.await?;
    let mut meter = Meter::start(work)?;
    let mut window = Window::new(work);
    for _ in 0..work.count {
        if window.is_full() {
            let (since, answer): (_, oneshot::Receiver<bool>) = window.pop().ok_or("empty")?;
            ended(answer.await?)?;
            meter.confirmed(since);
        }
        window.push(meter.sent(), device.send().await?);
    }
    while let Some((since, answer)) = window.pop() {
        ended(answer.await?)?;
        meter.confirmed(since);
    }
    meter.finish()
}

fn ended(is_good: bool) -> Outcome<()> {
    is_good
        .then_some(())
        .ok_or_else(|| "a sample was refused".into())
}

struct Device {
    client: AsyncClient,
    waiting: Waiting,
    qos: rumqttc::QoS,
    last_id: u32,
}

impl Device {
    /// Sends a sample, and gives what its answer will come by.
    async fn send(&mut self) -> Outcome<oneshot::Receiver<bool>> {
        self.last_id = self.last_id % MAX_ID + 1;
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiting).insert(self.last_id, sender);
        let topic = format!("{TOPIC}{}", self.last_id);
        self.client.publish(topic, self.qos, false, SAMPLE).await?;
        Ok(receiver)
    }
}

/// Lets the event loop work, and hands answers to who waits for them.
async fn drive(mut events: EventLoop, waiting: Waiting) {
    while let Ok(event) = events.poll().await {
        let Event::Incoming(Packet::Publish(message)) = event else {
            continue;
        };
        let Some((id, answer)) = message
            .topic
            .strip_prefix(TOPIC)
            .and_then(|of| of.split_once('/'))
        else {
            continue;
        };
        let who = id
            .parse()
            .ok()
            .and_then(|id: u32| lock(&waiting).remove(&id));
        if let Some(who) = who {
            let _ = who.send(answer == "status");
        }
    }
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, HashMap<u32, oneshot::Sender<bool>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
