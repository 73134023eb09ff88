//! The scenarios.

mod advisor;
mod credentials;
mod endings;
mod fates;
mod gateways;
mod links;
mod operations;
mod pushes;

use kaa_proto::request::Resend;

use super::{Given, Network, Op, Scenario, Step, Tweak};

/// A sample that may be sent again.
const AGAIN: Op = Op::With(
    &Op::Sample(r#"{"n": #}"#),
    &[Tweak::Resend(Resend::AfterLinkLoss)],
);

const BACK: Step = Step::Net(Network::Back);

/// All of them, in the order in which they are shown.
#[must_use]
pub fn all() -> Vec<&'static Scenario> {
    let all = [
        operations::ALL,
        fates::ALL,
        links::ALL,
        pushes::ALL,
        gateways::ALL,
        endings::ALL,
        credentials::ALL,
        advisor::ALL,
    ];
    let all: Vec<&'static Scenario> = all.into_iter().flatten().collect();
    let chosen = |scenario: &&&'static Scenario| BEHIND_A_BROKER.contains(&scenario.name);
    let behind: Vec<_> = all.iter().filter(chosen).map(behind_a_broker).collect();
    all.into_iter().chain(behind).collect()
}

/// What breaks between a client and the platform itself, and is to be seen with a real broker
/// between them, too.
const BEHIND_A_BROKER: &[&str] = &[
    "a_lost_link_comes_back_by_itself",
    "a_network_that_comes_and_goes_loses_nothing",
    "a_half_open_link_is_found_by_the_keep_alive",
    "the_fate_on_a_lost_link_is_the_callers_choice",
    "every_endpoint_observes_again",
    "a_finished_command_is_answered_again_from_the_stored_result",
    "the_account_of_a_shutdown_under_load_is_what_the_platform_saw",
    "the_account_of_a_shutdown_without_a_link_has_everything",
];

fn behind_a_broker(scenario: &&'static Scenario) -> &'static Scenario {
    let given: Vec<_> = scenario
        .given
        .iter()
        .copied()
        .chain([Given::Broker])
        .collect();
    Box::leak(Box::new(Scenario {
        name: format!("{}_behind_a_broker", scenario.name).leak(),
        given: given.leak(),
        ..**scenario
    }))
}
