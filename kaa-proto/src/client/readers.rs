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
    /// Each reader's endpoint, and whom to wake.
    wakers: BTreeMap<u64, (EndpointKey, Option<Waker>)>,
    /// How many readers share an observation; the last one takes it back.
    shares: BTreeMap<(EndpointKey, Observation), usize>,
}

impl Readers {
    pub(super) fn wake(&mut self, key: EndpointKey, woken: &mut Vec<Waker>) {
        let of_endpoint = self.wakers.values_mut().filter(|(of, _)| *of == key);
        woken.extend(of_endpoint.filter_map(|(_, waker)| waker.take()));
    }

    pub(super) fn wake_all(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(
            self.wakers
                .values_mut()
                .filter_map(|(_, waker)| waker.take()),
        );
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
                    let fresh = |observation: &&Observation| {
                        !state
                            .readers
                            .shares
                            .contains_key(&(key, (*observation).clone()))
                    };
                    for observation in observations.iter().take(index).filter(fresh) {
                        state.connection.unobserve(now, key, observation);
                    }
                    return Err(error);
                }
            }
            let readers = &mut state.readers;
            for observation in &observations {
                *readers
                    .shares
                    .entry((key, observation.clone()))
                    .or_default() += 1;
            }
            let id = readers.next_id;
            readers.next_id += 1;
            readers.wakers.insert(id, (key, None));
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
        self.handle
            .shared()
            .read(|state, _| read(&mut state.connection, self.key))
    }

    /// What there is to read; ends when nothing can come any more.
    pub(super) fn poll_read<T>(
        &self,
        context: &Context<'_>,
        read: impl FnOnce(&mut Connection, EndpointKey) -> Option<T>,
    ) -> Poll<Option<T>> {
        let mut is_over = false;
        let item = self.handle.shared().read(|state, _| {
            let item = read(&mut state.connection, self.key);
            is_over = state.is_over || state.connection.endpoint(self.key).is_none();
            if let (None, Some((_, waker))) = (&item, state.readers.wakers.get_mut(&self.id)) {
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
            let waker = state
                .readers
                .wakers
                .remove(&self.id)
                .and_then(|(_, waker)| waker);
            state.replaced.extend(waker);
            for observation in &self.observations {
                let share = (self.key, observation.clone());
                match state.readers.shares.get_mut(&share) {
                    Some(count) if *count > 1 => *count -= 1,
                    _ => {
                        state.readers.shares.remove(&share);
                        state.connection.unobserve(now, self.key, observation);
                    }
                }
            }
        });
    }
}
