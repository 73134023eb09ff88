//! What a device said about the pushes of one resource, and where they go.

use super::choices::PushTopic;

/// Pushes come unless the device said `observe: false` (7/CMP and 11/CEP leave it to the server
/// where nothing was said).
#[derive(Clone, Debug, Default)]
pub(super) struct Observation {
    /// Whether the device said `observe: false`.
    is_refused: bool,
    /// Whether it said `observe: true`.
    is_wanted: bool,
    /// The ID of the request that said so; it stays in use (FACTS trap 9).
    id: Option<u32>,
}

impl Observation {
    /// Takes the `observe` of a request.
    pub(super) const fn note(&mut self, observe: Option<bool>, id: Option<u32>) {
        if let Some(is_wanted) = observe {
            self.is_wanted = is_wanted;
            self.is_refused = !is_wanted;
            self.id = if is_wanted { id } else { None };
        }
    }

    pub(super) const fn is_refused(&self) -> bool {
        self.is_refused
    }

    pub(super) const fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// The IDs of the topics that a push goes to; `None` is the topic without ID.
    pub(super) fn push_ids(&self, topic: PushTopic) -> Vec<Option<u32>> {
        match (topic, self.id) {
            (PushTopic::NoId, _) | (_, None) => vec![None],
            (PushTopic::WithId, id) => vec![id],
            (PushTopic::Both, id) => vec![None, id],
        }
    }
}

/// A push that an extension wants sent.
#[derive(Debug, PartialEq)]
pub(super) struct Push {
    /// The resource, without leading slash.
    pub(super) resource: String,
    /// The IDs of the topics it goes to.
    pub(super) ids: Vec<Option<u32>>,
    pub(super) payload: Vec<u8>,
}
