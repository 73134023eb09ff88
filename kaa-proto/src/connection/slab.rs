//! Endpoints by key. A key that was given back never finds a later endpoint.

use std::fmt;

/// Names one endpoint of one connection, from `add_endpoint` until it is removed; the key of a
/// removed endpoint stays invalid although its place is used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointKey {
    /// Its place.
    index: u32,
    /// How many had that place before it.
    generation: u32,
}

/// `endpoint 3` for the first in its place, `endpoint 3.1` for the second.
impl fmt::Display for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            0 => write!(f, "endpoint {}", self.index),
            generation => write!(f, "endpoint {}.{generation}", self.index),
        }
    }
}

impl fmt::Debug for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointKey({}.{})", self.index, self.generation)
    }
}

/// Values by [`EndpointKey`], in order of their place. Each has memory of its own: a table of large
/// values would be half empty after it grew.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    /// Every place that was ever used.
    places: Vec<Place<T>>,
    /// Places that are free, the last one freed on top.
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place<T> {
    /// The generation of the value that is there or comes next.
    generation: u32,
    value: Option<Box<T>>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// Puts a value in; `None` if there are `u32::MAX` already.
    pub(crate) fn insert(&mut self, value: T) -> Option<EndpointKey> {
        if let Some(index) = self.free.pop() {
            let place = self.places.get_mut(index as usize)?;
            place.value = Some(Box::new(value));
            let generation = place.generation;
            return Some(EndpointKey { index, generation });
        }
        let index = u32::try_from(self.places.len()).ok()?;
        self.places.push(Place {
            generation: 0,
            value: Some(Box::new(value)),
        });
        Some(EndpointKey {
            index,
            generation: 0,
        })
    }

    pub(crate) fn remove(&mut self, key: EndpointKey) -> Option<T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let value = place.value.take()?;
        // A place whose generations are used up is given up.
        if let Some(next) = place.generation.checked_add(1) {
            place.generation = next;
            self.free.push(key.index);
        }
        Some(*value)
    }

    pub(crate) fn get(&self, key: EndpointKey) -> Option<&T> {
        let place = self.places.get(key.index as usize)?;
        place
            .value
            .as_deref()
            .filter(|_| place.generation == key.generation)
    }

    pub(crate) fn get_mut(&mut self, key: EndpointKey) -> Option<&mut T> {
        let place = self.places.get_mut(key.index as usize)?;
        place
            .value
            .as_deref_mut()
            .filter(|_| place.generation == key.generation)
    }

    /// How many values there were at once.
    pub(crate) fn most(&self) -> usize {
        self.places.len()
    }

    /// Keys and values in order of their place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (EndpointKey, &T)> {
        self.places.iter().zip(0..).filter_map(|(place, index)| {
            let generation = place.generation;
            let value = place.value.as_deref()?;
            Some((EndpointKey { index, generation }, value))
        })
    }

    /// As [`iter`](Self::iter), to change the values.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (EndpointKey, &mut T)> {
        self.places
            .iter_mut()
            .zip(0..)
            .filter_map(|(place, index)| {
                let generation = place.generation;
                let value = place.value.as_deref_mut()?;
                Some((EndpointKey { index, generation }, value))
            })
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_given_back_finds_nothing_though_its_place_is_used_again() {
        let mut slab = Slab::default();
        let first = slab.insert("a").unwrap();
        let other = slab.insert("b").unwrap();
        assert_eq!(slab.remove(first), Some("a"));
        assert_eq!(slab.remove(first), None);
        let second = slab.insert("c").unwrap();
        assert_eq!(second.index, first.index);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(
            (slab.get(second), slab.get(other)),
            (Some(&"c"), Some(&"b"))
        );
        assert_eq!(slab.len(), 2);
        assert_eq!(format!("{other} {other:?}"), "endpoint 1 EndpointKey(1.0)");
        assert_eq!(
            format!("{second} {second:?}"),
            "endpoint 0.1 EndpointKey(0.1)"
        );
    }

    #[test]
    fn values_come_in_order_of_their_place() {
        let mut slab = Slab::default();
        let keys: Vec<_> = (0..4).map(|n| slab.insert(n).unwrap()).collect();
        slab.remove(keys[1]);
        slab.remove(keys[2]);
        slab.insert(7);
        let values: Vec<_> = slab.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [0, 7, 3]);
        assert!(slab.iter().all(|(key, value)| slab.get(key) == Some(value)));
        assert_eq!(slab.len(), 3);
    }
}
