//! Reading JSON whose shape is not certain.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Reads a field of raw JSON so that `null` is something else than an absent field (FACTS trap
/// 24); for `#[serde(default, deserialize_with = "present")]`.
pub(crate) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}
