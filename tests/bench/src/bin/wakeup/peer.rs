//! The same by hand, over rumqttc.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::{
    Client, Connection, Event, MqttOptions, Packet, QoS, SubscribeFilter, TlsConfiguration,
    Transport,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::{Wake, World};

/// In which order it is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Subscribe after CONNACK, publish after SUBACK.
    Natural,
    /// Everything is handed over before the first poll: rumqttc writes it after CONNACK.
    Ahead,
}

/// What TLS is spoken with; its sessions can be resumed with the same one.
pub(crate) fn tls(world: &World) -> Option<Arc<ClientConfig>> {
    let authority = world.authority.as_ref()?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots
            .add(certificate.expect("it is PEM"))
            .expect("it is a root");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder
        .expect("ring speaks it")
        .with_root_certificates(roots);
    Some(Arc::new(builder.with_no_client_auth()))
}

/// It wakes, sends a sample, has it confirmed, and sleeps.
pub(crate) fn wake(world: &World, tls: Option<Arc<ClientConfig>>, order: Order) -> Wake {
    // As long as the one that our client draws.
    let id = "kaa0123456789abcdef";
    let mut options = MqttOptions::new(id, "localhost", world.proxy.port());
    options.set_keep_alive(Duration::from_secs(60));
    if let Some(config) = tls {
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(config)));
    }
    let start = Instant::now();
    let (client, mut connection) = Client::new(options, 16);
    connection.eventloop.network_options.set_tcp_nodelay(true);
    if order == Order::Ahead {
        subscribe(world, &client);
        publish(world, &client);
    }
    let answer = format!("{}/status", world.topic());
    for event in connection.iter() {
        match event.expect("the link is good") {
            Event::Incoming(Packet::ConnAck(_)) if order == Order::Natural => {
                subscribe(world, &client);
            }
            Event::Incoming(Packet::SubAck(_)) if order == Order::Natural => {
                publish(world, &client);
            }
            Event::Incoming(Packet::Publish(message)) if message.topic == answer => break,
            Event::Incoming(_) | Event::Outgoing(_) => {}
        }
    }
    let elapsed = start.elapsed();
    sleep(&client, &mut connection);
    drop(connection);
    let bytes = world.proxy.ended().bytes();
    Wake { elapsed, bytes }
}

/// What our client subscribes to.
fn subscribe(world: &World, client: &Client) {
    let kind = |kind: &str| {
        let filter = format!(
            "kp1/demo-v1/dcx/{}/json/+/{kind}",
            world.name().token().as_str()
        );
        SubscribeFilter::new(filter, QoS::AtLeastOnce)
    };
    let filters = [kind("error"), kind("status")];
    client.try_subscribe_many(filters).expect("there is room");
}

fn publish(world: &World, client: &Client) {
    let payload = r#"{"temperature":21}"#;
    client
        .try_publish(world.topic(), QoS::AtLeastOnce, false, payload)
        .expect("there is room");
}

fn sleep(client: &Client, connection: &mut Connection) {
    client.try_disconnect().expect("there is room");
    for event in connection.iter() {
        if event.is_err() {
            return;
        }
    }
}
