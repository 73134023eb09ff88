//! SIGINT, SIGTERM and SIGHUP: the first asks for a clean end, a second SIGINT or SIGTERM ends the
//! program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use std::{fs, process};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Exit;
use crate::problem::Problem;

/// Whoever waits looks this often whether the program is to end.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// Tells whether the program is to end.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Begins to listen for signals.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn listen() -> Result<Self, Problem> {
        let stop = Self::default();
        let mut signals =
            Signals::new(asking()).map_err(|error| Problem::local(format!("signals: {error}")))?;
        let heard = stop.clone();
        thread::spawn(move || {
            let mut is_insisted = false;
            for signal in signals.forever() {
                heard.0.store(true, Ordering::Relaxed);
                // A terminal that closes gives SIGHUP twice, once by the system and once by the shell;
                // the end of a login gives it beside SIGTERM. Nobody insists by that.
                if signal == SIGHUP {
                    continue;
                }
                if is_insisted {
                    process::exit(Exit::Interrupted.code().into());
                }
                is_insisted = true;
            }
        });
        Ok(stop)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The signals that ask for the end. SIGHUP is none of them where it was ignored when the program was
/// started: `nohup` is to let it outlive its terminal.
pub(crate) fn asking() -> Vec<i32> {
    let mut asking = vec![SIGINT, SIGTERM];
    if !is_ignored(SIGHUP) {
        asking.push(SIGHUP);
    }
    asking
}

/// Whether a signal is ignored, as far as the system tells: Linux does.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
