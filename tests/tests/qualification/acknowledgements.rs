//! What a client acknowledges, and what it does when nobody acknowledges what it said.

use kaa_proto::QoS;
use kaa_proto::connection::{LinkError, LinkState, Options};
use kaa_proto::endpoint::Observation;
use kaa_proto::metadata::Keys;
use kaa_proto::names::CommandType;
use kaa_proto::request::{Confirm, Failure, RequestExt as _, Resend};
use kaa_proto::telemetry::Sample;
use kaa_tests::sniffer::Packet;

use crate::server::{
    Bench, CONNECT, Conduct, HOUR, MINUTE, PINGREQ, PROMPT, PUBACK, PUBCOMP, PUBLISH, PUBREC,
    SECOND, SUBSCRIBE, Seen, publish,
};

fn identifiers(packets: &[&Seen]) -> Vec<u16> {
    let number = |seen: &&Seen| u16::from_be_bytes([seen.packet.body[0], seen.packet.body[1]]);
    packets.iter().map(number).collect()
}

#[test]
fn messages_of_up_to_128_kib_on_any_topic_are_acknowledged_in_their_order() {
    let mut bench = Bench::online();
    let mut sent = Vec::new();
    let mut id = 500;
    for topic in [
        "kp1/demo-v1/cmx/JTjdbENzHh/config/json/status",
        "kp1/demo-v1/dcx/JTjdbENzHh/json/77/status",
        "kp1/demo-v1/dcx/other/json/1/status",
        "anything/at/all",
        "$SYS/broker/uptime",
    ] {
        for size in [0, 1, 100, 127, 128, 1_023, 16_384, 131_072] {
            id -= 3;
            bench.say(&publish(id, topic, &vec![b'x'; size]));
            sent.push(id);
        }
    }
    assert_eq!(identifiers(&bench.packets(PUBACK)), sent);
    assert_eq!(bench.connection.link_state(), LinkState::Up);
    // Several at once.
    let burst: Vec<u16> = (1..200).rev().collect();
    let bytes: Vec<_> = burst.iter().map(|id| publish(*id, "a", b"x")).collect();
    bench.say(&bytes.concat());
    assert_eq!(
        identifiers(&bench.packets(PUBACK))[sent.len()..],
        burst[..],
        "MQTT-4.6.0-2"
    );
}

/// TCP delivers what it delivers: what was sent twice on one link would be processed twice
/// (MQTT-4.4.0-1 knows a re-delivery only when a session is resumed).
#[test]
fn without_puback_nothing_is_sent_again_on_a_live_link() {
    let conduct = Conduct {
        puback: None,
        status: None,
        ..PROMPT
    };
    let mut bench = Bench::new(Options::new("device"), 1, conduct);
    let answered = bench.submit(&Sample::new(1).resend(Resend::AfterLinkLoss));
    let acknowledged = bench.submit(&Sample::new(2).confirm(Confirm::Acknowledged));
    bench.pass(HOUR);
    assert_eq!(bench.packets(PUBLISH).len(), 2);
    assert_eq!(bench.ended, [], "there is room in the window");
    assert!(bench.packets(PINGREQ).len() > 50, "the link lives");
    for id in [answered, acknowledged] {
        assert_eq!(bench.outcomes[&id], Err(Failure::Unanswered));
    }
}

/// On a new link it is a new packet of a new session, so DUP is not set; the message is the same to
/// the byte.
#[test]
fn without_puback_what_may_be_sent_again_is_the_same_message_on_the_next_link() {
    let conduct = Conduct {
        puback: None,
        status: None,
        ..PROMPT
    };
    let mut bench = Bench::new(Options::new("device"), 1, conduct);
    let again = bench.submit(&Sample::new(1).resend(Resend::AfterLinkLoss));
    let once = bench.submit(&Sample::new(2).resend(Resend::Never));
    bench.conduct = PROMPT;
    bench.cut();
    bench.pass(MINUTE);
    let published = bench.packets(PUBLISH);
    let packets: Vec<&Packet> = published.iter().map(|seen| &seen.packet).collect();
    let [first, _, second] = &packets[..] else {
        panic!("{packets:?}");
    };
    assert_eq!(first, second);
    assert_eq!(second.first, 0x32, "QoS 1, neither DUP nor RETAIN");
    assert!(published[0].link < published[2].link);
    assert!(bench.outcomes[&again].is_ok());
    assert_eq!(bench.outcomes[&once], Err(Failure::OutcomeUnknown));
}

#[test]
fn without_suback_a_subscribe_is_not_sent_again_on_a_live_link_and_blocks_nothing() {
    let conduct = Conduct {
        suback: None,
        ..PROMPT
    };
    let mut bench = Bench::new(Options::new("device"), 1, conduct);
    let id = bench.submit(&Keys);
    bench.pass(MINUTE);
    assert_eq!(bench.packets(SUBSCRIBE).len(), 1);
    assert_eq!(bench.packets(PUBLISH).len(), 1, "it goes without");
    // No schema is the empty answer of the bench, but the right request was answered.
    assert!(bench.outcomes.contains_key(&id));
    bench.pass(HOUR);
    assert_eq!(bench.packets(SUBSCRIBE).len(), 1);
    let statistics = bench.connection.statistics();
    assert!(statistics.subscriptions_unanswered > 0);
    bench.conduct = PROMPT;
    bench.cut();
    bench.submit(&Keys);
    bench.pass(MINUTE);
    assert_eq!(bench.packets(SUBSCRIBE).len(), 2, "a new link, a new try");
}

/// Neither when nothing else is answered.
#[test]
fn without_pingresp_the_link_is_closed_within_one_and_a_half_intervals() {
    let no_answer = Conduct {
        connack: PROMPT.connack,
        puback: None,
        suback: None,
        pingresp: None,
        status: None,
        kick: None,
    };
    let no_pingresp = Conduct {
        pingresp: None,
        ..PROMPT
    };
    for (interval, conduct) in [
        (1, no_pingresp),
        (10, no_answer),
        (60, no_pingresp),
        (60, no_answer),
        (1_200, no_pingresp),
    ] {
        let interval = SECOND * interval;
        let options = Options::new("device").keep_alive(interval);
        let mut bench = Bench::new(options, 1, conduct);
        bench.submit(&Sample::new(1));
        bench.pass(interval * 2);
        let (at, error) = &bench.ended[0];
        assert_eq!(*error, LinkError::KeepAliveTimeout);
        let asked = bench.packets(PINGREQ)[0].at;
        let connected = bench.packets(CONNECT)[0].at;
        assert!(asked - connected <= interval, "MQTT-3.1.2-23");
        assert!(*at - connected <= interval * 3 / 2);
    }
}

/// Clean sessions only: nothing of an old one is used, so every link is subscribed to anew,
/// whatever the server says of a session.
#[test]
fn each_link_begins_a_clean_session_and_subscribes_anew_whatever_the_server_keeps() {
    let mut bench = Bench::new(
        Options::new("device"),
        1,
        Conduct {
            connack: None,
            ..PROMPT
        },
    );
    let reboot = CommandType::new("reboot").unwrap();
    let (now, key) = (bench.now(), bench.key);
    let observation = Observation::Commands(reboot);
    bench.connection.observe(now, key, &observation).unwrap();
    for link in 1..=5 {
        bench.pass(MINUTE / 2);
        while bench.connection.link_state() != LinkState::Greeting {
            bench.pass(SECOND / 10);
        }
        bench.say(b"\x20\x02\x01\x00");
        bench.pass(SECOND);
        assert_eq!(bench.connection.link_state(), LinkState::Up);
        assert_eq!(bench.packets(SUBSCRIBE).len(), link);
        let asked = bench.packets(PUBLISH).len();
        assert_eq!(asked, link, "and asks for its commands anew");
        bench.pass(MINUTE);
        bench.cut();
    }
    let connects = bench.packets(CONNECT);
    assert_eq!(connects.len(), bench.dialed.len(), "one on each link");
    for seen in &connects {
        let flags = seen.packet.body[7];
        assert_eq!(flags, 0x02, "a clean session, no will, no login");
        assert_eq!(seen.packet.body, connects[0].packet.body);
    }
}

#[test]
fn requests_of_both_qualities_are_published_once_each() {
    let mut bench = Bench::online();
    let quiet = Sample::new(1).confirm(Confirm::Nothing);
    bench.submit(&quiet.qos(QoS::AtMostOnce));
    bench.submit(&Sample::new(2));
    bench.pass(MINUTE);
    let firsts: Vec<_> = bench
        .packets(PUBLISH)
        .iter()
        .map(|seen| seen.packet.first)
        .collect();
    assert_eq!(firsts, [0x30, 0x32]);
    assert!(bench.outcomes.values().all(Result::is_ok));
}

/// 1/KP recommends the quality of the request, so it may be another.
#[test]
fn answers_of_every_quality_are_taken_once_and_acknowledged() {
    let conduct = Conduct {
        status: None,
        ..PROMPT
    };
    let mut bench = Bench::new(Options::new("device"), 1, conduct);
    for (quality, expected) in [
        (0, &[][..]),
        (1, &[(PUBACK, 7), (PUBACK, 7)]),
        (2, &[(PUBREC, 7), (PUBREC, 7), (PUBCOMP, 7)]),
    ] {
        let id = bench.submit(&Sample::new(quality));
        let request = bench.packets(PUBLISH).pop().unwrap().packet.message();
        let topic = format!("{}/status", request.unwrap().topic);
        bench.seen.clear();
        let mut answer = publish(if quality == 0 { 0 } else { 7 }, &topic, b"");
        answer[0] = PUBLISH | quality << 1;
        bench.say(&answer);
        assert!(bench.outcomes[&id].is_ok(), "QoS {quality}");
        // Once more, as a server does that did not hear us.
        bench.say(&answer);
        if quality == 2 {
            bench.say(b"\x62\x02\x00\x07");
        }
        let said = bench.seen.iter().map(|seen| seen.packet.first);
        let said: Vec<_> = said
            .zip(identifiers(&bench.seen.iter().collect::<Vec<_>>()))
            .collect();
        assert_eq!(said, expected, "QoS {quality}");
    }
    let endpoint = bench.connection.endpoint(bench.key).unwrap();
    let statistics = endpoint.statistics();
    let again = statistics.late_answers + statistics.foreign_answers;
    assert_eq!(again, 2, "not that of QoS 2, which is the same message");
}
