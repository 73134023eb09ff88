//! Level A on an MQTT client of your own: one `Endpoint` over rumqttc, until it is stopped. Its
//! arguments are host, port, application version and token. The docs of `endpoint` say why.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a host")]

use std::{env, error::Error, pin::pin, time::Duration, time::Instant};

use futures_util::{StreamExt as _, stream::unfold};
use kaa_proto::endpoint::{CommandKey, Endpoint, EndpointOptions, Event, Filter, Observation};
use kaa_proto::names::{CommandType, EndpointName};
use kaa_proto::{commands::CommandResult, config, metadata, telemetry::Sample};
use rumqttc::{AsyncClient, MqttOptions, Packet, QoS, SubscribeFilter};
use rumqttc::{Event::Incoming, SubscribeReasonCode::Failure};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let mut or = |default: &str| args.next().unwrap_or_else(|| default.to_owned());
    let random = getrandom::u64()?; // two clients with one ID would end each other's links
    let mut mqtt = MqttOptions::new(format!("k{random:x}"), or("127.0.0.1"), or("1883").parse()?);
    mqtt.set_max_packet_size(1 << 20, 1 << 20); // one over rumqttc's 10 KiB would end the link
    let name = EndpointName::parse(&or("demo-v1"), &or("JTjdbENzHh"))?;
    let options = EndpointOptions::default().spread_request_ids(true);
    let mut endpoint = Endpoint::new(name, options.into(), random);
    let now = Instant::now();
    endpoint.observe(now, &Observation::Commands(CommandType::new("reboot")?))?;
    endpoint.observe(now, &Observation::Configuration(None))?;
    endpoint.submit(now, &metadata::Get::all())?;
    endpoint.submit(now, &Sample::new(serde_json::json!({"temperature": 21})))?;
    loop {
        let (client, link) = AsyncClient::new(mqtt.clone(), 128); // holds nothing of an old link
        let mut link = pin!(unfold(link, async |mut m| Some((m.poll().await, m)))); // cancel-safe
        let mut asked = Vec::new(); // what the SUBSCRIBE asks for that is not answered yet
        loop {
            let now = Instant::now();
            endpoint.handle_timeout(now);
            while let Some(event) = endpoint.poll_event() {
                println!("{event:?}");
                if let Event::Completed { outcome, .. } = event {
                    println!("{:?}", outcome.map(|reply| reply.payload().clone()));
                }
            }
            while let Some(command) = endpoint.poll_command(|_| true) {
                endpoint.respond(now, &CommandKey::from(&command), CommandResult::ok())?;
            }
            while let Some(config::Answer::Assigned(new)) = endpoint.poll_configuration(None) {
                endpoint.submit(now, &config::Applied::of(&new))?;
            }
            if asked.is_empty() {
                while let Some(Filter::Subscribe(filter)) = endpoint.poll_filter(now) {
                    asked.push(SubscribeFilter::new(filter, QoS::AtLeastOnce));
                }
                let _ = client.try_subscribe_many(asked.clone()); // there is always room for it
            }
            // All have QoS 0: nothing here is `Confirm::Acknowledged`, so no PUBACK is to be told.
            if let Some(next) = endpoint.poll_message(now) {
                let sent = client.try_publish(next.topic, QoS::AtMostOnce, false, next.payload);
                sent.unwrap_or_else(|_| endpoint.handle_not_sent(now, next.key)); // full
            }
            let wait = endpoint.poll_timeout().map_or(Duration::MAX, |at| at - now);
            let event = tokio::time::timeout(wait, link.next()).await;
            let now = Instant::now();
            match event {
                Ok(Some(Ok(Incoming(Packet::ConnAck(_))))) => endpoint.handle_link_up(now),
                Ok(Some(Ok(Incoming(Packet::Publish(message))))) if !message.retain => {
                    let _ = endpoint.handle_message(now, &message.topic, &message.payload);
                }
                Ok(Some(Ok(Incoming(Packet::SubAck(ack))))) => {
                    for (filter, code) in asked.drain(..).zip(ack.return_codes) {
                        endpoint.handle_filter(now, &filter.path, (code != Failure).into());
                    }
                }
                Ok(Some(Err(error))) => break println!("link down: {error}"),
                Ok(Some(Ok(_)) | None) | Err(_) => {}
            }
        }
        endpoint.handle_link_down(Instant::now());
        tokio::time::sleep(Duration::from_millis(1_000 + random % 4_000)).await;
    }
}
