//! What befalls a machine.

use std::time::{Duration, Instant};

use kaa_proto::platform::{LinkId, PlatformServer};

use super::machine::Machine;
use super::program::Storage;
use super::wire::Line;
use crate::dice::Dice;
use crate::disk::SimulatedDisk;
use crate::packets::publish;

/// When wall clocks begin: in 2027.
const WALL_CLOCK: Duration = Duration::from_secs(1_800_000_000);

/// What becomes of the links there are when the weather becomes calm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OldLinks {
    /// What they had swallowed arrives.
    Heal,
    /// What is dead stays dead.
    Stay,
    /// The platform ends them.
    Close,
}

impl Machine {
    /// Does something to its latest link.
    pub(super) fn on_link(&mut self, act: impl FnOnce(&mut Line)) {
        if let Some((_, line)) = self.lines.last_mut() {
            act(line);
        }
    }

    /// Ends the latest link at once, for both ends.
    pub(super) fn cut(&mut self, now: Instant, server: &mut PlatformServer) {
        self.on_link(|line| line.cut_after = Some(0));
        self.cut_due(now, server);
    }

    /// What was swallowed arrives after all.
    pub(super) fn reopen(&mut self) {
        for (_, line) in &mut self.lines {
            line.reopen();
        }
    }

    /// The platform ends all its links.
    pub(super) fn close_all(&mut self, now: Instant, server: &mut PlatformServer) {
        for (_, line) in &mut self.lines {
            if let Some(link) = line.server {
                line.close_down(now);
                server.handle_closed(now, link);
            }
        }
    }

    /// Takes what the platform has to say onto its way.
    pub(super) fn take_down(&mut self, now: Instant, server: &mut PlatformServer, dice: &mut Dice) {
        for (_, line) in &mut self.lines {
            let Some(link) = line.server else {
                continue;
            };
            let mut bytes = Vec::new();
            let length = server.poll_transmit(link, &mut bytes);
            if length == 0 {
                continue;
            }
            let is_kicked = line.take_down(now, &bytes, dice);
            server.handle_written(now, link, length);
            if is_kicked {
                line.close_down(now);
                server.handle_closed(now, link);
            }
        }
    }

    /// The platform has closed a link.
    pub(super) fn close_down(&mut self, now: Instant, link: LinkId) {
        let mut lines = self.lines.iter_mut();
        if let Some((_, line)) = lines.find(|(_, line)| line.server == Some(link)) {
            line.close_down(now);
        }
    }

    /// The wall clock of its disk is set, up to two days forward or back: what is very old is given
    /// up, and that is not what is looked for here.
    pub(super) fn set_wall_clock(&self, dice: &mut Dice) {
        if let Some(disk) = &self.disk {
            let seconds = dice.below(2 * 24 * 3_600);
            disk.set_clock(WALL_CLOCK + Duration::from_secs(seconds));
        }
    }

    /// Its disk fails to write.
    pub(super) fn break_disk(&mut self, act: impl FnOnce(&SimulatedDisk)) {
        if let Some(disk) = &self.disk {
            act(disk);
            if self.storage == Storage::Good {
                self.storage = Storage::Unreliable;
            }
        }
    }

    /// Its disk fails to sync.
    pub(super) fn fail_sync(&mut self) {
        if let Some(disk) = &self.disk {
            disk.fail_next_sync();
            self.storage = Storage::Doubtful;
        }
    }

    /// Answers to requests that nobody made, but that look much like its own latest ones.
    pub(super) fn foreign_answers(&self, dice: &mut Dice) -> Vec<u8> {
        let requests = self.recent.iter();
        requests
            .flat_map(|request| foreign_answer(request, dice))
            .collect()
    }

    /// Nothing goes wrong any more, but for what has befallen links that there are.
    pub(super) fn calm_down(&mut self, now: Instant, server: &mut PlatformServer, end: OldLinks) {
        match end {
            OldLinks::Heal => self.reopen(),
            // That a link is dead has to be found out.
            OldLinks::Stay => {}
            OldLinks::Close => self.close_all(now, server),
        }
        for (_, line) in &mut self.lines {
            line.mischief.clear();
            line.cut_after = None;
            line.is_kicked = false;
        }
        self.away_until = None;
        self.refused_until = None;
        self.stuck_until = None;
        self.asleep_until = None;
        self.kicks = 0;
        self.refusals = 0;
        if let Some(disk) = &self.disk {
            disk.set_room(u64::MAX);
        }
    }

    /// Whether nothing is left to do.
    pub(super) fn is_done(&self) -> bool {
        self.program.is_done()
    }

    /// What is left to do.
    pub(super) fn undone(&self) -> String {
        self.program.undone()
    }
}

/// An answer to a request that is not this one, but looks much like it.
fn foreign_answer(request: &str, dice: &mut Dice) -> Vec<u8> {
    let mut levels: Vec<String> = request.split('/').map(String::from).collect();
    let last = levels.len() - 1;
    let kind = ["status", "error"][dice.below(2) as usize];
    let mut end = format!("/{kind}");
    match dice.below(7) {
        // Higher than any ID that a client of 1/KP's advice comes to.
        0 => levels[last].push_str(&(1_000 + dice.below(9_000)).to_string()),
        1 => levels[last].insert_str(0, "1000"),
        2 => levels[3].push('x'),
        3 => levels[2].push('2'),
        4 => levels[1].push('0'),
        5 => end.push('x'),
        _ => end.push_str("/more"),
    }
    let payload = match kind {
        "status" => "",
        _ => r#"{"statusCode":499,"reasonPhrase":"not yours"}"#,
    };
    publish(
        (levels.join("/") + &end).as_bytes(),
        payload.as_bytes(),
        0,
        0,
    )
}
