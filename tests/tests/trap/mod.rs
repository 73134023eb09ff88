//! What both suites of traps need.

use std::time::Duration;

use kaa_proto::endpoint::{EndpointOptions, Observation, Subscriptions};
use kaa_proto::names::CommandType;
use kaa_proto::request::{Failure, RequestId};
use kaa_tests::endpoint_host::EndpointHost;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const CONFIGURATION: Observation = Observation::Configuration(None);

pub(crate) fn options() -> EndpointOptions {
    EndpointOptions::default().subscriptions(Subscriptions::None)
}

pub(crate) fn online() -> EndpointHost {
    EndpointHost::online(options(), 1).unwrap()
}

pub(crate) fn reboot() -> CommandType {
    CommandType::new("reboot").unwrap()
}

pub(crate) fn commands() -> Observation {
    Observation::Commands(reboot())
}

pub(crate) fn failure(host: &EndpointHost, id: RequestId) -> Option<Failure> {
    host.outcome(id)?.clone().err()
}

pub(crate) fn is_ok(host: &EndpointHost, id: RequestId) -> bool {
    host.outcome(id).is_some_and(Result::is_ok)
}

pub(crate) fn read(host: &mut EndpointHost) -> Option<i64> {
    let command = host.endpoint.poll_command(|_| true)?;
    host.drain();
    command.id().as_i64()
}
