//! Which subscriptions there are, and which requests wait for them.
//!
//! Subscriptions are made in groups: all filters that a resource needs. A request waits until
//! its group was answered; a refused filter is reported and blocks nothing (FACTS trap 17).

use std::sync::Arc;
use std::time::Instant;

use super::flight::Entry;
use super::options::Subscriptions;
use super::trace;
use crate::few::Few;
use crate::names::{EndpointName, Extension};
use crate::rare::Blank;

/// A subscription that the host is to make or to take back.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub enum Filter {
    /// Subscribe, and tell the answer by [`Endpoint::handle_filter`](super::Endpoint::handle_filter).
    Subscribe(String),
    /// Unsubscribe; no answer is expected.
    Unsubscribe(String),
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (verb, filter) = match self {
            Self::Subscribe(filter) => ("Subscribe", filter),
            Self::Unsubscribe(filter) => ("Unsubscribe", filter),
        };
        write!(f, "{verb}({})", crate::topic::shortened(filter))
    }
}

/// What became of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterOutcome {
    /// Granted, at whatever QoS.
    Granted,
    /// Refused (SUBACK 0x80), or not answered in time.
    Refused,
}

/// Whether it was granted, as MQTT clients usually tell it.
impl From<bool> for FilterOutcome {
    fn from(is_granted: bool) -> Self {
        match is_granted {
            true => Self::Granted,
            false => Self::Refused,
        }
    }
}

/// What a request needs: the extension and the pattern of its resource, or all of the extension.
pub(super) type GroupKey = (Extension, Option<&'static str>);

#[derive(Debug, Default)]
pub(super) struct Filters {
    /// Each filter and where it stands. A filter may belong to several groups.
    states: Few<Arc<str>, State>,
    /// The filters of each group.
    groups: Few<GroupKey, Box<[Arc<str>]>>,
    /// How many are `Wanted` or `Asked`: while there are none, nothing waits.
    open: usize,
    /// How many are `Wanted` or `Unwanted`.
    to_tell: usize,
}

impl Blank for Filters {
    const BLANK: &'static Self = &Self {
        states: Few::new(),
        groups: Few::new(),
        open: 0,
        to_tell: 0,
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be given to the host.
    ///
    /// Exits: `Asked`.
    Wanted,
    /// Given to the host, which has until then to tell what became of it.
    ///
    /// Exits: `Settled` with its answer or without; `Ahead`; gone on a new link.
    Asked(Instant),
    /// Not answered, but nobody waits for that.
    ///
    /// Exits: `Settled` with its answer or without; gone on a new link.
    #[cfg_attr(not(feature = "connection"), allow(dead_code, reason = "hosts wait"))]
    Ahead(Instant),
    /// Answered, or not in time.
    ///
    /// Exits: gone on a new link.
    Settled,
    /// To be taken back.
    ///
    /// Exits: gone when the host was told, or on a new link.
    Unwanted,
}

impl Filters {
    /// Makes sure that a group is there.
    pub(super) fn need(&mut self, mode: Subscriptions, name: &EndpointName, key: &GroupKey) {
        if self.groups.contains_key(key) {
            return;
        }
        let filters = filters_of(mode, name, key);
        for filter in &filters {
            self.states.get_or_insert_with(Arc::clone(filter), || {
                self.open += 1;
                self.to_tell += 1;
                State::Wanted
            });
        }
        self.groups.get_or_insert_with(key.clone(), || filters);
    }

    /// Whether there are filters to be told to the host.
    #[cfg(feature = "connection")]
    pub(super) const fn has_some(&self) -> bool {
        self.to_tell > 0
    }

    /// Whether all filters that a request needs were answered.
    pub(super) fn is_settled(&self, entry: &Entry) -> bool {
        self.open == 0 || self.is_group_settled(&group(entry))
    }

    fn is_group_settled(&self, key: &GroupKey) -> bool {
        let filters = self.groups.get(key).map_or(&[][..], |filters| filters);
        filters.iter().all(|filter| {
            let state = self.states.get(filter);
            matches!(state, Some(State::Settled | State::Ahead(_)))
        })
    }

    /// Takes all back.
    pub(super) fn withdraw(&mut self) {
        self.groups.clear();
        self.states.retain(|state| *state != State::Wanted);
        for (_, state) in self.states.iter_mut() {
            *state = State::Unwanted;
        }
        (self.open, self.to_tell) = (0, self.states.len());
    }

    /// Settles what was asked; `false` if it was not, or was settled before.
    pub(super) fn handle(&mut self, filter: &str) -> bool {
        match self.states.get_mut(filter) {
            Some(state @ (State::Asked(_) | State::Ahead(_))) => {
                *state = State::Settled;
                self.open -= 1;
                trace::settled(filter);
                true
            }
            _ => false,
        }
    }

    /// Nobody waits for the answer to this one, if it is not there yet.
    #[cfg(feature = "connection")]
    pub(super) fn handle_ahead(&mut self, filter: &str) {
        let state = self.states.get_mut(filter);
        if let Some((state, at)) = state.and_then(|state| state.deadline().map(|at| (state, at))) {
            *state = State::Ahead(at);
        }
    }

    /// When the first one counts as not answered.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.open == 0 {
            return None;
        }
        let states = self.states.iter();
        states.filter_map(|(_, state)| state.deadline()).min()
    }

    /// Those that were given to the host and not answered in time.
    pub(super) fn unanswered(&self, now: Instant) -> Vec<String> {
        let is_due = |state: &State| state.deadline().is_some_and(|at| at <= now);
        let due = self.states.iter().filter(|(_, state)| is_due(state));
        due.map(|(filter, _)| filter.to_string()).collect()
    }

    /// The next one to tell the host, which has until `answer_by` to tell what became of it.
    pub(super) fn poll(&mut self, answer_by: Instant) -> Option<Filter> {
        if self.to_tell == 0 {
            return None;
        }
        self.to_tell -= 1;
        let waiting = |state: &State| matches!(state, State::Wanted | State::Unwanted);
        let (filter, state) = self.states.iter_mut().find(|(_, state)| waiting(state))?;
        let text = filter.to_string();
        if *state == State::Wanted {
            *state = State::Asked(answer_by);
            trace::subscribed(&text);
            return Some(Filter::Subscribe(text));
        }
        self.states.remove(&*text);
        trace::unsubscribed(&text);
        Some(Filter::Unsubscribe(text))
    }
}

impl State {
    /// Until when an answer is due.
    const fn deadline(self) -> Option<Instant> {
        match self {
            Self::Asked(at) | Self::Ahead(at) => Some(at),
            Self::Wanted | Self::Settled | Self::Unwanted => None,
        }
    }
}

/// What a request needs.
pub(super) fn group(entry: &Entry) -> GroupKey {
    let resource = entry.request.resource();
    let exact = || EXACT.into_iter().find(|exact| *exact == resource);
    (
        entry.extension.clone(),
        entry.request.pattern.or_else(exact),
    )
}

fn filters_of(mode: Subscriptions, name: &EndpointName, key: &GroupKey) -> Box<[Arc<str>]> {
    let (version, token) = (name.app_version().as_str(), name.token().as_str());
    let (extension, pattern) = key;
    let filters = match (mode, pattern) {
        (Subscriptions::None, _) => Vec::new(),
        (Subscriptions::PerEndpoint, _) => vec![format!("kp1/{version}/+/{token}/#")],
        (Subscriptions::PerResource, None) => vec![format!("kp1/{version}/{extension}/{token}/#")],
        (Subscriptions::PerResource, Some(pattern)) => {
            let resource = format!("kp1/{version}/{extension}/{token}/{pattern}");
            let mut filters = vec![
                format!("{resource}/+/status"),
                format!("{resource}/+/error"),
            ];
            if PUSHED.contains(pattern) {
                filters.push(format!("{resource}/status"));
            }
            filters
        }
    };
    filters.into_iter().map(Arc::from).collect()
}

/// The resources that are their own patterns. Any other one without a pattern is covered by a
/// filter for its whole extension, so that the number of filters is bounded.
pub(super) const EXACT: [&str; 9] = [
    "json",
    "get",
    "get/keys",
    "update",
    "update/keys",
    "delete/keys",
    "config/json",
    "applied/json",
    "token",
];

/// The patterns of resources on which the platform speaks unasked, without ID.
const PUSHED: [&str; 3] = ["command/+", "config/json", "config/json/+"];

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> EndpointName {
        EndpointName::parse("v", "tok").unwrap()
    }

    fn key(extension: &'static str, pattern: Option<&'static str>) -> GroupKey {
        (Extension::literal(extension), pattern)
    }

    fn polled(filters: &mut Filters) -> Vec<String> {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let later = Instant::now();
        std::iter::from_fn(|| filters.poll(later))
            .map(|filter| match filter {
                Filter::Subscribe(filter) => filter,
                Filter::Unsubscribe(filter) => format!("-{filter}"),
            })
            .collect()
    }

    #[test]
    fn a_group_has_the_filters_of_its_mode() {
        let cases: [(_, _, &[&str]); 5] = [
            (
                Subscriptions::PerResource,
                key("dcx", Some("json")),
                &["kp1/v/dcx/tok/json/+/error", "kp1/v/dcx/tok/json/+/status"],
            ),
            (
                Subscriptions::PerResource,
                key("cex", Some("command/+")),
                &[
                    "kp1/v/cex/tok/command/+/+/error",
                    "kp1/v/cex/tok/command/+/+/status",
                    "kp1/v/cex/tok/command/+/status",
                ],
            ),
            (
                Subscriptions::PerResource,
                key("tsx", None),
                &["kp1/v/tsx/tok/#"],
            ),
            (
                Subscriptions::PerEndpoint,
                key("tsx", None),
                &["kp1/v/+/tok/#"],
            ),
            (Subscriptions::None, key("tsx", None), &[]),
        ];
        for (mode, key, expected) in cases {
            let mut filters = Filters::default();
            filters.need(mode, &name(), &key);
            assert_eq!(polled(&mut filters), expected, "{mode:?} {key:?}");
        }
    }

    #[test]
    fn a_group_is_settled_when_each_filter_was_answered() {
        let (mut filters, key) = (Filters::default(), key("dcx", Some("json")));
        filters.need(Subscriptions::PerResource, &name(), &key);
        assert!(!filters.is_group_settled(&key));
        let asked = polled(&mut filters);
        assert!(filters.handle(&asked[0]) && !filters.is_group_settled(&key));
        assert!(filters.handle(&asked[1]) && filters.is_group_settled(&key));
        assert!(!filters.handle(&asked[1]), "answered twice");
    }

    #[test]
    fn what_was_asked_for_is_taken_back() {
        let mut filters = Filters::default();
        filters.need(Subscriptions::PerResource, &name(), &key("tsx", None));
        let _ = polled(&mut filters);
        filters.need(Subscriptions::PerResource, &name(), &key("adx", None));
        filters.withdraw();
        assert_eq!(polled(&mut filters), ["-kp1/v/tsx/tok/#"]);
    }

    #[test]
    fn a_token_is_not_shown() {
        let filter = Filter::Subscribe("kp1/v/dcx/JTjdbENzHh/#".into());
        assert_eq!(format!("{filter:?}"), "Subscribe(kp1/v/dcx/JTj…/#)");
    }

    #[test]
    fn a_filter_shows_no_token_and_says_what_is_to_be_done_with_it() {
        let filter = || String::from("kp1/v/dcx/JTjdbENzHh/json/+/status");
        assert_eq!(
            format!("{:?}", Filter::Subscribe(filter())),
            "Subscribe(kp1/v/dcx/JTj…/json/+/status)"
        );
        assert_eq!(
            format!("{:?}", Filter::Unsubscribe(filter())),
            "Unsubscribe(kp1/v/dcx/JTj…/json/+/status)"
        );
    }

    #[test]
    fn whether_a_filter_was_granted_is_told_as_clients_tell_it() {
        assert_eq!(FilterOutcome::from(true), FilterOutcome::Granted);
        assert_eq!(FilterOutcome::from(false), FilterOutcome::Refused);
    }
}
