//! What AWS IoT Device Advisor asks of clients, where nothing else here shows it on every runtime.

use super::super::End::Done;
use super::super::Item::{Assigned, Unassigned};
use super::super::Step::{
    Burst, Configure, Count, Expect, Kick, LinkCount, Lost, Net, Next, Pass, Read, Ready, Repeat,
    Request, Submit,
};
use super::super::{Given, Network, Op, Place, Scenario, Shown, Source};

const SAMPLE: Op = Op::Sample(r#"{"n": #}"#);
const NO_TLS: (Place, &str) = (Place::Plain, "it is about TLS");

/// How a link ends that the server drops; over TLS it may be that it was not said goodbye.
const BROKEN: &[&str] = &["Eof", "Transport", "Tls(Cut"];

/// The largest payload of AWS IoT Core, as JSON: a text of 128 KiB with its quotes.
const LARGE: &str = {
    const TEXT: &[u8; 131_072] = &{
        let mut text = [b'x'; 131_072];
        text[0] = b'"';
        text[131_071] = b'"';
        text
    };
    match std::str::from_utf8(TEXT) {
        Ok(text) => text,
        Err(_) => panic!("it is ASCII"),
    }
};

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "a_client_that_is_dropped_five_times_after_success_is_served_each_time",
        why: "a server that is being upgraded drops everybody, again and again",
        given: &[],
        except: &[],
        steps: &[
            Repeat(5, &[Request(SAMPLE, Done), Kick, Lost(BROKEN), Ready]),
            Request(SAMPLE, Done),
            LinkCount("links_lost", 5, 5),
            Count("confirmed", 6),
        ],
    },
    Scenario {
        name: "a_message_of_128_kib_is_taken_while_requests_go_on",
        why: "it is many reads of a socket, and nine records of TLS",
        given: &[],
        except: &[],
        steps: &[
            Read("configuration", Source::Configuration("")),
            Next("configuration", Unassigned),
            Configure("", LARGE),
            Burst("all", 20, SAMPLE),
            Next("configuration", Assigned("large", LARGE)),
            Request(Op::Applied("large"), Done),
            Expect("all", Done),
            LinkCount("links_lost", 0, 0),
        ],
    },
    Scenario {
        name: "a_message_of_128_kib_is_taken_through_a_broker",
        why: "the broker has limits of its own",
        given: &[Given::Broker],
        except: &[],
        steps: &[
            Read("configuration", Source::Configuration("")),
            Next("configuration", Unassigned),
            Configure("", LARGE),
            Next("configuration", Assigned("large", LARGE)),
            Request(Op::Applied("large"), Done),
            LinkCount("links_lost", 0, 0),
        ],
    },
    Scenario {
        name: "a_certificate_larger_than_a_record_is_taken",
        why: "certificates of large clouds name many hosts",
        given: &[Given::Broker, Given::Shows(Shown::Large)],
        except: &[NO_TLS],
        steps: &[Ready, Request(SAMPLE, Done)],
    },
    Scenario {
        name: "an_outage_of_half_an_hour_ends_with_all_that_waited",
        why: "nobody is there to press a button",
        given: &[Given::Backoff(1_000, 120_000)],
        except: &[(Place::Real, "half an hour of simulated time passes")],
        steps: &[
            Request(SAMPLE, Done),
            Net(Network::Away),
            Repeat(30, &[Submit("all", SAMPLE), Pass(60)]),
            LinkCount("dials", 10, 90),
            Net(Network::Back),
            Expect("all", Done),
            LinkCount("links_up", 2, 2),
        ],
    },
];
