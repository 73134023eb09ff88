//! One HTTP/1.1 request, read from bytes as far as an upload needs it.
//!
//! Bodies are counted, not kept. Not here: sockets (`uploads`), tokens and names (the platform).

use std::fmt::Write as _;

/// The largest request line and headers together.
const MAX_HEAD: usize = 16 * 1_024;
/// How many headers there can be.
const MAX_HEADERS: usize = 64;

/// A request with its whole body. It holds a token: no `Debug`.
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    /// The header `X-Auth-Token`.
    pub(super) token: Option<String>,
    /// The header `Content-Type`.
    pub(super) content_type: Option<String>,
    /// The header `Host`.
    pub(super) host: Option<String>,
    /// The bytes of the body.
    pub(super) size: usize,
}

/// What the latest bytes made of the request.
pub(super) enum Step {
    /// It goes on.
    More,
    /// It goes on, and the client waits for `100 Continue`.
    Continue,
    /// It is complete. Nothing more is read.
    Complete(Request),
    /// It is answered by this status. Nothing more is read.
    Refused(u16),
}

/// A request in the making.
pub(super) struct Reader {
    stage: Stage,
    /// The largest body in bytes.
    max_body: usize,
}

enum Stage {
    /// Headers are coming. Exits: `Body`; `Over` when refused.
    Head(Vec<u8>),
    /// That much of the body is still to come. Exits: `Over` at its end.
    Body(Request, usize),
    /// The request was complete or refused. No exits.
    Over,
}

impl Reader {
    pub(super) const fn new(max_body: usize) -> Self {
        let stage = Stage::Head(Vec::new());
        Self { stage, max_body }
    }

    /// Bytes arrived.
    pub(super) fn handle_input(&mut self, input: &[u8]) -> Step {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Head(mut head) => {
                head.extend_from_slice(input);
                self.read_head(head)
            }
            Stage::Body(request, left) => self.count(request, left, input.len(), Step::More),
            Stage::Over => Step::More,
        }
    }

    fn read_head(&mut self, head: Vec<u8>) -> Step {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        let len = match parsed.parse(&head) {
            Ok(httparse::Status::Complete(len)) if len <= MAX_HEAD => len,
            Ok(httparse::Status::Partial) if head.len() <= MAX_HEAD => {
                self.stage = Stage::Head(head);
                return Step::More;
            }
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Step::Refused(431),
            Err(_) => return Step::Refused(400),
        };
        let (request, size) = match understood(&parsed) {
            Ok(understood) => understood,
            Err(status) => return Step::Refused(status),
        };
        if size > self.max_body {
            return Step::Refused(413);
        }
        let early = head.len() - len;
        let waits = early == 0 && expects_continue(&parsed);
        let step = if waits { Step::Continue } else { Step::More };
        self.count(request, size, early, step)
    }

    /// Takes `n` bytes of the `left` that are still to come; what follows them is ignored.
    fn count(&mut self, request: Request, left: usize, n: usize, step: Step) -> Step {
        match left.saturating_sub(n) {
            0 => Step::Complete(request),
            left => {
                self.stage = Stage::Body(request, left);
                step
            }
        }
    }
}

/// A response without a body, after which the connection is closed.
pub(super) fn response(status: u16, location: Option<&str>) -> Vec<u8> {
    let reason = match status {
        201 => "Created",
        204 => "No Content",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "",
    };
    let mut text = format!("HTTP/1.1 {status} {reason}\r\nConnection: close\r\n");
    // A 204 has no Content-Length (RFC 9110 section 8.6).
    if status != 204 {
        text.push_str("Content-Length: 0\r\n");
    }
    if let Some(location) = location {
        // Writing to a string cannot fail.
        let _ = write!(text, "Location: {location}\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// The request of a head and the length of its body.
fn understood(parsed: &httparse::Request<'_, '_>) -> Result<(Request, usize), u16> {
    let one = |name: &str| -> Result<Option<String>, u16> {
        let mut same = parsed
            .headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case(name));
        let first = same.next();
        if same.next().is_some() {
            return Err(400);
        }
        let Some(header) = first else {
            return Ok(None);
        };
        let text = std::str::from_utf8(header.value).map_err(|_| 400_u16)?;
        Ok(Some(text.trim().into()))
    };
    if one("transfer-encoding")?.is_some() {
        return Err(501);
    }
    let method = String::from(parsed.method.unwrap_or_default());
    let length = one("content-length")?;
    let size = match length {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().map_err(|_| 413_u16)?
        }
        Some(_) => return Err(400),
        None if method == "POST" => return Err(411),
        None => 0,
    };
    let request = Request {
        method,
        target: String::from(parsed.path.unwrap_or_default()),
        token: one("x-auth-token")?,
        content_type: one("content-type")?,
        host: one("host")?,
        size,
    };
    Ok((request, size))
}

fn expects_continue(parsed: &httparse::Request<'_, '_>) -> bool {
    parsed.headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("expect")
            && header.value.eq_ignore_ascii_case(b"100-continue")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: &[u8] = b"POST /bcx/api/v1/binary-data?name=a HTTP/1.1\r\nHost: h:8\r\n\
        X-Auth-Token: 2222\r\nContent-Type: application/octet-stream\r\nContent-Length: 5\r\n\r\n\
        hello";

    fn read(input: &[u8], piece: usize) -> Result<Request, u16> {
        let mut reader = Reader::new(100);
        for bytes in input.chunks(piece) {
            match reader.handle_input(bytes) {
                Step::More | Step::Continue => {}
                Step::Complete(request) => return Ok(request),
                Step::Refused(status) => return Err(status),
            }
        }
        Err(0)
    }

    #[test]
    fn a_request_is_the_same_in_any_pieces() {
        for piece in [1, 7, POST.len()] {
            let request = read(POST, piece).ok().unwrap();
            assert_eq!(request.method, "POST");
            assert_eq!(request.target, "/bcx/api/v1/binary-data?name=a");
            assert_eq!(request.token.as_deref(), Some("2222"));
            assert_eq!(request.host.as_deref(), Some("h:8"));
            let octets = Some("application/octet-stream");
            assert_eq!(request.content_type.as_deref(), octets);
            assert_eq!(request.size, 5);
        }
        assert_eq!(read(&POST[..POST.len() - 1], 9).err(), Some(0));
    }

    #[test]
    fn what_cannot_be_an_upload_is_refused_with_its_reason() {
        let long = format!("POST / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(MAX_HEAD));
        let many = format!(
            "POST / HTTP/1.1\r\n{}\r\n",
            "A: b\r\n".repeat(MAX_HEADERS + 1)
        );
        for (text, status) in [
            ("nonsense\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\n\r\n", 411),
            ("POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n", 413),
            ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", 400),
            (
                "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                400,
            ),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
            (&long, 431),
            (&many, 431),
        ] {
            assert_eq!(read(text.as_bytes(), 4_096).err(), Some(status), "{status}");
        }
    }

    #[test]
    fn a_client_that_waits_for_a_nod_gets_one() {
        let head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
        let mut reader = Reader::new(1);
        assert!(matches!(reader.handle_input(head), Step::Continue));
        assert!(matches!(reader.handle_input(b"a"), Step::Complete(_)));
        assert!(matches!(reader.handle_input(b"a"), Step::More));
    }

    #[test]
    fn responses_are_what_the_fact_sheet_says() {
        assert_eq!(
            response(201, Some("http://h/b")),
            b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\
              Location: http://h/b\r\n\r\n"
        );
        assert_eq!(
            response(204, None),
            b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
        );
    }
}
