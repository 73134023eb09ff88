//! From the command line to a platform that can be started.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use kaa_blocking::platform::{LocalOptions, LocalPlatform, LocalTls, LocalTlsError};
use kaa_proto::mqtt::Login;
use kaa_proto::platform::{Fixture, Secret, Switches, User, UserState};

use super::args::{PlatformArgs, TlsArgs};

/// Whether the switches are asked for.
pub(crate) fn wants_switches(args: &PlatformArgs) -> bool {
    args.switch.iter().any(|word| word == "help")
}

/// The table of switches.
pub(crate) fn switches() -> String {
    let mut table = String::new();
    for row in Switches::help() {
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "{}={}\n    {}\n    {}",
            row.name, row.default, row.values, row.meaning
        );
    }
    table
}

/// Starts what the command line describes.
///
/// # Errors
/// Says what is wrong. Passwords are not repeated.
pub(crate) fn start(args: &PlatformArgs) -> Result<LocalPlatform, String> {
    let mut options = LocalOptions::default();
    options.seed = args.seed;
    options.platform.fixture = args.fixture.as_deref().map(fixture).transpose()?;
    for switch in &args.switch {
        let (name, value) = switch
            .split_once('=')
            .ok_or_else(|| format!("--switch takes NAME=VALUE or help, not {switch:?}"))?;
        let set = options.platform.switches.set(name, value);
        set.map_err(|error| format!("--switch: {error}"))?;
    }
    if let Some(addr) = &args.http_listen {
        options.http_listen = Some(address("--http-listen", addr)?);
    }
    let mut users = users(args)?;
    let Some(url) = &args.attach else {
        options.tls = tls(&args.tls)?;
        let usual = match options.tls.is_some() {
            true => "127.0.0.1:8883",
            false => "127.0.0.1:1883",
        };
        options.listen = address("--listen", args.listen.as_deref().unwrap_or(usual))?;
        options.platform.users = users;
        let listen = options.listen;
        return LocalPlatform::start(options)
            .map_err(|error| format!("cannot listen on {listen}{}: {error}", uploads(args)));
    };
    let login = users.pop().map(|user| {
        let password = user.password.expose().as_bytes();
        Login::new(user.name).with_password(password)
    });
    if !users.is_empty() {
        return Err("a broker is logged in to as one user, not as several".into());
    }
    LocalPlatform::attach(url, login, options)
        .map_err(|error| format!("cannot attach{}: {error}", uploads(args)))
}

/// Which other address may be at fault.
fn uploads(args: &PlatformArgs) -> String {
    let addr = args.http_listen.as_ref();
    addr.map(|addr| format!(", with uploads on {addr}"))
        .unwrap_or_default()
}

/// What the files for TLS hold, if it is asked for.
fn tls(args: &TlsArgs) -> Result<Option<LocalTls>, String> {
    let (Some(cert), Some(key)) = (&args.cert, &args.key) else {
        return Ok(None);
    };
    let ca = args.client_ca.as_ref();
    let client_ca = ca.map(|path| read_bytes(path)).transpose()?;
    let tls = LocalTls::from_pem(&read_bytes(cert)?, &read_bytes(key)?, client_ca.as_deref());
    let at_fault = |error| match error {
        LocalTlsError::NoCertificate | LocalTlsError::BadCertificate => cert,
        LocalTlsError::NoClientCa | LocalTlsError::BadClientCa => ca.unwrap_or(cert),
        LocalTlsError::NoKey | LocalTlsError::BadKey | LocalTlsError::KeyMismatch | _ => key,
    };
    let tls = tls.map_err(|error| format!("{}: {error}", at_fault(error).display()))?;
    Ok(Some(tls))
}

fn fixture(path: &Path) -> Result<Fixture, String> {
    let json = read(path)?;
    Fixture::parse(&json).map_err(|error| format!("{}: {error}", path.display()))
}

fn users(args: &PlatformArgs) -> Result<Vec<User>, String> {
    let mut users = Vec::new();
    for text in &args.user {
        users.push(user(text).ok_or("--user takes NAME:PASSWORD")?);
    }
    if let Some(path) = &args.user_file {
        for (index, line) in read(path)?.lines().enumerate() {
            let problem = || {
                let (path, line) = (path.display(), index + 1);
                format!("{path}: line {line} is no NAME:PASSWORD")
            };
            users.push(user(line).ok_or_else(problem)?);
        }
    }
    Ok(users)
}

/// The name ends at the first colon: a password may hold more of them.
fn user(text: &str) -> Option<User> {
    let (name, password) = text.split_once(':')?;
    Some(User {
        name: name.into(),
        password: Secret::new(password),
        state: UserState::Active,
    })
}

fn address(option: &str, text: &str) -> Result<SocketAddr, String> {
    let problem = |error: io::Error| format!("{option} takes HOST:PORT, not {text:?}: {error}");
    let mut all = text.to_socket_addrs().map_err(problem)?;
    all.next()
        .ok_or_else(|| format!("{option}: {text:?} has no address"))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}
