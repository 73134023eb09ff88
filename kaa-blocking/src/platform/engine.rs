//! The thread of a local platform: it waits for sockets, callers and the clock.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll};

use super::broker::{Broker, Change};
use super::host::Host;
use super::links::Links;
use super::news::News;
use super::shared::{Core, Over, Shared};
use super::tokens;
use super::uploads::Uploads;

/// How many sockets are looked at in one turn.
const EVENTS: usize = 1_024;

/// How devices reach the platform.
#[derive(Debug)]
pub(super) enum Front {
    Links(Links),
    Broker(Broker),
}

/// Everything that belongs to the thread.
pub(super) struct Engine {
    pub(super) poll: Poll,
    pub(super) front: Front,
    pub(super) uploads: Option<Uploads>,
    pub(super) shared: Arc<Shared>,
}

impl Engine {
    /// Serves until it is told to stop, or can no longer wait for sockets.
    pub(super) fn run(mut self) {
        let _over = Over::at_end(Arc::clone(&self.shared));
        if let Err(error) = self.serve() {
            let trouble = News::Trouble(format!("the platform has ended: {error}"));
            self.shared.lock().report(trouble);
        }
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            let now = Instant::now();
            for event in &events {
                self.handle_event(now, event);
            }
            let shared = Arc::clone(&self.shared);
            let mut core = shared.lock();
            self.turn(now, &mut core);
            let is_stopping = core.is_stopping;
            let has_news = core.collect();
            drop(core);
            if has_news {
                shared.notify();
            }
            if is_stopping {
                match &mut self.front {
                    Front::Links(links) => links.finish(),
                    Front::Broker(broker) => broker.finish(now),
                }
                return Ok(());
            }
        }
    }

    fn handle_event(&mut self, now: Instant, event: &Event) {
        let token = event.token();
        if token == tokens::WAKER {
            return;
        }
        if token == tokens::HTTP_LISTENER || tokens::upload(token).is_some() {
            if let Some(uploads) = &mut self.uploads {
                uploads.handle_event(now, event);
            }
            return;
        }
        match &mut self.front {
            Front::Links(links) => links.handle_event(now, event),
            Front::Broker(broker) => broker.handle_event(event),
        }
    }

    /// Takes in, looks at the clock, sends out.
    fn turn(&mut self, now: Instant, core: &mut Core) {
        let registry = self.poll.registry();
        if let Some(uploads) = &mut self.uploads {
            if let Some(trouble) = uploads.turn(now, &mut core.host, registry) {
                core.report(News::Trouble(trouble));
            }
        }
        match (&mut self.front, &mut core.host) {
            (Front::Links(links), Host::Listening(server)) => {
                let trouble = links.take_in(now, server, registry);
                server.handle_timeout(now);
                links.send_out(now, server);
                // Behind the events of its link.
                core.collect();
                while let Some((link, cause)) = links.poll_failure() {
                    core.report(News::TlsFailed { link, cause });
                }
                if let Some(trouble) = trouble {
                    core.report(News::Trouble(trouble));
                }
            }
            (Front::Broker(broker), Host::Attached(platform)) => {
                let first = broker.take_in(now, platform, registry);
                platform.handle_timeout(now);
                let second = broker.send_out(now, platform);
                for change in [first, second].into_iter().flatten() {
                    core.note(change);
                }
            }
            // Made together, they fit together.
            (Front::Links(_), Host::Attached(_)) | (Front::Broker(_), Host::Listening(_)) => {}
        }
    }

    /// How long nothing can happen unless a socket becomes ready; `None`: for ever.
    fn timeout(&self) -> Option<Duration> {
        let core = self.shared.lock();
        let uploads = self.uploads.as_ref();
        let (is_busy, front) = match (&self.front, &core.host) {
            (Front::Links(links), Host::Listening(server)) => {
                (links.is_busy(server), links.poll_timeout())
            }
            (Front::Links(links), Host::Attached(_)) => (false, links.poll_timeout()),
            (Front::Broker(broker), _) => (broker.is_busy(), broker.poll_timeout()),
        };
        if is_busy || uploads.is_some_and(Uploads::is_busy) {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            front,
            core.host.poll_timeout(),
            uploads.and_then(Uploads::poll_timeout),
        ];
        let earliest = deadlines.into_iter().flatten().min()?;
        Some(earliest.saturating_duration_since(Instant::now()))
    }
}

impl Core {
    /// Remembers whether the platform is attached, and reports it when it changes.
    fn note(&mut self, change: Change) {
        match change {
            Change::Attached => {
                self.is_ready = true;
                self.cause = None;
                self.report(News::Attached);
            }
            Change::Lost(cause) => {
                self.is_ready = false;
                if self.cause.as_ref() != Some(&cause) {
                    self.report(News::Trouble(format!("not attached: {cause}")));
                }
                self.cause = Some(cause);
            }
        }
    }
}
