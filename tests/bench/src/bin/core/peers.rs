//! Others, with what a user of theirs writes by hand: topics, request IDs, and a map of who waits.

use std::collections::HashMap;

use bytes::BytesMut;
use mqtt_protocol_core::mqtt;
use mqtt_protocol_core::mqtt::connection::Event;
use mqtt_protocol_core::mqtt::packet::GenericPacketTrait as _;
use rumqttc::{MqttState, Packet, Publish, QoS, Request};

use crate::exchange::{Client, SAMPLE};

/// More than any packet here has.
const MAX_PACKET: usize = 1 << 20;

/// Who waits for an answer, by the topic of the request.
#[derive(Default)]
struct Waiting {
    last: u32,
    by_topic: HashMap<String, u32>,
}

impl Waiting {
    fn next_topic(&mut self) -> String {
        self.last = self.last % 99 + 1;
        let topic = format!("kp1/demo-v1/dcx/JTjdbENzHh/json/{}", self.last);
        self.by_topic.insert(topic.clone(), self.last);
        topic
    }

    /// Whether somebody waited for this answer.
    fn handle(&mut self, topic: &str) -> bool {
        let request = topic.strip_suffix("/status");
        request.is_some_and(|request| self.by_topic.remove(request).is_some())
    }
}

/// rumqttc, without its event loop.
pub(crate) struct Rumqttc {
    state: MqttState,
    waiting: Waiting,
    input: BytesMut,
    output: BytesMut,
}

impl Rumqttc {
    pub(crate) fn new() -> Self {
        Self {
            state: MqttState::new(100, false),
            waiting: Waiting::default(),
            input: BytesMut::new(),
            output: BytesMut::new(),
        }
    }

    fn put(&mut self, packet: Option<Packet>) {
        if let Some(packet) = packet {
            packet.write(&mut self.output, MAX_PACKET).unwrap();
        }
    }
}

impl Client for Rumqttc {
    fn submit(&mut self) {
        let topic = self.waiting.next_topic();
        let publish = Publish::new(topic, QoS::AtLeastOnce, SAMPLE);
        let request = Request::Publish(publish);
        let packet = self.state.handle_outgoing_packet(request).unwrap();
        self.put(packet);
        self.state.events.clear();
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.output);
        self.output.clear();
    }

    fn read(&mut self, answers: &[u8]) -> usize {
        self.input.extend_from_slice(answers);
        let mut confirmed = 0;
        while let Ok(packet) = Packet::read(&mut self.input, MAX_PACKET) {
            let answer = self.state.handle_incoming_packet(packet).unwrap();
            self.put(answer);
            while let Some(event) = self.state.events.pop_front() {
                if let rumqttc::Event::Incoming(Packet::Publish(publish)) = event {
                    confirmed += usize::from(self.waiting.handle(&publish.topic));
                }
            }
        }
        confirmed
    }
}

/// mqtt-protocol-core.
pub(crate) struct ProtocolCore {
    connection: mqtt::Connection<mqtt::role::Client>,
    waiting: Waiting,
    output: Vec<u8>,
}

impl ProtocolCore {
    pub(crate) fn new() -> Self {
        let mut connection = mqtt::Connection::<mqtt::role::Client>::new(mqtt::Version::V3_1_1);
        connection.set_auto_pub_response(true);
        let connect = mqtt::packet::v3_1_1::Connect::builder().client_id("bench");
        let connect = connect.unwrap().clean_session(true).build().unwrap();
        let _ = connection.checked_send(connect);
        let _ = connection.recv(&mut mqtt::common::Cursor::new(b"\x20\x02\x00\x00"));
        Self {
            connection,
            waiting: Waiting::default(),
            output: Vec::new(),
        }
    }

    fn handle(&mut self, events: Vec<Event>) -> usize {
        let mut confirmed = 0;
        for event in events {
            match event {
                Event::RequestSendPacket { packet, .. } => {
                    for buffer in packet.to_buffers() {
                        self.output.extend_from_slice(&buffer);
                    }
                }
                Event::NotifyPacketReceived(mqtt::packet::Packet::V3_1_1Publish(publish)) => {
                    confirmed += usize::from(self.waiting.handle(publish.topic_name()));
                }
                _ => {}
            }
        }
        confirmed
    }
}

impl Client for ProtocolCore {
    fn submit(&mut self) {
        let topic = self.waiting.next_topic();
        let id = self.connection.acquire_packet_id().unwrap();
        let publish = mqtt::packet::v3_1_1::Publish::builder();
        let publish = publish.topic_name(topic).unwrap();
        let publish = publish.qos(mqtt::packet::Qos::AtLeastOnce).packet_id(id);
        let publish = publish.payload(SAMPLE.as_bytes().to_vec()).build().unwrap();
        let events = self.connection.checked_send(publish);
        self.handle(events);
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.output);
    }

    fn read(&mut self, answers: &[u8]) -> usize {
        let mut cursor = mqtt::common::Cursor::new(answers);
        let mut confirmed = 0;
        while (cursor.position() as usize) < answers.len() {
            let events = self.connection.recv(&mut cursor);
            confirmed += self.handle(events);
        }
        confirmed
    }
}
