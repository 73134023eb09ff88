//! What the device does in each binding, with that binding's own verbs and waits.

use std::thread;
use std::time::Duration;

use kaa_proto::client::{self, NotStored, Options};
use kaa_proto::commands::{self, CommandResult};
use kaa_proto::config::{Answer, Applied};
use kaa_proto::endpoint::{Event, Recovered};
use kaa_proto::request::{Adjusted, Failure, Outcome, RequestId};
use kaa_proto::telemetry::Sample;
use serde_json::Value;

use crate::bindings::{
    Api, AsyncStd, Blocking, Connecting, Device, Kit, PATIENCE, Smol, Tokio, Waiting,
};

/// How long a command takes after it was executed and before it is answered.
const WORK: Duration = Duration::from_millis(1);

/// A sample that survives a crash.
pub(crate) type Durable = Adjusted<Sample<Value>>;

/// A binding that opens connections by itself.
pub(crate) trait Open: Kit<Client: Api<Device: Hands>> {
    fn open(options: Options) -> Connecting<Self::Client>;
}

macro_rules! open {
    ($($kit:ty => $client:ty;)*) => {$(
        impl Open for $kit {
            fn open(options: Options) -> Connecting<Self::Client> {
                Box::pin(async { Ok((*<$client>::connect(options).await?).clone()) })
            }
        }
    )*};
}

open! {
    Tokio<1> => kaa_tokio::Client;
    Tokio<2> => kaa_tokio::Client;
    Smol => kaa_smol::Client;
    AsyncStd => kaa_smol::async_std::Client;
}

impl Open for Blocking {
    fn open(options: Options) -> Connecting<kaa_blocking::Client> {
        Box::pin(async { kaa_blocking::Client::connect(options) })
    }
}

/// What a device that is killed does.
pub(crate) trait Hands: Device {
    /// Tells `told` what earlier runs left, and takes it after that.
    fn recover(&self, told: impl FnOnce(&Recovered));

    /// Tells `ended` how requests of earlier runs end, from now on.
    fn restored(&self, ended: impl FnMut(RequestId, &Outcome) + Send + 'static) -> Waiting<()>;

    /// Takes a sample; the future tells `stored` of that, and gives the outcome.
    fn send(
        &self,
        sample: &Durable,
        stored: impl FnOnce(Result<(), NotStored>) + Send + 'static,
    ) -> (RequestId, Waiting<Result<(), Failure>>);

    /// Observes commands, and answers each with what `execute` gives.
    fn serve(
        &self,
        execute: impl FnMut(&commands::Command) -> CommandResult + Send + 'static,
    ) -> Waiting<()>;

    /// Observes the configuration, and reports each as applied; tells `told` of each that it is given,
    /// and, with `true`, when the platform knows that it is applied.
    fn configure(&self, told: impl FnMut(&str, bool) + Send + 'static) -> Waiting<()>;
}

impl Hands for client::Endpoint {
    fn recover(&self, told: impl FnOnce(&Recovered)) {
        told(&self.recovered().unwrap_or_default());
        drop(self.take_recovered());
    }

    fn restored(&self, mut ended: impl FnMut(RequestId, &Outcome) + Send + 'static) -> Waiting<()> {
        let mut events = self.events();
        Box::pin(async move {
            while let Some(event) = events.next().await {
                if let Event::RestoredCompleted { id, outcome } = event {
                    ended(id, &outcome);
                }
            }
        })
    }

    fn send(
        &self,
        sample: &Durable,
        stored: impl FnOnce(Result<(), NotStored>) + Send + 'static,
    ) -> (RequestId, Waiting<Result<(), Failure>>) {
        let mut ticket = self.submit(sample).unwrap();
        let id = ticket.id();
        let outcome = async move {
            stored(ticket.stored().await);
            ticket.await
        };
        (id, Box::pin(outcome))
    }

    fn serve(
        &self,
        mut execute: impl FnMut(&commands::Command) -> CommandResult + Send + 'static,
    ) -> Waiting<()> {
        let mut commands = self.commands_of("reboot").unwrap();
        Box::pin(async move {
            while let Some(command) = commands.next().await {
                let result = execute(&command);
                smol::Timer::after(WORK).await;
                drop(command.respond(result).unwrap());
            }
        })
    }

    fn configure(&self, mut told: impl FnMut(&str, bool) + Send + 'static) -> Waiting<()> {
        let (mut configurations, device) = (self.configurations().unwrap(), self.clone());
        Box::pin(async move {
            while let Some(answer) = configurations.next().await {
                if let Answer::Assigned(configuration) = answer {
                    told(configuration.config_id(), false);
                    let report = Applied::of(&configuration);
                    if device.request(&report).await.is_ok() {
                        told(configuration.config_id(), true);
                    }
                }
            }
        })
    }
}

impl Hands for kaa_blocking::Endpoint {
    fn recover(&self, told: impl FnOnce(&Recovered)) {
        told(&self.recovered().unwrap_or_default());
        drop(self.take_recovered());
    }

    fn restored(&self, mut ended: impl FnMut(RequestId, &Outcome) + Send + 'static) -> Waiting<()> {
        let events = self.events();
        Box::pin(async move {
            for event in events {
                if let Event::RestoredCompleted { id, outcome } = event {
                    ended(id, &outcome);
                }
            }
        })
    }

    fn send(
        &self,
        sample: &Durable,
        stored: impl FnOnce(Result<(), NotStored>) + Send + 'static,
    ) -> (RequestId, Waiting<Result<(), Failure>>) {
        let mut ticket = self.submit(sample).unwrap();
        let id = ticket.id();
        let outcome = async move {
            stored(ticket.wait_stored(PATIENCE).expect("it is known"));
            ticket.outcome()
        };
        (id, Box::pin(outcome))
    }

    fn serve(
        &self,
        mut execute: impl FnMut(&commands::Command) -> CommandResult + Send + 'static,
    ) -> Waiting<()> {
        let commands = self.commands_of("reboot").unwrap();
        Box::pin(async move {
            for command in commands {
                let result = execute(&command);
                thread::sleep(WORK);
                drop(command.respond(result).unwrap());
            }
        })
    }

    fn configure(&self, mut told: impl FnMut(&str, bool) + Send + 'static) -> Waiting<()> {
        let (configurations, device) = (self.configurations().unwrap(), self.clone());
        Box::pin(async move {
            for answer in configurations {
                if let Answer::Assigned(configuration) = answer {
                    told(configuration.config_id(), false);
                    if device.request(&Applied::of(&configuration)).is_ok() {
                        told(configuration.config_id(), true);
                    }
                }
            }
        })
    }
}
