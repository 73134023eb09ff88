//! A Mosquitto of the distribution, for suites with a real broker.
//!
//! It is needed: where it is missing these functions fail, and so does the test.

use std::io::{self, BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::{env, fmt, fs, thread};

use crate::certificates::{Authority, Identity, IdentityFiles};
use crate::ports::Reserved;
use crate::scratch::Scratch;

/// How often another port is tried when somebody else took the one that was free.
const ATTEMPTS: usize = 5;

/// OpenSSL's configuration for one version of TLS.
const ONLY_TLS12: &str = "\
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = default
[default]
MinProtocol = TLSv1.2
MaxProtocol = TLSv1.2
";

/// Whom a broker lets in, and how. The default lets everybody in, without TLS.
#[derive(Clone, Default)]
pub struct Setup {
    /// Name and password.
    user: Option<(String, String)>,
    /// The server's own certificate.
    identity: Option<Identity>,
    /// The certificate of the authority that a client's has to come from, as PEM.
    client_ca: Option<String>,
    /// Whether TLS 1.3 is switched off.
    is_tls12: bool,
    /// Whether it has a door without TLS, too.
    has_plain_door: bool,
}

impl Setup {
    /// Lets everybody in, without TLS.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only those who know this password.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.user = Some((name.into(), password.into()));
        self
    }

    /// Over TLS, with this certificate.
    #[must_use]
    pub fn tls(mut self, server: &Identity) -> Self {
        self.identity = Some(server.clone());
        self
    }

    /// With [`tls`](Self::tls): only those who have a certificate of this authority.
    #[must_use]
    pub fn clients_of(mut self, authority: &Authority) -> Self {
        self.client_ca = Some(authority.certificate_pem());
        self
    }

    /// With [`tls`](Self::tls): there is a door without TLS, for those who cannot do it; see
    /// [`Mosquitto::plain_url`].
    #[must_use]
    pub const fn plain_door(mut self) -> Self {
        self.has_plain_door = true;
        self
    }

    /// With [`tls`](Self::tls): TLS 1.2 and no other.
    #[must_use]
    pub const fn tls12(mut self) -> Self {
        self.is_tls12 = true;
        self
    }

    /// Writes what it needs, and the lines of its configuration that say so.
    fn write(&self, files: &Scratch) -> io::Result<String> {
        let mut lines = String::from("allow_anonymous true\n");
        if let Some((name, password)) = &self.user {
            let path = write_password(files, name, password)?;
            let path = path.display();
            lines = format!("allow_anonymous false\npassword_file {path}\n");
        }
        if let Some(identity) = &self.identity {
            let IdentityFiles { chain, key } = identity.write(files, "server")?;
            let (chain, key) = (chain.display(), key.display());
            lines += &format!("certfile {chain}\nkeyfile {key}\n");
        }
        if let Some(pem) = &self.client_ca {
            let path = files.path().join("clients.pem");
            fs::write(&path, pem)?;
            lines += &format!("require_certificate true\ncafile {}\n", path.display());
        }
        Ok(lines)
    }
}

/// Passwords are not shown.
impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").finish_non_exhaustive()
    }
}

/// A running broker, stopped when this is dropped.
#[derive(Debug)]
pub struct Mosquitto {
    port: Reserved,
    /// The port without TLS, beside one with it.
    plain_port: Reserved,
    setup: Setup,
    files: Scratch,
    /// `None` while it is stopped.
    process: Option<Child>,
}

impl Mosquitto {
    /// Starts a broker on a free port of 127.0.0.1 that lets everybody in; when this returns,
    /// clients can connect.
    ///
    /// # Errors
    /// It is not installed, or does not start; then the error has what it said.
    pub fn start() -> io::Result<Self> {
        Self::start_with(Setup::new())
    }

    /// As [`start`](Self::start), but only for those who know the password.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn with_user(user: &str, password: &str) -> io::Result<Self> {
        Self::start_with(Setup::new().user(user, password))
    }

    /// As [`start`](Self::start), set up so.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(setup: Setup) -> io::Result<Self> {
        let mut broker = Self {
            port: Reserved::new()?,
            plain_port: Reserved::new()?,
            setup,
            files: Scratch::new()?,
            process: None,
        };
        let mut result = Ok(());
        for _ in 0..ATTEMPTS {
            result = broker.run();
            if result.is_ok() {
                break;
            }
            (broker.port, broker.plain_port) = (Reserved::new()?, Reserved::new()?);
        }
        result.map(|()| broker)
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port.port()
    }

    /// Where it listens, for a client: `mqtt://127.0.0.1:PORT`, or `mqtts://localhost:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        match self.setup.identity {
            None => format!("mqtt://127.0.0.1:{}", self.port()),
            Some(_) => format!("mqtts://localhost:{}", self.port()),
        }
    }

    /// Where it listens without TLS; see [`Setup::plain_door`].
    #[must_use]
    pub fn plain_url(&self) -> String {
        let port = match self.setup.has_plain_door {
            true => &self.plain_port,
            false => &self.port,
        };
        format!("mqtt://127.0.0.1:{}", port.port())
    }

    /// Stops it at once, as a crash would: nobody is told.
    ///
    /// # Errors
    /// The system does not let it be stopped.
    pub fn stop(&mut self) -> io::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Starts it again on the same port, after [`stop`](Self::stop).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&mut self) -> io::Result<()> {
        self.stop()?;
        self.run()
    }

    /// As [`restart`](Self::restart), set up otherwise.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart_with(&mut self, setup: Setup) -> io::Result<()> {
        self.setup = setup;
        self.restart()
    }

    fn run(&mut self) -> io::Result<()> {
        let config = self.files.path().join("mosquitto.conf");
        // Started by root it would become a user who may not read our files.
        let mut lines = format!(
            "listener {} 127.0.0.1\nuser root\nlog_dest stderr\nlog_type all\n",
            self.port()
        );
        lines += &self.setup.write(&self.files)?;
        if self.setup.has_plain_door {
            lines += &format!("listener {} 127.0.0.1\n", self.plain_port.port());
        }
        fs::write(&config, lines)?;
        let mut command = Command::new(program("mosquitto")?);
        if self.setup.is_tls12 {
            // Its own `tls_version` says the lowest; only OpenSSL can be told the highest.
            let path = self.files.path().join("openssl.conf");
            fs::write(&path, ONLY_TLS12)?;
            command.env("OPENSSL_CONF", path);
        }
        let mut process = command
            .arg("-c")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = process.stderr.take().map(BufReader::new);
        self.process = Some(process);
        let mut log = log.ok_or_else(|| io::Error::other("mosquitto has no log"))?;
        wait_until_it_runs(&mut log)?;
        // Read on, so that it can write on.
        thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        Ok(())
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// Writes a file of passwords as the broker reads it.
fn write_password(files: &Scratch, name: &str, password: &str) -> io::Result<PathBuf> {
    let path = files.path().join("passwords");
    let made = Command::new(program("mosquitto_passwd")?)
        .args(["-b", "-c"])
        .arg(&path)
        .args([name, password])
        .output()?;
    if made.status.success() {
        return Ok(path);
    }
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    Err(io::Error::other(format!("mosquitto_passwd failed: {said}")))
}

/// Where a program of Mosquitto is: servers may be in folders that not everybody's `PATH` has.
///
/// # Errors
/// It is not installed.
pub fn program(name: &str) -> io::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            let text = format!(
                "{name} is not installed, and this suite needs it: \
                 apt-get install mosquitto mosquitto-clients (`tests/run` does)"
            );
            io::Error::new(io::ErrorKind::NotFound, text)
        })
}

/// Its log says that it runs when it listens already.
fn wait_until_it_runs(log: &mut BufReader<ChildStderr>) -> io::Result<()> {
    let mut said = String::new();
    loop {
        let start = said.len();
        if log.read_line(&mut said)? == 0 {
            return Err(io::Error::other(format!("mosquitto did not start: {said}")));
        }
        if said
            .get(start..)
            .is_some_and(|line| line.trim_end().ends_with(" running"))
        {
            return Ok(());
        }
    }
}
