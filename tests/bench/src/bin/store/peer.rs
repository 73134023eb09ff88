//! Who is compared.

use std::path::Path;
use std::sync::Arc;

use kaa_bench::in_log::{self, Counts, LogOutbox};
use kaa_bench::in_redb::{self, RedbOutbox};
use kaa_bench::in_sqlite::{self, SqliteOutbox};
use kaa_bench::{Open, Outbox, Outcome};

/// A new store, and what it says of itself.
type Created = (Box<dyn Outbox>, Option<Arc<Counts>>);

/// A store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Log,
    Sqlite,
    Redb,
}

impl Peer {
    /// In the order in which they take turns.
    pub(crate) const ALL: [Self; 3] = [Self::Log, Self::Sqlite, Self::Redb];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Sqlite => "sqlite",
            Self::Redb => "redb",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|peer| peer.name() == name)
    }

    /// A new one in this folder; our log says what it does to its medium.
    pub(crate) fn create(self, folder: &Path) -> Outcome<Created> {
        Ok(match self {
            Self::Log => {
                let outbox = LogOutbox::create(folder)?;
                let counts = outbox.counts();
                (Box::new(outbox), Some(counts))
            }
            Self::Sqlite => (Box::new(SqliteOutbox::create(folder)?), None),
            Self::Redb => (Box::new(RedbOutbox::create(folder)?), None),
        })
    }

    /// What is kept in this folder.
    pub(crate) fn load(self, folder: &Path) -> Outcome<Open> {
        match self {
            Self::Log => in_log::load(folder),
            Self::Sqlite => in_sqlite::load(folder),
            Self::Redb => in_redb::load(folder),
        }
    }
}
