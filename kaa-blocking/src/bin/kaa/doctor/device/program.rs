//! The user's program, as the doctor starts and ends it.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How long it may take to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// How often is looked whether it has ended.
const TICK: Duration = Duration::from_millis(20);

/// What is started, and with what.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) words: Vec<OsString>,
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Where what it prints goes; `None`: nowhere.
    pub(crate) output: Option<std::path::PathBuf>,
}

/// A running program, in a process group of its own, so that a script ends with its children.
/// Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Program(Child);

impl Recipe {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started, or its output not be written.
    pub(crate) fn start(&self) -> io::Result<Program> {
        let (name, arguments) = self
            .words
            .split_first()
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut command = Command::new(name);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .process_group(0);
        // What the user keeps for the real platform: its secrets would go to this one in clear, and
        // its certificates not with a link without TLS.
        for (name, _) in env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"KAA_") {
                command.env_remove(name);
            }
        }
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        let (out, err) = match &self.output {
            None => (Stdio::null(), Stdio::null()),
            Some(path) => {
                let file = File::options().create(true).append(true).open(path)?;
                (file.try_clone()?.into(), file.into())
            }
        };
        command.stdout(out).stderr(err).spawn().map(Program)
    }
}

impl Program {
    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until it has ended by itself, at most that long; whether it did.
    fn wait(&mut self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        while !self.has_ended() {
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(TICK);
        }
        true
    }

    /// To all of its group.
    fn signal(&self, signal: Signal) {
        // One that has ended does not hear it.
        let _ = kill_process_group(Pid::from_child(&self.0), signal);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.terminate();
        }
        if !self.wait(FAREWELL) {
            self.signal(Signal::KILL);
        }
        // Children that outlived it, and the trace that it leaves with the system.
        self.signal(Signal::KILL);
        let _ = self.0.wait();
    }
}
