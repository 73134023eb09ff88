//! A network that does what it is told: a relay on this machine, with one thread that accepts
//! and two for each link.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use kaa_tests::ports::Reserved;

/// How often a thread that waits looks around.
const GLANCE: Duration = Duration::from_millis(5);

/// Goes away when it is dropped.
pub(crate) struct Gate(Arc<Mutex<State>>);

struct State {
    /// Where clients find it.
    port: Reserved,
    /// Where it leads.
    target: SocketAddr,
    /// Whether anybody listens.
    is_open: bool,
    is_over: bool,
    /// Links to come carry so many bytes to the client, then nothing.
    mute_after: Option<usize>,
    links: Vec<Arc<Link>>,
    /// Somebody else answers, with these words.
    impostor: Option<&'static [u8]>,
    /// Whom the words went to.
    fooled: Vec<TcpStream>,
}

struct Link {
    client: TcpStream,
    server: TcpStream,
    /// How many bytes may still go to the client; `None`: any number.
    left: Mutex<Option<usize>>,
}

impl Gate {
    pub(crate) fn new(target: SocketAddr, is_open: bool) -> io::Result<Self> {
        let state = State {
            port: Reserved::new()?,
            target,
            is_open,
            is_over: false,
            mute_after: None,
            links: Vec::new(),
            impostor: None,
            fooled: Vec::new(),
        };
        let gate = Self(Arc::new(Mutex::new(state)));
        gate.listen();
        gate.await_listener(is_open);
        Ok(gate)
    }

    pub(crate) fn port(&self) -> u16 {
        self.lock().port.port()
    }

    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.lock().target = target;
    }

    /// Whether anybody listens. Without a listener there are no links.
    pub(crate) fn open(&self, is_open: bool) {
        self.lock().is_open = is_open;
        self.await_listener(is_open);
        if !is_open {
            self.cut();
        }
    }

    /// From now on somebody else answers, with these words.
    pub(crate) fn impersonate(&self, words: &'static [u8]) {
        self.lock().impostor = Some(words);
    }

    /// From now on it is at another port.
    pub(crate) fn move_away(&self) -> io::Result<()> {
        self.open(false);
        self.lock().port = Reserved::new()?;
        self.open(true);
        Ok(())
    }

    /// Ends the links there are.
    pub(crate) fn cut(&self) {
        for link in std::mem::take(&mut self.lock().links) {
            link.end();
        }
    }

    /// The links there are carry so many more bytes to the client, then nothing.
    pub(crate) fn mute_in(&self, bytes: usize) {
        for link in &self.lock().links {
            *lock(&link.left) = Some(bytes);
        }
    }

    pub(crate) fn mute_after(&self, bytes: Option<usize>) {
        self.lock().mute_after = bytes;
    }

    /// Accepts on a thread of its own.
    fn listen(&self) {
        let state = Arc::clone(&self.0);
        thread::spawn(move || {
            let mut listener: Option<(u16, TcpListener)> = None;
            loop {
                let (port, is_open) = {
                    let state = lock(&state);
                    if state.is_over {
                        return;
                    }
                    (state.port.port(), state.is_open)
                };
                listener = listener.filter(|(at, _)| is_open && *at == port);
                if is_open && listener.is_none() {
                    // It is free again in a moment.
                    listener = bind(port).ok().map(|listener| (port, listener));
                }
                match listener.as_ref().map(|(_, listener)| listener.accept()) {
                    Some(Ok((client, _))) => accept(&state, client),
                    _ => thread::sleep(GLANCE),
                }
            }
        });
    }

    /// Waits until the listener is as it should be.
    fn await_listener(&self, is_open: bool) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port()));
        while (bind(address.port()).is_err()) != is_open {
            thread::sleep(GLANCE);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.lock().is_over = true;
        self.cut();
    }
}

fn bind(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn accept(state: &Arc<Mutex<State>>, mut client: TcpStream) {
    let impostor = lock(state).impostor;
    if let Some(words) = impostor {
        let _ = client.write_all(words);
        lock(state).fooled.push(client);
        return;
    }
    let (target, left) = {
        let state = lock(state);
        (state.target, state.mute_after)
    };
    let Ok(link) = Link::new(client, target, left) else {
        return;
    };
    let link = Arc::new(link);
    lock(state).links.push(Arc::clone(&link));
    let up = Arc::clone(&link);
    thread::spawn(move || up.carry(&up.client, &up.server, false));
    thread::spawn(move || link.carry(&link.server, &link.client, true));
}

impl Link {
    fn new(client: TcpStream, target: SocketAddr, left: Option<usize>) -> io::Result<Self> {
        client.set_nonblocking(false)?;
        let server = TcpStream::connect(target)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        Ok(Self {
            client,
            server,
            left: Mutex::new(left),
        })
    }

    /// Carries bytes until one end closes. What comes when the link is mute is swallowed.
    fn carry(&self, from: &TcpStream, to: &TcpStream, is_down: bool) {
        let mut block = [0; 4_096];
        let (mut from, mut to) = (from, to);
        loop {
            let n = match from.read(&mut block) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let n = match &mut *lock(&self.left) {
                None => n,
                Some(0) => 0,
                Some(left) if is_down => {
                    let n = n.min(*left);
                    *left -= n;
                    n
                }
                Some(_) => n,
            };
            if to.write_all(block.get(..n).unwrap_or_default()).is_err() {
                break;
            }
        }
        match *lock(&self.left) == Some(0) {
            false => {
                let _ = to.shutdown(Shutdown::Write);
            }
            // Of a mute link the client learns nothing.
            true if is_down => {}
            true => self.end(),
        }
    }

    fn end(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
