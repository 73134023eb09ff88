//! A binding with the standard library alone: what the guide `kaa_proto::guide::binding` says, tried.
//! It is an example to begin with, and a runtime of the suite `scenarios`.
//!
//! There is no selector in the standard library, so a client has two threads: `kaa` turns the driver,
//! writes and sleeps; `kaa-link` dials and reads, through a channel of two blocks. A write waits for
//! room for up to 20 ms, and timers wait with it; kaa-blocking, with a selector, never does.

use std::future::{Future, ready};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::mem::take;
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Builder, Thread};
use std::time::{Duration, Instant};

use kaa_proto::client::{Client, ConnectError, Driver, Options, Transport, Turn, connect_any};
use kaa_proto::connection::LinkId;

/// How long a write waits for room.
const WRITE_WITHIN: Duration = Duration::from_millis(20);

/// How many dials may hang: one that waits for a name server cannot be stopped.
const MAX_DIALS: usize = 4;

/// Makes the stream of a link; may block.
type Connector = dyn Fn() -> io::Result<TcpStream> + Send + Sync;

/// Starts a client. Reaches no network.
///
/// # Errors
/// [`ConnectError`] if an option cannot be kept, the store cannot be opened, or there is no thread.
pub fn connect(options: Options) -> Result<Client, ConnectError> {
    let (target, within) = (options.target().clone(), options.connect_within());
    connect_with(options, move || {
        let addresses = (target.host(), target.port()).to_socket_addrs()?;
        let connect = |address, share| ready(TcpStream::connect_timeout(&address, share));
        let stream = wait(connect_any(addresses, within, connect))?;
        // Without it each small message waits for the answer to the one before.
        stream.set_nodelay(true)?;
        Ok(stream)
    })
}

/// The same with a connector of the caller's.
///
/// # Errors
/// As [`connect`].
pub fn connect_with(
    options: Options,
    connector: impl Fn() -> io::Result<TcpStream> + Send + Sync + 'static,
) -> Result<Client, ConnectError> {
    // Where the system keeps its authorities is not known here: the options have to name some.
    let options = options.load_tls(|path| std::fs::read(path), Vec::new)?;
    let options = options.open_store()?;
    // The keys of a `RandomState` are the only entropy in the standard library.
    let draw = || RandomState::new().build_hasher().finish();
    let (client, mut driver) = Client::new(options, draw(), draw(), Instant::now)?;
    driver.start_store_writer()?;
    let connector: Arc<Connector> = Arc::new(connector);
    let thread = Builder::new().name("kaa".into());
    thread.spawn(move || run(driver, &connector))?;
    Ok(client)
}

/// Waits for a future, on a thread that may block.
pub fn wait<F: Future>(future: F) -> F::Output {
    let (mut future, bell) = (pin!(future), Bell::of_this_thread());
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&bell)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// The thread `kaa`.
fn run(mut driver: Driver, connector: &Arc<Connector>) {
    let bell = Bell::of_this_thread();
    let mut socket: Option<Socket> = None;
    let mut dial: Option<(LinkId, Receiver<io::Result<Socket>>)> = None;
    loop {
        let until = match driver.turn(&bell, &mut socket) {
            Turn::Finished => return,
            Turn::Again => continue,
            Turn::Wait { until } => {
                dial = None;
                until
            }
            Turn::Dial { link, until } => {
                let under_way = dial.take().filter(|(of, _)| *of == link);
                let begin = || (link, start_link(connector, &bell));
                let (_, dialed) = dial.insert(under_way.unwrap_or_else(begin));
                match dialed.try_recv() {
                    Err(TryRecvError::Empty) => until,
                    result => {
                        match result.unwrap_or_else(|error| Err(io::Error::other(error))) {
                            Ok(connected) => {
                                socket = Some(connected);
                                driver.handle_connected(link);
                            }
                            Err(error) => driver.handle_failed(link, &error),
                        }
                        dial = None;
                        continue;
                    }
                }
            }
        };
        // The bell rings for the next park too, so no wake is lost.
        match until.map(|until| until.saturating_duration_since(Instant::now())) {
            // A write that found no room has waited already.
            _ if socket
                .as_mut()
                .is_some_and(|socket| take(&mut socket.is_full)) => {}
            Some(time) => thread::park_timeout(time),
            None => thread::park(),
        }
    }
}

/// Starts the thread `kaa-link`. Whoever drops what this gives has given the dial up.
fn start_link(connector: &Arc<Connector>, bell: &Waker) -> Receiver<io::Result<Socket>> {
    let (dialed, result) = sync_channel(1);
    let (connector, bell) = (Arc::clone(connector), bell.clone());
    // Each dial holds the connector, and so does the thread `kaa`.
    if Arc::strong_count(&connector) > MAX_DIALS + 1 {
        let _ = dialed.send(Err(io::Error::other("the dials before this one hang")));
        return result;
    }
    let work = move || {
        // The connector is code of the application: a panic in it costs this dial only.
        let ended = catch_unwind(AssertUnwindSafe(|| link(connector, &dialed, &bell)));
        if let Err(error) = ended.unwrap_or_else(|_| Err(io::Error::other("it panicked"))) {
            let _ = dialed.send(Err(error));
            bell.wake();
        }
    };
    // Without a thread nothing is sent, and the dial has failed.
    let _ = Builder::new().name("kaa-link".into()).spawn(work);
    result
}

/// The thread `kaa-link`: dials, then reads until the link ends or nobody wants it.
fn link(
    connector: Arc<Connector>,
    dialed: &SyncSender<io::Result<Socket>>,
    bell: &Waker,
) -> io::Result<()> {
    let stream = connector();
    drop(connector);
    let stream = Arc::new(stream?);
    stream.set_write_timeout(Some(WRITE_WITHIN))?;
    let (blocks, inbox) = sync_channel(2);
    let _ = dialed.send(Ok(Socket {
        stream: Arc::clone(&stream),
        inbox,
        unread: io::Cursor::default(),
        is_full: false,
    }));
    bell.wake_by_ref();
    loop {
        let mut block = vec![0; 4_096];
        let read = (&*stream).read(&mut block);
        if read
            .as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::Interrupted)
        {
            continue;
        }
        let is_over = !matches!(read, Ok(1..));
        block.truncate(*read.as_ref().unwrap_or(&0));
        let is_wanted = blocks.send(read.map(|_| block)).is_ok();
        bell.wake_by_ref();
        if is_over || !is_wanted {
            return Ok(());
        }
    }
}

/// The driver's side of a link. Dropping it ends the thread that reads.
struct Socket {
    stream: Arc<TcpStream>,
    inbox: Receiver<io::Result<Vec<u8>>>,
    unread: io::Cursor<Vec<u8>>,
    /// The last write found no room.
    is_full: bool,
}

impl Transport for Socket {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let taken = self.unread.read(block)?;
        if taken > 0 {
            return Ok(taken);
        }
        let next = self.inbox.try_recv().map_err(|error| match error {
            TryRecvError::Empty => ErrorKind::WouldBlock,
            TryRecvError::Disconnected => ErrorKind::UnexpectedEof,
        })?;
        self.unread = io::Cursor::new(next?);
        self.unread.read(block)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = (&*self.stream).write(bytes);
        // Systems tell the end of a wait by either.
        let is_wait = |kind| matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut);
        self.is_full = written.as_ref().is_err_and(|error| is_wait(error.kind()));
        match self.is_full {
            true => Err(ErrorKind::WouldBlock.into()),
            false => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Unparks a thread.
struct Bell(Thread);

impl Bell {
    fn of_this_thread() -> Waker {
        Waker::from(Arc::new(Self(thread::current())))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
