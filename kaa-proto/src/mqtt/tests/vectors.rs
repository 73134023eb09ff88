//! The 94 boundary vectors on which codecs differ. Each side judges those that it can receive;
//! what only the other side can receive it refuses by type.

use super::*;

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Client,
    #[cfg(feature = "platform")]
    Server,
}

const CLIENT: &str = "client";
const SERVER: &str = "server";
const BOTH: &str = "client and server";

const ACCEPTED: bool = true;
const REFUSED: bool = false;

/// Who can receive it, which packet, what about it, its bytes, and what a strict reading demands.
type Vector = (
    &'static str,
    &'static str,
    &'static str,
    &'static [u8],
    bool,
);

/// A SUBSCRIBE to a server, a SUBACK to a client: of a PUBLISH only the payload is skipped.
const OVER_THE_LIMIT: &str = "remaining length over the limit (1 MiB)";

#[rustfmt::skip]
const VECTORS: [Vector; 94] = [
    (BOTH, "header", "packet type 0", b"\x00\x00", REFUSED),
    (BOTH, "header", "packet type 15", b"\xf0\x00", REFUSED),
    (BOTH, "header", "type 0, 100 bytes announced, none there", b"\x00\x64", REFUSED),
    (BOTH, "header", "remaining length of 5 bytes", b"\x30\x80\x80\x80\x80\x01", REFUSED),
    (BOTH, "header", OVER_THE_LIMIT, b"", REFUSED),
    (CLIENT, "CONNACK", "valid, code 0", b"\x20\x02\x00\x00", ACCEPTED),
    (CLIENT, "CONNACK", "valid, code 5", b"\x20\x02\x00\x05", ACCEPTED),
    (CLIENT, "CONNACK", "flag bits 0x21", b"\x21\x02\x00\x00", REFUSED),
    (CLIENT, "CONNACK", "reserved acknowledge-flag bits (0x02)", b"\x20\x02\x02\x00", REFUSED),
    (CLIENT, "CONNACK", "session present = 1 with code 5 [3.2.2-4]", b"\x20\x02\x01\x05", REFUSED),
    (CLIENT, "CONNACK", "code 6 (reserved)", b"\x20\x02\x00\x06", REFUSED),
    (CLIENT, "CONNACK", "remaining length 3", b"\x20\x03\x00\x00\x00", REFUSED),
    (CLIENT, "CONNACK", "remaining length 1", b"\x20\x01\x00", REFUSED),
    (BOTH, "PUBLISH", "valid, QoS 1, empty payload", b"\x32\x05\x00\x01\x61\x00\x01", ACCEPTED),
    (BOTH, "PUBLISH", "QoS 3 [3.3.1-4]", b"\x36\x05\x00\x01\x61\x00\x01", REFUSED),
    (BOTH, "PUBLISH", "DUP = 1 with QoS 0 [3.3.1-2]", b"\x38\x03\x00\x01\x61", REFUSED),
    (BOTH, "PUBLISH", "packet id 0 [2.3.1-1]", b"\x32\x05\x00\x01\x61\x00\x00", REFUSED),
    (BOTH, "PUBLISH", "zero-length topic [4.7.3-1]", b"\x30\x03\x00\x00\x61", REFUSED),
    (BOTH, "PUBLISH", "topic with # [3.3.2-2]", b"\x30\x05\x00\x03\x61\x2f\x23", REFUSED),
    (BOTH, "PUBLISH", "topic with + [3.3.2-2]", b"\x30\x05\x00\x03\x2b\x2f\x61", REFUSED),
    (BOTH, "PUBLISH", "topic with U+0000 [1.5.3-2]", b"\x30\x05\x00\x03\x61\x00\x62", REFUSED),
    (BOTH, "PUBLISH", "topic with a surrogate ED A0 80 [1.5.3-1]", b"\x30\x05\x00\x03\xed\xa0\x80", REFUSED),
    (BOTH, "PUBLISH", "topic length beyond the packet", b"\x30\x04\x00\x05\x61\x62", REFUSED),
    (BOTH, "PUBLISH", "topic length beyond the packet, next packet there", b"\x30\x04\x00\x05\x61\x62\x30\x03\x00\x01\x61", REFUSED),
    (BOTH, "PUBLISH", "packet id missing (QoS 1)", b"\x32\x03\x00\x01\x61", REFUSED),
    (BOTH, "PUBLISH", "packet id missing (QoS 1), next packet there", b"\x32\x03\x00\x01\x61\x30\x03\x00\x01\x61", REFUSED),
    (BOTH, "PUBLISH", "remaining length 0", b"\x30\x00", REFUSED),
    (BOTH, "PUBLISH", "remaining length 1", b"\x30\x01\x00", REFUSED),
    (BOTH, "PUBACK", "wrong flag bits", b"\x42\x02\x00\x01", REFUSED),
    (BOTH, "PUBACK", "packet id 0", b"\x40\x02\x00\x00", REFUSED),
    (BOTH, "PUBACK", "remaining length 3", b"\x40\x03\x00\x01\x00", REFUSED),
    (BOTH, "PUBACK", "remaining length 4", b"\x40\x04\x00\x01\x00\x00", REFUSED),
    (BOTH, "PUBACK", "remaining length 1", b"\x40\x01\x00", REFUSED),
    (BOTH, "PUBACK", "remaining length 1, next packet there", b"\x40\x01\x00\x40\x02\x00\x01", REFUSED),
    (BOTH, "PUBACK", "remaining length 0", b"\x40\x00", REFUSED),
    (BOTH, "PUBREC", "wrong flag bits", b"\x52\x02\x00\x01", REFUSED),
    (BOTH, "PUBREC", "packet id 0", b"\x50\x02\x00\x00", REFUSED),
    (BOTH, "PUBREC", "remaining length 3", b"\x50\x03\x00\x01\x00", REFUSED),
    (BOTH, "PUBREC", "remaining length 4", b"\x50\x04\x00\x01\x00\x00", REFUSED),
    (BOTH, "PUBREC", "remaining length 1", b"\x50\x01\x00", REFUSED),
    (BOTH, "PUBREC", "remaining length 1, next packet there", b"\x50\x01\x00\x50\x02\x00\x01", REFUSED),
    (BOTH, "PUBREC", "remaining length 0", b"\x50\x00", REFUSED),
    (BOTH, "PUBREL", "wrong flag bits", b"\x60\x02\x00\x01", REFUSED),
    (BOTH, "PUBREL", "packet id 0", b"\x62\x02\x00\x00", REFUSED),
    (BOTH, "PUBREL", "remaining length 3", b"\x62\x03\x00\x01\x00", REFUSED),
    (BOTH, "PUBREL", "remaining length 4", b"\x62\x04\x00\x01\x00\x00", REFUSED),
    (BOTH, "PUBREL", "remaining length 1", b"\x62\x01\x00", REFUSED),
    (BOTH, "PUBREL", "remaining length 1, next packet there", b"\x62\x01\x00\x62\x02\x00\x01", REFUSED),
    (BOTH, "PUBREL", "remaining length 0", b"\x62\x00", REFUSED),
    (BOTH, "PUBCOMP", "wrong flag bits", b"\x72\x02\x00\x01", REFUSED),
    (BOTH, "PUBCOMP", "packet id 0", b"\x70\x02\x00\x00", REFUSED),
    (BOTH, "PUBCOMP", "remaining length 3", b"\x70\x03\x00\x01\x00", REFUSED),
    (BOTH, "PUBCOMP", "remaining length 4", b"\x70\x04\x00\x01\x00\x00", REFUSED),
    (BOTH, "PUBCOMP", "remaining length 1", b"\x70\x01\x00", REFUSED),
    (BOTH, "PUBCOMP", "remaining length 1, next packet there", b"\x70\x01\x00\x70\x02\x00\x01", REFUSED),
    (BOTH, "PUBCOMP", "remaining length 0", b"\x70\x00", REFUSED),
    (CLIENT, "UNSUBACK", "wrong flag bits", b"\xb2\x02\x00\x01", REFUSED),
    (CLIENT, "UNSUBACK", "packet id 0", b"\xb0\x02\x00\x00", REFUSED),
    (CLIENT, "UNSUBACK", "remaining length 3", b"\xb0\x03\x00\x01\x00", REFUSED),
    (CLIENT, "UNSUBACK", "remaining length 4", b"\xb0\x04\x00\x01\x00\x00", REFUSED),
    (CLIENT, "UNSUBACK", "remaining length 1", b"\xb0\x01\x00", REFUSED),
    (CLIENT, "UNSUBACK", "remaining length 1, next packet there", b"\xb0\x01\x00\xb0\x02\x00\x01", REFUSED),
    (CLIENT, "UNSUBACK", "remaining length 0", b"\xb0\x00", REFUSED),
    (CLIENT, "SUBACK", "valid 0,1,2,0x80", b"\x90\x06\x00\x01\x00\x01\x02\x80", ACCEPTED),
    (CLIENT, "SUBACK", "wrong flag bits", b"\x92\x06\x00\x01\x00\x01\x02\x80", REFUSED),
    (CLIENT, "SUBACK", "return code 3 [3.9.3-2]", b"\x90\x06\x00\x01\x00\x01\x02\x03", REFUSED),
    (CLIENT, "SUBACK", "no return codes", b"\x90\x02\x00\x01", REFUSED),
    (CLIENT, "SUBACK", "packet id 0", b"\x90\x06\x00\x00\x00\x01\x02\x80", REFUSED),
    (CLIENT, "PINGRESP", "wrong flag bits", b"\xd5\x00", REFUSED),
    (CLIENT, "PINGRESP", "remaining length 1", b"\xd0\x01\x00", REFUSED),
    (SERVER, "SUBSCRIBE", "no filters [3.8.3-3]", b"\x82\x02\x00\x01", REFUSED),
    (SERVER, "SUBSCRIBE", "wrong flag bits [3.8.1-1]", b"\x80\x06\x00\x01\x00\x01\x61\x00", REFUSED),
    (SERVER, "SUBSCRIBE", "reserved option bits [3-8.3-4]", b"\x82\x06\x00\x01\x00\x01\x61\x04", REFUSED),
    (SERVER, "SUBSCRIBE", "QoS 3", b"\x82\x06\x00\x01\x00\x01\x61\x03", REFUSED),
    (SERVER, "SUBSCRIBE", "packet id 0", b"\x82\x06\x00\x00\x00\x01\x61\x00", REFUSED),
    (SERVER, "SUBSCRIBE", "filter a/#/b", b"\x82\x0a\x00\x01\x00\x05\x61\x2f\x23\x2f\x62\x00", REFUSED),
    (SERVER, "SUBSCRIBE", "filter a+", b"\x82\x07\x00\x01\x00\x02\x61\x2b\x00", REFUSED),
    (SERVER, "SUBSCRIBE", "empty filter", b"\x82\x05\x00\x01\x00\x00\x00", REFUSED),
    (SERVER, "UNSUBSCRIBE", "no filters [3.10.3-2]", b"\xa2\x02\x00\x01", REFUSED),
    (SERVER, "UNSUBSCRIBE", "wrong flag bits", b"\xa0\x05\x00\x01\x00\x01\x61", REFUSED),
    (SERVER, "UNSUBSCRIBE", "packet id 0", b"\xa2\x05\x00\x00\x00\x01\x61", REFUSED),
    (SERVER, "PINGREQ", "remaining length 1", b"\xc0\x01\x00", REFUSED),
    (SERVER, "DISCONNECT", "wrong flag bits [3.14.1-1]", b"\xe1\x00", REFUSED),
    (SERVER, "DISCONNECT", "remaining length 1", b"\xe0\x01\x00", REFUSED),
    (SERVER, "CONNECT", "valid, clean", b"\x10\x0d\x00\x04\x4d\x51\x54\x54\x04\x02\x00\x0a\x00\x01\x63", ACCEPTED),
    (SERVER, "CONNECT", "wrong flag bits", b"\x11\x0d\x00\x04\x4d\x51\x54\x54\x04\x02\x00\x0a\x00\x01\x63", REFUSED),
    (SERVER, "CONNECT", "reserved connect flag set [3.1.2-3]", b"\x10\x0d\x00\x04\x4d\x51\x54\x54\x04\x03\x00\x0a\x00\x01\x63", REFUSED),
    (SERVER, "CONNECT", "password without user name [3.1.2-22]", b"\x10\x10\x00\x04\x4d\x51\x54\x54\x04\x42\x00\x0a\x00\x01\x63\x00\x01\x70", REFUSED),
    (SERVER, "CONNECT", "binary password (valid)", b"\x10\x14\x00\x04\x4d\x51\x54\x54\x04\xc2\x00\x0a\x00\x01\x63\x00\x01\x75\x00\x02\xff\x00", ACCEPTED),
    (SERVER, "CONNECT", "will QoS without will flag", b"\x10\x0d\x00\x04\x4d\x51\x54\x54\x04\x0a\x00\x0a\x00\x01\x63", REFUSED),
    (SERVER, "CONNECT", "will QoS 3", b"\x10\x13\x00\x04\x4d\x51\x54\x54\x04\x1e\x00\x0a\x00\x01\x63\x00\x01\x77\x00\x01\x78", REFUSED),
    (SERVER, "CONNECT", "empty client id, clean session 0 [3.1.3-8]", b"\x10\x0c\x00\x04\x4d\x51\x54\x54\x04\x00\x00\x0a\x00\x00", REFUSED),
    (SERVER, "CONNECT", "level 5 with a v4 body", b"\x10\x0d\x00\x04\x4d\x51\x54\x54\x05\x02\x00\x0a\x00\x01\x63", REFUSED),
    (SERVER, "CONNECT", "trailing bytes", b"\x10\x0e\x00\x04\x4d\x51\x54\x54\x04\x02\x00\x0a\x00\x01\x63\x00", REFUSED),
];

/// Whether `side` takes `bytes`, at the time when it may: CONNACK and CONNECT come first.
fn judge(side: Side, packet: &str, bytes: &[u8]) -> bool {
    match side {
        Side::Client => {
            let mut options = options();
            options.max_packet_in = 65_536;
            let mut link = match packet {
                "CONNACK" => Link::new(&options),
                _ => Link::connected(&options),
            };
            if packet != "CONNACK" {
                let filters = ["a", "b", "c", "d"].map(|filter| (filter, QoS::AtMostOnce));
                link.session.subscribe(1, &filters).unwrap();
            }
            link.sent();
            let seen = link.feed(bytes);
            seen.iter().all(|seen| !seen.starts_with("failed"))
        }
        #[cfg(feature = "platform")]
        Side::Server => {
            let mut server = match packet {
                "CONNECT" => server::Server::new(),
                _ => server::Server::connected(),
            };
            let seen = server.feed(bytes);
            seen.iter().all(|seen| !seen.starts_with("failed"))
        }
    }
}

fn check(side: Side, name: &str, count: usize, over_the_limit: &[u8]) {
    let mut judged = 0;
    for (sides, packet, what, bytes, must) in VECTORS {
        let bytes = match what {
            OVER_THE_LIMIT => over_the_limit,
            _ => bytes,
        };
        if sides.contains(name) {
            judged += 1;
            assert_eq!(judge(side, packet, bytes), must, "{packet}: {what}");
        } else {
            assert!(!judge(side, "", bytes), "{packet} of the wrong end: {what}");
        }
    }
    assert_eq!(judged, count);
}

#[test]
fn the_client_judges_all_that_a_server_can_send() {
    check(Side::Client, CLIENT, 70, b"\x90\x80\x80\x40");
}

#[cfg(feature = "platform")]
#[test]
fn the_server_judges_all_that_a_client_can_send() {
    check(Side::Server, SERVER, 72, b"\x82\x80\x80\x40");
}

/// One byte more or less would test another thing than the name says.
#[test]
fn the_announced_lengths_are_those_of_the_packets() {
    for (_, packet, what, bytes, _) in VECTORS {
        let (Some(&announced), true) = (bytes.get(1), packet != "header") else {
            continue;
        };
        let whole = bytes.len() == 2 + usize::from(announced);
        assert!(
            whole || what.ends_with("next packet there"),
            "{packet}: {what}"
        );
    }
}
