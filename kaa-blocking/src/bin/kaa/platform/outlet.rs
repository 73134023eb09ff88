//! Lines on their way to somebody who may be slow to read them, without waiting for them.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::thread;
use std::time::Duration;

/// The entry of a bounded queue of lines that a thread writes out.
#[derive(Clone, Debug)]
pub(crate) struct Outlet(SyncSender<String>);

/// Tells when everything was written.
#[derive(Debug)]
pub(crate) struct Drained(Receiver<()>);

impl Outlet {
    /// Writes lines to `writer`, at most `capacity` of them waiting. `on_broken` is told why
    /// if they cannot be written any more.
    pub(crate) fn open(
        mut writer: impl Write + Send + 'static,
        capacity: usize,
        on_broken: impl FnOnce(io::Error) + Send + 'static,
    ) -> (Self, Drained) {
        let (sender, lines) = mpsc::sync_channel::<String>(capacity);
        let (done, drained) = mpsc::sync_channel(1);
        thread::spawn(move || {
            if let Err(error) = write_all(&mut writer, &lines) {
                on_broken(error);
            }
            // Nobody may be waiting for it.
            let _ = done.try_send(());
        });
        (Self(sender), Drained(drained))
    }

    /// Adds a line. `false` if it is lost: too many are waiting, or nobody can be reached.
    pub(crate) fn say(&self, line: String) -> bool {
        self.0.try_send(line).is_ok()
    }
}

impl Drained {
    /// Waits, after every outlet of this queue was dropped, until all was written, at most that
    /// long.
    pub(crate) fn wait(&self, timeout: Duration) {
        match self.0.recv_timeout(timeout) {
            Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
}

/// Flushes whenever no line waits.
fn write_all(writer: &mut impl Write, lines: &Receiver<String>) -> io::Result<()> {
    while let Ok(first) = lines.recv() {
        let mut next = Ok(first);
        while let Ok(mut line) = next {
            line.push('\n');
            writer.write_all(line.as_bytes())?;
            next = lines.try_recv();
        }
        writer.flush()?;
        if next == Err(TryRecvError::Disconnected) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn lines_come_out_whole_and_in_order() {
        let (mut reader, writer) = UnixStream::pair().unwrap();
        let (outlet, drained) = Outlet::open(writer, 2, |_| {});
        assert!(outlet.say("a".into()) && outlet.say("b".into()));
        drop(outlet);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "a\nb\n");
        drained.wait(Duration::from_secs(10));
    }

    #[test]
    fn one_who_does_not_read_loses_lines_and_holds_up_nobody() {
        let (reader, writer) = UnixStream::pair().unwrap();
        let (broken, told) = mpsc::channel();
        let (outlet, _) = Outlet::open(writer, 2, move |error| broken.send(error.kind()).unwrap());
        let long = "x".repeat(1 << 20);
        let said = (0..5).filter(|_| outlet.say(long.clone())).count();
        assert!((2..=4).contains(&said), "{said}");
        drop(reader);
        assert_eq!(told.recv(), Ok(io::ErrorKind::BrokenPipe));
    }
}
