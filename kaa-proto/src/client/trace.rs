//! How what happens to a store is told; nothing of it is there without the feature `tracing`.

#![cfg_attr(
    not(feature = "tracing"),
    allow(unused_variables, reason = "nothing is told")
)]

use super::StoreStatus;
use crate::store::SetAside;
use crate::trace::event;

/// What was found at the start.
pub(super) fn opened(status: &StoreStatus) {
    event!(
        "store",
        INFO,
        size = status.size,
        endpoints = status.absent,
        torn_bytes = status.torn_bytes,
        "opened"
    );
    for SetAside { name, reason } in &status.set_aside {
        event!("store", ERROR, name, %reason, "set aside: what it held is forgotten");
    }
}
