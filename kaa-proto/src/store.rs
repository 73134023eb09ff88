//! Where records survive a crash: the contract between the client and whatever keeps them.
//!
//! The machines say what must be kept, before it becomes visible ([`Record`](crate::endpoint::Record)); a [`Store`] keeps
//! it. This library brings one, an append-only log in a folder (feature `store`,
//! `Log` over `Files`); a program may bring its own.
//!
//! # The contract
//!
//! A store is one sequence of records for each endpoint. It is written by one thread, in these
//! steps:
//!
//! ```text
//! load ──▶ ( append … append ──▶ commit ──▶ compact? )*
//! ```
//!
//! * **Order.** [`load`](Store::load) gives the records of an endpoint in the order in which they
//!   were appended. What is kept is a prefix of that sequence: if a record is there, so is every
//!   record of the same store that was appended before it.
//! * **Atomicity.** The records of one [`append`](Store::append) are kept together or not at all.
//! * **Durability.** When [`commit`](Store::commit) has returned `Ok`, everything that was appended
//!   before is kept through whatever its [`Durability`] names. Before, each of the latest appends
//!   may be kept or lost, always as a prefix. It never comes back changed.
//! * **Torn tails.** An append that a crash cut off leaves no trace in what is loaded; how many
//!   bytes of it were found is reported ([`Loaded::torn_bytes`]). That is no damage: nobody was told
//!   that they were kept.
//! * **Compaction.** [`compact`](Store::compact) replaces everything by the records it is given,
//!   atomically and as by [`Durability::Sync`]: a crash at any point leaves either all of the old
//!   ones or all of the new ones.
//! * **Failure.** After an `Err` of `append` or `commit` it is unknown which of the records since
//!   the last good commit are kept, and a later commit promises nothing: a failed `fsync` may have
//!   lost what it was to write. Only a `compact` that returns `Ok` mends that. After an `Err` of
//!   `compact` the store is as it was before, or failed; it may be tried again at any time.
//! * **Damage.** What cannot be read although it was committed, and what a newer version of the
//!   library wrote, is set aside whole and reported ([`Loaded::set_aside`]), never discarded; the
//!   store begins anew then.
//! * **Secrets.** A store is never told a token: it knows endpoints by [`EndpointTag`], a keyed hash.
//!   Payloads it keeps as they are.

#[cfg(feature = "store")]
mod contents;
#[cfg(feature = "store")]
mod disk;
#[cfg(feature = "store")]
mod entry;
#[cfg(feature = "store")]
mod files;
#[cfg(feature = "store")]
mod folder;
#[cfg(feature = "store")]
mod frame;
#[cfg(feature = "store")]
mod header;
#[cfg(feature = "store")]
mod log;
#[cfg(feature = "store")]
mod options;
#[cfg(feature = "store")]
mod tag;
#[cfg(feature = "store")]
mod varint;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::endpoint::Stored;
use crate::names::EndpointName;

#[cfg(feature = "store")]
pub use disk::Disk;
#[cfg(feature = "store")]
pub use files::{Files, open};
#[cfg(feature = "store")]
pub use log::Log;
#[cfg(feature = "store")]
pub use options::{InvalidLogOptions, LogOptions};

/// Keeps records; see the [module](self) for the contract.
///
/// It is driven from a thread of its own and may block: what waits for it is only what has to be
/// kept first, never the link.
pub trait Store: Send {
    /// Everything that is kept. Called once, before anything else.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be used at all. Damage is no error: it is set aside.
    fn load(&mut self) -> Result<Loaded, StoreError>;

    /// Takes records, after all those before. They are kept when a later
    /// [`commit`](Self::commit) says so.
    ///
    /// # Errors
    /// [`StoreError::MediumFull`] if there is no room now, [`StoreError::Full`] if there is none within
    /// its bounds; nothing of `records` is kept then, and what was there before is as good as it was. Any other error: see "Failure".
    fn append(&mut self, records: &[(EndpointTag, Stored)]) -> Result<(), StoreError>;

    /// Makes what was appended survive what `durability` names.
    ///
    /// # Errors
    /// [`StoreError`]: see "Failure".
    fn commit(&mut self, durability: Durability) -> Result<(), StoreError>;

    /// Replaces all that is kept by `live`, in that order.
    ///
    /// # Errors
    /// [`StoreError`]: see "Failure".
    fn compact(&mut self, live: &[(EndpointTag, Stored)]) -> Result<(), StoreError>;

    /// Whether so much of it is superseded that [`compact`](Self::compact) is worth its cost.
    fn wants_compaction(&self) -> bool;

    /// How many bytes it takes on its medium.
    fn size(&self) -> u64;
}

/// Which endpoint a record is of, without saying its token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointTag(pub [u8; 16]);

impl fmt::Debug for EndpointTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, ..] = self.0;
        write!(f, "EndpointTag({a:02x}{b:02x}…)")
    }
}

/// Gives an endpoint its tag: the same at every start, and no way back to the token.
pub type Tagger = Arc<dyn Fn(&EndpointName) -> EndpointTag + Send + Sync>;

/// What a store kept.
pub struct Loaded {
    /// The records of each endpoint, in their order.
    pub records: BTreeMap<EndpointTag, Vec<Stored>>,
    /// How endpoints are found in it.
    pub tagger: Tagger,
    /// Bytes at the end that a crash cut off before they were committed.
    pub torn_bytes: u64,
    /// What could not be read and was set aside.
    pub set_aside: Vec<SetAside>,
    /// How old the latest record of an endpoint may be that the program does not add: when nobody has
    /// asked for it for a day, the next compaction leaves it out. `None`: as old as it likes.
    pub max_age: Option<Duration>,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("endpoints", &self.records.len())
            .field("torn_bytes", &self.torn_bytes)
            .field("set_aside", &self.set_aside)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}

/// Something that a store could not use and kept out of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Under which name it can be found, beside the store.
    pub name: String,
    /// Why.
    pub reason: Unusable,
}

/// Why something in a store cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unusable {
    /// It had been committed and cannot be read, from this byte on.
    Damaged {
        /// The first bad byte.
        at: u64,
    },
    /// A newer version of this library wrote it.
    Newer {
        /// The version of its format.
        version: u32,
    },
}

/// What committed records survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Nothing is promised: they are written when the store likes. For tests, and for media that
    /// must be spared.
    None,
    /// The end of the process, however it ends (a panic, SIGKILL); not a power cut. They are handed
    /// to the operating system.
    Flush,
    /// A power cut too: the medium has acknowledged them (`fsync`).
    Sync,
}

/// Why a store does not keep what it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The store has reached its bound.
    Full,
    /// The medium is full, of whatever: it may have room again.
    MediumFull,
    /// The medium cannot give back what it has taken, whenever it is asked; what it said.
    Unreadable(String),
    /// Somebody else has it open.
    InUse,
    /// The medium takes so long that records had to be given up.
    Stalled,
    /// The medium failed; what it said, without a path.
    Failed(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the store is full"),
            Self::MediumFull => f.write_str("the medium of the store is full"),
            Self::Unreadable(text) => write!(f, "the store cannot be read: {text}"),
            Self::Stalled => f.write_str("the store stalls"),
            Self::InUse => f.write_str("the store is in use by another process"),
            Self::Failed(text) => write!(f, "the store failed: {text}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { at } => write!(f, "damaged at byte {at}"),
            Self::Newer { version } => write!(f, "written by a newer version (format {version})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_cannot_do_is_told() {
        let cases = [
            (StoreError::Full, "the store is full"),
            (StoreError::MediumFull, "the medium of the store is full"),
            (
                StoreError::Unreadable("bad block".into()),
                "the store cannot be read: bad block",
            ),
            (StoreError::Stalled, "the store stalls"),
            (StoreError::InUse, "the store is in use by another process"),
            (
                StoreError::Failed("no such device".into()),
                "the store failed: no such device",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
        let cases = [
            (Unusable::Damaged { at: 7 }, "damaged at byte 7"),
            (
                Unusable::Newer { version: 2 },
                "written by a newer version (format 2)",
            ),
        ];
        for (reason, text) in cases {
            assert_eq!(reason.to_string(), text);
        }
    }

    #[test]
    fn neither_records_nor_whole_tags_are_shown() {
        let tag = EndpointTag([0xab; 16]);
        assert_eq!(format!("{tag:?}"), "EndpointTag(abab…)");
        let loaded = Loaded {
            records: BTreeMap::from([(tag, Vec::new())]),
            tagger: Arc::new(|_| EndpointTag([0; 16])),
            torn_bytes: 7,
            set_aside: Vec::new(),
            max_age: Some(Duration::from_secs(9)),
        };
        assert_eq!(
            format!("{loaded:?}"),
            "Loaded { endpoints: 1, torn_bytes: 7, set_aside: [], max_age: Some(9s), .. }"
        );
    }
}
