//! Level A: an endpoint, whatever its host, the platform and the application do.

use std::num::{NonZeroU16, NonZeroUsize};
use std::time::Duration;

use kaa_proto::commands::{CommandResult, Pending};
use kaa_proto::endpoint::{
    CommandKey, Endpoint, EndpointOptions, MessageKey, Observation, Record, Subscriptions,
};
use kaa_proto::names::{CommandType, ConfigName};
use kaa_proto::raw::Call;
use kaa_proto::request::{Class, Confirm, RequestExt, RequestId, Resend, Service};
use kaa_proto::telemetry::Sample;
use kaa_proto::{config, metadata, upload};
use kaa_tests::endpoint_host::{EndpointHost, Subscribing};
use serde_json::json;

use crate::input::Input;

/// How many operations are done at most.
const MOST: usize = 300;

/// Whatever comes in, in whichever order the host calls: the contract holds after every step (the host
/// of the harness checks it), every request ends once, records are read back as they were written, and a
/// snapshot restores what was durable.
///
/// The first byte is the setup, the rest are operations.
///
/// # Panics
/// If that does not hold.
pub fn level_a(data: &[u8]) {
    let mut input = Input::new(data);
    let setup = input.byte();
    let Ok(host) = EndpointHost::offline(options(setup), u64::from(setup)) else {
        return;
    };
    let mut life = Life {
        host,
        topics: Vec::new(),
        keys: Vec::new(),
        ids: Vec::new(),
        commands: Vec::new(),
    };
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        life.act(&mut input);
    }
    life.end();
}

struct Life {
    host: EndpointHost,
    /// Topics of messages that came out.
    topics: Vec<String>,
    keys: Vec<MessageKey>,
    ids: Vec<RequestId>,
    commands: Vec<CommandKey>,
}

impl Life {
    fn act(&mut self, input: &mut Input<'_>) {
        match input.below(20) {
            0 => self.host.link_up(),
            1 => self.host.link_down(),
            2 => self.host.advance(Duration::from_secs(input.byte().into())),
            3..=5 => self.submit(input),
            6 => drop(self.host.observe(&observation(input))),
            7 => drop(self.host.unobserve(&observation(input))),
            8 => {
                let command = self.host.endpoint.poll_command(|_| true);
                self.commands.extend(command.as_ref().map(CommandKey::from));
            }
            9 => self.answer_command(input),
            10 => {
                let _ = self.host.endpoint.poll_configuration(None);
                let _ = self.host.endpoint.poll_software();
            }
            11..=13 => self.receive_answer(input),
            14 | 15 => self.receive_push(input),
            16 => {
                let (topic, payload) = (input.text(), input.chunk());
                let _ = self.host.receive_raw(&topic, payload);
            }
            17 => {
                if let Some(key) = nth(&self.keys, input.byte()) {
                    self.host.acknowledge(key);
                }
            }
            18 => {
                if let Some(id) = nth(&self.ids, input.byte()) {
                    self.host.cancel(id);
                }
            }
            _ => match input.below(5) {
                0 => self.host.is_busy = !self.host.is_busy,
                1 => self.host.subscribing = Subscribing::Grant,
                2 => self.host.subscribing = Subscribing::Refuse,
                3 => self.host.subscribing = Subscribing::Ignore,
                _ => drop(self.host.endpoint.observe_software(self.host.now(), "1.0")),
            },
        }
        self.host.drain();
        for sent in self.host.take_sent() {
            assert!(sent.topic.starts_with("kp1/demo-v1/"), "{}", sent.topic);
            self.topics.push(sent.topic);
            self.keys.push(sent.key);
        }
        let _ = self.host.take_events();
    }

    fn submit(&mut self, input: &mut Input<'_>) {
        let flags = input.byte();
        let resend = match flags & 1 {
            0 => Resend::AfterLinkLoss,
            _ => Resend::Never,
        };
        let confirm = [Confirm::Answered, Confirm::Acknowledged, Confirm::Nothing]
            [usize::from(flags >> 1 & 3) % 3];
        let number = usize::from(flags);
        let result = match input.below(9) {
            0 => {
                let sample = Sample::new(number).resend(resend).confirm(confirm);
                match flags & 8 {
                    0 => self.host.submit(&sample),
                    _ => self.host.submit(&sample.durable()),
                }
            }
            1 => {
                let sample = Sample::new(number).resend(resend);
                let wait = Duration::from_secs(input.byte().into());
                self.host.submit(&sample.expires_after(wait).durable())
            }
            2 => self
                .host
                .submit(&metadata::Merge::new(json!({"a": number}))),
            3 => self.host.submit(&metadata::Keys),
            4 => self.host.submit(&config::Get::new()),
            5 => self.host.submit(&config::Applied::new("a").durable()),
            6 => self.host.submit(&Pending::new(command_type(number))),
            7 => self.host.submit(&upload::GetToken),
            _ => {
                let service = [Service::Telemetry, Service::Commands, Service::Software];
                let service = service[number % 3].clone();
                let mut call = Call::new(service, input.text()).payload(input.chunk());
                if flags & 8 != 0 {
                    call = call.fixed_id(input.byte().into());
                }
                if flags & 16 != 0 {
                    call = call.status_in_body().serial();
                }
                self.host.submit(&call.confirm(confirm).resend(resend))
            }
        };
        self.ids.extend(result);
    }

    fn answer_command(&mut self, input: &mut Input<'_>) {
        let Some(command) = nth(&self.commands, input.byte()) else {
            return;
        };
        match input.below(3) {
            0 => self.host.endpoint.release(self.host.now(), &command),
            _ => {
                let result = CommandResult::failed(409, input.text());
                self.ids.extend(self.host.respond(&command, result));
            }
        }
    }

    /// What may be the answer to a message that came out.
    fn receive_answer(&mut self, input: &mut Input<'_>) {
        let Some(mut topic) = nth(&self.topics, input.byte()) else {
            return;
        };
        topic.push_str(input.pick(&["/status", "/error", "/status", "", "/1/status"]));
        let payload = payload(input);
        let _ = self.host.receive_raw(&topic, &payload);
    }

    fn receive_push(&mut self, input: &mut Input<'_>) {
        let path = input.pick(&[
            "cex/JTjdbENzHh/command/reboot/status",
            "cex/JTjdbENzHh/command/open/status",
            "cex/JTjdbENzHh/command/status",
            "cmx/JTjdbENzHh/config/json/status",
            "cmx/JTjdbENzHh/config/json/wifi/status",
            "cmx_ota/JTjdbENzHh/config/json/status",
            "cmx/JTjdbENzHh/config/json/1/status",
            "bcx/JTjdbENzHh/token/status",
            "cmx/JTjdbENzHh/applied/json/error",
        ]);
        let payload = payload(input);
        let _ = self
            .host
            .receive_raw(&format!("kp1/demo-v1/{path}"), &payload);
    }

    fn end(mut self) {
        for record in &self.host.records {
            let line = record.to_json();
            let Ok(read) = Record::from_json(&line) else {
                panic!("not read back: {line}");
            };
            assert_eq!(read.to_json(), line);
        }
        let now = self.host.now();
        let snapshot = self.host.endpoint.snapshot(now);
        let unfinished = self.host.close();
        let stored = unfinished.iter().filter(|request| request.stored).count();
        let statistics = self.host.statistics();
        assert_eq!(statistics.submitted, statistics.ended());

        let name = self.host.endpoint.name().clone();
        let mut next = Endpoint::new(name, EndpointOptions::default().durable(true).into(), 2);
        next.restore(now, snapshot);
        next.handle_stored(now, next.unstored_len());
        let statistics = next.statistics();
        let restored = statistics.submitted - statistics.ended();
        assert!(
            restored <= stored as u64,
            "{restored} of {stored} are restored"
        );
    }
}

fn options(setup: u8) -> EndpointOptions {
    let mut options = EndpointOptions::default()
        .durable(setup & 1 != 0)
        .durable_requests(Class::Bulk, setup & 2 != 0)
        .keep_configurations(setup & 4 != 0)
        .spread_request_ids(setup & 8 != 0);
    if setup & 16 != 0 {
        options = options.subscriptions(Subscriptions::PerEndpoint);
    }
    if setup & 32 != 0 {
        let few = NonZeroUsize::MIN.saturating_add(2);
        let bytes = NonZeroUsize::MIN.saturating_add(100);
        options = options
            .queue(Class::Control, few, bytes)
            .queue(Class::Bulk, few, bytes)
            .max_commands(few)
            .max_unread_commands(NonZeroUsize::MIN)
            .max_in_flight(NonZeroU16::MIN.saturating_add(1));
    }
    options
}

/// A payload that says something, or any.
fn payload(input: &mut Input<'_>) -> Vec<u8> {
    let number = input.byte();
    let text = match input.below(10) {
        0 => String::new(),
        1 => format!(r#"[{{"id":{number}}}]"#),
        2 => format!(
            r#"[{{"id":{},"payload":{{}}}},{{"id":{number}}}]"#,
            number / 2
        ),
        3 => format!(r#"[{{"id":{number},"type":"open"}},{{"id":"a"}}]"#),
        4 => format!(
            r#"{{"configId":"{}","config":{{"a":{number}}}}}"#,
            number % 4
        ),
        5 => format!(
            r#"{{"statusCode":{},"reasonPhrase":"no"}}"#,
            u16::from(number) * 3
        ),
        6 => String::from(r#"{"configId":"","config":null}"#),
        7 => String::from("{}"),
        _ => return input.chunk().to_vec(),
    };
    text.into_bytes()
}

fn observation(input: &mut Input<'_>) -> Observation {
    match input.below(5) {
        0 => Observation::Configuration(None),
        1 => Observation::Configuration(ConfigName::new("wifi").ok()),
        2 => Observation::Software,
        number => Observation::Commands(command_type(number)),
    }
}

fn command_type(number: usize) -> CommandType {
    let name = ["reboot", "open"][number % 2];
    CommandType::new(name).expect("it is a name")
}

fn nth<T: Clone>(from: &[T], index: u8) -> Option<T> {
    from.get(usize::from(index) % from.len().max(1)).cloned()
}
