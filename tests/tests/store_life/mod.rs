//! A random life of a store, and what it may hold after it.

#![allow(dead_code, reason = "not every suite needs all")]

use kaa_proto::endpoint::{Record, Stored};
use kaa_proto::store::{
    Durability, EndpointTag, Loaded, Log, LogOptions, SetAside, Store, StoreError,
};
use kaa_tests::dice::Dice;
use kaa_tests::disk::SimulatedDisk;

/// A record that is told from all others by its text.
pub(crate) type Entry = (EndpointTag, String);

/// A log on a disk that the test keeps.
pub(crate) fn log(disk: &SimulatedDisk) -> Log<SimulatedDisk> {
    Log::new(disk.clone(), LogOptions::default())
}

/// A log that has been loaded.
pub(crate) fn loaded(disk: &SimulatedDisk) -> Log<SimulatedDisk> {
    let mut log = log(disk);
    log.load().unwrap();
    log
}

/// What a log holds.
pub(crate) fn load(disk: &SimulatedDisk) -> Loaded {
    log(disk).load().unwrap()
}

/// Record number `number` of endpoint `endpoint`.
pub(crate) fn entry(endpoint: u8, number: u64) -> Entry {
    let filling = "abcdefghij".repeat(number as usize % 13);
    (EndpointTag([endpoint; 16]), format!("{number} {filling}"))
}

/// Entries as a store takes them.
pub(crate) fn batch(endpoint: u8, numbers: std::ops::Range<u64>) -> Vec<Entry> {
    numbers.map(|number| entry(endpoint, number)).collect()
}

pub(crate) fn records(entries: &[Entry]) -> Vec<(EndpointTag, Stored)> {
    let record = |text: &String| Stored::from(Record::Current(text.as_str().into()));
    entries
        .iter()
        .map(|(tag, text)| (*tag, record(text)))
        .collect()
}

/// What was loaded, one endpoint after the other.
pub(crate) fn entries(loaded: &Loaded) -> Vec<Entry> {
    let text = |stored: &Stored| {
        let Record::Current(text) = &stored.record else {
            panic!("nobody stored {stored:?}");
        };
        text.to_string()
    };
    let all = loaded.records.iter();
    all.flat_map(|(tag, kept)| kept.iter().map(|stored| (*tag, text(stored))))
        .collect()
}

/// In the order of [`entries`]: by endpoint, and within one as they were appended.
pub(crate) fn by_endpoint(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by_key(|(tag, _)| *tag);
    entries
}

/// What a store may hold: of the batches, at least the first `certain`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    batches: Vec<Vec<Entry>>,
    certain: usize,
    /// What it holds instead if a compaction came through.
    compacted: Option<Vec<Entry>>,
    next: u64,
}

impl Model {
    /// Loads the log, checks what there is, and goes on with that.
    pub(crate) fn load(&mut self, disk: &SimulatedDisk) -> Result<Log<SimulatedDisk>, StoreError> {
        let certain = self.certain;
        self.load_with(disk, certain)
    }

    /// As [`load`](Self::load), if this much has to be seen, which the power may yet undo.
    fn load_with(
        &mut self,
        disk: &SimulatedDisk,
        seen: usize,
    ) -> Result<Log<SimulatedDisk>, StoreError> {
        let mut log = log(disk);
        let loaded = log.load()?;
        assert_eq!(loaded.set_aside, Vec::<SetAside>::new());
        let found = entries(&loaded);
        let allowed = (seen..=self.batches.len())
            .map(|number| {
                self.batches
                    .iter()
                    .take(number)
                    .flatten()
                    .cloned()
                    .collect()
            })
            .chain(self.compacted.clone());
        let mut allowed: Vec<Vec<Entry>> = allowed.collect();
        let Some(at) = allowed
            .iter()
            .position(|entries| by_endpoint(entries.clone()) == found)
        else {
            panic!("found {found:?}, which is none of {allowed:#?}");
        };
        // So small a log wants that only if the power went before it was certain what there is.
        if log.wants_compaction() {
            return Err(StoreError::Failed("it crashed".into()));
        }
        self.batches = vec![allowed.swap_remove(at)];
        self.certain = 1;
        self.compacted = None;
        Ok(log)
    }

    /// Does something at random.
    fn step(&mut self, log: &mut Log<SimulatedDisk>, dice: &mut Dice) -> Result<(), StoreError> {
        match dice.below(12) {
            0..=5 => {
                let batch: Vec<_> = (0..dice.length(4))
                    .map(|_| {
                        self.next += 1;
                        entry(dice.below(4) as u8, self.next)
                    })
                    .collect();
                let appended = records(&batch);
                self.batches.push(batch);
                log.append(&appended)
            }
            6..=8 => {
                log.commit(Durability::Sync)?;
                self.certain = self.batches.len();
                Ok(())
            }
            9 => log.commit(Durability::Flush),
            10 => log.commit(Durability::None),
            _ => {
                let mut live: Vec<_> = self.batches.iter().flatten().cloned().collect();
                live.drain(..live.len().saturating_sub(dice.length(6)));
                self.compacted = Some(live.clone());
                log.compact(&records(&live))?;
                self.compacted = None;
                self.batches = vec![live];
                self.certain = 1;
                Ok(())
            }
        }
    }

    /// Lives for some steps on this disk. At times the process is killed, and starts again.
    pub(crate) fn live(
        &mut self,
        disk: &SimulatedDisk,
        dice: &mut Dice,
        steps: usize,
    ) -> Result<(), StoreError> {
        let mut log = self.load(disk)?;
        for _ in 0..steps {
            if dice.below(12) == 0 {
                // The operating system lives on: all that was appended is seen.
                log = self.load_with(disk, self.batches.len())?;
            }
            self.step(&mut log, dice)?;
        }
        Ok(())
    }
}
