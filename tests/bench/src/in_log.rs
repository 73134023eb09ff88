//! Our log, driven as the client's writer drives it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kaa_proto::endpoint::{Record, Stored};
use kaa_proto::request::{Prepared, RequestId};
use kaa_proto::store::{
    self, Disk, Durability, EndpointTag, Files, Log, LogOptions, Store, StoreError,
};

use crate::work::{Step, accepted};
use crate::{Open, Outbox, Outcome};

/// The only endpoint.
const TAG: EndpointTag = EndpointTag([7; 16]);

/// Requests in a log. What has not ended is in memory too, as it is in the machines.
#[derive(Debug)]
pub struct LogOutbox {
    log: Log<Counting>,
    open: BTreeMap<u64, Prepared>,
    next: u64,
    counts: Arc<Counts>,
}

/// What a log has done to its medium.
#[derive(Debug, Default)]
pub struct Counts {
    bytes: AtomicU64,
    syncs: AtomicU64,
}

impl LogOutbox {
    /// A new log in this folder.
    ///
    /// # Errors
    /// If the store fails.
    pub fn create(folder: &Path) -> Outcome<Self> {
        let counts = Arc::new(Counts::default());
        let disk = Counting {
            files: Files::open(folder)?,
            counts: Arc::clone(&counts),
        };
        let mut log = Log::new(disk, options()?);
        log.load()?;
        Ok(Self {
            log,
            open: BTreeMap::new(),
            next: 0,
            counts,
        })
    }

    /// What it has done so far.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    fn apply(&mut self, group: &[Step]) {
        for step in group {
            match step {
                Step::Accept(id, request) => {
                    self.open.insert(*id, request.clone());
                    self.next = id + 1;
                }
                Step::End(id) => drop(self.open.remove(id)),
            }
        }
    }

    /// All that is needed, as an endpoint writes it down.
    fn snapshot(&self) -> Vec<(EndpointTag, Stored)> {
        let reached = Record::Reached(RequestId::from_number(self.next));
        let open = self.open.iter().map(|(id, request)| accepted(*id, request));
        let records = std::iter::once(reached).chain(open);
        records.map(|record| (TAG, record.into())).collect()
    }
}

impl Outbox for LogOutbox {
    fn write(&mut self, groups: &[Vec<Step>]) -> Outcome<()> {
        for group in groups {
            self.apply(group);
            // A compaction stands for what has not been appended, too.
            if self.log.wants_compaction() {
                self.log.compact(&self.snapshot())?;
            } else {
                self.log.append(&records(group))?;
                self.log.commit(Durability::Sync)?;
            }
        }
        Ok(())
    }

    fn fill(&mut self, groups: &mut dyn Iterator<Item = Outcome<Vec<Step>>>) -> Outcome<()> {
        for group in groups {
            self.log.append(&records(&group?))?;
        }
        Ok(self.log.commit(Durability::Sync)?)
    }
}

fn records(group: &[Step]) -> Vec<(EndpointTag, Stored)> {
    let records = group.iter().map(|step| (TAG, step.record().into()));
    records.collect()
}

/// Reads the log in this folder.
///
/// # Errors
/// If the store fails.
pub fn load(folder: &Path) -> Outcome<Open> {
    let mut loaded = store::open(folder, options()?)?.load()?;
    if loaded.torn_bytes > 0 || !loaded.set_aside.is_empty() {
        return Err("the log is not whole".into());
    }
    let mut open = Open::new();
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "nothing else is written here"
    )]
    for stored in loaded.records.remove(&TAG).unwrap_or_default() {
        match stored.record {
            Record::Accepted(id, _) => drop(open.insert(id.number(), stored)),
            Record::Ended(id) => drop(open.remove(&id.number())),
            _ => {}
        }
    }
    Ok(open)
}

/// Room for the million records that are loaded; in a life it makes no difference.
fn options() -> Outcome<LogOptions> {
    Ok(LogOptions::default().max_bytes(1024 * 1024 * 1024)?)
}

impl Counts {
    /// Bytes that were appended to files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Files and folders that were synced.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}

/// A folder that counts.
#[derive(Debug)]
struct Counting {
    files: Files,
    counts: Arc<Counts>,
}

impl Disk for Counting {
    fn list(&mut self) -> Result<Vec<String>, StoreError> {
        self.files.list()
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.files.read(name)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let len = bytes.len() as u64;
        self.counts.bytes.fetch_add(len, Ordering::Relaxed);
        self.files.append(name, bytes)
    }

    fn truncate(&mut self, name: &str, len: u64) -> Result<(), StoreError> {
        self.files.truncate(name, len)
    }

    fn sync(&mut self, name: &str) -> Result<(), StoreError> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.files.sync(name)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), StoreError> {
        self.files.rename(from, to)
    }

    fn remove(&mut self, name: &str) -> Result<(), StoreError> {
        self.files.remove(name)
    }

    fn sync_names(&mut self) -> Result<(), StoreError> {
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.files.sync_names()
    }

    fn wall_clock(&self) -> Duration {
        self.files.wall_clock()
    }

    fn fill_random(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.files.fill_random(bytes)
    }
}
