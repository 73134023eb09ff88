//! Reading JSON whose shape is not certain.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The first byte of a JSON text that is no white space, if there is any. A form feed is none (RFC 8259,
/// section 2).
pub(crate) fn first_byte(json: &[u8]) -> Option<u8> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    json.iter().copied().find(|byte| !is_space(byte))
}

/// Reads a field of raw JSON so that `null` is something else than an absent field (FACTS trap
/// 24); for `#[serde(default, deserialize_with = "present")]`.
pub(crate) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}
