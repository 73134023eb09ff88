//! A client for one endpoint, for as long as the command takes.

use std::thread;
use std::time::{Duration, Instant};

use kaa_blocking::connection::{Event, LinkState};
use kaa_blocking::request::{Failure, Request, RequestError, RequestExt as _};
use kaa_blocking::{Client, Endpoint, LinkEvents, NotReady, Target};
use kaa_proto::client;

use super::args::ConnectionArgs;
use super::failure::{link_problem, start_problem};
use super::settings::Settings;
use crate::exit::Exit;
use crate::output::say;
use crate::problem::Problem;
use crate::stop::Stop;

/// How long a link may take to close.
const FAREWELL: Duration = Duration::from_secs(2);
/// The longest pause between dials: somebody waits.
const PAUSE: Duration = Duration::from_secs(5);

/// A client that dials, and the endpoint that it speaks for.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) device: Endpoint,
    target: Target,
    deadline: Instant,
}

impl Session {
    /// Begins to dial. Asks for what is missing first.
    ///
    /// # Errors
    /// A setting is wrong or missing, or the client cannot be started.
    pub(crate) fn start(args: &ConnectionArgs) -> Result<Self, Problem> {
        let settings = Settings::of(args)?;
        let endpoint = settings.endpoint()?;
        let timeout = settings.timeout.value;
        let options = settings.options()?.connection(|options| {
            let step = timeout.min(Duration::from_secs(20));
            let options = options.dial_within(step).connack_within(step);
            options.backoff(Duration::from_millis(500), PAUSE)
        });
        // Only now: a prompt ends by the terminal's own rules.
        let stop = Stop::listen()?;
        let deadline = Instant::now() + timeout;
        let client = Client::connect(options).map_err(|error| start_problem(&error))?;
        let device = client
            .endpoint(&endpoint)
            .map_err(|error| Problem::misuse(error.to_string()))?;
        let closing = client.clone();
        stop.then(move || {
            // What waits ends with it.
            drop(client::Client::shutdown(&closing, FAREWELL));
        });
        let target = settings.target.value;
        tell_losses(client.link_events(), target.clone(), stop);
        Ok(Self {
            client,
            device,
            target,
            deadline,
        })
    }

    /// Waits until the platform can be spoken to.
    ///
    /// # Errors
    /// It cannot in time, or a person has to mend something first.
    pub(crate) fn ready(&self) -> Result<(), Problem> {
        match self.client.ready(self.left()) {
            Ok(()) => Ok(()),
            Err(NotReady::Refused(cause) | NotReady::TimedOut(Some(cause))) => {
                Err(link_problem(&self.target, &cause))
            }
            Err(NotReady::TimedOut(None)) => {
                let problem = format!("{} was not reached in time", self.target);
                Err(Problem::new(Exit::Unreachable, problem).hint("a longer --timeout"))
            }
            Err(NotReady::Closed) => Err(Problem::new(Exit::Interrupted, "interrupted")),
        }
    }

    /// Waits for the link, asks, and waits for the answer, all within the time.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) fn ask<R: Request + Clone>(&self, request: &R) -> Result<R::Response, Problem> {
        self.ready()?;
        let request = request.clone().answer_within(self.left());
        let mut ticket = self.device.submit(&request).map_err(RequestError::from)?;
        let failure = match ticket.wait(self.left()) {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(failure)) => failure,
            None if self.client.link_state() == LinkState::Up => Failure::Unanswered,
            None => Failure::OutcomeUnknown,
        };
        Err(RequestError::from(failure).into())
    }

    /// Closes the link in good order.
    pub(crate) fn close(self) {
        drop(self.client.shutdown(FAREWELL));
    }

    /// What is left of the time, and a little at least.
    fn left(&self) -> Duration {
        let left = self.deadline.saturating_duration_since(Instant::now());
        left.max(Duration::from_millis(1))
    }
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
