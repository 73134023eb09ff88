//! Many endpoints on one connection.

use kaa_proto::connection::Removal;

use super::super::End::{Brings, Done, Fails, Rejected};
use super::super::Item::{Command, Ended};
use super::super::Step::{
    Add, As, Burst, Count, Expect, Fault, Invoke, LinkCount, LinkTells, Next, Read, Ready, Refuse,
    Remove, Request, SawTimes, Sees, State, Submit,
};
use super::super::{Given, Op, Place, Scenario, Source};

const SAMPLE: Op = Op::Sample(r#"{"n": #}"#);
const REBOOT: Source = Source::Commands(&["reboot"]);

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "endpoints_of_one_connection_have_numbers_of_their_own",
        why: "the same request IDs mean other requests for another endpoint",
        given: &[],
        except: &[],
        steps: &[
            As("one", &[Submit("one", Op::ReplaceAll(r#"{"who": 1}"#))]),
            As("two", &[Submit("two", Op::ReplaceAll(r#"{"who": 2}"#))]),
            Expect("one", Done),
            Expect("two", Done),
            As("one", &[Submit("one", Op::GetAll)]),
            As("two", &[Submit("two", Op::GetAll)]),
            Expect("one", Brings(r#"{"who": 1}"#)),
            Expect("two", Brings(r#"{"who": 2}"#)),
            As("one", &[Count("confirmed", 2)]),
            As("two", &[Count("confirmed", 2)]),
            LinkCount("links_up", 1, 1),
        ],
    },
    Scenario {
        name: "a_flooding_endpoint_keeps_nobody_from_speaking",
        why: "one broken sensor must not silence the others",
        given: &[],
        except: &[],
        steps: &[
            As("flood", &[Burst("flood", 1_500, SAMPLE)]),
            As(
                "quiet",
                &[Request(Op::Keys, Done), Read("commands", REBOOT)],
            ),
            As(
                "quiet",
                &[Sees("commands-requested", "{}"), Invoke("reboot", "1")],
            ),
            Next("commands", Command("c", "1")),
            Expect("flood", Done),
        ],
    },
    Scenario {
        name: "commands_reach_the_endpoint_that_they_are_for",
        why: "the wrong pump would be switched off",
        given: &[],
        except: &[],
        steps: &[
            As(
                "one",
                &[Read("of one", REBOOT), Sees("commands-requested", "{}")],
            ),
            As(
                "two",
                &[Read("of two", REBOOT), Sees("commands-requested", "{}")],
            ),
            As("two", &[Invoke("reboot", "2")]),
            Next("of two", Command("d", "2")),
            As("one", &[Invoke("reboot", "1")]),
            Next("of one", Command("c", "1")),
        ],
    },
    Scenario {
        name: "what_a_removed_endpoint_waits_for_ends",
        why: "nothing may wait for ever for what cannot come",
        given: &[],
        except: &[],
        steps: &[
            As(
                "other",
                &[
                    Read("commands", REBOOT),
                    Sees("commands-requested", "{}"),
                    Fault("lose dcx"),
                    Submit("a", SAMPLE),
                    Sees("telemetry", "{}"),
                    Remove(Removal::Discard),
                ],
            ),
            Expect("a", Fails("Closed")),
            Next("commands", Ended),
            As("other", &[Refuse(SAMPLE, "UnknownEndpoint")]),
            Request(SAMPLE, Done),
        ],
    },
    Scenario {
        name: "a_removed_endpoint_sends_what_it_has_and_can_come_back",
        why: "field devices come and go at run time",
        given: &[Given::Away],
        except: &[],
        steps: &[
            As(
                "other",
                &[
                    Burst("a", 10, SAMPLE),
                    Remove(Removal::Flush(std::time::Duration::from_secs(20))),
                ],
            ),
            super::BACK,
            Expect("a", Done),
            As(
                "other",
                &[Add, Request(SAMPLE, Done), State(r#"{"samples": 11}"#)],
            ),
        ],
    },
    Scenario {
        name: "an_endpoint_that_the_platform_refuses_harms_no_other",
        why: "one revoked token on a gateway is an ordinary day",
        given: &[
            Given::Complaints,
            Given::Fixture(r#"{"appVersions": {"demo-v1": {"endpoints": {"JTjdbENzHh": {}}}}}"#),
        ],
        except: &[],
        steps: &[
            Ready,
            As("stranger", &[Request(Op::Keys, Rejected(401))]),
            Request(Op::Keys, Brings("[]")),
            LinkCount("links_lost", 0, 0),
        ],
    },
    Scenario {
        name: "an_endpoint_that_gets_the_link_dropped_is_found_and_suspended",
        why: "else it takes all others down with it, for ever",
        given: &[Given::Backoff(1_000, 120_000)],
        except: &[(Place::Real, "the search takes minutes of simulated time")],
        steps: &[
            As("a", &[Request(SAMPLE, Done)]),
            As("b", &[Request(SAMPLE, Done)]),
            As("c", &[Request(SAMPLE, Done)]),
            Fault("kick dcx of bad always"),
            As("bad", &[Submit("bad", super::AGAIN)]),
            LinkTells("SearchStarted"),
            LinkTells("Suspended"),
            As("a", &[Request(super::AGAIN, Done)]),
            As("b", &[Request(super::AGAIN, Done)]),
            As("c", &[Request(super::AGAIN, Done)]),
            LinkCount("suspensions", 1, 1),
            LinkCount("links_up", 4, 12),
        ],
    },
    Scenario {
        name: "a_suspended_endpoint_is_let_in_again_when_it_is_mended",
        why: "somebody pays the bill, and nobody restarts the gateway",
        given: &[
            Given::Backoff(1_000, 120_000),
            Given::KickLimit(2),
            Given::SlowRetry(60),
        ],
        except: &[(Place::Real, "the search takes minutes of simulated time")],
        steps: &[
            As("a", &[Request(SAMPLE, Done)]),
            Fault("kick dcx of bad always"),
            As("bad", &[Submit("bad", super::AGAIN)]),
            LinkTells("Suspended"),
            Fault("clear"),
            LinkTells("Resumed"),
            Expect("bad", Done),
        ],
    },
    Scenario {
        name: "there_can_be_a_hundred_requests_of_each_of_four_endpoints",
        why: "all of them are confirmed in their order",
        given: &[],
        except: &[],
        steps: &[
            As("one", &[Burst("all", 100, SAMPLE)]),
            As("two", &[Burst("all", 100, SAMPLE)]),
            As("three", &[Burst("all", 100, SAMPLE)]),
            As("four", &[Burst("all", 100, SAMPLE)]),
            Expect("all", Done),
            As(
                "one",
                &[Count("confirmed", 100), SawTimes("telemetry", "{}", 100)],
            ),
            As(
                "four",
                &[Count("confirmed", 100), SawTimes("telemetry", "{}", 100)],
            ),
        ],
    },
];
