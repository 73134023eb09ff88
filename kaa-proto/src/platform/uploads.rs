//! bcx: upload tokens over MQTT, and what the HTTP endpoint they are for does with an upload
//! (FACTS section 6). Contents are not kept, only their names and sizes.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;

use super::answer::{Answer, Call, Refusal, Reply};
use super::event::EventKind;
use super::options::Secret;
use crate::rng::Rng;

/// How many tokens are valid at a time; further ones are refused until some expire.
const MAX_TOKENS: usize = 65_536;
/// How many uploads are remembered; the oldest is forgotten.
const MAX_UPLOADS: usize = 4_096;

/// How long the name of an upload may be, as on most file systems.
const MAX_NAME: usize = 255;

/// An HTTP request, as far as an upload needs it. `Debug` does not show the token.
#[derive(Clone, Copy)]
pub struct UploadRequest<'a> {
    /// `POST`, or what it is instead.
    pub method: &'a str,
    /// Path and query, such as `/bcx/api/v1/binary-data?name=photo`.
    pub target: &'a str,
    /// The header `X-Auth-Token`.
    pub token: Option<&'a str>,
    /// The header `Content-Type`.
    pub content_type: Option<&'a str>,
    /// Scheme, host and port under which the client reached the server, for `Location`.
    pub origin: &'a str,
    /// How many bytes the body has.
    pub size: usize,
}

impl fmt::Debug for UploadRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadRequest")
            .field("method", &self.method)
            .field("target", &self.target)
            .field("has_token", &self.token.is_some())
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// The HTTP response; it has no body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadResponse {
    /// 201: binary data taken; 204: file taken; 400: invalid; 403: no valid token; 404: another
    /// path; 405: another method.
    pub status: u16,
    /// The header `Location`, with 201.
    pub location: Option<String>,
}

/// Something that was uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Upload {
    /// Its ID, if it is binary data; files are known by their names.
    pub blob_id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// How many bytes.
    pub size: usize,
}

/// Tokens and uploads of all endpoints.
#[derive(Clone, Default)]
pub(super) struct Uploads {
    /// By token: whose it is and when it expires.
    tokens: BTreeMap<String, (usize, Instant)>,
    /// When the first of them expired or expires, as far as was looked: not later than it does.
    first_expiry: Option<Instant>,
    /// Oldest first, with the endpoint's index.
    taken: VecDeque<(usize, Upload)>,
}

/// Where an upload goes.
enum Target {
    BinaryData(Option<String>),
    File(String),
}

impl Uploads {
    /// `token`: a new one, or the one that the fixture fixes; its hour begins again.
    pub(super) fn issue(
        &mut self,
        call: &mut Call<'_>,
        device: usize,
        fixed: Option<&Secret>,
        rng: &mut Rng,
    ) -> Answer {
        if call.levels() != ["token"] {
            return Err(Refusal::unknown_resource());
        }
        // Only if it helps: whoever asks on while it is full must not make it look at all of them.
        let is_full = self.tokens.len() >= MAX_TOKENS;
        if is_full && self.first_expiry.is_none_or(|at| at <= call.now) {
            self.tokens.retain(|_, (_, expires)| *expires > call.now);
            self.first_expiry = self.tokens.values().map(|(_, expires)| *expires).min();
        }
        let drawn = || format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64());
        let token = fixed.map_or_else(drawn, |fixed| fixed.expose().into());
        if self.tokens.len() >= MAX_TOKENS && !self.tokens.contains_key(&token) {
            return Err(Refusal::denied(503, "Too many upload tokens"));
        }
        let validity: Duration = call.switches.upload_token_validity;
        let payload = json!({"token": token}).to_string().into_bytes();
        let expires = call.now + validity;
        self.first_expiry = self.first_expiry.map(|first| first.min(expires));
        self.tokens.insert(token, (device, expires));
        call.note(EventKind::UploadToken {});
        Ok(Reply::Token(payload))
    }

    /// Whose token it is, if it is valid.
    pub(super) fn owner(&self, now: Instant, token: &str) -> Option<usize> {
        let &(device, expires) = self.tokens.get(token)?;
        (expires > now).then_some(device)
    }

    /// Takes an upload of an endpoint whose token was found good. `folder` is where its binary
    /// data stand: `{origin}/applications/{app}/endpoints/{id}/binary-data`.
    pub(super) fn take(
        &mut self,
        request: UploadRequest<'_>,
        device: usize,
        folder: &str,
        rng: &mut Rng,
    ) -> (UploadResponse, EventKind) {
        let target = match read_target(request) {
            Ok(target) => target,
            Err(status) => return refused(status),
        };
        let (upload, status, to) = match target {
            Target::BinaryData(name) => {
                let upload = Upload {
                    blob_id: Some(unique_id(rng)),
                    name,
                    size: request.size,
                };
                (upload, 201, "binary-data")
            }
            Target::File(name) => {
                let is_older = |(owner, upload): &(usize, Upload)| {
                    *owner == device
                        && upload.blob_id.is_none()
                        && upload.name.as_ref() == Some(&name)
                };
                self.taken.retain(|entry| !is_older(entry));
                let upload = Upload {
                    blob_id: None,
                    name: Some(name),
                    size: request.size,
                };
                (upload, 204, "file")
            }
        };
        let response = UploadResponse {
            status,
            location: upload.blob_id.as_ref().map(|id| format!("{folder}/{id}")),
        };
        let event = EventKind::Uploaded {
            to: to.into(),
            name: upload.name.clone(),
            size: upload.size,
        };
        if self.taken.len() == MAX_UPLOADS {
            self.taken.pop_front();
        }
        self.taken.push_back((device, upload));
        (response, event)
    }

    /// What an endpoint uploaded, oldest first.
    pub(super) fn of(&self, device: usize) -> Vec<Upload> {
        let own = self.taken.iter().filter(|(owner, _)| *owner == device);
        own.map(|(_, upload)| upload.clone()).collect()
    }
}

/// The answer to an upload that is not taken.
pub(super) fn refused(status: u16) -> (UploadResponse, EventKind) {
    let response = UploadResponse {
        status,
        location: None,
    };
    (response, EventKind::UploadRefused { status })
}

/// An ID in the form of a UUID of version 4.
pub(super) fn unique_id(rng: &mut Rng) -> String {
    let (a, b) = (rng.next_u64(), rng.next_u64());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        0x8000 | (b >> 48) & 0x3fff,
        b & 0xffff_ffff_ffff
    )
}

fn read_target(request: UploadRequest<'_>) -> Result<Target, u16> {
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((request.target, ""));
    let target = match path.strip_prefix("/bcx/api/v1/").ok_or(404_u16)? {
        "binary-data" => {
            let name = query.split('&').find_map(|pair| pair.strip_prefix("name="));
            let name = name.map(decoded).transpose()?;
            if name.as_ref().is_some_and(|name| name.len() > MAX_NAME) {
                return Err(400);
            }
            Target::BinaryData(name)
        }
        rest => {
            let name = decoded(rest.strip_prefix("files/").ok_or(404_u16)?)?;
            if name.is_empty()
                || name.len() > MAX_NAME
                || name.contains('/')
                || name == "."
                || name == ".."
            {
                return Err(400);
            }
            Target::File(name)
        }
    };
    if request.method != "POST" {
        return Err(405);
    }
    let content_type = request.content_type.unwrap_or_default();
    let media = content_type.split(';').next().unwrap_or_default();
    match media
        .trim()
        .eq_ignore_ascii_case("application/octet-stream")
    {
        true => Ok(target),
        false => Err(400),
    }
}

/// Percent-encoding taken off.
fn decoded(text: &str) -> Result<String, u16> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or(400_u16)?;
        rest = after;
        let digit = |b: &u8| char::from(*b).to_digit(16).ok_or(400_u16);
        let mut value = 0;
        for b in digits {
            value = value * 16 + digit(b)?;
        }
        bytes.push(u8::try_from(value).map_err(|_| 400_u16)?);
    }
    String::from_utf8(bytes).map_err(|_| 400)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    const FIXTURE: &str =
        r#"{"appVersions":{"demo-v1":{"endpoints":{"JTjdbENzHh":{"uploadToken":"2222"}}}}}"#;

    fn post<'a>(target: &'a str, token: Option<&'a str>) -> UploadRequest<'a> {
        UploadRequest {
            method: "POST",
            target,
            token,
            content_type: Some("application/octet-stream"),
            origin: "http://127.0.0.1:8080",
            size: 5,
        }
    }

    fn upload(bench: &mut Bench, request: UploadRequest<'_>) -> UploadResponse {
        let now = bench.now();
        bench.platform.upload(now, request)
    }

    #[test]
    fn a_token_is_given_as_the_page_shows_and_without_id_too() {
        let mut bench = Bench::with_fixture(FIXTURE, &[]);
        bench.publish("kp1/demo-v1/bcx/JTjdbENzHh/token/1", "");
        let token = r#"{"token":"2222"}"#;
        assert_eq!(
            bench.answer(),
            (
                "kp1/demo-v1/bcx/JTjdbENzHh/token/1/status".into(),
                token.into()
            )
        );
        bench.publish("kp1/demo-v1/bcx/JTjdbENzHh/token", "");
        assert_eq!(
            bench.answer(),
            (
                "kp1/demo-v1/bcx/JTjdbENzHh/token/status".into(),
                token.into()
            )
        );
        bench.publish("kp1/demo-v1/bcx/JTjdbENzHh/tokens/1", "");
        assert!(bench.answer().1.contains("404"));
        let mut bench = Bench::with(&[("without-id", "errors")]);
        bench.publish("kp1/v/bcx/t/token", "");
        assert!(bench.is_silent());
    }

    #[test]
    fn trap_31_a_token_is_good_for_an_hour_and_then_403() {
        let mut bench = Bench::with_fixture(FIXTURE, &[]);
        let request = post("/bcx/api/v1/binary-data?name=a%20b", Some("2222"));
        assert_eq!(upload(&mut bench, request).status, 403);
        bench.publish("kp1/demo-v1/bcx/JTjdbENzHh/token/1", "");
        bench.advance(3_599);
        let response = upload(&mut bench, request);
        assert_eq!(response.status, 201);
        let location = response.location.unwrap();
        assert!(location.starts_with("http://127.0.0.1:8080/applications/demo/endpoints/"));
        assert!(location.contains("/binary-data/"));
        assert!(bench.saw(r#"uploaded name="a b" size=5 to="binary-data""#));
        let now = bench.now();
        assert!(bench.platform.upload_token_is_valid(now, "2222"));
        bench.advance(1);
        let now = bench.now();
        assert!(!bench.platform.upload_token_is_valid(now, "2222"));
        assert_eq!(upload(&mut bench, request).status, 403);
        assert_eq!(
            upload(&mut bench, post("/bcx/api/v1/binary-data", None)).status,
            403
        );
    }

    #[test]
    fn a_file_is_overwritten_and_what_is_invalid_refused() {
        let mut bench = Bench::with_fixture(FIXTURE, &[]);
        bench.publish("kp1/demo-v1/bcx/JTjdbENzHh/token/1", "");
        let file = post("/bcx/api/v1/files/log.txt", Some("2222"));
        for size in [5, 7] {
            let response = upload(&mut bench, UploadRequest { size, ..file });
            assert_eq!((response.status, response.location), (204, None));
        }
        let uploads = bench.snapshot("demo-v1", "JTjdbENzHh").uploads;
        assert_eq!(uploads.iter().map(|u| u.size).collect::<Vec<_>>(), [7]);
        for (target, status) in [
            ("/bcx/api/v1/files/", 400),
            ("/bcx/api/v1/files/a%2Fb", 400),
            ("/bcx/api/v1/files/a%f", 400),
            ("/bcx/api/v1/files/%ff", 400),
            ("/bcx/api/v2/binary-data", 404),
            ("/bcx/api/v1/folders/a", 404),
        ] {
            assert_eq!(
                upload(&mut bench, post(target, Some("2222"))).status,
                status,
                "{target}"
            );
        }
        for target in ["files/", "binary-data?name="] {
            let target = format!("/bcx/api/v1/{target}{}", "x".repeat(256));
            assert_eq!(upload(&mut bench, post(&target, Some("2222"))).status, 400);
        }
        let get = UploadRequest {
            method: "GET",
            ..file
        };
        assert_eq!(upload(&mut bench, get).status, 405);
        let text = UploadRequest {
            content_type: Some("text/plain"),
            ..file
        };
        assert_eq!(upload(&mut bench, text).status, 400);
        assert!(bench.saw("upload-refused status=405"));
        assert!(!format!("{file:?}").contains("2222"));
    }

    #[test]
    fn a_file_replaces_only_one_of_its_name_and_its_endpoint() {
        let fixture = FIXTURE.replace(
            r#"{"uploadToken":"2222"}"#,
            r#"{"uploadToken":"2222"},"other":{"uploadToken":"3333"}"#,
        );
        let mut bench = Bench::with_fixture(&fixture, &[]);
        for token in ["JTjdbENzHh", "other"] {
            bench.publish(&format!("kp1/demo-v1/bcx/{token}/token/1"), "");
        }
        for (size, target, token) in [
            (1, "files/a", "2222"),
            (2, "files/b", "2222"),
            (3, "binary-data?name=a", "2222"),
            (4, "files/a", "3333"),
            (5, "files/a", "2222"),
        ] {
            let target = format!("/bcx/api/v1/{target}");
            let request = UploadRequest {
                size,
                ..post(&target, Some(token))
            };
            assert!(upload(&mut bench, request).status < 300);
        }
        let sizes = |token| {
            let uploads = bench.snapshot("demo-v1", token).uploads;
            uploads.iter().map(|upload| upload.size).collect::<Vec<_>>()
        };
        assert_eq!(sizes("JTjdbENzHh"), [2, 3, 5]);
        assert_eq!(sizes("other"), [4]);
    }
}
