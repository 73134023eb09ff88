//! What impostors do, as data.

use std::time::Duration;

use kaa_proto::connection::Statistics;

use crate::packets::{answers, commands, deep, list, publish, publish_head, publish_with, wide};
use crate::peer::Scene;

/// One way to treat a client.
#[derive(Clone, Copy)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) greeting: Greeting,
    pub(crate) manners: Manners,
    /// How many requests it waits for before it begins.
    pub(crate) after: usize,
    /// The next piece of what it sends; `None`: that was all.
    pub(crate) script: fn(&Scene) -> Option<Vec<u8>>,
    /// How many pieces it sends at most.
    pub(crate) pieces: usize,
    /// How many bytes go in each period, once the script has begun.
    pub(crate) pace: usize,
    /// How long a period is.
    pub(crate) period: Duration,
    /// How many links it takes, each from the beginning of its script.
    pub(crate) links: usize,
    /// For how long it is to be borne.
    pub(crate) lasts: Duration,
    /// What the client has counted afterwards: the attack was one.
    pub(crate) counted: fn(&Statistics) -> bool,
}

/// What it does of MQTT before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// Everything.
    Polite,
    /// Nothing: its script is all that it says.
    None,
}

/// What it does of MQTT meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manners {
    /// Everything.
    Good,
    /// It refuses every subscription.
    Refuses,
    /// It acknowledges nothing.
    Mute,
    /// It reads nothing.
    Deaf,
}

/// One that is polite, sends its script as fast as it can, and then nothing for a minute.
const fn polite(
    name: &'static str,
    script: fn(&Scene) -> Option<Vec<u8>>,
    counted: fn(&Statistics) -> bool,
) -> Attack {
    Attack {
        name,
        greeting: Greeting::Polite,
        manners: Manners::Good,
        after: 1,
        script,
        pieces: usize::MAX,
        pace: usize::MAX,
        period: Duration::from_secs(1),
        links: 1,
        lasts: Duration::from_secs(60),
        counted,
    }
}

/// One that sends a byte a minute, for an hour and on every link.
const fn byte_a_minute(
    name: &'static str,
    script: fn(&Scene) -> Option<Vec<u8>>,
    counted: fn(&Statistics) -> bool,
) -> Attack {
    Attack {
        pace: 1,
        period: Duration::from_secs(60),
        links: usize::MAX,
        lasts: Duration::from_secs(3_600),
        ..polite(name, script, counted)
    }
}

/// One that breaks MQTT from the start.
const fn rude(
    name: &'static str,
    script: fn(&Scene) -> Option<Vec<u8>>,
    counted: fn(&Statistics) -> bool,
) -> Attack {
    Attack {
        greeting: Greeting::None,
        ..polite(name, script, counted)
    }
}

const CONFIG: &str = "kp1/v/cmx/tok/config/json/status";
const NET: &str = "kp1/v/cmx/tok/config/json/net/status";
const SOFTWARE: &str = "kp1/v/cmx_ota/tok/config/json/status";
const LIGHT: &str = "kp1/v/cex/tok/command/light/status";
const ALL: &str = "kp1/v/cex/tok/command/status";
const BIG: usize = 16 * 1_024;
/// The largest remaining length.
const LONGEST: usize = 268_435_455;

/// So many pieces.
fn times(scene: &Scene, count: usize, piece: impl FnOnce(usize) -> Vec<u8>) -> Option<Vec<u8>> {
    (scene.step < count).then(|| piece(scene.step))
}

/// The only piece.
fn once(scene: &Scene, piece: impl FnOnce() -> Vec<u8>) -> Option<Vec<u8>> {
    times(scene, 1, |_| piece())
}

/// One of these payloads after the other, as every kind of message that a platform sends.
fn everywhere(scene: &Scene, payloads: &[Vec<u8>]) -> Option<Vec<u8>> {
    let payload = payloads.get(scene.step / 7)?;
    Some(match scene.step % 7 {
        0 => publish(CONFIG, payload),
        1 => publish(NET, payload),
        2 => publish(SOFTWARE, payload),
        3 => publish(LIGHT, payload),
        4 => publish(ALL, payload),
        5 => publish("kp1/v/dcx/tok/json/error", payload),
        _ => answers(scene, "status", payload),
    })
}

/// The largest payload that the client takes, less what stands around it.
const fn room(scene: &Scene) -> usize {
    scene.packet - 128
}

fn lost(statistics: &Statistics) -> bool {
    statistics.losses.violation > 0
}

/// Each link came up and was found dead, within two minutes on average: a byte now and then is no sign of
/// life, and where the window is full nobody even asks.
fn found_dead(statistics: &Statistics) -> bool {
    let (losses, lost) = (&statistics.losses, statistics.links_lost);
    let found = losses.keep_alive_timeout + losses.unacknowledged;
    found == lost && losses.keep_alive_timeout >= 25 && lost + 1 >= statistics.dials
}

/// A JSON object of this size with one long field.
fn object(head: &str, size: usize, tail: &str) -> Vec<u8> {
    let filler = "x".repeat(size.saturating_sub(head.len() + tail.len()));
    [head, &filler, tail].concat().into_bytes()
}

pub(crate) const ATTACKS: &[Attack] = &[
    polite(
        "a message of 256 MB, whole",
        |scene| match scene.step {
            0 => Some(publish_head(0x30, None, LIGHT, LONGEST - 2 - LIGHT.len())),
            step => {
                let left = (LONGEST - 2 - LIGHT.len()).saturating_sub((step - 1) * BIG);
                (left > 0).then(|| vec![b'['; left.min(BIG)])
            }
        },
        |s| s.oversize == 1 && s.losses.violation == 0,
    ),
    Attack {
        pace: 1,
        lasts: Duration::from_secs(600),
        ..polite(
            "256 MB announced, a byte a second",
            |scene| match scene.step {
                0 => Some(publish_head(0x30, None, LIGHT, LONGEST - 2 - LIGHT.len())),
                step => (step < 1_000).then(|| vec![b'[']),
            },
            |s| s.losses.keep_alive_timeout + s.losses.unacknowledged > 0,
        )
    },
    Attack {
        pace: 1,
        lasts: Duration::from_secs(600),
        ..polite(
            "the largest packet, a byte a second",
            |scene| match scene.step {
                0 => Some(publish_head(0x30, None, LIGHT, room(scene))),
                step => (step < 1_000).then(|| vec![b'[']),
            },
            |s| s.losses.keep_alive_timeout + s.losses.unacknowledged > 0,
        )
    },
    byte_a_minute(
        "256 MB announced, a byte a minute",
        |scene| match scene.step {
            0 => Some(publish_head(0x30, None, LIGHT, LONGEST - 2 - LIGHT.len())),
            step => (step < 1_000).then(|| vec![b'[']),
        },
        found_dead,
    ),
    byte_a_minute(
        "the largest packet, a byte a minute",
        |scene| match scene.step {
            0 => Some(publish_head(0x30, None, LIGHT, room(scene))),
            step => (step < 1_000).then(|| vec![b'[']),
        },
        found_dead,
    ),
    polite(
        "a remaining length of five bytes",
        |scene| once(scene, || b"\x30\xff\xff\xff\xff\x01".to_vec()),
        lost,
    ),
    polite(
        "an acknowledgement of 256 MB",
        |scene| once(scene, || b"\x90\xff\xff\xff\x7f".to_vec()),
        lost,
    ),
    polite(
        "a topic that is longer than its packet",
        |scene| once(scene, || b"\x30\x10\xff\xffkp1/v/cex/tok/".to_vec()),
        lost,
    ),
    polite(
        "topics of 65,535 bytes",
        |scene| times(scene, 20, |_| publish(&"a".repeat(65_535), "")),
        |s| s.malformed_topics > 0 || s.oversize > 0 || s.losses.violation > 0,
    ),
    polite(
        "resources of 65,000 bytes",
        |scene| {
            times(scene, 400, |step| {
                let size = room(scene).min(65_000);
                let levels = "a/".repeat(size / 2);
                let rest = ["1/status", "status", "error", "1/error"][step % 4];
                publish(&format!("kp1/v/cmx/tok/{levels}{rest}"), "{}")
            })
        },
        |s| s.requests.foreign_answers > 0 && s.requests.unsolicited > 0,
    ),
    polite(
        "JSON as deep as a message holds, everywhere",
        |scene| {
            let size = room(scene);
            let objects = br#"{"a":"#.repeat(size / 5);
            let in_command = [br#"[{"id":1001,"payload":"#, &*deep(size / 2)].concat();
            everywhere(scene, &[deep(size), objects, in_command])
        },
        |s| s.requests.malformed > 0 && s.oversize == 0,
    ),
    polite(
        "JSON as wide as a message holds, everywhere",
        |scene| {
            let size = room(scene);
            let nested = |key: &str| {
                let head = format!(r#"{{"{key}":"#).into_bytes();
                [head, wide(size - 32), b"}".to_vec()].concat()
            };
            everywhere(
                scene,
                &[
                    wide(size),
                    list("1", size),
                    list("{}", size),
                    nested("statusCode"),
                    nested("reasonPhrase"),
                    nested("configId"),
                    nested("config"),
                    nested("id"),
                ],
            )
        },
        |s| s.requests.malformed > 0 && s.oversize == 0,
    ),
    polite(
        "the same key again and again, everywhere",
        |scene| {
            let twins = |pair: &str| {
                let list = list(pair, room(scene));
                [b"{", &list[1..list.len() - 1], b"}"].concat()
            };
            everywhere(
                scene,
                &[
                    twins(r#""statusCode":500"#),
                    twins(r#""configId":"a""#),
                    twins(r#""id":1001"#),
                    twins(r#""a":0"#),
                ],
            )
        },
        |s| s.requests.malformed > 0,
    ),
    polite(
        "numbers that nothing can hold, everywhere",
        |scene| {
            let digits = "9".repeat(room(scene) - 64);
            let status = format!(r#"{{"statusCode":{digits}}}"#).into_bytes();
            let id = format!(r#"[{{"id":{digits}}}]"#).into_bytes();
            let tiny = br#"{"statusCode":1e999999999,"configId":"a","config":-1e-999999}"#;
            everywhere(scene, &[digits.into_bytes(), status, id, tiny.to_vec()])
        },
        |s| s.requests.malformed > 0,
    ),
    polite(
        "an error without end for every request, and for none",
        |scene| {
            let error = object(
                r#"{"statusCode":500,"reasonPhrase":""#,
                room(scene),
                r#""}"#,
            );
            times(scene, 300, |step| match step % 2 {
                0 => answers(scene, "error", &error),
                _ => publish("kp1/v/dcx/tok/json/error", error),
            })
        },
        |s| s.requests.rejected > 0,
    ),
    polite(
        "the largest answer for every request",
        |scene| {
            once(scene, || {
                answers(scene, "status", &object(r#"{"a":""#, room(scene), r#""}"#))
            })
        },
        |s| s.requests.confirmed > 0,
    ),
    polite(
        "the smallest elements as an answer for every request",
        |scene| once(scene, || answers(scene, "status", &wide(room(scene)))),
        |s| s.requests.confirmed > 0,
    ),
    polite(
        "the largest configuration and software, new ones all the time",
        |scene| {
            times(scene, 600, |step| {
                let head = format!(r#"{{"configId":"{step}","config":{{"a":""#);
                let push = object(&head, room(scene), r#""}}"#);
                publish([CONFIG, NET, SOFTWARE][step % 3], push)
            })
        },
        |s| s.requests.configurations_surfaced > 100,
    ),
    polite(
        "configurations with the longest identifiers",
        |scene| {
            times(scene, 200, |step| {
                let head = format!(r#"{{"config":1,"configId":"{step}"#);
                let push = object(&head, room(scene), r#""}"#);
                publish([CONFIG, NET, SOFTWARE][step % 3], push)
            })
        },
        |s| s.requests.malformed > 0,
    ),
    polite(
        "ten thousand commands in few messages",
        |scene| {
            times(scene, 50, |step| {
                publish(LIGHT, commands(1_000 + step * 30_000, room(scene)))
            })
        },
        |s| s.requests.commands_surfaced > 0 && s.requests.commands_held > 1_000,
    ),
    polite(
        "ten thousand commands in as many messages",
        |scene| {
            times(scene, 10_000, |step| {
                publish(LIGHT, format!(r#"[{{"id":{}}}]"#, 1_000 + step))
            })
        },
        |s| s.requests.commands_surfaced > 0 && s.requests.commands_held > 1_000,
    ),
    polite(
        "the largest commands",
        |scene| {
            times(scene, 500, |step| {
                let head = format!(r#"[{{"id":{},"payload":""#, 1_000 + step);
                publish(LIGHT, object(&head, room(scene), r#""}]"#))
            })
        },
        |s| s.requests.commands_surfaced > 0 && s.requests.commands_held > 100,
    ),
    polite(
        "commands of types that nobody knows",
        |scene| {
            times(scene, 20_000, |step| match step % 2 {
                0 => publish(
                    &format!("kp1/v/cex/tok/command/t{step}/status"),
                    r#"[{"id":1}]"#,
                ),
                _ => publish(ALL, format!(r#"[{{"id":1,"type":"t{step}"}}]"#)),
            })
        },
        |s| s.requests.commands_unobserved >= 20_000,
    ),
    polite(
        "pushes for endpoints that do not exist",
        |scene| {
            times(scene, 20_000, |step| {
                publish(
                    &format!("kp1/v{step}/cex/t{step}/command/a/status"),
                    r#"[{"id":1}]"#,
                )
            })
        },
        |s| s.unknown_endpoints == 20_000,
    ),
    polite(
        "pushes for resources and services that do not exist",
        |scene| {
            times(scene, 20_000, |step| {
                publish(&format!("kp1/v/x{step}/tok/r{step}/status"), "{}")
            })
        },
        |s| s.requests.unsolicited == 20_000,
    ),
    polite(
        "answers to what nobody asked",
        |scene| {
            times(scene, 20_000, |step| {
                let suffix = ["status", "error"][step % 2];
                publish(&format!("kp1/v/dcx/tok/json/{}/{suffix}", 100 + step), "{}")
            })
        },
        |s| s.requests.foreign_answers + s.requests.late_answers >= 19_000,
    ),
    polite(
        "errors and pushes of nobody with long words",
        |scene| {
            times(scene, 4_000, |step| {
                let words = "w".repeat(300);
                let error = format!(r#"{{"statusCode":500,"reasonPhrase":"{words}"}}"#);
                match step % 2 {
                    0 => publish(&format!("kp1/v/dcx/tok/{words}/error"), error),
                    _ => publish(&format!("kp1/{words}/dcx/t/{words}/error"), error),
                }
            })
        },
        |s| s.unknown_endpoints == 2_000,
    ),
    polite(
        "own requests as an echo",
        |scene| {
            times(scene, 20_000, |step| {
                publish(&format!("kp1/v/dcx/tok/json/{step}"), "{}")
            })
        },
        |s| s.requests.echoes >= 19_999,
    ),
    polite(
        "acknowledgements of what was never sent",
        |scene| {
            times(scene, 4_000, |step| {
                let [high, low] = (step as u16 + 20_000).to_be_bytes();
                [
                    [0x40, 2, high, low].as_slice(),
                    &[0x90, 3, high, low, 0],
                    &[0xb0, 2, high, low],
                    &[0x50, 2, high, low],
                    &[0x62, 2, high, low],
                    &[0x70, 2, high, low],
                    &[0xd0, 0],
                ]
                .concat()
            })
        },
        |s| s.unexpected_packets >= 24_000,
    ),
    polite(
        "a second greeting",
        |scene| once(scene, || vec![0x20, 2, 0, 0]),
        lost,
    ),
    Attack {
        manners: Manners::Deaf,
        ..polite(
            "messages that are to be acknowledged, and nobody reads that",
            |scene| {
                times(scene, 40_000, |step| {
                    publish_with(0x32, Some(step as u16 | 1), "a", "")
                })
            },
            |s| s.messages_in > 1_000,
        )
    },
    polite(
        "messages of QoS 2 that are never released",
        |scene| {
            times(scene, 65_535, |step| {
                publish_with(0x34, Some(step as u16 + 1), "a", "")
            })
        },
        |s| s.messages_in >= 65_535,
    ),
    polite(
        "retained messages without end",
        |scene| times(scene, 20_000, |_| publish_with(0x31, None, LIGHT, "[]")),
        |s| s.messages_in >= 20_000,
    ),
    Attack {
        manners: Manners::Mute,
        lasts: Duration::from_secs(300),
        ..polite(
            "nothing is acknowledged",
            |scene| once(scene, Vec::new),
            |s| s.links_lost > 0,
        )
    },
    Attack {
        manners: Manners::Refuses,
        ..polite(
            "every subscription is refused",
            |scene| once(scene, Vec::new),
            |s| s.links_up > 0,
        )
    },
    Attack {
        pace: 1,
        lasts: Duration::from_secs(300),
        ..polite(
            "empty messages, a byte a second",
            |scene| times(scene, 20, |_| vec![0x30, 3, 0, 1, b'a']),
            |s| s.messages_in > 10,
        )
    },
    byte_a_minute(
        "empty messages, a byte a minute",
        |scene| times(scene, 1_000, |_| vec![0x30, 3, 0, 1, b'a']),
        found_dead,
    ),
    Attack {
        greeting: Greeting::None,
        ..byte_a_minute(
            "a greeting, a byte a minute",
            |scene| once(scene, || vec![0x20, 2, 0, 0]),
            |s| s.losses.no_connack >= 10 && s.losses.no_connack == s.dials,
        )
    },
    rude("no word", |_| None, |s| s.losses.no_connack > 0),
    Attack {
        pace: 1,
        ..rude(
            "a greeting that stops in the middle",
            |scene| once(scene, || vec![0x20, 2, 0]),
            |s| s.losses.no_connack > 0,
        )
    },
    rude(
        "an answer to a ping before the greeting",
        |scene| once(scene, || vec![0xd0, 0]),
        lost,
    ),
    rude(
        "a greeting of 256 MB",
        |scene| once(scene, || b"\x20\xff\xff\xff\x7f".to_vec()),
        lost,
    ),
    rude(
        "noise",
        |scene| times(scene, 1_000, |step| vec![(step * 31 + 7) as u8; 4_096]),
        lost,
    ),
    rude(
        "a page of the web",
        |scene| once(scene, || b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        lost,
    ),
    polite(
        "a topic that is no text",
        |scene| once(scene, || b"\x30\x06\x00\x04a\xff\xffb".to_vec()),
        lost,
    ),
    polite(
        "a topic with NUL",
        |scene| once(scene, || publish("a\0b", "")),
        lost,
    ),
    polite(
        "a topic with a wildcard",
        |scene| once(scene, || publish("kp1/#", "")),
        lost,
    ),
];
