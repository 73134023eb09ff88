//! What can be set for an endpoint, and why the defaults are what they are.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::{CommandKey, WhenInterrupted};
use crate::QoS;
use crate::names::CommandType;
use crate::request::{Class, Instances, MAX_ANSWER_WITHIN};
use crate::topic::MAX_PARSED_ID;

/// How an endpoint behaves. Every setter checks its value at once, so an `EndpointOptions` is
/// always valid.
///
/// ```
/// use std::time::Duration;
/// use kaa_proto::endpoint::EndpointOptions;
///
/// let options = EndpointOptions::default().answer_within(Duration::from_secs(10))?;
/// assert!(EndpointOptions::default().answer_within(Duration::ZERO).is_err());
/// # let _ = options;
/// # Ok::<(), kaa_proto::endpoint::InvalidEndpointOptions>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointOptions {
    pub(crate) instances: Instances,
    pub(super) subscriptions: Subscriptions,
    pub(super) qos: Option<QoS>,
    pub(super) answer_within: Duration,
    pub(super) max_request_id: u32,
    pub(super) spread_request_ids: bool,
    pub(super) max_in_flight: usize,
    pub(super) control: Bound,
    pub(super) bulk: Bound,
    pub(super) bulk_when_full: WhenFull,
    pub(super) max_message: usize,
    /// What a packet holds of topic and payload together.
    pub(super) max_publish: usize,
    pub(super) drain_rate: Option<NonZeroU32>,
    pub(super) refresh_observations: Duration,
    pub(super) max_commands: usize,
    pub(super) max_unread_commands: usize,
    pub(super) max_unread_bytes: usize,
    pub(super) durable: bool,
    durable_control: bool,
    durable_bulk: bool,
    pub(super) keep_configurations: bool,
    interrupted: BTreeMap<CommandType, WhenInterrupted>,
}

impl Default for EndpointOptions {
    fn default() -> Self {
        Self {
            instances: Instances::default(),
            subscriptions: Subscriptions::PerResource,
            qos: None,
            answer_within: Duration::from_secs(30),
            max_request_id: 99_999,
            spread_request_ids: false,
            max_in_flight: 64,
            control: Bound {
                count: 256,
                bytes: 256 * 1024,
            },
            bulk: Bound {
                count: 10_000,
                bytes: 4 * 1024 * 1024,
            },
            bulk_when_full: WhenFull::DropOldest,
            max_message: 256 * 1024,
            max_publish: usize::MAX,
            drain_rate: None,
            refresh_observations: Duration::from_secs(30 * 60),
            max_commands: 256,
            max_unread_commands: 64,
            max_unread_bytes: 256 * 1024,
            durable: false,
            durable_control: false,
            durable_bulk: false,
            keep_configurations: false,
            interrupted: BTreeMap::new(),
        }
    }
}

/// The room in flight that telemetry leaves to control requests.
pub(super) const RESERVED_IN_FLIGHT: usize = 8;

impl EndpointOptions {
    /// The names of the extension instances. Default: `dcx`, `epmx`, `cex`, `cmx`, `cmx_ota`,
    /// `bcx`.
    #[must_use]
    pub fn instances(self, instances: Instances) -> Self {
        Self { instances, ..self }
    }

    /// What is subscribed to. Default: [`Subscriptions::PerResource`].
    #[must_use]
    pub fn subscriptions(self, subscriptions: Subscriptions) -> Self {
        Self {
            subscriptions,
            ..self
        }
    }

    /// The quality of service of requests that do not say. Default: 0 on a lone endpoint, because
    /// a host that resends QoS 1 by itself would send twice what may be sent once; 1 on a
    /// connection, which does not.
    ///
    /// # Errors
    /// QoS 2 is refused: no Kaa service is known to grant it.
    pub fn qos(self, qos: QoS) -> Result<Self, InvalidEndpointOptions> {
        match qos {
            QoS::ExactlyOnce => Err(InvalidEndpointOptions("a request has QoS 0 or 1")),
            QoS::AtMostOnce | QoS::AtLeastOnce => Ok(Self {
                qos: Some(qos),
                ..self
            }),
        }
    }

    /// As [`qos`](Self::qos), where it was not set.
    #[cfg(feature = "connection")]
    pub(crate) fn default_qos(&mut self, qos: QoS) {
        self.qos.get_or_insert(qos);
    }

    /// What a packet of the connection holds of topic and payload together: the endpoint's own
    /// messages are not larger. The application's are measured when they are submitted.
    #[cfg(feature = "connection")]
    pub(crate) const fn limit_publish(&mut self, bytes: usize) {
        self.max_publish = bytes;
    }

    /// How long to wait for a confirmation, from the last byte handed to the transport, unless
    /// the request says otherwise. Default 30 s: the platform waits for its own receivers before
    /// it answers telemetry.
    ///
    /// # Errors
    /// Refused if it is zero or over a day.
    pub fn answer_within(self, time: Duration) -> Result<Self, InvalidEndpointOptions> {
        match time.is_zero() || time > MAX_ANSWER_WITHIN {
            true => Err(InvalidEndpointOptions(
                "answer_within is over 0 and up to 24 hours",
            )),
            false => Ok(Self {
                answer_within: time,
                ..self
            }),
        }
    }

    /// The largest request ID; those over 99 are used only while few of 1..=99 are free. Default
    /// 99,999, as the official Arduino client uses. With few IDs one that became free comes round at
    /// once, and a copy of its last answer confirms the next request.
    ///
    /// # Errors
    /// Refused if it is 0 or over 2,147,483,647, the platform's own bound.
    pub fn max_request_id(self, max: u32) -> Result<Self, InvalidEndpointOptions> {
        match max == 0 || max > MAX_PARSED_ID {
            true => Err(InvalidEndpointOptions(
                "max_request_id is from 1 to 2147483647",
            )),
            false => Ok(Self {
                max_request_id: max,
                ..self
            }),
        }
    }

    /// Draws the first request ID of each extension from the seed instead of beginning at 1.
    /// Default off, which is easier to read in a test. The bindings switch it on: after a restart
    /// of the program, a late answer to the first request of the run before would otherwise
    /// confirm the first one of this run (FACTS trap 13).
    #[must_use]
    pub fn spread_request_ids(self, spread: bool) -> Self {
        Self {
            spread_request_ids: spread,
            ..self
        }
    }

    /// What the handles change: see [`spread_request_ids`](Self::spread_request_ids); and they are
    /// durable where there is a store: without one a durable endpoint waits for ever.
    #[cfg(feature = "client")]
    pub(crate) fn for_handles(self, has_store: bool) -> Self {
        self.spread_request_ids(true).durable(has_store)
    }

    /// How many requests may be sent and not yet confirmed. Default 64; an eighth of it, at most
    /// 8, is kept for the control queue. The rest waits in the queue.
    #[must_use]
    pub fn max_in_flight(self, max: NonZeroU16) -> Self {
        Self {
            max_in_flight: usize::from(max.get()),
            ..self
        }
    }

    /// The bound of a queue, in requests and in bytes of resource and payload. Default: control
    /// 256 and 256 KiB, bulk 10,000 and 4 MiB: hours of telemetry, on a device with 64 MiB.
    ///
    /// A full control queue refuses; for bulk see [`bulk_when_full`](Self::bulk_when_full).
    #[must_use]
    pub fn queue(self, class: Class, count: NonZeroUsize, bytes: NonZeroUsize) -> Self {
        let bound = Bound {
            count: count.get(),
            bytes: bytes.get(),
        };
        match class {
            Class::Control => Self {
                control: bound,
                ..self
            },
            Class::Bulk => Self {
                bulk: bound,
                ..self
            },
        }
    }

    /// What a full bulk queue does. Default: [`WhenFull::DropOldest`]: after a long outage the
    /// latest samples are worth the most.
    #[must_use]
    pub fn bulk_when_full(self, when_full: WhenFull) -> Self {
        Self {
            bulk_when_full: when_full,
            ..self
        }
    }

    /// The largest payload of a request, in bytes. Default 256 KiB: the platform's own messages
    /// travel in units of at most 1 MiB.
    #[must_use]
    pub fn max_message(self, bytes: NonZeroUsize) -> Self {
        Self {
            max_message: bytes.get(),
            ..self
        }
    }

    /// At most this many bulk messages a second, so that the backlog of an outage does not run
    /// into the platform's rate limit. Default: none.
    #[must_use]
    pub fn drain_rate(self, per_second: Option<NonZeroU32>) -> Self {
        Self {
            drain_rate: per_second,
            ..self
        }
    }

    /// How often observations are sent again on a link that stays up, less up to a tenth.
    /// Default 30 minutes: the platform forgets silent endpoints (FACTS trap 35).
    ///
    /// # Errors
    /// Refused if it is shorter than a second or longer than a day.
    pub fn refresh_observations(self, every: Duration) -> Result<Self, InvalidEndpointOptions> {
        match !(Duration::from_secs(1)..=Duration::from_secs(24 * 3600)).contains(&every) {
            true => Err(InvalidEndpointOptions(
                "refresh_observations is from 1 second to 24 hours",
            )),
            false => Ok(Self {
                refresh_observations: every,
                ..self
            }),
        }
    }

    /// How many commands the ledger knows: in progress, or finished with a result that may have
    /// to be sent again. Default 256. When all are in progress, new ones are left with the
    /// platform and asked for later. A full ledger forgets the oldest result that the platform took:
    /// where one was acknowledged, and the link was lost before it was refused, its command may come
    /// again.
    #[must_use]
    pub fn max_commands(self, max: NonZeroUsize) -> Self {
        Self {
            max_commands: max.get(),
            ..self
        }
    }

    /// How many commands of each type may wait to be read by the application. Default 64; further
    /// ones are left with the platform and asked for later.
    #[must_use]
    pub fn max_unread_commands(self, max: NonZeroUsize) -> Self {
        Self {
            max_unread_commands: max.get(),
            ..self
        }
    }

    /// What the commands that wait to be read may take together, in bytes of type, ID and payload.
    /// Default 256 KiB; further ones are left with the platform and asked for later. One that waits
    /// alone may be larger.
    #[must_use]
    pub fn max_unread_bytes(self, max: NonZeroUsize) -> Self {
        Self {
            max_unread_bytes: max.get(),
            ..self
        }
    }

    /// Leaves [`Record`](super::Record)s of what must survive a crash: commands and their results,
    /// what is applied, and durable requests. Default off: then nothing has to be polled. The handles
    /// of the bindings switch it on where they have a store, and off where they have none.
    #[must_use]
    pub fn durable(self, durable: bool) -> Self {
        Self { durable, ..self }
    }

    /// Whether requests of this class are durable unless they say otherwise
    /// ([`RequestExt::volatile`](crate::request::RequestExt::volatile)). Default no: each costs
    /// writes to the store, and waits for one before it is sent.
    #[must_use]
    pub fn durable_requests(mut self, class: Class, durable: bool) -> Self {
        match class {
            Class::Control => self.durable_control = durable,
            Class::Bulk => self.durable_bulk = durable,
        }
        self
    }

    /// Whether its endpoint leaves records.
    #[cfg(feature = "connection")]
    pub(crate) const fn leaves_records(&self) -> bool {
        self.durable
    }

    /// How many commands are known, and what those may take that were not read.
    #[cfg(feature = "connection")]
    pub(crate) const fn command_bounds(&self) -> (usize, usize) {
        (self.max_commands, self.max_unread_bytes)
    }

    /// Whether the last good configurations are kept.
    #[cfg(feature = "connection")]
    pub(crate) const fn keeps_configurations(&self) -> bool {
        self.keep_configurations
    }

    pub(super) const fn is_durable(&self, class: Class) -> bool {
        match class {
            Class::Control => self.durable_control,
            Class::Bulk => self.durable_bulk,
        }
    }

    /// Keeps the last good configuration of each name, for
    /// [`applied_configuration`](super::Endpoint::applied_configuration): in memory, and in the store
    /// if the endpoint is [`durable`](Self::durable). Default off: they may be large.
    ///
    /// A durable endpoint knows after a restart which configuration is applied, so that the platform
    /// does not send that again. A program that does not keep it elsewhere turns this on, and begins
    /// with what `applied_configuration` gives.
    #[must_use]
    pub fn keep_configurations(self, keep: bool) -> Self {
        Self {
            keep_configurations: keep,
            ..self
        }
    }

    /// What becomes of a command of this type that was in progress when the program ended, and is
    /// offered again. Default: [`WhenInterrupted::Ask`].
    #[must_use]
    pub fn interrupted(mut self, command_type: CommandType, policy: WhenInterrupted) -> Self {
        self.interrupted.insert(command_type, policy);
        self
    }

    pub(super) fn when_interrupted(&self, key: &CommandKey) -> WhenInterrupted {
        let policy = self.interrupted.get(key.command_type());
        policy.copied().unwrap_or_default()
    }
}

/// What an endpoint subscribes to before it sends what needs it (FACTS trap 17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscriptions {
    /// For each resource in use its answers and pushes, nothing else: no foreign traffic on
    /// metered links.
    PerResource,
    /// One filter for all that concerns the endpoint. Behind a plain broker the own requests come
    /// back too; they are ignored.
    PerEndpoint,
    /// None: Kaa's own front end delivers to the connection that last spoke for the endpoint.
    None,
}

/// What a full queue does with one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The new request is not taken.
    Refuse,
    /// The oldest that were never sent end as [`Failure::Dropped`](crate::request::Failure).
    DropOldest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

/// A value that an option cannot have; the text gives its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidEndpointOptions(&'static str);

impl fmt::Display for InvalidEndpointOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidEndpointOptions {}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(changed: Result<EndpointOptions, InvalidEndpointOptions>, rule: &str) -> bool {
        changed.is_err_and(|error| error.to_string() == rule)
    }

    #[test]
    fn bounds_are_taken_whole_and_beyond_them_the_rule_is_told() {
        let options = EndpointOptions::default;
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(24 * 3600));
        let instant = Duration::from_nanos(1);
        for time in [instant, day] {
            assert_eq!(options().answer_within(time).unwrap().answer_within, time);
        }
        let rule = "answer_within is over 0 and up to 24 hours";
        assert!(is_refused(options().answer_within(Duration::ZERO), rule));
        assert!(is_refused(options().answer_within(day + instant), rule));
        for max in [1, 2_147_483_647] {
            assert_eq!(options().max_request_id(max).unwrap().max_request_id, max);
        }
        let rule = "max_request_id is from 1 to 2147483647";
        assert!(is_refused(options().max_request_id(0), rule));
        assert!(is_refused(options().max_request_id(2_147_483_648), rule));
        for every in [second, day] {
            let changed = options().refresh_observations(every).unwrap();
            assert_eq!(changed.refresh_observations, every);
        }
        let rule = "refresh_observations is from 1 second to 24 hours";
        assert!(is_refused(
            options().refresh_observations(second - instant),
            rule
        ));
        assert!(is_refused(
            options().refresh_observations(day + instant),
            rule
        ));
    }

    #[test]
    fn requests_have_qos_0_or_1() {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            assert_eq!(EndpointOptions::default().qos(qos).unwrap().qos, Some(qos));
        }
        let refused = EndpointOptions::default().qos(QoS::ExactlyOnce);
        assert!(is_refused(refused, "a request has QoS 0 or 1"));
    }

    #[test]
    fn what_is_durable_is_said_class_by_class() {
        let options = EndpointOptions::default().durable_requests(Class::Bulk, true);
        assert!(options.is_durable(Class::Bulk) && !options.is_durable(Class::Control));
        let options = options
            .durable_requests(Class::Bulk, false)
            .durable_requests(Class::Control, true);
        assert!(!options.is_durable(Class::Bulk) && options.is_durable(Class::Control));
    }

    #[test]
    fn extension_instances_are_those_that_were_said() {
        use crate::request::Service;

        let other = crate::names::Extension::new("dcx2").unwrap();
        let instances = Instances::default().with(&Service::Telemetry, other.clone());
        let options = EndpointOptions::default().instances(instances);
        assert_eq!(options.instances.of(&Service::Telemetry), &other);
        assert_ne!(options.instances.of(&Service::Metadata), &other);
    }

    #[test]
    fn a_queue_is_bounded_class_by_class() {
        let (one, two) = (NonZeroUsize::MIN, NonZeroUsize::new(2).unwrap());
        let bound = |count, bytes| Bound { count, bytes };
        let options = EndpointOptions::default().queue(Class::Control, one, two);
        assert_eq!(options.control, bound(1, 2));
        assert_eq!(options.bulk, bound(10_000, 4 * 1024 * 1024));
        let options = EndpointOptions::default().queue(Class::Bulk, two, one);
        assert_eq!(options.bulk, bound(2, 1));
        assert_eq!(options.control, bound(256, 256 * 1024));
    }
}
