//! Endpoints by a keyed hash, so that a store never holds a token.

use std::sync::Arc;

use blake2::Blake2sMac;
use blake2::digest::Mac;
use blake2::digest::consts::U16;

use super::{EndpointTag, Tagger};
use crate::names::EndpointName;

/// Tags under this key: BLAKE2s of 128 bits over the version and the token, each after its length.
///
/// Whoever has a store has its key, so a token is as safe as it is hard to guess; but the same
/// device has another tag in another store.
pub(super) fn tagger(key: [u8; 32]) -> Tagger {
    Arc::new(move |name| tag(&key, name))
}

fn tag(key: &[u8; 32], name: &EndpointName) -> EndpointTag {
    let mut mac = <Blake2sMac<U16> as Mac>::new(key.into());
    for part in [name.app_version().as_str(), name.token().as_str()] {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part.as_bytes());
    }
    EndpointTag(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: u8, app_version: &str, token: &str) -> EndpointTag {
        let name = EndpointName::parse(app_version, token).unwrap();
        tagger([key; 32])(&name)
    }

    #[test]
    fn a_tag_is_the_keyed_hash_of_the_name() {
        // Python: hashlib.blake2s(b"\x04\0\0\0\0\0\0\0demo\x05\0\0\0\0\0\0\0token",
        //     key=b"\x07" * 32, digest_size=16)
        let expected = [
            0x41, 0x37, 0x19, 0x92, 0x16, 0x09, 0xed, 0x71, 0xe1, 0x49, 0x55, 0xaf, 0x12, 0x7d,
            0xe8, 0xe5,
        ];
        assert_eq!(of(7, "demo", "token").0, expected);
    }

    #[test]
    fn another_key_version_or_token_gives_another_tag() {
        let tag = of(1, "demo", "token");
        assert_eq!(of(1, "demo", "token"), tag);
        assert_ne!(of(2, "demo", "token"), tag);
        assert_ne!(of(1, "demot", "oken"), tag);
    }
}
