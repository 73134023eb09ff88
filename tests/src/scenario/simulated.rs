//! The world in memory, on a simulated clock.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use kaa_proto::client::Client;
use kaa_proto::platform::{Event, Platform};
use rustls::ALL_VERSIONS;
use rustls::version::TLS12;

use super::{
    ClientHand, Given, IMPOSTOR, Network, Scenario, Setup, SharedClient, Waiting, World, play,
};
use crate::certificates::Authority;
use crate::rig::Rig;
use crate::tls_end::server_config_for;

/// How long a wait may take, in simulated time.
const PATIENCE: Duration = Duration::from_secs(900);

/// Plays a scenario in memory.
///
/// # Errors
/// As [`play`].
pub fn play_simulated(scenario: &Scenario, is_tls: bool) -> Result<(), String> {
    let setup = Setup::new(scenario.given, is_tls);
    let mut world = Simulated::new(setup);
    let played = pin!(play(scenario, setup, &mut world));
    match played.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err("nothing waits for real in memory".into()),
    }
}

struct Simulated {
    rig: Rig,
    /// Until it is handed out.
    client: Option<Client>,
    setup: Setup,
    /// When the present wait is over.
    patience: Instant,
}

impl Simulated {
    fn new(setup: Setup) -> Self {
        let options = setup.options("127.0.0.1:1");
        let read = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let options = match options.load_tls(read, Vec::new) {
            Ok(options) => options,
            Err(error) => panic!("{error}"),
        };
        let tls = setup.server_tls().map(|tls| {
            let client_ca = tls.client_ca.map(Authority::certificate_pem);
            let versions: &[_] = match setup.has(Given::Tls12) {
                true => &[&TLS12],
                false => ALL_VERSIONS,
            };
            server_config_for(&tls.identity, versions, client_ca.as_deref())
        });
        let (client, mut rig) = Rig::with(options, setup.platform(), tls);
        rig.refuses = setup.has(Given::Away);
        rig.impostor = setup.has(Given::Impostor).then_some(IMPOSTOR);
        let patience = rig.now() + PATIENCE;
        Self {
            rig,
            client: Some(client),
            setup,
            patience,
        }
    }

    /// Goes on to the next thing that happens; `false` if there is none within the patience.
    fn next(&mut self) -> bool {
        match self.rig.next() {
            Some(next) if next <= self.patience => {
                self.rig.advance(next);
                true
            }
            _ => false,
        }
    }
}

impl World for Simulated {
    fn connect(&mut self) -> Waiting<'_, Result<Box<dyn ClientHand>, String>> {
        let client = self
            .client
            .take()
            .ok_or_else(|| String::from("there is one client"));
        let hand = client.map(|client| Box::new(SharedClient(client)) as Box<dyn ClientHand>);
        Box::pin(std::future::ready(hand))
    }

    fn until<'a, T: Send + 'a>(&'a mut self, mut wait: Waiting<'a, T>) -> Waiting<'a, Option<T>> {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        self.patience = self.rig.now() + PATIENCE;
        let done = loop {
            // Polled only when it was woken: a wake that is missing is found.
            if flag.0.swap(false, Ordering::Relaxed) {
                if let Poll::Ready(done) = wait.as_mut().poll(&mut Context::from_waker(&waker)) {
                    break Some(done);
                }
            }
            self.rig.run();
            if !flag.0.load(Ordering::Relaxed) && !self.next() {
                break None;
            }
        };
        Box::pin(std::future::ready(done))
    }

    fn nap(&mut self, nth: usize) -> Waiting<'_, bool> {
        if nth == 0 {
            self.patience = self.rig.now() + PATIENCE;
        }
        self.rig.run();
        let is_more = self.next();
        Box::pin(std::future::ready(is_more))
    }

    fn settle(&mut self) {
        self.rig.run();
    }

    fn run(&mut self, mut task: Waiting<'static, ()>) -> Waiting<'_, bool> {
        let mut context = Context::from_waker(Waker::noop());
        let ended = catch_unwind(AssertUnwindSafe(|| {
            task.as_mut().poll(&mut context).is_ready()
        }));
        drop(catch_unwind(AssertUnwindSafe(|| drop(task))));
        Box::pin(std::future::ready(ended.is_err()))
    }

    fn end_driver(&mut self) -> Waiting<'_, ()> {
        self.rig.driver = None;
        self.rig.run();
        Box::pin(std::future::ready(()))
    }

    fn operate(&mut self, verb: &mut dyn FnMut(&mut Platform, Instant)) {
        let now = self.rig.now();
        self.rig.server.operate(now, |platform| verb(platform, now));
        self.rig.run();
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.rig.server.poll_event()
    }

    fn change(&mut self, network: Network) -> Result<(), String> {
        match network {
            Network::Away => {
                self.rig.refuses = true;
                self.rig.cut();
            }
            Network::Back => self.rig.refuses = false,
            Network::Cut => self.rig.cut(),
            Network::Mute => self.rig.mute_in(0),
            Network::MuteIn(bytes) => self.rig.mute_in(bytes),
            Network::MuteAfter(bytes) => self.rig.mute_after = Some(bytes),
            Network::Heal => self.rig.mute_after = None,
            // The core knows no addresses.
            Network::Restart | Network::Move => self.rig.restart(self.setup.platform()),
        }
        Ok(())
    }

    fn pass(&mut self, time: Duration) -> Result<(), String> {
        self.rig.pass(time);
        Ok(())
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
