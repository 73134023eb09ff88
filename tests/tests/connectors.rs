//! What a connector may be, and a runtime whose time a test has stopped.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::future::{Future, pending};
use std::io;
use std::marker::PhantomPinned;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kaa_proto::client::{ConnectError, NotReady, Options, Target};
use kaa_proto::connection::LinkError;
use tokio::io::DuplexStream;

const HOUR: Duration = Duration::from_secs(3_600);

fn options() -> Options {
    Options::new("mqtt://nowhere").unwrap()
}

/// A program that hands on a connector of its caller's, and one that captures what must not move.
#[test]
fn a_connector_may_be_anything_that_can_be_sent() {
    fn on_tokio<C, F>(connector: C) -> impl Future<Output = Result<kaa_tokio::Client, ConnectError>>
    where
        C: FnMut(Target) -> F + Send + 'static,
        F: Future<Output = io::Result<DuplexStream>> + Send + 'static,
    {
        kaa_tokio::Client::connect_with(options(), connector)
    }
    let pinned = PhantomPinned;
    drop(on_tokio(move |_| {
        let _ = &pinned;
        pending()
    }));
    let connector = move |_| {
        let _ = &pinned;
        pending::<io::Result<smol::net::TcpStream>>()
    };
    drop(kaa_smol::Client::connect_with(options(), connector));
    drop(kaa_smol::async_std::Client::connect_with(
        options(),
        connector,
    ));
}

/// Such time jumps to the next timer. A driver whose timer rings too early would turn without end.
#[tokio::test(start_paused = true)]
async fn a_driver_on_stopped_time_waits_for_its_timers() {
    let dials = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&dials);
    let client = kaa_tokio::Client::connect_with(options(), move |_| {
        let is_hanging = counted.fetch_add(1, Ordering::Relaxed) % 2 == 0;
        async move {
            match is_hanging {
                true => pending().await,
                false => Err::<DuplexStream, _>(io::ErrorKind::ConnectionRefused.into()),
            }
        }
    })
    .await
    .unwrap();
    let NotReady::TimedOut(Some(cause)) = client.ready(HOUR).await.unwrap_err() else {
        panic!("it cannot be ready");
    };
    assert!(matches!(cause, LinkError::DialTimeout | LinkError::Dial(_)));
    // An hour of delays of up to two minutes, and of dials of 20 s.
    assert!((30..300).contains(&dials.load(Ordering::Relaxed)));
    let account = client.shutdown(HOUR).await;
    assert_eq!(account.unfinished, []);
}

/// A task on a runtime without a clock could not wait.
#[test]
fn without_a_runtime_tokio_says_so_and_begins_nothing() {
    let error = smol::block_on(kaa_tokio::Client::connect(options())).unwrap_err();
    let ConnectError::System(error) = error else {
        panic!("it is told as {error}");
    };
    assert!(error.to_string().contains("runtime"), "{error}");
}
