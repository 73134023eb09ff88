//! Every operation of the platform.

use kaa_proto::request::Confirm;

use super::super::End::{Brings, Done, Rejected};
use super::super::Item::{Assigned, Command, Unassigned, Version};
use super::super::Step::{
    Adopt, Configure, Count, Expect, Invoke, Next, Nothing, Offer, Read, Ready, Request, Respond,
    SawTimes, Sees, State, Submit,
};
use super::super::{Given, Op, Scenario, Source, Tweak, Verdict};

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "samples_single_and_in_a_batch_are_processed",
        why: "telemetry is what devices are for",
        given: &[],
        except: &[],
        steps: &[
            Ready,
            Request(Op::Sample(r#"{"t": 1}"#), Done),
            Request(Op::Batch(&[r#"{"t": 2}"#, r#"{"t": 3}"#]), Done),
            Sees("telemetry", r#"{"samples": 1, "data": {"t": 1}}"#),
            Sees(
                "telemetry",
                r#"{"samples": 2, "data": [{"t": 2}, {"t": 3}]}"#,
            ),
            State(r#"{"samples": 3, "lastSample": {"t": 3}}"#),
            Count("confirmed", 2),
        ],
    },
    Scenario {
        name: "plain_telemetry_becomes_a_sample_of_its_metric",
        why: "the smallest devices have no JSON",
        given: &[],
        except: &[],
        steps: &[
            Ready,
            Request(Op::Plain("volume", 7.5), Done),
            Sees("telemetry", r#"{"data": {"volume-value": 7.5}}"#),
            Request(
                Op::With(
                    &Op::Plain("volume", 8.0),
                    &[Tweak::Confirm(Confirm::Answered)],
                ),
                Done,
            ),
            State(r#"{"samples": 2}"#),
        ],
    },
    Scenario {
        name: "each_confirmation_is_as_strong_as_was_asked_for",
        why: "who asks for less pays less: without ID, or without QoS",
        given: &[],
        except: &[],
        steps: &[
            Ready,
            Request(
                Op::With(
                    &Op::Sample(r#"{"n": 0}"#),
                    &[Tweak::Confirm(Confirm::Nothing)],
                ),
                Done,
            ),
            Request(
                Op::With(
                    &Op::Sample(r#"{"n": 1}"#),
                    &[Tweak::Confirm(Confirm::Acknowledged)],
                ),
                Done,
            ),
            Request(Op::Sample(r#"{"n": 2}"#), Done),
            SawTimes("telemetry", "{}", 3),
            Count("confirmed", 3),
        ],
    },
    Scenario {
        name: "metadata_are_replaced_merged_deleted_and_read",
        why: "the five operations on them see each other's effects in order",
        given: &[],
        except: &[],
        steps: &[
            Submit(
                "all",
                Op::ReplaceAll(r#"{"name": "Sensor 1", "areaId": 7}"#),
            ),
            Submit("one", Op::Merge(r#"{"deviceModel": "new"}"#)),
            Expect("all", Done),
            Expect("one", Done),
            Request(Op::Keys, Brings(r#"["areaId", "deviceModel", "name"]"#)),
            Request(Op::GetOnly(&["name"]), Brings(r#"{"name": "Sensor 1"}"#)),
            Request(Op::Delete(&["areaId"]), Done),
            Request(
                Op::GetAll,
                Brings(r#"{"name": "Sensor 1", "deviceModel": "new"}"#),
            ),
            State(r#"{"metadata": {"name": "Sensor 1", "deviceModel": "new"}}"#),
        ],
    },
    Scenario {
        name: "a_command_is_pushed_run_once_and_its_result_arrives",
        why: "the main way to act on a device",
        given: &[],
        except: &[],
        steps: &[
            Read("commands", Source::Commands(&["reboot", "blink"])),
            Sees("commands-requested", r#"{"observe": true}"#),
            Invoke("reboot", r#"{"delay": 5}"#),
            Next("commands", Command("c", r#"{"delay": 5}"#)),
            Respond("c", Verdict::With(r#"{"engine_on": true}"#), "r"),
            Expect("r", Done),
            Sees(
                "command-result",
                r#"{"statusCode": 200, "known": true, "payload": {"engine_on": true}}"#,
            ),
            Invoke("blink", "null"),
            Next("commands", Command("d", "null")),
            Respond("d", Verdict::Failed(500, "no light"), "r"),
            Expect("r", Done),
            Sees(
                "command-result",
                r#"{"statusCode": 500, "reasonPhrase": "no light"}"#,
            ),
            Nothing("commands"),
            State(r#"{"results": [{"type": "reboot"}, {"type": "blink"}]}"#),
        ],
    },
    Scenario {
        name: "outstanding_commands_are_asked_for_and_reported",
        why: "devices that sleep do not observe",
        given: &[],
        except: &[],
        steps: &[
            Ready,
            Request(Op::Sample("{}"), Done),
            Invoke("reboot", "1"),
            Request(Op::Pending("reboot"), Brings("[1]")),
            Request(
                Op::With(
                    &Op::Report("reboot", "no"),
                    &[Tweak::Confirm(Confirm::Answered)],
                ),
                Done,
            ),
            Sees(
                "command-result",
                r#"{"statusCode": 500, "reasonPhrase": "no"}"#,
            ),
            Request(Op::Pending("reboot"), Brings("[]")),
        ],
    },
    Scenario {
        name: "commands_that_were_asked_for_can_be_adopted",
        why: "then they are answered by consuming them, like those that are pushed",
        given: &[],
        except: &[],
        steps: &[
            Request(Op::Sample("{}"), Done),
            Invoke("reboot", "2"),
            Request(Op::Pending("reboot"), Brings("[2]")),
            Adopt("c"),
            Respond("c", Verdict::Done, "r"),
            Expect("r", Done),
            Sees("command-result", r#"{"statusCode": 200}"#),
            Request(Op::Pending("reboot"), Brings("[]")),
        ],
    },
    Scenario {
        name: "configurations_are_pushed_applied_and_rejected",
        why: "the unnamed one and named ones, each with its own report",
        given: &[],
        except: &[],
        steps: &[
            Read("plain", Source::Configuration("")),
            Read("named", Source::Configuration("network")),
            Next("plain", Unassigned),
            Next("named", Unassigned),
            Configure("", r#"{"key": "value"}"#),
            Next("plain", Assigned("a", r#"{"key": "value"}"#)),
            Request(Op::Applied("a"), Done),
            Configure("network", r#"{"ssid": "x"}"#),
            Next("named", Assigned("b", r#"{"ssid": "x"}"#)),
            Request(Op::NotApplied("b", 400, "no such net"), Done),
            Sees("config-applied", r#"{"name": ""}"#),
            Sees(
                "config-rejected",
                r#"{"name": "network", "statusCode": 400}"#,
            ),
            Nothing("plain"),
            Nothing("named"),
        ],
    },
    Scenario {
        name: "a_configuration_is_asked_for_and_told_when_it_is_the_same",
        why: "polling devices must not load what they have",
        given: &[],
        except: &[],
        steps: &[
            Request(Op::Config(""), Brings(r#""unassigned""#)),
            Read("plain", Source::Configuration("")),
            Next("plain", Unassigned),
            Configure("", r#"{"v": 1}"#),
            Next("plain", Assigned("a", r#"{"v": 1}"#)),
            Request(Op::Config(""), Brings(r#"{"v": 1}"#)),
            Request(Op::ConfigUnless("a"), Brings(r#""not modified""#)),
        ],
    },
    Scenario {
        name: "software_is_offered_installed_and_rejected",
        why: "an update that is not reported is offered for ever",
        given: &[],
        except: &[],
        steps: &[
            Read("software", Source::Software("0.0.1")),
            Sees("software-reported", r#"{"version": "0.0.1"}"#),
            Offer("0.0.2", r#"{"link": "https://example.com/2"}"#),
            Next("software", Version("u", "0.0.2")),
            Request(Op::Runs("0.0.2"), Done),
            Request(Op::Software, Brings(r#""not modified""#)),
            Offer("0.0.3", "{}"),
            Next("software", Version("v", "0.0.3")),
            Request(Op::NotInstalled("v", 500, "no room"), Done),
            Sees(
                "software-rejected",
                r#"{"version": "0.0.3", "statusCode": 500}"#,
            ),
        ],
    },
    Scenario {
        name: "an_upload_token_is_given_out",
        why: "binary data go over HTTP with it",
        given: &[],
        except: &[],
        steps: &[
            Request(Op::UploadToken, Brings("true")),
            Sees("upload-token", "{}"),
        ],
    },
    Scenario {
        name: "any_extension_can_be_called",
        why: "platforms have extensions that this library does not know",
        given: &[Given::Complaints],
        except: &[],
        steps: &[
            Request(Op::Call("dcx", "json", r#"{"n": 5}"#), Done),
            State(r#"{"samples": 1}"#),
            Request(Op::Call("nobody", "x", ""), Rejected(404)),
        ],
    },
];
