//! What happens to the link and to endpoints, for those who listen.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use super::shared::Handle;
use crate::connection::{EndpointKey, Event};
use crate::endpoint;

/// How many events wait for a listener; beyond that the oldest are lost.
const MAX_UNREAD: usize = 256;

#[derive(Default)]
pub(super) struct Subscribers {
    next_id: u64,
    link: BTreeMap<u64, Subscriber<Event>>,
    /// By endpoint.
    endpoint: BTreeMap<(EndpointKey, u64), Subscriber<endpoint::Event>>,
}

struct Subscriber<T> {
    unread: VecDeque<T>,
    /// Nothing more comes, though its endpoint is there.
    is_over: bool,
    waker: Option<Waker>,
}

impl<T> Default for Subscriber<T> {
    fn default() -> Self {
        Self {
            unread: VecDeque::new(),
            is_over: false,
            waker: None,
        }
    }
}

impl<T> Subscriber<T> {
    fn push(&mut self, event: T, woken: &mut Vec<Waker>) {
        if self.unread.len() == MAX_UNREAD {
            self.unread.pop_front();
        }
        self.unread.push_back(event);
        woken.extend(self.waker.take());
    }

    fn poll(
        &mut self,
        is_over: bool,
        context: &Context<'_>,
        replaced: &mut Vec<Waker>,
    ) -> Poll<Option<T>> {
        match self.unread.pop_front() {
            None if !is_over && !self.is_over => {
                replaced.extend(self.waker.replace(context.waker().clone()));
                Poll::Pending
            }
            event => Poll::Ready(event),
        }
    }
}

impl Subscribers {
    pub(super) fn link(&mut self, event: &Event, woken: &mut Vec<Waker>) {
        for subscriber in self.link.values_mut() {
            subscriber.push(event.clone(), woken);
        }
    }

    pub(super) fn endpoint(
        &mut self,
        key: EndpointKey,
        event: &endpoint::Event,
        woken: &mut Vec<Waker>,
    ) {
        for subscriber in self.of(key).filter(|subscriber| !subscriber.is_over) {
            subscriber.push(event.clone(), woken);
        }
    }

    /// Nothing more will happen to this endpoint.
    pub(super) fn wake(&mut self, key: EndpointKey, woken: &mut Vec<Waker>) {
        woken.extend(
            self.of(key)
                .filter_map(|subscriber| subscriber.waker.take()),
        );
    }

    /// Those there are hear nothing more of this endpoint, though it stays.
    pub(super) fn end(&mut self, key: EndpointKey, woken: &mut Vec<Waker>) {
        self.of(key)
            .for_each(|subscriber| subscriber.is_over = true);
        self.wake(key, woken);
    }

    pub(super) fn wake_all(&mut self, woken: &mut Vec<Waker>) {
        woken.extend(
            self.link
                .values_mut()
                .filter_map(|subscriber| subscriber.waker.take()),
        );
        let endpoints = self.endpoint.values_mut();
        woken.extend(endpoints.filter_map(|subscriber| subscriber.waker.take()));
    }

    /// Those of an endpoint.
    fn of(&mut self, key: EndpointKey) -> impl Iterator<Item = &mut Subscriber<endpoint::Event>> {
        let of_endpoint = self.endpoint.range_mut((key, 0)..=(key, u64::MAX));
        of_endpoint.map(|(_, subscriber)| subscriber)
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// What happens to the link. A listener that does not read loses the oldest events beyond 256.
/// Ends when the client is closed.
pub struct LinkEvents {
    handle: Arc<Handle>,
    id: u64,
}

impl LinkEvents {
    pub(super) fn new(handle: Arc<Handle>) -> Self {
        let id = handle.shared().update(|state, _| {
            let id = state.subscribers.next_id();
            state.subscribers.link.insert(id, Subscriber::default());
            id
        });
        Self { handle, id }
    }

    /// The next event, if one waits.
    pub fn try_next(&mut self) -> Option<Event> {
        self.handle
            .shared()
            .update(|state, _| state.subscribers.link.get_mut(&self.id)?.unread.pop_front())
    }
}

impl Stream for LinkEvents {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.handle
            .shared()
            .update(|state, _| match state.subscribers.link.get_mut(&self.id) {
                Some(subscriber) => subscriber.poll(state.is_over, context, &mut state.replaced),
                None => Poll::Ready(None),
            })
    }
}

impl Drop for LinkEvents {
    fn drop(&mut self) {
        self.handle
            .shared()
            .update(|state, _| state.subscribers.link.remove(&self.id));
    }
}

/// What happens to one endpoint beside its requests. A listener that does not read loses the
/// oldest events beyond 256. Ends as [`Commands`](super::Commands) does.
pub struct EndpointEvents {
    handle: Arc<Handle>,
    id: (EndpointKey, u64),
}

impl EndpointEvents {
    pub(super) fn new(handle: Arc<Handle>, key: EndpointKey) -> Self {
        let id = handle.shared().update(|state, _| {
            let id = (key, state.subscribers.next_id());
            let subscribers = &mut state.subscribers.endpoint;
            subscribers.insert(id, Subscriber::default());
            id
        });
        Self { handle, id }
    }

    /// The next event, if one waits.
    pub fn try_next(&mut self) -> Option<endpoint::Event> {
        self.handle.shared().update(|state, _| {
            let subscribers = &mut state.subscribers.endpoint;
            subscribers.get_mut(&self.id)?.unread.pop_front()
        })
    }
}

impl Stream for EndpointEvents {
    type Item = endpoint::Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<endpoint::Event>> {
        self.handle.shared().update(
            |state, _| match state.subscribers.endpoint.get_mut(&self.id) {
                Some(subscriber) => {
                    let is_over = state.is_over || state.connection.endpoint(self.id.0).is_none();
                    subscriber.poll(is_over, context, &mut state.replaced)
                }
                None => Poll::Ready(None),
            },
        )
    }
}

impl Drop for EndpointEvents {
    fn drop(&mut self) {
        self.handle
            .shared()
            .update(|state, _| state.subscribers.endpoint.remove(&self.id));
    }
}

impl fmt::Debug for LinkEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkEvents")
    }
}

impl fmt::Debug for EndpointEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointEvents")
    }
}
