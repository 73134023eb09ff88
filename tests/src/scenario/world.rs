//! Where a scenario takes place: the platform, the network, and time.

use std::time::{Duration, Instant};

use kaa_proto::platform::{Event, Platform};

use super::{ClientHand, Network, Waiting};

/// All of a scenario that is not in the hands of the application.
pub trait World: Send {
    /// Starts the client.
    fn connect(&mut self) -> Waiting<'_, Result<Box<dyn ClientHand>, String>>;

    /// Waits for something, but not for ever; `None` if the patience is over.
    fn until<'a, T: Send + 'a>(&'a mut self, wait: Waiting<'a, T>) -> Waiting<'a, Option<T>>;

    /// Lets a little time pass, for the `nth` time in this wait, which begins with 0. `false` if
    /// the patience is over.
    fn nap(&mut self, nth: usize) -> Waiting<'_, bool>;

    /// Lets all that can happen without time happen, where that can be told.
    fn settle(&mut self) {}

    /// Runs a task of the user; whether it panicked.
    fn run(&mut self, task: Waiting<'static, ()>) -> Waiting<'_, bool>;

    /// Ends the driver of the client without a word.
    fn end_driver(&mut self) -> Waiting<'_, ()>;

    /// An operator acts on the platform.
    fn operate(&mut self, verb: &mut dyn FnMut(&mut Platform, Instant));

    /// What the platform tells next.
    fn poll_event(&mut self) -> Option<Event>;

    /// Something happens to the network.
    ///
    /// # Errors
    /// The system does not let it.
    fn change(&mut self, network: Network) -> Result<(), String>;

    /// Time passes.
    ///
    /// # Errors
    /// It cannot be told to.
    fn pass(&mut self, time: Duration) -> Result<(), String>;
}
