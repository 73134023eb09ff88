//! How answers and pushes come: what a device may rely on.

use std::io;
use std::time::Duration;

use kaa_blocking::names::EndpointName;
use kaa_blocking::topic::{Suffix, Topic};

use super::finding::Finding;
use super::link::millis;
use super::raw::{Dialer, RawLink};
use super::report::Report;
use crate::exit::Exit;
use crate::output;
use crate::problem::Problem;

/// How long an answer that comes at all takes at most, in times of one that came.
const FACTOR: u32 = 20;
const LEAST: Duration = Duration::from_secs(1);

/// How long more copies may take.
const COPY: Duration = Duration::from_millis(300);

/// How often round trips are measured.
const TRIPS: u32 = 5;

/// The request ID of the observe request.
const OBSERVED: u32 = 50;

/// Looks how answers and pushes come. Nothing is said of what the user did not wait for.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn check(
    dialer: &Dialer,
    name: &EndpointName,
    watch: Duration,
    report: &mut Report,
) -> Result<(), Problem> {
    let topics = Topics(name);
    let is_over = || dialer.stop.is_stopping();
    let delivered = deliver(dialer, &topics);
    let copies = match delivered {
        _ if is_over() => return Ok(()),
        Ok((found, copies)) => {
            report.decide("delivery", &found, Exit::Unknown)?;
            copies
        }
        Err(error) => {
            report.add("delivery", &lost(&error))?;
            1
        }
    };
    let link = dialer.dial().and_then(|mut link| {
        link.subscribe(&topics.all(), dialer.timeout)?;
        Ok(link)
    });
    let mut link = match link {
        _ if is_over() => return Ok(()),
        Ok(link) => link,
        Err(error) => return report.add("round-trip", &lost(&error)),
    };
    let found = trips(&mut link, &topics, dialer.timeout);
    if is_over() {
        return Ok(());
    }
    report.add("round-trip", &found.unwrap_or_else(|error| lost(&error)))?;
    if watch > LEAST {
        output::tell(format!(
            "Send the endpoint a command or a configuration now; it is waited for {}.",
            millis(watch)
        ));
    }
    match pushes(&mut link, &topics, copies, dialer.timeout, watch) {
        _ if is_over() => {}
        Ok(found) => report.mention("push-style", &found)?,
        Err(error) => report.add("push-style", &lost(&error))?,
    }
    link.close();
    Ok(())
}

/// The topics of an endpoint.
struct Topics<'a>(&'a EndpointName);

impl Topics<'_> {
    fn of(&self, extension: &str, resource: &str) -> String {
        let (version, token) = (self.0.app_version().as_str(), self.0.token().as_str());
        format!("kp1/{version}/{extension}/{token}/{resource}")
    }

    /// A read that changes nothing.
    fn read(&self, id: u32) -> String {
        self.of("epmx", &format!("get/keys/{id}"))
    }

    /// Where answers and pushes come.
    fn all(&self) -> Vec<String> {
        let filter = |extension| self.of(extension, "#");
        ["epmx", "cex", "cmx", "cmx_ota"].map(filter).to_vec()
    }
}

/// Asks without a subscription, then with one; also how often an answer comes to a subscriber.
fn deliver(dialer: &Dialer, topics: &Topics<'_>) -> io::Result<(Finding, usize)> {
    let mut link = dialer.dial()?;
    let patience = LEAST.min(dialer.timeout);
    let without = link.ask(&topics.read(11), b"", patience)?;
    link.close();

    let mut link = dialer.dial()?;
    link.subscribe(&[topics.of("epmx", "#")], dialer.timeout)?;
    let topic = topics.read(12);
    let with = link.ask(&topic, b"", dialer.timeout)?;
    link.wait(COPY, |_| false)?;
    let copies = link.answers(&topic).count();
    link.close();

    let found = match (without, with) {
        (Some(_), Some(_)) => Finding::pass("Answers come with and without a subscription."),
        (None, Some(_)) => Finding::pass("Answers come to subscribers only.").advising(
            "Let the device subscribe to its answers and pushes before it asks; this library does.",
        ),
        (Some(_), None) => Finding::fail(
            "Answers come without a subscription, and not to a subscriber.",
            "Do not subscribe, and tell those who run the platform.",
        ),
        (None, None) => Finding::fail(
            "The client was answered, and a plain request was not.",
            "Try again with a longer --timeout: the platform may be slow.",
        ),
    };
    let found = match copies {
        0 | 1 => found,
        _ => found.advising("Each answer comes more than once to a subscriber: take the first."),
    };
    let found = found
        .figure("withoutSubscription", without.is_some())
        .figure("withSubscription", with.is_some())
        .figure("copies", copies);
    Ok((found, copies))
}

/// Round trips of a read.
fn trips(link: &mut RawLink, topics: &Topics<'_>, timeout: Duration) -> io::Result<Finding> {
    let mut times = Vec::new();
    for id in 0..TRIPS {
        times.extend(link.ask(&topics.read(20 + id), b"", timeout)?);
    }
    times.sort_unstable();
    let (Some(least), Some(most)) = (times.first(), times.last()) else {
        return Ok(Finding::not_judged(
            "No answer came.",
            "Try again with a longer --timeout.",
        ));
    };
    let median = times.get(times.len() / 2).unwrap_or(most);
    let figures = [least, median, most].map(|time| time.as_secs_f64() * 1e3);
    let why = format!(
        "A question is answered after {}, at worst {} of {} times.",
        millis(*median),
        millis(*most),
        times.len()
    );
    let found = Finding::pass(why).figure("millis", figures.to_vec());
    Ok(match *median > LEAST {
        true => found.advising(format!(
            "That is slow: let the device wait {} for an answer at least.",
            millis(*most * FACTOR)
        )),
        false => found,
    })
}

/// Observes the configuration, and looks where what was not asked for comes. An answer is known to
/// come in that many copies.
fn pushes(
    link: &mut RawLink,
    topics: &Topics<'_>,
    copies: usize,
    timeout: Duration,
    watch: Duration,
) -> io::Result<Finding> {
    let observed = topics.of("cmx", &format!("config/json/{OBSERVED}"));
    link.ask(&observed, b"{\"observe\":true}", timeout)?;
    let has_come = |link: &RawLink| style(link, &observed, copies) != (false, false);
    link.wait(watch, has_come)?;
    link.wait(COPY, |_| false)?;
    let style = style(link, &observed, copies);
    let found = match style {
        (false, false) => Finding::not_judged(
            format!("Nothing was pushed within {}.", millis(watch)),
            "Run it with --watch 60s, and send the endpoint a command or a configuration meanwhile.",
        ),
        (true, false) => Finding::pass("Pushes come on topics without a request ID."),
        (false, true) => {
            Finding::pass("Pushes come on the topic of the observe request, with its ID.")
                .advising("Let the device take answers to that ID again and again.")
        }
        (true, true) => Finding::pass("Pushes come on topics without a request ID and with one.")
            .advising("Each may come twice: let the device tell them apart by ID."),
    };
    Ok(found.figure("withoutId", style.0).figure("withId", style.1))
}

/// Whether pushes came on topics without an ID; on that of the observe request, behind the copies of
/// its answer.
fn style(link: &RawLink, observed: &str, copies: usize) -> (bool, bool) {
    let is_push = |topic: &str| {
        Topic::parse(topic)
            .is_ok_and(|topic| topic.suffix() == Some(Suffix::Status) && topic.id().is_none())
    };
    let without = link.heard.iter().any(|heard| is_push(&heard.topic));
    (without, link.answers(observed).count() > copies.max(1))
}

/// A link of the doctor's own that failed where the client's did not.
fn lost(error: &io::Error) -> Finding {
    Finding::not_judged(
        format!("A connection for this check did not hold: {error}."),
        "If a password was typed in, give it by KAA_PASSWORD or --password-file, so that all \
         connections have it.",
    )
}
