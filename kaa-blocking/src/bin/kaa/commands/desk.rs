//! Where commands come in and results go out.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::time::{Duration, Instant};

use kaa_blocking::commands::{CommandResult, Report};
use kaa_blocking::request::Failure;
use kaa_blocking::{Command, Commands, Ticket};
use serde::Serialize;
use serde_json::value::RawValue;

use super::result::{self, Key};
use crate::connection::Session;
use crate::exec::Program;
use crate::exit::Exit;
use crate::json;
use crate::lines::{Lines, Next};
use crate::outcome::Outcome;
use crate::output::{Printer, say};
use crate::problem::Problem;
use crate::stop::LOOK;

/// How long results may take when the end was asked for.
const FAREWELL: Duration = Duration::from_secs(2);

/// A command as it is printed.
#[derive(Serialize)]
struct Printed<'a> {
    r#type: &'a str,
    id: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    /// An earlier run took it, and nobody knows how far it came.
    #[serde(skip_serializing_if = "is_false")]
    interrupted: bool,
}

/// A result as it is printed.
#[derive(Serialize)]
struct Reported {
    r#type: String,
    id: Box<RawValue>,
    #[serde(rename = "statusCode")]
    status: u16,
    #[serde(flatten)]
    outcome: Outcome,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// A result on its way.
struct Sent {
    key: Key,
    status: u16,
    ticket: Ticket<Report>,
}

pub(super) struct Desk {
    session: Session,
    has_store: bool,
    /// Printed, or begun and ended by us, and not answered yet.
    open: BTreeMap<Key, Command>,
    sent: VecDeque<Sent>,
    /// How many came, and how many of the results failed.
    taken: u64,
    failed: u64,
    exit: Exit,
    printer: Printer,
}

impl Desk {
    pub(super) fn new(session: Session, has_store: bool) -> Self {
        Self {
            session,
            has_store,
            open: BTreeMap::new(),
            sent: VecDeque::new(),
            taken: 0,
            failed: 0,
            exit: Exit::Done,
            printer: Printer::default(),
        }
    }

    /// Serves until there were `count` commands, or the program is to end.
    pub(super) fn serve(
        &mut self,
        mut commands: Commands,
        count: Option<u64>,
        program: Option<&Program>,
        mut results: Option<Lines>,
    ) -> Result<(), Problem> {
        // Commands that nobody reads stay with the platform; those that a program runs need no reader.
        while (program.is_some() || !self.printer.is_alone()) && !self.session.stop.is_stopping() {
            let has_all = count.is_some_and(|count| self.taken >= count);
            if has_all && (self.open.is_empty() || results.is_none()) {
                break;
            }
            let next = match has_all {
                // Others stay with the platform.
                true => {
                    std::thread::sleep(LOOK);
                    None
                }
                false => commands.next_within(LOOK),
            };
            if let Some(command) = next {
                self.taken += 1;
                match program {
                    Some(program) => self.execute(command, program),
                    None => self.print(command)?,
                }
            }
            let is_over = match &results {
                Some(lines) => self.take_results(lines, Duration::ZERO),
                None => false,
            };
            if is_over {
                results = None;
            }
            self.settle()?;
        }
        if let Some(lines) = results.filter(|_| !self.open.is_empty()) {
            // What was written is reported, whatever ended this.
            lines.close();
            self.take_results(&lines, FAREWELL);
        }
        Ok(())
    }

    /// Waits for the results on their way, and gives the account.
    pub(super) fn close(mut self) -> Result<Exit, Problem> {
        let deadline = Instant::now() + self.session.timeout;
        while !self.sent.is_empty() && Instant::now() < deadline && !self.session.stop.is_stopping()
        {
            std::thread::sleep(LOOK / 10);
            self.settle()?;
        }
        let open = mem::take(&mut self.open);
        let unanswered = open.len();
        if self.has_store {
            // Dropped they would be given back, and be new to the next run. Somebody may have begun
            // to run them: the store has to find them interrupted.
            mem::forget(open);
        }
        // Results on their way have a moment to get through, whatever ended this.
        drop(self.session.client.shutdown(FAREWELL));
        let mut waiting = 0_usize;
        for mut sent in mem::take(&mut self.sent) {
            match sent.ticket.try_outcome() {
                Some(Err(Failure::Closed)) | None => waiting += 1,
                Some(ended) => self.report(sent, &ended)?,
            }
        }
        let Self {
            taken,
            failed,
            mut exit,
            has_store,
            ..
        } = self;
        if waiting > 0 {
            exit = exit.and(match has_store {
                true => Exit::Kept,
                false => Exit::Unknown,
            });
        }
        let mut words = format!("{taken} commands");
        for (count, what) in [
            (failed, "results failed"),
            (unanswered as u64, "not answered"),
            (waiting as u64, "results not confirmed"),
        ] {
            if count > 0 {
                words += &format!(", {count} {what}");
            }
        }
        if waiting > 0 && has_store {
            words += "; they are kept, and sent when the platform offers the command again";
        }
        say(words);
        Ok(exit)
    }

    fn execute(&mut self, command: Command, program: &Program) {
        if command.is_interrupted() {
            // `--interrupted done`: it is what ended the program.
            self.respond(command, CommandResult::ok());
            return;
        }
        let of_type = command.command_type().as_str().to_owned();
        let id = command.id().as_json().to_owned();
        let variables = [("KAA_COMMAND_TYPE", &*of_type), ("KAA_COMMAND_ID", &*id)];
        let input = command.payload_json().unwrap_or_default().to_owned();
        let ran = program.run(&input, &variables, &self.session.stop);
        if let Some(failed) = &ran.failure {
            say(format_args!("{of_type} {id}: {}", failed.words));
            if self.has_store && self.session.stop.is_stopping() {
                // We ended it: that is no result. The next run finds it interrupted.
                self.open.insert((of_type, id), command);
                return;
            }
        }
        self.respond(command, result::of_run(ran));
    }

    fn print(&mut self, command: Command) -> Result<(), Problem> {
        let id = command.id().as_json().to_owned();
        let payload = command.payload_json().map(json::compact);
        self.printer.print(&Printed {
            r#type: command.command_type().as_str(),
            id: &raw(&id)?,
            payload: payload.as_deref().map(raw).transpose()?.as_deref(),
            interrupted: command.is_interrupted(),
        })?;
        if self.printer.is_alone() {
            // Nobody saw it: it is given back.
            self.taken -= 1;
            return Ok(());
        }
        let key = (command.command_type().as_str().to_owned(), id);
        self.open.insert(key, command);
        Ok(())
    }

    /// Takes the results that were written, and waits so long for each; whether there will be no more.
    fn take_results(&mut self, lines: &Lines, wait: Duration) -> bool {
        loop {
            let line = match lines.next_within(wait) {
                Next::Line(line) => line,
                Next::Nothing => return false,
                Next::End => return true,
                Next::Failed(problem) => {
                    say(&problem);
                    self.exit = self.exit.and(problem.exit);
                    continue;
                }
            };
            match result::of_line(&line) {
                Ok((key, result)) => match self.open.remove(&key) {
                    Some(command) => self.respond(command, result),
                    None => {
                        say(format_args!(
                            "line {}: no such command is open",
                            line.number
                        ));
                        self.exit = self.exit.and(Exit::Misuse);
                    }
                },
                Err(problem) => {
                    say(problem);
                    self.exit = self.exit.and(Exit::Misuse);
                }
            }
        }
    }

    fn respond(&mut self, command: Command, result: CommandResult) {
        let key = (
            command.command_type().as_str().to_owned(),
            command.id().as_json().to_owned(),
        );
        let status = result.status();
        match command.respond(result) {
            Ok(ticket) => self.sent.push_back(Sent {
                key,
                status,
                ticket,
            }),
            Err(refused) => {
                // Too long, most likely. It was run, and must not be again.
                say(format_args!("{} {}: {}", key.0, key.1, refused.error));
                self.failed += 1;
                self.exit = self.exit.and(Exit::Unknown);
                // Its own outcome says nothing: closing waits for it.
                let instead = refused.command.reject(500, "the result could not be sent");
                match instead {
                    Ok(ticket) => drop(ticket),
                    Err(refused) => say(refused),
                }
            }
        }
    }

    /// Tells of the results that have got through, or have not.
    fn settle(&mut self) -> Result<(), Problem> {
        for _ in 0..self.sent.len() {
            let Some(mut sent) = self.sent.pop_front() else {
                break;
            };
            match sent.ticket.try_outcome() {
                None => self.sent.push_back(sent),
                Some(ended) => self.report(sent, &ended)?,
            }
        }
        Ok(())
    }

    fn report(&mut self, sent: Sent, ended: &Result<(), Failure>) -> Result<(), Problem> {
        let outcome = match ended {
            Ok(()) => Outcome::confirmed(),
            Err(failure) => {
                say(format_args!("{} {}: {failure}", sent.key.0, sent.key.1));
                self.failed += 1;
                Outcome::failed(failure)
            }
        };
        self.exit = self.exit.and(outcome.exit);
        let (of_type, id) = sent.key;
        self.printer.print(&Reported {
            r#type: of_type,
            id: raw(&id)?,
            status: sent.status,
            outcome,
        })
    }
}

/// JSON that is known to be valid.
fn raw(json: &str) -> Result<Box<RawValue>, Problem> {
    RawValue::from_string(json.into()).map_err(|error| Problem::local(error.to_string()))
}
