//! The control socket: many clients, each line answered.

use std::fs::{self, Permissions};
use std::io::{self, BufReader, ErrorKind};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use super::inbox::{Asker, Input, read_lines};
use super::outlet::Outlet;

/// How many clients there can be; further ones are turned away.
const MAX_CLIENTS: usize = 64;
/// How many lines wait for a client. One that reads so little is cut off.
const MAX_WAITING: usize = 1_024;
/// How long no client is accepted after that failed, for want of descriptors perhaps.
const PAUSE: Duration = Duration::from_millis(100);

/// A socket that is listened on. Dropping it removes its file.
#[derive(Debug)]
pub(crate) struct Control(PathBuf);

/// A client of the socket.
#[derive(Debug)]
pub(crate) struct Client {
    stream: UnixStream,
    outlet: Outlet,
}

impl Control {
    /// Listens. Only the user who runs the program can connect. A socket file that nobody listens
    /// on any more is replaced.
    ///
    /// # Errors
    /// The file is something else, or in use, or cannot be made.
    pub(crate) fn listen(path: &Path, inbox: SyncSender<Input>) -> io::Result<Self> {
        remove_stale(path)?;
        let listener = UnixListener::bind(path)?;
        let control = Self(path.into());
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        thread::spawn(move || accept(&listener, &inbox));
        Ok(control)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // If it is gone already, so much the better.
        let _ = fs::remove_file(&self.0);
    }
}

impl Client {
    /// Sends a line; a client that does not read is cut off.
    pub(crate) fn say(&self, line: String) {
        if !self.outlet.say(line) {
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        let problem = "the file is there and is no socket";
        return Err(io::Error::new(ErrorKind::AlreadyExists, problem));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

fn accept(listener: &UnixListener, inbox: &SyncSender<Input>) {
    let present = Arc::new(());
    loop {
        match listener.accept() {
            Ok((stream, _)) if Arc::strong_count(&present) > MAX_CLIENTS => drop(stream),
            Ok((stream, _)) => {
                let (inbox, place) = (inbox.clone(), Arc::clone(&present));
                thread::spawn(move || {
                    // A client that cannot be served is one that has gone.
                    let _ = serve(stream, &inbox);
                    drop(place);
                });
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn serve(stream: UnixStream, inbox: &SyncSender<Input>) -> io::Result<()> {
    let reader = BufReader::new(stream.try_clone()?);
    let (outlet, _) = Outlet::open(stream.try_clone()?, MAX_WAITING, |_| {});
    let client = Arc::new(Client { stream, outlet });
    read_lines(reader, |line| {
        let asker = Asker::Control(Arc::clone(&client));
        inbox.send(Input::Line(line, asker)).is_ok()
    });
    Ok(())
}
