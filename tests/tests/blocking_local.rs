//! kaa-blocking against the local platform over TCP.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

mod device;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::num::{NonZeroU16, NonZeroUsize};
use std::thread;
use std::time::Duration;

use device::{PATIENCE, client, name, options, wait_for};
use kaa_blocking::connection::{Event, LinkError, Removal};
use kaa_blocking::endpoint::EndpointOptions;
use kaa_blocking::metadata::Keys;
use kaa_blocking::mqtt::ConnectRefusal;
use kaa_blocking::names::{CommandType, Extension};
use kaa_blocking::platform::{LocalOptions, LocalPlatform};
use kaa_blocking::raw::Call;
use kaa_blocking::request::{
    Class, Confirm, Failure, Request, RequestError, RequestExt as _, Resend, Service, SubmitError,
};
use kaa_blocking::telemetry::Sample;
use kaa_blocking::{Client, Endpoint, NotReady, Ticket};
use kaa_proto::platform::{EventKind, Fault, Secret, User, UserState};
use kaa_tests::ports::free_port;
use serde_json::{Value, json};

fn platform() -> LocalPlatform {
    LocalPlatform::start(LocalOptions::default()).unwrap()
}

/// On a port of its own, to come back to.
fn platform_on(port: u16) -> LocalPlatform {
    let mut options = LocalOptions::default();
    options.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    LocalPlatform::start(options).unwrap()
}

/// As [`platform_on`], but it never answers what is for an extension that it does not know.
fn platform_with_silence(port: u16) -> LocalPlatform {
    let mut options = LocalOptions::default();
    options.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    options
        .platform
        .switches
        .set("unknown-extension", "silence")
        .unwrap();
    LocalPlatform::start(options).unwrap()
}

fn fault(platform: &LocalPlatform, words: &[&str]) {
    platform.fault(Fault::parse(words).unwrap());
}

fn sample(n: usize) -> Sample<Value> {
    Sample::new(json!({ "n": n }))
}

/// The numbers of the samples that the platform took, in their order, until it has `count`.
fn samples(platform: &LocalPlatform, count: usize) -> Vec<u64> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let event = wait_for(platform, |kind| matches!(kind, EventKind::Telemetry { .. }));
        if let EventKind::Telemetry { data, .. } = event.kind {
            taken.push(data["n"].as_u64().unwrap());
        }
    }
    taken
}

fn end<R: Request>(ticket: &mut Ticket<R>) -> Result<R::Response, Failure> {
    ticket.wait(PATIENCE).expect("every request ends")
}

/// Samples that the platform never answers, one in flight after the other queued.
fn stuck(device: &Endpoint, platform: &LocalPlatform) -> Ticket<Sample<Value>> {
    fault(platform, &["lose", "dcx", "times", "1"]);
    let ticket = device.submit(&sample(0)).unwrap();
    wait_for(platform, |kind| matches!(kind, EventKind::Telemetry { .. }));
    ticket
}

#[test]
fn every_operation_is_confirmed_every_push_comes_and_no_rule_is_broken() {
    let mut local = LocalOptions::default();
    local.http_listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let platform = LocalPlatform::start(local).unwrap();
    let client = client(platform.url());
    let device = client.endpoint(&name()).unwrap();
    let token = device::does_everything(&platform, &device);

    let upload = token.binary_data(Some("snapshot.jpg"));
    let mut http = TcpStream::connect(platform.http_addr().unwrap()).unwrap();
    let mut head = format!(
        "{} {} HTTP/1.1\r\nHost: here\r\n",
        upload.method(),
        upload.path()
    );
    for (name, value) in upload.headers() {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("Content-Length: 3\r\nConnection: close\r\n\r\njpg");
    http.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    http.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");

    let account = client.shutdown(PATIENCE);
    assert_eq!(account.unfinished, []);
    platform.stop();
    let broken =
        |kind: &EventKind| matches!(kind, EventKind::Breach { .. } | EventKind::Refused { .. });
    let broken: Vec<_> = platform
        .events(Duration::ZERO)
        .filter(|event| broken(&event.kind))
        .collect();
    assert_eq!(broken, []);
}

#[test]
fn requests_wait_for_a_platform_that_starts_later() {
    let port = free_port().unwrap();
    let client = client(&format!("mqtt://127.0.0.1:{port}"));
    let mut links = client.link_events();
    let device = client.endpoint(&name()).unwrap();
    let mut ticket = device.submit(&sample(1)).unwrap();
    assert!(matches!(
        links.next_within(PATIENCE),
        Some(Event::LinkLost {
            error: LinkError::Dial(_),
            ..
        })
    ));
    assert_eq!(ticket.try_outcome(), None);

    let platform = platform_on(port);
    client.ready(PATIENCE).unwrap();
    assert_eq!(end(&mut ticket), Ok(()));
    assert_eq!(samples(&platform, 1), [1]);
}

/// Of what the platform has seen and not answered nobody knows the outcome; what may be sent
/// again is, and what was queued is not lost.
#[test]
fn a_restart_of_the_platform_ends_each_request_exactly_once() {
    const IN_FLIGHT: usize = 6;
    let port = free_port().unwrap();
    let first = platform_on(port);
    let client = client(first.url());
    let options = EndpointOptions::default().max_in_flight(NonZeroU16::new(6).unwrap());
    let device = client.endpoint_with(&name(), options).unwrap();
    client.ready(PATIENCE).unwrap();
    device.request(&Keys).unwrap();

    fault(&first, &["lose", "dcx", "always"]);
    let mut tickets: Vec<_> = (0..200)
        .map(|n| {
            let again = match n % 2 {
                0 => Resend::Never,
                _ => Resend::AfterLinkLoss,
            };
            device.submit(&sample(n).resend(again)).unwrap()
        })
        .collect();
    let mut seen = samples(&first, IN_FLIGHT);
    first.stop();
    let second = platform_on(port);

    let outcomes: Vec<_> = tickets.iter_mut().map(end).collect();
    assert!(
        tickets
            .iter_mut()
            .all(|ticket| ticket.try_outcome().is_none())
    );
    for (n, outcome) in outcomes.iter().enumerate() {
        match n < IN_FLIGHT && n % 2 == 0 {
            true => assert_eq!(*outcome, Err(Failure::OutcomeUnknown), "{n}"),
            false => assert_eq!(*outcome, Ok(()), "{n}"),
        }
    }
    let unknown = IN_FLIGHT / 2;
    let mut again = samples(&second, 200 - unknown);
    again.sort_unstable();
    let expected: Vec<u64> = (0..200).filter(|n| *n >= 6 || n % 2 == 1).collect();
    assert_eq!(again, expected);
    seen.sort_unstable();
    assert_eq!(seen, (0..6).collect::<Vec<_>>());
    let statistics = device.statistics().unwrap();
    assert_eq!((statistics.confirmed, statistics.outcome_unknown), (198, 3));
}

#[test]
fn observations_come_back_after_a_restart() {
    let port = free_port().unwrap();
    let first = platform_on(port);
    let client = client(first.url());
    let device = client.endpoint(&name()).unwrap();
    let reboot = CommandType::new("reboot").unwrap();
    let mut commands = device.commands([reboot.clone()]).unwrap();
    device::wait_for_observers(&first);
    first.stop();
    let second = platform_on(port);
    device::wait_for_observers(&second);
    let id = second.command(&name(), &reboot, None).unwrap();
    let command = commands.next_within(PATIENCE).unwrap();
    assert_eq!(command.id().as_i64(), Some(id));
    assert_eq!(end(&mut command.done().unwrap()), Ok(()));
}

#[test]
fn the_account_of_a_shutdown_is_what_the_platform_saw() {
    let port = free_port().unwrap();
    let client = client(&format!("mqtt://127.0.0.1:{port}"));
    let device = client.endpoint(&name()).unwrap();
    for n in 0..300 {
        device.send(&sample(n)).unwrap();
    }
    let unknown_resource = Call::new(Service::Metadata, "nonsense");
    device.send(&unknown_resource).unwrap();
    let mut unanswered = device
        .submit(&Call::new(
            Service::Other(Extension::new("nobody").unwrap()),
            "x",
        ))
        .unwrap();
    // Taken while there is no link, and closed before there is one: all of it is in the account.
    // The one without an answer keeps it open until the time is over.
    let account = thread::scope(|scope| {
        let account = scope.spawn(|| client.shutdown(Duration::from_secs(3)));
        while device.commands_of("reboot").is_ok() {
            thread::yield_now();
        }
        let platform = platform_with_silence(port);
        assert_eq!(samples(&platform, 300), (0..300).collect::<Vec<_>>());
        account.join().unwrap()
    });
    assert_eq!(account.outcomes.confirmed, 300);
    assert_eq!((account.outcomes.rejected, account.outcomes.closed), (1, 1));
    assert_eq!(account.unfinished.len(), 1);
    assert_eq!(account.unfinished[0].0, name());
    assert_eq!(account.unfinished[0].1.id, unanswered.id());
    assert_eq!(end(&mut unanswered), Err(Failure::Closed));

    assert_eq!(device.send(&sample(0)), Err(SubmitError::Closed));
    assert_eq!(client.ready(PATIENCE), Err(NotReady::Closed));
    assert_eq!(client.shutdown(PATIENCE), account);
}

#[test]
fn dropping_the_last_handle_sends_what_is_queued_and_closes() {
    let platform = platform();
    let client = client(platform.url());
    let device = client.endpoint(&name()).unwrap();
    for n in 0..500 {
        // Nobody says whether these arrive: the goodbye must not overtake them.
        device.send(&sample(n).confirm(Confirm::Nothing)).unwrap();
    }
    drop((client, device));
    assert_eq!(samples(&platform, 500), (0..500).collect::<Vec<_>>());
    wait_for(&platform, |kind| matches!(kind, EventKind::LinkClosed {}));
}

#[test]
fn one_client_serves_many_threads_and_endpoints() {
    let platform = platform();
    let client = client(platform.url());
    thread::scope(|scope| {
        for thread in 0..8 {
            let client = client.clone();
            scope.spawn(move || {
                let token = format!("device{}", thread % 4);
                let name = kaa_blocking::names::EndpointName::parse("demo-v1", &token).unwrap();
                let device = client.endpoint(&name).unwrap();
                for n in 0..25 {
                    device.request(&sample(thread * 1_000 + n)).unwrap();
                }
            });
        }
    });
    let taken: BTreeSet<u64> = samples(&platform, 200).into_iter().collect();
    assert_eq!(taken.len(), 200);
    assert_eq!(client.shutdown(PATIENCE).unfinished, []);
}

#[test]
fn commands_that_nobody_reads_hold_up_no_request() {
    let platform = platform();
    let client = client(platform.url());
    let options = EndpointOptions::default().max_unread_commands(NonZeroUsize::new(4).unwrap());
    let device = client.endpoint_with(&name(), options).unwrap();
    let blink = CommandType::new("blink").unwrap();
    let mut commands = device.commands([blink.clone()]).unwrap();
    device::wait_for_observers(&platform);
    let ids: BTreeSet<i64> = (0..50)
        .map(|_| platform.command(&name(), &blink, None).unwrap())
        .collect();
    for n in 0..100 {
        device.request(&sample(n)).unwrap();
    }
    // Those that found no room stayed with the platform, and come when there is some.
    let mut run = BTreeSet::new();
    while run.len() < ids.len() {
        let command = commands.next_within(PATIENCE).unwrap();
        assert!(run.insert(command.id().as_i64().unwrap()), "surfaced twice");
        end(&mut command.done().unwrap()).unwrap();
    }
    assert_eq!(run, ids);
}

#[test]
fn a_wait_that_was_too_short_or_given_up_changes_nothing() {
    let platform = platform();
    let client = client(platform.url());
    let device = client.endpoint(&name()).unwrap();
    client.ready(PATIENCE).unwrap();
    fault(&platform, &["late", "300ms", "dcx", "times", "2"]);
    let mut ticket = device.submit(&sample(1)).unwrap();
    let dropped = device.submit(&sample(2)).unwrap();
    assert_eq!(ticket.wait(Duration::ZERO), None);
    assert_eq!(ticket.wait(Duration::from_millis(1)), None);
    drop(dropped);
    assert_eq!(end(&mut ticket), Ok(()));
    let taken = Some(Err(Failure::Closed));
    assert_eq!(ticket.wait(PATIENCE), taken, "it was taken");
    assert_eq!(client.shutdown(PATIENCE).unfinished, []);
    assert_eq!(samples(&platform, 2), [1, 2]);
    assert_eq!(device.statistics().unwrap().confirmed, 2);
}

#[test]
fn an_outcome_is_waited_for_as_long_as_it_takes_but_not_twice() {
    let platform = platform();
    let client = client(platform.url());
    let device = client.endpoint(&name()).unwrap();
    assert_eq!(device.submit(&sample(1)).unwrap().outcome(), Ok(()));
    let mut taken = device.submit(&sample(2)).unwrap();
    assert_eq!(end(&mut taken), Ok(()));
    assert_eq!(taken.outcome(), Err(Failure::Closed));
}

#[test]
fn a_cancelled_request_ends_as_cancelled() {
    let platform = platform();
    let client = client(platform.url());
    let device = client.endpoint(&name()).unwrap();
    let mut ticket = stuck(&device, &platform);
    assert!(ticket.cancel());
    assert!(!ticket.cancel());
    assert_eq!(end(&mut ticket), Err(Failure::Cancelled));
}

#[test]
fn ready_says_why_the_link_is_not_up() {
    let client = client(&format!("mqtt://127.0.0.1:{}", free_port().unwrap()));
    // The first dial may still be under way when the time is over.
    let mut links = client.link_events();
    assert!(matches!(links.next(), Some(Event::LinkLost { .. })));
    match client.ready(Duration::from_millis(1)) {
        Err(NotReady::TimedOut(Some(LinkError::Dial(error)))) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wrong_password_is_told_at_once_and_can_be_mended() {
    let mut local = LocalOptions::default();
    local.platform.users.push(User {
        name: "gateway@0f1f3e2c".into(),
        password: Secret::new("right"),
        state: UserState::Active,
    });
    let platform = LocalPlatform::start(local).unwrap();
    let client =
        Client::connect(options(platform.url()).login("gateway@0f1f3e2c", "wrong")).unwrap();
    let refused = NotReady::Refused(LinkError::Refused(ConnectRefusal::BadLogin));
    assert_eq!(client.ready(PATIENCE), Err(refused));

    let login = kaa_blocking::mqtt::Login::new("gateway@0f1f3e2c").with_password(b"right");
    client.set_login(Some(login)).unwrap();
    client.ready(PATIENCE).unwrap();
    client
        .endpoint(&name())
        .unwrap()
        .request(&sample(1))
        .unwrap();
}

#[test]
fn a_client_that_gives_up_over_a_refusal_says_so() {
    let mut local = LocalOptions::default();
    local.platform.users.push(User {
        name: "gateway@0f1f3e2c".into(),
        password: Secret::new("right"),
        state: UserState::Active,
    });
    let platform = LocalPlatform::start(local).unwrap();
    let options = options(platform.url()).connection(|options| options.give_up_on_refusal(true));
    let client = Client::connect(options).unwrap();
    let mut links = client.link_events();
    let device = client.endpoint(&name()).unwrap();
    let refused = NotReady::Refused(LinkError::Refused(ConnectRefusal::NotAuthorized));
    assert_eq!(client.ready(PATIENCE), Err(refused.clone()));
    assert!(
        links.all(|event| !matches!(event, Event::LinkUp(_))),
        "it ends"
    );
    assert_eq!(
        client.ready(PATIENCE),
        Err(refused),
        "asked when it is over"
    );
    let closed = Err(RequestError::Submit(SubmitError::Closed));
    assert_eq!(device.request(&sample(1)), closed);
}

/// `localhost` may be ::1 and 127.0.0.1; the platform listens on the latter only.
#[test]
fn a_name_is_resolved_and_each_of_its_addresses_tried() {
    let platform = platform();
    let client = client(&format!(
        "mqtt://localhost:{}",
        platform.addr().unwrap().port()
    ));
    client.ready(PATIENCE).unwrap();
    client
        .endpoint(&name())
        .unwrap()
        .request(&sample(1))
        .unwrap();
}

#[test]
fn a_name_that_cannot_be_resolved_is_a_failed_dial() {
    let client = client("mqtt://nobody.invalid");
    let lost = client.link_events().next_within(PATIENCE);
    assert!(
        matches!(
            lost,
            Some(Event::LinkLost {
                error: LinkError::Dial(_),
                ..
            })
        ),
        "{lost:?}"
    );
}

#[test]
fn a_large_backlog_is_confirmed_when_the_link_comes() {
    const COUNT: usize = 5_000;
    let port = free_port().unwrap();
    let client = client(&format!("mqtt://127.0.0.1:{port}"));
    let room = NonZeroUsize::new(1 << 24).unwrap();
    let options =
        EndpointOptions::default().queue(Class::Bulk, NonZeroUsize::new(COUNT).unwrap(), room);
    let device = client.endpoint_with(&name(), options).unwrap();
    let mut tickets: Vec<_> = (0..COUNT)
        .map(|n| device.submit(&sample(n)).unwrap())
        .collect();
    let platform = platform_on(port);
    assert!(tickets.iter_mut().all(|ticket| end(ticket).is_ok()));
    assert_eq!(platform.state(&name()).unwrap().samples, 5_000);
    assert_eq!(device.statistics().unwrap().resent, 0);
}

#[test]
fn a_thread_that_panics_with_handles_in_its_hands_harms_nobody() {
    let platform = platform();
    let client = client(platform.url());
    let device = client.endpoint(&name()).unwrap();
    let theirs = (client.clone(), device.clone());
    let panicked = thread::spawn(move || {
        let (_client, device) = theirs;
        let _commands = device.commands_of("reboot").unwrap();
        let _ticket = device.submit(&sample(1)).unwrap();
        panic!("this panic is part of the test");
    });
    assert!(panicked.join().is_err());
    assert_eq!(device.request(&sample(2)), Ok(()));
    assert_eq!(client.shutdown(PATIENCE).unfinished, []);
    assert_eq!(samples(&platform, 2), [1, 2]);
}

/// What waits for an endpoint must not wait for ever when it is removed.
#[test]
fn removing_an_endpoint_ends_all_that_waits_for_it() {
    let platform = platform();
    let client = client(platform.url());
    let device = client.endpoint(&name()).unwrap();
    let mut commands = device.commands_of("reboot").unwrap();
    let mut events = device.events();
    let mut ticket = stuck(&device, &platform);
    thread::scope(|scope| {
        let commands = scope.spawn(|| commands.next().is_none());
        let events = scope.spawn(|| events.by_ref().count());
        assert!(client.remove_endpoint(&name(), Removal::Discard));
        assert!(commands.join().unwrap());
        events.join().unwrap();
    });
    assert_eq!(end(&mut ticket), Err(Failure::Closed));
    assert_eq!(device.send(&sample(1)), Err(SubmitError::UnknownEndpoint));
    // Its name is free again.
    let device = client.endpoint(&name()).unwrap();
    assert_eq!(device.request(&sample(2)), Ok(()));
}

#[test]
fn times_that_no_clock_can_hold_are_for_ever() {
    let platform = platform();
    let client = client(platform.url());
    client.ready(Duration::MAX).unwrap();
    let device = client.endpoint(&name()).unwrap();
    assert_eq!(
        device.submit(&sample(1)).unwrap().wait(Duration::MAX),
        Some(Ok(()))
    );
    assert_eq!(client.shutdown(Duration::MAX).unfinished, []);
    let client = Client::connect(options(platform.url()).linger(Duration::MAX)).unwrap();
    client.ready(PATIENCE).unwrap();
    drop(client);
    wait_for(&platform, |kind| matches!(kind, EventKind::LinkClosed {}));
    wait_for(&platform, |kind| matches!(kind, EventKind::LinkClosed {}));
}
