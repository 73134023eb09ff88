//! `kaa platform`: one loop over everything that can happen.

mod answer;
mod args;
mod console;
mod control;
mod expect;
mod inbox;
mod lines;
mod outlet;
mod setup;

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use kaa_blocking::platform::{LocalPlatform, News};
use kaa_proto::platform::{Event, EventKind, Tokens};

use self::answer::Answer;
pub(crate) use self::args::PlatformArgs;
use self::console::{Outcome, execute};
use self::control::Control;
use self::expect::Expectations;
use self::inbox::{Asker, Input, Line};
use self::lines::Style;
use self::outlet::Outlet;
use crate::output::{self, say};

/// How much input waits before those who bring it do.
const INBOX: usize = 1_024;
/// How many lines wait for one who does not read them. Further ones are lost and counted.
const MAX_LINES: usize = 65_536;
/// How long the end waits for the last lines to be read.
const FAREWELL: Duration = Duration::from_secs(2);

/// A device broke the protocol, and that matters.
const BREACH: u8 = 1;
/// The platform could not be started, or not go on.
const NO_START: u8 = 2;

/// Runs until it is told to end.
pub(crate) fn run(args: &PlatformArgs) -> ExitCode {
    if setup::wants_switches(args) {
        return match output::write(setup::switches().as_bytes()) {
            Ok(_) => ExitCode::SUCCESS,
            Err(problem) => {
                say(problem);
                NO_START.into()
            }
        };
    }
    match serve(args) {
        Ok(has_breach) if has_breach && args.strict => BREACH.into(),
        Ok(_) => ExitCode::SUCCESS,
        Err(problem) => {
            say(&problem);
            NO_START.into()
        }
    }
}

/// Serves; tells whether a device broke the protocol.
fn serve(args: &PlatformArgs) -> Result<bool, String> {
    let (sender, inbox) = mpsc::sync_channel(INBOX);
    inbox::watch_signals(sender.clone()).map_err(|error| format!("signals: {error}"))?;
    if let Some(path) = &args.port_file {
        remove(path)?;
    }
    let platform = Arc::new(setup::start(args)?);
    let _control = match &args.control {
        Some(path) => {
            let listened = Control::listen(path, sender.clone());
            Some(listened.map_err(|error| format!("{}: {error}", path.display()))?)
        }
        None => None,
    };
    let (stdout, drained) = Outlet::open(io::stdout(), MAX_LINES, on_broken(sender.clone()));
    let mut program = Program {
        style: Style {
            is_json: args.json,
            tokens: match args.show_tokens {
                true => Tokens::Whole,
                false => Tokens::Shortened,
            },
            start: platform.started(),
        },
        port_file: args.port_file.as_deref(),
        platform: Arc::clone(&platform),
        stdout,
        lost_lines: 0,
        expectations: Expectations::new(),
        has_breach: false,
        is_ending: false,
    };
    if platform.addr().is_some() {
        program.announce(Style::listening)?;
    }
    inbox::watch_terminal(sender.clone());
    inbox::watch_platform(platform, sender);
    let end = program.run(&inbox);
    let has_breach = program.finish();
    drained.wait(FAREWELL);
    end.map(|()| has_breach)
}

/// What the loop works on.
struct Program<'a> {
    platform: Arc<LocalPlatform>,
    style: Style,
    /// Where the port is still to be written.
    port_file: Option<&'a Path>,
    stdout: Outlet,
    /// How many lines were not printed, since nobody read fast enough.
    lost_lines: u64,
    expectations: Expectations<Asker>,
    /// Whether a device broke the protocol.
    has_breach: bool,
    /// Whether it was told to end.
    is_ending: bool,
}

impl Program<'_> {
    /// Handles input until the platform has stopped and told everything.
    fn run(&mut self, inbox: &Receiver<Input>) -> Result<(), String> {
        loop {
            match self.next(inbox) {
                Some(Input::News(news)) => self.handle_news(news)?,
                Some(Input::Line(line, asker)) => self.handle_line(line, &asker),
                Some(Input::End) => {
                    self.is_ending = true;
                    self.platform.stop();
                }
                Some(Input::Failed(problem)) => return Err(problem),
                Some(Input::Over) if self.is_ending => return Ok(()),
                Some(Input::Over) => return Err("the platform has ended by itself".into()),
                None => {}
            }
            for (asker, answer) in self.expectations.handle_timeout(Instant::now()) {
                self.reply(&asker, &answer);
            }
        }
    }

    /// What arrives next; `None` when an expectation is over before.
    fn next(&self, inbox: &Receiver<Input>) -> Option<Input> {
        let Some(deadline) = self.expectations.poll_timeout() else {
            return Some(inbox.recv().unwrap_or(Input::Over));
        };
        let left = deadline.saturating_duration_since(Instant::now());
        match inbox.recv_timeout(left) {
            Ok(input) => Some(input),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Input::Over),
        }
    }

    fn handle_news(&mut self, news: News) -> Result<(), String> {
        match news {
            News::Event(event) => self.handle_event(&event),
            News::Attached => self.announce(Style::attached)?,
            News::TlsFailed { link, cause } => self.print(self.style.tls_failed(link, &cause)),
            News::Trouble(problem) => say(&problem),
            // Further kinds are for those who know them.
            _ => {}
        }
        Ok(())
    }

    fn handle_event(&mut self, event: &Event) {
        self.has_breach |= matches!(event.kind, EventKind::Breach { .. });
        self.print(self.style.event(event));
        let Style { start, tokens, .. } = self.style;
        let seen = |event: &Event| event.to_json(start, tokens);
        for (asker, answer) in self.expectations.handle_event(event, seen) {
            self.reply(&asker, &answer);
        }
    }

    fn handle_line(&mut self, line: Line, asker: &Asker) {
        let outcome = match line {
            Ok(line) => execute(&self.platform, &line),
            Err(problem) => Outcome::Answered(Answer::failed("", problem)),
        };
        match outcome {
            Outcome::Answered(answer) => self.reply(asker, &answer),
            Outcome::Expecting(expected) => {
                let added = self
                    .expectations
                    .add(Instant::now(), asker.clone(), expected);
                if let Err(problem) = added {
                    self.reply(asker, &Answer::failed("expect", problem));
                }
            }
        }
    }

    /// Says that devices can come: to the port file and to those who read.
    fn announce(&mut self, line: fn(&Style, &LocalPlatform) -> String) -> Result<(), String> {
        if let Some(path) = self.port_file.take() {
            write_ports(path, &self.platform)
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let line = line(&self.style, &self.platform);
        self.print(line);
        Ok(())
    }

    fn reply(&mut self, asker: &Asker, answer: &Answer) {
        match asker {
            Asker::Terminal => self.print(self.style.answer(answer)),
            Asker::Control(client) => client.say(answer.to_text()),
        }
    }

    fn print(&mut self, line: String) {
        if !self.stdout.say(line) {
            self.lost_lines += 1;
        }
    }

    /// Answers what is open and tells what was lost; whether a device broke the protocol.
    fn finish(mut self) -> bool {
        for (asker, answer) in self.expectations.finish() {
            self.reply(&asker, &answer);
        }
        if self.lost_lines > 0 {
            say(format_args!(
                "{} lines were lost: nobody read them",
                self.lost_lines
            ));
        }
        match self.platform.dropped_news() {
            0 => {}
            dropped => say(format_args!("{dropped} events were lost")),
        }
        self.has_breach
    }
}

/// Nobody reads what is printed: as other programs do, this one ends then. Where somebody would, and
/// it cannot be written, it fails.
fn on_broken(inbox: SyncSender<Input>) -> impl FnOnce(io::Error) + Send {
    move |error| {
        let input = match error.kind() == io::ErrorKind::BrokenPipe {
            true => Input::End,
            false => Input::Failed(format!("standard output cannot be written: {error}")),
        };
        // It may have ended already.
        let _ = inbox.send(input);
    }
}

/// Writes beside the file first, so that it appears whole.
fn write_ports(path: &Path, platform: &LocalPlatform) -> io::Result<()> {
    let mut ports = match platform.addr() {
        Some(addr) => format!("{}\n", addr.port()),
        None => {
            let url = platform.url().trim_end_matches('/');
            let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
            format!("{}\n", port.unwrap_or(1883_u16))
        }
    };
    if let Some(addr) = platform.http_addr() {
        ports.push_str(&format!("{}\n", addr.port()));
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    fs::write(&beside, ports)?;
    fs::rename(&beside, path)
}

fn remove(path: &Path) -> Result<(), String> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}
