//! Links that come and go.

use super::*;
use crate::mqtt::ConnectRefusal;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn start() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "any instant will do")]
    Instant::now()
}

fn link(now: Instant) -> Link {
    link_that_gives_up(now, false)
}

fn link_that_gives_up(now: Instant, give_up: bool) -> Link {
    let times = Times {
        dial_within: secs(20),
        hang_up_within: secs(2),
        stable_after: secs(30),
    };
    let backoff = Backoff::new(secs(1), secs(120), secs(900));
    Link::new(now, times, backoff, give_up, Rng::new(1))
}

/// From dialing to up.
fn bring_up(link: &mut Link, now: Instant) {
    assert!(link.handle_connected(link.id()));
    link.handle_greeted(now);
    assert_eq!(link.state(), LinkState::Up);
}

/// Waits until the next dial.
fn wait(link: &mut Link, now: &mut Instant) {
    while let LinkState::Waiting { until } = link.state() {
        *now = until;
        assert_eq!(link.handle_timeout(*now), None);
    }
    assert_eq!(link.state(), LinkState::Dialing);
}

fn refused() -> LinkError {
    LinkError::Refused(ConnectRefusal::BadLogin)
}

#[test]
fn the_first_dial_is_wanted_at_once_and_asking_twice_is_harmless() {
    let link = link(start());
    assert_eq!(link.demand(), Demand::Dial(LinkId(1)));
    assert_eq!(link.demand(), Demand::Dial(LinkId(1)));
}

#[test]
fn a_dial_that_takes_too_long_is_given_up_and_its_transport_is_not_wanted_later() {
    let mut now = start();
    let mut link = link(now);
    now += secs(20);
    assert_eq!(link.poll_timeout(), Some(now));
    let loss = link.handle_timeout(now).unwrap();
    assert_eq!(
        (loss.error, loss.was),
        (LinkError::DialTimeout, LinkState::Dialing)
    );
    assert_eq!(link.demand(), Demand::Rest);
    assert!(!link.handle_connected(LinkId(1)));
    assert!(link.poll_timeout() > Some(now));
    wait(&mut link, &mut now);
    assert_eq!(link.demand(), Demand::Dial(LinkId(2)));
    assert!(!link.handle_connected(LinkId(1)) && link.handle_connected(LinkId(2)));
}

#[test]
fn a_dead_link_reported_late_does_not_disturb_its_successor() {
    let mut now = start();
    let mut link = link(now);
    bring_up(&mut link, now);
    link.handle_disconnected(now, LinkId(1), LinkError::Eof);
    wait(&mut link, &mut now);
    bring_up(&mut link, now);
    assert_eq!(
        link.handle_disconnected(now, LinkId(1), LinkError::Eof),
        None
    );
    assert_eq!(link.demand(), Demand::Exchange(LinkId(2)));
}

#[test]
fn a_link_given_up_is_hung_up_and_waits_for_no_close_for_ever() {
    let mut now = start();
    let mut link = link(now);
    bring_up(&mut link, now);
    let loss = link.hang_up(now, LinkError::KeepAliveTimeout).unwrap();
    assert_eq!(loss.was, LinkState::Up);
    assert_eq!(link.demand(), Demand::Abandon(LinkId(1)));
    assert_eq!(link.hang_up(now, LinkError::Eof), None);
    now += secs(2);
    assert_eq!(link.poll_timeout(), Some(now));
    assert_eq!(link.handle_timeout(now), None);
    assert!(matches!(link.demand(), Demand::Rest | Demand::Dial(_)));
    // The close that came too late.
    assert_eq!(
        link.handle_disconnected(now, LinkId(1), LinkError::Eof),
        None
    );
}

/// The longest of many delays after `failures` links that lived for `life` each.
fn longest_delay_after(failures: usize, life: Duration) -> Duration {
    let delays = (0..200).map(|seed| {
        let mut now = start();
        let mut link = link(now);
        link.rng = Rng::new(seed);
        let mut delay = Duration::ZERO;
        for _ in 0..failures {
            bring_up(&mut link, now);
            now += life;
            let loss = link.handle_disconnected(now, link.id(), LinkError::Eof);
            delay = loss.unwrap().next_dial.unwrap() - now;
            wait(&mut link, &mut now);
        }
        delay
    });
    delays.max().unwrap()
}

/// FACTS trap 32: CONNACK alone proves nothing, the platform may drop the link at the first
/// message.
#[test]
fn trap_32_the_delay_grows_while_links_die_before_they_are_stable() {
    assert!(longest_delay_after(8, secs(29)) > secs(100));
    assert!(longest_delay_after(8, secs(30)) <= secs(1));
}

#[test]
fn what_needs_an_operator_is_retried_slowly_and_for_ever() {
    let mut now = start();
    let mut link = link(now);
    let tls = LinkError::TlsWanted;
    for error in [refused(), tls, refused()] {
        assert!(link.handle_connected(link.id()));
        let loss = link.hang_up(now, error).unwrap();
        let delay = loss.next_dial.unwrap() - now;
        assert!(delay >= secs(675) && delay <= secs(1_125), "{delay:?}");
        link.handle_disconnected(now, link.id(), LinkError::Eof);
        wait(&mut link, &mut now);
    }
}

#[test]
fn a_refusal_ends_it_only_if_that_was_asked_for() {
    let now = start();
    let mut link = link_that_gives_up(now, true);
    assert!(link.handle_connected(link.id()));
    assert_eq!(link.hang_up(now, refused()).unwrap().next_dial, None);
    link.handle_disconnected(now, link.id(), LinkError::Eof);
    assert_eq!(link.demand(), Demand::Finished);
    let mut link = link_that_gives_up(now, true);
    link.handle_disconnected(now, link.id(), LinkError::Eof);
    assert_eq!(link.demand(), Demand::Rest);
}

#[test]
fn dialing_now_cuts_the_wait_also_while_hanging_up() {
    let now = start();
    let mut link = link(now);
    assert!(link.handle_connected(link.id()));
    link.hang_up(now, refused());
    link.dial_now(now);
    link.handle_disconnected(now, link.id(), LinkError::Eof);
    assert_eq!(link.demand(), Demand::Dial(LinkId(2)));
    link.handle_disconnected(now, link.id(), refused());
    assert_eq!(link.demand(), Demand::Rest);
    link.dial_now(now);
    assert_eq!(link.demand(), Demand::Dial(LinkId(3)));
    link.dial_now(now);
    assert_eq!(link.demand(), Demand::Dial(LinkId(3)));
}

#[test]
fn finishing_hangs_up_where_there_is_a_transport() {
    let now = start();
    let mut up = link(now);
    bring_up(&mut up, now);
    up.finish(now);
    assert_eq!(up.demand(), Demand::HangUp(LinkId(1)));
    up.handle_timeout(now + secs(2));
    assert_eq!((up.demand(), up.poll_timeout()), (Demand::Finished, None));
    let mut dialing = link(now);
    dialing.finish(now);
    assert_eq!(dialing.demand(), Demand::Finished);
    dialing.dial_now(now);
    assert_eq!(dialing.demand(), Demand::Finished);
}

#[test]
fn finishing_a_link_that_failed_says_no_goodbye() {
    let now = start();
    let mut link = link(now);
    bring_up(&mut link, now);
    link.hang_up(now, LinkError::KeepAliveTimeout);
    link.finish(now);
    assert_eq!(link.demand(), Demand::Abandon(LinkId(1)));
    link.handle_disconnected(now, LinkId(1), LinkError::Eof);
    assert_eq!(link.demand(), Demand::Finished);
}
