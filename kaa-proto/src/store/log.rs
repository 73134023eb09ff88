//! A store that is an append-only log.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::contents::{self, Contents};
use super::entry::{Tags, millis};
use super::frame::{self, Stamp};
use super::header::{HEADER_LEN, Header};
use super::tag::tagger;
use super::{
    Disk, Durability, EndpointTag, Loaded, LogOptions, SetAside, Store, StoreError, Unusable,
    folder,
};
use crate::endpoint::Stored;

/// An append-only log with checksums on a [`Disk`].
///
/// Each [`append`](Store::append) writes one block at the end of one file, and nothing else; a
/// [`compact`](Store::compact) writes a new file and removes the old one. A record costs its JSON
/// text and 3 to 5 bytes, an append 21 to 25, an endpoint 16 in each file.
///
/// * At load a tail that a crash cut off is removed. What is bad although a later append says that
///   it had been synced is damage: the file is set aside as `damaged-1.log.…`, or under the next
///   number. Damage of the very last commits cannot be told from a torn tail.
/// * What was kept is synced at load, before anybody acts upon it.
/// * Ages are by the wall clock, and do not grow where it went back. A time before 2024 is that of a
///   clock that had not been set: it is not counted.
/// * After an `append` or a `commit` that failed, other than by an append for which there was no
///   room, both fail until a `compact` has succeeded: it begins a new file, for which an `fsync`
///   that failed does not matter. An append for which there was no room is cut off.
///   If the process ends before that, the next one has to believe what the system shows it of the
///   old file.
/// * A load succeeds as soon as all has been read. If nothing can be added then, because the disk
///   is full or fails, that is what the next `append` or `commit` says; until a `compact` has
///   succeeded, what that load cut off may come back with the next power cut.
pub struct Log<D> {
    disk: D,
    options: LogOptions,
    live: Option<Live>,
}

/// The file that is written.
struct Live {
    generation: u64,
    header: Header,
    tags: Tags,
    life: u64,
    /// How long it is.
    len: u64,
    /// How much of that is known to be synced.
    synced: u64,
    /// Why nothing can be added to it any more.
    broken: Option<StoreError>,
}

impl<D: Disk> Log<D> {
    /// A log on this disk. Nothing is read before [`load`](Store::load).
    pub const fn new(disk: D, options: LogOptions) -> Self {
        Self {
            disk,
            options,
            live: None,
        }
    }
}

impl<D: Disk> Store for Log<D> {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        if self.live.is_some() {
            return Err(StoreError::Failed("it is loaded already".into()));
        }
        let mut set_aside = Vec::new();
        for generation in folder::generations(&mut self.disk)? {
            match read(&mut self.disk, &folder::name(generation))? {
                Ok(contents) => return Ok(self.go_on(generation, contents, set_aside)),
                Err(reason) => {
                    let name = folder::set_aside(&mut self.disk, generation, reason)?;
                    set_aside.push(SetAside { name, reason });
                }
            }
        }
        if set_aside.is_empty() {
            // An earlier start may have got no further than this.
            for name in folder::aside(&mut self.disk)? {
                if let Err(reason) = read(&mut self.disk, &name)? {
                    set_aside.push(SetAside { name, reason });
                }
            }
        }
        self.begin(set_aside)
    }

    fn append(&mut self, records: &[(EndpointTag, Stored)]) -> Result<(), StoreError> {
        let max_file = self.options.max_file();
        let (live, disk) = self.live()?;
        live.usable()?;
        if records.is_empty() {
            return Ok(());
        }
        let mut frame = frame::begin(live.stamp(disk));
        let new = live.tags.put(&mut frame, records);
        if live.len + frame.len() as u64 > max_file {
            return Err(StoreError::Full);
        }
        live.write(disk, frame)?;
        live.tags.learn(new);
        Ok(())
    }

    fn commit(&mut self, durability: Durability) -> Result<(), StoreError> {
        let (live, disk) = self.live()?;
        live.usable()?;
        match durability {
            // An append has handed its bytes to the operating system.
            Durability::None | Durability::Flush => Ok(()),
            Durability::Sync if live.synced == live.len => Ok(()),
            Durability::Sync => live.sync(disk),
        }
    }

    fn compact(&mut self, records: &[(EndpointTag, Stored)]) -> Result<(), StoreError> {
        let max_file = self.options.max_file();
        let (live, disk) = self.live()?;
        let (bytes, mut next) = Live::new(disk, live.header.key, records)?;
        if next.len > max_file {
            return Err(StoreError::Full);
        }
        next.generation = folder::write(disk, &bytes)?;
        if let Err(error) = folder::publish(disk, next.generation) {
            live.broken = Some(error.clone());
            return Err(error);
        }
        *live = next;
        Ok(())
    }

    /// When the file is twice as long as after the last compaction, and 64 KiB at least. So the
    /// compactions write at most twice what the appends write, usually as much. Where that would be
    /// beyond the bound of the file, it is halfway there; and at once if nothing can be added.
    fn wants_compaction(&self) -> bool {
        const WORTHWHILE: u64 = 64 * 1024;
        let Some(live) = &self.live else { return false };
        let max_file = self.options.max_file();
        let base = live.header.whole;
        let twice = (2 * base).max(WORTHWHILE);
        let limit = twice.min(base + max_file.saturating_sub(base) / 2);
        live.broken.is_some() || live.len > limit
    }

    fn size(&self) -> u64 {
        self.live.as_ref().map_or(0, |live| live.len)
    }
}

impl<D: Disk> Log<D> {
    /// Begins anew, with a new key.
    fn begin(&mut self, set_aside: Vec<SetAside>) -> Result<Loaded, StoreError> {
        let mut key = [0; 32];
        self.disk.fill_random(&mut key)?;
        let (bytes, mut live) = Live::new(&mut self.disk, key, &[])?;
        live.generation = folder::write(&mut self.disk, &bytes)?;
        folder::publish(&mut self.disk, live.generation)?;
        self.live = Some(live);
        Ok(Loaded {
            records: BTreeMap::new(),
            tagger: tagger(key),
            torn_bytes: 0,
            set_aside,
            max_age: Some(self.options.oldest()),
        })
    }

    /// Goes on with what there is. That can be used even if nothing can be added.
    fn go_on(&mut self, generation: u64, contents: Contents, set_aside: Vec<SetAside>) -> Loaded {
        let now = millis(self.disk.wall_clock());
        let mut records = BTreeMap::<_, Vec<_>>::new();
        for (time, entry) in contents.entries {
            let age = Duration::from_millis(age(now, time, entry.age));
            let record = entry.record;
            let kept = records.entry(entry.tag).or_default();
            kept.push(Stored { record, age });
        }
        let tagger = tagger(contents.header.key);
        let live = self.live.insert(Live {
            generation,
            header: contents.header,
            tags: contents.tags,
            life: contents.life,
            len: contents.end,
            synced: 0,
            broken: None,
        });
        if let Err(error) = live.reopen(&mut self.disk, contents.torn) {
            live.broken = Some(error);
        }
        Loaded {
            records,
            tagger,
            torn_bytes: contents.torn,
            set_aside,
            max_age: Some(self.options.oldest()),
        }
    }

    fn live(&mut self) -> Result<(&mut Live, &mut D), StoreError> {
        match &mut self.live {
            Some(live) => Ok((live, &mut self.disk)),
            None => Err(StoreError::Failed("it is not loaded".into())),
        }
    }
}

impl Live {
    /// A file of these records, and its bytes.
    fn new(
        disk: &mut impl Disk,
        key: [u8; 32],
        records: &[(EndpointTag, Stored)],
    ) -> Result<(Vec<u8>, Self), StoreError> {
        let mut salt = [0; 8];
        disk.fill_random(&mut salt)?;
        let whole = HEADER_LEN as u64;
        let mut live = Self {
            generation: 0,
            header: Header { whole, salt, key },
            tags: Tags::default(),
            life: 0,
            len: whole,
            synced: 0,
            broken: None,
        };
        let mut frame = Vec::new();
        if !records.is_empty() {
            frame = frame::begin(live.stamp(disk));
            let new = live.tags.put(&mut frame, records);
            live.tags.learn(new);
            frame = frame::seal(frame, salt, whole);
        }
        live.len += frame.len() as u64;
        live.header.whole = live.len;
        live.synced = live.len;
        let mut bytes = live.header.encode();
        bytes.append(&mut frame);
        Ok((bytes, live))
    }

    /// Makes what was found certain, and opens a new life in it. From here on nothing that the
    /// lives before have lost can come back: it would be of an earlier life.
    fn reopen(&mut self, disk: &mut impl Disk, torn: u64) -> Result<(), StoreError> {
        folder::clear_unfinished(disk)?;
        folder::remove_older(disk, self.generation)?;
        if torn > 0 {
            disk.truncate(&folder::name(self.generation), self.len)?;
        }
        self.life += 1;
        self.write(disk, frame::begin(self.stamp(disk)))?;
        self.sync(disk)
    }

    fn usable(&self) -> Result<(), StoreError> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    fn stamp(&self, disk: &impl Disk) -> Stamp {
        Stamp {
            life: self.life,
            synced: self.synced,
            time: millis(disk.wall_clock()),
        }
    }

    fn write(&mut self, disk: &mut impl Disk, frame: Vec<u8>) -> Result<(), StoreError> {
        let name = folder::name(self.generation);
        let frame = frame::seal(frame, self.header.salt, self.len);
        let mut result = disk.append(&name, &frame);
        match &result {
            Ok(()) => self.len += frame.len() as u64,
            Err(StoreError::Full | StoreError::MediumFull) => {
                if let Err(error) = disk.truncate(&name, self.len) {
                    self.broken = Some(error.clone());
                    result = Err(error);
                }
            }
            Err(error) => self.broken = Some(error.clone()),
        }
        result
    }

    fn sync(&mut self, disk: &mut impl Disk) -> Result<(), StoreError> {
        match disk.sync(&folder::name(self.generation)) {
            Ok(()) => self.synced = self.len,
            Err(error) => {
                self.broken = Some(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }
}

impl<D> fmt::Debug for Log<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let live = self.live.as_ref();
        f.debug_struct("Log")
            .field("options", &self.options)
            .field("generation", &live.map(|live| live.generation))
            .field("size", &live.map(|live| live.len))
            .field("broken", &live.and_then(|live| live.broken.as_ref()))
            .finish_non_exhaustive()
    }
}

/// What is in a file, if the medium has it.
fn read(disk: &mut impl Disk, name: &str) -> Result<Result<Contents, Unusable>, StoreError> {
    match disk.read(name) {
        Ok(file) => Ok(contents::read(&file)),
        Err(StoreError::Unreadable(_)) => Ok(Err(Unusable::Damaged { at: 0 })),
        Err(error) => Err(error),
    }
}

/// How old a record is, in milliseconds, that was `age` old at `time`.
const fn age(now: u64, time: u64, age: u64) -> u64 {
    // 2024-01-01. Devices without a battery begin in 1970 until the network tells them the time.
    const CLOCK_WAS_SET: u64 = 1_704_067_200_000;
    if time < CLOCK_WAS_SET {
        return age;
    }
    now.saturating_sub(time).saturating_add(age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_grows_with_the_clock_and_stays_where_that_went_back() {
        const NOW: u64 = 1_800_000_000_000;
        assert_eq!(age(NOW, NOW - 10, 5), 15);
        assert_eq!(age(NOW - 100, NOW, 5), 5);
        assert_eq!(age(NOW, 1000, 5), 5);
        assert_eq!(age(NOW, NOW - 1, u64::MAX), u64::MAX);
    }
}
