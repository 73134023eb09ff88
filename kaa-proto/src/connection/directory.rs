//! Which endpoint a topic is for.

use rustc_hash::FxHashMap;
use std::borrow::Borrow;

use super::slab::EndpointKey;
use crate::names::{AppVersion, EndpointName, EndpointToken};

/// Keys by application version and token, found without a copy of either.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    versions: FxHashMap<Version, FxHashMap<Token, EndpointKey>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Version(AppVersion);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Token(EndpointToken);

// Names are equal and hashed as their texts are, which `Borrow` demands.
impl Borrow<str> for Version {
    fn borrow(&self) -> &str {
        self.0.as_str()
    }
}

impl Borrow<str> for Token {
    fn borrow(&self) -> &str {
        self.0.as_str()
    }
}

impl Directory {
    pub(crate) fn find(&self, app_version: &str, token: &str) -> Option<EndpointKey> {
        self.versions.get(app_version)?.get(token).copied()
    }

    pub(crate) fn insert(&mut self, name: &EndpointName, key: EndpointKey) {
        let version = Version(name.app_version().clone());
        let tokens = self.versions.entry(version).or_default();
        tokens.insert(Token(name.token().clone()), key);
    }

    pub(crate) fn remove(&mut self, name: &EndpointName) {
        let version = name.app_version().as_str();
        if let Some(tokens) = self.versions.get_mut(version) {
            tokens.remove(name.token().as_str());
            if tokens.is_empty() {
                self.versions.remove(version);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::slab::Slab;

    #[test]
    fn the_same_token_in_two_versions_is_two_endpoints() {
        let mut slab = Slab::default();
        let mut directory = Directory::default();
        let names = [("v1", "t"), ("v2", "t"), ("v1", "u")];
        let names = names.map(|(version, token)| EndpointName::parse(version, token).unwrap());
        let keys = names.each_ref().map(|name| {
            let key = slab.insert(()).unwrap();
            directory.insert(name, key);
            key
        });
        assert_eq!(directory.find("v1", "t"), Some(keys[0]));
        assert_eq!(directory.find("v2", "t"), Some(keys[1]));
        assert_eq!(directory.find("v2", "u"), None);
        directory.remove(&names[0]);
        directory.remove(&names[2]);
        assert_eq!(directory.find("v1", "t"), None);
        assert_eq!(directory.find("v2", "t"), Some(keys[1]));
        assert_eq!(directory.versions.len(), 1);
    }
}
