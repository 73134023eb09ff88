//! A disk that remembers how it could have been found after a power cut, at every operation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kaa_proto::store::{Disk, StoreError};

use crate::dice::Dice;
use crate::disk::SimulatedDisk;

/// A simulated disk, and before each of its operations how a power cut could leave it. Clones are
/// the same: one belongs to the log, one to the test.
#[derive(Clone, Debug)]
pub struct Witness(Arc<Mutex<Seen>>);

#[derive(Debug)]
struct Seen {
    disk: SimulatedDisk,
    /// How many ways to be found there are at each operation.
    ways: u64,
    dice: Dice,
    images: Vec<SimulatedDisk>,
}

impl Witness {
    /// Watches `disk`; at each operation it is found in so many ways.
    #[must_use]
    pub fn new(disk: SimulatedDisk, ways: u64, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Seen {
            disk,
            ways,
            dice: Dice::new(seed),
            images: Vec::new(),
        })))
    }

    /// The disk itself.
    #[must_use]
    pub fn disk(&self) -> SimulatedDisk {
        self.seen().disk.clone()
    }

    /// How it could have been found at the operations since the last call.
    #[must_use]
    pub fn take_images(&self) -> Vec<SimulatedDisk> {
        std::mem::take(&mut self.seen().images)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is about to change.
    fn look(&self) -> SimulatedDisk {
        let mut seen = self.seen();
        for _ in 0..seen.ways {
            let seed = seen.dice.below(u64::MAX);
            let image = seen.disk.after_crash(seed);
            seen.images.push(image);
        }
        seen.disk.clone()
    }
}

impl Disk for Witness {
    fn list(&mut self) -> Result<Vec<String>, StoreError> {
        self.disk().list()
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, StoreError> {
        self.disk().read(name)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.look().append(name, bytes)
    }

    fn truncate(&mut self, name: &str, len: u64) -> Result<(), StoreError> {
        self.look().truncate(name, len)
    }

    fn sync(&mut self, name: &str) -> Result<(), StoreError> {
        self.look().sync(name)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), StoreError> {
        self.look().rename(from, to)
    }

    fn remove(&mut self, name: &str) -> Result<(), StoreError> {
        self.look().remove(name)
    }

    fn sync_names(&mut self) -> Result<(), StoreError> {
        self.look().sync_names()
    }

    fn wall_clock(&self) -> Duration {
        self.disk().wall_clock()
    }

    fn fill_random(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.disk().fill_random(bytes)
    }
}
