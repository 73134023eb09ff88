//! Upload of binary data and files (`bcx`): a token over MQTT, the bytes over HTTP.
//!
//! This crate does no HTTP; it describes the request for a client of your choice, and reads its
//! status. The token is good for an hour unless the operator says otherwise, and the answer does
//! not tell (FACTS trap 31): keep it, and when an upload ends as [`UploadStatus::RenewToken`], get
//! a new one and try once more.
//!
//! ```
//! use kaa_proto::upload::{UploadStatus, UploadToken};
//!
//! # fn example(token: UploadToken) -> Result<(), kaa_proto::request::InvalidRequest> {
//! let photo = token.binary_data(Some("front door.jpg"));
//! assert_eq!(photo.method(), "POST");
//! assert_eq!(photo.path(), "/bcx/api/v1/binary-data?name=front%20door.jpg");
//! for (name, value) in photo.headers() {
//!     // Give them to your HTTP client, send the bytes as the body …
//! #   let _ = (name, value);
//! }
//! // … and read what it answers.
//! assert_eq!(UploadStatus::of(201), UploadStatus::Created);
//! # Ok(())
//! # }
//! ```

use std::fmt::{self, Write as _};
use std::time::Duration;

use serde::Deserialize;

use crate::request::{DecodeError, InvalidRequest, Reply, Request, RequestWriter, Service};

/// Asks for an upload token: `token`.
///
/// The platform also answers without request ID, on `token/status`. Then there is nothing to match
/// the answer by, so this request always has one; a [`raw::Call`](crate::raw::Call) can go
/// without, and [`UploadToken::from_payload`] reads what comes.
#[derive(Clone, Copy, Debug, Default)]
pub struct GetToken;

impl Request for GetToken {
    type Response = UploadToken;

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        out.needs_answer();
        out.start(Service::Uploads, "token")
    }

    fn decode(reply: &Reply) -> Result<UploadToken, DecodeError> {
        UploadToken::from_payload(reply.payload())
    }
}

/// What entitles to uploads for one endpoint. A secret: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct UploadToken(String);

impl UploadToken {
    /// How long a token is good where the operator did not say otherwise: 3,600 s.
    pub const DEFAULT_VALIDITY: Duration = Duration::from_secs(3_600);

    /// Reads the answer to a token request, `{"token":"…"}`.
    ///
    /// # Errors
    /// [`DecodeError`] if it is something else, or the token cannot stand in an HTTP header.
    pub fn from_payload(payload: &[u8]) -> Result<Self, DecodeError> {
        #[derive(Deserialize)]
        struct Answer {
            token: String,
        }
        let Answer { token } =
            serde_json::from_slice(payload).map_err(|error| DecodeError::json(WHAT, &error))?;
        match !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Self(token)),
            false => Err(DecodeError::new(WHAT)),
        }
    }

    /// The token itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The request that stores the body as binary data, with or without a name. It creates a new
    /// entry each time; the platform answers [`UploadStatus::Created`].
    #[must_use]
    pub fn binary_data(&self, name: Option<&str>) -> UploadRequest {
        let mut path = String::from("/bcx/api/v1/binary-data");
        if let Some(name) = name {
            path.push_str("?name=");
            percent_encode(name, &mut path);
        }
        UploadRequest {
            path,
            token: self.clone(),
        }
    }

    /// The request that stores the body as a file, over one of the same name; the platform answers
    /// [`UploadStatus::Stored`].
    ///
    /// # Errors
    /// [`InvalidRequest::Content`] if the name is empty, `.` or `..`, which a path cannot hold.
    pub fn file(&self, name: &str) -> Result<UploadRequest, InvalidRequest> {
        if matches!(name, "" | "." | "..") {
            return Err(InvalidRequest::Content(
                "a file's name is not empty, \".\" or \"..\"",
            ));
        }
        let mut path = String::from("/bcx/api/v1/files/");
        percent_encode(name, &mut path);
        Ok(UploadRequest {
            path,
            token: self.clone(),
        })
    }
}

impl fmt::Debug for UploadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UploadToken(…)")
    }
}

/// The HTTP request of an upload; the body is the bytes as they are. `Debug` hides the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRequest {
    path: String,
    token: UploadToken,
}

impl UploadRequest {
    /// `POST`.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        "POST"
    }

    /// Path and query, percent-encoded. It follows the platform's address, such as
    /// `https://cloud.kaaiot.com`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Names and values of the headers that it needs. The values hold the token.
    #[must_use]
    pub fn headers(&self) -> [(&'static str, &str); 2] {
        [
            ("X-Auth-Token", self.token.expose()),
            ("Content-Type", "application/octet-stream"),
        ]
    }

    /// The request with the platform's address before its path. The token's header is marked as
    /// sensitive.
    ///
    /// # Errors
    /// [`http::Error`] if `base`, such as `https://cloud.kaaiot.com`, does not make a valid URI.
    #[cfg(feature = "http")]
    pub fn into_http<B>(self, base: &str, body: B) -> Result<http::Request<B>, http::Error> {
        let uri = format!("{}{}", base.trim_end_matches('/'), self.path);
        let mut request = http::Request::builder().method(self.method()).uri(uri);
        for (name, value) in self.headers() {
            let mut value = http::HeaderValue::from_str(value)?;
            value.set_sensitive(name == "X-Auth-Token");
            request = request.header(name, value);
        }
        request.body(body)
    }
}

/// What the HTTP status of an upload means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadStatus {
    /// 201: the binary data is stored; the header `Location` says where.
    Created,
    /// 204: the file is stored, in place of an older one if there was one.
    Stored,
    /// 403: the token is missing, expired or not valid. Get a new one and try once more.
    RenewToken,
    /// 400: the request is not valid; it will not be later.
    Invalid,
    /// Any other.
    Other(u16),
}

impl UploadStatus {
    /// The meaning of a status.
    #[must_use]
    pub const fn of(status: u16) -> Self {
        match status {
            201 => Self::Created,
            204 => Self::Stored,
            400 => Self::Invalid,
            403 => Self::RenewToken,
            other => Self::Other(other),
        }
    }

    /// Whether the bytes are stored.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Created | Self::Stored | Self::Other(200..=299))
    }
}

const WHAT: &str = "upload token";

/// Leaves only what RFC 3986 calls unreserved.
fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        // Writing to a `String` cannot fail.
        let _ = match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.write_char(char::from(byte))
            }
            _ => write!(out, "%{byte:02X}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Confirm, Prepared, RequestExt};

    fn token() -> UploadToken {
        UploadToken::from_payload(br#"{"token":"2222"}"#).unwrap()
    }

    #[test]
    fn the_request_is_what_the_page_shows() {
        let request = Prepared::new(&GetToken).unwrap();
        assert_eq!(request.service(), &Service::Uploads);
        assert_eq!(request.resource(), "token");
        assert_eq!(request.payload(), b"");
        assert!(request.with_id);
        assert!(Prepared::new(&GetToken.confirm(Confirm::Nothing)).is_err());
    }

    #[test]
    fn a_token_is_read_and_what_is_none_is_refused() {
        assert_eq!(token().expose(), "2222");
        let extended = br#"{"token":"a.b-c_d","expires":7}"#;
        assert_eq!(
            UploadToken::from_payload(extended).unwrap().expose(),
            "a.b-c_d"
        );
        let bad: [&[u8]; 5] = [
            b"",
            b"{}",
            br#"{"token":""}"#,
            br#"{"token":"a\r\nHost: b"}"#,
            br#"{"token":null}"#,
        ];
        for payload in bad {
            let error = UploadToken::from_payload(payload).unwrap_err().to_string();
            assert!(
                error.starts_with("what came is not a valid upload token"),
                "{error}"
            );
        }
    }

    #[test]
    fn paths_are_percent_encoded() {
        assert_eq!(token().binary_data(None).path(), "/bcx/api/v1/binary-data");
        assert_eq!(
            token().binary_data(Some("a b/ü&c=~1.jpg")).path(),
            "/bcx/api/v1/binary-data?name=a%20b%2F%C3%BC%26c%3D~1.jpg"
        );
        assert_eq!(
            token().file("../log.txt").unwrap().path(),
            "/bcx/api/v1/files/..%2Flog.txt"
        );
        for name in ["", ".", ".."] {
            assert!(token().file(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn the_token_is_in_its_header_and_nowhere_else() {
        let request = token().binary_data(None);
        assert_eq!(
            request.headers(),
            [
                ("X-Auth-Token", "2222"),
                ("Content-Type", "application/octet-stream")
            ]
        );
        assert!(!format!("{request:?}{:?}", token()).contains("2222"));
    }

    /// FACTS trap 31.
    #[test]
    fn trap_31_each_status_has_its_meaning() {
        assert_eq!(UploadStatus::of(201), UploadStatus::Created);
        assert_eq!(UploadStatus::of(204), UploadStatus::Stored);
        assert_eq!(UploadStatus::of(400), UploadStatus::Invalid);
        assert_eq!(UploadStatus::of(403), UploadStatus::RenewToken);
        assert_eq!(UploadStatus::of(503), UploadStatus::Other(503));
        assert!(UploadStatus::of(204).is_success());
        assert!(!UploadStatus::of(403).is_success());
        assert_eq!(UploadToken::DEFAULT_VALIDITY.as_secs(), 3_600);
    }

    #[cfg(feature = "http")]
    #[test]
    fn the_http_request_hides_its_token() {
        let request = token()
            .binary_data(Some("a"))
            .into_http("https://cloud.kaaiot.com/", b"bytes")
            .unwrap();
        assert_eq!(request.method(), "POST");
        assert_eq!(
            request.uri(),
            "https://cloud.kaaiot.com/bcx/api/v1/binary-data?name=a"
        );
        assert_eq!(request.headers()["x-auth-token"], "2222");
        assert!(!format!("{request:?}").contains("2222"));
        assert!(
            token()
                .binary_data(None)
                .into_http("not a base", ())
                .is_err()
        );
    }
}
