//! A Mosquitto of the distribution, for suites with a real broker.
//!
//! It is needed: where it is missing these functions fail, and so does the test.

use std::io::{self, BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::{env, fs, thread};

use crate::ports::free_port;
use crate::scratch::Scratch;

/// How often another port is tried when somebody else took the one that was free.
const ATTEMPTS: usize = 5;

/// A running broker, stopped when this is dropped.
#[derive(Debug)]
pub struct Mosquitto {
    port: u16,
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
        Self::launch(Scratch::new()?, "allow_anonymous true\n")
    }

    /// As [`start`](Self::start), but only for those who know the password.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn with_user(user: &str, password: &str) -> io::Result<Self> {
        let files = Scratch::new()?;
        let path = files.path().join("passwords");
        let made = Command::new(program("mosquitto_passwd")?)
            .args(["-b", "-c"])
            .arg(&path)
            .args([user, password])
            .output()?;
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(io::Error::other(format!("mosquitto_passwd failed: {said}")));
        }
        let access = format!("allow_anonymous false\npassword_file {}\n", path.display());
        Self::launch(files, &access)
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens, for a client.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
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

    fn launch(files: Scratch, access: &str) -> io::Result<Self> {
        let mut broker = Self {
            port: 0,
            files,
            process: None,
        };
        let mut result = Ok(());
        for _ in 0..ATTEMPTS {
            broker.port = free_port()?;
            // Started by root it would become a user who may not read our files.
            let config = format!(
                "listener {} 127.0.0.1\nuser root\nlog_dest stderr\nlog_type all\n{access}",
                broker.port
            );
            fs::write(broker.files.path().join("mosquitto.conf"), config)?;
            result = broker.run();
            if result.is_ok() {
                break;
            }
        }
        result.map(|()| broker)
    }

    fn run(&mut self) -> io::Result<()> {
        let mut process = Command::new(program("mosquitto")?)
            .arg("-c")
            .arg(self.files.path().join("mosquitto.conf"))
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
