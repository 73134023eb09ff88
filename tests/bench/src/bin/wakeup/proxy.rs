//! A way to the server that takes time.
//!
//! Bytes arrive 100 ms after they were written, either way. A client's connect to this machine takes no
//! time, so what it writes first is held for a round trip more: as if the handshake of TCP had taken
//! one. What it says once something came is not.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// One way.
pub(crate) const DELAY: Duration = Duration::from_millis(100);
/// Both ways.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(200);

/// How long a link may take to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// What went through one link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carried {
    /// When the client connected.
    pub(crate) begin: Instant,
    /// Bytes of the client.
    pub(crate) up: u64,
    /// Bytes of the server.
    pub(crate) down: u64,
    /// Directions that have ended.
    ended: u32,
}

impl Carried {
    pub(crate) const fn bytes(&self) -> u64 {
        self.up + self.down
    }
}

/// The links so far, the latest last.
#[derive(Default)]
struct Links {
    carried: Mutex<Vec<Carried>>,
    changed: Condvar,
}

impl Links {
    fn lock(&self) -> MutexGuard<'_, Vec<Carried>> {
        self.carried.lock().unwrap()
    }

    fn change(&self, link: usize, change: impl FnOnce(&mut Carried)) {
        change(&mut self.lock()[link]);
        self.changed.notify_all();
    }
}

/// The proxy; it listens until the program ends.
pub(crate) struct Proxy {
    addr: SocketAddr,
    links: Arc<Links>,
    /// Both ends of the latest link.
    latest: Arc<Mutex<Option<(TcpStream, TcpStream)>>>,
}

impl Proxy {
    pub(crate) fn new(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let proxy = Self {
            addr: listener.local_addr().expect("it listens"),
            links: Arc::default(),
            latest: Arc::default(),
        };
        let (links, latest) = (Arc::clone(&proxy.links), Arc::clone(&proxy.latest));
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a client");
                let ends = carry(&links, client, server);
                *latest.lock().unwrap() = Some(ends);
            }
        });
        proxy
    }

    pub(crate) const fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Ends the latest link.
    pub(crate) fn cut(&self) {
        if let Some((client, server)) = self.latest.lock().unwrap().take() {
            for end in [client, server] {
                let _ = end.shutdown(Shutdown::Both);
            }
        }
    }

    /// The latest link, when both of its directions have ended.
    pub(crate) fn ended(&self) -> Carried {
        let is_open = |links: &mut Vec<Carried>| links.last().is_none_or(|link| link.ended < 2);
        let links = self.links.lock();
        let waited = self
            .links
            .changed
            .wait_timeout_while(links, PATIENCE, is_open);
        let (links, timeout) = waited.unwrap();
        assert!(!timeout.timed_out(), "the link does not end");
        *links.last().expect("there is one")
    }
}

/// Carries a link in both directions, and gives its ends.
fn carry(links: &Arc<Links>, client: TcpStream, server: SocketAddr) -> (TcpStream, TcpStream) {
    let begin = Instant::now();
    let server = TcpStream::connect(server).expect("the server listens");
    let link = {
        let mut carried = links.lock();
        carried.push(Carried {
            begin,
            up: 0,
            down: 0,
            ended: 0,
        });
        carried.len() - 1
    };
    let clone = |end: &TcpStream| end.try_clone().expect("a descriptor");
    let ends = (clone(&client), clone(&server));
    let (up, down) = (Arc::clone(links), Arc::clone(links));
    let count_up = move |n| up.change(link, |carried| carried.up += n);
    let count_down = move |n| down.change(link, |carried| carried.down += n);
    let from = (clone(&client), clone(&server));
    pass(links, link, from.0, server, begin + ROUND_TRIP, count_up);
    pass(links, link, from.1, client, begin, count_down);
    ends
}

/// Carries one direction; nothing is taken to be written before `from`.
fn pass(
    links: &Arc<Links>,
    link: usize,
    mut source: TcpStream,
    target: TcpStream,
    from: Instant,
    count: impl Fn(u64) + Send + 'static,
) {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut block = [0; 16_384];
        while let Ok(n @ 1..) = source.read(&mut block) {
            count(n as u64);
            let at = Instant::now().max(from) + DELAY;
            if sender.send((at, block[..n].to_vec())).is_err() {
                return;
            }
        }
    });
    let links = Arc::clone(links);
    thread::spawn(move || {
        deliver(&receiver, target);
        links.change(link, |carried| carried.ended += 1);
    });
}

fn deliver(receiver: &Receiver<(Instant, Vec<u8>)>, mut target: TcpStream) {
    let _ = target.set_nodelay(true);
    while let Ok((at, bytes)) = receiver.recv() {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if target.write_all(&bytes).is_err() {
            return;
        }
    }
    let _ = target.shutdown(Shutdown::Write);
}
