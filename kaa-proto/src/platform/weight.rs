//! About how much memory values take beside their own size, so that it can be bounded: of JSON also
//! before anything is built of it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// An element of an array, whose vector doubles when it grows.
const ITEM: usize = 64;

/// A field of an object, in a tree whose nodes may be half empty.
const FIELD: usize = 128;

/// The first node of a tree.
const NODE: usize = 640;

/// What takes memory.
pub(super) trait Weigh {
    /// How much, in bytes.
    fn weigh(&self) -> usize;
}

macro_rules! weightless {
    ($($type:ty)*) => {$(
        impl Weigh for $type {
            fn weigh(&self) -> usize {
                0
            }
        }
    )*};
}

weightless! { bool f64 i64 u8 u16 u32 usize }

impl Weigh for String {
    fn weigh(&self) -> usize {
        self.len()
    }
}

impl<T: Weigh> Weigh for Option<T> {
    fn weigh(&self) -> usize {
        self.as_ref().map_or(0, Weigh::weigh)
    }
}

impl<T: Weigh> Weigh for Vec<T> {
    fn weigh(&self) -> usize {
        self.iter().map(|item| ITEM + item.weigh()).sum()
    }
}

impl Weigh for Map<String, Value> {
    fn weigh(&self) -> usize {
        let fields = self
            .iter()
            .map(|(key, value)| FIELD + key.len() + value.weigh());
        if self.is_empty() {
            0
        } else {
            NODE + fields.sum::<usize>()
        }
    }
}

impl Weigh for Value {
    fn weigh(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => 0,
            Self::String(text) => text.weigh(),
            Self::Array(items) => items.weigh(),
            Self::Object(fields) => fields.weigh(),
        }
    }
}

/// What the [`Value`] of this JSON would weigh.
///
/// # Errors
/// It is no JSON.
pub(super) fn of_json(json: &[u8]) -> serde_json::Result<usize> {
    serde_json::from_slice(json).map(|Weight(weight)| weight)
}

struct Weight(usize);

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scales).map(Self)
    }
}

struct Scales;

impl<'de> Visitor<'de> for Scales {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<usize, E> {
        Ok(text.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<usize, A::Error> {
        let mut weight = 0;
        while let Some(Weight(item)) = items.next_element()? {
            weight += ITEM + item;
        }
        Ok(weight)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<usize, A::Error> {
        let mut weight = 0;
        while let Some((Weight(key), Weight(value))) = fields.next_entry()? {
            weight += if weight == 0 { NODE } else { 0 } + FIELD + key + value;
        }
        Ok(weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_weighed_before_it_is_built_as_it_is_afterwards() {
        for json in [
            "null",
            "[]",
            "{}",
            r#"[1, true, "text", [null], {"a": {"b": "c"}, "d": []}]"#,
            r#"{"a": [1.5e3, -1], "\u0041b": "\n"}"#,
        ] {
            let built: Value = serde_json::from_str(json).unwrap();
            assert_eq!(of_json(json.as_bytes()).unwrap(), built.weigh(), "{json}");
        }
        for wrong in ["", "[", "{\"a\":}", "1 2"] {
            assert!(of_json(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_smallest_elements_weigh_the_most() {
        assert_eq!(
            of_json(br#"[{"":0},{"":0}]"#).unwrap(),
            2 * (ITEM + NODE + FIELD)
        );
    }
}
