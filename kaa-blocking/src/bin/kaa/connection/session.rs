//! A client for one endpoint, for as long as the command takes.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use kaa_blocking::connection::{Account, Event, LinkState};
use kaa_blocking::endpoint::EndpointOptions;

use kaa_blocking::request::{Failure, Prepared, Request, RequestError, RequestExt as _};
use kaa_blocking::{Client, Endpoint, LinkEvents, NotReady, QoS, Target, Ticket};

use super::args::ConnectionArgs;
use super::failure::{link_problem, over_problem, start_problem};
use super::settings::Settings;
use crate::exit::Exit;
use crate::output::say;
use crate::problem::Problem;
use crate::stop::{LOOK, Stop};

/// How long a link may take to close.
const FAREWELL: Duration = Duration::from_secs(2);
/// The longest pause between dials: somebody waits.
const PAUSE: Duration = Duration::from_secs(5);

/// A client that dials, and the endpoint that it speaks for.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) device: Endpoint,
    pub(crate) stop: Stop,
    /// How long the first link, or an answer, may take.
    pub(crate) timeout: Duration,
    target: Target,
    deadline: Instant,
}

/// What a command wants beyond the connection's options.
#[derive(Default)]
pub(crate) struct Wanted<'a> {
    /// What the endpoint needs.
    pub(crate) endpoint: EndpointOptions,
    /// Where what must survive the program is kept.
    pub(crate) store: Option<&'a Path>,
}

impl Session {
    /// Begins to dial. Asks for what is missing first.
    ///
    /// # Errors
    /// A setting is wrong or missing, or the client cannot be started.
    pub(crate) fn start(args: &ConnectionArgs) -> Result<Self, Problem> {
        Self::start_with(&Settings::of(args)?, Wanted::default())
    }

    /// As [`start`](Self::start), with what the command wants.
    ///
    /// # Errors
    /// As [`start`](Self::start); also the store's.
    pub(crate) fn start_with(settings: &Settings, wanted: Wanted<'_>) -> Result<Self, Problem> {
        let endpoint = settings.endpoint()?;
        let timeout = settings.timeout.value;
        // The quality is the connection's own default; endpoint options of ours would lose it.
        let device = wanted.endpoint.qos(QoS::AtLeastOnce);
        let device = device.map_err(|error| Problem::misuse(error.to_string()))?;
        let mut options = settings.options()?.connection(|options| {
            let step = timeout.min(Duration::from_secs(20));
            let options = options.dial_within(step).connack_within(step);
            options
                .backoff(Duration::from_millis(500), PAUSE)
                .endpoint(device)
        });
        if let Some(folder) = wanted.store {
            options = options.store_in(folder);
        }
        // Only now: until then a signal ends a prompt as it ends any program.
        let stop = Stop::listen()?;
        let deadline = Instant::now() + timeout;
        let client = Client::connect(options).map_err(|error| start_problem(&error))?;
        let device = client
            .endpoint(&endpoint)
            .map_err(|error| Problem::misuse(error.to_string()))?;
        let target = settings.target.value.clone();
        tell_losses(client.link_events(), target.clone(), stop.clone());
        Ok(Self {
            client,
            device,
            stop,
            timeout,
            target,
            deadline,
        })
    }

    /// Waits until the platform can be spoken to.
    ///
    /// # Errors
    /// It cannot in time, or a person has to mend something first.
    pub(crate) fn ready(&self) -> Result<(), Problem> {
        loop {
            let left = self.left();
            let cause = match self.client.ready(left.min(LOOK)) {
                Ok(()) => return Ok(()),
                Err(NotReady::Refused(cause)) => return Err(link_problem(&self.target, &cause)),
                Err(NotReady::TimedOut(cause)) => cause,
                Err(NotReady::Closed) => return Err(over_problem()),
            };
            if self.stop.is_stopping() {
                return Err(Problem::new(
                    Exit::Interrupted,
                    "interrupted; nothing was sent",
                ));
            }
            if left <= LOOK {
                return Err(cause.map_or_else(
                    || {
                        let problem = format!("{} was not reached in time", self.target);
                        Problem::new(Exit::Unreachable, problem).hint("a longer --timeout")
                    },
                    |cause| link_problem(&self.target, &cause),
                ));
            }
        }
    }

    /// Waits for the link, asks, and waits for the answer, all within the time.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) fn ask<R: Request + Clone>(&self, request: &R) -> Result<R::Response, Problem> {
        self.ready()?;
        // The platform was reached: it has what is left of the time, and a second at least.
        let within = self.left().max(Duration::from_secs(1));
        let request = request.clone().answer_within(within);
        self.send(&request, within)
    }

    /// Asks, and waits for the answer for at most that long.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) fn send<R: Request>(
        &self,
        request: &R,
        within: Duration,
    ) -> Result<R::Response, Problem> {
        let ticket = self.device.submit(request).map_err(RequestError::from)?;
        self.outcome(ticket, within)
    }

    /// Waits for what a ticket stands for, for at most that long.
    ///
    /// # Errors
    /// How it failed.
    pub(crate) fn outcome<R: Request>(
        &self,
        mut ticket: Ticket<R>,
        within: Duration,
    ) -> Result<R::Response, Problem> {
        let deadline = Instant::now() + within;
        loop {
            match ticket.wait(LOOK) {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(failure)) => return Err(RequestError::from(failure).into()),
                None if self.stop.is_stopping() => {
                    let words = "interrupted; it may have been sent";
                    return Err(Problem::new(Exit::Interrupted, words));
                }
                None if Instant::now() < deadline => {}
                None if self.client.link_state() == LinkState::Up => {
                    return Err(RequestError::from(Failure::Unanswered).into());
                }
                None => return Err(RequestError::from(Failure::OutcomeUnknown).into()),
            }
        }
    }

    /// Lets the time begin anew, for another question.
    pub(crate) fn begin_anew(&mut self) {
        self.deadline = Instant::now() + self.timeout;
    }

    /// Closes the link in good order.
    pub(crate) fn close(self) -> Account {
        self.client.shutdown(FAREWELL)
    }

    /// What is left of the time.
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// Asks one question, and closes the link.
///
/// # Errors
/// As [`Session::start`] and [`Session::ask`].
pub(crate) fn ask_once<R: Request + Clone>(
    args: &ConnectionArgs,
    request: &R,
) -> Result<R::Response, Problem> {
    // A mistake is told before anybody is asked or dialed.
    Prepared::new(request).map_err(|error| Problem::misuse(error.to_string()))?;
    let session = Session::start(args)?;
    let answer = session.ask(request);
    session.close();
    answer
}

/// Says why there is no link, once for each cause in a row.
fn tell_losses(events: LinkEvents, target: Target, stop: Stop) {
    thread::spawn(move || {
        let mut told = None;
        for event in events {
            if let Event::LinkUp(_) = event {
                if told.take().is_some() {
                    say(format_args!("{target} is reached"));
                }
            } else if let Event::LinkLost {
                error,
                next_dial: Some(_),
                ..
            } = event
            {
                let is_new = told.as_ref() != Some(&error);
                if is_new && !error.needs_operator() && !stop.is_stopping() {
                    say(format_args!("{target}: {error}; trying again"));
                    told = Some(error);
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_is_gone_is_not_waited_for() {
        let settings = Settings::of_url("mqtt://127.0.0.1:1", "1h");
        let session = Session::start_with(&settings, Wanted::default()).unwrap();
        session.client.shutdown(Duration::ZERO);
        let problem = session.ready().unwrap_err();
        assert_eq!(problem.exit, Exit::Local);
        assert!(session.left() > Duration::from_secs(1_800));
    }
}
