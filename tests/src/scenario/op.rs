//! The requests of scenarios: all operations, as data.

use std::collections::BTreeMap;
use std::time::Duration;

use kaa_proto::commands::{self, CommandResult, Pending, Report};
use kaa_proto::metadata::{Delete, Get, Keys, Merge, ReplaceAll};
use kaa_proto::names::{CommandType, ConfigName, Extension, MetadataKey, Metric, NameError};
use kaa_proto::raw::Call;
use kaa_proto::request::{
    Confirm, DecodeError, InvalidRequest, Reply, Request, RequestWriter, Resend, Service,
    SubmitError,
};
use kaa_proto::telemetry::{Batch, Plain, Sample};
use kaa_proto::upload::{GetToken, UploadToken};
use kaa_proto::{QoS, config, software};
use serde_json::{Value, json};

/// A request. Texts that stand for values are JSON.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// A request with parts of its policy overridden.
    With(&'static Self, &'static [Tweak]),
    /// Telemetry: one sample.
    Sample(&'static str),
    /// Telemetry: several samples.
    Batch(&'static [&'static str]),
    /// Telemetry: a metric and its number.
    Plain(&'static str, f64),
    /// The keys of the metadata.
    Keys,
    /// All metadata.
    GetAll,
    /// The keys of the metadata, of which no answer can be read.
    Misread,
    /// Some metadata.
    GetOnly(&'static [&'static str]),
    /// Replaces all metadata.
    ReplaceAll(&'static str),
    /// Merges into the metadata.
    Merge(&'static str),
    /// Deletes metadata.
    Delete(&'static [&'static str]),
    /// The outstanding commands of a type; they are held for [`Step::Adopt`](super::Step::Adopt).
    Pending(&'static str),
    /// The result of a command that is held, by its name: status 500 with this reason.
    Report(&'static str, &'static str),
    /// A configuration; an empty name is the unnamed one.
    Config(&'static str),
    /// The unnamed configuration, unless it is the one that is held under a name.
    ConfigUnless(&'static str),
    /// A held configuration was applied.
    Applied(&'static str),
    /// A held configuration was not applied: status and reason.
    NotApplied(&'static str, u16, &'static str),
    /// The software that is wanted.
    Software,
    /// The version that runs.
    Runs(&'static str),
    /// A held version was not installed: status and reason.
    NotInstalled(&'static str, u16, &'static str),
    /// A token for uploads.
    UploadToken,
    /// An empty sample under a request ID of the caller's.
    Numbered(u32),
    /// Anything: extension, resource, payload.
    Call(&'static str, &'static str, &'static str),
}

/// A part of a policy.
#[derive(Clone, Copy, Debug)]
pub enum Tweak {
    /// What counts as the confirmation.
    Confirm(Confirm),
    /// Whether it may be sent again.
    Resend(Resend),
    /// The quality of service.
    Qos(QoS),
    /// How many seconds it may wait in the queue.
    ExpiresAfter(u64),
    /// How many seconds to wait for the answer.
    AnswerWithin(u64),
}

/// What scenarios keep from the platform's answers and pushes, by name.
#[derive(Debug, Default)]
pub struct Held {
    /// Configurations.
    pub configurations: BTreeMap<&'static str, config::Configuration>,
    /// Software versions.
    pub updates: BTreeMap<&'static str, software::Update>,
    /// Commands that were asked for.
    pub commands: Vec<commands::Command>,
}

/// What a request brought.
#[derive(Clone, Debug)]
pub struct Answer {
    /// To be compared.
    pub value: Value,
    /// Commands in it.
    pub commands: Vec<commands::Command>,
}

/// Something to be done with a request of any type.
pub trait Verb {
    /// What comes of it.
    type Out;

    /// Does it.
    fn with<R>(self, request: &R) -> Self::Out
    where
        R: Request + 'static,
        R::Response: Show;
}

impl Op {
    /// Makes the request, the number in place of `#`, and does something with it.
    ///
    /// # Errors
    /// A name in it cannot be one; then nothing is done.
    pub fn apply<V: Verb>(
        &self,
        held: &Held,
        number: usize,
        verb: V,
    ) -> Result<V::Out, SubmitError> {
        let (op, tweaks) = if let Self::With(op, tweaks) = self {
            (*op, *tweaks)
        } else {
            (self, [].as_slice())
        };
        let applied = op.apply_plain(held, number, Tweaking { tweaks, verb });
        applied.map_err(|error| SubmitError::Invalid(InvalidRequest::from(error)))
    }

    fn apply_plain<V: Verb>(
        &self,
        held: &Held,
        number: usize,
        verb: Tweaking<V>,
    ) -> Result<V::Out, NameError> {
        let json = |text: &str| parse(&text.replace('#', &number.to_string()));
        let keys = |keys: &[&str]| {
            keys.iter()
                .map(|key| MetadataKey::new(*key))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(match *self {
            Self::With(op, _) => panic!("{op:?} is adjusted twice"),
            Self::Sample(sample) => verb.with(Sample::new(json(sample))),
            Self::Batch(samples) => verb.with(Batch::new(samples.iter().copied().map(json))),
            Self::Plain(metric, number) => verb.with(Plain::new(Metric::new(metric)?, number)),
            Self::Keys => verb.with(Keys),
            Self::Misread => verb.with(Misread),
            Self::GetAll => verb.with(Get::all().typed::<Value>()),
            Self::GetOnly(some) => verb.with(Get::only(keys(some)?).typed::<Value>()),
            Self::ReplaceAll(all) => verb.with(ReplaceAll::new(json(all))),
            Self::Merge(some) => verb.with(Merge::new(json(some))),
            Self::Delete(some) => verb.with(Delete::new(keys(some)?)),
            Self::Pending(of_type) => verb.with(Pending::new(CommandType::new(of_type)?)),
            Self::Report(of_type, reason) => {
                let result = CommandResult::failed(500, reason);
                let command = held
                    .commands
                    .iter()
                    .find(|c| c.command_type().as_str() == of_type);
                verb.with(Report::of(known(of_type, command), result))
            }
            Self::Config("") => verb.with(config::Get::new()),
            Self::Config(name) => verb.with(config::Get::new().named(ConfigName::new(name)?)),
            Self::ConfigUnless(name) => {
                let known = known(name, held.configurations.get(name));
                verb.with(config::Get::new().unless(known.config_id()))
            }
            Self::Applied(name) => verb.with(config::Applied::of(known(
                name,
                held.configurations.get(name),
            ))),
            Self::NotApplied(name, status, reason) => {
                let configuration = known(name, held.configurations.get(name));
                verb.with(config::Rejected::of(configuration, status, reason))
            }
            Self::Software => verb.with(software::Get::new()),
            Self::Runs(version) => verb.with(software::ReportCurrent::new(version)),
            Self::NotInstalled(name, status, reason) => {
                let update = known(name, held.updates.get(name));
                verb.with(software::Rejected::of(update, status, reason))
            }
            Self::UploadToken => verb.with(GetToken),
            Self::Numbered(id) => {
                let call = Call::new(Service::Telemetry, "json").payload("{}");
                verb.with(call.fixed_id(id))
            }
            Self::Call(extension, resource, payload) => {
                let service = Service::Other(Extension::new(extension)?);
                verb.with(Call::new(service, resource).payload(payload))
            }
        })
    }
}

/// A request that expects what no platform answers.
struct Misread;

impl Request for Misread {
    type Response = ();

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        Keys.encode(out)
    }

    fn decode(_: &Reply) -> Result<(), DecodeError> {
        Err(DecodeError::new("poem"))
    }
}

/// JSON of a scenario.
pub(super) fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json} is no JSON: {error}"))
}

fn known<'a, T>(name: &str, value: Option<&'a T>) -> &'a T {
    value.unwrap_or_else(|| panic!("nothing is held as {name:?}"))
}

struct Tweaking<V> {
    tweaks: &'static [Tweak],
    verb: V,
}

impl<V: Verb> Tweaking<V> {
    fn with<R>(self, request: R) -> V::Out
    where
        R: Request + 'static,
        R::Response: Show,
    {
        self.verb.with(&Tweaked {
            request,
            tweaks: self.tweaks,
        })
    }
}

/// A request with parts of its policy overridden.
struct Tweaked<R> {
    request: R,
    tweaks: &'static [Tweak],
}

impl<R: Request> Request for Tweaked<R> {
    type Response = R::Response;

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        self.request.encode(out)?;
        let policy = out.policy();
        for tweak in self.tweaks {
            match *tweak {
                Tweak::Confirm(confirm) => policy.confirm = confirm,
                Tweak::Resend(resend) => policy.resend = resend,
                Tweak::Qos(qos) => policy.qos = Some(qos),
                Tweak::ExpiresAfter(s) => policy.expires_after = Some(Duration::from_secs(s)),
                Tweak::AnswerWithin(s) => policy.answer_within = Some(Duration::from_secs(s)),
            }
        }
        Ok(())
    }

    fn decode(reply: &Reply) -> Result<R::Response, DecodeError> {
        R::decode(reply)
    }
}

/// What a request brings, for a scenario to compare.
pub trait Show: Send + 'static {
    /// Shows it.
    fn show(self) -> Answer;
}

impl From<Value> for Answer {
    fn from(value: Value) -> Self {
        Self {
            value,
            commands: Vec::new(),
        }
    }
}

impl Show for () {
    fn show(self) -> Answer {
        Value::Null.into()
    }
}

impl Show for Value {
    fn show(self) -> Answer {
        self.into()
    }
}

impl Show for Vec<String> {
    fn show(self) -> Answer {
        json!(self).into()
    }
}

impl Show for Vec<commands::Command> {
    fn show(self) -> Answer {
        let value = self
            .iter()
            .map(|command| command.value().unwrap_or_default())
            .collect();
        Answer {
            value,
            commands: self,
        }
    }
}

impl Show for config::Answer {
    fn show(self) -> Answer {
        match self {
            Self::NotModified => json!("not modified").into(),
            Self::Unassigned => json!("unassigned").into(),
            Self::Assigned(configuration) => configuration.value().unwrap_or_default().into(),
        }
    }
}

impl Show for software::Answer {
    fn show(self) -> Answer {
        match self {
            Self::NotModified => json!("not modified").into(),
            Self::Unassigned => json!("unassigned").into(),
            Self::Assigned(update) => json!(update.version()).into(),
        }
    }
}

/// A secret, of which only the length is shown.
impl Show for UploadToken {
    fn show(self) -> Answer {
        json!(!self.expose().is_empty()).into()
    }
}

impl Show for Reply {
    fn show(self) -> Answer {
        let json = serde_json::from_slice(self.payload());
        json.unwrap_or_else(|_| json!(String::from_utf8_lossy(self.payload())))
            .into()
    }
}
