//! What the client keeps in its store: the records on their way there, and those of endpoints that
//! are not here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::options::Keeping;
use super::slot::Storage;
use super::trace;
use crate::connection::{Connection, Snapshot};
use crate::endpoint::{Record, Stored};
use crate::names::EndpointName;
use crate::store::{Durability, EndpointTag, Loaded, SetAside, StoreError, Tagger};

/// Records that have waited for the medium for [`PATIENCE`] take no more than this; then the store
/// counts as lost.
const MAX_PENDING_BYTES: usize = 4 * 1_024 * 1_024;

/// So many wait for no others.
const MUCH_BYTES: usize = 1_024 * 1_024;

/// As long as a burst may take to be written.
const PATIENCE: Duration = Duration::from_secs(10);

/// Records that wait take no more than this, however short.
const MOST_PENDING_BYTES: usize = 64 * 1_024 * 1_024;

/// An endpoint that nobody has asked for in this time is one that nobody may want any more.
const UNASKED: Duration = Duration::from_secs(24 * 60 * 60);

/// What a record takes beside the payload in it, about.
const RECORD_BYTES: usize = 128;

/// The first pause before a store that failed is tried again.
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// The longest one.
const RETRY_LAST: Duration = Duration::from_secs(60);

pub(super) struct Archive {
    /// Whether the writer has the store.
    is_open: bool,
    tagger: Tagger,
    /// See [`Loaded::max_age`].
    max_age: Option<Duration>,
    keeping: Keeping,
    /// What is stored of endpoints that are not here, and since when it is known.
    absent: BTreeMap<EndpointTag, (Vec<Stored>, Instant)>,
    /// Records that the store was not given yet, in their order.
    pending: Vec<(EndpointTag, Stored)>,
    pending_bytes: usize,
    /// Since when the oldest of them waits.
    since: Option<Instant>,
    /// The store is to be replaced by what is needed now.
    replace: bool,
    /// Why, if it failed.
    failure: Option<StoreError>,
    /// The file on its way is to mend a failure: if it fails too, the store is lost.
    mends: bool,
    /// When a store that failed is tried again, and the pause after that.
    retry: Option<(Instant, Duration)>,
    /// Something happened that the writer has not looked at, and whether it was rung for.
    news: bool,
    rung: bool,
    /// Rises with each loss: what the writer says of a time before it is void.
    epoch: u64,
    status: StoreStatus,
}

/// How the store of a client fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStatus {
    /// Why nothing is stored at the moment; the client goes on in memory, and tries again.
    pub lost: Option<StoreError>,
    /// Gauge: bytes on the medium.
    pub size: u64,
    /// Records stored since the start, those aside that a compaction took up.
    pub records: u64,
    /// Commits since the start; one serves many records.
    pub commits: u64,
    /// How often the store was replaced by what was needed of it.
    pub compactions: u64,
    /// Gauge: endpoints of which it knows something, and which were not added.
    pub absent: usize,
    /// Bytes that a crash cut off before they were committed, found at the start.
    pub torn_bytes: u64,
    /// What could not be read at the start and was set aside: commands and requests that were in
    /// there are forgotten. A person should look.
    pub set_aside: Vec<SetAside>,
    /// Endpoints that were not here and were given up: because nothing was recorded of them for too
    /// long (`LogOptions::max_age`), or, those that left the longest ago, because the store had
    /// reached its bound.
    pub given_up: usize,
}

/// What the writer does next.
pub(super) enum Job {
    /// These are to be appended and committed.
    Append {
        records: Vec<(EndpointTag, Stored)>,
        epoch: u64,
    },
    /// The store is to be replaced by these, which stand for so many records.
    Replace {
        records: Vec<(EndpointTag, Stored)>,
        covers: usize,
        epoch: u64,
    },
    /// Nothing, until then at the latest.
    Wait(Option<Instant>),
}

impl Archive {
    pub(super) fn new(loaded: Loaded, size: u64, keeping: Keeping, now: Instant) -> Self {
        let absent = loaded.records.into_iter();
        let absent: BTreeMap<_, _> = absent.map(|(tag, of)| (tag, (of, now))).collect();
        let status = StoreStatus {
            size,
            absent: absent.len(),
            torn_bytes: loaded.torn_bytes,
            set_aside: loaded.set_aside,
            ..StoreStatus::default()
        };
        trace::opened(&status);
        Self {
            is_open: true,
            tagger: loaded.tagger,
            max_age: loaded.max_age,
            keeping,
            absent,
            pending: Vec::new(),
            pending_bytes: 0,
            since: None,
            replace: false,
            failure: None,
            mends: false,
            retry: None,
            news: false,
            rung: false,
            epoch: 0,
            status,
        }
    }

    pub(super) const fn status(&self) -> &StoreStatus {
        &self.status
    }

    /// Whether the writer has the store.
    pub(super) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// The writer has let go of the store.
    pub(super) const fn handle_closed(&mut self) {
        self.is_open = false;
    }

    /// Whether what is stored survives anything.
    pub(super) fn is_durable(&self) -> bool {
        self.keeping.durability > Durability::None
    }

    /// What is said of a request that is stored.
    pub(super) fn storage(&self) -> Storage {
        match self.is_durable() {
            true => Storage::Stored,
            false => Storage::InMemory,
        }
    }

    /// Whether something happened since the writer last looked.
    pub(super) const fn has_news(&self) -> bool {
        self.news
    }

    /// The writer is to look.
    pub(super) const fn call(&mut self) {
        self.news = true;
    }

    /// Whether the writer is to be woken: once for all that happens until it looks.
    pub(super) const fn take_ring(&mut self) -> bool {
        let ring = self.news && !self.rung;
        self.rung = self.news;
        ring
    }

    /// What is stored of an endpoint that comes.
    pub(super) fn take(&mut self, name: &EndpointName, now: Instant) -> Vec<Stored> {
        let Some((mut records, since)) = self.absent.remove(&(self.tagger)(name)) else {
            return Vec::new();
        };
        self.status.absent = self.absent.len();
        age(&mut records, now.saturating_duration_since(since));
        records
    }

    /// Takes what the connection has recorded, and what its removed endpoints left.
    ///
    /// Whether the store was given up, so that what waited for it may go.
    pub(super) fn collect(&mut self, now: Instant, connection: &mut Connection) -> bool {
        while let Some((name, left)) = connection.poll_departed() {
            self.absent.insert((self.tagger)(&name), (left, now));
            self.status.absent = self.absent.len();
        }
        while let Some((name, record)) = connection.poll_record() {
            self.pending_bytes += size_of(&record);
            self.pending.push(((self.tagger)(&name), record.into()));
            self.since.get_or_insert(now);
            self.news = true;
        }
        let patience = PATIENCE + self.keeping.within;
        let waits = |since| now.saturating_duration_since(since) >= patience;
        let is_stalled = self.pending_bytes > MAX_PENDING_BYTES && self.since.is_some_and(waits);
        let is_lost = is_stalled || self.pending_bytes > MOST_PENDING_BYTES;
        if is_lost {
            self.lose(now, connection, StoreError::Stalled);
        }
        is_lost
    }

    /// What is to be done now. `bloated`: the store is worth being made smaller.
    pub(super) fn next_job(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        bloated: bool,
    ) -> Job {
        (self.news, self.rung) = (false, false);
        let is_over = connection.account().is_some();
        if let Some((at, _)) = self.retry {
            match is_over {
                true => return Job::Wait(None),
                false if now < at => return Job::Wait(Some(at)),
                false => self.replace = true,
            }
        }
        // Once all requests have ended for the client, there is nothing left to write anew from.
        if let Some(error) = self.failure.take_if(|_| is_over) {
            self.lose(now, connection, error);
            return Job::Wait(None);
        }
        let bloated = bloated && self.since.is_some();
        if (self.replace || bloated) && !is_over {
            return self.replace(now, connection);
        }
        let Some(since) = self.since else {
            return Job::Wait(None);
        };
        let due = since + self.keeping.within;
        let is_much = self.pending.len() >= self.keeping.count || self.pending_bytes >= MUCH_BYTES;
        let is_due = now >= due || self.keeping.within.is_zero();
        if !is_due && !is_much && !is_over && !connection.is_closing() {
            return Job::Wait(Some(due));
        }
        let epoch = self.epoch;
        let records = self.take_pending();
        Job::Append { records, epoch }
    }

    /// The writer has done a job of `epoch` that stands for `covers` records, or not. `replaced` if
    /// it was to replace everything.
    pub(super) fn handle_done(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        done: &Done,
        result: Result<(), StoreError>,
    ) {
        if let Some(size) = done.size {
            self.status.size = size;
        }
        if done.epoch != self.epoch {
            return;
        }
        match result {
            Ok(()) => {
                if !done.replaced {
                    self.status.records += done.covers as u64;
                }
                self.status.commits += 1;
                self.status.compactions += u64::from(done.replaced);
                if done.replaced {
                    self.retry = None;
                    self.status.lost = None;
                }
                connection.handle_stored(now, done.covers);
            }
            // There is room once the store gives up those who were away the longest.
            Err(StoreError::Full) if done.replaced && self.give_up_absent(now) => {
                self.replace = true;
                self.failure = Some(StoreError::Full);
            }
            // All that is needed is still in memory: a new file may do.
            Err(error) if !(done.replaced && self.mends) && connection.account().is_none() => {
                self.replace = true;
                self.failure = Some(error);
            }
            Err(error) => self.lose(now, connection, error),
        }
    }

    /// Forgets half of the endpoints that are not here, those that left the longest ago; whether there
    /// were any.
    fn give_up_absent(&mut self, now: Instant) -> bool {
        let ages = self.absent.iter().map(|(tag, of)| (age_of(of, now), *tag));
        let mut oldest: Vec<_> = ages.collect();
        oldest.sort_unstable();
        let given_up = oldest.len().div_ceil(2);
        for (_, tag) in oldest.iter().rev().take(given_up) {
            self.absent.remove(tag);
        }
        self.count_given_up(given_up);
        given_up > 0
    }

    /// Forgets endpoints that nobody has asked for, and of which nothing was recorded for too long.
    fn give_up_stale(&mut self, now: Instant) {
        let (Some(max_age), known) = (self.max_age, self.absent.len()) else {
            return;
        };
        self.absent.retain(|_, of| {
            now.saturating_duration_since(of.1) < UNASKED || age_of(of, now) <= max_age
        });
        self.count_given_up(known - self.absent.len());
    }

    const fn count_given_up(&mut self, given_up: usize) {
        self.status.given_up += given_up;
        self.status.absent -= given_up;
    }

    fn lose(&mut self, now: Instant, connection: &mut Connection, error: StoreError) {
        self.take_pending();
        (self.replace, self.failure) = (false, None);
        self.epoch += 1;
        let pause = self.retry.map_or(RETRY_FIRST, |(_, pause)| pause);
        self.retry = Some((now + pause, (pause * 2).min(RETRY_LAST)));
        self.status.lost = Some(error.clone());
        connection.handle_store_lost(now, error);
    }

    fn replace(&mut self, now: Instant, connection: &mut Connection) -> Job {
        self.give_up_stale(now);
        self.mends = self.failure.is_some() || self.retry.is_some();
        self.take_pending();
        (self.replace, self.failure) = (false, None);
        let Snapshot { records, covers } = connection.snapshot(now);
        let here = records.into_iter();
        let here = here.map(|(name, stored)| ((self.tagger)(&name), stored));
        let absent = self.absent.iter().flat_map(|(tag, (records, since))| {
            let mut records = records.clone();
            age(&mut records, now.saturating_duration_since(*since));
            records.into_iter().map(|stored| (*tag, stored))
        });
        Job::Replace {
            records: here.chain(absent).collect(),
            covers,
            epoch: self.epoch,
        }
    }

    fn take_pending(&mut self) -> Vec<(EndpointTag, Stored)> {
        self.pending_bytes = 0;
        self.since = None;
        std::mem::take(&mut self.pending)
    }
}

/// What the writer did.
pub(super) struct Done {
    pub(super) epoch: u64,
    pub(super) covers: usize,
    pub(super) replaced: bool,
    /// The size of the store afterwards, where it is known.
    pub(super) size: Option<u64>,
}

/// How old the latest record is of an endpoint that is not here.
fn age_of((records, since): &(Vec<Stored>, Instant), now: Instant) -> Duration {
    let latest = records.iter().map(|stored| stored.age).min();
    let absent = now.saturating_duration_since(*since);
    latest.unwrap_or_default().saturating_add(absent)
}

fn age(records: &mut [Stored], by: Duration) {
    for stored in records {
        stored.age = stored.age.saturating_add(by);
    }
}

fn size_of(record: &Record) -> usize {
    let payload = match record {
        Record::Accepted(_, request) => request.resource().len() + request.payload().len(),
        Record::Finished(_, result) => result.json().len(),
        Record::Configuration(configuration) => configuration.json().len(),
        Record::Applied(_, id) | Record::Current(id) => id.len(),
        Record::Sent(_)
        | Record::Unsent(_)
        | Record::Ended(_)
        | Record::Surfaced(_)
        | Record::Forgotten(_)
        | Record::ResultTaken(_)
        | Record::Reached(_) => 0,
    };
    RECORD_BYTES + payload
}
