//! The stream: lines come in, batches go out, outcomes come back.

use std::collections::VecDeque;
use std::mem;
use std::thread;
use std::time::{Duration, Instant};

use kaa_blocking::Ticket;
use kaa_blocking::raw::Call;
use kaa_blocking::request::{Adjusted, Failure, RequestExt as _, RequestId, Resend, SubmitError};
use kaa_blocking::telemetry;
use serde::Serialize;
use serde_json::value::RawValue;

use super::account::Account;
use super::batch::Batch;
use crate::confirm::ConfirmArgs;
use crate::connection::Session;
use crate::exit::Exit;
use crate::lines::{Flaw, Line, Lines, Next};
use crate::outcome::Outcome;
use crate::output::{Printer, say};
use crate::problem::Problem;
use crate::progress::Progress;
use crate::stop::LOOK;

/// How many messages may wait for their outcome, and with a store, those of earlier runs among them:
/// half of what the queue has room for, so that what was read at the end fits too.
const MAX_WAITING: usize = 1_000;
const MAX_STORED: usize = 5_000;
/// How many bytes of input they may hold: half of it, too.
const MAX_BYTES: u64 = 2 * 1_024 * 1_024;

/// How long the rest of the input, and then what is on its way, may take at the end.
const FAREWELL: Duration = Duration::from_secs(2);

type Message = Adjusted<telemetry::Batch<Box<RawValue>>>;

/// How samples are sent.
pub(super) struct Plan {
    pub(super) batch: usize,
    pub(super) every: Duration,
    /// They come from standard input.
    pub(super) is_stream: bool,
    pub(super) has_each: bool,
    pub(super) resend: Resend,
    pub(super) has_store: bool,
    pub(super) confirm: ConfirmArgs,
}

/// A message on its way.
struct Sent {
    ticket: Ticket<Message>,
    lines: Vec<u64>,
    samples: u64,
    bytes: u64,
}

/// A message of an earlier run that goes on.
struct Earlier {
    ticket: Ticket<Call>,
    bytes: u64,
    resend: Resend,
}

#[derive(Serialize)]
struct Each<'a> {
    line: u64,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

pub(super) struct Sender {
    session: Session,
    plan: Plan,
    batch: Batch,
    sent: VecDeque<Sent>,
    earlier: Vec<Earlier>,
    /// Bytes that wait, those of earlier runs too, and bytes of input that have ended.
    waiting: u64,
    ended: u64,
    account: Account,
    /// The last failure that people were told of.
    told: Option<String>,
    /// When something last ended, or began to wait.
    moved: Instant,
    /// When all that waits was last looked at.
    swept: Instant,
    progress: Option<Progress>,
    printer: Printer,
    /// A line for which there is no room yet.
    held: Option<Line>,
    /// People were told that the input has to wait.
    is_held: bool,
}

impl Sender {
    pub(super) fn new(session: Session, plan: Plan, total: Option<u64>) -> Self {
        let progress = plan.is_stream.then(|| Progress::show(total));
        Self {
            session,
            plan,
            batch: Batch::default(),
            sent: VecDeque::new(),
            earlier: Vec::new(),
            waiting: 0,
            ended: 0,
            account: Account::default(),
            told: None,
            moved: Instant::now(),
            swept: Instant::now(),
            progress,
            printer: Printer::default(),
            held: None,
            is_held: false,
        }
    }

    /// Sends all that comes, and waits for what becomes of it.
    pub(super) fn run(mut self, lines: &Lines) -> Result<Exit, Problem> {
        self.take_up()?;
        let is_whole = self.stream(lines)?;
        while is_whole && self.is_waiting() && !self.session.stop.is_stopping() {
            if self.is_stalled() {
                break;
            }
            thread::sleep(LOOK / 10);
            self.settle()?;
        }
        self.finish()
    }

    /// Takes up what an earlier run left in the store.
    fn take_up(&mut self) -> Result<(), Problem> {
        let Some(left) = self.session.device.recovered() else {
            return Ok(());
        };
        let (resumed, unknown) = (left.resumed.len(), left.unknown.len());
        if resumed + unknown > 0 {
            say(format_args!(
                "an earlier run left {resumed} messages that go on, and {unknown} with an unknown outcome"
            ));
        }
        for message in &left.unknown {
            self.account
                .add_earlier(&Outcome::failed(&Failure::OutcomeUnknown));
            if self.plan.has_each {
                let payload = String::from_utf8_lossy(&message.payload);
                say(format_args!("unknown whether it arrived: {payload}"));
            }
        }
        let device = &self.session.device;
        let earlier = left.resumed.iter().filter_map(|one| {
            let ticket = device.resumed(one.id)?;
            // Of those that go on only one that may be sent again counts as sent.
            let resend = match one.sent {
                true => Resend::AfterLinkLoss,
                false => Resend::Never,
            };
            Some(Earlier {
                ticket,
                bytes: one.payload.len() as u64,
                resend,
            })
        });
        self.earlier = earlier.collect();
        self.waiting = self.earlier.iter().map(|one| one.bytes).sum();
        // They were told.
        drop(device.take_recovered());
        Ok(())
    }

    /// Sends until the input ends; whether it did.
    fn stream(&mut self, lines: &Lines) -> Result<bool, Problem> {
        loop {
            self.settle()?;
            if self.session.stop.is_stopping() {
                self.take_rest(lines)?;
                return Ok(false);
            }
            let wait = self.batch.left(self.plan.every, Instant::now()).min(LOOK);
            match self.next(lines, wait) {
                Next::Line(line) if self.is_full() => {
                    self.held = Some(line);
                    if !self.may_wait() {
                        self.take_rest(lines)?;
                        return Ok(false);
                    }
                    thread::sleep(LOOK / 10);
                }
                Next::Line(line) => self.take(&line)?,
                Next::Nothing => {}
                Next::Failed(problem) => self.note(&problem),
                Next::End => {
                    self.flush()?;
                    return Ok(true);
                }
            }
            let Plan { batch, every, .. } = self.plan;
            if self.batch.is_due(batch, every, Instant::now()) {
                self.flush()?;
            }
        }
    }

    fn next(&mut self, lines: &Lines, wait: Duration) -> Next {
        let held = self.held.take().map(Next::Line);
        held.unwrap_or_else(|| lines.next_within(wait))
    }

    /// Sends what was taken from the input already, or tells that it cannot be: nobody else has it.
    fn take_rest(&mut self, lines: &Lines) -> Result<(), Problem> {
        lines.close();
        let deadline = Instant::now() + FAREWELL;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.next(lines, left) {
                Next::Line(line) => self.take(&line)?,
                Next::Failed(problem) => self.note(&problem),
                Next::Nothing | Next::End => return self.flush(),
            }
            if self.batch.samples.len() >= self.plan.batch {
                self.flush()?;
            }
        }
    }

    /// What was read before it is sent all the same.
    fn note(&mut self, problem: &Problem) {
        say(problem);
        self.account.note(problem.exit);
    }

    fn take(&mut self, line: &Line) -> Result<(), Problem> {
        if !self.batch.has_room(line.bytes) {
            self.flush()?;
        }
        if let Err(problem) = self.batch.add(line, Instant::now()) {
            say(&problem);
            self.ended += line.bytes;
            let outcome = Outcome {
                reason: Some(problem),
                ..match line.text {
                    Err(Flaw::CutOff) => Outcome::new("not-sent", Exit::Interrupted),
                    _ => Outcome::new("invalid", Exit::Misuse),
                }
            };
            self.account.add(1, &outcome);
            return self.print_each(&[line.number], &outcome);
        }
        Ok(())
    }

    /// Sends the batch, if there is something in it.
    fn flush(&mut self) -> Result<(), Problem> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = mem::take(&mut self.batch);
        let samples = batch.samples.len() as u64;
        let message = telemetry::Batch::new(batch.samples)
            .confirm(self.plan.confirm.confirm())
            .resend(self.plan.resend)
            .answer_within(self.session.timeout);
        let message = match self.plan.has_store {
            true => message.durable(),
            false => message,
        };
        let outcome = loop {
            match self.session.device.submit(&message) {
                Ok(ticket) => {
                    if !self.is_waiting() {
                        self.moved = Instant::now();
                    }
                    self.waiting += batch.bytes;
                    self.sent.push_back(Sent {
                        ticket,
                        lines: batch.lines,
                        samples,
                        bytes: batch.bytes,
                    });
                    return Ok(());
                }
                Err(SubmitError::QueueFull(_))
                    if !self.session.stop.is_stopping() && self.may_wait() =>
                {
                    thread::sleep(LOOK / 10);
                    self.settle()?;
                }
                Err(error) => {
                    let is_full = matches!(error, SubmitError::QueueFull(_) | SubmitError::Closed);
                    let exit = match is_full {
                        true => Exit::Unreachable,
                        false => Exit::Misuse,
                    };
                    break Outcome {
                        reason: Some(error.to_string()),
                        ..Outcome::new("not-sent", exit)
                    };
                }
            }
        };
        self.ended += batch.bytes;
        self.tell(&outcome);
        self.account.add(samples, &outcome);
        self.print_each(&batch.lines, &outcome)
    }

    /// Takes the outcomes that are there: those of the oldest at once, others once in a while, because
    /// answers come in the order of the messages.
    fn settle(&mut self) -> Result<(), Problem> {
        while let Some(mut sent) = self.sent.pop_front() {
            let Some(ended) = sent.ticket.try_outcome() else {
                self.sent.push_front(sent);
                break;
            };
            self.end(&sent, &self.outcome(ended))?;
        }
        if self.swept.elapsed() < LOOK {
            return Ok(());
        }
        self.swept = Instant::now();
        for _ in 0..self.sent.len() {
            let Some(mut sent) = self.sent.pop_front() else {
                break;
            };
            match sent.ticket.try_outcome() {
                None => self.sent.push_back(sent),
                Some(ended) => self.end(&sent, &self.outcome(ended))?,
            }
        }
        self.settle_earlier();
        if let Some(progress) = &self.progress {
            progress.set(self.ended);
            let good = self.plan.confirm.outcome().outcome;
            let (count, waiting) = (
                self.account.count(good),
                self.sent.len() + self.earlier.len(),
            );
            progress.say(format!("{count} {good}, {waiting} messages waiting"));
        }
        Ok(())
    }

    fn outcome(&self, ended: Result<(), Failure>) -> Outcome {
        match ended {
            Ok(()) => self.plan.confirm.outcome(),
            Err(failure) => Outcome::failed(&failure),
        }
    }

    fn settle_earlier(&mut self) {
        let mut ended = Vec::new();
        self.earlier
            .retain_mut(|one| match one.ticket.try_outcome() {
                None => true,
                Some(outcome) => {
                    ended.push((one.bytes, outcome));
                    false
                }
            });
        for (bytes, one) in ended {
            self.moved = Instant::now();
            self.waiting -= bytes;
            let outcome = match one {
                Ok(_) => Outcome::confirmed(),
                Err(failure) => Outcome::failed(&failure),
            };
            self.tell(&outcome);
            self.account.add_earlier(&outcome);
        }
    }

    fn end(&mut self, sent: &Sent, outcome: &Outcome) -> Result<(), Problem> {
        self.moved = Instant::now();
        self.waiting -= sent.bytes;
        self.ended += sent.bytes;
        self.tell(outcome);
        self.account.add(sent.samples, outcome);
        self.print_each(&sent.lines, outcome)
    }

    /// Closes, tells what became of the rest, and gives the account.
    fn finish(mut self) -> Result<Exit, Problem> {
        let is_interrupted = self.session.stop.is_stopping();
        let is_open = self.is_waiting();
        let trouble = match is_open && !is_interrupted {
            true => self.session.ready().err(),
            false => None,
        };
        let left = self.session.client.shutdown(FAREWELL).unfinished;
        for mut sent in mem::take(&mut self.sent) {
            let outcome = match sent.ticket.try_outcome() {
                Some(ended) if ended != Err(Failure::Closed) => self.outcome(ended),
                _ => left_over(&left, sent.ticket.id(), self.plan.resend),
            };
            self.end(&sent, &outcome)?;
        }
        for mut one in mem::take(&mut self.earlier) {
            let outcome = match one.ticket.try_outcome() {
                Some(Ok(_)) => Outcome::confirmed(),
                Some(Err(failure)) if failure != Failure::Closed => Outcome::failed(&failure),
                _ => left_over(&left, one.ticket.id(), one.resend),
            };
            self.account.add_earlier(&outcome);
        }
        self.progress = None;
        if let Some(problem) = trouble {
            say(problem);
        }
        if is_interrupted {
            self.account.note(Exit::Interrupted);
        }
        if self.plan.is_stream {
            say(&self.account);
            if !self.plan.has_each {
                self.printer.print(&self.account)?;
            }
        }
        Ok(self.account.exit())
    }

    fn is_waiting(&self) -> bool {
        !self.sent.is_empty() || !self.earlier.is_empty()
    }

    fn is_full(&self) -> bool {
        let limit = match self.plan.has_store {
            true => MAX_STORED,
            false => MAX_WAITING,
        };
        self.sent.len() + self.earlier.len() >= limit || self.waiting >= MAX_BYTES
    }

    /// Whether what has no room may wait for it. It may for as long as something moves. After that
    /// only a stream into a store: nothing of it is to be lost, so whoever writes it waits.
    fn may_wait(&mut self) -> bool {
        if !self.is_stalled() {
            return true;
        }
        let may_wait = self.plan.has_store && self.plan.is_stream;
        if may_wait && !self.is_held {
            self.is_held = true;
            say(
                "there is no room to keep more: the input is held back until the platform takes some",
            );
        }
        may_wait
    }

    /// Nothing has ended for longer than an answer may take: not even by the lack of one.
    fn is_stalled(&self) -> bool {
        self.moved.elapsed() > self.session.timeout + Duration::from_secs(1)
    }

    /// Tells people of a failure, once for each kind in a row.
    fn tell(&mut self, outcome: &Outcome) {
        if outcome.exit == Exit::Done {
            return;
        }
        let words = match (outcome.status, &outcome.reason) {
            (Some(status), Some(reason)) => {
                format!("{} with status {status}: {reason}", outcome.outcome)
            }
            (Some(status), None) => format!("{} with status {status}", outcome.outcome),
            (None, Some(reason)) => format!("{}: {reason}", outcome.outcome),
            // The account says it.
            (None, None) => return,
        };
        if self.told.as_ref() != Some(&words) {
            say(&words);
            self.told = Some(words);
        }
    }

    fn print_each(&mut self, lines: &[u64], outcome: &Outcome) -> Result<(), Problem> {
        if !self.plan.is_stream {
            self.printer.print(outcome)?;
        } else if self.plan.has_each {
            for &line in lines {
                self.printer.print(&Each { line, outcome })?;
            }
        }
        Ok(())
    }
}

/// What became of a message that was there at the end.
fn left_over(
    left: &[(
        kaa_blocking::names::EndpointName,
        kaa_blocking::endpoint::Unfinished,
    )],
    id: RequestId,
    resend: Resend,
) -> Outcome {
    let found = left.iter().find(|(_, unfinished)| unfinished.id == id);
    match found.map(|(_, unfinished)| (unfinished.stored, unfinished.sent)) {
        Some((true, was_sent)) if !was_sent || resend == Resend::AfterLinkLoss => {
            Outcome::new("kept", Exit::Kept)
        }
        Some((_, false)) => Outcome::new("not-sent", Exit::Unreachable),
        Some((_, true)) | None => Outcome::new("unknown", Exit::Unknown),
    }
}
