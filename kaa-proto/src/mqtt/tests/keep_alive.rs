//! How a dead link is found, on a simulated clock. The interval is 60 s.

use super::*;
use crate::mqtt::LinkFailure;

const PINGREQ: &[u8] = b"\xc0\x00";
const PINGRESP: &[u8] = b"\xd0\x00";

#[test]
fn an_idle_link_is_asked_once_in_an_interval() {
    let mut link = Link::connected(&options());
    for _ in 0..5 {
        assert_eq!(link.session.poll_timeout(), Some(link.now + secs(60)));
        link.advance(secs(59));
        assert_eq!(link.sent(), b"");
        link.advance(secs(1));
        assert_eq!(link.sent(), PINGREQ);
        link.advance(secs(0));
        assert_eq!(link.sent(), b"", "one outstanding");
        assert_eq!(link.feed(PINGRESP), [""; 0]);
    }
}

/// Its sends say nothing about whether anybody listens.
#[test]
fn a_device_that_only_sends_finds_a_dead_link_within_one_and_a_half_intervals() {
    let mut link = Link::connected(&options());
    let begin = link.now;
    while link.session.failure().is_none() {
        link.publish(1, QoS::AtMostOnce);
        link.sent();
        link.advance(secs(1));
        assert!(link.now <= begin + secs(90));
    }
    assert_eq!(link.session.failure(), Some(LinkFailure::KeepAliveTimeout));
    assert_eq!(link.now, begin + secs(90));
}

/// The server wants to hear something too (MQTT-3.1.2-23).
#[test]
fn a_device_that_only_receives_asks_after_an_interval_without_a_byte_out() {
    let mut link = Link::connected(&options());
    for _ in 0..59 {
        link.advance(secs(1));
        link.feed(b"\x30\x03\x00\x01a");
        assert_eq!(link.sent(), b"");
    }
    link.advance(secs(1));
    assert_eq!(link.sent(), PINGREQ);
}

#[test]
fn traffic_both_ways_makes_asking_needless() {
    let mut link = Link::connected(&options());
    for _ in 0..10 {
        link.advance(secs(50));
        link.publish(1, QoS::AtMostOnce);
        assert_eq!(link.sent().len(), 9);
        link.feed(b"\x30\x03\x00\x01a");
    }
}

/// What was only appended did not reach the server.
#[test]
fn a_transport_that_takes_nothing_is_found_dead_too() {
    let mut link = Link::connected(&options());
    let begin = link.now;
    link.advance(secs(30));
    link.publish(1, QoS::AtLeastOnce);
    link.advance(secs(30));
    assert_eq!(link.session.unwritten(), 11 + 2, "PINGREQ is appended");
    assert_eq!(link.session.poll_timeout(), Some(begin + secs(90)));
    link.advance(secs(30));
    assert_eq!(link.session.failure(), Some(LinkFailure::KeepAliveTimeout));
    assert_eq!(link.session.poll_timeout(), None);
}

/// A long message ahead of PINGRESP on a slow link is a sign of life.
#[test]
fn bytes_that_come_after_the_question_give_the_answer_more_time() {
    let mut link = Link::connected(&options());
    link.advance(secs(60));
    assert_eq!(link.sent(), PINGREQ);
    link.feed(b"\x30\xff\x0f\x00\x01a");
    for _ in 0..2 {
        link.advance(secs(29));
        link.feed(&[b'x'; 240]);
        assert_eq!(link.session.poll_timeout(), Some(link.now + secs(30)));
    }
    link.advance(secs(30));
    assert_eq!(link.session.failure(), Some(LinkFailure::KeepAliveTimeout));
}

/// It would keep everything else away for as long as the packet is long.
#[test]
fn a_packet_that_comes_byte_by_byte_does_not_keep_a_link_alive() {
    let mut link = Link::connected(&options());
    link.feed(b"\x30\xff\xff\xff\x7f\x00\x01a");
    let begin = link.now;
    while link.session.failure().is_none() && link.now < begin + secs(1_000) {
        link.advance(secs(1));
        link.sent();
        link.feed(b"x");
    }
    assert_eq!(link.session.failure(), Some(LinkFailure::KeepAliveTimeout));
    assert!(link.now <= begin + secs(110));
}

/// A server that is busy may answer late.
#[test]
fn whole_packets_keep_a_link_alive_however_small_they_are() {
    let mut link = Link::connected(&options());
    link.advance(secs(60));
    assert_eq!(link.sent(), PINGREQ);
    for _ in 0..10 {
        link.advance(secs(29));
        link.feed(b"\x30\x03\x00\x01a");
        assert_eq!(link.session.poll_timeout(), Some(link.now + secs(30)));
    }
}

/// Writes so many bytes a second of what is there, until nothing is left or the link is over.
fn write_slowly(link: &mut Link, rate: usize) {
    let mut out = Vec::new();
    while link.session.failure().is_none() {
        link.session.poll_transmit(&mut out);
        if link.session.unwritten() == 0 {
            return;
        }
        link.advance(secs(1));
        link.session.handle_written(link.now, rate);
    }
}

/// It would go first on the next link, and end that too.
#[test]
fn a_message_that_takes_long_to_write_does_not_end_its_link() {
    for rate in [8, 100, 2_000] {
        let mut link = Link::connected(&options());
        let begin = link.now;
        let message = vec![0; 200_000];
        let published = link.session.publish(1, "a", &message, QoS::AtLeastOnce);
        assert_eq!(published, Ok(()));
        write_slowly(&mut link, rate);
        assert_eq!(link.session.failure(), None, "at {rate} bytes a second");
        assert!(link.now >= begin + secs(100));
        // The PINGREQ waited behind it; the answer has its half of an interval from now at least.
        link.advance(secs(29));
        assert_eq!(link.feed(b"\x40\x02\x00\x01"), ["acknowledged 1"]);
        assert_eq!(link.feed(PINGRESP), [""; 0]);
        assert_eq!(link.session.poll_timeout(), Some(link.now + secs(31)));
    }
}

#[test]
fn the_answer_has_as_much_longer_as_the_question_took_to_be_written() {
    let mut link = Link::connected(&options());
    let message = vec![0; 100_000];
    let published = link.session.publish(1, "a", &message, QoS::AtMostOnce);
    assert_eq!(published, Ok(()));
    let mut out = Vec::new();
    link.session.poll_transmit(&mut out);
    link.advance(secs(60));
    link.session.poll_transmit(&mut out);
    link.session.handle_written(link.now, 100_007);
    link.advance(secs(40));
    link.session.handle_written(link.now, 2);
    assert_eq!(link.session.unwritten(), 0);
    assert_eq!(link.session.poll_timeout(), Some(link.now + secs(30 + 40)));
    link.advance(secs(70));
    assert_eq!(link.session.failure(), Some(LinkFailure::KeepAliveTimeout));
}

#[test]
fn a_message_that_goes_out_byte_by_byte_does_not_keep_a_link_alive() {
    let mut link = Link::connected(&options());
    let begin = link.now;
    let published = link.session.publish(1, "a", &[0; 9_999], QoS::AtMostOnce);
    assert_eq!(published, Ok(()));
    write_slowly(&mut link, 1);
    assert_eq!(link.session.failure(), Some(LinkFailure::KeepAliveTimeout));
    assert!(link.now <= begin + secs(60 + 105), "{:?}", link.now - begin);
}

/// What waits for the transport would wait for ever.
#[test]
fn a_server_that_talks_on_and_takes_nothing_is_found_dead() {
    for is_asked in [false, true] {
        let mut link = Link::connected(&options());
        if is_asked {
            link.advance(secs(60));
            assert_eq!(link.sent(), PINGREQ);
        }
        link.publish(1, QoS::AtLeastOnce);
        let begin = link.now;
        while link.session.failure().is_none() && link.now < begin + secs(1_000) {
            link.advance(secs(15));
            link.feed(b"\x30\x03\x00\x01a");
        }
        assert_eq!(link.session.failure(), Some(LinkFailure::KeepAliveTimeout));
        assert!(link.now <= begin + secs(105), "{:?}", link.now - begin);
    }
}

#[test]
fn what_was_not_asked_yet_cannot_be_answered() {
    let mut link = Link::connected(&options());
    link.advance(secs(60));
    for _ in 0..3 {
        link.feed(PINGRESP);
        assert_eq!(link.session.unwritten(), 2, "asked once");
        assert_eq!(link.session.poll_timeout(), Some(link.now + secs(30)));
    }
    assert_eq!(link.sent(), PINGREQ);
    link.feed(PINGRESP);
    assert_eq!(link.session.poll_timeout(), Some(link.now + secs(60)));
}

#[test]
fn an_answer_nobody_asked_for_is_harmless() {
    let mut link = Link::connected(&options());
    assert_eq!(link.feed(PINGRESP), [""; 0]);
    link.advance(secs(60));
    assert_eq!(link.sent(), PINGREQ);
}

#[test]
fn without_an_interval_nothing_is_ever_due() {
    let mut options = options();
    options.keep_alive = None;
    let mut link = Link::connected(&options);
    assert_eq!(link.session.poll_timeout(), None);
    link.advance(secs(1_000_000));
    assert_eq!(link.sent(), b"");
}

#[test]
fn a_late_clock_does_what_is_due_and_no_more() {
    let mut link = Link::connected(&options());
    link.advance(secs(1_000));
    assert_eq!(link.sent(), PINGREQ, "asked before it is given up");
    assert_eq!(link.session.failure(), None);
    assert_eq!(link.session.poll_timeout(), Some(link.now + secs(30)));
}

#[test]
fn to_report_more_as_written_than_there_was_is_no_sign_of_life() {
    let mut link = Link::connected(&options());
    link.advance(secs(59));
    link.feed(b"\x30\x03\x00\x01a");
    link.session.handle_written(link.now, usize::MAX);
    link.advance(secs(1));
    assert_eq!(link.sent(), PINGREQ);
}
