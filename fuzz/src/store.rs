//! The log of a store, on a disk that loses, and with bytes that nobody wrote.

use kaa_proto::endpoint::{Record, Stored};
use kaa_proto::store::{Durability, EndpointTag, Loaded, Log, LogOptions, Store};
use kaa_tests::disk::SimulatedDisk;

use crate::input::Input;

/// How many operations are done at most.
const MOST: usize = 60;

/// What a log gives back was put into it, in the order in which it was, and what was committed is there;
/// unless bytes were changed behind its back: then it gives back some of it, or sets the file aside and
/// begins anew. It can always be written again.
///
/// The first byte is the seed of the disk, the rest are operations.
///
/// # Panics
/// If that does not hold.
pub fn store(data: &[u8]) {
    let mut input = Input::new(data);
    let mut life = Life::new(input.byte());
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        life.act(&mut input);
    }
    life.reload(|disk| disk.after_kill());
    // A write and a sync may still be about to fail.
    for _ in 0..3 {
        life.append(1);
    }
    life.reload(|disk| disk.after_kill());
    assert!(life.appended.ends_with(&[(1, life.number)]) && life.kept > 0);
}

/// Endpoint and number of a record.
type Entry = (u8, u64);

struct Life {
    disk: SimulatedDisk,
    log: Log<SimulatedDisk>,
    /// All that was appended and may be there, in its order.
    appended: Vec<Entry>,
    /// All that ever was; what was lost may come back where a sync failed.
    ever: Vec<Entry>,
    /// As many of them were committed.
    kept: usize,
    number: u64,
    /// Whether somebody else wrote into the files.
    is_damaged: bool,
    /// Whether a sync failed, or is to, and nothing was written anew since: a later process has to believe
    /// what it is shown, and then nothing is certain.
    is_doubtful: bool,
    /// Whether the last load could not make certain what it gave, and nothing was written anew since: then
    /// something may come back that it had not found.
    is_uncertain: bool,
}

impl Life {
    fn new(seed: u8) -> Self {
        let disk = SimulatedDisk::new(seed.into());
        let mut log = Log::new(disk.clone(), LogOptions::default());
        log.load().expect("an empty disk is a good one");
        Self {
            disk,
            log,
            appended: Vec::new(),
            ever: Vec::new(),
            kept: 0,
            number: 0,
            is_damaged: false,
            is_doubtful: false,
            is_uncertain: false,
        }
    }

    fn act(&mut self, input: &mut Input<'_>) {
        match input.below(12) {
            0..=3 => self.append(input.byte()),
            4 | 5 => {
                if self.log.commit(Durability::Sync).is_ok() {
                    self.kept = self.appended.len();
                }
            }
            6 => {
                self.compact();
            }
            7 => self.reload(|disk| disk.after_kill()),
            8 => {
                let seed = input.byte();
                self.reload(|disk| disk.after_crash(seed.into()));
            }
            9 => match input.below(2) {
                0 => self.disk.fail_next_write(),
                _ => {
                    self.is_doubtful = true;
                    self.disk.fail_next_sync();
                }
            },
            10 => self.damage(input),
            _ => {
                let (number, bytes) = (input.byte(), input.chunk());
                self.is_damaged = true;
                self.disk.put(&format!("log.{number}"), bytes);
                self.reload(|disk| disk.after_kill());
            }
        }
    }

    fn append(&mut self, endpoint: u8) {
        self.number += 1;
        let entry = (endpoint % 4, self.number);
        let is_taken = self.log.append(&records(&[entry])).is_ok();
        // What failed may be there all the same, until all is written anew.
        self.appended.push(entry);
        self.ever.push(entry);
        if !is_taken {
            self.compact();
        }
    }

    fn compact(&mut self) {
        if self.log.compact(&records(&self.appended)).is_ok() {
            self.kept = self.appended.len();
            self.is_doubtful = false;
            self.is_uncertain = false;
        }
    }

    /// Changes a byte of a file, or cuts it off there.
    fn damage(&mut self, input: &mut Input<'_>) {
        let files: Vec<_> = self.disk.contents().into_iter().collect();
        let (place, value, cut) = (input.byte(), input.byte(), input.byte() & 1 == 1);
        let Some((name, mut bytes)) = files.get(input.below(files.len().max(1))).cloned() else {
            return;
        };
        let place = bytes.len().saturating_sub(1 + usize::from(place));
        match bytes.get_mut(place) {
            Some(byte) if !cut => *byte = value,
            _ => bytes.truncate(place),
        }
        self.is_damaged = true;
        self.disk.put(&name, &bytes);
        self.reload(|disk| disk.after_kill());
    }

    /// The process ends; what the next one finds.
    fn reload(&mut self, end: impl FnOnce(&SimulatedDisk) -> SimulatedDisk) {
        self.disk = end(&self.disk);
        // What is bad cannot be set aside while the disk fails.
        let loaded = (0..3).find_map(|_| {
            self.log = Log::new(self.disk.clone(), LogOptions::default());
            self.log.load().ok()
        });
        let loaded = loaded.expect("the disk fails no more than twice");
        let found = entries(&loaded);
        let of = |all: &[Entry], endpoint| -> Vec<_> {
            all.iter()
                .filter(|(of, _)| *of == endpoint)
                .copied()
                .collect()
        };
        let mut prefix = self.appended.clone();
        if !self.is_damaged && !self.is_doubtful {
            prefix.truncate(found.len());
            assert!(found.len() >= self.kept, "{found:?} of {:?}", self.appended);
            for endpoint in 0..4 {
                let (found, kept) = (of(&found, endpoint), &self.appended[..self.kept]);
                match self.is_uncertain {
                    true => assert!(found.starts_with(&of(kept, endpoint)), "{found:?}"),
                    false => assert_eq!(found, of(&prefix, endpoint)),
                }
            }
        }
        // Nothing was made up, and each endpoint has its own in their order.
        for endpoint in 0..4 {
            let mut all = self.ever.iter();
            assert!(
                of(&found, endpoint)
                    .iter()
                    .all(|entry| all.any(|one| one == entry)),
                "{found:?}"
            );
        }
        let again = Log::new(self.disk.after_kill(), LogOptions::default()).load();
        assert_eq!(
            again.map(|loaded| entries(&loaded)).ok().as_ref(),
            Some(&found)
        );
        self.appended = self.ever.clone();
        self.appended.retain(|entry| found.contains(entry));
        // A load gives what there is, also when it cannot be synced; the next commit says that.
        let committed = self.log.commit(Durability::Sync);
        self.is_uncertain = committed.is_err();
        self.kept = match committed {
            Ok(()) => self.appended.len(),
            Err(_) if self.is_damaged || self.is_doubtful => 0,
            Err(_) => self.kept.min(self.appended.len()),
        };
        self.is_damaged = false;
    }
}

fn records(entries: &[Entry]) -> Vec<(EndpointTag, Stored)> {
    let one = |(endpoint, number): &Entry| {
        let record = Record::Current(format!("version {number}").into());
        (EndpointTag([*endpoint; 16]), Stored::from(record))
    };
    entries.iter().map(one).collect()
}

/// What was loaded, one endpoint after the other.
fn entries(loaded: &Loaded) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (tag, records) in &loaded.records {
        for stored in records {
            let Record::Current(version) = &stored.record else {
                panic!("nobody stored {stored:?}");
            };
            let number = version
                .strip_prefix("version ")
                .and_then(|number| number.parse().ok());
            entries.push((tag.0[0], number.expect("nobody stored that")));
        }
    }
    entries
}
