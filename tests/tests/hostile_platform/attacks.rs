//! What devices do, as data.

use std::time::Duration;

use kaa_tests::packets::{head, packet};

/// One way to treat the platform.
#[derive(Clone, Copy)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// On how many links.
    pub(crate) links: usize,
    /// The next piece of what a link sends, by its number; `None`: that was all.
    pub(crate) script: fn(usize, usize) -> Option<Vec<u8>>,
    /// Whether it reads what comes back.
    pub(crate) reads: bool,
    /// How long after one piece the next one comes.
    pub(crate) pause: Duration,
    /// Whether it takes all the room that there is for endpoints.
    pub(crate) fills: bool,
    /// Whether the platform ends all its links.
    pub(crate) is_ended: bool,
    /// What the platform may hold beside its limits.
    pub(crate) more: usize,
    /// What the platform tells of it.
    pub(crate) told: &'static [&'static str],
}

const fn attack(
    name: &'static str,
    script: fn(usize, usize) -> Option<Vec<u8>>,
    told: &'static [&'static str],
) -> Attack {
    Attack {
        name,
        links: 1,
        script,
        reads: true,
        pause: Duration::ZERO,
        fills: false,
        is_ended: false,
        more: 0,
        told,
    }
}

/// The largest remaining length.
const LONGEST: usize = 268_435_455;
const BIG: usize = 16 * 1_024;
const MINUTE: Duration = Duration::from_secs(60);
/// JSON that fits into a message and into nothing else.
const MEGABYTE: usize = 1_000_000;

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

pub(crate) fn connect(client_id: &str) -> Vec<u8> {
    let fixed = b"\x00\x04MQTT\x04\x02\x00\x00";
    packet(0x10, &[&fixed[..], &text(client_id)].concat())
}

pub(crate) fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    packet(0x30, &[&text(topic), payload].concat())
}

/// A PUBLISH of QoS 1 or 2.
fn publish_with(first: u8, id: u16, topic: &str, payload: &[u8]) -> Vec<u8> {
    packet(
        first,
        &[&text(topic), &id.to_be_bytes()[..], payload].concat(),
    )
}

fn subscribe(filters: impl Iterator<Item = String>) -> Vec<u8> {
    let filters = filters.flat_map(|filter| [text(&filter), vec![1]].concat());
    packet(0x82, &[vec![0, 1], filters.collect()].concat())
}

/// CONNECT, then so many pieces.
fn then(
    link: usize,
    step: usize,
    count: usize,
    piece: impl FnOnce(usize) -> Vec<u8>,
) -> Option<Vec<u8>> {
    match step {
        0 => Some(connect(&format!("hostile-{link}"))),
        _ => (step <= count).then(|| piece(step)),
    }
}

fn wide(bytes: usize) -> Vec<u8> {
    let list = vec![r#"{"":0}"#; bytes / 7].join(",");
    format!("[{list}]").into_bytes()
}

/// A metadata object of so many bytes in one attribute.
fn metadata(key: usize, bytes: usize) -> Vec<u8> {
    format!(r#"{{"key{key}":"{}"}}"#, "x".repeat(bytes)).into_bytes()
}

pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        links: 500,
        ..attack(
            "greetings with the longest names",
            |link, step| (step < 1).then(|| connect(&format!("{link:065000}"))),
            &["kicked"],
        )
    },
    Attack {
        links: 500,
        ..attack(
            "greetings that never end",
            |_, step| (step < 1).then(|| [head(0x10, 190_000), vec![b'a'; 60_000]].concat()),
            &["kicked"],
        )
    },
    Attack {
        links: 2_000,
        ..attack("links without a word", |_, _| None, &["link-opened"])
    },
    Attack {
        links: 100,
        ..attack(
            "the largest packets, and never the end of them",
            |link, step| {
                then(link, step, 60, |step| match step {
                    1 => [head(0x30, MEGABYTE), text("kp1/v/dcx/t/json")].concat(),
                    _ => vec![b'['; BIG],
                })
            },
            &["kicked"],
        )
    },
    Attack {
        links: 500,
        pause: MINUTE,
        is_ended: true,
        ..attack(
            "a greeting, a byte a minute",
            |_, step| connect("slow").get(step).map(|byte| vec![*byte]),
            &[],
        )
    },
    Attack {
        links: 500,
        pause: MINUTE,
        ..attack(
            "a packet of 256 MB, a byte a minute",
            |link, step| {
                then(link, step, 60, |step| match step {
                    1 => [head(0x30, LONGEST), text("kp1/v/dcx/t/json")].concat(),
                    _ => vec![b'['],
                })
            },
            &[],
        )
    },
    attack(
        "a packet of 256 MB",
        |link, step| {
            then(link, step, LONGEST / BIG + 3, |step| match step {
                1 => [head(0x30, LONGEST), text("kp1/v/dcx/t/json")].concat(),
                _ => vec![b'['; BIG],
            })
        },
        &["breach", "kicked"],
    ),
    attack(
        "topics of 65,535 bytes",
        |link, step| {
            then(link, step, 500, |step| match step % 2 {
                0 => publish(&"a".repeat(65_535), b""),
                _ => publish(&format!("kp1/v/dcx/t/{}json/1", "a/".repeat(32_000)), b"1"),
            })
        },
        &["breach"],
    ),
    Attack {
        links: 4,
        ..attack(
            "subscriptions without end",
            |link, step| {
                then(link, step, 200, |step| {
                    let filter = |n: usize| format!("kp1/v/dcx/t{step}-{n}/#");
                    subscribe((0..100).map(filter))
                })
            },
            &["subscriptions-refused"],
        )
    },
    attack(
        "the longest filters",
        |link, step| {
            let filter = |step: usize| format!("{step:065000}");
            then(link, step, 200, |step| {
                subscribe(std::iter::once(filter(step)))
            })
        },
        &["subscriptions-refused"],
    ),
    attack(
        "JSON a megabyte deep or wide to every service",
        |link, step| {
            then(link, step, 60, |step| {
                let paths = [
                    "dcx/t/json",
                    "epmx/t/update",
                    "epmx/t/update/keys",
                    "epmx/t/delete/keys",
                    "epmx/t/get",
                    "cex/t/command/a",
                    "cex/t/result/a",
                    "cmx/t/config/json",
                    "cmx/t/applied/json",
                    "cmx_ota/t/applied/json",
                ];
                let payloads = [
                    b"[".repeat(MEGABYTE),
                    br#"{"a":"#.repeat(MEGABYTE / 5),
                    wide(MEGABYTE),
                    wide(MEGABYTE)[..MEGABYTE - 20].to_vec(),
                    [br#"{"a":"#.to_vec(), wide(MEGABYTE), b"}".to_vec()].concat(),
                    format!(r#"{{"{}":1}}"#, "k".repeat(MEGABYTE)).into_bytes(),
                ];
                let path = paths[step % paths.len()];
                publish(
                    &format!("kp1/v/{path}/{step}"),
                    &payloads[step % payloads.len()],
                )
            })
        },
        &["refused", "breach"],
    ),
    attack(
        "metadata without end, of one endpoint",
        |link, step| {
            then(link, step, 2_000, |step| {
                publish(
                    &format!("kp1/v/epmx/t/update/keys/{step}"),
                    &metadata(step, 1_000),
                )
            })
        },
        &["refused", "metadata-merged"],
    ),
    Attack {
        fills: true,
        ..attack(
            "metadata without end, of all endpoints",
            |link, step| {
                then(link, step, 2_000, |step| {
                    publish(
                        &format!("kp1/v/epmx/t{step}/update/1"),
                        &metadata(step, 30_000),
                    )
                })
            },
            &["refused"],
        )
    },
    Attack {
        fills: true,
        ..attack(
            "a hundred thousand tokens",
            |link, step| {
                then(link, step, 1_000, |step| {
                    let one = |n: usize| publish(&format!("kp1/v/dcx/t{step}-{n}/json/1"), b"1");
                    (0..100).flat_map(one).collect()
                })
            },
            &["breach"],
        )
    },
    Attack {
        fills: true,
        ..attack(
            "versions and tokens of 8 KB",
            |link, step| {
                then(link, step, 2_000, |step| {
                    publish(&format!("kp1/v{step:08000}/dcx/t{step:08000}/json/1"), b"1")
                })
            },
            &["breach"],
        )
    },
    attack(
        "samples of 40 KB that nobody reads in the log",
        |link, step| {
            then(link, step, 2_000, |step| {
                let sample = format!("[\"{}\"]", "x".repeat(40_000));
                publish(&format!("kp1/v/dcx/t/json/{step}"), sample.as_bytes())
            })
        },
        &["telemetry"],
    ),
    attack(
        "results with the longest words",
        |link, step| {
            then(link, step, 2_000, |step| {
                let words = "x".repeat(20_000);
                let result = format!(
                    r#"[{{"id":{step},"statusCode":200,"reasonPhrase":"{words}","payload":"{words}"}}]"#
                );
                publish(&format!("kp1/v/cex/t/result/a{step}/1"), result.as_bytes())
            })
        },
        &["command-result"],
    ),
    attack(
        "types of commands without end",
        |link, step| {
            then(link, step, 2_000, |step| {
                let topic = format!("kp1/v/cex/t/command/{step:01000}/1");
                publish(&topic, br#"{"observe":true}"#)
            })
        },
        &["refused"],
    ),
    attack(
        "names of configurations without end",
        |link, step| {
            then(link, step, 2_000, |step| {
                let report = format!(
                    r#"{{"configId":"{step}","statusCode":400,"reasonPhrase":"{}"}}"#,
                    "x".repeat(5_000)
                );
                publish(
                    &format!("kp1/v/cmx/t/applied/json/n{step}/1"),
                    report.as_bytes(),
                )
            })
        },
        &["refused", "config-rejected"],
    ),
    Attack {
        more: 10_000_000,
        ..attack(
            "a hundred thousand upload tokens",
            |link, step| {
                then(link, step, 1_000, |step| {
                    let one = |n: usize| publish(&format!("kp1/v/bcx/t/token/{step}{n:02}"), b"");
                    (0..100).flat_map(one).collect()
                })
            },
            &["refused"],
        )
    },
    Attack {
        links: 20,
        reads: false,
        ..attack(
            "questions without end, and nobody reads the answers",
            |link, step| {
                then(link, step, 2_000, |step| match step {
                    1 => publish(
                        &format!("kp1/v/epmx/t{link}/update/1"),
                        &metadata(1, 20_000),
                    ),
                    _ => publish(&format!("kp1/v/epmx/t{link}/get/{step}"), b""),
                })
            },
            &["kicked"],
        )
    },
    Attack {
        links: 20,
        ..attack(
            "questions without end, and nobody acknowledges the answers",
            |link, step| {
                then(link, step, 2_000, |step| match step {
                    1 => publish(
                        &format!("kp1/v/epmx/t{link}/update/1"),
                        &metadata(1, 20_000),
                    ),
                    _ => {
                        let topic = format!("kp1/v/epmx/t{link}/get/{step}");
                        publish_with(0x32, step as u16, &topic, b"")
                    }
                })
            },
            &["kicked"],
        )
    },
    Attack {
        links: 20,
        ..attack(
            "messages of QoS 2 that are never released",
            |link, step| {
                then(link, step, 650, |step| {
                    let one = |n: usize| {
                        let id = (step * 100 + n) as u16 | 1;
                        publish_with(0x34, id, "kp1/v/dcx/t/json", b"1")
                    };
                    (0..100).flat_map(one).collect()
                })
            },
            &["telemetry"],
        )
    },
    Attack {
        links: 10,
        reads: false,
        ..attack(
            "pings without end, and nobody reads the answers",
            |link, step| then(link, step, 200, |_| b"\xc0\x00".repeat(8_000)),
            &["kicked"],
        )
    },
    attack(
        "acknowledgements of what was never sent",
        |link, step| {
            then(link, step, 1_000, |step| {
                let [high, low] = (step as u16).to_be_bytes();
                [
                    [0x40, 2, high, low],
                    [0x50, 2, high, low],
                    [0x62, 2, high, low],
                ]
                .concat()
                .repeat(20)
            })
        },
        &[],
    ),
    attack(
        "noise",
        |_, step| (step < 100).then(|| vec![(step * 31 + 7) as u8; 4_096]),
        &["breach"],
    ),
];
