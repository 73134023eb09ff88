//! The platform that a device finds: the local one, with the doctor's hand on every packet.
//!
//! One thread accepts, one reads for each link, and one looks at the clock; all work on the same
//! state behind a lock, so what is recorded stands in the order in which it happened.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kaa_proto::platform::PlatformOptions;

use super::desk::Desk;
use super::record::By;

/// How often the platform looks at the clock.
const TICK: Duration = Duration::from_millis(10);

/// How long a device may take to read what it is sent.
const PATIENCE: Duration = Duration::from_secs(1);

/// A platform that listens.
pub(crate) struct Tap {
    shared: Arc<Shared>,
    addr: SocketAddr,
}

struct Shared {
    desk: Mutex<Desk>,
    changed: Condvar,
}

impl Tap {
    /// Listens.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub(crate) fn listen(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
        let addr = listener.local_addr()?;
        let desk = Desk::new(PlatformOptions::default(), random()?);
        let shared = Arc::new(Shared {
            desk: Mutex::new(desk),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        let ticking = Arc::clone(&shared);
        thread::spawn(move || {
            loop {
                thread::sleep(TICK);
                ticking.act(|desk| desk.handle_timeout(Instant::now()));
            }
        });
        Ok(Self { shared, addr })
    }

    /// Where.
    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Begins anew: a new platform, no links, an empty record.
    ///
    /// # Errors
    /// The system gives no entropy.
    pub(crate) fn begin(&self, options: PlatformOptions) -> io::Result<()> {
        let seed = random()?;
        self.act(|desk| desk.begin(options, seed));
        Ok(())
    }

    /// Does something, or looks.
    pub(crate) fn act<T>(&self, act: impl FnOnce(&mut Desk) -> T) -> T {
        self.shared.act(act)
    }

    /// Waits until `look` says so, at most that long; whether it did.
    pub(crate) fn wait(&self, timeout: Duration, look: impl Fn(&Desk) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let mut desk = self.shared.lock();
        loop {
            if look(&desk) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.changed.wait_timeout(desk, left);
            desk = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    /// A thread that died left a whole state behind.
    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn act<T>(&self, act: impl FnOnce(&mut Desk) -> T) -> T {
        let mut desk = self.lock();
        let before = desk.entries().len();
        let result = act(&mut desk);
        let has_changed = desk.entries().len() != before;
        drop(desk);
        if has_changed {
            self.changed.notify_all();
        }
        result
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        // One that is gone already is not worth a word; want of descriptors passes.
        let Ok(stream) = stream else {
            thread::sleep(TICK);
            continue;
        };
        let _ = stream.set_nodelay(true);
        let _ = stream.set_write_timeout(Some(PATIENCE));
        let Ok(reader) = stream.try_clone() else {
            continue;
        };
        let opened = shared.act(|desk| desk.open(Instant::now(), stream));
        if let Some(link) = opened {
            let shared = Arc::clone(shared);
            thread::spawn(move || read(reader, link, &shared));
        }
    }
}

/// Reads a link to its end.
fn read(mut stream: TcpStream, link: (u32, u32), shared: &Shared) {
    let mut buffer = vec![0; 16 * 1_024];
    loop {
        match stream.read(&mut buffer) {
            Ok(n @ 1..) => {
                let bytes = buffer.get(..n).unwrap_or_default();
                shared.act(|desk| desk.take_in(Instant::now(), link, bytes));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    shared.act(|desk| desk.close(Instant::now(), link, By::Device));
}

fn random() -> io::Result<u64> {
    getrandom::u64().map_err(io::Error::other)
}
