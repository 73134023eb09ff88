//! What a scenario needs of a runtime, and the asynchronous ones.

use std::future::{Future as _, ready};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use kaa_proto::client::{Client, Options};
use kaa_tests::scenario::{ClientHand, SharedClient, Waiting};
use kaa_tests::std_binding;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Where dials go, for a connector; it may change.
pub(crate) type Address = Arc<Mutex<SocketAddr>>;

/// How a client is started.
pub(crate) struct Start {
    pub(crate) options: Options,
    /// For a connector of the caller's.
    pub(crate) at: Option<Address>,
    /// Its driver will be ended without a word.
    pub(crate) is_mortal: bool,
}

/// A client, and how its driver is ended without a word.
pub(crate) struct Started {
    pub(crate) client: Box<dyn ClientHand>,
    pub(crate) end: Waiting<'static, ()>,
}

impl Started {
    fn immortal(client: Client) -> Self {
        Self {
            client: Box::new(SharedClient(client)),
            end: Box::pin(async {}),
        }
    }
}

type Starting = Waiting<'static, Result<Started, String>>;

/// A runtime, as scenarios need it.
#[derive(Clone, Copy)]
pub(crate) struct Runtime {
    pub(crate) name: &'static str,
    /// Runs a script as a task, and waits for its end.
    pub(crate) play: fn(Script) -> Result<(), String>,
    pub(crate) sleep: fn(Duration) -> Waiting<'static, ()>,
    pub(crate) start: fn(Start) -> Starting,
    /// Runs a task of the user; whether it panicked.
    pub(crate) run: fn(Waiting<'static, ()>) -> Waiting<'static, bool>,
}

pub(crate) type Script = Waiting<'static, Result<(), String>>;

pub(crate) const ALL: [Runtime; 6] = [
    Runtime {
        name: "tokio current-thread",
        play: |script| on_tokio(Builder::new_current_thread(), script),
        sleep: |time| Box::pin(tokio::time::sleep(time)),
        start: |start| start_on_tokio(Builder::new_current_thread, start),
        run: run_on_tokio,
    },
    Runtime {
        name: "tokio multi-thread",
        play: |script| on_tokio(Builder::new_multi_thread(), script),
        sleep: |time| Box::pin(tokio::time::sleep(time)),
        start: |start| start_on_tokio(Builder::new_multi_thread, start),
        run: run_on_tokio,
    },
    Runtime {
        name: "smol",
        play: |script| smol::block_on(smol::spawn(script)),
        sleep: |time| {
            Box::pin(async move {
                let _ = smol::Timer::after(time).await;
            })
        },
        start: |start| Box::pin(start_on_smol(start)),
        run: |task| Box::pin(async move { smol::spawn(guarded(task)).await }),
    },
    Runtime {
        name: "async-std",
        play: |script| async_std::task::block_on(async_std::task::spawn(script)),
        sleep: |time| Box::pin(async_std::task::sleep(time)),
        start: |start| Box::pin(start_on_async_std(start)),
        run: |task| Box::pin(async move { async_std::task::spawn(guarded(task)).await }),
    },
    crate::blocking::RUNTIME,
    Runtime {
        name: "threads",
        play: |script| std_binding::wait(script),
        sleep: |time| Box::pin(sleep_on_a_thread(time)),
        start: |start| Box::pin(ready(start_on_threads(start))),
        run: |task| Box::pin(ready(run_on_a_thread(task))),
    },
];

/// Where a dial goes now.
pub(crate) fn present(address: &Address) -> SocketAddr {
    *address.lock().unwrap_or_else(PoisonError::into_inner)
}

fn on_tokio(mut builder: Builder, script: Script) -> Result<(), String> {
    let runtime = builder.worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let task = runtime.spawn(script);
    runtime.block_on(task).map_err(|error| error.to_string())?
}

fn run_on_tokio(task: Waiting<'static, ()>) -> Waiting<'static, bool> {
    Box::pin(async move {
        tokio::spawn(task)
            .await
            .is_err_and(|error| error.is_panic())
    })
}

/// A task cannot be ended from outside, but a runtime can: who is to be ended gets one of its own.
fn start_on_tokio(builder: fn() -> Builder, start: Start) -> Starting {
    match start.is_mortal {
        false => Box::pin(connect_on_tokio(start)),
        true => Box::pin(async move {
            let (started, when_started) = oneshot::channel();
            let (end, when_ended) = oneshot::channel::<()>();
            thread::spawn(move || {
                let Ok(runtime) = builder().worker_threads(1).enable_all().build() else {
                    return;
                };
                runtime.block_on(async {
                    let _ = started.send(connect_on_tokio(start).await);
                    let _ = when_ended.await;
                });
            });
            let started = when_started.await.map_err(|error| error.to_string())??;
            let end = Box::pin(async move { end.send(()).unwrap_or_default() });
            Ok(Started { end, ..started })
        }),
    }
}

async fn connect_on_tokio(Start { options, at, .. }: Start) -> Result<Started, String> {
    let client = match at {
        None => kaa_tokio::Client::connect(options).await,
        Some(at) => {
            let connector = move |_| tokio::net::TcpStream::connect(present(&at));
            kaa_tokio::Client::connect_with(options, connector).await
        }
    };
    Ok(Started::immortal((*client.map_err(shown)?).clone()))
}

/// `spawn` spawns the driver, and gives what ends it.
async fn start_mortal(
    options: Options,
    spawn: impl FnOnce(kaa_smol::Driver) -> Waiting<'static, ()>,
) -> Result<Started, String> {
    let (client, driver) = kaa_smol::Client::with_driver(options)
        .await
        .map_err(shown)?;
    Ok(Started {
        end: spawn(driver),
        ..Started::immortal((*client).clone())
    })
}

async fn start_on_smol(
    Start {
        options,
        at,
        is_mortal,
    }: Start,
) -> Result<Started, String> {
    if is_mortal {
        return start_mortal(options, |driver| {
            let driving = smol::spawn(driver);
            Box::pin(async move { driving.cancel().await.unwrap_or_default() })
        })
        .await;
    }
    let client = match at {
        None => kaa_smol::Client::connect(options).await,
        Some(at) => {
            let connector = move |_| smol::net::TcpStream::connect(present(&at));
            kaa_smol::Client::connect_with(options, connector).await
        }
    };
    Ok(Started::immortal((*client.map_err(shown)?).clone()))
}

async fn start_on_async_std(
    Start {
        options,
        at,
        is_mortal,
    }: Start,
) -> Result<Started, String> {
    if is_mortal {
        return start_mortal(options, |driver| {
            let driving = async_std::task::spawn(driver);
            Box::pin(async move { driving.cancel().await.unwrap_or_default() })
        })
        .await;
    }
    let client = match at {
        None => kaa_smol::async_std::Client::connect(options).await,
        Some(at) => {
            let connector = move |_| async_std::net::TcpStream::connect(present(&at));
            kaa_smol::async_std::Client::connect_with(options, connector).await
        }
    };
    Ok(Started::immortal((*client.map_err(shown)?).clone()))
}

fn start_on_threads(Start { options, at, .. }: Start) -> Result<Started, String> {
    let client = match at {
        None => std_binding::connect(options),
        Some(at) => std_binding::connect_with(options, move || TcpStream::connect(present(&at))),
    };
    client.map(Started::immortal).map_err(shown)
}

async fn sleep_on_a_thread(time: Duration) {
    let (woken, when_woken) = oneshot::channel();
    thread::spawn(move || {
        thread::sleep(time);
        let _ = woken.send(());
    });
    let _ = when_woken.await;
}

fn run_on_a_thread(task: Waiting<'static, ()>) -> bool {
    thread::spawn(|| std_binding::wait(task)).join().is_err()
}

fn shown(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Runs a task to its end, or until it panics; whether it did.
async fn guarded(mut task: Waiting<'static, ()>) -> bool {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    std::future::poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut task).poll(context)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(false),
            Err(_) => Poll::Ready(true),
        }
    })
    .await
}
