//! A world in which some endpoints get the link dropped, or the link drops by itself.

use super::*;

const STABLE: Duration = Duration::from_secs(30);
const SLOW: Duration = Duration::from_secs(900);

/// Endpoints that speak as soon as they may, and a platform that drops the link over some.
struct World {
    suspects: Suspects<u32>,
    all: BTreeSet<u32>,
    bad: BTreeSet<u32>,
    now: Instant,
    /// What was found so far.
    verdicts: Vec<Verdict<u32>>,
    /// Links that died.
    deaths: u32,
    /// How long a link lives whatever is said on it.
    life: Option<Duration>,
}

impl World {
    fn new(count: u32, bad: &[u32]) -> Self {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        Self {
            suspects: Suspects::new(3, STABLE, SLOW, Rng::new(5)),
            all: (0..count).collect(),
            bad: bad.iter().copied().collect(),
            now,
            verdicts: Vec::new(),
            deaths: 0,
            life: None,
        }
    }

    /// One link, until it dies or `until`. All who may speak do before the platform drops it.
    fn live(&mut self, until: Instant) {
        if !self.suspects.is_up {
            self.now += Duration::from_secs(1);
            self.suspects.handle_link_up(self.now);
        }
        let end = self.life.map(|life| self.now + life);
        let mut speakers: Vec<_> = self.all.iter().copied().collect();
        loop {
            speakers.retain(|key| self.suspects.may_speak(*key));
            for key in &speakers {
                self.suspects.handle_spoke(*key);
            }
            if speakers.iter().any(|key| self.bad.contains(key)) {
                return self.die();
            }
            let due = self.suspects.poll_timeout();
            let next = due.into_iter().chain(end).min();
            let Some(next) = next.filter(|next| *next <= until) else {
                self.now = until;
                return;
            };
            self.now = next;
            if end == Some(next) {
                return self.die();
            }
            self.suspects.handle_timeout(self.now, |_| true);
            let due = self.suspects.poll_timeout();
            assert!(due.is_none_or(|due| due > self.now));
            self.collect();
            speakers = std::iter::from_fn(|| self.suspects.poll_released()).collect();
        }
    }

    fn die(&mut self) {
        self.deaths += 1;
        let all = self.all.iter().copied();
        self.suspects.handle_link_down(self.now, true, all);
        self.collect();
        while self.suspects.poll_released().is_some() {}
    }

    fn collect(&mut self) {
        let found = std::iter::from_fn(|| self.suspects.poll_verdict());
        self.verdicts.extend(found);
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.live(until);
        }
    }

    fn run_until_found(&mut self) {
        while self.verdicts.last() != Some(&Verdict::SearchEnded) {
            self.run(STABLE);
        }
    }

    fn suspended(&self) -> Vec<u32> {
        let silent = |key: &&u32| !self.suspects.may_speak(**key);
        self.all.iter().filter(silent).copied().collect()
    }
}

/// FACTS trap 34.
#[test]
fn trap_34_one_bad_endpoint_of_ten_thousand_is_found_by_halves() {
    for bad in [0, 1, 4_999, 5_000, 7_777, 9_999] {
        let mut world = World::new(10_000, &[bad]);
        world.run_until_found();
        assert_eq!(world.suspended(), [bad]);
        assert!(world.deaths <= 3 + 14, "{bad}: {} deaths", world.deaths);
        assert!(world.verdicts.contains(&Verdict::Suspended(bad)));
    }
}

#[test]
fn several_bad_endpoints_are_all_found_and_nobody_else() {
    for bad in [&[3, 4][..], &[0, 9_999], &[17, 4_000, 8_888]] {
        let mut world = World::new(10_000, bad);
        world.run_until_found();
        assert_eq!(world.suspended(), bad);
        let most = 3 + 15 * bad.len() as u32;
        assert!(world.deaths <= most, "{bad:?}: {} deaths", world.deaths);
    }
}

#[test]
fn who_is_silent_while_on_trial_is_not_blamed_for_the_death() {
    let mut world = World::new(4, &[2]);
    for _ in 0..3 {
        world.suspects.handle_link_up(world.now);
        world.suspects.handle_spoke(2);
        world.die();
    }
    world.run_until_found();
    assert_eq!(world.suspended(), [2]);
    // The three, and one in the trial of those who had spoken.
    assert_eq!(world.deaths, 4);
}

/// FACTS trap 32: the cause may as well be the link.
#[test]
fn trap_32_links_that_die_anyway_suspend_nobody() {
    for life in [1, 5, 29] {
        let mut world = World::new(100, &[]);
        world.life = Some(Duration::from_secs(life));
        world.run(Duration::from_secs(7_200));
        let suspended = |v: &Verdict<u32>| matches!(v, Verdict::Suspended(_));
        assert!(!world.verdicts.iter().any(suspended));
        // Searches get rare: most links serve everybody.
        let started = |v: &&Verdict<u32>| matches!(v, Verdict::SearchStarted(_));
        let searches = world.verdicts.iter().filter(started).count() as u32;
        assert!(searches <= 6 + world.deaths / 64, "{searches}");
        world.life = None;
        world.run(Duration::from_secs(60));
        assert!(world.suspended().is_empty());
    }
}

#[test]
fn whoever_is_suspended_is_tried_alone_later_and_cleared_when_it_does_no_harm() {
    let mut world = World::new(8, &[5]);
    world.run_until_found();
    assert_eq!(world.suspended(), [5]);
    let before = world.deaths;
    world.run(Duration::from_secs(3_600));
    assert_eq!(world.suspended(), [5]);
    let tries = world.deaths - before;
    assert!((2..=5).contains(&tries), "{tries}");
    world.bad.clear();
    world.run(Duration::from_secs(1_200));
    assert!(world.suspended().is_empty());
    assert_eq!(world.verdicts.last(), Some(&Verdict::Resumed(5)));
    assert_eq!(world.deaths, before + tries);
}

#[test]
fn whoever_leaves_while_it_is_tried_alone_is_cleared_of_nothing() {
    let mut world = World::new(8, &[5]);
    world.run_until_found();
    world.bad.clear();
    while !world.suspects.is_on_probation(5) {
        world.run(Duration::from_secs(1));
    }
    world.suspects.remove(5);
    assert!(!world.suspects.is_on_probation(5));
    world.all.remove(&5);
    world.run(2 * STABLE);
    assert!(world.suspended().is_empty());
    assert!(!world.verdicts.contains(&Verdict::Resumed(5)));
}

#[test]
fn whoever_kept_silent_in_a_trial_that_died_is_tried_again_and_cleared() {
    let mut world = World::new(4, &[0]);
    (0..3).for_each(|_| world.live(world.now + SLOW));
    world.suspects.handle_link_up(world.now);
    world.now += STABLE;
    world.suspects.handle_timeout(world.now, |_| true);
    // The silence is over: the first half is on trial, and one of the two speaks.
    assert!(world.suspects.may_speak(0) && world.suspects.may_speak(1));
    assert!(!world.suspects.may_speak(2));
    world.suspects.handle_spoke(0);
    world.die();
    assert!(world.verdicts.contains(&Verdict::Suspended(0)));
    assert!((1..4).all(|key| world.suspects.may_speak(key)));
    world.run(STABLE * 2);
    assert_eq!(world.suspended(), [0]);
}

#[test]
fn a_link_that_dies_although_nobody_speaks_ends_the_search_at_once() {
    let mut world = World::new(4, &[0]);
    (0..3).for_each(|_| world.live(world.now + SLOW));
    assert_eq!(world.verdicts, [Verdict::SearchStarted(4)]);
    world.suspects.handle_link_up(world.now);
    world.die();
    assert_eq!(world.verdicts.last(), Some(&Verdict::SearchEnded));
    assert!(world.suspended().is_empty());
}

#[test]
fn whoever_was_silent_when_the_link_died_is_tried_again_at_once() {
    let mut world = World::new(8, &[5]);
    world.run_until_found();
    world.bad.clear();
    world.run(STABLE);
    world.now = world.suspects.poll_timeout().unwrap();
    world.suspects.handle_timeout(world.now, |_| true);
    assert!(world.suspects.may_speak(5));
    world.die();
    assert!(!world.suspects.may_speak(5));
    world.run(STABLE * 3);
    assert_eq!(world.verdicts.last(), Some(&Verdict::Resumed(5)));
}

#[test]
fn one_endpoint_alone_is_never_searched_for() {
    let mut world = World::new(1, &[0]);
    for _ in 0..50 {
        world.live(world.now + Duration::from_secs(60));
    }
    assert_eq!((world.deaths, world.verdicts.len()), (50, 0));
    assert!(world.suspects.may_speak(0));
}

#[test]
fn deaths_that_nobody_can_have_caused_start_no_search() {
    let mut world = World::new(8, &[]);
    for kicked in [false, true, false, true] {
        world.suspects.handle_link_up(world.now);
        if !kicked {
            world.suspects.handle_spoke(1);
        }
        let all = world.all.iter().copied();
        world.suspects.handle_link_down(world.now, kicked, all);
    }
    assert_eq!(world.suspects.poll_verdict(), None);
}

#[test]
fn endpoints_that_come_and_go_during_a_search_are_served_in_the_end() {
    let mut world = World::new(64, &[40]);
    for _ in 0..5 {
        world.live(world.now + Duration::from_secs(3_600));
    }
    assert!(matches!(world.suspects.stage, Stage::Search(_)));
    for key in (0..64).step_by(3).chain([40]) {
        world.all.remove(&key);
        world.suspects.remove(key);
    }
    for key in 100..120 {
        world.all.insert(key);
        world.suspects.add(key);
        assert!(!world.suspects.may_speak(key));
    }
    world.run(Duration::from_secs(600));
    assert!(world.suspended().is_empty());
    assert!(world.suspects.muted.is_empty() && world.suspects.suspended.is_empty());
}

#[test]
fn a_search_without_a_link_does_not_grow_with_those_who_come_and_go() {
    let mut world = World::new(64, &[40]);
    for _ in 0..4 {
        world.live(world.now + Duration::from_secs(3_600));
    }
    let waiting = |world: &World| {
        let Stage::Search(search) = &world.suspects.stage else {
            panic!("no search");
        };
        let waiting = search.groups.iter().map(|group| group.members.len());
        waiting.sum::<usize>()
    };
    let before = waiting(&world);
    assert!(before > 0);
    for key in 1_000..2_000 {
        world.suspects.add(key);
        world.suspects.remove(key);
    }
    assert_eq!(waiting(&world), before);
}

#[test]
fn whoever_forgives_ends_a_search_with_the_link_or_at_once_without_one() {
    for is_up in [true, false] {
        let mut world = World::new(64, &[5]);
        while !matches!(world.suspects.stage, Stage::Search(_)) {
            world.run(STABLE);
        }
        // A trial goes on.
        while !world.suspects.is_up {
            world.run(Duration::from_secs(2));
        }
        assert_eq!(world.verdicts, [Verdict::SearchStarted(64)]);
        world.bad.clear();
        match is_up {
            true => world.suspects.forgive(),
            false => {
                world.die();
                world.suspects.forgive();
            }
        }
        assert_eq!(world.suspended().is_empty(), !is_up);
        if is_up {
            world.die();
        }
        world.collect();
        assert_eq!(world.verdicts.last(), Some(&Verdict::SearchEnded));
        assert!(world.suspended().is_empty());
        world.run(2 * SLOW);
        let suspended = |verdict: &&Verdict<u32>| matches!(verdict, Verdict::Suspended(_));
        assert_eq!(world.verdicts.iter().find(suspended), None);
    }
}

#[test]
fn who_is_served_on_probation_may_speak_at_once() {
    let mut world = World::new(2, &[1]);
    world.run_until_found();
    world.bad.clear();
    if !world.suspects.is_up {
        world.suspects.handle_link_up(world.now);
    }
    while world.suspects.poll_released().is_none() {
        world.now = world.suspects.poll_timeout().unwrap();
        world.suspects.handle_timeout(world.now, |_| true);
    }
    world.collect();
    world.verdicts.clear();
    world.suspects.handle_served(1);
    world.collect();
    assert_eq!(world.verdicts, [Verdict::Resumed(1)]);
}

#[test]
fn who_is_denied_on_probation_has_as_many_tries_as_before() {
    let mut world = World::new(2, &[1]);
    world.run_until_found();
    world.bad.clear();
    while !world.suspects.is_on_probation(1) {
        world.run(Duration::from_secs(1));
    }
    world.verdicts.clear();
    for times in 1..=2 {
        world.suspects.handle_denied(world.now, 1, times);
        assert!(world.suspects.is_on_probation(1), "{times}");
    }
    world.suspects.handle_denied(world.now, 1, 3);
    world.collect();
    assert_eq!(world.verdicts, [Verdict::Suspended(1)]);
    assert!(!world.suspects.may_speak(1));
}

#[test]
fn who_has_nothing_to_say_keeps_nobody_from_its_probation() {
    let mut world = World::new(100, &[]);
    world.run(2 * STABLE);
    for key in 0..100 {
        world.suspects.handle_denied(world.now, key, 3);
    }
    assert_eq!(world.suspended().len(), 100);
    world.now += 2 * SLOW;
    for left in [2, 1, 0] {
        world
            .suspects
            .handle_timeout(world.now, |key| key == 70 || key == 80);
        let tried = [70, 80].map(|key| world.suspects.is_on_probation(key));
        assert_eq!(tried.contains(&true), left > 0);
        world.now += STABLE;
    }
    assert!(world.suspended().is_empty());
}

#[test]
fn who_spoke_before_the_link_was_up_is_suspected_when_it_dies() {
    let mut world = World::new(2, &[]);
    for _ in 0..3 {
        world.suspects.handle_spoke(0);
        world.suspects.handle_link_up(world.now);
        world.die();
    }
    assert_eq!(world.verdicts, [Verdict::SearchStarted(2)]);
}

#[test]
fn who_spoke_on_a_link_that_never_came_up_is_not_suspected_for_the_next_one() {
    let mut world = World::new(2, &[]);
    for _ in 0..5 {
        world.suspects.handle_spoke(0);
        world.die();
        world.suspects.handle_link_up(world.now);
        world.die();
    }
    assert_eq!(world.verdicts, []);
}
