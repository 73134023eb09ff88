//! A store in memory that fails when it is told to.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kaa_proto::endpoint::Stored;
use kaa_proto::names::EndpointName;
use kaa_proto::store::{Durability, EndpointTag, Loaded, Store, StoreError};

/// A store in memory. Clones are the same: one belongs to the client, one to the test.
#[derive(Clone, Default)]
pub struct ScriptedStore(Arc<Mutex<State>>);

/// What a store does.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// What appends come to.
    pub append: Deed,
    /// What commits come to.
    pub commit: Deed,
    /// What compactions come to.
    pub compact: Deed,
    /// The questions whether it wants a compaction, and how large it is, make it panic.
    pub looks_panic: bool,
}

/// What a call comes to.
#[derive(Clone, Debug, Default)]
pub enum Deed {
    /// It succeeds.
    #[default]
    Good,
    /// It fails.
    Fails(StoreError),
    /// It panics.
    Panics,
}

/// How often a store was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Appends, however they went.
    pub appends: usize,
    /// Commits, however they went.
    pub commits: usize,
    /// Compactions, however they went.
    pub compactions: usize,
}

/// What is done in the middle of a call.
type Meanwhile = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    script: Script,
    calls: Calls,
    kept: Vec<(EndpointTag, Stored)>,
    meanwhile: Option<Meanwhile>,
}

impl ScriptedStore {
    /// From now on it does this.
    pub fn set(&self, script: Script) {
        self.state().script = script;
    }

    /// The next commit or compaction takes so long that this happens meanwhile.
    pub fn meanwhile(&self, happens: impl FnOnce() + Send + 'static) {
        self.state().meanwhile = Some(Box::new(happens));
    }

    /// How often it was called so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.state().calls
    }

    fn take_time(&self) {
        let meanwhile = self.state().meanwhile.take();
        meanwhile.into_iter().for_each(|happens| happens());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for ScriptedStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let mut records: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (tag, stored) in &self.state().kept {
            records.entry(*tag).or_default().push(stored.clone());
        }
        Ok(Loaded {
            records,
            tagger: Arc::new(tag),
            torn_bytes: 0,
            set_aside: Vec::new(),
            max_age: None,
        })
    }

    fn append(&mut self, records: &[(EndpointTag, Stored)]) -> Result<(), StoreError> {
        let mut state = self.state();
        state.calls.appends += 1;
        state.script.append.clone().be_done()?;
        state.kept.extend_from_slice(records);
        Ok(())
    }

    fn commit(&mut self, _: Durability) -> Result<(), StoreError> {
        self.state().calls.commits += 1;
        self.take_time();
        let deed = self.state().script.commit.clone();
        deed.be_done()
    }

    fn compact(&mut self, live: &[(EndpointTag, Stored)]) -> Result<(), StoreError> {
        self.take_time();
        let mut state = self.state();
        state.calls.compactions += 1;
        state.script.compact.clone().be_done()?;
        state.kept = live.to_vec();
        Ok(())
    }

    fn wants_compaction(&self) -> bool {
        assert!(!self.state().script.looks_panic, "as the script says");
        false
    }

    fn size(&self) -> u64 {
        assert!(!self.state().script.looks_panic, "as the script says");
        self.state().kept.len() as u64
    }
}

impl Deed {
    fn be_done(self) -> Result<(), StoreError> {
        assert!(!matches!(self, Self::Panics), "as the script says");
        match self {
            Self::Fails(error) => Err(error),
            Self::Good | Self::Panics => Ok(()),
        }
    }
}

/// Enough for tests: the last bytes of the token.
fn tag(name: &EndpointName) -> EndpointTag {
    let mut tag = [0; 16];
    let token = name.token().as_str().bytes().rev();
    tag.iter_mut().zip(token).for_each(|(to, from)| *to = from);
    EndpointTag(tag)
}

impl fmt::Debug for ScriptedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("ScriptedStore")
            .field("script", &state.script)
            .field("calls", &state.calls)
            .finish_non_exhaustive()
    }
}
