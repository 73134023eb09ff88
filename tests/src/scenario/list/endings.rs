//! How a client ends, and what it outlives.

use kaa_proto::request::Confirm;

use super::super::End::{Done, Fails, NotTaken};
use super::super::Item::{Command, Ended};
use super::super::Step::{
    Burst, Count, DropHandles, EndDriver, Expect, Fault, Forget, Invoke, Next, NotReady, Open,
    Panic, Read, Ready, Refuse, Request, Respond, SawTimes, Sees, Shutdown, Submit,
};
use super::super::{Given, Op, Place, Scenario, Source, Tweak, Verdict};

const SAMPLE: Op = Op::Sample(r#"{"n": #}"#);
const REBOOT: Source = Source::Commands(&["reboot"]);

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "a_shutdown_sends_what_is_queued_and_says_goodbye",
        why: "nothing that was taken is lost by an orderly end",
        given: &[],
        except: &[],
        steps: &[
            Burst("all", 100, SAMPLE),
            Shutdown(20, &[("closed", 0), ("unanswered", 0)], 0),
            Expect("all", Done),
            super::super::Step::Numbered("telemetry", 100),
            Sees("link-closed", "{}"),
        ],
    },
    Scenario {
        name: "the_account_of_a_shutdown_under_load_is_what_the_platform_saw",
        why: "the program decides what to do with what is not confirmed",
        given: &[],
        except: &[],
        steps: &[
            Ready,
            Fault("lose dcx always"),
            Burst("lost", 10, SAMPLE),
            SawTimes("telemetry", "{}", 10),
            Submit("keys", Op::Keys),
            Expect("keys", Done),
            Shutdown(1, &[("confirmed", 0), ("closed", 10)], 10),
            Expect("lost", Fails("Closed")),
        ],
    },
    Scenario {
        name: "the_account_of_a_shutdown_without_a_link_has_everything",
        why: "none of it was sent, and the program can keep it",
        given: &[Given::Away],
        except: &[],
        steps: &[
            Burst("all", 20, SAMPLE),
            Shutdown(1, &[("confirmed", 0), ("closed", 20)], 20),
            Expect("all", Fails("Closed")),
            SawTimes("telemetry", "{}", 0),
        ],
    },
    Scenario {
        name: "a_shutdown_leaves_time_for_the_command_that_runs",
        why: "its result would be lost, and it would run again",
        given: &[],
        except: &[],
        steps: &[
            Read("commands", REBOOT),
            Sees("commands-requested", r#"{"observe": true}"#),
            Invoke("reboot", "1"),
            Next("commands", Command("c", "1")),
            Respond("c", Verdict::Done, "r"),
            Shutdown(20, &[], 0),
            Expect("r", Done),
            Sees("command-result", r#"{"known": true}"#),
        ],
    },
    Scenario {
        name: "after_a_shutdown_nothing_is_taken",
        why: "it could not be sent",
        given: &[],
        except: &[],
        steps: &[
            Read("commands", REBOOT),
            Request(SAMPLE, Done),
            Shutdown(20, &[], 0),
            Refuse(SAMPLE, "Closed"),
            Request(SAMPLE, NotTaken("Closed")),
            Next("commands", Ended),
            NotReady("Closed"),
            // Everyone who asks gets the same.
            Shutdown(20, &[], 0),
        ],
    },
    Scenario {
        name: "dropping_the_last_handle_sends_what_is_queued_and_closes",
        why: "a program that ends its main function should not lose its last samples",
        given: &[Given::Linger(10)],
        except: &[],
        steps: &[
            Ready,
            Burst(
                "all",
                100,
                Op::With(&SAMPLE, &[Tweak::Confirm(Confirm::Nothing)]),
            ),
            Forget("all"),
            DropHandles,
            super::super::Step::Numbered("telemetry", 100),
            Sees("link-closed", "{}"),
        ],
    },
    Scenario {
        name: "everything_that_waits_ends_with_the_driver",
        why: "a runtime that ends must not leave futures that hang",
        given: &[],
        except: &[
            (
                Place::On("blocking"),
                "its thread ends with the client only",
            ),
            (Place::On("threads"), "its threads end with the client only"),
        ],
        steps: &[
            Read("commands", REBOOT),
            Sees("commands-requested", r#"{"observe": true}"#),
            Fault("lose dcx"),
            Submit("a", SAMPLE),
            Sees("telemetry", "{}"),
            Open("a"),
            EndDriver,
            Expect("a", Fails("Closed")),
            Next("commands", Ended),
            Request(SAMPLE, NotTaken("Closed")),
            Shutdown(20, &[], 1),
        ],
    },
    Scenario {
        name: "a_panic_in_the_users_task_leaves_the_client_usable",
        why: "one task's mistake is not the device's end",
        given: &[],
        except: &[],
        steps: &[
            Request(SAMPLE, Done),
            Panic(SAMPLE),
            Request(SAMPLE, Done),
            Count("confirmed", 3),
            Shutdown(20, &[], 0),
        ],
    },
];
