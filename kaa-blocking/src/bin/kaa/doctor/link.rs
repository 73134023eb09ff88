//! `kaa doctor`: the way to the platform, one step after the other, until one fails.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use kaa_blocking::connection::LinkError;
use kaa_blocking::metadata::Keys;
use kaa_blocking::names::EndpointName;
use kaa_blocking::request::{Failure, RequestExt as _, Resend};
use kaa_blocking::{Client, NotReady, Options, Target};

use super::certificate;
use super::delivery;
use super::finding::Finding;
use super::raw::Dialer;
use super::report::Report;
use crate::connection::failure::{link_problem, over_problem, start_problem};
use crate::connection::settings::Settings;
use crate::exit::Exit;
use crate::output;
use crate::problem::Problem;
use crate::stop::{LOOK, Stop};

/// How long a link may take to close.
const FAREWELL: Duration = Duration::from_secs(2);

/// Checks the way to the platform.
///
/// # Errors
/// A setting is wrong or missing.
pub(crate) fn run(settings: &Settings, watch: Duration) -> Result<Exit, Problem> {
    let name = settings.endpoint()?;
    let timeout = settings.timeout.value;
    let options = settings.options()?.connection(|options| {
        let options = options.dial_within(timeout).connack_within(timeout);
        // Each step by itself.
        options.eager_start(false)
    });
    let stop = Stop::listen()?;
    let mut report = Report::default();
    let way = Way {
        settings,
        name,
        timeout,
        watch,
        stop,
    };
    let is_whole = way.walk(options, &mut report)?;
    if way.stop.is_stopping() {
        return Ok(Exit::Interrupted);
    }
    if report.exit() == Exit::Done {
        output::tell(match report.is_partial() {
            true => "All that was judged is well.",
            false => "All is well.",
        });
    } else if !is_whole {
        output::tell("What comes after it was not checked.");
    }
    Ok(report.exit())
}

/// What is checked, and for whom.
struct Way<'a> {
    settings: &'a Settings,
    name: EndpointName,
    timeout: Duration,
    watch: Duration,
    stop: Stop,
}

impl Way<'_> {
    /// Whether it came to the end.
    fn walk(&self, options: Options, report: &mut Report) -> Result<bool, Problem> {
        let target = &self.settings.target.value;
        let Some(addresses) = resolve(target, report)? else {
            return Ok(false);
        };
        let Some(address) = self.reach(&addresses, report)? else {
            return Ok(false);
        };
        let client = Client::connect(options).map_err(|error| start_problem(&error))?;
        let is_good = self.introduce(&client, address, report)? && self.ask(&client, report)?;
        client.shutdown(FAREWELL);
        if is_good && !self.stop.is_stopping() {
            let dialer = Dialer::new(self.settings, address, self.timeout, &self.stop)?;
            delivery::check(&dialer, &self.name, self.watch, report)?;
        }
        Ok(is_good)
    }

    /// TCP.
    fn reach(
        &self,
        addresses: &[SocketAddr],
        report: &mut Report,
    ) -> Result<Option<SocketAddr>, Problem> {
        let share = self.timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let target = &self.settings.target.value;
        let mut problem = String::new();
        for address in addresses {
            let begin = Instant::now();
            match TcpStream::connect_timeout(address, share) {
                Ok(_) => {
                    let took = begin.elapsed();
                    let why = format!("{address} accepts connections, after {}.", millis(took));
                    let finding = Finding::pass(why).figure("address", address.to_string());
                    report.add("tcp", &finding.figure("millis", took.as_secs_f64() * 1e3))?;
                    return Ok(Some(*address));
                }
                Err(error) => problem = format!("{address}: {error}"),
            }
        }
        let finding = Finding::fail(
            format!("No connection is made: {problem}."),
            format!(
                "Check the port {} in --url, that the server is up, and the firewalls in between.",
                target.port()
            ),
        );
        report.decide("tcp", &finding, Exit::Unreachable)?;
        Ok(None)
    }

    /// TLS and CONNACK.
    fn introduce(
        &self,
        client: &Client,
        address: SocketAddr,
        report: &mut Report,
    ) -> Result<bool, Problem> {
        let target = &self.settings.target.value;
        let begin = Instant::now();
        let ready = loop {
            let ready = client.ready(LOOK);
            let is_late = begin.elapsed() >= self.timeout || self.stop.is_stopping();
            match ready {
                Err(NotReady::TimedOut(_)) if !is_late => {}
                ready => break ready,
            }
        };
        let cause = match ready {
            Ok(()) => None,
            Err(NotReady::Refused(cause) | NotReady::TimedOut(Some(cause))) => Some(cause),
            Err(NotReady::TimedOut(None)) => Some(LinkError::NoConnAck),
            Err(NotReady::Closed) => return Err(over_problem()),
        };
        if self.stop.is_stopping() {
            return Ok(false);
        }
        let took = begin.elapsed();
        if let Some(cause @ LinkError::Tls(_)) = &cause {
            let (finding, exit) = failed(target, cause);
            report.decide("tls", &finding, exit)?;
            return Ok(false);
        }
        if target.is_tls() && !self.secure(cause.as_ref(), address, report)? {
            return Ok(false);
        }
        let Some(cause) = cause else {
            let why = format!("The platform lets it in, after {}.", millis(took));
            let finding = Finding::pass(why).figure("millis", took.as_secs_f64() * 1e3);
            report.add("connack", &finding)?;
            return Ok(true);
        };
        let (finding, exit) = failed(target, &cause);
        report.decide("connack", &finding, exit)?;
        Ok(false)
    }

    /// TLS, where the client does not say that it failed; whether the link is secured.
    fn secure(
        &self,
        cause: Option<&LinkError>,
        address: SocketAddr,
        report: &mut Report,
    ) -> Result<bool, Problem> {
        // Packets came through it.
        let is_proven = matches!(
            cause,
            None | Some(LinkError::Refused(_) | LinkError::Violation(_))
        );
        let looked = certificate::look(self.settings, address, self.timeout, &self.stop);
        if self.stop.is_stopping() {
            return Ok(false);
        }
        let finding = match looked {
            Ok(finding) => finding,
            Err(error) if is_proven => certificate::unseen(&error),
            Err(error) => {
                let finding = unsecured(&self.settings.target.value, &error, self.timeout);
                report.decide("tls", &finding, Exit::Unreachable)?;
                return Ok(false);
            }
        };
        report.add("tls", &finding)?;
        Ok(true)
    }

    /// The token and the application version, by reading the names of metadata.
    fn ask(&self, client: &Client, report: &mut Report) -> Result<bool, Problem> {
        let device = client
            .endpoint(&self.name)
            .map_err(|error| Problem::misuse(error.to_string()))?;
        let begin = Instant::now();
        let request = Keys.resend(Resend::Never).answer_within(self.timeout);
        let ticket = device.submit(&request);
        let mut ticket = ticket.map_err(|error| Problem::misuse(error.to_string()))?;
        let outcome = loop {
            let outcome = ticket.wait(LOOK);
            let is_late = begin.elapsed() >= self.timeout + LOOK || self.stop.is_stopping();
            if outcome.is_some() || is_late {
                break outcome.unwrap_or(Err(Failure::Unanswered));
            }
        };
        if self.stop.is_stopping() {
            return Ok(false);
        }
        let failure = match outcome {
            Ok(keys) => {
                let took = begin.elapsed();
                let count = keys.len();
                let why = format!("The endpoint is known; it has {count} keys of metadata.");
                let finding = Finding::pass(why).figure("millis", took.as_secs_f64() * 1e3);
                report.add("token", &finding)?;
                return Ok(true);
            }
            Err(failure) => failure,
        };
        let (finding, exit) = self.refused(&failure);
        report.decide("token", &finding, exit)?;
        Ok(false)
    }

    fn refused(&self, failure: &Failure) -> (Finding, Exit) {
        let version = self.name.app_version();
        let check = format!(
            "Check the token, and that it is of the application of {version}; both are in the \
             platform's console."
        );
        match failure {
            Failure::Rejected { status, reason } => {
                let status = status.map_or_else(String::new, |status| format!(" {status}"));
                let why = format!("The platform rejects the endpoint:{status} {reason}.");
                (Finding::fail(why, check), Exit::Rejected)
            }
            Failure::OutcomeUnknown => {
                let why = "The platform closes the connection when the endpoint speaks.";
                let more = "It does so to an unknown token or version, to credentials that were revoked, \
                            and where it wants a client certificate";
                (
                    Finding::fail(why, format!("{check} {more}.")),
                    Exit::Refused,
                )
            }
            Failure::Unanswered => {
                let why = format!(
                    "The platform does not answer within {}.",
                    millis(self.timeout)
                );
                let advice = format!("{check} Then try a longer --timeout.");
                (Finding::fail(why, advice), Exit::Unknown)
            }
            failure @ (Failure::Expired
            | Failure::Dropped
            | Failure::Cancelled
            | Failure::Closed
            | Failure::Undecodable(_)
            | _) => (Finding::fail(format!("{failure}."), check), Exit::Unknown),
        }
    }
}

/// The name, if it is one.
fn resolve(target: &Target, report: &mut Report) -> Result<Option<Vec<SocketAddr>>, Problem> {
    let begin = Instant::now();
    let found = (target.host(), target.port()).to_socket_addrs();
    let problem = match found.map(Vec::from_iter) {
        Ok(addresses) if !addresses.is_empty() => {
            let list: Vec<_> = addresses
                .iter()
                .map(|address| address.ip().to_string())
                .collect();
            let why = format!("{} is {}.", target.host(), list.join(", "));
            let finding = Finding::pass(why).figure("addresses", list);
            let millis = begin.elapsed().as_secs_f64() * 1e3;
            report.add("name", &finding.figure("millis", millis))?;
            return Ok(Some(addresses));
        }
        Ok(_) => String::from("it has no address"),
        Err(error) => error.to_string(),
    };
    let finding = Finding::fail(
        format!("The name {} is not found: {problem}.", target.host()),
        "Check the name in --url, and that this machine reaches its name server.",
    );
    report.decide("name", &finding, Exit::Unreachable)?;
    Ok(None)
}

/// No TLS handshake came to its end.
fn unsecured(target: &Target, error: &io::Error, timeout: Duration) -> Finding {
    let why = match error.kind() == ErrorKind::TimedOut {
        true => format!(
            "The server does not secure the connection within {}.",
            millis(timeout)
        ),
        false => format!("The connection is not secured: {error}."),
    };
    let (host, port) = (target.host(), target.port());
    let advice = format!(
        "Check that {host}, port {port}, is an MQTT server with TLS and is up, and what stands before it."
    );
    Finding::fail(why, advice)
}

fn failed(target: &Target, cause: &LinkError) -> (Finding, Exit) {
    let problem = link_problem(target, cause);
    let (words, hint) = problem.parts();
    let advice = match hint.is_empty() {
        true => String::new(),
        false => format!("Try: {hint}."),
    };
    (Finding::fail(format!("{words}."), advice), problem.exit)
}

/// `0.3 ms`, `12 ms`, `1.5 s`.
pub(super) fn millis(time: Duration) -> String {
    match time.as_secs_f64() {
        long if long >= 1.0 => format!("{long:.1} s"),
        short if short >= 0.01 => format!("{:.0} ms", short * 1e3),
        short => format!("{:.1} ms", short * 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_is_gone_is_not_all_well() {
        let settings = Settings::of_url("mqtt://127.0.0.1:1", "20s");
        let way = Way {
            name: settings.endpoint().unwrap(),
            settings: &settings,
            timeout: settings.timeout.value,
            watch: Duration::ZERO,
            stop: Stop::default(),
        };
        let client = Client::connect(settings.options().unwrap()).unwrap();
        client.shutdown(Duration::ZERO);
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let introduced = way.introduce(&client, address, &mut Report::default());
        assert_eq!(introduced.unwrap_err().exit, Exit::Local);
    }
}
