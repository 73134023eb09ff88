//! The handles of the asynchronous bindings, which are those of the core.

use std::any::Any;
use std::time::Duration;

use kaa_proto::client::{Client, Endpoint, NotReady};
use kaa_proto::connection::Account;
use kaa_proto::names::EndpointName;
use kaa_proto::request::{Failure, Request, SubmitError};

use super::{Api, Device, Waiting};

impl Api for Client {
    type Device = Endpoint;

    fn endpoint(&self, name: &EndpointName) -> Endpoint {
        self.endpoint(name).unwrap()
    }

    fn ready(&self, timeout: Duration) -> Waiting<Result<(), NotReady>> {
        Box::pin(self.ready(timeout))
    }

    fn shutdown(&self, timeout: Duration) -> Waiting<Account> {
        Box::pin(self.shutdown(timeout))
    }
}

impl Device for Endpoint {
    fn submit<R: Request + 'static>(
        &self,
        request: &R,
    ) -> Result<Waiting<Result<R::Response, Failure>>, SubmitError> {
        Ok(Box::pin(self.submit(request)?))
    }

    fn readers(&self) -> Box<dyn Any + Send> {
        let commands = self.commands_of("reboot").unwrap();
        Box::new((commands, self.configurations().unwrap()))
    }

    fn command(&self) -> Waiting<bool> {
        let mut commands = self.commands_of("reboot").unwrap();
        Box::pin(async move { commands.next().await.is_some() })
    }
}
