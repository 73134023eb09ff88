//! The smallest program that has one sample confirmed, with rumqttc: `sender_rumqttc URL`. It prints a
//! line then, and stays until its input ends.

use std::io::{self, Write as _};
use std::thread;

use rumqttc::{Client, Event, MqttOptions, Packet, QoS, Transport};

const TOPIC: &str = "kp1/demo-v1/dcx/JTjdbENzHh/json/1";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("a URL is missing")?;
    let (scheme, address) = url.split_once("://").ok_or("a URL has a scheme")?;
    let (host, port) = address.split_once(':').ok_or("a URL has a port here")?;
    let transport = match scheme {
        "mqtt" => Transport::tcp(),
        #[cfg(feature = "tls")]
        "mqtts" => Transport::tls_with_default_config(),
        _ => return Err("no such scheme".into()),
    };
    let mut options = MqttOptions::new("sender", host, port.parse()?);
    options.set_transport(transport);
    let (client, mut connection) = Client::new(options, 10);
    client.subscribe(format!("{TOPIC}/status"), QoS::AtLeastOnce)?;
    client.subscribe(format!("{TOPIC}/error"), QoS::AtLeastOnce)?;
    client.publish(TOPIC, QoS::AtLeastOnce, false, "[21.5]")?;
    for event in connection.iter() {
        let Event::Incoming(Packet::Publish(message)) = event? else {
            continue;
        };
        match message.topic.strip_prefix(TOPIC) {
            Some("/status") => break,
            Some("/error") => return Err("it was refused".into()),
            _ => {}
        }
    }
    writeln!(io::stdout(), "confirmed")?;
    thread::spawn(move || connection.iter().count());
    io::stdin().read_line(&mut String::new())?;
    client.disconnect()?;
    Ok(())
}
