//! Who writes to the store: a thread of its own, so that a slow medium never holds up the link.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::archive::{Done, Job};
use super::shared::Shared;
use crate::store::{Durability, Store, StoreError};

/// The work of a client's store. A binding starts it
/// ([`Driver::start_store_writer`](super::Driver::start_store_writer)): until then everything waits
/// that has to be stored first.
pub struct StoreWriter {
    shared: Arc<Shared>,
    store: Box<dyn Store>,
    durability: Durability,
}

/// What a thread does next; see [`StoreWriter::turn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreTurn {
    /// Something was written. There may be more.
    Again,
    /// There is nothing to write, until then at the latest.
    Wait {
        /// `None`: until somebody does something.
        until: Option<Instant>,
    },
    /// The client is closed, and everything is written.
    Finished,
}

impl StoreWriter {
    pub(super) fn new(shared: Arc<Shared>, store: Box<dyn Store>, durability: Durability) -> Self {
        Self {
            shared,
            store,
            durability,
        }
    }

    /// Runs on a thread of its own, called `kaa-store`.
    ///
    /// # Errors
    /// The operating system's, if it has no thread.
    #[allow(
        clippy::disallowed_methods,
        reason = "a store may block, so nothing else will do; the only thread of the core"
    )]
    pub fn start(self) -> io::Result<()> {
        let thread = thread::Builder::new().name("kaa-store".into());
        thread.spawn(|| self.run()).map(drop)
    }

    /// Writes until the client is closed and everything is written. Blocks the thread.
    pub fn run(mut self) {
        loop {
            match self.turn() {
                StoreTurn::Again => {}
                StoreTurn::Wait { until } => self.shared.wait_for_records(until),
                StoreTurn::Finished => return,
            }
        }
    }

    /// Writes once, if there is something: what has gathered since the last time goes by one commit.
    /// For simulations; [`run`](Self::run) is what a binding needs.
    pub fn turn(&mut self) -> StoreTurn {
        let bloated = self.look(|store| store.wants_compaction()) == Some(true);
        let Some((job, is_over)) = self.shared.next_store_job(bloated) else {
            return StoreTurn::Finished;
        };
        let (result, mut done) = match job {
            Job::Wait(_) if is_over => return StoreTurn::Finished,
            Job::Wait(until) => return StoreTurn::Wait { until },
            Job::Append { records, epoch } => {
                let result = self.write(|store, durability| {
                    store.append(&records)?;
                    store.commit(durability)
                });
                let (covers, replaced) = (records.len(), false);
                (result, done(epoch, covers, replaced))
            }
            Job::Replace {
                records,
                covers,
                epoch,
            } => {
                let result = self.write(|store, _| store.compact(&records));
                (result, done(epoch, covers, true))
            }
        };
        done.size = self.look(|store| store.size());
        self.shared.handle_stored(&done, result);
        StoreTurn::Again
    }

    /// A store that panics when it is looked at says nothing.
    fn look<T>(&self, look: impl FnOnce(&dyn Store) -> T) -> Option<T> {
        catch_unwind(AssertUnwindSafe(|| look(&*self.store))).ok()
    }

    /// The store is code of the application, perhaps: a panic in it is a failure of the store.
    fn write(
        &mut self,
        write: impl FnOnce(&mut dyn Store, Durability) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let (store, durability) = (&mut *self.store, self.durability);
        let written = catch_unwind(AssertUnwindSafe(|| write(store, durability)));
        written.unwrap_or_else(|_| Err(StoreError::Failed("it panicked".into())))
    }
}

const fn done(epoch: u64, covers: usize, replaced: bool) -> Done {
    Done {
        epoch,
        covers,
        replaced,
        size: None,
    }
}

impl fmt::Debug for StoreWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreWriter")
    }
}
