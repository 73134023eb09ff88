//! The HTTP listener where binary data and files are uploaded (FACTS section 6).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kaa_proto::platform::{UploadRequest, UploadResponse};
use mio::Registry;
use mio::event::Event;

use super::channel::{Channel as _, Input};
use super::door::Door;
use super::host::Host;
use super::http::{Reader, Step, response};
use super::socket::Socket;
use super::tokens;

/// How many uploads there can be at a time; further ones are refused.
const MAX_UPLOADS: usize = 256;
/// How long a client may be silent before its request is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a connection stays after its response, to be closed by the client: a reset could
/// destroy the response.
const FAREWELL: Duration = Duration::from_secs(2);
/// How much is read from a connection before the others get their turn.
const CHUNK: usize = 16 * 1_024;

/// The listener and its connections.
pub(super) struct Uploads {
    door: Door,
    /// The largest body in bytes.
    max_body: usize,
    /// Connections by number.
    open: BTreeMap<u64, Upload>,
    /// Those from which reading may give something.
    readable: BTreeSet<u64>,
    /// The last number given.
    last: u64,
    buffer: Vec<u8>,
}

struct Upload {
    socket: Socket,
    reader: Reader,
    /// When the connection is given up.
    deadline: Instant,
    /// Whether the response is in the buffer: what still comes is thrown away.
    is_answered: bool,
    /// Whether the response was written whole.
    is_finished: bool,
}

impl Uploads {
    /// Listens.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub(super) fn bind(addr: SocketAddr, registry: &Registry, max_body: usize) -> io::Result<Self> {
        Ok(Self {
            door: Door::bind(addr, registry, tokens::HTTP_LISTENER)?,
            max_body,
            open: BTreeMap::new(),
            readable: BTreeSet::new(),
            last: 0,
            buffer: vec![0; CHUNK],
        })
    }

    pub(super) const fn addr(&self) -> SocketAddr {
        self.door.addr()
    }

    /// Something became ready.
    pub(super) fn handle_event(&mut self, now: Instant, event: &Event) {
        if event.token() == tokens::HTTP_LISTENER {
            self.door.handle_event(now);
            return;
        }
        let Some(id) = tokens::upload(event.token()) else {
            return;
        };
        if let Some(upload) = self.open.get_mut(&id) {
            upload.socket.handle_event(event);
            self.readable.insert(id);
        }
    }

    /// Accepts, reads a bounded amount, and answers. Says what goes wrong with the listener.
    pub(super) fn turn(
        &mut self,
        now: Instant,
        host: &mut Host,
        registry: &Registry,
    ) -> Option<String> {
        let trouble = self.accept(now, registry).err();
        for id in self.readable.clone() {
            let Some(upload) = self.open.get_mut(&id) else {
                self.readable.remove(&id);
                continue;
            };
            match upload.socket.read(&mut self.buffer) {
                Input::Bytes(n) => {
                    let input = self.buffer.get(..n).unwrap_or_default();
                    upload.handle_input(now, host, self.door.addr(), input);
                }
                Input::Later => _ = self.readable.remove(&id),
                Input::End => _ = self.open.remove(&id),
            }
        }
        self.open.retain(|_, upload| upload.is_kept(now));
        trouble
    }

    /// Whether there is something to read at once.
    pub(super) fn is_busy(&self) -> bool {
        !self.readable.is_empty()
    }

    /// When there is something to do even if nothing becomes ready.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let open = self.open.values().map(|upload| upload.deadline);
        open.chain(self.door.poll_timeout()).min()
    }

    /// Takes in everybody who is at the door.
    fn accept(&mut self, now: Instant, registry: &Registry) -> Result<(), String> {
        while let Some(stream) = self.door.accept(now)? {
            if self.open.len() >= MAX_UPLOADS {
                return Err(format!(
                    "an upload was refused: there are {MAX_UPLOADS} already"
                ));
            }
            self.last += 1;
            let socket = Socket::register(stream, registry, tokens::of_upload(self.last))
                .map_err(|error| format!("an upload was lost: {error}"))?;
            let upload = Upload {
                socket,
                reader: Reader::new(self.max_body),
                deadline: now + SILENCE,
                is_answered: false,
                is_finished: false,
            };
            self.open.insert(self.last, upload);
            self.readable.insert(self.last);
        }
        Ok(())
    }
}

impl Upload {
    fn handle_input(&mut self, now: Instant, host: &mut Host, addr: SocketAddr, input: &[u8]) {
        if self.is_answered {
            return;
        }
        self.deadline = now + SILENCE;
        match self.reader.handle_input(input) {
            Step::More => {}
            Step::Continue => self.say(b"HTTP/1.1 100 Continue\r\n\r\n"),
            Step::Refused(status) => self.answer(now, status, None),
            Step::Complete(request) => {
                let own = addr.to_string();
                let origin = format!("http://{}", request.host.as_deref().unwrap_or(&own));
                let upload = UploadRequest {
                    method: &request.method,
                    target: &request.target,
                    token: request.token.as_deref(),
                    content_type: request.content_type.as_deref(),
                    origin: &origin,
                    size: request.size,
                };
                let UploadResponse { status, location } =
                    host.operate(now, |platform| platform.upload(now, upload));
                self.answer(now, status, location.as_deref());
            }
        }
    }

    fn answer(&mut self, now: Instant, status: u16, location: Option<&str>) {
        self.is_answered = true;
        self.deadline = now + FAREWELL;
        self.say(&response(status, location));
    }

    fn say(&mut self, bytes: &[u8]) {
        self.socket.buffer().extend_from_slice(bytes);
    }

    /// Writes, and tells whether the connection goes on.
    fn is_kept(&mut self, now: Instant) -> bool {
        if self.deadline <= now {
            if self.is_answered {
                return false;
            }
            self.answer(now, 408, None);
        }
        if self.socket.write().is_err() {
            return false;
        }
        if self.is_answered && self.socket.is_flushed() && !self.is_finished {
            self.is_finished = true;
            self.socket.shut();
        }
        true
    }
}
