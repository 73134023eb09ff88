//! What requests that ended leave to the next one of the same thread: its name was checked, and its
//! buffer has grown.

use std::cell::Cell;

use crate::request::{InvalidRequest, Prepared, Request};

thread_local! {
    static SPARE: Cell<Option<Prepared>> = const { Cell::new(None) };
}

/// Encodes a request in what is left of another one.
pub(super) fn encode<R: Request>(request: &R) -> Result<Prepared, InvalidRequest> {
    let spare = SPARE.try_with(Cell::take).ok().flatten();
    Prepared::reusing(spare.unwrap_or_else(Prepared::blank), request)
}

/// Leaves something to the next one.
pub(super) fn leave(spare: Prepared) {
    // At the end of a thread there is no next one.
    let _ = SPARE.try_with(|place| place.set(Some(spare)));
}
