use super::super::{AuthFailure, LinkId, PlatformOptions, Secret, User, UserState};
use super::{ACCEPTED, ANONYMOUS, CONFIRMED, Net, SAMPLE};

/// User `u@1` with password `pw`.
const GOOD: &[u8] = b"\x10\x16\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01c\x00\x03u@1\x00\x02pw";
const BAD: &[u8] = b"\x10\x16\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01c\x00\x03u@1\x00\x02no";
const STRANGER: &[u8] = b"\x10\x16\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01c\x00\x03x@1\x00\x02pw";
const SUSPENDED: &[u8] = b"\x10\x16\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01c\x00\x03s@1\x00\x02pw";
/// User `u@1` without password.
const HALF: &[u8] = b"\x10\x12\x00\x04MQTT\x04\x82\x00\x3c\x00\x01c\x00\x03u@1";

fn net(auth_failure: AuthFailure) -> Net {
    let user = |name: &str, state| User {
        name: name.into(),
        password: Secret::new("pw"),
        state,
    };
    let mut options = PlatformOptions {
        users: vec![
            user("u@1", UserState::Active),
            user("s@1", UserState::Suspended),
        ],
        ..PlatformOptions::default()
    };
    options.switches.auth_failure = auth_failure;
    assert!(!format!("{options:?}").contains("pw"));
    Net::with(options)
}

fn open(net: &mut Net, connect: &[u8]) -> (LinkId, Vec<u8>) {
    let link = net.server.handle_accepted(net.now);
    let answer = net.exchange(link, connect);
    (link, answer)
}

#[test]
fn trap_33_the_user_name_is_taken_whole_and_a_wrong_login_refused_by_the_connack() {
    let mut net = net(AuthFailure::Connack);
    let (link, answer) = open(&mut net, GOOD);
    assert_eq!(answer, ACCEPTED);
    assert_eq!(net.exchange(link, SAMPLE), CONFIRMED);
    for (connect, code) in [
        (BAD, 4),
        (STRANGER, 4),
        (HALF, 4),
        (SUSPENDED, 5),
        (ANONYMOUS, 5),
    ] {
        let (link, answer) = open(&mut net, connect);
        assert_eq!(answer, [0x20, 2, 0, code]);
        assert_eq!(net.server.poll_hang_up(), Some(link));
        assert!(net.saw(&format!("login-refused code={code}")));
        assert_eq!(net.exchange(link, SAMPLE), b"");
    }
    // Nobody was evicted by a client that was not let in.
    assert_eq!(net.exchange(link, SAMPLE), CONFIRMED);
}

#[test]
fn trap_32_a_wrong_login_may_be_dropped_at_the_first_publish() {
    let mut net = net(AuthFailure::DropAtPublish);
    let (link, answer) = open(&mut net, BAD);
    assert_eq!(answer, ACCEPTED);
    assert_eq!(net.exchange(link, b"\xc0\x00"), b"\xd0\x00");
    assert_eq!(net.server.poll_hang_up(), None);
    assert_eq!(net.exchange(link, SAMPLE), b"");
    assert_eq!(net.server.poll_hang_up(), Some(link));
    assert!(net.server.platform().endpoints().next().is_none());
}
