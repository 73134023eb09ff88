//! Expectations: somebody wants to be told when an event comes, or that it did not.

use std::time::{Duration, Instant};

use kaa_proto::names::{AppVersion, EndpointToken};
use kaa_proto::platform::{Event, EventKind};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use crate::time;

/// How many can be open at a time.
const MAX_OPEN: usize = 1_024;
/// How long an event is waited for unless said otherwise.
const WITHIN: Duration = Duration::from_secs(10);

/// What is waited for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expected {
    /// The name of the event.
    event: String,
    /// Whose; `None`: anybody's, or nobody's.
    endpoint: Option<(Option<AppVersion>, EndpointToken)>,
    within: Duration,
}

/// The expectations that are open, each with the one who has it.
#[derive(Debug)]
pub(crate) struct Expectations<A> {
    /// In the order they came.
    open: Vec<Open<A>>,
}

#[derive(Debug)]
struct Open<A> {
    asker: A,
    expected: Expected,
    since: Instant,
}

impl Expected {
    /// Reads `EVENT TOKEN [within TIME]`.
    ///
    /// # Errors
    /// Says what is wrong.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let (event, token, within) = match words {
            [event, token] => (*event, *token, WITHIN),
            [event, token, "within", text] => {
                let within = time(text).ok_or("TIME is a number with ms, s, m or h, such as 5s")?;
                (*event, *token, within)
            }
            _ => return Err("usage: expect EVENT TOKEN [within TIME]".into()),
        };
        if !EventKind::NAMES.contains(&event) {
            let names = EventKind::NAMES.join(", ");
            return Err(format!("there is no event {event:?}, but {names}"));
        }
        let endpoint = match token.rsplit_once('/') {
            _ if token == "*" => None,
            Some((version, token)) => Some((Some(AppVersion::new(version)), token)),
            None => Some((None, token)),
        };
        let endpoint = endpoint.map(|(version, token)| {
            let token = EndpointToken::new(token).map_err(|error| error.to_string())?;
            let version = version.transpose().map_err(|error| error.to_string())?;
            Ok::<_, String>((version, token))
        });
        Ok(Self {
            event: event.into(),
            endpoint: endpoint.transpose()?,
            within,
        })
    }

    fn is_met_by(&self, event: &Event) -> bool {
        let is_theirs = |(version, token): &(Option<AppVersion>, EndpointToken)| {
            event.endpoint.as_ref().is_some_and(|name| {
                name.token() == token && version.as_ref().is_none_or(|v| v == name.app_version())
            })
        };
        event.kind.name() == self.event && self.endpoint.as_ref().is_none_or(is_theirs)
    }

    fn missed(&self, how: &str) -> Answer {
        Answer::failed("expect", format!("{} {how}", self.event))
    }
}

impl<A> Expectations<A> {
    pub(crate) const fn new() -> Self {
        Self { open: Vec::new() }
    }

    /// Opens one: an event counts from now on.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn add(
        &mut self,
        now: Instant,
        asker: A,
        expected: Expected,
    ) -> Result<(), &'static str> {
        if self.open.len() >= MAX_OPEN {
            return Err("too many are open");
        }
        self.open.push(Open {
            asker,
            expected,
            since: now,
        });
        Ok(())
    }

    /// Answers those that this event meets; `seen` is how it is shown.
    pub(crate) fn handle_event(
        &mut self,
        event: &Event,
        seen: impl Fn(&Event) -> Value,
    ) -> Vec<(A, Answer)> {
        self.close(|open| {
            open.expected.is_met_by(event).then(|| {
                let after = event.at.saturating_duration_since(open.since);
                let mut fields = Map::new();
                fields.insert("after".into(), json!(after.as_secs_f64()));
                fields.insert("seen".into(), seen(event));
                Answer::with("expect", fields)
            })
        })
    }

    /// Answers those whose time is over.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Vec<(A, Answer)> {
        self.close(|open| {
            let within = open.expected.within;
            let missed = || {
                open.expected
                    .missed(&format!("did not come within {within:?}"))
            };
            (open.since + within <= now).then(missed)
        })
    }

    /// Answers all of them: nothing comes any more.
    pub(crate) fn finish(&mut self) -> Vec<(A, Answer)> {
        self.close(|open| Some(open.expected.missed("did not come before the end")))
    }

    /// When the first one is over.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let ends = self.open.iter();
        ends.map(|open| open.since + open.expected.within).min()
    }

    fn close(&mut self, mut answer: impl FnMut(&Open<A>) -> Option<Answer>) -> Vec<(A, Answer)> {
        let (mut closed, mut open) = (Vec::new(), Vec::new());
        for one in self.open.drain(..) {
            match answer(&one) {
                Some(answer) => closed.push((one.asker, answer)),
                None => open.push(one),
            }
        }
        self.open = open;
        closed
    }
}

fn time(text: &str) -> Option<Duration> {
    time::parse(text).filter(|time| *time <= Duration::from_secs(86_400))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kaa_proto::names::EndpointName;

    fn event(at: Instant, version: &str, token: &str) -> Event {
        Event {
            at,
            link: None,
            endpoint: Some(EndpointName::parse(version, token).unwrap()),
            kind: EventKind::Connected {},
        }
    }

    fn open(now: Instant, words: &[&[&str]]) -> Expectations<usize> {
        let mut all = Expectations::new();
        for (index, words) in words.iter().enumerate() {
            all.add(now, index, Expected::parse(words).unwrap())
                .unwrap();
        }
        all
    }

    fn askers(answers: &[(usize, Answer)]) -> Vec<usize> {
        answers.iter().map(|(asker, _)| *asker).collect()
    }

    #[test]
    fn an_event_answers_everybody_who_waits_for_it() {
        let now = Instant::now();
        let mut all = open(
            now,
            &[
                &["connected", "t"],
                &["connected", "v/t"],
                &["connected", "w/t"],
                &["connected", "u"],
                &["connected", "*"],
                &["telemetry", "t"],
            ],
        );
        let event = event(now + Duration::from_millis(250), "v", "t");
        let answers = all.handle_event(&event, |event| json!(event.kind.name()));
        assert_eq!(askers(&answers), [0, 1, 4]);
        let text = answers[0].1.to_text();
        assert_eq!(text, r#"ok expect {"after":0.25,"seen":"connected"}"#);
        assert_eq!(all.handle_event(&event, |_| Value::Null), []);
        assert_eq!(askers(&all.finish()), [2, 3, 5]);
    }

    #[test]
    fn what_does_not_come_is_told_in_time() {
        let now = Instant::now();
        let words: [&[&str]; 2] = [&["connected", "t", "within", "5s"], &["connected", "t"]];
        let mut all = open(now, &words);
        let end = now + Duration::from_secs(5);
        assert_eq!(all.poll_timeout(), Some(end));
        assert_eq!(all.handle_timeout(end - Duration::from_millis(1)), []);
        let answers = all.handle_timeout(end);
        let text = answers[0].1.to_text();
        assert_eq!(text, "error expect connected did not come within 5s");
        assert_eq!(all.poll_timeout(), Some(end + Duration::from_secs(5)));
    }

    #[test]
    fn words_that_are_no_expectation_are_refused() {
        for words in [
            &["connected"][..],
            &["surprise", "t"],
            &["connected", "a.b"],
            &["connected", "t", "within", "5"],
            &["connected", "t", "within", "s"],
            &["connected", "t", "within", "25h"],
            &["connected", "t", "for", "5s"],
        ] {
            assert!(Expected::parse(words).is_err(), "{words:?}");
        }
    }
}
