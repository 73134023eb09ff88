//! What the thread of a local platform shares with its handle.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use mio::Waker;

use super::host::Host;
use super::news::News;

/// How much news waits for the one who reads it. Beyond it the oldest is dropped and counted: the
/// platform does not stop when nobody reads.
const MAX_NEWS: usize = 16_384;

/// What it may take, in bytes.
const MAX_NEWS_BYTES: usize = 32 << 20;

/// The platform and its news.
#[derive(Debug)]
pub(super) struct Shared {
    core: Mutex<Core>,
    /// There is news, or the state has changed.
    changed: Condvar,
    waker: Arc<Waker>,
}

/// What is behind the lock.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) host: Host,
    /// Oldest first, at most [`MAX_NEWS`].
    news: VecDeque<News>,
    /// What it takes, in bytes.
    bytes: usize,
    /// How much news was dropped.
    pub(super) dropped: u64,
    /// Whether devices can reach the platform.
    pub(super) is_ready: bool,
    /// Why the broker was not reached the last time.
    pub(super) cause: Option<String>,
    /// Whether the thread is to end.
    pub(super) is_stopping: bool,
    /// Whether it has ended.
    pub(super) is_over: bool,
}

impl Shared {
    pub(super) fn new(host: Host, is_ready: bool, waker: Arc<Waker>) -> Self {
        let core = Core {
            host,
            news: VecDeque::new(),
            bytes: 0,
            dropped: 0,
            is_ready,
            cause: None,
            is_stopping: false,
            is_over: false,
        };
        Self {
            core: Mutex::new(core),
            changed: Condvar::new(),
            waker,
        }
    }

    /// A thread that died holding the lock left a whole state behind: every call completes.
    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the thread. A thread that has ended does not hear it.
    pub(super) fn wake(&self) {
        let _ = self.waker.wake();
    }

    /// Calls those who wait for news.
    pub(super) fn notify(&self) {
        self.changed.notify_all();
    }

    /// Waits until `look` finds something, until the thread has ended or until the deadline.
    pub(super) fn wait<T>(
        &self,
        deadline: Instant,
        mut look: impl FnMut(&mut Core) -> Option<T>,
    ) -> Option<T> {
        let mut core = self.lock();
        loop {
            if let Some(found) = look(&mut core) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if core.is_over || left.is_zero() {
                return None;
            }
            let waited = self.changed.wait_timeout(core, left);
            core = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Tells that the thread has ended, however it does: nobody is to wait for it any more.
#[derive(Debug)]
pub(super) struct Over(Arc<Shared>);

impl Over {
    pub(super) const fn at_end(shared: Arc<Shared>) -> Self {
        Self(shared)
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        let mut core = self.0.lock();
        if thread::panicking() {
            let trouble = "the platform has ended: it panicked, which is a bug in it";
            core.report(News::Trouble(trouble.into()));
        }
        core.is_over = true;
        drop(core);
        self.0.notify();
    }
}

impl Core {
    /// Adds news.
    pub(super) fn report(&mut self, news: News) {
        self.bytes += news.weight();
        self.news.push_back(news);
        while self.news.len() > MAX_NEWS || self.bytes > MAX_NEWS_BYTES {
            self.dropped += u64::from(self.pop_news().is_some());
        }
    }

    /// Takes over the events of the platform; tells whether there is news.
    pub(super) fn collect(&mut self) -> bool {
        while let Some(event) = self.host.poll_event() {
            self.report(News::Event(event));
        }
        !self.news.is_empty()
    }

    /// Whether no news waits.
    pub(super) fn is_read(&self) -> bool {
        self.news.is_empty()
    }

    pub(super) fn pop_news(&mut self) -> Option<News> {
        let news = self.news.pop_front()?;
        self.bytes -= news.weight();
        Some(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kaa_proto::platform::{Platform, PlatformOptions};

    fn shared() -> Shared {
        let platform = Platform::new(PlatformOptions::default(), 1);
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), mio::Token(0)).unwrap());
        Shared::new(Host::Attached(Box::new(platform)), true, waker)
    }

    #[test]
    fn a_thread_that_panics_is_over_and_says_so() {
        let shared = Arc::new(shared());
        let over = Over::at_end(Arc::clone(&shared));
        let engine = Arc::clone(&shared);
        let ended = thread::spawn(move || {
            let _over = over;
            let _core = engine.lock();
            panic!("a bug");
        });
        let news = shared.wait(
            Instant::now() + std::time::Duration::from_secs(60),
            Core::pop_news,
        );
        assert!(matches!(news, Some(News::Trouble(words)) if words.contains("a bug in it")));
        assert!(ended.join().is_err() && shared.lock().is_over);
    }

    #[test]
    fn news_that_nobody_reads_drops_the_oldest_and_counts() {
        let shared = shared();
        let mut core = shared.lock();
        for number in 0..=MAX_NEWS {
            core.report(News::Trouble(number.to_string()));
        }
        assert_eq!(core.pop_news(), Some(News::Trouble("1".into())));
        assert_eq!(core.dropped, 1);
    }

    #[test]
    fn news_that_nobody_reads_is_bounded_in_bytes_too() {
        let shared = shared();
        let mut core = shared.lock();
        for _ in 0..40 {
            core.report(News::Trouble("x".repeat(1 << 20)));
        }
        assert_eq!((core.news.len(), core.dropped), (31, 9));
        while core.pop_news().is_some() {}
        assert_eq!(core.bytes, 0);
    }
}
