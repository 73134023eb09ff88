//! Waiting for a future on a plain thread, until a deadline.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Polls until something is ready; `None` when `timeout` is over first, `Some(None)` never waits
/// for ever: a timeout too long for the clock waits for as long as it takes.
pub(crate) fn until<T>(
    timeout: Duration,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Option<T> {
    let deadline = Instant::now().checked_add(timeout);
    let unpark = Arc::new(Unpark {
        thread: thread::current(),
        woken: AtomicBool::new(false),
    });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = poll(&mut context) {
            return Some(value);
        }
        while !unpark.woken.swap(false, Ordering::Acquire) {
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return None,
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
    }
}

/// Waits for a future that ends by itself.
pub(crate) fn for_end<F: Future + Unpin>(mut future: F) -> F::Output {
    loop {
        if let Some(output) = until(Duration::MAX, |context| Pin::new(&mut future).poll(context)) {
            return output;
        }
    }
}

struct Unpark {
    thread: Thread,
    /// Tells a wake from one that somebody else's use of `park` left behind.
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_from_another_thread_ends_the_wait() {
        let mut asked = 0;
        let value = until(Duration::from_secs(60), |context| {
            asked += 1;
            let waker = context.waker().clone();
            if asked == 1 {
                thread::spawn(move || waker.wake());
                return Poll::Pending;
            }
            Poll::Ready(7)
        });
        assert_eq!((value, asked), (Some(7), 2));
    }

    #[test]
    fn a_stray_unpark_is_no_wake_and_the_deadline_ends_the_wait() {
        let mut asked = 0;
        thread::current().unpark();
        let value: Option<()> = until(Duration::from_millis(5), |_| {
            asked += 1;
            Poll::Pending
        });
        assert_eq!((value, asked), (None, 1));
    }
}
