//! Why there is no link, for people: what failed and what to try.

use kaa_blocking::connection::LinkError;
use kaa_blocking::mqtt::ConnectRefusal;
use kaa_blocking::store::StoreError;
use kaa_blocking::tls::TlsError;
use kaa_blocking::{ConnectError, Target};

use crate::exit::Exit;
use crate::problem::Problem;

/// A link to `target` that was not made, or was lost.
pub(crate) fn link_problem(target: &Target, cause: &LinkError) -> Problem {
    let exit = match cause.needs_operator() {
        true => Exit::Refused,
        false => Exit::Unreachable,
    };
    let problem = Problem::new(exit, format!("{target} cannot be used: {cause}"));
    match advice(target, cause) {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

/// A client that could not be started.
pub(crate) fn start_problem(error: &ConnectError) -> Problem {
    match error {
        ConnectError::Options(_) | ConnectError::Tls(_) => Problem::misuse(error.to_string()),
        ConnectError::Store(StoreError::InUse) => Problem::local(error.to_string())
            .hint("another kaa is using the folder: give each a --store of its own"),
        ConnectError::Store(_) => Problem::local(format!("--store: {error}"))
            .hint("check that the folder can be written and the disk has room"),
        ConnectError::System(_) | _ => Problem::local(error.to_string()),
    }
}

/// A client whose thread is gone: nobody closed it.
pub(crate) fn over_problem() -> Problem {
    Problem::local("the client has ended by itself")
}

/// The host as it stands in a URL: an IPv6 address in brackets.
pub(super) fn host_in_url(target: &Target) -> String {
    match target.host() {
        host if host.contains(':') => format!("[{host}]"),
        host => host.into(),
    }
}

fn advice(target: &Target, cause: &LinkError) -> Option<String> {
    let (host, port) = (target.host(), target.port());
    Some(match cause {
        LinkError::Dial(_) => format!(
            "check --url, that this machine has a network, and that {host} listens on port {port}"
        ),
        LinkError::DialTimeout => format!(
            "check the network: nothing came back from {host}, port {port}; a firewall may swallow it"
        ),
        LinkError::Tls(error) => return tls_advice(target, error),
        LinkError::Unwelcome | LinkError::TlsWanted => {
            format!("--url mqtts://{}:{port}", host_in_url(target))
        }
        LinkError::Eof => String::from(
            "the platform hung up: check --username and the password, the token and --app-version",
        ),
        LinkError::Refused(ConnectRefusal::BadLogin | ConnectRefusal::NotAuthorized) => {
            String::from("check --username, the password and --cert")
        }
        LinkError::NoConnAck | LinkError::Violation(_) => {
            format!("check that {host}, port {port}, is an MQTT server")
        }
        LinkError::Transport(_)
        | LinkError::Refused(_)
        | LinkError::KeepAliveTimeout
        | LinkError::Unacknowledged
        | LinkError::Closed
        | _ => return None,
    })
}

fn tls_advice(target: &Target, error: &TlsError) -> Option<String> {
    let (host, port) = (target.host(), target.port());
    Some(match error {
        TlsError::UnknownAuthority | TlsError::SelfSigned => {
            String::from("--ca FILE with the certificate of the authority that signed the server's")
        }
        TlsError::WrongName => {
            format!("the name in --url that the certificate is made for, instead of {host}")
        }
        TlsError::Expired(_) | TlsError::NotYetValid(_) => {
            String::from("look at the clock of this machine, then at the server's certificate")
        }
        TlsError::ClientCertificateMissing => String::from("--cert FILE and --key FILE"),
        TlsError::ClientCertificateRefused(_) => {
            String::from("another --cert: the server does not take this one")
        }
        TlsError::NotTls | TlsError::Cut => {
            format!(
                "another port in --url: {port} may be the one without TLS (mqtt://{}:{port})",
                host_in_url(target)
            )
        }
        TlsError::IsAuthority
        | TlsError::Revoked
        | TlsError::BadCertificate(_)
        | TlsError::Incompatible(_)
        | TlsError::Alert(_)
        | TlsError::Other(_)
        | _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_advised_can_be_used() {
        for (host, in_url) in [("here", "here"), ("::1", "[::1]")] {
            let target = Target::parse(&format!("mqtt://{in_url}")).unwrap();
            assert_eq!(target.host(), host);
            let (unwelcome, no_tls) = (LinkError::Unwelcome, LinkError::Tls(TlsError::NotTls));
            let advised = advice(&target, &unwelcome).unwrap();
            assert_eq!(advised, format!("--url mqtts://{in_url}:1883"));
            let advised = advice(&target, &no_tls).unwrap();
            assert!(advised.contains(&format!("(mqtt://{in_url}:1883)")));
        }
    }
}
