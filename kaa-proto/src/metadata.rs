//! Metadata attributes of the endpoint (10/EPMP, `epmx`).
//!
//! [`ReplaceAll`] deletes every attribute that it does not mention; [`Merge`] leaves them alone.
//!
//! ```
//! use kaa_proto::metadata::{Get, Merge};
//! use kaa_proto::names::MetadataKey;
//! use kaa_proto::request::Prepared;
//! use serde_json::json;
//!
//! let merge = Prepared::new(&Merge::new(json!({"deviceModel": "new model"})))?;
//! assert_eq!(merge.resource(), "update/keys");
//!
//! let get = Prepared::new(&Get::only([MetadataKey::new("name")?]))?;
//! assert_eq!(get.payload(), br#"{"keys":["name"]}"#);
//! # Ok::<(), kaa_proto::request::InvalidRequest>(())
//! ```

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::names::{MetadataKey, NameError};
use crate::request::{DecodeError, InvalidRequest, Reply, Request, RequestWriter, Service};

/// Asks for the names of all attributes: `get/keys`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keys;

impl Request for Keys {
    type Response = Vec<String>;

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        out.needs_answer();
        out.start(Service::Metadata, "get/keys")
    }

    fn decode(reply: &Reply) -> Result<Vec<String>, DecodeError> {
        reply.json("list of metadata keys")
    }
}

/// Asks for attributes: `get`.
///
/// The response is a JSON object, or with [`Get::typed`] a type of yours:
///
/// ```
/// use kaa_proto::metadata::Get;
///
/// #[derive(serde::Deserialize)]
/// struct Labels {
///     name: Option<String>,
/// }
///
/// let get: Get<Labels> = Get::all().typed();
/// # let _ = get;
/// ```
pub struct Get<T = Map<String, Value>> {
    /// None asks for all.
    keys: Option<UniqueKeys>,
    response: PhantomData<fn() -> T>,
}

impl Get {
    /// Asks for all that the endpoint may read.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            keys: None,
            response: PhantomData,
        }
    }

    /// Asks for these: at least one. A key that may not be read is a rejection (10/EPMP).
    pub fn only(keys: impl IntoIterator<Item = MetadataKey>) -> Self {
        Self {
            keys: Some(keys.into_iter().collect()),
            response: PhantomData,
        }
    }

    /// Reads the response as a `U`.
    #[must_use]
    pub fn typed<U: DeserializeOwned>(self) -> Get<U> {
        Get {
            keys: self.keys,
            response: PhantomData,
        }
    }
}

impl<T> Clone for Get<T> {
    fn clone(&self) -> Self {
        Self {
            keys: self.keys.clone(),
            response: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Get<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Get").field("keys", &self.keys).finish()
    }
}

impl<T: DeserializeOwned + Send + 'static> Request for Get<T> {
    type Response = T;

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        #[derive(Serialize)]
        struct Only<'a> {
            keys: &'a UniqueKeys,
        }
        out.start(Service::Metadata, "get")?;
        out.needs_answer();
        match &self.keys {
            None => Ok(()),
            Some(keys) => out.json(&Only {
                keys: keys.checked()?,
            }),
        }
    }

    fn decode(reply: &Reply) -> Result<T, DecodeError> {
        reply.json("metadata object")
    }
}

/// Replaces all attributes: `update`. **Deletes every attribute that it does not mention**, except
/// those that the endpoint may not write (FACTS trap 23).
///
/// Takes a map or a struct that serde writes as a JSON object with at least one key.
#[derive(Clone, Debug)]
pub struct ReplaceAll<T>(T);

impl<T: Serialize> ReplaceAll<T> {
    /// What remains afterwards.
    #[must_use]
    pub const fn new(attributes: T) -> Self {
        Self(attributes)
    }
}

impl<T: Serialize> Request for ReplaceAll<T> {
    type Response = ();

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        write(out, "update", &self.0)
    }

    fn decode(_: &Reply) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// Sets some attributes and leaves the others: `update/keys`. A value that is an object is
/// replaced as a whole (10/EPMP).
///
/// Takes a map or a struct that serde writes as a JSON object with at least one key.
#[derive(Clone, Debug)]
pub struct Merge<T>(T);

impl<T: Serialize> Merge<T> {
    /// What is set.
    #[must_use]
    pub const fn new(attributes: T) -> Self {
        Self(attributes)
    }
}

impl<T: Serialize> Request for Merge<T> {
    type Response = ();

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        write(out, "update/keys", &self.0)
    }

    fn decode(_: &Reply) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// Deletes attributes: `delete/keys`.
#[derive(Clone, Debug)]
pub struct Delete {
    keys: UniqueKeys,
}

impl Delete {
    /// Deletes these: at least one.
    pub fn new(keys: impl IntoIterator<Item = MetadataKey>) -> Self {
        Self {
            keys: keys.into_iter().collect(),
        }
    }
}

impl Request for Delete {
    type Response = ();

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        out.start(Service::Metadata, "delete/keys")?;
        out.serial();
        out.drops_answer();
        out.json(self.keys.checked()?)
    }

    fn decode(_: &Reply) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// Keys in the order given, each once (10/EPMP: `uniqueItems`).
#[derive(Clone, Debug)]
struct UniqueKeys(Vec<MetadataKey>);

impl UniqueKeys {
    fn checked(&self) -> Result<&Self, InvalidRequest> {
        match self.0.is_empty() {
            true => Err(InvalidRequest::Content(
                "at least one metadata key is named",
            )),
            false => Ok(self),
        }
    }
}

impl FromIterator<MetadataKey> for UniqueKeys {
    fn from_iter<I: IntoIterator<Item = MetadataKey>>(keys: I) -> Self {
        let mut unique = Vec::new();
        for key in keys {
            if !unique.contains(&key) {
                unique.push(key);
            }
        }
        Self(unique)
    }
}

impl Serialize for UniqueKeys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(MetadataKey::as_str))
    }
}

fn write(
    out: &mut RequestWriter,
    resource: &str,
    attributes: &impl Serialize,
) -> Result<(), InvalidRequest> {
    out.start(Service::Metadata, resource)?;
    out.serial();
    out.drops_answer();
    out.json(attributes)?;
    match serde_json::Deserializer::from_slice(out.payload()).deserialize_any(ObjectKeys) {
        Ok(Ok(0)) => Err(InvalidRequest::Content(
            "metadata is written with at least one key",
        )),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(InvalidRequest::Content("metadata is a JSON object")),
    }
}

/// Counts the keys of an object, if all are valid; the values are skipped.
struct ObjectKeys;

impl<'de> Visitor<'de> for ObjectKeys {
    type Value = Result<usize, NameError>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut keys = Ok(0);
        while let Some((key, _)) = object.next_entry::<String, IgnoredAny>()? {
            keys = keys.and_then(|count| MetadataKey::new(key).map(|_| count + 1));
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::request::{Confirm, Prepared, RequestExt};

    fn sent(request: &impl Request) -> (String, String) {
        let request = Prepared::new(request).unwrap();
        assert_eq!(request.service(), &Service::Metadata);
        let payload = String::from_utf8(request.payload().to_vec()).unwrap();
        (request.resource().into(), payload)
    }

    fn golden(resource: &str, payload: &str) -> (String, String) {
        (resource.into(), payload.into())
    }

    fn key(name: &str) -> MetadataKey {
        MetadataKey::new(name).unwrap()
    }

    fn reply(payload: &'static str) -> Reply {
        Reply::new(Confirm::Answered, "get".into(), Bytes::from(payload))
    }

    #[test]
    fn requests_are_what_the_page_shows() {
        assert_eq!(sent(&Keys), golden("get/keys", ""));
        assert_eq!(sent(&Get::all()), golden("get", ""));
        assert_eq!(
            sent(&Get::only([key("name"), key("location")])),
            golden("get", r#"{"keys":["name","location"]}"#)
        );
        assert_eq!(
            sent(&Merge::new(json!({"deviceModel": "new model"}))),
            golden("update/keys", r#"{"deviceModel":"new model"}"#)
        );
        assert_eq!(
            sent(&Delete::new([key("location"), key("areaId")])),
            golden("delete/keys", r#"["location","areaId"]"#)
        );
    }

    /// FACTS trap 23: `update` deletes, so its request is called `ReplaceAll`.
    #[test]
    fn trap_23_only_replace_all_writes_to_update() {
        #[derive(Serialize)]
        struct Attributes {
            #[serde(rename = "deviceModel")]
            device_model: &'static str,
            name: &'static str,
        }
        let attributes = Attributes {
            device_model: "example model",
            name: "Sensor 1",
        };
        let payload = r#"{"deviceModel":"example model","name":"Sensor 1"}"#;
        assert_eq!(
            sent(&ReplaceAll::new(&attributes)),
            golden("update", payload)
        );
        assert_eq!(
            sent(&Merge::new(&attributes)),
            golden("update/keys", payload)
        );
    }

    #[test]
    fn only_objects_with_valid_keys_are_written() {
        let refused = |value: Value| Prepared::new(&Merge::new(value)).unwrap_err().to_string();
        assert_eq!(
            refused(json!({})),
            "metadata is written with at least one key"
        );
        for value in [json!([1]), json!("a"), json!(null), json!([["a", 1]])] {
            assert_eq!(refused(value), "metadata is a JSON object");
        }
        assert_eq!(
            refused(json!({"a": {"b-c": 1}, "b-c": 2, "z": 3})),
            "metadata key holds the character '-'"
        );
        assert_eq!(refused(json!({"": 1})), "metadata key is empty");
        let nested = json!({"a_1": {"b-c": [null]}, "B": null});
        assert!(Prepared::new(&ReplaceAll::new(nested)).is_ok());
        let unwritable = BTreeMap::from([((1, 2), 3)]);
        let error = Prepared::new(&Merge::new(unwritable)).unwrap_err();
        assert!(matches!(error, InvalidRequest::Json(_)), "{error}");
    }

    #[test]
    fn keys_are_unique_and_at_least_one() {
        let twice = || [key("b"), key("a"), key("b")];
        assert_eq!(sent(&Delete::new(twice())).1, r#"["b","a"]"#);
        assert_eq!(sent(&Get::only(twice())).1, r#"{"keys":["b","a"]}"#);
        assert!(Prepared::new(&Delete::new([])).is_err());
        assert!(Prepared::new(&Get::only([])).is_err());
    }

    #[test]
    fn answers_are_read_into_values_or_types() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Labels {
            name: String,
        }
        let page = r#"{"name":"Device name","deviceModel":"new model"}"#;
        let map = <Get as Request>::decode(&reply(page)).unwrap();
        assert_eq!(map.get("deviceModel"), Some(&json!("new model")));
        let labels = Get::<Labels>::decode(&reply(page)).unwrap();
        assert_eq!(labels.name, "Device name");
        let keys = Keys::decode(&reply(r#"["name","location","deviceModel"]"#)).unwrap();
        assert_eq!(keys, ["name", "location", "deviceModel"]);
        assert_eq!(
            Keys::decode(&reply("{}")).unwrap_err().to_string(),
            "what came is not a valid list of metadata keys: wrong type or missing field at line 1 column 0"
        );
    }

    /// FACTS trap 19.
    #[test]
    fn trap_19_any_answer_to_a_write_is_success() {
        for payload in ["", "{}", "not JSON", "[1]"] {
            assert_eq!(Merge::<Value>::decode(&reply(payload)), Ok(()));
            assert_eq!(ReplaceAll::<Value>::decode(&reply(payload)), Ok(()));
            assert_eq!(Delete::decode(&reply(payload)), Ok(()));
        }
    }

    #[test]
    fn writes_go_one_at_a_time_and_reads_do_not() {
        assert!(Prepared::new(&Merge::new(json!({"a": 1}))).unwrap().serial);
        assert!(
            Prepared::new(&ReplaceAll::new(json!({"a": 1})))
                .unwrap()
                .serial
        );
        assert!(Prepared::new(&Delete::new([key("a")])).unwrap().serial);
        assert!(!Prepared::new(&Get::all()).unwrap().serial);
    }

    #[test]
    fn writes_go_without_request_id_too_but_reads_need_their_answer() {
        let merge = Merge::new(json!({"a": 1}));
        assert!(Prepared::new(&merge).unwrap().with_id);
        let merge = Prepared::new(&merge.confirm(Confirm::Nothing)).unwrap();
        assert!(!merge.with_id);
        for confirm in [Confirm::Nothing, Confirm::Acknowledged] {
            assert!(Prepared::new(&Keys.confirm(confirm)).is_err());
            assert!(Prepared::new(&Get::all().confirm(confirm)).is_err());
        }
    }

    #[test]
    fn a_request_can_be_made_again_and_shows_what_it_asks_for() {
        let get = Get::only([key("location")]);
        assert_eq!(sent(&get.clone()), sent(&get));
        assert!(format!("{get:?}").contains("location"));
    }
}
