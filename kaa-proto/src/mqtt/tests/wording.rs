//! What is told to people: what is wrong, in words, and never more than that.

use crate::mqtt::{
    ConnectRefusal, FilterRefused, Incoming, InvalidTopic, LinkFailure, Oversize, PacketType,
    PublishError, SessionError, SubscribeError, Violation,
};

use super::*;

#[test]
fn what_was_not_sent_says_why() {
    let cases = [
        (PublishError::NotConnected, "not connected"),
        (PublishError::OutputFull, "too many bytes are unwritten"),
        (
            PublishError::WindowFull,
            "too many messages are unacknowledged",
        ),
        (
            PublishError::TooLarge { size: 9, limit: 8 },
            "the packet has 9 bytes, over the limit of 8",
        ),
        (
            PublishError::BadTopic(InvalidTopic::Empty),
            "the topic is empty",
        ),
        (
            PublishError::BadTopic(InvalidTopic::TooLong),
            "the topic is longer than 65535 bytes",
        ),
    ];
    for (error, text) in cases {
        assert_eq!(error.to_string(), text);
    }
    let cases = [
        (SubscribeError::NotConnected, "not connected"),
        (SubscribeError::OutputFull, "too many bytes are unwritten"),
        (
            SubscribeError::WindowFull,
            "too many subscribes are unanswered",
        ),
        (
            SubscribeError::TooLarge { size: 9, limit: 8 },
            "the packet has 9 bytes, over the limit of 8",
        ),
        (SubscribeError::NoFilters, "there are no filters"),
        (
            SubscribeError::BadFilter {
                index: 2,
                problem: InvalidTopic::Wildcard,
            },
            "filter 2 has a wildcard where none may be",
        ),
    ];
    for (error, text) in cases {
        assert_eq!(error.to_string(), text);
    }
    assert_eq!(FilterRefused.to_string(), "the server refused the filter");
}

#[test]
fn the_end_of_a_link_says_why() {
    let refused = |refusal| LinkFailure::Refused(refusal).to_string();
    let cases = [
        (
            refused(ConnectRefusal::ProtocolVersion),
            "connect refused: the server does not speak MQTT 3.1.1",
        ),
        (
            refused(ConnectRefusal::ClientId),
            "connect refused: the server refuses the client identifier",
        ),
        (
            refused(ConnectRefusal::ServerUnavailable),
            "connect refused: the server is not available",
        ),
        (
            refused(ConnectRefusal::BadLogin),
            "connect refused: the user name or the password is wrong",
        ),
        (
            refused(ConnectRefusal::NotAuthorized),
            "connect refused: the client may not connect",
        ),
        (
            LinkFailure::NoConnAck.to_string(),
            "the server did not answer CONNECT in time",
        ),
        (
            LinkFailure::KeepAliveTimeout.to_string(),
            "the server did not answer PINGREQ in time",
        ),
        (
            LinkFailure::Unacknowledged.to_string(),
            "the server did not acknowledge a message in time",
        ),
        (
            LinkFailure::Violation(Violation::ProtocolName).to_string(),
            "protocol violation: CONNECT for another protocol",
        ),
        (
            Violation::Nul(PacketType::Connect).to_string(),
            "CONNECT with U+0000 in a text",
        ),
        (
            Violation::Malformed(PacketType::SubAck).to_string(),
            "SUBACK that cannot be read",
        ),
    ];
    for (told, text) in cases {
        assert_eq!(told, text);
    }
}

#[test]
fn an_option_out_of_range_is_named_with_its_range() {
    let cases = [
        (
            SessionError::ClientId,
            "the client identifier is too long or holds U+0000",
        ),
        (
            SessionError::User,
            "the user name is too long or holds U+0000",
        ),
        (
            SessionError::Password,
            "the password is longer than 65535 bytes",
        ),
        (
            SessionError::KeepAlive,
            "the keep alive is not a whole number of seconds from 1 to 65535",
        ),
        (
            SessionError::MaxPacketIn,
            "max_packet_in is not from 64 to 268435460 bytes",
        ),
        (
            SessionError::MaxPacketOut,
            "max_packet_out is not from 64 to 268435460 bytes",
        ),
        (
            SessionError::MaxInFlight,
            "max_in_flight is not from 1 to 32767",
        ),
        (
            SessionError::HighWater,
            "high_water is not from 1 to 268435460 bytes",
        ),
        (
            SessionError::ConnAckWithin,
            "connack_within is not from 1 ms to 1 h",
        ),
        (
            SessionError::AcknowledgeWithin,
            "acknowledge_within is not from 1 s to 1 h",
        ),
    ];
    for (error, text) in cases {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_token_in_a_topic_is_shortened() {
    let oversize = Oversize {
        topic: "kp1/v/dcx/JTjdbENzHh/json",
        size: 9,
        qos: QoS::AtMostOnce,
    };
    assert_eq!(
        format!("{oversize:?}"),
        "Oversize { topic: \"kp1/v/dcx/JTj…/json\", size: 9, qos: AtMostOnce }"
    );
}

#[test]
fn a_subscribe_has_one_result_for_each_filter() {
    let mut link = Link::connected(&options());
    let filters = [("a", QoS::AtLeastOnce), ("b", QoS::AtLeastOnce)];
    link.session.subscribe(7, &filters).unwrap();
    link.sent();
    let mut input: &[u8] = b"\x90\x04\x00\x01\x01\x80";
    let Some(Incoming::Subscribed { granted, .. }) =
        link.session.handle_input(link.now, &mut input)
    else {
        panic!("SUBACK was not taken for one");
    };
    assert!(granted.len() == 2 && granted.iter().len() == 2 && !granted.is_empty());
}

#[cfg(feature = "platform")]
#[test]
fn the_end_of_a_client_says_why() {
    use crate::mqtt::server::ServerFailure;

    let cases = [
        (ServerFailure::NoConnect, "no CONNECT in time"),
        (
            ServerFailure::Refused(ConnectRefusal::NotAuthorized),
            "connect refused: the client may not connect",
        ),
        (
            ServerFailure::KeepAliveTimeout,
            "the client was silent for too long",
        ),
        (
            ServerFailure::Violation(Violation::RemainingLength),
            "protocol violation: remaining length of more than four bytes",
        ),
    ];
    for (failure, text) in cases {
        assert_eq!(failure.to_string(), text);
    }
}
