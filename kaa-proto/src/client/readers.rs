//! Who reads what the platform pushes to an endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::shared::Handle;
use crate::connection::{Connection, EndpointKey};
use crate::endpoint::Observation;
use crate::request::SubmitError;

#[derive(Default)]
pub(super) struct Readers {
    next_id: u64,
    /// Those of each endpoint that has some.
    of: BTreeMap<EndpointKey, OfEndpoint>,
}

/// The readers of one endpoint.
#[derive(Default)]
struct OfEndpoint {
    /// Whom to wake, by reader.
    wakers: BTreeMap<u64, Option<Waker>>,
    /// How many readers share an observation; the last one takes it back.
    shares: BTreeMap<Observation, usize>,
}

impl Readers {
    pub(super) fn wake(&mut self, key: EndpointKey, woken: &mut Vec<Waker>) {
        let wakers = self.of.get_mut(&key).map(|of| of.wakers.values_mut());
        woken.extend(wakers.into_iter().flatten().filter_map(Option::take));
    }

    /// Those there are read nothing more: what they observed is not observed any more.
    pub(super) fn end(&mut self, key: EndpointKey, woken: &mut Vec<Waker>) {
        let wakers = self.of.remove(&key).map(|of| of.wakers.into_values());
        woken.extend(wakers.into_iter().flatten().flatten());
    }

    pub(super) fn wake_all(&mut self, woken: &mut Vec<Waker>) {
        let wakers = self.of.values_mut().flat_map(|of| of.wakers.values_mut());
        woken.extend(wakers.filter_map(Option::take));
    }

    /// Whom to wake for a reader; `None` if it has ended.
    fn waker(&mut self, key: EndpointKey, id: u64) -> Option<&mut Option<Waker>> {
        self.of.get_mut(&key)?.wakers.get_mut(&id)
    }
}

/// A reader of some observations of one endpoint, which stand while it exists.
pub(super) struct Reader {
    handle: Arc<Handle>,
    key: EndpointKey,
    id: u64,
    observations: Vec<Observation>,
}

impl Reader {
    pub(super) fn new(
        handle: Arc<Handle>,
        key: EndpointKey,
        observations: Vec<Observation>,
        mut observe: impl FnMut(&mut Connection, &Observation) -> Result<(), SubmitError>,
    ) -> Result<Self, SubmitError> {
        let id = handle.shared().act_on_state(|state, now| {
            for (index, observation) in observations.iter().enumerate() {
                if let Err(error) = observe(&mut state.connection, observation) {
                    let of = state.readers.of.get(&key);
                    let fresh = |observation: &&Observation| {
                        of.is_none_or(|of| !of.shares.contains_key(observation))
                    };
                    for observation in observations.iter().take(index).filter(fresh) {
                        state.connection.unobserve(now, key, observation);
                    }
                    return Err(error);
                }
            }
            let id = state.readers.next_id;
            state.readers.next_id += 1;
            let of = state.readers.of.entry(key).or_default();
            for observation in &observations {
                *of.shares.entry(observation.clone()).or_default() += 1;
            }
            of.wakers.insert(id, None);
            Ok(id)
        })?;
        Ok(Self {
            handle,
            key,
            id,
            observations,
        })
    }

    pub(super) const fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    pub(super) const fn key(&self) -> EndpointKey {
        self.key
    }

    /// What there is to read now.
    pub(super) fn try_read<T>(
        &self,
        read: impl FnOnce(&mut Connection, EndpointKey) -> Option<T>,
    ) -> Option<T> {
        self.handle.shared().read(|state, _| {
            state.readers.waker(self.key, self.id)?;
            read(&mut state.connection, self.key)
        })
    }

    /// What there is to read; ends when nothing can come any more.
    pub(super) fn poll_read<T>(
        &self,
        context: &Context<'_>,
        read: impl FnOnce(&mut Connection, EndpointKey) -> Option<T>,
    ) -> Poll<Option<T>> {
        let mut is_over = false;
        let item = self.handle.shared().read(|state, _| {
            let Some(waker) = state.readers.waker(self.key, self.id) else {
                is_over = true;
                return None;
            };
            let item = read(&mut state.connection, self.key);
            is_over = state.is_over || state.connection.endpoint(self.key).is_none();
            if item.is_none() {
                state
                    .replaced
                    .extend(waker.replace(context.waker().clone()));
            }
            item
        });
        match item {
            None if !is_over => Poll::Pending,
            item => Poll::Ready(item),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.handle.shared().act_on_state(|state, now| {
            let Some(of) = state.readers.of.get_mut(&self.key) else {
                return;
            };
            // One that has ended observes nothing.
            let Some(waker) = of.wakers.remove(&self.id) else {
                return;
            };
            state.replaced.extend(waker);
            for observation in &self.observations {
                match of.shares.get_mut(observation) {
                    Some(count) if *count > 1 => *count -= 1,
                    _ => {
                        of.shares.remove(observation);
                        state.connection.unobserve(now, self.key, observation);
                    }
                }
            }
            if of.wakers.is_empty() {
                state.readers.of.remove(&self.key);
            }
        });
    }
}
