//! Who writes to the store: a thread of its own, so that a slow medium never holds up the link.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::archive::{Done, Job};
use super::shared::{Shared, apart};
use crate::store::{Durability, Store, StoreError};

/// The work of a client's store. A binding starts it
/// ([`Driver::start_store_writer`](super::Driver::start_store_writer)): until then everything waits
/// that has to be stored first.
///
/// The client is closed when its writer has let go of the store, so that another one can open it; or
/// after five seconds, if the medium hangs.
pub struct StoreWriter {
    shared: Arc<Shared>,
    /// `None` when it was let go.
    store: Option<Box<dyn Store>>,
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
    /// The client closes, everything is written, and the store was dropped.
    Finished,
}

impl StoreWriter {
    pub(super) fn new(shared: Arc<Shared>, store: Box<dyn Store>, durability: Durability) -> Self {
        Self {
            shared,
            store: Some(store),
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

    /// Writes until the client closes and everything is written. Blocks the thread.
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
        let turn = self.write_next();
        if turn == StoreTurn::Finished {
            self.let_go();
        }
        turn
    }

    fn write_next(&mut self) -> StoreTurn {
        let Some(store) = self.store.as_deref_mut() else {
            return StoreTurn::Finished;
        };
        let bloated = look(store, |store| store.wants_compaction()) == Some(true);
        let Some((job, is_all)) = self.shared.next_store_job(bloated) else {
            return StoreTurn::Finished;
        };
        let (result, mut done) = match job {
            Job::Wait(_) if is_all => return StoreTurn::Finished,
            Job::Wait(until) => return StoreTurn::Wait { until },
            Job::Append { records, epoch } => {
                let result = write(store, |store| {
                    store.append(&records)?;
                    store.commit(self.durability)
                });
                let (covers, replaced) = (records.len(), false);
                (result, done(epoch, covers, replaced))
            }
            Job::Replace {
                records,
                covers,
                epoch,
            } => {
                let result = write(store, |store| store.compact(&records));
                (result, done(epoch, covers, true))
            }
        };
        done.size = look(store, |store| store.size());
        self.shared.handle_stored(&done, result);
        StoreTurn::Again
    }

    fn let_go(&mut self) {
        if let Some(store) = self.store.take() {
            apart(|| drop(store));
            self.shared.handle_store_closed();
        }
    }
}

impl Drop for StoreWriter {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// A store that panics when it is looked at says nothing.
fn look<T>(store: &dyn Store, look: impl FnOnce(&dyn Store) -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(|| look(store))).ok()
}

/// The store is code of the application, perhaps: a panic in it is a failure of the store.
fn write(
    store: &mut dyn Store,
    write: impl FnOnce(&mut dyn Store) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let written = catch_unwind(AssertUnwindSafe(|| write(store)));
    written.unwrap_or_else(|_| Err(StoreError::Failed("it panicked".into())))
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
