//! SIGINT and SIGTERM: the first ends what goes on, cleanly; the second ends the program at once.

use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Exit;
use crate::problem::Problem;

/// Tells whether the program is to end.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    is_stopping: bool,
    /// What is done then.
    then: Vec<Box<dyn FnOnce() + Send>>,
}

impl Stop {
    /// Begins to listen for signals.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn listen() -> Result<Self, Problem> {
        let stop = Self::default();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
            .map_err(|error| Problem::local(format!("signals: {error}")))?;
        let heard = stop.clone();
        thread::spawn(move || {
            for _ in signals.forever() {
                if heard.is_stopping() {
                    process::exit(Exit::Interrupted.code().into());
                }
                heard.stop();
            }
        });
        Ok(stop)
    }

    /// Does this when the program is to end; at once, if it is to end already.
    pub(crate) fn then(&self, act: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        match state.is_stopping {
            true => {
                drop(state);
                act();
            }
            false => state.then.push(Box::new(act)),
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.lock().is_stopping
    }

    /// As a signal does: standard output has no reader any more.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.is_stopping = true;
        let acts = std::mem::take(&mut state.then);
        drop(state);
        for act in acts {
            act();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
