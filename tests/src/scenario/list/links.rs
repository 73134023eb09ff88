//! Links that break, and links that only seem to live.

use kaa_proto::QoS;
use kaa_proto::request::{Class, Confirm, Resend};

use super::super::End::Done;
use super::super::Step::{
    Burst, Count, DialNow, Expect, Fault, Kick, LinkCount, Lost, Net, Numbered, Open, Pass, Ready,
    Repeat, Request, SawTimes, Sees, Send, Submit,
};
use super::super::{Given, Network, Op, Place, Scenario, Tweak};

/// How a link ends that breaks; over TLS it may be that it was not said goodbye.
const BROKEN: &[&str] = &["Eof", "Transport", "Tls(Cut"];

/// A sample that may be sent again.
const AGAIN: Op = Op::With(
    &Op::Sample(r#"{"n": #}"#),
    &[Tweak::Resend(Resend::AfterLinkLoss)],
);

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "requests_wait_for_the_link_and_go_out_in_their_order",
        why: "a device does not care whether there is a network",
        given: &[Given::Away],
        except: &[],
        steps: &[
            Burst("all", 50, Op::Sample(r#"{"n": #}"#)),
            Lost(&["Dial("]),
            Open("all"),
            Net(Network::Back),
            Expect("all", Done),
            Numbered("telemetry", 50),
            Count("resent", 0),
        ],
    },
    Scenario {
        name: "a_lost_link_comes_back_by_itself",
        why: "nobody is there to restart a device in the field",
        given: &[],
        except: &[],
        steps: &[
            Request(Op::Sample(r#"{"n": 0}"#), Done),
            Net(Network::Cut),
            Lost(BROKEN),
            Ready,
            Request(Op::Sample(r#"{"n": 1}"#), Done),
            LinkCount("links_up", 2, 2),
            LinkCount("links_lost", 1, 1),
        ],
    },
    Scenario {
        name: "a_network_that_comes_and_goes_loses_nothing",
        why: "trains have tunnels",
        given: &[],
        except: &[],
        steps: &[
            Burst("all", 20, AGAIN),
            Repeat(
                3,
                &[
                    Net(Network::Away),
                    Burst("all", 20, AGAIN),
                    Net(Network::Back),
                    Ready,
                    Burst("all", 20, AGAIN),
                ],
            ),
            Expect("all", Done),
            Count("confirmed", 140),
        ],
    },
    Scenario {
        name: "an_operator_may_drop_the_link",
        why: "so platforms move their devices to another server",
        given: &[],
        except: &[],
        steps: &[
            Request(Op::Sample("{}"), Done),
            Kick,
            Lost(BROKEN),
            Ready,
            Request(Op::Sample("{}"), Done),
        ],
    },
    Scenario {
        name: "a_link_that_is_dropped_at_the_first_message_is_tried_again",
        why: "so platforms refuse those whom they let in",
        given: &[],
        except: &[],
        steps: &[
            Fault("kick dcx times 2"),
            Request(AGAIN, Done),
            LinkCount("links_lost", 2, 2),
            Count("resent", 2),
        ],
    },
    Scenario {
        name: "accept_and_drop_again_and_again_slows_the_dials_down",
        why: "a CONNACK is no proof of a good link: the backoff must not start anew",
        given: &[Given::Backoff(1_000, 120_000)],
        except: &[(Place::Real, "an hour of simulated time passes")],
        steps: &[
            Fault("kick dcx always"),
            Submit("a", AGAIN),
            Pass(3_600),
            LinkCount("dials", 10, 150),
            Open("a"),
            Fault("clear"),
            Expect("a", Done),
        ],
    },
    Scenario {
        name: "dials_that_fail_become_rare",
        why: "thousands of devices wait for the same server",
        given: &[Given::Away, Given::Backoff(1_000, 120_000)],
        except: &[(Place::Real, "hours of simulated time pass")],
        steps: &[
            Submit("a", Op::Sample("{}")),
            Pass(7_200),
            LinkCount("dials", 60, 300),
            Net(Network::Back),
            Expect("a", Done),
        ],
    },
    Scenario {
        name: "a_stable_link_makes_the_next_dial_quick_again",
        why: "old trouble must not slow a device down for ever",
        given: &[
            Given::Away,
            Given::Backoff(1_000, 120_000),
            Given::StableAfter(30),
        ],
        except: &[(Place::Real, "minutes of simulated time pass")],
        steps: &[
            Pass(1_800),
            LinkCount("failures_in_a_row", 10, 100),
            Net(Network::Back),
            Ready,
            Pass(31),
            LinkCount("failures_in_a_row", 0, 0),
            Net(Network::Cut),
            Pass(2),
            LinkCount("links_up", 2, 2),
        ],
    },
    Scenario {
        name: "the_wait_before_the_next_dial_can_be_cut",
        why: "the program may know that the network is back",
        given: &[Given::Backoff(86_400_000, 86_400_000)],
        except: &[],
        steps: &[
            Ready,
            Net(Network::Away),
            Lost(BROKEN),
            Net(Network::Back),
            DialNow,
            Ready,
            Request(Op::Sample("{}"), Done),
        ],
    },
    Scenario {
        name: "a_half_open_link_is_found_by_the_keep_alive",
        why: "a network address translation forgets, and tells nobody",
        given: &[Given::KeepAlive(1)],
        except: &[],
        steps: &[
            Request(Op::Sample("{}"), Done),
            Net(Network::Mute),
            Lost(&["KeepAliveTimeout"]),
            Ready,
            Request(Op::Sample("{}"), Done),
        ],
    },
    Scenario {
        name: "a_half_open_link_is_found_within_one_and_a_half_intervals",
        why: "the bound is what programs are built on",
        given: &[Given::KeepAlive(60)],
        except: &[(
            Place::Real,
            "how long it takes is told in simulated time only",
        )],
        steps: &[
            Request(Op::Sample("{}"), Done),
            Net(Network::Mute),
            Pass(89),
            LinkCount("links_lost", 0, 0),
            Pass(2),
            LinkCount("links_lost", 1, 1),
        ],
    },
    Scenario {
        name: "a_half_open_link_is_found_by_a_device_that_only_sends",
        why: "what goes out says nothing about the link",
        given: &[Given::KeepAlive(10)],
        except: &[(
            Place::Real,
            "how long it takes is told in simulated time only",
        )],
        steps: &[
            Request(Op::Sample("{}"), Done),
            Net(Network::Mute),
            Repeat(
                16,
                &[
                    Send(Op::With(
                        &Op::Sample("{}"),
                        &[
                            Tweak::Confirm(Confirm::Nothing),
                            Tweak::Qos(QoS::AtMostOnce),
                        ],
                    )),
                    Pass(1),
                ],
            ),
            LinkCount("links_lost", 1, 1),
        ],
    },
    Scenario {
        name: "silence_in_the_middle_of_a_packet_is_found",
        why: "over TLS it is the middle of a record",
        given: &[Given::KeepAlive(1)],
        except: &[],
        steps: &[
            Request(Op::Sample(r#"{"n": 0}"#), Done),
            Net(Network::MuteIn(2)),
            Submit("a", AGAIN),
            Lost(&["KeepAliveTimeout"]),
            Expect("a", Done),
        ],
    },
    Scenario {
        name: "silence_instead_of_a_greeting_is_found",
        why: "a proxy may accept for a server that is not there",
        given: &[Given::Away, Given::ConnAckWithin(1)],
        except: &[(
            Place::Tls,
            "over TLS the handshake comes first, and has a scenario of its own",
        )],
        steps: &[
            Submit("a", Op::Sample("{}")),
            Net(Network::MuteAfter(0)),
            Net(Network::Back),
            Lost(&["NoConnAck"]),
            Open("a"),
            Net(Network::Heal),
            Expect("a", Done),
        ],
    },
    Scenario {
        name: "a_full_window_that_nobody_acknowledges_is_given_up",
        why: "lost acknowledgements would stall the link for ever",
        given: &[Given::Window(1), Given::AcknowledgeWithin(1)],
        except: &[],
        steps: &[
            Request(Op::Sample("{}"), Done),
            Fault("black-hole 2s"),
            Submit("a", AGAIN),
            Lost(&["Unacknowledged"]),
            Expect("a", Done),
        ],
    },
    Scenario {
        name: "a_platform_that_starts_anew_answers_what_waits",
        why: "it remembers nothing, and the client all",
        given: &[],
        except: &[],
        steps: &[
            Fault("lose dcx always"),
            Burst("all", 30, AGAIN),
            SawTimes("telemetry", "{}", 30),
            Net(Network::Restart),
            Burst("all", 10, AGAIN),
            Expect("all", Done),
            Count("confirmed", 40),
        ],
    },
    Scenario {
        name: "a_broker_that_starts_anew_loses_no_request",
        why: "the platform behind it has to come back too",
        given: &[Given::Broker],
        except: &[],
        steps: &[
            Fault("lose dcx always"),
            Burst("all", 30, AGAIN),
            SawTimes("telemetry", "{}", 30),
            Net(Network::Away),
            Burst("all", 10, AGAIN),
            Net(Network::Restart),
            Fault("clear"),
            Net(Network::Back),
            Expect("all", Done),
            Count("confirmed", 40),
        ],
    },
    Scenario {
        name: "a_platform_at_another_address_is_found",
        why: "a connector may know where it is now",
        given: &[Given::Connector],
        except: &[],
        steps: &[
            Request(Op::Sample("{}"), Done),
            Net(Network::Move),
            Lost(BROKEN),
            Ready,
            Request(Op::Sample("{}"), Done),
        ],
    },
    Scenario {
        name: "two_hours_without_a_network_lose_no_telemetry",
        why: "the queue is made for it",
        given: &[Given::Backoff(1_000, 120_000)],
        except: &[(Place::Real, "two hours of simulated time pass")],
        steps: &[
            Ready,
            Net(Network::Away),
            Repeat(720, &[Submit("all", Op::Sample("{}")), Pass(10)]),
            Open("all"),
            Net(Network::Back),
            Expect("all", Done),
            SawTimes("telemetry", "{}", 720),
            Count("expired", 0),
        ],
    },
    Scenario {
        name: "a_large_backlog_is_confirmed_when_the_link_comes",
        why: "and nothing of it is sent twice",
        given: &[Given::Away, Given::Queue(Class::Bulk, 2_000)],
        except: &[],
        steps: &[
            Burst("all", 2_000, Op::Sample(r#"{"n": #}"#)),
            Net(Network::Back),
            Expect("all", Done),
            Count("resent", 0),
            Numbered("telemetry", 2_000),
        ],
    },
    Scenario {
        name: "a_backlog_is_drained_no_faster_than_it_may",
        why: "the platform has a rate limit",
        given: &[Given::Away, Given::DrainRate(10)],
        except: &[(
            Place::Real,
            "how fast it goes is told in simulated time only",
        )],
        steps: &[
            Burst("all", 200, Op::Sample("{}")),
            Net(Network::Back),
            Ready,
            Pass(10),
            Fault("lose dcx always"),
            // The first goes at once.
            SawTimes("telemetry", "{}", 101),
        ],
    },
    Scenario {
        name: "a_link_that_does_nothing_is_kept_alive",
        why: "servers close links that are silent for too long",
        given: &[Given::KeepAlive(60)],
        except: &[(Place::Real, "hours of simulated time pass")],
        steps: &[
            Request(Op::Sample("{}"), Done),
            Pass(7_200),
            LinkCount("links_lost", 0, 0),
            Request(Op::Sample("{}"), Done),
            Sees("telemetry", "{}"),
        ],
    },
];
