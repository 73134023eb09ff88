//! The switches: every behaviour of the platform that no public source settles.

use std::fmt;
use std::time::Duration;

use super::choices::{
    AuthFailure, BadToken, Choice, CommandClock, ConfigBody, DeliverTo, ForeignTopic, NoConfig,
    NotModified, ObserveScope, ObserveUntil, PushTopic, ResultSuccess, Unknown, UnknownResult,
    WithoutId,
};

macro_rules! switches {
    ($($(#[doc = $doc:literal])+ $name:literal $field:ident: $type:ty = $default:expr;)+) => {
        /// What the platform does where its documents leave it open (FACTS section 10).
        ///
        /// Set the fields, or set by name as a command line does:
        ///
        /// ```
        /// use kaa_proto::platform::{DeliverTo, Switches};
        ///
        /// let mut switches = Switches::default();
        /// switches.set("delivery", "last-speaker")?;
        /// assert_eq!(switches.delivery, DeliverTo::LastSpeaker);
        /// # Ok::<(), kaa_proto::platform::SwitchError>(())
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Switches {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        impl Default for Switches {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl Switches {
            /// Sets a switch by its name.
            ///
            /// # Errors
            /// [`SwitchError`] if there is no such switch or it does not take the value; nothing
            /// is changed then.
            pub fn set(&mut self, name: &str, value: &str) -> Result<(), SwitchError> {
                match name {
                    $($name => {
                        self.$field = <$type>::read(value).ok_or_else(|| SwitchError::Value {
                            name: $name,
                            values: <$type>::words(),
                        })?;
                    })+
                    _ => return Err(SwitchError::Unknown { name: String::from(name) }),
                }
                Ok(())
            }

            /// Every switch with its values, its default and its meaning.
            #[must_use]
            pub fn help() -> Vec<SwitchHelp> {
                let default = Self::default();
                vec![$(SwitchHelp {
                    name: $name,
                    values: <$type>::words(),
                    default: default.$field.word(),
                    meaning: concat!($($doc),+).trim_start(),
                }),+]
            }
        }
    };
}

switches! {
    /// Who gets answers and pushes. Default: both, so that clients that never subscribe and a
    /// separate subscriber are served (FACTS section 7).
    "delivery" delivery: DeliverTo = DeliverTo::Both;
    /// Whether what clients publish is passed on to subscribers, as a broker or bridge does
    /// (FACTS trap 16). Default: off.
    "echo" echo: bool = false;
    /// Where pushes go after an observe request with ID. Default: no-id, as the official clients
    /// expect it (FACTS section 3).
    "push-topic" push_topic: PushTopic = PushTopic::NoId;
    /// Whether the first message of an endpoint on a link makes the platform push what it has
    /// assigned and not yet seen applied (FACTS section 4). Default: on.
    "unsolicited-config" unsolicited_config: bool = true;
    /// How a configuration is wrapped. Default: cloud (FACTS section 4).
    "config-body" config_body: ConfigBody = ConfigBody::Cloud;
    /// How an unchanged configuration is answered. Default: the object of 7/CMP (FACTS section 4).
    "not-modified" not_modified: NotModified = NotModified::Object;
    /// How a configuration that was never assigned is answered. Default: null (7/CMP). Software
    /// is always answered as not modified.
    "no-config" no_config: NoConfig = NoConfig::Null;
    /// How command results are confirmed. Default: status (FACTS section 3).
    "result-success" result_success: ResultSuccess = ResultSuccess::Status;
    /// What the result of an unknown, expired or finished command gets. Default: success (FACTS
    /// section 3).
    "unknown-result" unknown_result: UnknownResult = UnknownResult::Success;
    /// Which requests without ID are answered. Default: bcx, on which the official Python client
    /// relies (FACTS section 0).
    "without-id" without_id: WithoutId = WithoutId::Bcx;
    /// What an unknown endpoint token gets, if there is a fixture. Default: 401 (FACTS section 7).
    "bad-token" bad_token: BadToken = BadToken::Unauthorized;
    /// What an unknown application version gets, if there is a fixture. Default: 404.
    "unknown-version" unknown_version: Unknown = Unknown::NotFound;
    /// What an unknown extension gets. Default: 404.
    "unknown-extension" unknown_extension: Unknown = Unknown::NotFound;
    /// What a topic gets that is not of 1/KP. Default: silence.
    "foreign-topic" foreign_topic: ForeignTopic = ForeignTopic::Silence;
    /// How wrong credentials are refused. Default: connack (FACTS section 7).
    "auth-failure" auth_failure: AuthFailure = AuthFailure::Connack;
    /// Relaxed resource path validation of dcx: it allows /plain/{metric} and takes any path below
    /// /json for /json (FACTS section 1). Default: on, since plain telemetry needs it.
    "relaxed-dcx" relaxed_dcx: bool = true;
    /// How long a command is delivered. 0s: it is pushed once and never listed. Default: 60s, as
    /// of the platform's REST API (FACTS section 3).
    "command-ttl" command_ttl: Duration = Duration::from_secs(60);
    /// When the time to live of a command begins. Default: invocation.
    "command-clock" command_clock: CommandClock = CommandClock::Invocation;
    /// What observe:false in a command request switches off. Default: type (FACTS section 3).
    "observe-scope" observe_scope: ObserveScope = ObserveScope::Type;
    /// How long observe:false and observed IDs hold. Default: disconnect (FACTS section 3).
    "observe-until" observe_until: ObserveUntil = ObserveUntil::Disconnect;
    /// Whether a CONNECT closes the older link with the same client ID (MQTT-3.1.4-2). Default: on.
    "evict" evict: bool = true;
    /// After which silence an endpoint counts as offline and gets no pushes, though its link stays
    /// (FACTS section 8). Default: never.
    "idle-disconnect" idle_disconnect: Option<Duration> = None;
    /// The largest message in bytes, topic and payload; a larger one closes its link. Default:
    /// 1048576, the limit of the platform's inner transport (FACTS section 7).
    "max-packet" max_packet: usize = 1_048_576;
    /// How long an upload token is valid. Default: 3600s (FACTS section 6).
    "upload-token-validity" upload_token_validity: Duration = Duration::from_secs(3_600);
}

/// A row of the table of switches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchHelp {
    /// What it is called on a command line.
    pub name: &'static str,
    /// The values it takes.
    pub values: String,
    /// The value it has unless set.
    pub default: String,
    /// What it decides, why the default is what it is, and where that is from.
    pub meaning: &'static str,
}

/// A switch that cannot be set so. A caller's mistake; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SwitchError {
    /// There is no switch of that name.
    Unknown {
        /// The name that was given.
        name: String,
    },
    /// The switch does not take the value.
    Value {
        /// The switch.
        name: &'static str,
        /// The values it takes.
        values: String,
    },
}

impl fmt::Display for SwitchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => write!(f, "there is no switch {name:?}"),
            Self::Value { name, values } => write!(f, "switch {name} takes {values}"),
        }
    }
}

impl std::error::Error for SwitchError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_switch_takes_its_own_default_and_refuses_nonsense() {
        let mut switches = Switches::default();
        for row in Switches::help() {
            assert_eq!(switches.set(row.name, &row.default), Ok(()), "{}", row.name);
            assert!(switches.set(row.name, "nonsense").is_err(), "{}", row.name);
            assert!(row.meaning.contains("Default: "), "{}", row.name);
        }
        assert_eq!(switches, Switches::default());
    }

    #[test]
    fn a_wrong_name_or_value_says_what_would_be_right() {
        let mut switches = Switches::default();
        assert_eq!(
            switches.set("speed", "on").unwrap_err().to_string(),
            "there is no switch \"speed\""
        );
        assert_eq!(
            switches.set("not-modified", "304").unwrap_err().to_string(),
            "switch not-modified takes object | empty | null | 304-status | 304-error"
        );
    }
}
