//! A map of few entries: in the order of its keys, in one piece of memory that is no larger than it
//! has to be. A gateway has thousands of them, most with one entry.

use std::borrow::Borrow;

/// As a `BTreeMap`; what changes it takes as long as it is large.
#[derive(Clone, Debug)]
pub(crate) struct Few<K, V>(Vec<(K, V)>);

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> Few<K, V> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> Few<K, V> {
    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let place = self.place(key).ok()?;
        self.0.get(place).map(|(_, value)| value)
    }

    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let place = self.place(key).ok()?;
        self.0.get_mut(place).map(|(_, value)| value)
    }

    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.place(key).is_ok()
    }

    /// The value of `key`, which is made if there is none.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let place = match self.place(&key) {
            Ok(place) => place,
            Err(place) => {
                self.0.reserve_exact(1);
                self.0.insert(place, (key, make()));
                place
            }
        };
        &mut self.0[place].1
    }

    /// The value of `key`, a default one if there is none.
    pub(crate) fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        self.get_or_insert_with(key, V::default)
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let place = self.place(key).ok()?;
        let (_, value) = self.0.remove(place);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(value)
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        self.0.retain(|(_, value)| keep(value));
    }

    pub(crate) fn clear(&mut self) {
        self.0 = Vec::new();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    #[cfg(any(feature = "connection", test))]
    pub(crate) fn into_iter(self) -> impl Iterator<Item = (K, V)> {
        self.0.into_iter()
    }

    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0
            .binary_search_by(|(other, _)| other.borrow().cmp(key))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::rng::Rng;

    #[test]
    fn it_is_what_an_ordered_map_is() {
        let mut rng = Rng::new(1);
        let (mut few, mut model) = (Few::default(), BTreeMap::new());
        for step in 0..5_000_u64 {
            let key = rng.below(9);
            match rng.below(4) {
                0 => assert_eq!(few.remove(&key), model.remove(&key)),
                1 => {
                    let even = |value: &u64| value % 2 == 0;
                    few.retain(even);
                    model.retain(|_, value| even(value));
                }
                _ => {
                    *few.get_or_default(key) += step;
                    *model.entry(key).or_default() += step;
                }
            }
            assert!(few.iter().eq(model.iter()));
            assert_eq!(few.get(&key), model.get(&key));
            assert_eq!(few.get_mut(&key), model.get_mut(&key));
            assert_eq!(few.contains_key(&key), model.contains_key(&key));
            assert!(few.iter_mut().eq(model.iter_mut()));
            assert_eq!(few.len(), model.len());
        }
        assert!(few.clone().into_iter().eq(model));
        few.clear();
        assert_eq!((few.len(), few.0.capacity()), (0, 0));
    }
}
