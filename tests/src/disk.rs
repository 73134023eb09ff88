//! A disk in memory that loses what a real one may lose, and fails when it is told to.
//!
//! It keeps to what [`Disk`] allows and no more: what was synced stays; anything else may be lost,
//! torn, reordered, or replaced by what had been lost before.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kaa_proto::store::{Disk, StoreError};

use crate::dice::Dice;

/// A simulated disk. Clones are the same disk: one belongs to the log, one to the test.
#[derive(Clone)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

#[derive(Clone)]
struct State {
    files: BTreeMap<u64, File>,
    names: BTreeMap<String, u64>,
    synced_names: BTreeMap<String, u64>,
    /// What was done to names since they were synced: from, to, file.
    renamed: Vec<(Option<String>, Option<String>, u64)>,
    next_file: u64,
    operations: u64,
    crash_at: Option<u64>,
    crashed: bool,
    sync_fails: bool,
    write_fails: bool,
    /// How many bytes all files may have together.
    room: u64,
    clock: Duration,
    dice: Dice,
}

#[derive(Clone, Default)]
struct File {
    /// What every method sees.
    seen: Arc<Vec<u8>>,
    /// What a power cut leaves for certain.
    synced: Arc<Vec<u8>>,
    /// The length up to which both are the same for certain.
    same: usize,
    /// What syncs that failed have lost although it is seen.
    holes: Vec<(usize, usize)>,
    /// Bytes that were lost and may yet appear where nothing was synced since: where, and which; the latest few.
    late: Vec<(usize, Arc<[u8]>)>,
    /// Whether the medium cannot give it back any more.
    is_lost: bool,
}

impl SimulatedDisk {
    /// An empty disk, in 2027. All that is random about it comes from the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::of(State {
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            renamed: Vec::new(),
            next_file: 0,
            operations: 0,
            crash_at: None,
            crashed: false,
            sync_fails: false,
            write_fails: false,
            room: u64::MAX,
            clock: Duration::from_secs(1_800_000_000),
            dice: Dice::new(seed),
        })
    }

    /// How many operations there were. The clock and entropy are none.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The operation of this number, from 0, is the last: it has happened as far as it survives,
    /// but fails, as does every later one.
    pub fn crash_at(&self, operation: u64) {
        self.state().crash_at = Some(operation);
    }

    /// The next [`sync`](Disk::sync) fails, and what it was to write is lost, which nobody sees
    /// before a power cut.
    pub fn fail_next_sync(&self) {
        self.state().sync_fails = true;
    }

    /// The next [`append`](Disk::append) fails when a part of it has been written.
    pub fn fail_next_write(&self) {
        self.state().write_fails = true;
    }

    /// The medium cannot give this file back any more, whatever its name will be.
    pub fn lose(&self, name: &str) {
        if let Ok(file) = self.state().file(name) {
            file.is_lost = true;
        }
    }

    /// All files together may have so many bytes.
    pub fn set_room(&self, bytes: u64) {
        self.state().room = bytes;
    }

    /// Sets the wall clock.
    pub fn set_clock(&self, since_1970: Duration) {
        self.state().clock = since_1970;
    }

    /// Every file and what is seen of it.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let seen = |(name, file)| Some((String::clone(name), state.files.get(file)?.seen.to_vec()));
        state.names.iter().filter_map(seen).collect()
    }

    /// Puts a file there, safely.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let file = state.create(name);
        state.renamed.clear();
        state.synced_names = state.names.clone();
        let bytes = Arc::new(bytes.to_vec());
        let file = state.files.entry(file).or_default();
        *file = File {
            same: bytes.len(),
            seen: Arc::clone(&bytes),
            synced: bytes,
            ..File::default()
        };
    }

    /// The disk as the next process finds it after this one was killed: nothing is lost.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let mut state = self.state().clone();
        state.crash_at = None;
        state.crashed = false;
        Self::of(state)
    }

    /// The disk as it may be found after a power cut; each seed is another way.
    #[must_use]
    pub fn after_crash(&self, seed: u64) -> Self {
        let mut state = self.state().clone();
        state.dice = Dice::new(seed);
        state.crash_at = None;
        state.crashed = false;
        state.lose_names();
        let State { files, dice, .. } = &mut state;
        files.values_mut().for_each(|file| file.lose(dice));
        Self::of(state)
    }

    fn of(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for SimulatedDisk {
    fn list(&mut self) -> Result<Vec<String>, StoreError> {
        let mut state = self.state();
        state.operate()?;
        state.survives()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, StoreError> {
        let mut state = self.state();
        state.operate()?;
        state.survives()?;
        let file = state.file(name)?;
        match file.is_lost {
            true => Err(StoreError::Unreadable("a bad block".into())),
            false => Ok(file.seen.to_vec()),
        }
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mut state = self.state();
        state.operate()?;
        let taken: usize = state.files.values().map(|file| file.seen.len()).sum();
        let room = usize::try_from(state.room.saturating_sub(taken as u64)).unwrap_or(usize::MAX);
        let fails = std::mem::take(&mut state.write_fails);
        let most = match fails {
            true => state.dice.below(bytes.len() as u64) as usize,
            false => room.min(bytes.len()),
        };
        if !state.names.contains_key(name) {
            state.create(name);
        }
        let written = bytes.get(..most).unwrap_or(bytes);
        Arc::make_mut(&mut state.file(name)?.seen).extend(written);
        state.survives()?;
        match most == bytes.len() {
            true => Ok(()),
            false if fails => Err(StoreError::Failed("a write failed".into())),
            false => Err(StoreError::MediumFull),
        }
    }

    fn truncate(&mut self, name: &str, len: u64) -> Result<(), StoreError> {
        let mut state = self.state();
        state.operate()?;
        let file = state.file(name)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        file.keep_for_later(len);
        file.same = file.same.min(len);
        Arc::make_mut(&mut file.seen).truncate(len);
        state.survives()
    }

    fn sync(&mut self, name: &str) -> Result<(), StoreError> {
        let mut state = self.state();
        state.operate()?;
        state.survives()?;
        let fails = std::mem::take(&mut state.sync_fails);
        let file = state.file(name)?;
        if fails {
            file.holes.push((file.same, file.seen.len()));
            file.keep_for_later(file.same);
            return Err(StoreError::Failed("a sync failed".into()));
        }
        file.sync();
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), StoreError> {
        let mut state = self.state();
        state.operate()?;
        assert!(!state.names.contains_key(to), "{to} would be overwritten");
        let file = state.names.remove(from).ok_or_else(missing)?;
        state.names.insert(to.into(), file);
        state
            .renamed
            .push((Some(from.into()), Some(to.into()), file));
        state.survives()
    }

    fn remove(&mut self, name: &str) -> Result<(), StoreError> {
        let mut state = self.state();
        state.operate()?;
        let file = state.names.remove(name).ok_or_else(missing)?;
        state.renamed.push((Some(name.into()), None, file));
        state.survives()
    }

    fn sync_names(&mut self) -> Result<(), StoreError> {
        let mut state = self.state();
        state.operate()?;
        state.survives()?;
        state.renamed.clear();
        state.synced_names = state.names.clone();
        state.forget_nameless();
        Ok(())
    }

    fn wall_clock(&self) -> Duration {
        self.state().clock
    }

    fn fill_random(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        let mut state = self.state();
        bytes.fill_with(|| state.dice.below(256) as u8);
        Ok(())
    }
}

impl State {
    /// Counts an operation; none happens after the crash.
    fn operate(&mut self) -> Result<(), StoreError> {
        self.survives()?;
        self.crashed = self.crash_at == Some(self.operations);
        self.operations += 1;
        Ok(())
    }

    fn survives(&self) -> Result<(), StoreError> {
        match self.crashed {
            true => Err(StoreError::Failed("the power went".into())),
            false => Ok(()),
        }
    }

    fn create(&mut self, name: &str) -> u64 {
        let file = self.next_file;
        self.next_file += 1;
        self.files.insert(file, File::default());
        self.names.insert(name.into(), file);
        self.renamed.push((None, Some(name.into()), file));
        file
    }

    fn file(&mut self, name: &str) -> Result<&mut File, StoreError> {
        let file = self.names.get(name).ok_or_else(missing)?;
        self.files.get_mut(file).ok_or_else(missing)
    }

    /// Of what happened to names any part may have come to the medium.
    fn lose_names(&mut self) {
        let lost = self.dice.below(3);
        let mut names = std::mem::take(&mut self.synced_names);
        for (from, to, file) in std::mem::take(&mut self.renamed) {
            if lost == 0 || (lost == 1 && self.dice.below(2) == 0) {
                continue;
            }
            if let Some(from) = from.filter(|from| names.get(from) == Some(&file)) {
                names.remove(&from);
            }
            if let Some(to) = to {
                names.insert(to, file);
            }
        }
        self.names = names.clone();
        self.synced_names = names;
        self.forget_nameless();
    }

    fn forget_nameless(&mut self) {
        let named: Vec<_> = self.names.values().collect();
        self.files.retain(|file, _| named.contains(&file));
    }
}

impl File {
    fn sync(&mut self) {
        self.synced = Arc::clone(&self.seen);
        for &(from, to) in &self.holes {
            let to = to.min(self.synced.len());
            if from < to {
                Arc::make_mut(&mut self.synced)[from..to].fill(0);
            }
        }
        self.same = self.seen.len();
    }

    /// What is seen from here on is lost, but may appear late.
    fn keep_for_later(&mut self, from: usize) {
        if let Some(bytes) = self.seen.get(from..).filter(|bytes| !bytes.is_empty()) {
            self.late.push((from, bytes.into()));
            let excess = self.late.len().saturating_sub(4);
            self.late.drain(..excess);
        }
    }

    /// The power goes.
    fn lose(&mut self, dice: &mut Dice) {
        let (new, old, same) = (Arc::clone(&self.seen), Arc::clone(&self.synced), self.same);
        if new.len() == same && old.len() == same {
            self.seen = old;
            return;
        }
        let found = match dice.below(4) {
            0 => Arc::clone(&old),
            1 if self.holes.is_empty() => Arc::clone(&new),
            2 if self.holes.is_empty() => {
                let torn = same + dice.below((new.len() - same) as u64 + 1) as usize;
                Arc::new(new.get(..torn).unwrap_or_default().to_vec())
            }
            _ => Arc::new(self.mix(dice)),
        };
        self.keep_for_later(same);
        self.holes.clear();
        self.same = found.len();
        self.seen = Arc::clone(&found);
        self.synced = found;
    }

    /// Blocks of what is seen, of what was synced, of zeros, and of what was lost before.
    fn mix(&self, dice: &mut Dice) -> Vec<u8> {
        let late_end = self.late.iter().map(|(at, bytes)| at + bytes.len()).max();
        let longest = self.seen.len().max(self.synced.len());
        let longest = longest.max(late_end.unwrap_or_default());
        let len = self.same + dice.below((longest - self.same) as u64 + 1) as usize;
        let mut found = self.synced.get(..self.same).unwrap_or_default().to_vec();
        let block = 1 << (3 + dice.below(7));
        while found.len() < len {
            let at = found.len();
            let size = block - at % block;
            let late = dice.below(self.late.len() as u64) as usize;
            let (from, source): (usize, &[u8]) = match dice.below(4) {
                0 if self.holes.is_empty() => (0, &self.seen),
                1 => (0, &self.synced),
                2 => self.late.get(late).map_or((0, &[]), |(at, b)| (*at, b)),
                _ => (0, &[]),
            };
            for at in at..(at + size).min(len) {
                let byte = at.checked_sub(from).and_then(|at| source.get(at));
                found.push(byte.copied().unwrap_or_default());
            }
        }
        found
    }
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("SimulatedDisk")
            .field("names", &state.names.keys())
            .field("operations", &state.operations)
            .field("crashed", &state.crashed)
            .finish_non_exhaustive()
    }
}

fn missing() -> StoreError {
    StoreError::Failed("there is no such file".into())
}
