//! The command ledger: what became of each command, however it arrived.
//!
//! The platform repeats a command until its result is accepted, and commands are "often not
//! idempotent" (11/CEP; FACTS trap 26). So each is surfaced once; a repeated one that is finished
//! gets its stored result sent again.
//!
//! ```text
//!            surfaced              finished
//!  (unknown) ────────▶ InProgress ─────────▶ Finished ──▶ evicted, the oldest confirmed first
//!      ▲                   │                     │
//!      └───── released ────┘          repeated: stored result is sent again
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use super::interrupted::WhenInterrupted;
use super::journal::Mark;
use crate::commands::{Command, CommandId, CommandResult, Report};
use crate::names::CommandType;
use crate::rare::Blank;
use crate::request::StoredResult;

/// One command of an endpoint: IDs are unique only within a type (11/CEP).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommandKey {
    command_type: CommandType,
    id: CommandId,
}

impl CommandKey {
    /// The command of this type and ID.
    #[must_use]
    pub const fn new(command_type: CommandType, id: CommandId) -> Self {
        Self { command_type, id }
    }

    /// The request that reports its result.
    pub(crate) fn report(&self, result: CommandResult) -> Report {
        Report::new(self.command_type.clone(), self.id.clone(), result)
    }

    /// Its type.
    #[must_use]
    pub const fn command_type(&self) -> &CommandType {
        &self.command_type
    }

    /// Its ID.
    #[must_use]
    pub const fn id(&self) -> &CommandId {
        &self.id
    }
}

impl From<&Command> for CommandKey {
    fn from(command: &Command) -> Self {
        Self::new(command.command_type().clone(), command.id().clone())
    }
}

impl fmt::Debug for CommandKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandKey({}/{:?})", self.command_type, self.id)
    }
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// What became of each known command.
    states: BTreeMap<CommandKey, State>,
    /// Finished ones, oldest first.
    finished: VecDeque<CommandKey>,
    /// Surfaced and not yet read, oldest first, each with what must be stored before it is.
    unread: VecDeque<(Mark, Command)>,
    /// What they take.
    unread_bytes: usize,
    /// Types of which a command was left with the platform for want of room.
    held: BTreeSet<CommandType>,
    /// The type that was asked for last to find out what is still outstanding, and when.
    listed: Option<(Instant, CommandType)>,
}

impl Blank for Ledger {
    const BLANK: &'static Self = &Self {
        states: BTreeMap::new(),
        finished: VecDeque::new(),
        unread: VecDeque::new(),
        unread_bytes: 0,
        held: BTreeSet::new(),
        listed: None,
    };
}

/// A result that is refused so often on a link is refused for good, as far as that link goes: its
/// acknowledgement says nothing, and it is sent only if its command is offered.
const MAX_REFUSALS: u8 = 2;

/// How long nobody asks again what is outstanding: the time of a command, unless an operator says
/// otherwise.
const LIST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug)]
enum State {
    /// Surfaced; the application has not answered.
    ///
    /// Exits: `Finished`; unknown when released.
    InProgress(Surfaced),
    /// Was in progress when the program ended.
    ///
    /// Exits: `InProgress` when it is offered again; `Finished`; unknown when the platform is done with
    /// it.
    Interrupted(Surfaced),
    /// Answered.
    ///
    /// Exits: unknown when evicted.
    Finished(Finished),
}

/// A command that the application had.
#[derive(Clone, Copy, Debug)]
struct Surfaced {
    /// How often, in this run of the program and earlier ones.
    times: u32,
}

#[derive(Debug)]
struct Finished {
    result: StoredResult,
    /// The platform took the result at least once.
    confirmed: bool,
    /// A message with the result is queued or in flight.
    sending: bool,
    /// How often the platform refused it on this link.
    refusals: u8,
}

/// How a message with a result ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResultEnd {
    /// The platform says that it took the result.
    Answered,
    /// PUBACK: it took the result, unless it says otherwise.
    Acknowledged,
    Refused,
    Unknown,
}

/// What is to be done with a command that the platform offers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// Surface it. `interruptions` tells how often it was in progress when the program ended, if the
    /// application is to know.
    Surface { interruptions: u32 },
    /// It was interrupted, and is to be answered with a failure.
    Fail,
    /// The application has it, or its result is on the way.
    Running,
    /// It was finished, and forgotten a short while ago.
    Late,
    /// It is finished: send this result again.
    Resend(StoredResult),
    /// There is no room: leave it with the platform.
    NoRoom,
}

impl Ledger {
    /// Judges a command; one to be surfaced is in progress from now on.
    pub(super) fn offer(&mut self, key: &CommandKey, max: usize, policy: WhenInterrupted) -> Offer {
        match self.states.get_mut(key) {
            Some(State::InProgress(_)) => return Offer::Running,
            Some(State::Interrupted(surfaced)) if policy.fails(surfaced.times) => {
                return Offer::Fail;
            }
            Some(state @ State::Interrupted(_)) => {
                let interruptions = state.surface_again();
                let is_told = policy.is_told();
                return Offer::Surface {
                    interruptions: if is_told { interruptions } else { 0 },
                };
            }
            Some(State::Finished(finished)) if finished.sending => return Offer::Running,
            Some(State::Finished(finished)) => {
                finished.sending = true;
                return Offer::Resend(finished.result.clone());
            }
            None => {}
        }
        if self.states.len() >= max {
            return Offer::NoRoom;
        }
        self.states
            .insert(key.clone(), State::InProgress(Surfaced::ONCE));
        Offer::Surface { interruptions: 0 }
    }

    /// Keeps the result of a command; it is about to be sent.
    ///
    /// `false` if there is no room to keep it.
    pub(super) fn finish(
        &mut self,
        command_type: &CommandType,
        result: &StoredResult,
        max: usize,
    ) -> bool {
        let key = CommandKey::new(command_type.clone(), result.id.clone());
        if !self.is_known(&key) && self.states.len() >= max {
            return false;
        }
        if !matches!(self.states.get(&key), Some(State::Finished(_))) {
            self.finished.push_back(key.clone());
        }
        let finished = Finished {
            result: result.clone(),
            confirmed: false,
            sending: true,
            refusals: 0,
        };
        self.states.insert(key, State::Finished(finished));
        true
    }

    /// A message with the result ended. Whether the platform now took it for the first time.
    pub(super) fn handle_result_end(&mut self, key: &CommandKey, end: ResultEnd) -> bool {
        let Some(State::Finished(finished)) = self.states.get_mut(key) else {
            return false;
        };
        finished.sending = false;
        match end {
            ResultEnd::Answered => finished.refusals = 0,
            ResultEnd::Acknowledged if finished.is_refused() => return false,
            ResultEnd::Acknowledged => {}
            ResultEnd::Refused => {
                finished.refuse();
                return false;
            }
            ResultEnd::Unknown => return false,
        }
        !std::mem::replace(&mut finished.confirmed, true)
    }

    /// There is no room: the oldest result that the platform did not take is to be sent once more, so
    /// that there is some when it takes it. Nobody may ever offer its command again.
    pub(super) fn retry(&mut self) -> Option<(CommandType, StoredResult)> {
        let Self {
            states, finished, ..
        } = self;
        finished.iter().find_map(|key| match states.get_mut(key) {
            Some(State::Finished(finished)) if finished.is_to_be_retried() => {
                finished.sending = true;
                Some((key.command_type.clone(), finished.result.clone()))
            }
            _ => None,
        })
    }

    /// The platform refused a result that it had acknowledged. It may offer the command again, so the
    /// result is kept for that; it is returned if it counted as taken until now.
    pub(super) fn handle_result_refused(&mut self, key: &CommandKey) -> Option<StoredResult> {
        let State::Finished(finished) = self.states.get_mut(key)? else {
            return None;
        };
        finished.refuse();
        let was_taken = std::mem::replace(&mut finished.confirmed, false);
        was_taken.then(|| finished.result.clone())
    }

    /// The type of which to find out what is still outstanding, because results that were refused for
    /// good leave no room: each in its turn, and not too often.
    pub(super) fn list_next(&mut self, now: Instant) -> Option<CommandType> {
        let (at, last) = self.listed.as_ref().map(|(at, last)| (*at, last)).unzip();
        if at.is_some_and(|at| now < at + LIST_PAUSE) {
            return None;
        }
        let is_refused = |state: &State| matches!(state, State::Finished(f) if f.is_refused());
        let refused = self.states.iter().filter(|(_, state)| is_refused(state));
        let types: BTreeSet<_> = refused.map(|(key, _)| &key.command_type).collect();
        let after = types
            .iter()
            .find(|name| last.is_none_or(|last| **name > last));
        let next = (*after.or_else(|| types.first())?).clone();
        self.listed = Some((now, next.clone()));
        Some(next)
    }

    /// On a new link what was refused may be taken.
    pub(super) fn handle_link_up(&mut self) {
        for state in self.states.values_mut() {
            if let State::Finished(finished) = state {
                finished.refusals = 0;
            }
        }
    }

    /// The platform listed all commands of a type that are outstanding: of the finished ones, it
    /// is done with those that it did not name (11/CEP). Returns them.
    pub(super) fn settle(
        &mut self,
        command_type: &CommandType,
        listed: &[Command],
    ) -> Vec<CommandKey> {
        let mut settled = Vec::new();
        for (key, state) in &mut self.states {
            match state {
                State::Finished(finished)
                    if !finished.sending
                        && !finished.confirmed
                        && is_missing(key, command_type, listed) =>
                {
                    finished.confirmed = true;
                    settled.push(key.clone());
                }
                State::Finished(_) | State::Interrupted(_) | State::InProgress(_) => {}
            }
        }
        settled
    }

    /// The platform listed all commands of a type that are outstanding: it is done with the interrupted
    /// ones that it did not name, and they are forgotten. Returns them.
    pub(super) fn forget_interrupted(
        &mut self,
        command_type: &CommandType,
        listed: &[Command],
    ) -> Vec<CommandKey> {
        let is_over = |(key, state): &(&CommandKey, &State)| {
            matches!(state, State::Interrupted(_)) && is_missing(key, command_type, listed)
        };
        let over = self.states.iter().filter(is_over);
        let over: Vec<_> = over.map(|(key, _)| key.clone()).collect();
        for key in &over {
            self.states.remove(key);
        }
        over
    }

    /// Forgets that a command was surfaced in this run: the next delivery surfaces it again. How
    /// often earlier runs had surfaced it, which stays known; `None` if it is not in progress.
    pub(super) fn release(&mut self, key: &CommandKey) -> Option<u32> {
        let State::InProgress(surfaced) = self.states.get_mut(key)? else {
            return None;
        };
        let times = surfaced.times.saturating_sub(1);
        if times == 0 {
            self.states.remove(key);
        } else {
            self.restore_in_progress(key.clone(), times);
        }
        Some(times)
    }

    /// Keeps a surfaced command until it is read, and `mark` is stored.
    pub(super) fn push_unread(&mut self, mark: Mark, command: Command) {
        self.unread_bytes += command.size();
        self.unread.push_back((mark, command));
    }

    /// What the commands take that are surfaced and not yet read, in bytes.
    pub(super) const fn unread_bytes(&self) -> usize {
        self.unread_bytes
    }

    /// How many commands of a type are surfaced and not yet read.
    pub(super) fn unread_len(&self, command_type: &CommandType) -> usize {
        let commands = self.unread.iter().map(|(_, command)| command);
        let of_type = |command: &&Command| command.command_type() == command_type;
        commands.filter(of_type).count()
    }

    /// Releases the commands of a type that nobody has read, and says which.
    pub(super) fn release_unread(&mut self, command_type: &CommandType) -> Vec<(CommandKey, u32)> {
        let (released, unread) = std::mem::take(&mut self.unread)
            .into_iter()
            .partition(|(_, command)| command.command_type() == command_type);
        self.unread = unread;
        self.unread_bytes = self.unread.iter().map(|(_, command)| command.size()).sum();
        let released: VecDeque<(Mark, Command)> = released;
        let keys = released
            .iter()
            .map(|(_, command)| CommandKey::from(command));
        keys.filter_map(|key| self.release(&key).map(|times| (key, times)))
            .collect()
    }

    /// The types of which commands are surfaced and not yet read.
    pub(super) fn unread_types(&self) -> BTreeSet<CommandType> {
        let commands = self.unread.iter();
        let types = commands.map(|(_, command)| command.command_type().clone());
        types.collect()
    }

    pub(super) fn poll(
        &mut self,
        wanted: impl Fn(&CommandType) -> bool,
        is_stored: impl Fn(Mark) -> bool,
    ) -> Option<Command> {
        let mut unread = self.unread.iter();
        let place = unread
            .position(|(mark, command)| is_stored(*mark) && wanted(command.command_type()))?;
        let (_, command) = self.unread.remove(place)?;
        self.unread_bytes -= command.size();
        Some(command)
    }

    /// Remembers that there was no room for a command of this type; `false` if it was known.
    pub(super) fn hold(&mut self, command_type: &CommandType) -> bool {
        self.held.insert(command_type.clone())
    }

    /// Whether a command is in the ledger.
    pub(super) fn is_known(&self, key: &CommandKey) -> bool {
        self.states.contains_key(key)
    }

    /// Whether a command that was interrupted is surfaced once more where it is offered.
    pub(super) fn comes_again(&self, key: &CommandKey, policy: WhenInterrupted) -> bool {
        matches!(self.states.get(key), Some(State::Interrupted(surfaced)) if !policy.fails(surfaced.times))
    }

    /// Whether the application has a command and has not answered it.
    pub(super) fn is_in_progress(&self, key: &CommandKey) -> bool {
        matches!(
            self.states.get(key),
            Some(State::InProgress(_) | State::Interrupted(_))
        )
    }

    /// The types of which commands were held back, if there is room now.
    pub(super) fn take_held(
        &mut self,
        max: usize,
        max_unread: usize,
        max_unread_bytes: usize,
    ) -> BTreeSet<CommandType> {
        // The whole list would else be asked for with each that is read.
        if self.held.is_empty() || self.unread_bytes > max_unread_bytes / 2 {
            return BTreeSet::new();
        }
        let has_room = self.states.len() < max || self.evictable().is_some();
        let is_ready = |command_type: &CommandType| {
            self.unread_len(command_type) <= max_unread / 2
                && (has_room || self.has_interrupted(command_type))
        };
        let held = self.held.iter().cloned();
        let (ready, held) = held.partition(is_ready);
        self.held = held;
        ready
    }

    /// The commands that the application had and has not answered, and how often each was surfaced.
    pub(super) fn surfaced(&self) -> impl Iterator<Item = (CommandKey, u32)> {
        self.states.iter().filter_map(|(key, state)| match state {
            State::InProgress(surfaced) | State::Interrupted(surfaced) => {
                Some((key.clone(), surfaced.times))
            }
            State::Finished(_) => None,
        })
    }

    /// The results that are kept, the oldest first, and whether the platform took each.
    pub(super) fn results(&self) -> impl Iterator<Item = (CommandKey, StoredResult, bool)> {
        self.finished.iter().filter_map(|key| {
            let State::Finished(finished) = self.states.get(key)? else {
                return None;
            };
            Some((key.clone(), finished.result.clone(), finished.confirmed))
        })
    }

    /// Puts back a command that was in progress, as a store kept it; how often it was surfaced.
    pub(super) fn restore_in_progress(&mut self, key: CommandKey, times: u32) {
        self.states
            .insert(key, State::Interrupted(Surfaced { times }));
    }

    /// Puts back a finished command, as a store kept it; the oldest comes first.
    pub(super) fn restore_finished(
        &mut self,
        key: CommandKey,
        result: StoredResult,
        confirmed: bool,
    ) {
        self.finished.push_back(key.clone());
        let finished = Finished {
            result,
            confirmed,
            sending: false,
            refusals: 0,
        };
        self.states.insert(key, State::Finished(finished));
    }

    /// Makes room for one more, if need be and if it can, by forgetting the oldest finished
    /// command whose result the platform took. One whose result it never took would be run again.
    pub(super) fn make_room(&mut self, max: usize) -> Option<CommandKey> {
        if self.states.len() < max {
            return None;
        }
        let key = self.evictable()?;
        self.finished.retain(|other| *other != key);
        self.states.remove(&key);
        Some(key)
    }

    /// Whether a command of this type was interrupted: it has its room already.
    fn has_interrupted(&self, command_type: &CommandType) -> bool {
        self.states.iter().any(|(key, state)| {
            matches!(state, State::Interrupted(_)) && key.command_type == *command_type
        })
    }

    fn evictable(&self) -> Option<CommandKey> {
        let mut finished = self.finished.iter();
        finished.find(|key| self.is_confirmed(key)).cloned()
    }

    fn is_confirmed(&self, key: &CommandKey) -> bool {
        matches!(self.states.get(key), Some(State::Finished(f)) if f.confirmed && !f.sending)
    }
}

/// Whether a command of this type is not in the list.
fn is_missing(key: &CommandKey, command_type: &CommandType, listed: &[Command]) -> bool {
    key.command_type == *command_type && listed.iter().all(|command| *command.id() != key.id)
}

impl Surfaced {
    const ONCE: Self = Self { times: 1 };
}

impl Finished {
    const fn refuse(&mut self) {
        self.refusals = self.refusals.saturating_add(1);
    }

    const fn is_refused(&self) -> bool {
        self.refusals >= MAX_REFUSALS
    }

    const fn is_to_be_retried(&self) -> bool {
        !self.sending && !self.confirmed && !self.is_refused()
    }
}

impl State {
    /// An interrupted command is surfaced once more; how often it was before.
    fn surface_again(&mut self) -> u32 {
        match self {
            Self::Interrupted(surfaced) => {
                let before = surfaced.times;
                let times = before.saturating_add(1);
                *self = Self::InProgress(Surfaced { times });
                before
            }
            Self::InProgress(_) | Self::Finished(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests;
