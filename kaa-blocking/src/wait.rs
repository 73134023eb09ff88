//! Waiting for a future on a plain thread, until a deadline.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Polls until something is ready; `None` when `timeout` is over first. A timeout too long for the
/// clock waits for as long as it takes.
pub(crate) fn until<T>(
    timeout: Duration,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Option<T> {
    let deadline = Instant::now().checked_add(timeout);
    let (parker, unparker) = parking::pair();
    let waker = Waker::from(unparker);
    loop {
        if let Poll::Ready(value) = poll(&mut Context::from_waker(&waker)) {
            return Some(value);
        }
        match deadline {
            Some(deadline) if !parker.park_deadline(deadline) => return None,
            Some(_) => {}
            None => parker.park(),
        }
    }
}

/// Waits for a future that ends by itself.
pub(crate) fn for_end<F: Future + Unpin>(mut future: F) -> F::Output {
    loop {
        // No clock goes that far.
        if let Some(output) = until(Duration::MAX, |context| Pin::new(&mut future).poll(context)) {
            return output;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

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
