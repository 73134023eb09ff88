//! A part of many owners that few of them need: one pointer, and memory only for those that do.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// A `T` that is not there while it is as in the beginning. To look at it costs no memory; to change
/// it does, so what may change nothing asks [`there`](Self::there) first.
pub(crate) struct Rare<T>(Option<Box<T>>);

/// What can be shown although it is not there.
pub(crate) trait Blank: Default + 'static {
    /// As `default()`.
    const BLANK: &'static Self;
}

impl<T> Rare<T> {
    /// It, if it is there.
    pub(crate) fn there(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    /// Takes it away.
    #[cfg(feature = "connection")]
    pub(crate) const fn take(&mut self) -> Option<Box<T>> {
        self.0.take()
    }

    /// Whether it is there.
    #[cfg(feature = "connection")]
    pub(crate) const fn is_there(&self) -> bool {
        self.0.is_some()
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> From<Box<T>> for Rare<T> {
    fn from(part: Box<T>) -> Self {
        Self(Some(part))
    }
}

impl<T: Blank> Deref for Rare<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::BLANK)
    }
}

impl<T: Blank> DerefMut for Rare<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_with(Box::default)
    }
}

impl<T: Blank + fmt::Debug> fmt::Debug for Rare<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Part {
        bytes: Vec<u8>,
    }

    impl Blank for Part {
        const BLANK: &'static Self = &Self { bytes: Vec::new() };
    }

    #[test]
    fn a_part_is_there_from_its_first_change_on() {
        let mut part: Rare<Part> = Rare::default();
        assert_eq!(*part, Part::default());
        assert_eq!(part.there(), None);
        part.bytes.push(7);
        assert_eq!(part.there(), Some(&mut Part { bytes: vec![7] }));
        assert_eq!(*Rare::from(Box::new(Part { bytes: vec![7] })), *part);
        assert_eq!(format!("{part:?}"), "Part { bytes: [7] }");
    }
}
