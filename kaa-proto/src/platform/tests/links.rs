use super::super::{Fault, LinkId};
use super::{ACCEPTED, ANONYMOUS, CONFIRMED, CONNECT, Net, SAMPLE};
use crate::names::{CommandType, EndpointName};

/// `kp1/v/dcx/t/json/#` at QoS 0, packet 1.
const SUBSCRIBE: &[u8] = b"\x82\x17\x00\x01\x00\x12kp1/v/dcx/t/json/#\x00";
const GRANTED: &[u8] = b"\x90\x03\x00\x01\x00";
/// `1` to `kp1/v/dcx/t/json/1` at QoS 1, packet 5.
const SAMPLE_1: &[u8] = b"\x32\x17\x00\x12kp1/v/dcx/t/json/1\x00\x051";
const PINGREQ: &[u8] = b"\xc0\x00";
const PINGRESP: &[u8] = b"\xd0\x00";

fn device() -> EndpointName {
    EndpointName::parse("v", "t").unwrap()
}

fn fault(net: &mut Net, words: &[&str]) {
    let (now, fault) = (net.now, Fault::parse(words).unwrap());
    net.server
        .operate(now, |platform| platform.fault(now, fault));
}

fn command(net: &mut Net) {
    let (now, of_type) = (net.now, CommandType::new("x").unwrap());
    let verb =
        |platform: &mut super::super::Platform| platform.command(now, &device(), &of_type, None);
    net.server.operate(now, verb).unwrap();
}

/// All official clients but a few rely on it (FACTS section 7).
#[test]
fn a_client_that_never_subscribes_gets_its_answers() {
    let mut net = Net::new(&[]);
    let link = net.connect(CONNECT);
    assert_eq!(net.exchange(link, SAMPLE), CONFIRMED);
    // At QoS 1 the PUBACK comes first, and the answer has the QoS of the request.
    assert_eq!(
        net.exchange(link, SAMPLE_1),
        b"\x40\x02\x00\x05\x32\x1d\x00\x19kp1/v/dcx/t/json/1/status\x00\x01"
    );
}

#[test]
fn a_qos_2_request_is_served_once() {
    let mut net = Net::new(&[]);
    let link = net.connect(CONNECT);
    let sample = b"\x34\x17\x00\x12kp1/v/dcx/t/json/1\x00\x051";
    assert_eq!(
        net.exchange(link, sample),
        b"\x50\x02\x00\x05\x34\x1d\x00\x19kp1/v/dcx/t/json/1/status\x00\x01"
    );
    let again = b"\x3c\x17\x00\x12kp1/v/dcx/t/json/1\x00\x051";
    assert_eq!(net.exchange(link, again), b"\x50\x02\x00\x05");
    assert_eq!(net.exchange(link, b"\x62\x02\x00\x05"), b"\x70\x02\x00\x05");
}

/// `mosquitto_sub` in one terminal, `mosquitto_pub` in another, as the page shows.
#[test]
fn a_separate_subscriber_gets_the_answer_and_so_does_the_publisher() {
    let mut net = Net::new(&[]);
    let (subscriber, publisher) = (net.connect(ANONYMOUS), net.connect(ANONYMOUS));
    assert_eq!(net.exchange(subscriber, SUBSCRIBE), GRANTED);
    assert_eq!(net.exchange(publisher, SAMPLE), CONFIRMED);
    assert_eq!(net.sent(subscriber), CONFIRMED);
    // When the publisher has gone, pushes still reach who subscribed to them.
    net.server.handle_closed(net.now, publisher);
    let all = b"\x82\x0e\x00\x02\x00\x09kp1/v/+/#\x00";
    assert_eq!(net.exchange(subscriber, all), b"\x90\x03\x00\x02\x00");
    command(&mut net);
    assert_eq!(
        net.sent(subscriber),
        b"\x30\x28\x00\x1ckp1/v/cex/t/command/x/status[{\"id\":1}]"
    );
}

#[test]
fn trap_17_a_link_that_speaks_and_subscribes_twice_gets_everything_once() {
    let mut net = Net::new(&[]);
    let link = net.connect(CONNECT);
    assert_eq!(net.exchange(link, SUBSCRIBE), GRANTED);
    let wide = b"\x82\x0a\x00\x02\x00\x05kp1/#\x01";
    assert_eq!(net.exchange(link, wide), b"\x90\x03\x00\x02\x01");
    assert_eq!(net.exchange(link, SAMPLE), CONFIRMED);
    let gone = b"\xa2\x16\x00\x03\x00\x12kp1/v/dcx/t/json/#";
    assert_eq!(net.exchange(link, gone), b"\xb0\x02\x00\x03");
    assert_eq!(net.exchange(link, SAMPLE), CONFIRMED);
}

#[test]
fn a_subscription_lowers_the_qos() {
    let mut net = Net::new(&[]);
    let link = net.connect(CONNECT);
    assert_eq!(net.exchange(link, SUBSCRIBE), GRANTED);
    let sent = net.exchange(link, SAMPLE_1);
    assert_eq!(sent, [b"\x40\x02\x00\x05", CONFIRMED].concat());
}

#[test]
fn delivery_may_be_by_speaker_or_by_subscription_alone() {
    let mut net = Net::new(&[("delivery", "subscription")]);
    let (subscriber, publisher) = (net.connect(ANONYMOUS), net.connect(ANONYMOUS));
    net.exchange(subscriber, SUBSCRIBE);
    assert_eq!(net.exchange(publisher, SAMPLE), b"");
    assert_eq!(net.sent(subscriber), CONFIRMED);
    let mut net = Net::new(&[("delivery", "last-speaker")]);
    let (subscriber, publisher) = (net.connect(ANONYMOUS), net.connect(ANONYMOUS));
    net.exchange(subscriber, SUBSCRIBE);
    assert_eq!(net.exchange(publisher, SAMPLE), CONFIRMED);
    assert_eq!(net.sent(subscriber), b"");
}

#[test]
fn trap_16_a_bridge_echoes_to_the_sender_too() {
    let mut net = Net::new(&[("echo", "on")]);
    let link = net.connect(CONNECT);
    net.exchange(link, SUBSCRIBE);
    assert_eq!(net.exchange(link, SAMPLE), [SAMPLE, CONFIRMED].concat());
}

#[test]
fn the_same_bytes_in_any_pieces_give_the_same_answers() {
    let input = [CONNECT, SUBSCRIBE, SAMPLE_1, PINGREQ, SAMPLE].concat();
    let whole = {
        let mut net = Net::new(&[]);
        let link = net.server.handle_accepted(net.now);
        net.exchange(link, &input)
    };
    let mut net = Net::new(&[]);
    let link = net.server.handle_accepted(net.now);
    let pieces: Vec<_> = input
        .iter()
        .flat_map(|byte| net.exchange(link, &[*byte]))
        .collect();
    assert_eq!(pieces, whole);
    assert!(whole.ends_with(&[PINGRESP, CONFIRMED].concat()));
}

#[test]
fn the_older_link_of_a_client_id_is_closed_unless_switched_off() {
    let mut net = Net::new(&[]);
    let older = net.connect(CONNECT);
    let newer = net.connect(CONNECT);
    assert_eq!(net.server.poll_hang_up(), Some(older));
    assert_eq!(net.server.poll_hang_up(), None);
    assert_eq!(net.exchange(older, SAMPLE), b"");
    net.server.handle_closed(net.now, older);
    assert_eq!(net.exchange(newer, SAMPLE), CONFIRMED);
    let third = net.connect(CONNECT);
    assert_eq!(net.server.poll_hang_up(), Some(newer));
    assert_eq!(net.exchange(third, SAMPLE), CONFIRMED);
    let mut net = Net::new(&[("evict", "off")]);
    net.connect(CONNECT);
    net.connect(CONNECT);
    assert_eq!(net.server.poll_hang_up(), None);
}

#[test]
fn a_kicked_link_is_cut_without_another_byte() {
    let mut net = Net::new(&[]);
    let link = net.connect(CONNECT);
    net.feed(link, SAMPLE);
    let now = net.now;
    let kicked = net
        .server
        .operate(now, |platform| platform.kick(now, &device()));
    assert_eq!(kicked, Ok(link));
    assert_eq!(net.sent(link), b"");
    assert_eq!(net.server.poll_hang_up(), Some(link));
    assert_eq!(net.server.poll_timeout(), None);
    net.server.handle_closed(now, link);
    assert!(net.saw("v/… disconnected"));
    assert_eq!(net.server.poll_timeout(), None);
}

#[test]
fn a_black_hole_neither_reads_nor_sends_and_loses_nothing_that_was_in_order() {
    let mut net = Net::new(&[]);
    let link = net.connect(CONNECT);
    net.exchange(link, SAMPLE);
    fault(&mut net, &["black-hole", "100s", "of", "t"]);
    assert!(!net.server.wants_input(link));
    assert_eq!(net.exchange(link, PINGREQ), b"");
    let (first, rest) = SAMPLE.split_at(3);
    net.feed(link, first);
    net.advance(95);
    net.feed(link, rest);
    assert_eq!(net.sent(link), b"");
    assert_eq!(net.server.poll_hang_up(), None);
    net.advance(5);
    assert!(net.server.wants_input(link));
    assert_eq!(net.sent(link), [PINGRESP, CONFIRMED].concat());
    // Taking it back ends it at once.
    fault(&mut net, &["black-hole", "100s"]);
    net.feed(link, PINGREQ);
    fault(&mut net, &["clear"]);
    assert_eq!(net.sent(link), PINGRESP);
}

#[test]
fn a_black_hole_keeps_a_bounded_amount_of_input() {
    let mut net = Net::new(&[]);
    let link = net.connect(CONNECT);
    fault(&mut net, &["black-hole", "100s"]);
    for _ in 0..4 {
        net.feed(link, &vec![0xc0; 1 << 20]);
    }
    assert_eq!(net.server.poll_hang_up(), None);
    net.feed(link, &[0]);
    assert_eq!(net.server.poll_hang_up(), Some(link));
}

#[test]
fn a_client_that_is_silent_for_too_long_is_cut() {
    let mut net = Net::new(&[]);
    let link = net.connect(CONNECT);
    let patient = net.connect(ANONYMOUS);
    net.advance(89);
    assert_eq!(net.exchange(link, PINGREQ), PINGRESP);
    net.advance(89);
    assert_eq!(net.server.poll_hang_up(), None);
    net.advance(1);
    assert_eq!(net.server.poll_hang_up(), Some(link));
    net.server.handle_closed(net.now, link);
    assert_eq!(net.exchange(patient, SAMPLE), CONFIRMED);
    let mute = net.server.handle_accepted(net.now);
    net.advance(10);
    assert_eq!(net.server.poll_hang_up(), Some(mute));
    net.server.handle_closed(net.now, mute);
    assert_eq!(net.server.poll_timeout(), None);
}

#[test]
fn what_is_not_mqtt_is_a_breach_and_ends_the_link_after_its_refusal() {
    for (input, answer) in [
        // Protocol level 5 is answered, other nonsense is not.
        (
            &b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x01c"[..],
            &b"\x20\x02\x00\x01"[..],
        ),
        (b"GET / HTTP/1.1\r\n", b""),
        (SAMPLE, b""),
    ] {
        let mut net = Net::new(&[]);
        let link = net.server.handle_accepted(net.now);
        net.feed(link, input);
        assert_eq!(net.server.poll_hang_up(), Some(link));
        assert_eq!(net.sent(link), answer);
        assert!(net.saw("breach"));
    }
    let mut net = Net::new(&[]);
    let link = net.connect(CONNECT);
    net.feed(link, CONNECT);
    assert_eq!(net.server.poll_hang_up(), Some(link));
}

#[test]
fn disconnect_ends_the_link_and_a_message_above_the_limit_cuts_it() {
    let mut net = Net::new(&[("max-packet", "18")]);
    let link = net.connect(CONNECT);
    net.feed(link, b"\xe0\x00");
    assert_eq!(net.server.poll_hang_up(), Some(link));
    let link = net.connect(ANONYMOUS);
    assert_eq!(net.exchange(link, SAMPLE), b"");
    assert_eq!(net.server.poll_hang_up(), Some(link));
    assert!(net.saw("Message is too large"));
    // Larger than any session takes: skipped in constant memory.
    let mut net = Net::new(&[]);
    let link = net.connect(CONNECT);
    net.feed(link, b"\x30\xff\xff\x7f\x00\x12kp1/v/dcx/t/json/1");
    net.feed(link, &vec![b'1'; 0x1f_ffff - 20]);
    assert_eq!(net.server.poll_hang_up(), Some(link));
}

#[test]
fn answers_wait_while_the_client_does_not_acknowledge() {
    let mut net = Net::new(&[]);
    let link = net.connect(CONNECT);
    let answers = |sent: &[u8]| sent.windows(7).filter(|w| w == b"/status").count();
    let sent: Vec<_> = (0..1_003)
        .flat_map(|_| net.exchange(link, SAMPLE_1))
        .collect();
    assert_eq!(answers(&sent), 1_000);
    // An answer that needs no acknowledgement does not overtake them.
    assert_eq!(net.exchange(link, SAMPLE), b"");
    let sent = net.exchange(link, b"\x40\x02\x00\x01\x40\x02\x00\x02");
    assert_eq!(answers(&sent), 2);
    assert_eq!(
        answers(&net.exchange(link, b"\x40\x02\x00\x03\x40\x02\x00\x04")),
        2
    );
}

#[test]
fn a_backlog_is_bounded_and_what_is_dropped_is_logged() {
    let mut net = Net::new(&[]);
    let link = net.connect(CONNECT);
    for _ in 0..5_096 {
        net.exchange(link, SAMPLE_1);
    }
    assert!(!net.saw("overflow"));
    assert!(!net.server.wants_input(link));
    net.exchange(link, SAMPLE_1);
    assert!(net.saw(r#"link 1 overflow topic="kp1/v/dcx/…/json/1/status""#));
}

#[test]
fn unknown_and_closed_links_are_ignored() {
    let mut net = Net::new(&[]);
    let link = net.connect(CONNECT);
    net.exchange(link, SUBSCRIBE);
    net.server.handle_closed(net.now, link);
    net.server.handle_closed(net.now, link);
    assert_eq!(net.exchange(link, SAMPLE), b"");
    assert_eq!(net.exchange(LinkId::new(99), ACCEPTED), b"");
    assert!(!net.server.wants_input(link));
}
