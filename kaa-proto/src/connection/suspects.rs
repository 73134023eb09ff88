//! Which of many endpoints gets the link dropped.
//!
//! The platform may drop a link over one endpoint, and MQTT 3.1.1 has no words for which (FACTS
//! traps 32 and 34). When links keep dying young, this machine lets endpoints speak again in
//! halves until the guilty one stands alone. It is driven by what happened to the link and by who
//! spoke; it answers who may speak.
//!
//! ```text
//!  Calm ──kick_limit young deaths──► Search: silence ──dies too──► Calm (the link is at fault)
//!   ▲ │                                │ survives
//!   │ │ a suspended one is due         ▼
//!   │ ▼                              trial of a half ──survives──► cleared; trial of the rest
//!   │ Probation                        │ dies
//!   │   survives: resumed              ├─ one spoke: suspended ──► trial of all who wait
//!   └── dies: suspended again          └─ more: trial of a half of them
//! ```
//!
//! A trial survives when the link lives for `stable_after` with it; then the next one begins on
//! the same link. So only deaths cost a reconnect, and the guilty one of n costs about log₂ n.
//! Who waits for a trial is muted. The first trial is silence: a link that dies although nobody
//! speaks is no endpoint's fault, and a network that drops links by itself suspends nobody.
//!
//! Where the platform does have words, 401 or 403 in its answers to an endpoint, that endpoint is
//! suspended without a search.
//!
//! A suspended endpoint is tried again alone about every `slow_retry`, on a link that proved good.
//! One that has nothing to say by then is not suspended any more.

use std::collections::{BTreeSet, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::backoff::slowly;
use crate::rng::Rng;
use crate::timers::Timers;

/// After a false alarm it takes twice the deaths to start the next search, at most this often.
const MAX_DOUBLINGS: u32 = 5;

/// The machine. `K` names an endpoint.
#[derive(Debug)]
pub(crate) struct Suspects<K> {
    /// Young deaths in a row that start a search.
    kick_limit: u32,
    /// How long a link must live with a trial.
    stable_after: Duration,
    /// About how long a suspension lasts.
    slow_retry: Duration,
    /// For the jitter of suspensions.
    rng: Rng,
    stage: Stage<K>,
    /// Whether there is a link that carries messages.
    is_up: bool,
    /// When the link proves good, or the trial on it; `None` when it did, or without a link.
    proved_at: Option<Instant>,
    /// Who spoke on this link, also before it came up, or since the trial began; forgotten when it
    /// proved good.
    spoke: BTreeSet<K>,
    /// Who waits for a trial.
    muted: BTreeSet<K>,
    /// Who is suspended, on probation or not.
    suspended: BTreeSet<K>,
    /// When the suspended ones are tried again.
    retries: Timers<K>,
    /// Whether all are let speak on the next link, whatever is known of them.
    is_forgiving: bool,
    /// Searches in a row that found the link at fault.
    false_alarms: u32,
    /// Who may speak again; see `poll_released`.
    released: VecDeque<K>,
    /// See `poll_verdict`.
    verdicts: VecDeque<Verdict<K>>,
}

/// Each variant names its exits.
#[derive(Debug)]
enum Stage<K> {
    /// All may speak but the suspended.
    ///
    /// Exits: `Search` after `kick_limit` young deaths; `Probation` when a suspended one is due.
    Calm {
        /// Young deaths in a row.
        kicks: u32,
    },
    /// The cleared and the tried may speak.
    ///
    /// Exits: `Calm` when nobody waits any more, when the link is found at fault, and when all are
    /// forgiven.
    Search(Search<K>),
    /// All may speak but the suspended others.
    ///
    /// Exits: `Calm` when the link dies or proves good, and when the platform serves or denies it.
    Probation(K),
}

#[derive(Debug)]
struct Search<K> {
    /// Who speaks on trial; nobody in the trial of silence.
    trial: BTreeSet<K>,
    /// Whether this is the trial of silence.
    is_silence: bool,
    /// Whether the last of `groups` holds a guilty one if the trial survives.
    else_the_next: bool,
    /// Who waits, the next ones last. Only the last group can be known to hold a guilty one.
    groups: Vec<Group<K>>,
    /// Deaths in a row that say nothing about the trial.
    blanks: u32,
}

#[derive(Debug)]
struct Group<K> {
    members: Vec<K>,
    /// Whether one of them is known to get the link dropped.
    is_guilty: bool,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict<K> {
    /// This many endpoints are muted until they are cleared.
    SearchStarted(usize),
    /// All but the suspended may speak again.
    SearchEnded,
    /// This one gets the link dropped, or is denied.
    Suspended(K),
    /// This suspended one does not get the link dropped any more, or is forgiven.
    Resumed(K),
}

impl<K: Copy + Ord + Hash> Suspects<K> {
    pub(crate) fn new(
        kick_limit: u32,
        stable_after: Duration,
        slow_retry: Duration,
        rng: Rng,
    ) -> Self {
        Self {
            kick_limit,
            stable_after,
            slow_retry,
            rng,
            stage: Stage::Calm { kicks: 0 },
            is_up: false,
            proved_at: None,
            spoke: BTreeSet::new(),
            muted: BTreeSet::new(),
            suspended: BTreeSet::new(),
            retries: Timers::default(),
            is_forgiving: false,
            false_alarms: 0,
            released: VecDeque::new(),
            verdicts: VecDeque::new(),
        }
    }

    /// Whether it may send anything at all.
    pub(crate) fn may_speak(&self, key: K) -> bool {
        let is_suspended = self.suspended.contains(&key) && !self.is_on_probation(key);
        !self.muted.contains(&key) && !is_suspended
    }

    /// Whether it is suspended but tried again: then one message at a time is enough.
    pub(crate) fn is_on_probation(&self, key: K) -> bool {
        matches!(self.stage, Stage::Probation(tried) if tried == key)
    }

    /// How many are suspended, those on probation included.
    pub(crate) fn suspended_len(&self) -> usize {
        self.suspended.len()
    }

    /// A new endpoint: in a search it waits like the others.
    pub(crate) fn add(&mut self, key: K) {
        if let Stage::Search(search) = &mut self.stage {
            self.muted.insert(key);
            match search.groups.first_mut() {
                Some(group) if !group.is_guilty => group.members.push(key),
                _ => search.groups.insert(0, Group::of(vec![key], false)),
            }
        }
    }

    /// An endpoint that is gone.
    pub(crate) fn remove(&mut self, key: K) {
        self.muted.remove(&key);
        self.suspended.remove(&key);
        self.retries.clear(&key);
        self.spoke.remove(&key);
        match &mut self.stage {
            Stage::Search(search) => search.forget(&key),
            Stage::Probation(tried) if *tried == key => self.stage = Stage::Calm { kicks: 0 },
            Stage::Probation(_) | Stage::Calm { .. } => {}
        }
    }

    /// The next link is unlike the ones before: nobody is searched for nor suspended on it.
    pub(crate) fn forgive(&mut self) {
        self.is_forgiving = true;
        if !self.is_up {
            self.start_over();
        }
    }

    /// Something of this endpoint was sent.
    pub(crate) fn handle_spoke(&mut self, key: K) {
        if self.proved_at.is_some() || !self.is_up {
            self.spoke.insert(key);
        }
    }

    /// The platform served this endpoint: whoever is on probation is cleared.
    pub(crate) fn handle_served(&mut self, key: K) {
        if self.is_on_probation(key) {
            self.proved_at = None;
            self.survive_probation(key);
        }
    }

    /// The platform denied this endpoint's right to ask, so many times in a row since it was
    /// suspended for that last. Nobody has to be searched for; it is suspended at `kick_limit`, on
    /// probation too: what it says first may be the only thing that it may not.
    pub(crate) fn handle_denied(&mut self, now: Instant, key: K, times: u32) {
        if times < self.kick_limit {
            return;
        }
        if self.is_on_probation(key) {
            // The link had proved good before.
            self.proved_at = None;
            self.stage = Stage::Calm { kicks: 0 };
        } else if self.suspended.contains(&key) {
            return;
        }
        if let Stage::Search(search) = &mut self.stage {
            search.trial.remove(&key);
        }
        self.spoke.remove(&key);
        self.suspend(now, key);
    }

    /// The link carries messages.
    pub(crate) fn handle_link_up(&mut self, now: Instant) {
        self.is_up = true;
        self.proved_at = Some(now + self.stable_after);
    }

    /// The link is gone, also if it never came up. `kicked`: the peer may have dropped it over what somebody said. `all`
    /// are the endpoints there are.
    pub(crate) fn handle_link_down(
        &mut self,
        now: Instant,
        kicked: bool,
        all: impl Iterator<Item = K>,
    ) {
        match self.is_forgiving {
            true => self.start_over(),
            false => self.judge_death(now, kicked, all),
        }
        self.spoke.clear();
    }

    fn judge_death(&mut self, now: Instant, kicked: bool, all: impl Iterator<Item = K>) {
        // Nobody begins a probation on a link that is gone.
        self.handle_proof(now);
        let was_proved = self.proved_at.is_none();
        let was_up = std::mem::replace(&mut self.is_up, false);
        self.proved_at = None;
        if !was_up || was_proved {
            return;
        }
        match &mut self.stage {
            Stage::Calm { kicks } if kicked && !self.spoke.is_empty() => {
                *kicks += 1;
                let doubled = 1 << self.false_alarms.min(MAX_DOUBLINGS);
                if *kicks >= self.kick_limit.saturating_mul(doubled) {
                    self.start_search(all);
                }
            }
            Stage::Calm { .. } => {}
            Stage::Search(_) => self.end_trial_by_death(now, kicked),
            Stage::Probation(tried) => {
                let tried = *tried;
                self.stage = Stage::Calm { kicks: 0 };
                match kicked && self.spoke.contains(&tried) {
                    true => self.suspend(now, tried),
                    false => self.retries.set(tried, now),
                }
            }
        }
    }

    /// Acts on what is due. `has_words` says who would say something if it might: who would not is
    /// let go without a trial, which could show nothing and would only keep others from theirs.
    pub(crate) fn handle_timeout(&mut self, now: Instant, has_words: impl Fn(K) -> bool) {
        self.handle_proof(now);
        let is_calm = matches!(self.stage, Stage::Calm { .. });
        if is_calm && self.is_up && self.proved_at.is_none() {
            while let Some(key) = self.retries.pop_due(now) {
                self.released.push_back(key);
                if has_words(key) {
                    self.stage = Stage::Probation(key);
                    self.prove(now);
                    break;
                }
                self.resume(key);
            }
        }
    }

    /// The link may have proved good, or the trial on it.
    fn handle_proof(&mut self, now: Instant) {
        if self.proved_at.is_some_and(|at| at <= now) {
            self.proved_at = None;
            self.spoke = BTreeSet::new();
            self.survive(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        // Who is suspended is tried on a link that proved good, not before.
        match self.is_up {
            true => self.proved_at.or_else(|| self.retries.next()),
            false => None,
        }
    }

    /// The next endpoint that may speak again. It may have been muted once more since.
    pub(crate) fn poll_released(&mut self) -> Option<K> {
        self.released.pop_front()
    }

    pub(crate) fn poll_verdict(&mut self) -> Option<Verdict<K>> {
        self.verdicts.pop_front()
    }

    /// The link has to prove itself, or the trial on it.
    fn prove(&mut self, now: Instant) {
        self.proved_at = self.is_up.then(|| now + self.stable_after);
        self.spoke.clear();
    }

    /// What was learned on the links before counts for nothing. There is no link.
    fn start_over(&mut self) {
        self.is_forgiving = false;
        self.is_up = false;
        self.proved_at = None;
        self.false_alarms = 0;
        match self.stage {
            Stage::Search(_) => self.end_search(),
            Stage::Calm { .. } | Stage::Probation(_) => self.stage = Stage::Calm { kicks: 0 },
        }
        for key in std::mem::take(&mut self.suspended) {
            self.retries.clear(&key);
            self.verdicts.push_back(Verdict::Resumed(key));
        }
    }

    fn survive(&mut self, now: Instant) {
        match &mut self.stage {
            Stage::Calm { kicks } => {
                *kicks = 0;
                self.false_alarms = 0;
            }
            Stage::Search(search) => {
                search.blanks = 0;
                if let Some(next) = search.groups.last_mut() {
                    next.is_guilty |= search.else_the_next;
                }
                self.start_trial(now);
            }
            Stage::Probation(tried) => {
                let tried = *tried;
                self.survive_probation(tried);
            }
        }
    }

    fn survive_probation(&mut self, tried: K) {
        self.resume(tried);
        self.stage = Stage::Calm { kicks: 0 };
    }

    fn resume(&mut self, key: K) {
        self.suspended.remove(&key);
        self.verdicts.push_back(Verdict::Resumed(key));
    }

    fn start_search(&mut self, all: impl Iterator<Item = K>) {
        let free = all.filter(|key| !self.suspended.contains(key));
        let (spoke, silent): (Vec<_>, Vec<_>) = free.partition(|key| self.spoke.contains(key));
        // One endpoint alone needs no search; the delays of the link are its punishment.
        if spoke.is_empty() || spoke.len() + silent.len() == 1 {
            return;
        }
        self.muted = spoke.iter().chain(&silent).copied().collect();
        let count = self.muted.len();
        self.verdicts.push_back(Verdict::SearchStarted(count));
        self.stage = Stage::Search(Search {
            trial: BTreeSet::new(),
            is_silence: true,
            else_the_next: true,
            groups: vec![Group::of(silent, false), Group::of(spoke, false)],
            blanks: 0,
        });
    }

    /// Lets the next ones speak.
    fn start_trial(&mut self, now: Instant) {
        let Stage::Search(search) = &mut self.stage else {
            return;
        };
        search.is_silence = false;
        search.else_the_next = false;
        let mut next = Vec::new();
        while let Some(mut group) = search.groups.pop() {
            group.members.retain(|key| self.muted.contains(key));
            let half = group.members.len().div_ceil(2);
            if group.is_guilty && group.members.len() > 1 {
                let rest = group.members.split_off(half);
                search.groups.push(Group::of(rest, false));
                search.else_the_next = true;
            }
            next.append(&mut group.members);
            // Nothing is known of the groups below: they are tried together.
            if group.is_guilty && !next.is_empty() {
                break;
            }
        }
        if next.is_empty() {
            self.end_search();
            return;
        }
        for key in &next {
            self.muted.remove(key);
            self.released.push_back(*key);
        }
        search.trial = next.into_iter().collect();
        self.prove(now);
    }

    fn end_trial_by_death(&mut self, now: Instant, kicked: bool) {
        let Stage::Search(search) = &mut self.stage else {
            return;
        };
        let trial = search.trial.iter().copied();
        let (guilty, rest): (Vec<_>, Vec<_>) = trial.partition(|key| self.spoke.contains(key));
        if !kicked || guilty.is_empty() {
            search.blanks += 1;
            if search.is_silence || search.blanks >= self.kick_limit {
                self.false_alarms += 1;
                self.end_search();
            }
            return;
        }
        search.blanks = 0;
        search.trial.clear();
        self.muted.extend(guilty.iter().chain(&rest));
        search.groups.push(Group::of(rest, false));
        if let [key] = guilty[..] {
            self.muted.remove(&key);
            self.suspend(now, key);
        } else {
            search.groups.push(Group::of(guilty, true));
        }
        self.start_trial(now);
    }

    fn end_search(&mut self) {
        self.stage = Stage::Calm { kicks: 0 };
        self.released.extend(std::mem::take(&mut self.muted));
        self.verdicts.push_back(Verdict::SearchEnded);
    }

    fn suspend(&mut self, now: Instant, key: K) {
        self.suspended.insert(key);
        let retry = now + slowly(self.slow_retry, &mut self.rng);
        self.retries.set(key, retry);
        self.verdicts.push_back(Verdict::Suspended(key));
    }
}

impl<K: Ord> Search<K> {
    /// An endpoint is gone. Without a link no trial would tidy up, however many come and go.
    fn forget(&mut self, key: &K) {
        self.trial.remove(key);
        for group in &mut self.groups {
            if let Some(place) = group.members.iter().position(|member| member == key) {
                group.members.remove(place);
                return;
            }
        }
    }
}

impl<K> Group<K> {
    const fn of(members: Vec<K>, is_guilty: bool) -> Self {
        Self { members, is_guilty }
    }
}

#[cfg(test)]
mod tests;
