//! The local platform, whatever its clients and its operator do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kaa_proto::names::{CommandType, ConfigName, EndpointName};
use kaa_proto::platform::{
    Event, Fault, LinkId, PlatformOptions, PlatformServer, Switches, Tokens, UploadRequest,
};
use kaa_tests::clock::Clock;
use kaa_tests::operations;
use kaa_tests::sniffer::{Packet, Sniffer};
use serde_json::json;

use crate::input::Input;
use kaa_tests::packets::{packet, publish, text};

/// How many operations are done at most.
const MOST: usize = 200;
/// How many links there are at most.
const LINKS: usize = 3;

/// Whatever bytes come on whichever link: deadlines are honest, what goes out is what a server may send, and
/// a platform that gets the same bytes in pieces does and notes the same.
///
/// The first three bytes are the setup, the rest are operations.
///
/// # Panics
/// If that does not hold.
pub fn platform(data: &[u8]) {
    let mut input = Input::new(data);
    let options = options(&mut input);
    let piece = 1 + input.below(40);
    let clock = Clock::new();
    let side = |piece| Side {
        server: PlatformServer::new(options.clone(), 7),
        piece,
        sniffers: BTreeMap::new(),
        log: Vec::new(),
    };
    let mut life = Life {
        sides: [side(usize::MAX), side(piece)],
        start: clock.now(),
        clock,
        links: Vec::new(),
        sent: Vec::new(),
    };
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        life.act(&mut input);
        life.check();
    }
}

struct Life {
    /// The platform, and the same one with its input in pieces.
    sides: [Side; 2],
    clock: Clock,
    start: Instant,
    links: Vec<LinkId>,
    /// What a link was sent and has not acknowledged.
    sent: Vec<(LinkId, Packet)>,
}

struct Side {
    server: PlatformServer,
    /// How long the pieces of its input are.
    piece: usize,
    sniffers: BTreeMap<LinkId, Sniffer>,
    /// What it did.
    log: Vec<String>,
}

impl Life {
    fn act(&mut self, input: &mut Input<'_>) {
        match input.below(16) {
            0 if self.links.len() < LINKS => {
                let now = self.clock.now();
                let links = self
                    .sides
                    .each_mut()
                    .map(|side| side.server.handle_accepted(now));
                assert_eq!(links[0], links[1]);
                self.links.push(links[0]);
                if input.byte() & 7 != 0 {
                    self.feed(links[0], b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c");
                }
            }
            1 => self.on_link(input, |input| {
                let (flags, keep_alive, id) = (input.byte(), input.byte(), input.text());
                let head = [0, 4, b'M', b'Q', b'T', b'T', 4, flags, 0, keep_alive];
                let mut body = [&head[..], &text(id.as_bytes())].concat();
                body.extend_from_slice(input.chunk());
                packet(0x10, &body)
            }),
            2 => self.on_link(input, |input| input.chunk().to_vec()),
            3 => self.on_link(input, |input| {
                let filter = input.pick(&["#", "kp1/#", "kp1/demo-v1/+/JTjdbENzHh/#", "$SYS/#"]);
                let qos = input.byte() % 4;
                packet(
                    0x82,
                    &[&[0, 1 + qos], &text(filter.as_bytes())[..], &[qos]].concat(),
                )
            }),
            4 => self.on_link(input, |input| {
                let first = input.byte();
                packet(first, input.chunk())
            }),
            5..=8 => self.on_link(input, ask),
            9 => self.on_link(input, |input| {
                let (topic, payload, qos) = (input.text(), input.chunk(), input.byte());
                publish(topic.as_bytes(), payload, qos % 4, u16::from(qos))
            }),
            10 => self.acknowledge(input),
            11 => {
                let step = Duration::from_millis(500) * u32::from(input.byte());
                self.clock.advance(step);
                let now = self.clock.now();
                for side in &mut self.sides {
                    side.server.handle_timeout(now);
                }
            }
            12 => {
                if let Some(link) = nth(&self.links, input.byte()) {
                    self.close(link);
                }
            }
            13 => self.operate(input),
            14 => {
                let words = input.pick(&[
                    "late 3s times 3",
                    "lose times 2",
                    "duplicate 3 times 2",
                    "reorder 3 times 4",
                    "error 500 percent 50",
                    "kick",
                    "black-hole 5s",
                    "black-hole 9s of JTjdbENzHh",
                    "clear",
                ]);
                let fault = Fault::parse(&words.split(' ').collect::<Vec<_>>());
                let fault = fault.expect("it is a fault");
                let now = self.clock.now();
                for side in &mut self.sides {
                    side.server
                        .operate(now, |platform| platform.fault(now, fault.clone()));
                }
            }
            _ => {
                let rows = Switches::help();
                let row = &rows[input.below(rows.len())];
                let value = input.text();
                let now = self.clock.now();
                for side in &mut self.sides {
                    let set = |switches: &mut Switches| switches.set(row.name, &value).is_ok();
                    side.server
                        .operate(now, |platform| set(platform.switches_mut()));
                }
            }
        }
    }

    fn on_link(&mut self, input: &mut Input<'_>, make: impl FnOnce(&mut Input<'_>) -> Vec<u8>) {
        let index = input.byte();
        let bytes = make(input);
        if let Some(link) = nth(&self.links, index) {
            self.feed(link, &bytes);
        }
    }

    fn feed(&mut self, link: LinkId, bytes: &[u8]) {
        let now = self.clock.now();
        for side in &mut self.sides {
            for piece in bytes.chunks(side.piece) {
                side.server.handle_input(now, link, piece);
            }
        }
    }

    fn acknowledge(&mut self, input: &mut Input<'_>) {
        if self.sent.is_empty() {
            return;
        }
        let (link, packet) = self.sent.remove(input.below(self.sent.len().min(256)));
        let message = packet.message().expect("only messages are kept");
        let topic = 2 + message.topic.len();
        let id = [packet.body[topic], packet.body[topic + 1]];
        let first = if message.qos == 1 { 0x40 } else { 0x50 };
        self.feed(link, &[first, 2, id[0], id[1]]);
    }

    fn close(&mut self, link: LinkId) {
        let now = self.clock.now();
        for side in &mut self.sides {
            side.server.handle_closed(now, link);
            side.sniffers.remove(&link);
        }
        self.links.retain(|open| *open != link);
        self.sent.retain(|(of, _)| *of != link);
    }

    fn operate(&mut self, input: &mut Input<'_>) {
        let now = self.clock.now();
        let token = input.pick(&["JTjdbENzHh", "JTjdbENzHh", "other"]);
        let name = EndpointName::parse("demo-v1", token).expect("it is a name");
        let (verb, number) = (input.below(6), input.byte());
        for side in &mut self.sides {
            let done = side.server.operate(now, |platform| match verb {
                0 => {
                    let of_type = CommandType::new("reboot").expect("it is a name");
                    let payload = Some(json!(number));
                    format!("{:?}", platform.command(now, &name, &of_type, payload))
                }
                1 => {
                    let config = ConfigName::new("wifi").ok().filter(|_| number & 1 == 1);
                    let config = config.as_ref();
                    format!(
                        "{:?}",
                        platform.set_configuration(now, &name, config, json!(number))
                    )
                }
                2 => format!("{:?}", platform.set_software(now, &name, "2.0", json!({}))),
                3 => format!("{:?}", platform.kick(now, &name)),
                4 => {
                    let upload = UploadRequest {
                        method: "POST",
                        target: "/bcx/api/v1/binary-data?name=a%20b",
                        token: Some("2222"),
                        content_type: Some("application/octet-stream"),
                        origin: "http://localhost",
                        size: number.into(),
                    };
                    format!("{:?}", platform.upload(now, upload))
                }
                _ => format!("{:?}", platform.state(&name)),
            });
            side.log.push(done);
        }
    }

    /// What holds after every step; then what came out is taken.
    fn check(&mut self) {
        let now = self.clock.now();
        for side in &mut self.sides {
            side.server.handle_timeout(now);
            let next = side.server.poll_timeout();
            assert!(next.is_none_or(|next| next > now), "poll_timeout lies");
            side.server.handle_timeout(now);
            assert_eq!(side.server.poll_timeout(), next, "handle_timeout twice");
        }
        for link in self.links.clone() {
            let [whole, pieces] = &mut self.sides;
            let (packets, bytes) = whole.take_output(now, link);
            assert_eq!(
                bytes,
                pieces.take_output(now, link).1,
                "in pieces it is something else"
            );
            let messages = packets
                .into_iter()
                .filter(|packet| packet.first & 0xf6 > 0x30);
            let messages = messages.filter(|packet| packet.first >> 4 == 3);
            self.sent.extend(messages.map(|packet| (link, packet)));
        }
        let start = self.start;
        let [whole, pieces] = self.sides.each_mut().map(|side| side.take_log(start));
        assert_eq!(whole.0, pieces.0, "in pieces it notes something else");
        assert_eq!(whole.1, pieces.1, "in pieces it hangs up otherwise");
        for link in whole.1 {
            self.close(link);
        }
    }
}

impl Side {
    /// All that is to be written on a link, as packets and as bytes.
    fn take_output(&mut self, now: Instant, link: LinkId) -> (Vec<Packet>, Vec<u8>) {
        let mut bytes = Vec::new();
        loop {
            let len = self.server.poll_transmit(link, &mut bytes);
            if len == 0 {
                break;
            }
            self.server.handle_written(now, link, len);
        }
        let packets = self.sniffers.entry(link).or_default().packets(&bytes);
        for packet in &packets {
            match packet.first >> 4 {
                2 | 4 | 5 | 7 | 11 => assert_eq!((packet.first & 0xf, packet.body.len()), (0, 2)),
                6 => assert_eq!((packet.first, packet.body.len()), (0x62, 2)),
                9 => assert!(packet.first == 0x90 && packet.body.len() > 2),
                13 => assert_eq!((packet.first, packet.body.len()), (0xd0, 0)),
                3 => {
                    let message = packet.message().expect("it is a PUBLISH");
                    assert!(!message.topic.contains(['+', '#', '\0']), "{message:?}");
                }
                other => panic!("a server sends no packet of type {other}"),
            }
        }
        (packets, bytes)
    }

    /// What it noted and whom it hangs up.
    fn take_log(&mut self, start: Instant) -> (Vec<String>, Vec<LinkId>) {
        while let Some(event) = self.server.poll_event() {
            let note =
                |event: &Event| format!("{event} {}", event.to_json(start, Tokens::Shortened));
            self.log.push(note(&event));
        }
        let hang_ups = std::iter::from_fn(|| self.server.poll_hang_up()).collect();
        (std::mem::take(&mut self.log), hang_ups)
    }
}

/// A request as a device sends it, well made or nearly.
fn ask(input: &mut Input<'_>) -> Vec<u8> {
    let path = input.pick(&[
        "dcx/T/json",
        "dcx/T/plain/humidity",
        "epmx/T/get",
        "epmx/T/get/keys",
        "epmx/T/update",
        "epmx/T/update/keys",
        "epmx/T/delete/keys",
        "cex/T/command/reboot",
        "cex/T/command",
        "cex/T/result/reboot",
        "cmx/T/config/json",
        "cmx/T/config/json/wifi",
        "cmx/T/applied/json",
        "cmx_ota/T/config/json",
        "cmx_ota/T/applied/json",
        "bcx/T/token",
        "rsx/T/dcx",
        "tsx/T",
        "zzz/T",
    ]);
    let token = input.pick(&["JTjdbENzHh", "JTjdbENzHh", "JTjdbENzHh", "other"]);
    let mut topic = format!("kp1/demo-v1/{}", path.replace('T', token));
    match input.byte() {
        0 => {}
        id => topic.push_str(&format!("/{id}")),
    }
    let payload = match input.below(12) {
        0 => "",
        1 => "{}",
        2 => r#"{"observe":true}"#,
        3 => r#"{"observe":false}"#,
        4 => r#"{"configId":"97016dbe","statusCode":200}"#,
        5 => r#"{"configId":"a","statusCode":400,"reasonPhrase":"no"}"#,
        6 => r#"[{"id":1,"statusCode":200,"payload":{}}]"#,
        7 => r#"["name","location"]"#,
        8 => r#"{"name":1,"b":{"c":null}}"#,
        9 => "47%",
        10 => r#"{"timezone":"Pacific/Easter"}"#,
        _ => return publish(topic.as_bytes(), input.chunk(), 0, 0),
    };
    let qos = input.byte() % 3;
    publish(topic.as_bytes(), payload.as_bytes(), qos, 5)
}

fn options(input: &mut Input<'_>) -> PlatformOptions {
    let setup = input.byte();
    let mut options = operations::platform(&[]);
    if setup & 1 != 0 {
        options.fixture = None;
        options.max_endpoints = 3;
    }
    options
}

fn nth<T: Clone>(from: &[T], index: u8) -> Option<T> {
    from.get(usize::from(index) % from.len().max(1)).cloned()
}
