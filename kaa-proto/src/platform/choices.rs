//! The values that switches can take, each with the word that names it on a command line.

use std::time::Duration;

/// A value of a switch that can be written as one word.
pub(super) trait Choice: Sized {
    /// The words it takes, for help and errors.
    fn words() -> String;
    /// The value of a word.
    fn read(word: &str) -> Option<Self>;
    /// The word of the value.
    fn word(&self) -> String;
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$vdoc])* $variant),+
        }

        impl Choice for $name {
            fn words() -> String {
                [$($word),+].join(" | ")
            }

            fn read(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            fn word(&self) -> String {
                String::from(match self {
                    $(Self::$variant => $word),+
                })
            }
        }
    };
}

choice! {
    /// Who gets what the platform publishes for an endpoint.
    DeliverTo {
        /// The link on which the endpoint last spoke, whatever that link subscribed to.
        LastSpeaker = "last-speaker",
        /// Links with a matching subscription only, as a broker does it.
        Subscription = "subscription",
        /// Either of them, once per link.
        Both = "both",
    }
}

choice! {
    /// Where pushes go after an observe request that had an ID.
    PushTopic {
        /// To the resource's topic without ID, as the official clients expect it.
        NoId = "no-id",
        /// To the response topic of the observe request (7/CMP, 11/CEP).
        WithId = "with-id",
        /// To both of them.
        Both = "both",
    }
}

choice! {
    /// How a configuration is wrapped.
    ConfigBody {
        /// `configId`, `config`, `statusCode` and `reasonPhrase`, as Kaa Cloud does it.
        Cloud = "cloud",
        /// `configId` and `config` only (7/CMP).
        Rfc = "rfc",
    }
}

choice! {
    /// How the platform says that the endpoint has the current configuration already.
    NotModified {
        /// `{}` on `/status` (7/CMP).
        Object = "object",
        /// A zero-length payload on `/status`.
        Empty = "empty",
        /// `null` on `/status`.
        Null = "null",
        /// `{"statusCode":304,"reasonPhrase":"Not Modified"}` on `/status`.
        Status304 = "304-status",
        /// The same on `/error`.
        Error304 = "304-error",
    }
}

choice! {
    /// How the platform says that no configuration is assigned.
    NoConfig {
        /// `configId` `""` and `config` `null` (7/CMP).
        Null = "null",
        /// As an unchanged configuration.
        NotModified = "not-modified",
    }
}

choice! {
    /// How a command result is confirmed.
    ResultSuccess {
        /// `/status` with a zero-length payload.
        Status = "status",
        /// Not at all: 11/CEP speaks of errors only.
        Silence = "silence",
    }
}

choice! {
    /// What the platform says to the result of a command it does not know (any more).
    UnknownResult {
        /// It is ignored and counts as a success.
        Success = "success",
        /// `/error` 404; the known ones of the same array are taken.
        NotFound = "404",
    }
}

choice! {
    /// Which requests without ID are answered.
    WithoutId {
        /// None of them.
        None = "none",
        /// Only by errors; and by the content that a command or configuration request asked for.
        Errors = "errors",
        /// As `errors`, and an upload token is given out.
        Bcx = "bcx",
        /// All of them.
        All = "all",
    }
}

choice! {
    /// What a message under an unknown endpoint token gets.
    BadToken {
        /// `/error` 401.
        Unauthorized = "401",
        /// `/error` 403.
        Forbidden = "403",
        /// `/error` 404.
        NotFound = "404",
        /// Its link is closed.
        Disconnect = "disconnect",
    }
}

choice! {
    /// What a message for an unknown application version or extension gets.
    Unknown {
        /// `/error` 404.
        NotFound = "404",
        /// Nothing.
        Silence = "silence",
        /// Its link is closed.
        Disconnect = "disconnect",
    }
}

choice! {
    /// What a message gets whose topic is not a 1/KP topic.
    ForeignTopic {
        /// Nothing.
        Silence = "silence",
        /// Its link is closed.
        Disconnect = "disconnect",
    }
}

choice! {
    /// How a client with wrong credentials is turned away.
    AuthFailure {
        /// By the CONNACK: 4 for a bad user name or password, 5 when not authorized.
        Connack = "connack",
        /// It is accepted, and dropped at its first PUBLISH (FACTS trap 32).
        DropAtPublish = "drop-at-publish",
    }
}

choice! {
    /// When the time to live of a command begins.
    CommandClock {
        /// When the operator invokes it; for one of the fixture, at the endpoint's first message.
        Invocation = "invocation",
        /// When it is delivered for the first time.
        Delivery = "delivery",
    }
}

choice! {
    /// What `observe: false` in a command request switches off.
    ObserveScope {
        /// Pushes of that command type.
        Type = "type",
        /// Pushes of all command types of the endpoint.
        Endpoint = "endpoint",
    }
}

choice! {
    /// How long `observe: false` and observed IDs hold.
    ObserveUntil {
        /// Until the endpoint disconnects or moves to another link.
        Disconnect = "disconnect",
        /// Until the endpoint asks for the opposite.
        Withdrawn = "withdrawn",
    }
}

impl Choice for bool {
    fn words() -> String {
        String::from("on | off")
    }

    fn read(word: &str) -> Option<Self> {
        match word {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        }
    }

    fn word(&self) -> String {
        String::from(if *self { "on" } else { "off" })
    }
}

impl Choice for Duration {
    fn words() -> String {
        String::from("a time such as 250ms, 60s, 5m, 1h")
    }

    fn read(word: &str) -> Option<Self> {
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = word.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        // A year: `Instant` arithmetic stays far from its end.
        let time = Self::from_millis(number.checked_mul(millis)?);
        (time <= Self::from_secs(31_536_000)).then_some(time)
    }

    fn word(&self) -> String {
        match self.subsec_millis() {
            0 => format!("{}s", self.as_secs()),
            _ => format!("{}ms", self.as_millis()),
        }
    }
}

impl Choice for Option<Duration> {
    fn words() -> String {
        format!("never | {}", Duration::words())
    }

    fn read(word: &str) -> Option<Self> {
        match word {
            "never" => Some(None),
            _ => Duration::read(word).map(Some),
        }
    }

    fn word(&self) -> String {
        self.map_or_else(|| String::from("never"), |time| time.word())
    }
}

/// The largest length that an MQTT packet can tell (section 2.2.3).
const MAX_BYTES: usize = 268_435_455;

impl Choice for usize {
    fn words() -> String {
        format!("a number of bytes from 1 to {MAX_BYTES}")
    }

    fn read(word: &str) -> Option<Self> {
        let bytes = word.parse().ok();
        bytes.filter(|bytes| (1..=MAX_BYTES).contains(bytes))
    }

    fn word(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit_and_never_without() {
        assert_eq!(Duration::read("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(Duration::read("5m"), Some(Duration::from_secs(300)));
        assert_eq!(Duration::read("0s"), Some(Duration::ZERO));
        for wrong in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "9000000h",
            "99999999999999999999s",
        ] {
            assert_eq!(Duration::read(wrong), None, "{wrong}");
        }
        assert_eq!(Option::<Duration>::read("never"), Some(None));
        assert_eq!(usize::read("0"), None);
        assert_eq!(usize::read("10"), Some(10));
        assert_eq!(usize::read("268435455"), Some(MAX_BYTES));
        assert_eq!(usize::read("268435456"), None);
    }

    #[test]
    fn who_chose_wrong_is_told_what_there_is_to_choose() {
        assert_eq!(usize::words(), "a number of bytes from 1 to 268435455");
        let times = Duration::words();
        assert_eq!(Option::<Duration>::words(), format!("never | {times}"));
    }
}
