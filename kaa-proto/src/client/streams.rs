//! What the platform pushes, as streams. Each observes while it exists.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::readers::Reader;
use super::shared::Handle;
use super::{Command, EndpointEvents, LinkEvents};
use crate::connection::{Connection, EndpointKey, Event};
use crate::endpoint::{self, Observation};
use crate::names::{CommandType, ConfigName};
use crate::request::SubmitError;
use crate::{config, software};

/// The commands of one or several types.
///
/// Each command comes once, however often the platform delivers it. Unread ones wait in a bounded
/// buffer; what does not fit stays with the platform and is asked for again. Of two streams for
/// one type, each command goes to one. Ends when the endpoint is removed, also if it comes back
/// before it is gone, or the client is closed.
pub struct Commands {
    reader: Reader,
    types: Vec<CommandType>,
}

impl Commands {
    pub(super) fn new(
        handle: Arc<Handle>,
        key: EndpointKey,
        types: Vec<CommandType>,
    ) -> Result<Self, SubmitError> {
        let now = handle.shared().now();
        let observations = types.iter().cloned().map(Observation::Commands).collect();
        let observe = |connection: &mut Connection, observation: &Observation| {
            connection.observe(now, key, observation)
        };
        Ok(Self {
            reader: Reader::new(handle, key, observations, observe)?,
            types,
        })
    }

    /// The next command, if one waits.
    pub fn try_next(&mut self) -> Option<Command> {
        let command = self
            .reader
            .try_read(|c, key| c.poll_command(key, |t| self.types.contains(t)));
        command.map(|command| self.take(command))
    }

    fn take(&self, command: crate::commands::Command) -> Command {
        Command::new(Arc::clone(self.reader.handle()), self.reader.key(), command)
    }
}

impl Stream for Commands {
    type Item = Command;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Command>> {
        let read = |c: &mut Connection, key| c.poll_command(key, |t| self.types.contains(t));
        self.reader
            .poll_read(context, read)
            .map(|command| command.map(|c| self.take(c)))
    }
}

/// One configuration as it changes: never [`NotModified`](config::Answer::NotModified). Of
/// changes that were not read, only the newest is kept. Ends as [`Commands`] does.
pub struct Configurations {
    reader: Reader,
    name: Option<ConfigName>,
}

impl Configurations {
    pub(super) fn new(
        handle: Arc<Handle>,
        key: EndpointKey,
        name: Option<ConfigName>,
    ) -> Result<Self, SubmitError> {
        let now = handle.shared().now();
        let observations = vec![Observation::Configuration(name.clone())];
        let observe = |connection: &mut Connection, observation: &Observation| {
            connection.observe(now, key, observation)
        };
        Ok(Self {
            reader: Reader::new(handle, key, observations, observe)?,
            name,
        })
    }

    /// The newest configuration, if it was not read yet.
    pub fn try_next(&mut self) -> Option<config::Answer> {
        self.reader
            .try_read(|c, key| c.poll_configuration(key, self.name.as_ref()))
    }
}

impl Stream for Configurations {
    type Item = config::Answer;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<config::Answer>> {
        self.reader.poll_read(context, |c, key| {
            c.poll_configuration(key, self.name.as_ref())
        })
    }
}

/// Software updates as they are offered: never [`NotModified`](software::Answer::NotModified).
/// Of offers that were not read, only the newest is kept. Ends as [`Commands`] does.
pub struct SoftwareUpdates {
    reader: Reader,
}

impl SoftwareUpdates {
    pub(super) fn new(
        handle: Arc<Handle>,
        key: EndpointKey,
        current: &str,
    ) -> Result<Self, SubmitError> {
        let now = handle.shared().now();
        let observations = vec![Observation::Software];
        let observe = |connection: &mut Connection, _: &Observation| {
            connection.observe_software(now, key, current)
        };
        Ok(Self {
            reader: Reader::new(handle, key, observations, observe)?,
        })
    }

    /// The newest offer, if it was not read yet.
    pub fn try_next(&mut self) -> Option<software::Answer> {
        self.reader.try_read(Connection::poll_software)
    }
}

impl Stream for SoftwareUpdates {
    type Item = software::Answer;

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<software::Answer>> {
        self.reader.poll_read(context, Connection::poll_software)
    }
}

macro_rules! debug {
    ($($name:ident)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

debug! { Commands Configurations SoftwareUpdates }

/// What each stream has beside [`Stream`], so that nobody needs an extension trait to read it.
macro_rules! next {
    ($($stream:ty => $item:ty;)*) => {$(
        impl $stream {
            /// Waits for the next one; `None` when there will be none any more. Dropping the future
            /// loses only the wait.
            pub async fn next(&mut self) -> Option<$item> {
                poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
            }
        }
    )*};
}

next! {
    Commands => Command;
    Configurations => config::Answer;
    SoftwareUpdates => software::Answer;
    LinkEvents => Event;
    EndpointEvents => endpoint::Event;
}
