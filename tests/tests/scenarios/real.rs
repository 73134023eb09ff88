//! The world with sockets: a platform in the process, behind a network that does what it is told.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use kaa_blocking::platform::{LocalOptions, LocalPlatform, LocalTls, News};
use kaa_proto::mqtt::Login;
use kaa_proto::platform::{Event, Platform};
use kaa_tests::certificates::Authority;
use kaa_tests::mosquitto::{self, Mosquitto};
use kaa_tests::scenario::{
    ClientHand, Given, IMPOSTOR, Network, Peer, Scenario, Setup, Step, Waiting, World, play,
};

use crate::gate::Gate;
use crate::runtime::{Address, Runtime, Start};

/// How long a wait may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a nap is at the most.
const NAP: Duration = Duration::from_millis(10);

/// Plays a scenario on a runtime.
///
/// # Errors
/// As [`play`].
pub(crate) fn play_real(
    scenario: &'static Scenario,
    runtime: Runtime,
    is_tls: bool,
) -> Result<(), String> {
    let setup = Setup::new(scenario.given, is_tls);
    let is_mortal = scenario
        .steps
        .iter()
        .any(|step| matches!(step, Step::EndDriver));
    let mut world = Real::new(runtime, setup, is_mortal)?;
    (runtime.play)(Box::pin(
        async move { play(scenario, setup, &mut world).await },
    ))
}

struct Real {
    runtime: Runtime,
    setup: Setup,
    is_mortal: bool,
    platform: LocalPlatform,
    /// What stands between the platform and the client.
    broker: Option<Mosquitto>,
    /// What the platform told while it was waited for.
    told: VecDeque<Event>,
    gate: Gate,
    /// Where the client's connector dials, if it has one.
    address: Address,
    /// Ends the driver.
    end: Option<Waiting<'static, ()>>,
}

impl Real {
    fn new(runtime: Runtime, setup: Setup, is_mortal: bool) -> Result<Self, String> {
        let (broker, platform, target) = match setup.peer() {
            Peer::Platform => {
                let platform = start(&setup)?;
                let target = platform.addr().ok_or("it listens")?;
                (None, platform, target)
            }
            Peer::Broker => {
                let (broker, platform) = start_behind_broker(&setup)?;
                let target = local(broker.port());
                (Some(broker), platform, target)
            }
        };
        let gate = Gate::new(target, !setup.has(Given::Away)).map_err(shown)?;
        if setup.has(Given::Impostor) {
            gate.impersonate(IMPOSTOR);
        }
        let address = Arc::new(Mutex::new(local(gate.port())));
        Ok(Self {
            runtime,
            setup,
            is_mortal,
            platform,
            broker,
            told: VecDeque::new(),
            gate,
            address,
            end: None,
        })
    }

    fn restart(&mut self) -> Result<(), String> {
        if let Some(broker) = &mut self.broker {
            broker.restart().map_err(shown)?;
            // It comes back by itself, and only then does the broker lead anywhere.
            loop {
                let news = self.platform.news(PATIENCE);
                let news = news.ok_or("it is not attached again")?;
                if let News::Event(event) = news {
                    self.told.push_back(event);
                } else if news == News::Attached {
                    return Ok(());
                }
            }
        }
        self.platform.stop();
        self.platform = start(&self.setup)?;
        self.gate.lead_to(self.platform.addr().ok_or("it listens")?);
        self.gate.cut();
        Ok(())
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn start(setup: &Setup) -> Result<LocalPlatform, String> {
    let mut options = LocalOptions::default();
    options.platform = setup.platform();
    if let Some(tls) = setup.server_tls() {
        let (chain, key) = (tls.identity.chain_pem, tls.identity.key_pem);
        let client_ca = tls.client_ca.map(Authority::certificate_pem);
        let client_ca = client_ca.as_ref().map(String::as_bytes);
        let tls = LocalTls::from_pem(chain.as_bytes(), key.as_bytes(), client_ca);
        options.tls = Some(tls.map_err(shown)?);
    }
    LocalPlatform::start(options).map_err(shown)
}

/// The platform goes in by a door without TLS.
fn start_behind_broker(setup: &Setup) -> Result<(Mosquitto, LocalPlatform), String> {
    let mut options = LocalOptions::default();
    options.platform = setup.platform();
    let mut broker = mosquitto::Setup::new();
    let mut login = None;
    if let Some((name, password)) = setup.user() {
        broker = broker.user(name, password);
        login = Some(Login::new(name).with_password(password.as_bytes()));
    }
    if let Some(tls) = setup.server_tls() {
        broker = broker.tls(&tls.identity).plain_door();
        if setup.has(Given::Tls12) {
            broker = broker.tls12();
        }
        if let Some(authority) = tls.client_ca {
            broker = broker.clients_of(authority);
        }
    }
    let broker = Mosquitto::start_with(broker).map_err(shown)?;
    let platform = LocalPlatform::attach(&broker.plain_url(), login, options).map_err(shown)?;
    platform.ready(PATIENCE).map_err(shown)?;
    Ok((broker, platform))
}

fn shown(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl World for Real {
    fn connect(&mut self) -> Waiting<'_, Result<Box<dyn ClientHand>, String>> {
        Box::pin(async {
            let at = self
                .setup
                .has(Given::Connector)
                .then(|| Arc::clone(&self.address));
            let start = Start {
                options: self.setup.options(&local(self.gate.port()).to_string()),
                at,
                is_mortal: self.is_mortal,
            };
            let started = (self.runtime.start)(start).await?;
            self.end = Some(started.end);
            Ok(started.client)
        })
    }

    fn until<'a, T: Send + 'a>(&'a mut self, mut wait: Waiting<'a, T>) -> Waiting<'a, Option<T>> {
        let sleep = self.runtime.sleep;
        Box::pin(async move {
            // The wait first: where it blocks, there is no other patience than its own.
            if let Poll::Ready(done) =
                std::future::poll_fn(|context| Poll::Ready(wait.as_mut().poll(context))).await
            {
                return Some(done);
            }
            let mut patience = sleep(PATIENCE);
            std::future::poll_fn(|context| match wait.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending => patience.as_mut().poll(context).map(|()| None),
            })
            .await
        })
    }

    fn nap(&mut self, nth: usize) -> Waiting<'_, bool> {
        let sleep = self.runtime.sleep;
        let time = NAP.min(Duration::from_millis(1 + nth as u64));
        let is_over = NAP.saturating_mul(u32::try_from(nth).unwrap_or(u32::MAX)) > PATIENCE;
        Box::pin(async move {
            sleep(time).await;
            !is_over
        })
    }

    fn run(&mut self, task: Waiting<'static, ()>) -> Waiting<'_, bool> {
        (self.runtime.run)(task)
    }

    fn end_driver(&mut self) -> Waiting<'_, ()> {
        let end = self.end.take();
        Box::pin(async move {
            if let Some(end) = end {
                end.await;
            }
        })
    }

    fn operate(&mut self, verb: &mut dyn FnMut(&mut Platform, Instant)) {
        self.platform.operate(|platform, now| verb(platform, now));
    }

    fn poll_event(&mut self) -> Option<Event> {
        let told = self.told.pop_front();
        told.or_else(|| self.platform.next_event(Duration::ZERO))
    }

    fn change(&mut self, network: Network) -> Result<(), String> {
        match network {
            Network::Away => self.gate.open(false),
            Network::Back => self.gate.open(true),
            Network::Cut => self.gate.cut(),
            Network::Mute => self.gate.mute_in(0),
            Network::MuteIn(bytes) => self.gate.mute_in(bytes),
            Network::MuteAfter(bytes) => self.gate.mute_after(Some(bytes)),
            Network::Heal => self.gate.mute_after(None),
            Network::Restart => self.restart()?,
            Network::Move => {
                self.gate.move_away().map_err(shown)?;
                let mut address = self.address.lock().unwrap_or_else(PoisonError::into_inner);
                *address = local(self.gate.port());
            }
        }
        Ok(())
    }

    fn pass(&mut self, _: Duration) -> Result<(), String> {
        Err("time passes at will in memory only".into())
    }
}
