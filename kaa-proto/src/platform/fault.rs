//! Faults on demand: what networks and platforms do to devices, from a seed.

use std::fmt;
use std::time::{Duration, Instant};

use super::answer::Refusal;
use super::choices::Choice;
use super::options::Service;
use super::outbox::Fate;
use crate::names::{EndpointName, EndpointToken};
use crate::rng::Rng;
use crate::timers::later;

/// How many faults are set at a time. Beyond it the oldest is taken back.
const MAX_FAULTS: usize = 256;

/// How each fault is written, and what it does.
const HELP: &[(&str, &str)] = &[
    ("late TIME", "answers and pushes come after TIME"),
    ("lose", "answers and pushes never come"),
    ("duplicate N", "answers and pushes come N times, 2 to 16"),
    (
        "reorder N",
        "N answers and pushes, 2 to 64, come in the opposite order",
    ),
    (
        "error STATUS",
        "requests are answered by that error, 300 to 599, and not processed",
    ),
    (
        "kick",
        "requests are processed, then the link is closed without an answer",
    ),
    (
        "black-hole TIME",
        "nothing is read nor sent during TIME; links stay open",
    ),
    (
        "clear",
        "takes back the faults of that scope, or all of them",
    ),
    (
        "… SERVICE",
        "only in dcx, epmx, cex, cmx, cmx_ota, bcx, rsx or tsx",
    ),
    ("… of TOKEN", "only for that endpoint"),
    ("… times N", "N times; without it once"),
    ("… always", "until it is taken back"),
    (
        "… percent P",
        "each time with a chance of P in 100, until it is taken back",
    ),
];

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// Answers and pushes come after that time.
    Late(Duration),
    /// Answers and pushes never come.
    Lose,
    /// Answers and pushes come that many times, 2 to 16.
    Duplicate(u32),
    /// That many answers and pushes, 2 to 64, are collected, for a second at most, and come in
    /// the opposite order.
    Reorder(u32),
    /// Requests are not processed but answered by an error of that status.
    Error(u16),
    /// Requests are processed, and instead of an answer the link is closed.
    Kick,
    /// Nothing is read nor sent during that time; links stay open.
    BlackHole(Duration),
    /// No fault: takes back the faults that were set for exactly this scope, or all if it is for
    /// all.
    Clear,
}

/// What goes wrong, for whom and how often.
///
/// ```
/// use kaa_proto::platform::{Fault, FaultKind};
/// use std::time::Duration;
///
/// let fault = Fault::parse(&["late", "5s", "dcx", "times", "3"])?;
/// assert_eq!(fault.kind, FaultKind::Late(Duration::from_secs(5)));
/// assert_eq!(fault.times, Some(3));
/// # Ok::<(), kaa_proto::platform::FaultError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// For which endpoint; `None`: for all.
    pub token: Option<EndpointToken>,
    /// In which service; `None`: in all.
    pub service: Option<Service>,
    /// How often; `None`: until it is taken back. A black hole counts its time instead.
    pub times: Option<u32>,
    /// With which chance each time, 1 to 100 percent. A black hole always comes.
    pub percent: u8,
}

/// A row of the table of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultHelp {
    /// How it is written.
    pub usage: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

impl Fault {
    /// The fault, once, for all endpoints and services.
    #[must_use]
    pub const fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            token: None,
            service: None,
            times: Some(1),
            percent: 100,
        }
    }

    /// Reads `NAME [VALUE] [SERVICE] [of TOKEN] [times N | always] [percent P]`. Without `times`
    /// it strikes once; with `percent` alone until it is taken back.
    ///
    /// # Errors
    /// [`FaultError`] says which word is wrong and what would be right.
    pub fn parse(words: &[&str]) -> Result<Self, FaultError> {
        let mut words = words.iter().copied();
        let name = words.next().unwrap_or_default();
        let mut value = |expected| words.next().ok_or_else(|| FaultError::missing(expected));
        const COUNT: &str = "a number of messages";
        let kind = match name {
            "late" => FaultKind::Late(time(value("a time such as 5s")?)?),
            "lose" => FaultKind::Lose,
            "duplicate" => FaultKind::Duplicate(number(value(COUNT)?, 2, 16)?),
            "reorder" => FaultKind::Reorder(number(value(COUNT)?, 2, 64)?),
            "error" => FaultKind::Error(number(value("a status code")?, 300, 599)?),
            "kick" => FaultKind::Kick,
            "black-hole" => FaultKind::BlackHole(time(value("a time such as 30s")?)?),
            "clear" => FaultKind::Clear,
            _ => return Err(FaultError::new(name, "the name of a fault")),
        };
        let mut fault = Self::new(kind);
        let (mut times, mut percent) = (None, None);
        while let Some(word) = words.next() {
            let mut value = |expected| words.next().ok_or_else(|| FaultError::missing(expected));
            match word {
                "of" => {
                    let token = EndpointToken::new(value("an endpoint token")?);
                    fault.token =
                        Some(token.map_err(|_| FaultError::missing("an endpoint token"))?);
                }
                "times" => times = Some(Some(number(value("a number")?, 1, u32::MAX)?)),
                "always" => times = Some(None),
                "percent" => percent = Some(number(value("a number")?, 1, 100)?),
                service => {
                    let expected = "a service such as dcx, of, times, always or percent";
                    let service = Service::from_word(service)
                        .ok_or_else(|| FaultError::new(service, expected))?;
                    fault.service = Some(service);
                }
            }
        }
        fault.times = times.unwrap_or_else(|| percent.is_none().then_some(1));
        fault.percent = percent.unwrap_or(100);
        Ok(fault)
    }

    /// Every fault and the words that limit it.
    #[must_use]
    pub fn help() -> Vec<FaultHelp> {
        let row = |&(usage, meaning): &(_, _)| FaultHelp { usage, meaning };
        HELP.iter().map(row).collect()
    }

    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.kind {
            FaultKind::Late(_) => "late",
            FaultKind::Lose => "lose",
            FaultKind::Duplicate(_) => "duplicate",
            FaultKind::Reorder(_) => "reorder",
            FaultKind::Error(_) => "error",
            FaultKind::Kick => "kick",
            FaultKind::BlackHole(_) => "black-hole",
            FaultKind::Clear => "clear",
        }
    }

    fn concerns(&self, name: &EndpointName, service: Service) -> bool {
        self.token
            .as_ref()
            .is_none_or(|token| token == name.token())
            && self.service.is_none_or(|one| one == service)
    }
}

fn time(word: &str) -> Result<Duration, FaultError> {
    Duration::read(word).ok_or_else(|| FaultError::new(word, "a time such as 250ms, 5s, 1m"))
}

fn number<N: std::str::FromStr + PartialOrd + Copy>(
    word: &str,
    low: N,
    high: N,
) -> Result<N, FaultError> {
    let number = word.parse().ok().filter(|n| *n >= low && *n <= high);
    number.ok_or_else(|| FaultError::new(word, "a number in its range"))
}

/// Words that are no fault. A caller's mistake; nothing was injected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultError {
    /// The word that is wrong; empty if one is missing.
    word: String,
    /// What would be right.
    expected: &'static str,
}

impl FaultError {
    fn new(word: &str, expected: &'static str) -> Self {
        Self {
            word: word.into(),
            expected,
        }
    }

    const fn missing(expected: &'static str) -> Self {
        Self {
            word: String::new(),
            expected,
        }
    }
}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.expected)?;
        match self.word.is_empty() {
            true => Ok(()),
            false => write!(f, " instead of {:?}", self.word),
        }
    }
}

impl std::error::Error for FaultError {}

/// A fault that waits for its victims.
#[derive(Clone, Debug)]
struct Active {
    fault: Fault,
    /// The group that is being reordered, and how many it still wants.
    group: (u64, u32),
}

/// The faults that are set.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    /// In the order they were set, at most [`MAX_FAULTS`].
    active: Vec<Active>,
    /// Black holes and when they end.
    holes: Vec<(Fault, Instant)>,
    /// Numbers the groups that are reordered.
    groups: u64,
    rng: Rng,
}

impl Faults {
    pub(super) const fn new(rng: Rng) -> Self {
        Self {
            active: Vec::new(),
            holes: Vec::new(),
            groups: 0,
            rng,
        }
    }

    pub(super) fn inject(&mut self, now: Instant, fault: Fault) {
        match fault.kind {
            FaultKind::Clear => {
                let is_for_all = fault.token.is_none() && fault.service.is_none();
                let stays = |other: &Fault| {
                    !is_for_all && (&other.token, other.service) != (&fault.token, fault.service)
                };
                self.active.retain(|active| stays(&active.fault));
                self.holes.retain(|(hole, _)| stays(hole));
            }
            FaultKind::BlackHole(time) => {
                if self.holes.len() == MAX_FAULTS {
                    self.holes.remove(0);
                }
                self.holes.push((fault, later(now, time)));
            }
            FaultKind::Late(_)
            | FaultKind::Lose
            | FaultKind::Duplicate(_)
            | FaultKind::Reorder(_)
            | FaultKind::Error(_)
            | FaultKind::Kick => {
                if self.active.len() == MAX_FAULTS {
                    self.active.remove(0);
                }
                self.active.push(Active {
                    fault,
                    group: (0, 0),
                });
            }
        }
    }

    /// Whether a black hole takes this message.
    pub(super) fn swallows(&self, name: &EndpointName, service: Service) -> bool {
        self.holes
            .iter()
            .any(|(hole, _)| hole.concerns(name, service))
    }

    /// Whether there is any black hole.
    pub(super) fn has_black_hole(&self) -> bool {
        !self.holes.is_empty()
    }

    /// Whether a black hole takes everything of a link that speaks for these endpoints.
    pub(super) fn swallows_link(&self, names: &[&EndpointName]) -> bool {
        let whole = |(hole, _): &&(Fault, Instant)| hole.service.is_none();
        if self
            .holes
            .iter()
            .filter(whole)
            .any(|(hole, _)| hole.token.is_none())
        {
            return true;
        }
        names.iter().any(|name| {
            let mut whole = self.holes.iter().filter(whole);
            whole.any(|(hole, _)| hole.concerns(name, Service::Dcx))
        })
    }

    /// The error that a request gets instead of being processed.
    pub(super) fn error(&mut self, name: &EndpointName, service: Service) -> Option<Refusal> {
        let is_error = |kind: &FaultKind| matches!(kind, FaultKind::Error(_));
        if let (FaultKind::Error(status), _) = self.strike(name, service, is_error)? {
            Some(Refusal::denied(status, "Injected fault"))
        } else {
            None
        }
    }

    /// Whether a request gets its link closed.
    pub(super) fn kicks(&mut self, name: &EndpointName, service: Service) -> bool {
        let is_kick = |kind: &FaultKind| matches!(kind, FaultKind::Kick);
        self.strike(name, service, is_kick).is_some()
    }

    /// What becomes of an answer or a push, and the name of the fault that decided it.
    pub(super) fn fate(
        &mut self,
        name: &EndpointName,
        service: Service,
    ) -> (Fate, Option<&'static str>) {
        if self.swallows(name, service) {
            return (Fate::Lost, Some("black-hole"));
        }
        let is_outbound = |kind: &FaultKind| !matches!(kind, FaultKind::Error(_) | FaultKind::Kick);
        let Some((kind, (group, wanted))) = self.strike(name, service, is_outbound) else {
            return (Fate::Sent, None);
        };
        match kind {
            FaultKind::Late(delay) => (Fate::Late(delay), Some("late")),
            FaultKind::Lose => (Fate::Lost, Some("lose")),
            FaultKind::Duplicate(copies) => (Fate::Repeated(copies), Some("duplicate")),
            FaultKind::Reorder(_) => {
                let is_last = wanted == 0;
                (Fate::Held { group, is_last }, Some("reorder"))
            }
            FaultKind::Error(_) | FaultKind::Kick | FaultKind::BlackHole(_) | FaultKind::Clear => {
                (Fate::Sent, None)
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.holes.retain(|&(_, end)| end > now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.holes.iter().map(|&(_, end)| end).min()
    }

    /// Finds the first fault that strikes and takes one of its times.
    fn strike(
        &mut self,
        name: &EndpointName,
        service: Service,
        is_wanted: impl Fn(&FaultKind) -> bool,
    ) -> Option<(FaultKind, (u64, u32))> {
        let rng = &mut self.rng;
        let index = self.active.iter().position(|Active { fault, group }| {
            is_wanted(&fault.kind)
                && fault.concerns(name, service)
                && (group.1 > 0 || rng.below(100) < u64::from(fault.percent))
        })?;
        let active = self.active.get_mut(index)?;
        let kind = active.fault.kind.clone();
        let is_begun = active.group.1 > 0;
        if let FaultKind::Reorder(size) = kind {
            if !is_begun {
                self.groups += 1;
                active.group = (self.groups, size.max(1));
            }
            active.group.1 -= 1;
        }
        let group = active.group;
        if !is_begun {
            active.fault.times = active.fault.times.map(|times| times.saturating_sub(1));
        }
        if active.fault.times == Some(0) && group.1 == 0 {
            self.active.remove(index);
        }
        Some((kind, group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(token: &str) -> EndpointName {
        EndpointName::parse("v", token).unwrap()
    }

    fn parsed(words: &str) -> Result<Fault, String> {
        let words: Vec<_> = words.split_whitespace().collect();
        Fault::parse(&words).map_err(|error| error.to_string())
    }

    #[test]
    fn faults_are_read_from_words() {
        let fault = parsed("late 5s dcx").unwrap();
        assert_eq!(fault.kind, FaultKind::Late(Duration::from_secs(5)));
        assert_eq!(
            (fault.service, fault.times, fault.percent),
            (Some(Service::Dcx), Some(1), 100)
        );
        let fault = parsed("error 503 of t1 percent 20").unwrap();
        assert_eq!(fault.kind, FaultKind::Error(503));
        assert_eq!(fault.token, EndpointToken::new("t1").ok());
        assert_eq!((fault.times, fault.percent), (None, 20));
        assert_eq!(parsed("lose always").unwrap().times, None);
        assert_eq!(parsed("kick times 3").unwrap().times, Some(3));
    }

    #[test]
    fn a_wrong_word_is_named_with_what_would_be_right() {
        for (words, message) in [
            ("", "expected the name of a fault"),
            (
                "explode",
                "expected the name of a fault instead of \"explode\"",
            ),
            ("late", "expected a time such as 5s"),
            (
                "late 5",
                "expected a time such as 250ms, 5s, 1m instead of \"5\"",
            ),
            (
                "duplicate 1",
                "expected a number in its range instead of \"1\"",
            ),
            (
                "lose percent 0",
                "expected a number in its range instead of \"0\"",
            ),
            (
                "kick dxc",
                "expected a service such as dcx, of, times, always or percent instead of \"dxc\"",
            ),
            ("kick of", "expected an endpoint token"),
        ] {
            assert_eq!(parsed(words).unwrap_err(), message, "{words}");
        }
    }

    #[test]
    fn a_fault_strikes_its_scope_and_as_often_as_it_was_told() {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let start = Instant::now();
        let mut faults = Faults::new(Rng::new(1));
        faults.inject(start, parsed("lose dcx of a times 2").unwrap());
        let mut fate = |token, service| faults.fate(&name(token), service).0;
        assert_eq!(fate("b", Service::Dcx), Fate::Sent);
        assert_eq!(fate("a", Service::Cex), Fate::Sent);
        assert_eq!(fate("a", Service::Dcx), Fate::Lost);
        assert_eq!(fate("a", Service::Dcx), Fate::Lost);
        assert_eq!(fate("a", Service::Dcx), Fate::Sent);
    }

    #[test]
    fn chance_comes_from_the_seed_and_clear_takes_faults_back() {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let start = Instant::now();
        let run = |seed| {
            let mut faults = Faults::new(Rng::new(seed));
            faults.inject(start, parsed("lose percent 50").unwrap());
            let fates: Vec<_> = (0..64)
                .map(|_| faults.fate(&name("a"), Service::Dcx).0)
                .collect();
            faults.inject(start, parsed("clear dcx").unwrap());
            assert_eq!(faults.active.len(), 1);
            faults.inject(start, parsed("clear").unwrap());
            assert!(faults.active.is_empty());
            fates
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        assert!(run(1).contains(&Fate::Sent) && run(1).contains(&Fate::Lost));
    }

    #[test]
    fn each_group_that_is_reordered_has_a_number_of_its_own() {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let start = Instant::now();
        let mut faults = Faults::new(Rng::new(1));
        faults.inject(start, parsed("reorder 2 of a times 2").unwrap());
        faults.inject(start, parsed("reorder 2 of b").unwrap());
        let mut fate = |token| {
            let (fate, _) = faults.fate(&name(token), Service::Dcx);
            let Fate::Held { group, is_last } = fate else {
                panic!("{fate:?}");
            };
            (group, is_last)
        };
        let (of_a, of_b) = (fate("a"), fate("b"));
        assert!(of_a.0 != of_b.0 && !of_a.1 && !of_b.1);
        assert_eq!(fate("a"), (of_a.0, true));
        assert_eq!(fate("b"), (of_b.0, true));
        let next = fate("a");
        assert!(next.0 != of_a.0 && next.0 != of_b.0);
    }

    /// What is read from words has bounds; a program may set anything.
    #[test]
    fn no_value_of_a_fault_is_too_much_or_too_little() {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        let mut faults = Faults::new(Rng::new(1));
        faults.inject(now, Fault::new(FaultKind::Reorder(0)));
        let alone = Fate::Held {
            group: 1,
            is_last: true,
        };
        let fate = faults.fate(&name("t"), Service::Dcx);
        assert_eq!(fate, (alone, Some("reorder")));
        faults.inject(now, Fault::new(FaultKind::BlackHole(Duration::MAX)));
        assert!(faults.swallows(&name("t"), Service::Dcx));
    }
}
