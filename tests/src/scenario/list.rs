//! The scenarios.

mod credentials;
mod endings;
mod fates;
mod gateways;
mod links;
mod operations;
mod pushes;

use kaa_proto::request::Resend;

use super::{Network, Op, Scenario, Step, Tweak};

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
    ];
    all.into_iter().flatten().collect()
}
