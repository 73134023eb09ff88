//! What survives a crash: records come before what they guard, and an endpoint that takes them
//! back goes on where the earlier one was.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::Duration;

use kaa_proto::commands::{CommandId, CommandResult, Pending, Report};
use kaa_proto::connection::{self, Connection, Demand, Removal};
use kaa_proto::endpoint::{CommandKey, EndpointOptions, Event, Observation, Record, Subscriptions};
use kaa_proto::names::{CommandType, ConfigName, EndpointName, Extension, Metric};
use kaa_proto::raw::Call;
use kaa_proto::request::{Failure, Request, RequestExt, RequestId, Resend, Service};
use kaa_proto::telemetry::{Plain, Sample};
use kaa_proto::{config, metadata, software, upload};
use kaa_tests::clock::Clock;
use kaa_tests::durable_life::{
    Run, World, kept, key, life, offline, once, options, reboot, stored,
};
use kaa_tests::endpoint_host::EndpointHost;
use kaa_tests::packets::publish;

/// The number of the durable request with this payload, if the store knows of it.
fn accepted(world: &World, payload: &str) -> Option<RequestId> {
    #[allow(clippy::wildcard_enum_match_arm, reason = "one kind is looked for")]
    world.store.iter().find_map(|record| match record {
        Record::Accepted(id, request) if request.payload() == payload.as_bytes() => Some(*id),
        _ => None,
    })
}

#[test]
fn nothing_is_lost_or_done_twice_wherever_the_power_goes() {
    let run = life();
    assert!(run.crashes.len() > 40, "{} points", run.crashes.len());
    for (point, world) in run.crashes.iter().enumerate() {
        let mut host = offline();
        host.restore(stored(&world.store));
        let recovered = host.take_recovered();
        host.link_up();
        let sent: Vec<_> = host
            .take_sent()
            .into_iter()
            .map(|sent| sent.payload)
            .collect();
        for (payload, may_repeat) in [("1", true), ("2", false), ("3", false), ("4", true)] {
            let Some(id) = accepted(world, payload) else {
                assert!(
                    !world.sent.contains(payload),
                    "{point}: sent before it was stored"
                );
                continue;
            };
            let again = sent.iter().filter(|sent| *sent == payload).count();
            let unknown = recovered.unknown.iter().any(|request| request.id == id);
            let ended = world
                .store
                .iter()
                .any(|record| matches!(record, Record::Ended(e) if *e == id));
            assert!(
                ended || !world.told.contains(&id),
                "{point}: {payload} told too early"
            );
            assert_eq!(
                again + usize::from(unknown) + usize::from(ended),
                1,
                "{point}: {payload}"
            );
            let repeated = again == 1 && world.sent.contains(payload);
            assert!(may_repeat || !repeated, "{point}: {payload} sent twice");
            assert!(!(may_repeat && unknown), "{point}: {payload} lost");
        }
    }
}

#[test]
fn commands_survive_wherever_the_power_goes() {
    for (point, world) in life().crashes.iter().enumerate() {
        let mut host = offline();
        host.restore(stored(&world.store));
        host.link_up();
        host.observe(&reboot()).unwrap();
        let _ = host.take_sent();
        host.receive("cex/command/reboot/1/status", r#"[{"id":1},{"id":2}]"#);
        let commands: Vec<_> =
            std::iter::from_fn(|| host.endpoint.poll_command(|_| true)).collect();
        let lines = host.take_lines();
        let result_sent = lines
            .iter()
            .any(|line| line.ends_with(r#"[{"id":1,"statusCode":200}]"#));
        for id in [1, 2] {
            let read_before = world.read.contains(&key(id));
            let again = commands
                .iter()
                .find(|command| CommandKey::from(*command) == key(id));
            let answered = world
                .store
                .iter()
                .any(|r| matches!(r, Record::Finished(k, _) if *k == key(id)));
            match again {
                Some(command) => {
                    assert!(!answered, "{point}: {id} run again");
                    assert!(
                        command.is_interrupted() || !read_before,
                        "{point}: {id} not marked"
                    );
                }
                None => assert!(answered && result_sent, "{point}: {id} lost"),
            }
        }
    }
}

#[test]
fn what_was_applied_is_known_once_it_was_told() {
    let run = life();
    let known = run.crashes.iter().filter(|world| {
        let mut host = offline();
        host.restore(stored(&world.store));
        host.link_up();
        host.observe(&Observation::Configuration(None)).unwrap();
        host.observe(&Observation::Software).unwrap();
        let lines = host.take_lines();
        let has = |line: &str| lines.iter().any(|sent| sent == line);
        let applied = has(r#"cmx/config/json/1 {"configId":"a","observe":true}"#);
        let current = has(r#"cmx_ota/applied/json/1 {"configId":"1.0.0"}"#);
        assert!(applied || !world.told.contains(&run.applied.unwrap()));
        assert!(current || !world.told.contains(&run.current.unwrap()));
        applied && current
    });
    let known = known.count();
    assert!(known > 3 && known < run.crashes.len(), "{known}");
}

#[test]
fn a_second_crash_finds_what_the_first_restore_recorded() {
    let run = life();
    let mut store = run.crashes.last().unwrap().store.clone();
    let mut first = offline();
    first.restore(stored(&store));
    assert_eq!(first.take_recovered().unknown.len(), 1);
    first.link_up();
    store.append(&mut first.records);
    let mut second = offline();
    second.restore(stored(&store));
    assert_eq!(second.take_recovered().unknown, [], "it was handed over");
    second.link_up();
    second.observe(&reboot()).unwrap();
    let sent: Vec<_> = second
        .take_sent()
        .into_iter()
        .map(|sent| sent.payload)
        .collect();
    assert!(
        sent.contains(&"4".into()) && !sent.contains(&"1".into()) && !sent.contains(&"2".into())
    );
    second.receive("cex/command/reboot/1/status", r#"[{"id":1},{"id":2}]"#);
    let command = second.endpoint.poll_command(|_| true).unwrap();
    assert_eq!(
        (command.id().as_i64(), command.is_interrupted()),
        (Some(2), true)
    );
    assert_eq!(
        second.take_sent()[0].payload,
        r#"[{"id":1,"statusCode":200}]"#
    );
}

#[test]
fn nothing_comes_out_before_its_record_was_taken() {
    let mut run = Run::new();
    let now = run.now();
    run.endpoint.handle_link_up(now);
    run.endpoint.submit(now, &once(1)).unwrap();
    assert!(run.endpoint.poll_message(now).is_none());
    assert!(matches!(
        run.endpoint.poll_record(),
        Some(Record::Accepted(..))
    ));
    assert!(
        run.endpoint.poll_message(now).is_none(),
        "it is polled, not stored"
    );
    assert_eq!(run.endpoint.poll_event(), None);
    run.endpoint.handle_stored(now, 1);
    assert!(matches!(run.endpoint.poll_event(), Some(Event::Stored(_))));
    assert!(
        run.endpoint.poll_message(now).is_none(),
        "that it is sent is recorded first"
    );
    assert!(matches!(run.endpoint.poll_record(), Some(Record::Sent(_))));
    assert!(run.endpoint.poll_message(now).is_none());
    run.endpoint.handle_stored(now, 1);
    assert!(run.endpoint.poll_message(now).is_some());
    let topic = "kp1/demo-v1/dcx/JTjdbENzHh/json/1/status";
    let _ = run.endpoint.handle_message(now, topic, b"");
    assert!(matches!(run.endpoint.poll_record(), Some(Record::Ended(_))));
    assert_eq!(run.endpoint.poll_event(), None);
    run.endpoint.handle_stored(now, 1);
    assert!(matches!(
        run.endpoint.poll_event(),
        Some(Event::Completed { .. })
    ));

    run.endpoint.observe(now, &reboot()).unwrap();
    run.drain();
    let topic = "kp1/demo-v1/cex/JTjdbENzHh/command/reboot/status";
    let _ = run.endpoint.handle_message(now, topic, br#"[{"id":1}]"#);
    assert!(matches!(
        run.endpoint.poll_record(),
        Some(Record::Surfaced(_))
    ));
    assert!(run.endpoint.poll_command(|_| true).is_none());
    assert_eq!(run.endpoint.poll_event(), None);
    run.endpoint.handle_stored(now, 1);
    assert!(matches!(run.endpoint.poll_event(), Some(Event::Unread(_))));
    assert!(run.endpoint.poll_command(|_| true).is_some());
}

#[test]
fn without_the_option_there_are_no_records() {
    let options = options().durable(false);
    let mut host = EndpointHost::online(options, 1).unwrap();
    host.submit(&once(1)).unwrap();
    host.observe(&reboot()).unwrap();
    host.receive("cex/command/reboot/1/status", r#"[{"id":1}]"#);
    assert!(host.endpoint.poll_command(|_| true).is_some());
    host.respond(&key(1), CommandResult::ok()).unwrap();
    assert!(host.records.is_empty());
}

#[test]
fn requests_that_are_not_durable_leave_no_records() {
    let mut host = EndpointHost::online(options(), 1).unwrap();
    host.submit(&Sample::new(1)).unwrap();
    host.receive("dcx/json/1/status", "");
    assert!(host.records.is_empty());
}

#[test]
fn a_clean_end_loses_nothing_durable_either() {
    let mut host = offline();
    host.submit(&kept(1)).unwrap();
    assert_eq!(host.close().len(), 1);
    let mut next = offline();
    next.restore(stored(&host.records));
    next.link_up();
    assert_eq!(next.take_lines(), ["dcx/json/1 1"]);
    next.receive("dcx/json/1/status", "");
    assert!(next.restored_outcomes()[&RequestId::from_number(1)].is_ok());
}

#[test]
fn restored_requests_keep_order_fixed_ids_and_deadlines() {
    let rsx = || {
        let service = Service::Other(Extension::new("rsx").unwrap());
        Call::new(service, "dcx").fixed_id(7).durable()
    };
    let mut host = offline();
    for n in 1..=3 {
        host.submit(&kept(n)).unwrap();
    }
    host.submit(&rsx()).unwrap();
    host.submit(
        &Sample::new(4)
            .durable()
            .expires_after(Duration::from_secs(5)),
    )
    .unwrap();
    let mut next = offline();
    next.restore(stored(&host.records));
    assert!(next.submit(&rsx()).is_err(), "the ID is in use");
    next.advance(Duration::from_secs(5));
    let expired = &next.restored_outcomes()[&RequestId::from_number(5)];
    assert_eq!(*expired, Err(Failure::Expired));
    next.link_up();
    assert_eq!(
        next.take_lines(),
        ["rsx/dcx/7 ", "dcx/json/1 1", "dcx/json/2 2", "dcx/json/3 3"]
    );
    next.receive("rsx/dcx/7/status", "{}");
    assert!(next.restored_outcomes()[&RequestId::from_number(4)].is_ok());
}

#[test]
fn a_restored_ledger_makes_room_for_new_commands() {
    let options = || options().max_commands(std::num::NonZeroUsize::MIN);
    let mut store = Vec::new();
    for id in 1..=3 {
        let mut host = EndpointHost::offline(options(), 1).unwrap();
        host.restore(store.clone());
        host.link_up();
        host.observe(&reboot()).unwrap();
        host.receive(
            "cex/command/reboot/1/status",
            &format!(r#"[{{"id":{id}}}]"#),
        );
        let command = host.endpoint.poll_command(|_| true).expect("there is room");
        let _ = host.take_sent();
        host.respond(&CommandKey::from(&command), CommandResult::ok())
            .unwrap();
        let report = host.take_sent()[0].key;
        host.acknowledge(report);
        store.append(&mut host.records);
    }
    let mut last = offline();
    last.restore(store);
    assert_eq!(last.take_recovered().finished, [key(3)]);
}

#[test]
fn pending_tells_which_commands_were_interrupted() {
    let mut host = offline();
    host.restore([Record::Surfaced(key(1))]);
    host.link_up();
    let id = host
        .submit(&Pending::new(CommandType::new("reboot").unwrap()))
        .unwrap();
    let list = r#"[{"id":1},{"id":2,"interrupted":7}]"#;
    host.receive("cex/command/reboot/1/status", list);
    let reply = host.outcome(id).unwrap().as_ref().unwrap();
    let commands = Pending::decode(reply).unwrap();
    let marks: Vec<_> = commands
        .iter()
        .map(|command| command.is_interrupted())
        .collect();
    assert_eq!(marks, [true, false], "the platform has no say in it");
}

#[test]
fn every_record_comes_back_from_its_text_as_it_was() {
    let mut host = EndpointHost::online(options(), 1).unwrap();
    let service = Service::Other(Extension::new("xyz").unwrap());
    let everything = Call::new(service, "a/b")
        .payload([0xff, 0x00])
        .fixed_id(7)
        .serial()
        .status_in_body()
        .qos(kaa_proto::QoS::AtLeastOnce)
        .expires_after(Duration::from_millis(1500))
        .answer_within(Duration::from_secs(5))
        .resend(Resend::Never)
        .durable();
    host.submit(&everything).unwrap();
    let plain = Plain::with_unit(Metric::new("t").unwrap(), 1.5, "é");
    host.submit(&plain.durable()).unwrap();
    let result = CommandResult::failed(409, "\"é\"")
        .with_payload(&0)
        .unwrap();
    let id = CommandId::from_json("\"x\\\"y\"").unwrap();
    let report = Report::new(CommandType::new("close-door").unwrap(), id, result);
    host.submit(&report.durable()).unwrap();
    let wifi = ConfigName::new("wifi").unwrap();
    host.submit(&config::Applied::new("a").named(wifi).durable())
        .unwrap();
    host.submit(&software::ReportCurrent::new("1").durable())
        .unwrap();
    host.submit(&metadata::Keys.durable()).unwrap();
    host.submit(&config::Get::new().durable()).unwrap();
    host.submit(&software::Get::new().durable()).unwrap();
    host.submit(&upload::GetToken.durable()).unwrap();
    host.receive("cmx/applied/json/wifi/1/status", "");
    host.receive("cmx_ota/applied/json/1/status", "");
    host.receive("cex/result/close-door/1/status", "");
    let all = [Record::Surfaced(key(1)), Record::Forgotten(key(-2))];
    let all: Vec<_> = host.records.into_iter().chain(all).collect();
    assert!(all.len() > 20, "{all:?}");
    for (before, after) in all.iter().zip(stored(&all)) {
        assert_eq!(format!("{before:?}"), format!("{after:?}"));
        assert_eq!(before.to_json(), after.to_json());
        assert!(!before.to_json().contains('\n'));
    }
    // The texts agree with each other; that they hold what matters is shown by what is sent.
    let mut next = offline();
    next.restore(stored(&all));
    next.link_up();
    let lines = next.take_lines();
    assert!(
        !lines.iter().any(|line| line.starts_with("xyz")),
        "it was sent and may not be again"
    );
    assert!(lines.contains(&"cmx/config/json/1 {}".into()), "{lines:?}");
}

/// So the default bounds of what is durable fit the log, whatever is sent.
#[test]
fn a_payload_takes_at_most_a_third_more_in_the_store_and_comes_back_as_it_was() {
    let json = br#"{"temperature":21.5}"#;
    for (payload, is_text) in [
        (vec![0xff; 3_000], false),
        (vec![0; 3_000], false),
        (vec![b'"'; 3_000], false),
        ((0..=255).cycle().take(3_001).collect(), false),
        (json.repeat(100), true),
        (br#"["",""]"#.to_vec(), true),
        (Vec::new(), true),
    ] {
        let mut host = offline();
        let service = Service::Other(Extension::new("xyz").unwrap());
        let call = Call::new(service, "a").payload(payload.clone());
        host.submit(&call.durable()).unwrap();
        let text = host.records[0].to_json();
        assert!(text.len() <= payload.len() * 4 / 3 + 120, "{}", text.len());
        assert_eq!(!text.contains("base64"), is_text, "{text}");
        let mut next = offline();
        next.is_busy = true;
        next.restore(stored(&host.records));
        next.link_up();
        let now = next.now();
        assert_eq!(next.endpoint.poll_message(now).unwrap().payload, payload);
    }
}

#[test]
fn a_payload_is_read_only_as_it_is_written() {
    let text = |payload: &str| {
        format!(
            r#"{{"accepted":[1,{{"service":"telemetry","resource":"json","payload":{payload}}}]}}"#
        )
    };
    for good in [r#""1""#, r#"{"base64":"/wA="}"#] {
        assert!(Record::from_json(&text(good)).is_ok(), "{good}");
    }
    for bad in [
        "[255,0]",
        "null",
        "{}",
        r#"{"base64":"/wA"}"#,
        r#"{"base64":"/wB="}"#,
        r#"{"base64":"/wA=","x":1}"#,
        r#"{"base64":[255]}"#,
    ] {
        assert!(Record::from_json(&text(bad)).is_err(), "{bad}");
    }
}

#[test]
fn a_text_that_was_cut_off_is_no_record() {
    let mut host = offline();
    host.submit(&kept(1)).unwrap();
    let text = host.records[0].to_json();
    for end in 0..text.len() {
        assert!(Record::from_json(&text[..end]).is_err(), "{}", &text[..end]);
    }
    for broken in [
        text.replace("\"json\"", "\"json//\""),
        text.replace("\"resend\"", "\"confirm\":3,\"resend\""),
        text.replace("\"resend\"", "\"qos\":9,\"resend\""),
        text.replace("\"resend\"", "\"fixedId\":0,\"resend\""),
        String::from(r#"{"surfaced":["7","1"]}"#),
        String::from(r#"{"surfaced":["reboot","{}"]}"#),
        String::from(r#"{"applied":["7","a"]}"#),
    ] {
        assert_ne!(broken, text);
        assert!(Record::from_json(&broken).is_err(), "{broken}");
    }
}

/// The texts of version 0.1: a store outlives the program that wrote it.
#[test]
fn texts_of_earlier_versions_are_read() {
    let in_full = concat!(
        r#"{"accepted":[1,{"service":"telemetry","resource":"json","pattern":null,"payload":"1","#,
        r#""confirm":2,"resend":true,"qos":null,"expiresAfter":null,"answerWithin":null,"#,
        r#""bulk":true,"dropOffline":false,"withId":true,"fixedId":null,"serial":false,"#,
        r#""statusInBody":false,"effect":"none"}]}"#
    );
    let accepted = concat!(
        r#"{"accepted":[1,{"service":"telemetry","resource":"json","payload":"1","#,
        r#""resend":true,"bulk":true}]}"#
    );
    let read = Record::from_json(in_full).map(|record| record.to_json());
    assert_eq!(read.as_deref(), Ok(accepted));
    let texts = [
        accepted,
        r#"{"sent":1}"#,
        r#"{"surfaced":["reboot","1"]}"#,
        r#"{"finished":[["reboot","2"],"{\"id\":2,\"statusCode\":200}"]}"#,
        r#"{"resultTaken":["reboot","2"]}"#,
        r#"{"forgotten":["reboot","3"]}"#,
        r#"{"applied":[null,"a"]}"#,
        r#"{"current":"1.0.0"}"#,
        r#"{"configuration":["wifi","a","{\"ssid\":\"x\"}"]}"#,
        r#"{"reached":10}"#,
        r#"{"ended":9}"#,
    ];
    for text in texts {
        let read = Record::from_json(text).map(|record| record.to_json());
        assert_eq!(read.as_deref(), Ok(text));
    }
    let mut host = offline();
    host.submit(&kept(1)).unwrap();
    assert_eq!(host.records[0].to_json(), accepted);
}

/// `json`, and 38 letters in quotes; of one that was sent, too, until its unknown outcome is told.
#[test]
fn what_durable_requests_take_is_counted_again_after_a_restart() {
    for is_sent in [false, true] {
        let mut first = offline();
        let sample = Sample::new("x".repeat(38)).resend(Resend::Never);
        first.submit(&sample.durable()).unwrap();
        assert_eq!(first.endpoint.durable_len(), (1, 44));
        if is_sent {
            first.link_up();
        }
        let mut second = offline();
        second.restore(first.records);
        assert_eq!(second.endpoint.durable_len(), (1, 44), "{is_sent}");
        let unknown = usize::from(is_sent);
        assert_eq!(second.take_recovered().unknown.len(), unknown);
    }
}

/// What had ended when its endpoint is removed is told, though its record is not stored yet.
#[test]
fn an_endpoint_that_is_removed_leaves_no_end_untold() {
    let now = Clock::new().now();
    let endpoint = EndpointOptions::default()
        .subscriptions(Subscriptions::None)
        .durable(true);
    let options = connection::Options::new("c").endpoint(endpoint);
    let mut connection = Connection::new(options, now, 1).unwrap();
    let name = EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap();
    let key = connection.add_endpoint(now, name).unwrap();
    let Demand::Dial(link) = connection.demand() else {
        panic!("{:?}", connection.demand());
    };
    connection.handle_connected(now, link);
    connection.handle_input(now, link, b"\x20\x02\x00\x00");
    let id = connection
        .submit(now, key, &Sample::new(1).durable())
        .unwrap();
    let store = |connection: &mut Connection| {
        while connection.poll_record().is_some() {}
        connection.handle_stored(now, usize::MAX);
    };
    // It goes when it is stored, and then that it may have gone.
    for _ in 0..2 {
        store(&mut connection);
        let sent = connection.poll_transmit(now, &mut Vec::new());
        connection.handle_written(now, link, sent);
    }
    let answer = publish(b"kp1/demo-v1/dcx/JTjdbENzHh/json/1/status", b"", 0, 0);
    connection.handle_input(now, link, &answer);
    let told = |connection: &mut Connection| {
        let events = std::iter::from_fn(|| connection.poll_event());
        #[allow(clippy::wildcard_enum_match_arm, reason = "the others say no end")]
        let ends = events.filter_map(|event| match event {
            connection::Event::Endpoint {
                event: Event::Completed { id, outcome },
                ..
            } => Some(Some((id, outcome.is_ok()))),
            connection::Event::EndpointRemoved { .. } => Some(None),
            _ => None,
        });
        ends.collect::<Vec<_>>()
    };
    assert_eq!(told(&mut connection), []);
    connection.remove_endpoint(now, key, Removal::Discard);
    assert_eq!(told(&mut connection), [], "before it is stored");
    store(&mut connection);
    assert_eq!(told(&mut connection), [Some((id, true)), None]);
}
