//! The HTTP side of an upload.

use std::fs;
use std::io::{self, Read};
use std::process;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use kaa_blocking::upload::UploadRequest;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, SendBody, Timeout};

use crate::connection::settings::{Found, Settings, check_http_url};
use crate::exit::Exit;
use crate::output::say;
use crate::problem::Problem;
use crate::progress::Progress;
use crate::stop::{LOOK, Stop};

/// A slower link than so many bytes in a second does not get an upload through.
const SLOWEST: u64 = 1_024;

/// How long an upload may take to notice that it is to end.
const GRACE: Duration = Duration::from_secs(2);

/// Where uploads go, and what is trusted there.
pub(super) struct Http {
    url: String,
    root_certs: Option<RootCerts>,
    timeout: Duration,
}

/// What the server answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) location: Option<String>,
}

impl Http {
    /// # Errors
    /// The URL or the authorities cannot be used.
    pub(super) fn new(settings: &Settings, url: Found<String>) -> Result<Self, Problem> {
        check_http_url(&url)?;
        let url = url.value;
        let root_certs = match url.starts_with("https://") {
            true => Some(root_certs(settings)?),
            false => None,
        };
        Ok(Self {
            url,
            root_certs,
            timeout: settings.timeout.value,
        })
    }

    /// Sends a file; `progress` shows how far it is.
    ///
    /// # Errors
    /// The server was not reached, or did not answer.
    pub(super) fn send(
        &self,
        request: UploadRequest,
        file: impl Read,
        length: u64,
        stop: &Stop,
        progress: &Progress,
    ) -> Result<Answer, Problem> {
        let mut body = Counted {
            file: file.take(length),
            sent: 0,
            stop,
            progress,
        };
        let (_sending, ended) = mpsc::channel::<()>();
        end_on_signal(stop.clone(), ended);
        let request = request.into_http(&self.url, SendBody::from_reader(&mut body));
        let mut request = request.map_err(|_| {
            Problem::misuse("the URL for uploads cannot be used").hint("https://HOST")
        })?;
        request
            .headers_mut()
            .insert("Content-Length", length.into());
        let answer = self.agent(length).run(request);
        let sent = body.sent;
        match answer {
            Ok(answer) => {
                let location = answer.headers().get("Location");
                let location = location.and_then(|value| value.to_str().ok());
                Ok(Answer {
                    status: answer.status().as_u16(),
                    location: location.map(String::from),
                })
            }
            Err(_) if stop.is_stopping() => Err(Problem::new(
                Exit::Interrupted,
                format!("interrupted after {sent} of {length} bytes"),
            )),
            Err(error) => {
                // An empty file is there as soon as the head of the request is.
                let may_be_there = sent > 0 || length == 0 && was_begun(&error);
                Err(self.problem(&error, may_be_there, sent))
            }
        }
    }

    fn agent(&self, length: u64) -> Agent {
        // A body takes its time, but not for ever.
        let body = self.timeout + Duration::from_secs(length / SLOWEST);
        let mut config = Agent::config_builder()
            .user_agent(concat!("kaa/", env!("CARGO_PKG_VERSION")))
            // The token must not follow to another server.
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_resolve(Some(self.timeout))
            .timeout_connect(Some(self.timeout))
            .timeout_send_request(Some(self.timeout))
            .timeout_send_body(Some(body))
            .timeout_recv_response(Some(self.timeout));
        if let Some(root_certs) = &self.root_certs {
            let provider = rustls::crypto::ring::default_provider();
            let tls = TlsConfig::builder()
                .root_certs(root_certs.clone())
                .unversioned_rustls_crypto_provider(Arc::new(provider));
            config = config.tls_config(tls.build());
        }
        config.build().into()
    }

    fn problem(&self, error: &ureq::Error, may_be_there: bool, sent: u64) -> Problem {
        let words = format!("the upload failed: {error}");
        let hint = format!("check --http-url: {} was not reached", self.url);
        if is_tls(error) {
            Problem::new(Exit::Refused, words).hint("--ca FILE with the server's authority")
        } else if may_be_there {
            let words = format!("{words} (after {sent} bytes)");
            Problem::new(Exit::Unknown, words).hint("look whether it is there, and try again")
        } else {
            Problem::new(Exit::Unreachable, words).hint(hint)
        }
    }
}

/// Whether there was a connection, so that the request may have been sent.
fn was_begun(error: &ureq::Error) -> bool {
    if let ureq::Error::Io(error) = error {
        // A name that is not found is an error without a kind of its own.
        return matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
        );
    }
    matches!(
        error,
        ureq::Error::Timeout(Timeout::SendRequest | Timeout::RecvResponse)
            | ureq::Error::Protocol(_)
            | ureq::Error::LargeResponseHeader(..)
    )
}

/// Whether rustls refused the server.
fn is_tls(error: &ureq::Error) -> bool {
    if let ureq::Error::Io(error) = error {
        return error
            .get_ref()
            .is_some_and(|inner| inner.is::<rustls::Error>());
    }
    matches!(error, ureq::Error::Tls(_) | ureq::Error::Rustls(_))
}

fn root_certs(settings: &Settings) -> Result<RootCerts, Problem> {
    let native = rustls_native_certs::load_native_certs().certs;
    let mut all: Vec<Certificate<'static>> = native
        .iter()
        .map(|der| Certificate::from_der(der).to_owned())
        .collect();
    if let Some(ca) = &settings.ca {
        let path = ca.value.display();
        let pem = fs::read(&ca.value)
            .map_err(|error| Problem::misuse(format!("{path} cannot be read: {error}")))?;
        for item in parse_pem(&pem) {
            match item {
                Ok(PemItem::Certificate(certificate)) => all.push(certificate),
                Ok(_) => {}
                Err(_) => return Err(Problem::misuse(format!("{path} is not PEM"))),
            }
        }
    }
    Ok(RootCerts::from(all))
}

/// Ends the program when it is told to and a server that does not read holds it up.
fn end_on_signal(stop: Stop, ended: Receiver<()>) {
    thread::spawn(move || {
        let mut told = None;
        while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            let since = *told.get_or_insert_with(Instant::now);
            if !stop.is_stopping() {
                told = None;
            } else if since.elapsed() > GRACE {
                say("interrupted; the server did not read");
                process::exit(Exit::Interrupted.code().into());
            }
        }
    });
}

/// A file whose bytes are counted as they go.
struct Counted<'a, R> {
    file: R,
    sent: u64,
    stop: &'a Stop,
    progress: &'a Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_stopping() {
            return Err(io::Error::other("interrupted"));
        }
        let read = self.file.read(buffer)?;
        self.sent += read as u64;
        self.progress.set(self.sent);
        Ok(read)
    }
}
