//! A caller who passes anything, in any order: what is wrong is refused at once, by a typed error, and
//! changes nothing. Of two connections that live the same life one is misused; afterwards they say the
//! same, byte for byte.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use kaa_proto::client::{self, Client};
use kaa_proto::commands::{CommandId, CommandResult};
use kaa_proto::config::{Applied, Rejected};
use kaa_proto::connection::{
    AddError, Connection, EndpointKey, Event, InvalidOptions, LinkError, LinkId, Options, Removal,
};
use kaa_proto::endpoint::{CommandKey, EndpointOptions, Observation, Subscriptions};
use kaa_proto::metadata::{Delete, Get, Merge, ReplaceAll};
use kaa_proto::mqtt::Login;
use kaa_proto::names::{
    AppVersion, CommandType, ConfigName, EndpointName, EndpointToken, Extension, MetadataKey,
    Metric,
};
use kaa_proto::raw::Call;
use kaa_proto::request::{
    Confirm, InvalidRequest, Request, RequestExt as _, RequestId, Service, SubmitError,
};
use kaa_proto::software::ReportCurrent;
use kaa_proto::telemetry::{Batch, Plain, Sample};
use kaa_proto::topic::Topic;
use kaa_proto::{QoS, store::StoreError};
use kaa_tests::clock::Clock;
use kaa_tests::dice::Dice;
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

/// A connection in the middle of its life.
struct World {
    connection: Connection,
    now: Instant,
    /// The link that is up, and the one before.
    link: LinkId,
    old_link: LinkId,
    key: EndpointKey,
    /// An endpoint that was removed.
    gone: EndpointKey,
    /// A command that the application has.
    command: CommandKey,
    /// What the connection said.
    said: Vec<u8>,
    events: Vec<Event>,
}

fn name(token: &str) -> EndpointName {
    EndpointName::parse("v", token).unwrap()
}

fn light() -> Observation {
    Observation::Commands(CommandType::new("light").unwrap())
}

impl World {
    /// One whose next deadline is that of its keep alive.
    fn new(now: Instant) -> Self {
        let mut world = Self::with(Options::new("caller").keep_alive(20 * SECOND), now);
        world.now += 5 * SECOND;
        world.hear(b"\x30\x03\x00\x01a");
        world.now += 5 * SECOND;
        world.connection.handle_timeout(world.now);
        world.say();
        world
    }

    fn with(options: Options, now: Instant) -> Self {
        let mut connection = Connection::new(options, now, 1).unwrap();
        let key = connection.add_endpoint(now, name("tok")).unwrap();
        let gone = connection.add_endpoint(now, name("gone")).unwrap();
        assert!(connection.remove_endpoint(now, gone, Removal::Discard));
        let dialed = |connection: &Connection| match connection.demand() {
            kaa_proto::connection::Demand::Dial(link) => link,
            other => panic!("{other:?}"),
        };
        let old_link = dialed(&connection);
        connection.handle_disconnected(now, old_link, LinkError::Eof);
        let now = now + 10 * SECOND;
        connection.handle_timeout(now);
        let mut world = Self {
            link: dialed(&connection),
            old_link,
            key,
            gone,
            command: CommandKey::new(CommandType::new("light").unwrap(), CommandId::from(7)),
            said: Vec::new(),
            events: Vec::new(),
            connection,
            now,
        };
        world.connection.handle_connected(now, world.link);
        world.say();
        world.hear(b"\x20\x02\x00\x00");
        world.connection.observe(now, key, &light()).unwrap();
        world.connection.submit(now, key, &Sample::new(1)).unwrap();
        let query = Call::new(Service::Other(Extension::new("rsx").unwrap()), "dcx").fixed_id(5);
        world.connection.submit(now, key, &query).unwrap();
        world.say();
        let push = b"kp1/v/cex/tok/command/light/status";
        let body = [&[0, push.len() as u8], &push[..], br#"[{"id":7}]"#].concat();
        world.hear(&[&[0x30, body.len() as u8], &body[..]].concat());
        world.connection.poll_command(key, |_| true).unwrap();
        world.say();
        world
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.connection.handle_input(self.now, self.link, bytes);
    }

    /// Takes what it has to say, and tells that it was written.
    fn say(&mut self) {
        loop {
            let before = self.said.len();
            self.connection.poll_transmit(self.now, &mut self.said);
            let n = self.said.len() - before;
            self.connection.handle_written(self.now, self.link, n);
            self.events
                .extend(std::iter::from_fn(|| self.connection.poll_event()));
            if n == 0 {
                return;
            }
        }
    }

    /// What it does in the rest of its life.
    fn live_on(mut self) -> (Vec<u8>, Vec<Event>, String) {
        let (now, key) = (self.now, self.key);
        self.say();
        self.connection.submit(now, key, &Sample::new(2)).unwrap();
        let result = CommandResult::ok();
        self.connection
            .respond(now, key, &self.command, result)
            .unwrap();
        self.say();
        for second in 0..100_u8 {
            self.now += SECOND;
            self.connection.handle_timeout(self.now);
            self.say();
            // When it was said counts, too.
            self.said.extend(second.to_be_bytes());
        }
        let statistics = format!("{:?} {:?}", self.connection.statistics(), self.connection);
        (self.said, self.events, statistics)
    }
}

/// A mistake; whether it was refused as it should be.
type Mistake = fn(&mut World) -> bool;

fn refused<R: Request>(world: &mut World, request: &R) -> Option<SubmitError> {
    world.connection.submit(world.now, world.key, request).err()
}

fn invalid<R: Request>(world: &mut World, request: &R) -> bool {
    matches!(refused(world, request), Some(SubmitError::Invalid(_)))
}

fn login(world: &mut World, login: Login) -> bool {
    let result = world.connection.set_login(world.now, Some(login));
    matches!(result, Err(InvalidOptions::Session(_)))
}

const MISTAKES: &[(&str, Mistake)] = &[
    ("a request for an endpoint that was removed", |w| {
        let result = w.connection.submit(w.now, w.gone, &Sample::new(1));
        result == Err(SubmitError::UnknownEndpoint)
    }),
    ("observing for one that was removed", |w| {
        let result = w.connection.observe(w.now, w.gone, &light());
        result == Err(SubmitError::UnknownEndpoint)
    }),
    ("an answer for one that was removed", |w| {
        let result = CommandResult::ok();
        let result = w.connection.respond(w.now, w.gone, &w.command, result);
        result == Err(SubmitError::UnknownEndpoint)
    }),
    ("what is not there, asked of one that was removed", |w| {
        let id = RequestId::from_number(1);
        w.connection.release(w.now, w.gone, &w.command);
        !w.connection.cancel(w.now, w.gone, id)
            && !w.connection.unobserve(w.now, w.gone, &light())
            && w.connection.poll_command(w.gone, |_| true).is_none()
            && w.connection.poll_configuration(w.gone, None).is_none()
            && w.connection.poll_software(w.gone).is_none()
    }),
    ("removing twice", |w| {
        !w.connection
            .remove_endpoint(w.now, w.gone, Removal::Discard)
            && !w
                .connection
                .remove_endpoint(w.now, w.gone, Removal::Flush(Duration::MAX))
    }),
    ("a name that is taken", |w| {
        let result = w.connection.add_endpoint(w.now, name("tok"));
        result == Err(AddError::NameTaken(w.key))
    }),
    ("a request that is not there", |w| {
        !w.connection
            .cancel(w.now, w.key, RequestId::from_number(u64::MAX))
    }),
    ("an observation that is not there", |w| {
        !w.connection
            .unobserve(w.now, w.key, &Observation::Configuration(None))
    }),
    ("a command that is not there", |w| {
        let of = CommandType::new("other").unwrap();
        w.connection
            .release(w.now, w.key, &CommandKey::new(of, CommandId::from(1)));
        true
    }),
    ("a sample that no message holds", |w| {
        let sample = Sample::new("x".repeat(300_000));
        matches!(refused(w, &sample), Some(SubmitError::TooLarge { .. }))
    }),
    ("a map whose keys are no text", |w| {
        let sample = Sample::new(BTreeMap::from([(vec![1], 1)]));
        matches!(
            refused(w, &sample),
            Some(SubmitError::Invalid(InvalidRequest::Json(_)))
        )
    }),
    ("numbers that are none", |w| {
        let metric = || Metric::new("m").unwrap();
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY]
            .into_iter()
            .all(|number| invalid(w, &Plain::new(metric(), number)))
            && invalid(w, &Plain::with_unit(metric(), 1.0, "5"))
    }),
    ("nothing where something is needed", |w| {
        invalid(w, &Batch::<u8>::new([]))
            && invalid(w, &Merge::new(json!({})))
            && invalid(w, &ReplaceAll::new(json!([1])))
            && invalid(w, &Merge::new(json!({"a.b": 1})))
            && invalid(w, &Delete::new([]))
            && invalid(w, &Get::only([]))
            && invalid(w, &Applied::new(""))
            && invalid(w, &Rejected::new("x", 200, ""))
            && invalid(w, &ReportCurrent::new(""))
    }),
    ("waits that no clock can hold", |w| {
        let sample = || Sample::new(1);
        invalid(w, &sample().answer_within(Duration::MAX))
            && invalid(w, &sample().answer_within(Duration::ZERO))
            && invalid(w, &sample().expires_after(Duration::MAX))
    }),
    ("policies that contradict each other", |w| {
        let sample = || Sample::new(1);
        invalid(w, &Get::all().confirm(Confirm::Nothing))
            && invalid(w, &sample().qos(QoS::ExactlyOnce))
            && invalid(
                w,
                &sample().confirm(Confirm::Acknowledged).qos(QoS::AtMostOnce),
            )
            && invalid(w, &sample().confirm(Confirm::Nothing).qos(QoS::AtLeastOnce))
    }),
    ("numbers of requests that cannot be, or are in use", |w| {
        let query =
            |id| Call::new(Service::Other(Extension::new("rsx").unwrap()), "dcx").fixed_id(id);
        invalid(w, &query(0))
            && invalid(w, &query(u32::MAX))
            && refused(w, &query(5)) == Some(SubmitError::IdInUse(5))
    }),
    ("software without a version", |w| {
        let result = w.connection.observe_software(w.now, w.key, "");
        matches!(result, Err(SubmitError::Invalid(_)))
    }),
    ("logins that MQTT cannot say", |w| {
        login(w, Login::new("x".repeat(65_536)))
            && login(w, Login::new("a\0b"))
            && login(w, Login::new("a").with_password(vec![0; 65_536]))
    }),
    ("bytes and news of another link", |w| {
        w.connection
            .handle_input(w.now, w.old_link, b"\xff\xff\xff");
        w.connection.handle_written(w.now, w.old_link, 1_000);
        w.connection.handle_connected(w.now, w.old_link);
        w.connection
            .handle_disconnected(w.now, w.old_link, LinkError::Eof);
        w.connection.handle_connected(w.now, w.link);
        true
    }),
    ("more written than there was", |w| {
        // The server is still to be asked whether it is there: nothing was sent.
        let due = w.connection.poll_timeout();
        [1, 1_000, usize::MAX].into_iter().all(|n| {
            w.connection.handle_written(w.now, w.link, n);
            w.connection.poll_timeout() == due
        })
    }),
    ("nothing, written and heard", |w| {
        w.connection.handle_written(w.now, w.link, 0);
        w.connection.handle_input(w.now, w.link, b"");
        true
    }),
    ("a clock that goes back", |w| {
        w.connection.handle_timeout(w.now - 5 * SECOND);
        w.connection.poll_timeout().is_none_or(|at| at > w.now)
    }),
    ("more stored than was recorded", |w| {
        w.connection.handle_stored(w.now, usize::MAX);
        w.connection.poll_record().is_none() && !w.connection.is_storing()
    }),
    ("impatience", |w| {
        w.connection.dial_now(w.now);
        true
    }),
];

#[test]
fn a_mistake_is_refused_at_once_and_changes_nothing() {
    let start = Clock::new().now();
    for (what, mistake) in MISTAKES {
        let (mut misused, spared) = (World::new(start), World::new(start));
        assert!(mistake(&mut misused), "{what}: it was taken");
        let (misused, spared) = (misused.live_on(), spared.live_on());
        assert_eq!(misused.1, spared.1, "{what}");
        assert_eq!(misused.2, spared.2, "{what}");
        assert!(misused.0 == spared.0, "{what}: other bytes are sent");
    }
}

#[test]
fn whatever_is_asked_of_a_closed_connection_is_refused() {
    let mut world = World::new(Clock::new().now());
    let (now, key) = (world.now, world.key);
    world.connection.close(now, Duration::ZERO);
    world.say();
    let account = format!("{:?}", world.connection.account());
    let connection = &mut world.connection;
    let closed = Err(SubmitError::Closed);
    assert_eq!(
        connection.add_endpoint(now, name("new")),
        Err(AddError::Closed)
    );
    assert_eq!(connection.observe(now, key, &light()), closed);
    assert_eq!(connection.observe_software(now, key, "1"), closed);
    let submitted = connection.submit(now, key, &Sample::new(1)).map(drop);
    assert_eq!(submitted, closed);
    let responded = connection.respond(now, key, &world.command, CommandResult::ok());
    assert_eq!(responded.map(drop), closed);
    connection.close(now, Duration::MAX);
    connection.dial_now(now);
    connection.handle_store_lost(now, StoreError::Stalled);
    connection.handle_stored(now, 1);
    world.say();
    assert_eq!(format!("{:?}", world.connection.account()), account);
}

/// Texts of what is special somewhere, and of anything else.
fn any_text(dice: &mut Dice) -> String {
    const PIECES: [&str; 24] = [
        "", "/", "+", "#", "\0", "\u{7f}", "\u{85}", "\u{feff}", "\u{ffff}", "é", "😀", "a", "B",
        "0", "42", "status", "error", ".", "-", "_", " ", "\"", "kp1", "\n",
    ];
    if dice.below(100) == 0 {
        return "x".repeat(dice.below(70_000) as usize);
    }
    let count = dice.below(6);
    (0..count)
        .map(|_| PIECES[dice.below(24) as usize])
        .collect()
}

/// Topic and payload of what is one PUBLISH of QoS 1, and nothing else.
fn published(packet: &[u8]) -> (&str, &[u8]) {
    assert_eq!(packet[0], 0x32);
    let digits = packet[1..].iter().take_while(|digit| **digit > 127).count() + 1;
    let length = packet[1..=digits].iter().rev();
    let length = length.fold(0, |sum, digit| sum * 128 + usize::from(digit & 127));
    let body = &packet[1 + digits..];
    assert_eq!(body.len(), length);
    let (topic, rest) = body[2..].split_at(usize::from(body[0]) * 256 + usize::from(body[1]));
    (std::str::from_utf8(topic).unwrap(), &rest[2..])
}

#[test]
fn any_text_is_refused_as_a_name_or_stands_in_the_topic_as_it_is() {
    let mut dice = Dice::new(1);
    let now = Clock::new().now();
    let endpoint = EndpointOptions::default().subscriptions(Subscriptions::None);
    let unsubscribed = Options::new("caller").endpoint(endpoint);
    let mut taken = [0; 8];
    for _ in 0..20_000 {
        let text = any_text(&mut dice);
        let of = |is_taken: bool| usize::from(is_taken);
        taken[0] += of(ConfigName::new(&text).is_ok());
        taken[1] += of(MetadataKey::new(&text).is_ok());
        taken[2] += of(Metric::new(&text).is_ok());
        taken[3] += of(CommandType::new(&text).is_ok());
        let version = AppVersion::new(&text);
        let token = EndpointToken::new(&text);
        let extension = Extension::new(&text);
        let service = extension.clone().map_or(Service::Commands, Service::Other);
        let (Ok(version), Ok(token)) = (
            version.or_else(|_| AppVersion::new("v")),
            token.or_else(|_| EndpointToken::new("tok")),
        ) else {
            panic!("good names are refused");
        };
        let name = EndpointName::new(version, token);
        let mut world = World::with(unsubscribed.clone(), now);
        let key = match world.connection.add_endpoint(now, name.clone()) {
            Ok(key) | Err(AddError::NameTaken(key)) => key,
            Err(error) => panic!("{error}"),
        };
        let call = Call::new(service, text.clone()).payload(text.clone());
        world.said.clear();
        let submitted = world
            .connection
            .submit(world.now, key, &call.fixed_id(4_711));
        world.say();
        if submitted.is_err() {
            assert!(world.said.is_empty(), "{text:?} is refused and sent");
            continue;
        }
        taken[4] += of(extension.is_ok());
        taken[5] += 1;
        assert_eq!(world.connection.statistics().unsendable, 0, "{text:?}");
        let or = |is_text, otherwise| if is_text { text.as_str() } else { otherwise };
        let levels = [
            "kp1",
            or(AppVersion::new(&text).is_ok(), "v"),
            or(extension.is_ok(), "cex"),
            or(EndpointToken::new(&text).is_ok(), "tok"),
            &text,
            "4711",
        ];
        let levels: Vec<_> = levels
            .into_iter()
            .filter(|level| !level.is_empty())
            .collect();
        let (topic, payload) = published(&world.said);
        assert_eq!(topic, levels.join("/"), "{text:?}");
        assert_eq!(payload, text.as_bytes());
        taken[6] += of(CommandId::from_json(&text).is_ok());
        taken[7] += of(Topic::parse(&text).is_ok());
    }
    // Each was told good ones from bad ones.
    assert!(
        taken[..6].iter().all(|taken| (100..19_900).contains(taken)),
        "{taken:?}"
    );
}

/// All that can be set, at its ends.
#[test]
fn options_at_their_ends_are_refused_by_name_or_work() {
    let durations = [
        Duration::ZERO,
        Duration::from_nanos(1),
        SECOND,
        Duration::MAX,
    ];
    let counts = [0, 1, 2, usize::MAX];
    let mut all: Vec<Options> = Vec::new();
    let new = || Options::new("caller");
    for time in durations {
        all.extend([
            new().keep_alive(time),
            new().acknowledge_within(time),
            new().dial_within(time),
            new().hang_up_within(time),
            new().stable_after(time),
            new().backoff(time, time),
            new().backoff(SECOND, time),
            new().slow_retry(time),
        ]);
    }
    for count in counts {
        all.extend([
            new().max_packet_in(count),
            new().max_packet_out(count),
            new().high_water(count),
            new().window(count as u16),
            new().max_endpoints(count),
            new().max_queued(count, count),
            new().max_durable(count, count),
            new().kick_limit(count as u32),
        ]);
    }
    all.push(new().observe_rate(NonZeroU32::MAX));
    all.push(Options::new("x".repeat(65_536)));
    let start = Clock::new().now();
    let mut good = 0;
    for options in all {
        let checked = options.check();
        match (Connection::new(options.clone(), start, 1), checked) {
            (Err(error), Err(same)) => assert_eq!(error, same),
            (Ok(mut connection), Ok(())) => {
                good += 1;
                let _ = options.memory_budget();
                let _ = connection.add_endpoint(start, name("tok"));
                for step in 0..100 {
                    connection.handle_timeout(start + step * 60 * SECOND);
                }
            }
            (connection, checked) => panic!("{connection:?} {checked:?}"),
        }
    }
    assert!(good > 20, "{good}");
}

/// Waits of handles that no clock can hold.
#[test]
fn endless_waits_of_handles_are_only_long() {
    let clock = Arc::new(Mutex::new(Clock::new()));
    let time = Arc::clone(&clock);
    let options = client::Options::new("mqtt://localhost").unwrap();
    let options = options.linger(Duration::MAX).group_commit(Duration::MAX, 0);
    let now = move || time.lock().unwrap().now();
    let (client, mut driver) = Client::new(options, 1, 2, now).unwrap();
    let endpoint = client.endpoint(&name("tok")).unwrap();
    let _ = driver.turn::<kaa_tests_transport::None>(Waker::noop(), &mut None);
    let mut context = Context::from_waker(Waker::noop());
    assert!(
        pin!(client.ready(Duration::MAX))
            .poll(&mut context)
            .is_pending()
    );
    drop(endpoint.submit(&Sample::new(1)).unwrap());
    assert!(client.remove_endpoint(&name("tok"), Removal::Flush(Duration::MAX)));
    assert!(!client.remove_endpoint(&name("tok"), Removal::Flush(Duration::MAX)));
    assert!(
        pin!(client.shutdown(Duration::MAX))
            .poll(&mut context)
            .is_pending()
    );
    clock
        .lock()
        .unwrap()
        .advance(Duration::from_secs(365 * 24 * 3_600));
    let _ = driver.turn::<kaa_tests_transport::None>(Waker::noop(), &mut None);
    drop((client, endpoint));
    let _ = driver.turn::<kaa_tests_transport::None>(Waker::noop(), &mut None);
}

mod kaa_tests_transport {
    //! A transport that is never there.

    use std::io;

    use kaa_proto::client::Transport;

    pub(crate) enum None {}

    impl Transport for None {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            match *self {}
        }

        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            match *self {}
        }

        fn flush(&mut self) -> io::Result<()> {
            match *self {}
        }

        fn close(&mut self) -> io::Result<()> {
            match *self {}
        }
    }
}
