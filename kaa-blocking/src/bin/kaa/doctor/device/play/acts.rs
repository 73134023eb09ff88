//! What the doctor does with the link: lets it be, pushes, cuts, refuses, swallows.

use std::time::Duration;

use super::{SECOND, Stage};
use crate::doctor::device::delays::{FEWEST, telling};
use crate::doctor::device::desk::Desk;
use crate::doctor::device::judge::{pauses, watch_dead_link, watch_keep_alive};
use crate::doctor::device::record::{Act, By, Record, What};
use crate::doctor::device::wire::Packet;

/// How long a device may take to begin with what it does.
const BEGINS: Duration = Duration::from_secs(5);

/// How long an outage is at least, so that there is something to queue.
const OUTAGE: Duration = Duration::from_secs(6);

/// How many pauses between dials are more than enough to say how they grow.
const PAUSES: usize = 8;

impl Stage<'_> {
    pub(super) fn calm(&mut self) {
        self.speaks_up();
        self.pause(2 * SECOND);
    }

    pub(super) fn push(&mut self) {
        self.speaks_up();
        let topic = self.topic("nobody/asked/status");
        if self.act(|desk| desk.push_unknown(&topic)) {
            self.wait(10 * SECOND, |record| {
                let mut heard = record.heard();
                heard.any(|(_, _, packet)| matches!(packet, Packet::PubAck(60_000..)))
            });
            self.speaks(self.left());
        }
    }

    pub(super) fn odd_packets(&mut self) {
        self.speaks_up();
        let topic = self.topic("large/status");
        if !self.act(|desk| desk.push_oversized(&topic)) || !self.speaks(self.left()) {
            return;
        }
        self.pause(SECOND);
        while !self.act(Desk::push_malformed) {
            if !self.speaks(self.left()) {
                return;
            }
        }
        self.speaks(self.left());
        self.pause(SECOND);
    }

    pub(super) fn cut(&mut self) {
        let speaks = self.speaks_up();
        self.act(|desk| {
            desk.note(What::Did(Act::Cut));
            desk.cut();
        });
        if self.wait(self.left(), |record| is_back(record, &Act::Cut)) && speaks {
            self.wait(self.left(), |record| has_spoken(record, &Act::Cut));
        }
        self.pause(SECOND);
    }

    /// Refuses the device in some way, for as long as it takes to see how it dials.
    pub(super) fn outage(&mut self, refuse: impl FnOnce(&mut Desk)) {
        // What it sends shows what is missing later.
        self.wait(2 * BEGINS, |record| record.published().count() > 5);
        self.act(|desk| {
            desk.note(What::Did(Act::Refuses));
            refuse(desk);
            desk.cut();
        });
        let shown = |record: Record<'_>| {
            let refused = record.from(|act| *act == Act::Refuses);
            refused.map_or(0, |refused| telling(&pauses(refused)).len())
        };
        // Half of the time, or a quarter if that is enough.
        let quarter = self.left() / 4;
        self.pause(OUTAGE);
        self.wait(quarter, |record| shown(record) >= PAUSES);
        self.wait(quarter, |record| shown(record) >= FEWEST);
        self.act(|desk| {
            desk.note(What::Did(Act::Welcomes));
            (desk.conduct.closes, desk.conduct.refuses) = (false, None);
        });
        if self.wait(self.left(), |record| is_back(record, &Act::Welcomes)) {
            self.wait(BEGINS, |record| has_spoken(record, &Act::Welcomes));
            self.pause(3 * SECOND);
        }
    }

    pub(super) fn quiet(&mut self) {
        let watch = watch_keep_alive(self.keep_alive());
        self.wait(watch + SECOND, |record| {
            record
                .heard()
                .any(|(_, _, packet)| *packet == Packet::PingReq)
        });
    }

    pub(super) fn dead_link(&mut self) {
        self.speaks_up();
        self.pause(SECOND);
        self.act(|desk| {
            desk.note(What::Did(Act::Silences));
            desk.conduct.silences = true;
        });
        let watch = watch_dead_link(self.keep_alive());
        self.wait(watch + SECOND, |record| {
            let after = record.from(|act| *act == Act::Silences);
            let is_closed = |what: &What| matches!(what, What::Closed(_, By::Device));
            after.is_some_and(|after| after.0.iter().any(|entry| is_closed(&entry.what)))
        });
    }

    pub(super) fn goodbye(&mut self) {
        self.speaks_up();
        self.pause(SECOND);
        let Some(program) = &self.program else {
            return;
        };
        self.note(Act::Terminates);
        program.terminate();
        self.wait(10 * SECOND, |record| {
            let after = record.from(|act| *act == Act::Terminates);
            let is_closed = |what: &What| matches!(what, What::Closed(_, By::Device));
            after.is_some_and(|after| after.0.iter().any(|entry| is_closed(&entry.what)))
        });
        self.pause(SECOND / 2);
    }

    /// Waits until it has said something of its own; whether it did.
    fn speaks_up(&mut self) -> bool {
        self.wait(BEGINS, |record| record.published().next().is_some())
    }

    /// A topic of the endpoint in an extension that there is not.
    fn topic(&self, rest: &str) -> String {
        let name = self.endpoint();
        format!(
            "kp1/{}/doctor/{}/{rest}",
            name.app_version().as_str(),
            name.token().as_str()
        )
    }
}

/// Whether it was let in since.
fn is_back(record: Record<'_>, since: &Act) -> bool {
    let after = record.from(|act| act == since);
    after.is_some_and(|after| after.welcomes().next().is_some())
}

/// Whether it has published since.
fn has_spoken(record: Record<'_>, since: &Act) -> bool {
    let after = record.from(|act| act == since);
    after.is_some_and(|after| after.published().next().is_some())
}
