//! Standard input, which others may share and may have put into a mode in which reading does not wait.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd as _;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::problem::Problem;

/// How long it is waited for at a time.
const STEP: Duration = Duration::from_secs(1);

/// The bytes of the argument that is called so; `-` stands for standard input.
///
/// # Errors
/// Standard input cannot be read.
pub(crate) fn argument(what: &str, text: &str) -> Result<Vec<u8>, Problem> {
    if text != "-" {
        return Ok(text.into());
    }
    let mut bytes = Vec::new();
    let done = Input::open().and_then(|mut input| input.read_to_end(&mut bytes));
    done.map_err(|error| Problem::misuse(format!("{what} cannot be read: {error}")))?;
    Ok(bytes)
}

/// Standard input without a buffer. Reading always waits for something to read.
#[derive(Debug)]
pub(crate) struct Input(File);

impl Input {
    /// Another handle of it.
    ///
    /// # Errors
    /// The system has none.
    pub(crate) fn open() -> io::Result<Self> {
        let handle = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self(handle.into()))
    }

    /// Whether reading finds something within that time, the end or an error perhaps.
    pub(crate) fn is_ready(&self, within: Duration) -> bool {
        let mut asked = [PollFd::new(&self.0, PollFlags::IN)];
        let within = Timespec::try_from(within).ok();
        match poll(&mut asked, within.as_ref()) {
            Ok(ready) => ready > 0,
            Err(rustix::io::Errno::INTR) => false,
            // What cannot be waited for is read: that tells why.
            Err(_) => true,
        }
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // The mode is not ours to change: it is that of all who share it.
                    while !self.is_ready(STEP) {}
                }
                other => return other,
            }
        }
    }
}
