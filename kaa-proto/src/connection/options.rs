//! All that can be set for a connection, and why the defaults are what they are.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::QoS;
use crate::endpoint::EndpointOptions;
use crate::mqtt::{Login, SessionError, SessionOptions};

/// Fixed header; length of the topic, and packet identifier.
pub(super) const MAX_PUBLISH_OVERHEAD: usize = 5 + 4;

/// How a connection behaves. Checked as a whole by [`Options::check`], which
/// [`Connection::new`](super::Connection::new) calls.
///
/// Every limit is a limit: 0 never means unlimited. What they make a client hold at most, in bytes, says
/// [`Options::memory_budget`].
///
/// ```
/// use std::time::Duration;
/// use kaa_proto::connection::{InvalidOptions, Options};
///
/// let options = Options::new("gateway-7f3a").keep_alive(Duration::from_secs(30));
/// assert_eq!(options.check(), Ok(()));
/// let options = options.stable_after(Duration::ZERO);
/// assert_eq!(options.check(), Err(InvalidOptions::StableAfter));
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) session: SessionOptions,
    pub(super) dial_within: Duration,
    pub(super) hang_up_within: Duration,
    pub(super) stable_after: Duration,
    pub(super) backoff_base: Duration,
    pub(super) backoff_cap: Duration,
    pub(super) slow_retry: Duration,
    pub(super) kick_limit: u32,
    pub(super) observe_rate: NonZeroU32,
    pub(super) give_up_on_refusal: bool,
    pub(super) eager_start: bool,
    pub(super) max_endpoints: usize,
    pub(super) max_queued: usize,
    pub(super) max_queued_bytes: usize,
    pub(super) max_durable: usize,
    pub(super) max_durable_bytes: usize,
    pub(super) endpoint: Arc<EndpointOptions>,
}

/// See [`Options::observe_rate`].
const OBSERVE_RATE: NonZeroU32 = NonZeroU32::MIN.saturating_add(199);

impl Options {
    /// The defaults for this client identifier, which must be unlike that of any other client:
    /// two with the same one throw each other out. The bindings draw it from the operating
    /// system's entropy; it is never made from a token.
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            session: SessionOptions {
                high_water: 16 * 1_024,
                ..SessionOptions::new(client_id)
            },
            dial_within: Duration::from_secs(20),
            hang_up_within: Duration::from_secs(2),
            stable_after: Duration::from_secs(30),
            backoff_base: Duration::from_secs(1),
            backoff_cap: Duration::from_secs(120),
            slow_retry: Duration::from_secs(900),
            kick_limit: 3,
            observe_rate: OBSERVE_RATE,
            give_up_on_refusal: false,
            eager_start: false,
            max_endpoints: 100_000,
            max_queued: 200_000,
            max_queued_bytes: 64 * 1_024 * 1_024,
            max_durable: 20_000,
            max_durable_bytes: 4 * 1_024 * 1_024,
            endpoint: Arc::new(EndpointOptions::default()),
        }
    }

    /// Names the client where nobody did.
    #[cfg(feature = "client")]
    pub(crate) fn client_id_or(&mut self, name: impl FnOnce() -> String) {
        if self.session.client_id.is_empty() {
            self.session.client_id = name();
        }
    }

    /// User name and password; a Kaa user name is `name@tenant`, sent as it is (FACTS trap 33).
    /// Default: none.
    #[must_use]
    pub fn login(mut self, login: Option<Login>) -> Self {
        self.session.login = login;
        self
    }

    /// The MQTT keep alive: whole seconds from 1 to 65,535. Default 60 s, as every Kaa example: a
    /// dead link is found within 90 s. Without data a link costs a ping in each interval. A message
    /// that takes longer than one and a half to write needs a longer one:
    /// [`SessionOptions::keep_alive`](crate::mqtt::SessionOptions::keep_alive).
    #[must_use]
    pub const fn keep_alive(mut self, interval: Duration) -> Self {
        self.session.keep_alive = Some(interval);
        self
    }

    /// The largest packet that is taken, in bytes; a larger message is skipped, acknowledged and
    /// reported. 64 to 268,435,460, default 262,144: the memory that one message may cost.
    #[must_use]
    pub const fn max_packet_in(mut self, bytes: usize) -> Self {
        self.session.max_packet_in = bytes;
        self
    }

    /// The largest packet that is sent, in bytes; a larger request is refused at submit. 64 to
    /// 268,435,460, default 262,144: the platform's own messages travel in units of 1 MiB.
    #[must_use]
    pub const fn max_packet_out(mut self, bytes: usize) -> Self {
        self.session.max_packet_out = bytes;
        self
    }

    /// How many messages may be unacknowledged. 1 to 32,767, so that packet identifiers are left for
    /// subscriptions; default 100: enough to keep a fast link busy, few enough to be sent again after
    /// a loss.
    #[must_use]
    pub const fn window(mut self, messages: u16) -> Self {
        self.session.max_in_flight = messages;
        self
    }

    /// How many bytes may wait to be written before nothing more is encoded, and how many of
    /// acknowledgements before no input is [wanted](super::Connection::wants_input); also the largest
    /// SUBSCRIBE of several filters. 1 to 268,435,460, default 16,384: a hundred messages with one
    /// system call, while the operating system's own buffer keeps the transport busy. More would only
    /// wait here, where nothing overtakes it, neither a more urgent request nor another endpoint's.
    #[must_use]
    pub const fn high_water(mut self, bytes: usize) -> Self {
        self.session.high_water = bytes;
        self
    }

    /// From a transport to CONNACK. 1 ms to 1 h, default 10 s.
    #[must_use]
    pub const fn connack_within(mut self, time: Duration) -> Self {
        self.session.connack_within = time;
        self
    }

    /// How long the oldest message may be unacknowledged while the [`window`](Self::window) is
    /// full, from its last byte or the acknowledgement before it. Then the link is given up as
    /// [`Unacknowledged`](super::LinkError::Unacknowledged), because a PUBACK that was lost never
    /// comes again and would block all endpoints. 1 s to 1 h, default 30 s: a large message on a
    /// slow link takes several.
    #[must_use]
    pub const fn acknowledge_within(mut self, time: Duration) -> Self {
        self.session.acknowledge_within = time;
        self
    }

    /// From the demand to dial to a transport, name resolution and TLS included. 1 ms to 1 h,
    /// default 20 s: a TLS handshake over a bad mobile link takes several.
    #[must_use]
    pub const fn dial_within(mut self, time: Duration) -> Self {
        self.dial_within = time;
        self
    }

    /// How long a hang-up may take to write what is left. 1 ms to 1 h, default 2 s.
    #[must_use]
    pub const fn hang_up_within(mut self, time: Duration) -> Self {
        self.hang_up_within = time;
        self
    }

    /// How long a link must live to count as good: only then the backoff starts anew. 1 ms to
    /// 1 h, default 30 s: the platform may drop a link at its first message (FACTS trap 32).
    #[must_use]
    pub const fn stable_after(mut self, time: Duration) -> Self {
        self.stable_after = time;
        self
    }

    /// The longest delay after the first failure, and the longest ever. Each delay is drawn evenly
    /// from 100 ms to its longest, which doubles with each failure in a row. Base from 100 ms, cap up
    /// to 1 day and not under the base; default 1 s and 120 s: quick after one failure, harmless
    /// for a server that thousands wait for.
    #[must_use]
    pub const fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.backoff_base = base;
        self.backoff_cap = cap;
        self
    }

    /// About how long to wait for what needs an operator, and with a suspended endpoint. 1 s to
    /// 1 day, default 15 minutes.
    #[must_use]
    pub const fn slow_retry(mut self, time: Duration) -> Self {
        self.slow_retry = time;
        self
    }

    /// How many links in a row must die before `stable_after` until the endpoint that gets them
    /// dropped is searched for; and how many answers of status 401 or 403 in a row, with nothing
    /// answered or acknowledged in between, suspend one of several endpoints. From 1, default 3: one or two happen.
    #[must_use]
    pub const fn kick_limit(mut self, links: u32) -> Self {
        self.kick_limit = links;
        self
    }

    /// How many observations a second are asked for on a new link, by all endpoints together; a
    /// tenth of them at a time, in the order of the endpoints' keys. Those wait for it
    /// that stood when the link came up: on the first link too, so that a gateway may add ten
    /// thousand endpoints at start, and those of an endpoint that had to keep silent
    /// ([`Connection::is_muted`](super::Connection::is_muted)), from when it may speak. Requests do
    /// not wait for it, nor does what is observed while the link is up, whether the endpoint is
    /// new or waits itself: whoever adds thousands at run time sets the pace.
    ///
    /// Default 200: with their subscriptions and answers that is about half a megabit, which leaves
    /// room on a mobile link, and ten thousand endpoints with one observation each are back within
    /// a minute.
    #[must_use]
    pub const fn observe_rate(mut self, per_second: NonZeroU32) -> Self {
        self.observe_rate = per_second;
        self
    }

    /// Whether a refusal that needs an operator ends the connection. Default no: a device in the
    /// field comes back by itself when somebody mends its credentials.
    #[must_use]
    pub const fn give_up_on_refusal(mut self, give_up: bool) -> Self {
        self.give_up_on_refusal = give_up;
        self
    }

    /// Whether a new link carries subscriptions and requests right behind CONNECT, in one flight, and
    /// nothing on it waits for CONNACK or SUBACK: a sample that waits is confirmed one round trip
    /// after the transport is there, instead of three. For devices that wake, send and sleep. MQTT
    /// allows it (3.1.1, section 3.1.4, on packets right after CONNECT); a server takes packets in
    /// their order, so it has subscribed when it gets a request. Default no, because of what it
    /// gives up:
    ///
    /// * If the link dies or times out before CONNACK, requests with
    ///   [`Resend::Never`](crate::request::Resend::Never) that had left end as
    ///   [`OutcomeUnknown`](crate::request::Failure::OutcomeUnknown); without it they would not have
    ///   left. Others are sent again. If CONNACK refuses us, nothing was processed (MQTT-3.1.4-5):
    ///   all go back to the queue as never sent, those too.
    /// * A first flight to a server that refuses us, or is none, costs its bytes, and shows them to
    ///   whoever is there: without TLS to anybody on the way, as the login in CONNECT.
    /// * Metadata and reports of what is applied wait for CONNACK all the same: a flight that the
    ///   network holds up may arrive after the next link's, and would set an old value again.
    ///   Anything else of it may be processed that late, also what ended or was sent again meanwhile.
    /// * A server that subscribes later than it acknowledges, as a cluster of brokers may, lets an
    ///   answer be missed. Kaa's own front end answers without subscriptions (FACTS trap 17).
    /// * Times run from when a message left: `answer_within` includes the wait for CONNACK. Keep
    ///   [`connack_within`](Self::connack_within) the shorter one.
    ///
    /// After an early link without CONNACK the next ones wait, until one is accepted: so a bad
    /// network costs one flight, not one with each dial. A search for the endpoint that gets the
    /// link dropped ([`kick_limit`](Self::kick_limit)) counts only links that were accepted, so it
    /// may take twice the dials. Requests that need no confirmation end with CONNACK, not before.
    /// What is durable still waits for its record.
    #[must_use]
    pub const fn eager_start(mut self, eager: bool) -> Self {
        self.eager_start = eager;
        self
    }

    /// How many endpoints there may be. From 1, default 100,000.
    #[must_use]
    pub const fn max_endpoints(mut self, count: usize) -> Self {
        self.max_endpoints = count;
        self
    }

    /// How much all endpoints together may have queued, in requests and in bytes; beyond it
    /// requests are refused, telemetry at seven eighths already. From 1, default 200,000 and
    /// 64 MiB, beside the bounds of each endpoint.
    #[must_use]
    pub const fn max_queued(mut self, count: usize, bytes: usize) -> Self {
        self.max_queued = count;
        self.max_queued_bytes = bytes;
        self
    }

    /// How many durable requests there may be, and how many bytes of resource and payload they may
    /// have, all endpoints together. One more is taken, but kept in memory only
    /// ([`endpoint::Event::NotStored`](crate::endpoint::Event::NotStored)); telemetry at seven eighths
    /// already. Default 20,000 and 4 MiB: with all that is written around them they fit twice into a
    /// store of 16 MiB, which is rewritten to be made smaller. 0 keeps none.
    #[must_use]
    pub const fn max_durable(mut self, count: usize, bytes: usize) -> Self {
        self.max_durable = count;
        self.max_durable_bytes = bytes;
        self
    }

    /// The options of endpoints that are added without their own, among them the names of the
    /// extension instances. Default: [`EndpointOptions::default`], with QoS 1.
    #[must_use]
    pub fn endpoint(mut self, options: EndpointOptions) -> Self {
        self.endpoint = Arc::new(options);
        self
    }

    /// What handles give endpoints without options of their own: request IDs that begin anywhere,
    /// and records if there is somebody who stores them.
    #[cfg(feature = "client")]
    pub(crate) fn for_handles(&mut self, has_store: bool) {
        self.endpoint = Arc::new(EndpointOptions::clone(&self.endpoint).for_handles(has_store));
    }

    /// What [`dial_within`](Self::dial_within) set.
    #[cfg(feature = "client")]
    pub(crate) const fn time_to_dial(&self) -> Duration {
        self.dial_within
    }

    /// Request IDs that begin anywhere, for endpoints without options of their own.
    pub(crate) fn spread_request_ids(&mut self) {
        self.endpoint = Arc::new(EndpointOptions::clone(&self.endpoint).spread_request_ids(true));
    }

    /// What endpoints that do not say are given: QoS 1, as this session never sends a message again
    /// by itself, so it does no harm; and what a packet holds.
    pub(super) fn complete_endpoint(&mut self) {
        let max_publish = self.max_publish();
        let endpoint = Arc::make_mut(&mut self.endpoint);
        endpoint.default_qos(QoS::AtLeastOnce);
        endpoint.limit_publish(max_publish);
    }

    /// What a packet holds of topic and payload together.
    pub(super) const fn max_publish(&self) -> usize {
        let packet = self.session.max_packet_out;
        packet.saturating_sub(MAX_PUBLISH_OVERHEAD)
    }

    /// Whether a connection can be made from them.
    ///
    /// # Errors
    /// [`InvalidOptions`] names the first that is out of its range.
    pub fn check(&self) -> Result<(), InvalidOptions> {
        const SECOND: Duration = Duration::from_secs(1);
        const DAY: Duration = Duration::from_secs(24 * 3_600);
        let wait = Duration::from_millis(1)..=Duration::from_secs(3_600);
        self.session.check().map_err(InvalidOptions::Session)?;
        let checks = [
            (wait.contains(&self.dial_within), InvalidOptions::DialWithin),
            (
                wait.contains(&self.hang_up_within),
                InvalidOptions::HangUpWithin,
            ),
            (
                wait.contains(&self.stable_after),
                InvalidOptions::StableAfter,
            ),
            (
                self.backoff_base >= crate::backoff::FLOOR
                    && (self.backoff_base..=DAY).contains(&self.backoff_cap),
                InvalidOptions::Backoff,
            ),
            (
                (SECOND..=DAY).contains(&self.slow_retry),
                InvalidOptions::SlowRetry,
            ),
            (self.kick_limit > 0, InvalidOptions::KickLimit),
            (self.max_endpoints > 0, InvalidOptions::MaxEndpoints),
            (
                self.max_queued > 0 && self.max_queued_bytes > 0,
                InvalidOptions::MaxQueued,
            ),
        ];
        match checks.iter().find(|(holds, _)| !holds) {
            Some(&(_, error)) => Err(error),
            None => Ok(()),
        }
    }
}

/// Which of the [`Options`] is out of its range: the caller's mistake, nothing was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidOptions {
    /// One of those that concern the MQTT session.
    Session(SessionError),
    /// `dial_within` is not from 1 ms to 1 h.
    DialWithin,
    /// `hang_up_within` is not from 1 ms to 1 h.
    HangUpWithin,
    /// `stable_after` is not from 1 ms to 1 h.
    StableAfter,
    /// The base of the backoff is under 100 ms, or its cap under the base or over a day.
    Backoff,
    /// `slow_retry` is not from 1 s to 1 day.
    SlowRetry,
    /// `kick_limit` is 0.
    KickLimit,
    /// `max_endpoints` is 0.
    MaxEndpoints,
    /// One of the bounds of `max_queued` is 0.
    MaxQueued,
}

impl fmt::Display for InvalidOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session(error) => return error.fmt(f),
            Self::DialWithin => "dial_within is not from 1 ms to 1 h",
            Self::HangUpWithin => "hang_up_within is not from 1 ms to 1 h",
            Self::StableAfter => "stable_after is not from 1 ms to 1 h",
            Self::Backoff => "backoff is not from 100 ms to 1 day, or its cap is under its base",
            Self::SlowRetry => "slow_retry is not from 1 s to 1 day",
            Self::KickLimit => "kick_limit is 0",
            Self::MaxEndpoints => "max_endpoints is 0",
            Self::MaxQueued => "max_queued is 0",
        })
    }
}

impl std::error::Error for InvalidOptions {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Session(error) => Some(error),
            Self::DialWithin
            | Self::HangUpWithin
            | Self::StableAfter
            | Self::Backoff
            | Self::SlowRetry
            | Self::KickLimit
            | Self::MaxEndpoints
            | Self::MaxQueued => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn options_out_of_range_are_refused_by_name() {
        let options = || Options::new("a");
        assert_eq!(options().check(), Ok(()));
        let cases = [
            (options().dial_within(secs(0)), InvalidOptions::DialWithin),
            (
                options().hang_up_within(secs(3_601)),
                InvalidOptions::HangUpWithin,
            ),
            (options().stable_after(secs(0)), InvalidOptions::StableAfter),
            (options().backoff(secs(0), secs(1)), InvalidOptions::Backoff),
            (options().backoff(secs(2), secs(1)), InvalidOptions::Backoff),
            (options().slow_retry(secs(0)), InvalidOptions::SlowRetry),
            (options().kick_limit(0), InvalidOptions::KickLimit),
            (options().max_endpoints(0), InvalidOptions::MaxEndpoints),
            (options().max_queued(1, 0), InvalidOptions::MaxQueued),
            (
                options().window(0),
                InvalidOptions::Session(SessionError::MaxInFlight),
            ),
            (
                options().keep_alive(secs(0)),
                InvalidOptions::Session(SessionError::KeepAlive),
            ),
        ];
        for (options, error) in cases {
            assert_eq!(options.check(), Err(error));
            assert!(!error.to_string().is_empty());
        }
    }

    /// FACTS trap 33: `name@tenant` is one string, also with more than one `@`.
    #[test]
    fn trap_33_a_user_name_is_taken_as_it_is_and_never_shown() {
        let login = Login::new("a@b@tenant:1").with_password("hunter2");
        let options = Options::new("a").login(Some(login.clone()));
        assert_eq!(options.session.login, Some(login));
        let shown = format!("{options:?}");
        assert!(!shown.contains("tenant") && !shown.contains("hunter2"));
    }

    #[test]
    fn what_is_out_of_range_is_told_with_its_range() {
        let session = InvalidOptions::Session(SessionError::MaxInFlight);
        assert!(std::error::Error::source(&session).is_some());
        assert_eq!(session.to_string(), "max_in_flight is not from 1 to 32767");
        let cases = [
            (
                InvalidOptions::DialWithin,
                "dial_within is not from 1 ms to 1 h",
            ),
            (
                InvalidOptions::HangUpWithin,
                "hang_up_within is not from 1 ms to 1 h",
            ),
            (
                InvalidOptions::StableAfter,
                "stable_after is not from 1 ms to 1 h",
            ),
            (
                InvalidOptions::Backoff,
                "backoff is not from 100 ms to 1 day, or its cap is under its base",
            ),
            (
                InvalidOptions::SlowRetry,
                "slow_retry is not from 1 s to 1 day",
            ),
            (InvalidOptions::KickLimit, "kick_limit is 0"),
            (InvalidOptions::MaxEndpoints, "max_endpoints is 0"),
            (InvalidOptions::MaxQueued, "max_queued is 0"),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
            assert!(std::error::Error::source(&error).is_none());
        }
    }
}
