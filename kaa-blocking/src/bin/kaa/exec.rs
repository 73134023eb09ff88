//! Programs that do what the platform asks for: input on their standard input, and what they print
//! and how they end is the result.

use std::io::{ErrorKind, Read, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{mem, thread};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::problem::Problem;
use crate::stop::Stop;
use crate::time;

/// The most that a program may print: half of what one message may hold.
const MAX_OUTPUT: usize = 128 * 1_024;
/// How often a running program is looked at.
const TICK: Duration = Duration::from_millis(20);
/// How long a program has to end when it is told to, and its output when it has ended.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Args, Debug)]
pub(crate) struct ExecArgs {
    /// Run this for each one: a program and its arguments, quoted as in a shell, without one
    ///
    /// It is done when it ends. What it leaves in the background goes on, also when it holds on to the
    /// output; what that prints later than 2 seconds after is lost. Only a program that takes too
    /// long, or runs when the end is asked for, is ended with all that it started: first by SIGTERM,
    /// after 2 seconds by SIGKILL.
    #[arg(long, value_name = "PROGRAM")]
    exec: Option<String>,

    /// How long it may take; then it is ended, and has failed
    #[arg(long, value_name = "TIME", default_value = "60s", requires = "exec")]
    exec_timeout: String,
}

/// A program that can be run.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    arguments: Vec<String>,
    within: Duration,
}

/// How a program ended, and what it had printed.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Why it counts as failed, in words for the platform's users; `None`: it did not.
    pub(crate) failure: Option<Failed>,
    /// What it printed, without blanks around.
    pub(crate) output: String,
}

/// Why a program failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// After HTTP.
    pub(crate) status: u16,
    pub(crate) words: String,
}

impl ExecArgs {
    /// What is to be run, if anything is.
    ///
    /// # Errors
    /// It cannot be.
    pub(crate) fn program(&self) -> Result<Option<Program>, Problem> {
        let Some(line) = &self.exec else {
            return Ok(None);
        };
        let words = shell_words::split(line)
            .map_err(|_| Problem::misuse("--exec: a closing quote is missing"))?;
        let Some((name, arguments)) = words.split_first() else {
            return Err(Problem::misuse("--exec names no program"));
        };
        let within = time::parse(&self.exec_timeout).filter(|time| !time.is_zero());
        Ok(Some(Program {
            name: name.clone(),
            arguments: arguments.to_vec(),
            within: within.ok_or_else(|| {
                let problem = format!("--exec-timeout: {:?} is no time", self.exec_timeout);
                Problem::misuse(problem).hint("a number with ms, s, m or h, such as 60s")
            })?,
        }))
    }
}

impl Program {
    /// Runs it to its end. Its standard error is ours.
    pub(crate) fn run(&self, input: &str, variables: &[(&str, &str)], stop: &Stop) -> Ran {
        let spawned = Command::new(&self.name)
            .args(&self.arguments)
            .envs(variables.iter().copied())
            // It has no business with our secrets.
            .env_remove("KAA_TOKEN")
            .env_remove("KAA_PASSWORD")
            // What it starts can be ended with it, and a Ctrl-C is for us to pass on.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        match spawned {
            Ok(child) => self.attend(child, input, stop),
            Err(error) => Ran {
                failure: Some(Failed {
                    status: 500,
                    words: format!("{} cannot be run: {error}", self.name),
                }),
                output: String::new(),
            },
        }
    }

    fn attend(&self, mut child: Child, input: &str, stop: &Stop) -> Ran {
        if let Some(mut stdin) = child.stdin.take() {
            let input = input.to_owned();
            // Apart, because it may not read. That is its own affair.
            thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        }
        let output = child.stdout.take().map(Output::read);
        let ended = self.wait(&mut child, stop);
        let Printed { text, has_more } = output.map(Output::at_end).unwrap_or_default();
        let failure = match ended {
            Ok(status) if status.success() && !has_more => None,
            Ok(status) if status.success() => Some(Failed {
                status: 500,
                words: format!("{} printed more than {MAX_OUTPUT} bytes", self.name),
            }),
            Ok(status) => Some(Failed {
                status: 500,
                words: match (status.code(), status.signal()) {
                    (Some(code), _) => format!("{} ended with exit status {code}", self.name),
                    (None, Some(signal)) => format!("{} was ended by signal {signal}", self.name),
                    (None, None) => format!("{} failed", self.name),
                },
            }),
            Err(failed) => Some(failed),
        };
        Ran {
            failure,
            output: String::from_utf8_lossy(&text).trim().to_owned(),
        }
    }

    /// Waits for its end, or brings it about.
    fn wait(&self, child: &mut Child, stop: &Stop) -> Result<ExitStatus, Failed> {
        let began = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) => {}
                Err(error) => {
                    let words = format!("{} cannot be waited for: {error}", self.name);
                    return Err(Failed { status: 500, words });
                }
            }
            let failed = if began.elapsed() >= self.within {
                let (name, within) = (&self.name, self.within);
                Failed {
                    status: 504,
                    words: format!("{name} did not end within {within:?}"),
                }
            } else if stop.is_stopping() {
                Failed {
                    status: 503,
                    words: format!("{} was stopped before it was done", self.name),
                }
            } else {
                thread::sleep(TICK);
                continue;
            };
            end(child);
            return Err(failed);
        }
    }
}

/// Asks it and all that it started to end, and ends them if they do not.
fn end(child: &mut Child) {
    let group = Pid::from_child(child);
    let _ = kill_process_group(group, Signal::TERM);
    let asked = Instant::now();
    while asked.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
        thread::sleep(TICK);
    }
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait();
}

/// The beginning of what a program printed.
#[derive(Default)]
struct Printed {
    text: Vec<u8>,
    has_more: bool,
}

/// What a program prints, read apart for as long as somebody can write it.
struct Output {
    printed: Arc<Mutex<Printed>>,
    /// Ends with the output.
    end: Receiver<()>,
}

impl Output {
    fn read(from: impl Read + Send + 'static) -> Self {
        let printed = Arc::<Mutex<Printed>>::default();
        let (until, end) = mpsc::channel();
        let shared = Arc::clone(&printed);
        thread::spawn(move || keep(from, &shared, until));
        Self { printed, end }
    }

    /// What a program that has ended printed. What it left in the background may hold on to its
    /// output: that is neither waited for nor ended, and whatever it writes later is read and lost.
    fn at_end(self) -> Printed {
        let _ = self.end.recv_timeout(GRACE);
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut *printed)
    }
}

/// Reads to the end, and keeps the beginning.
fn keep(mut from: impl Read, printed: &Mutex<Printed>, _until: Sender<()>) {
    let mut part = [0; 8_192];
    loop {
        let part = match from.read(&mut part) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // What fails ends it.
            Ok(0) | Err(_) => return,
            Ok(len) => part.get(..len).unwrap_or_default(),
        };
        let mut printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_OUTPUT.saturating_sub(printed.text.len());
        printed.has_more |= part.len() > room;
        printed
            .text
            .extend_from_slice(part.get(..room).unwrap_or(part));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str, timeout: &str, input: &str) -> Ran {
        let args = ExecArgs {
            exec: Some(line.into()),
            exec_timeout: timeout.into(),
        };
        let program = args.program().unwrap().unwrap();
        program.run(input, &[("KAA_COMMAND_TYPE", "reboot")], &Stop::default())
    }

    #[test]
    fn a_program_gets_input_and_variables_and_its_output_comes_back() {
        let ran = run(
            "sh -c 'cat; echo \" $KAA_COMMAND_TYPE\"'",
            "20s",
            "{\"a\":1}",
        );
        assert_eq!(ran.failure, None);
        assert_eq!(ran.output, "{\"a\":1} reboot");
    }

    #[test]
    fn one_that_does_not_read_its_input_is_not_waited_for() {
        let ran = run("true", "20s", &"x".repeat(1 << 20));
        assert_eq!(ran.failure, None);
    }

    #[test]
    fn a_failure_says_how() {
        let failure = |line: &str| run(line, "20s", "").failure.unwrap().words;
        assert_eq!(failure("sh -c 'exit 3'"), "sh ended with exit status 3");
        assert_eq!(failure("sh -c 'kill -9 $$'"), "sh was ended by signal 9");
        assert!(failure("/no/such/program").starts_with("/no/such/program cannot be run: "));
        let failed = failure("sh -c 'head -c 200000 /dev/zero'");
        assert_eq!(failed, "sh printed more than 131072 bytes");
    }

    #[test]
    fn one_that_takes_too_long_ends_with_all_that_it_started() {
        let ran = run("sh -c 'sleep 600 & echo begun; sleep 600'", "200ms", "");
        let failed = ran.failure.unwrap();
        assert_eq!(
            (failed.status, &*failed.words),
            (504, "sh did not end within 200ms")
        );
        assert_eq!(ran.output, "begun");
    }

    #[test]
    fn one_that_leaves_something_in_the_background_has_succeeded_and_that_goes_on() {
        let file = std::env::temp_dir().join(format!("kaa-background-{}", std::process::id()));
        let path = file.display();
        // It holds on to the output, and is done only after nobody waits for it any more.
        let line = format!("sh -c '(sleep 5; echo late; echo done > {path}) & echo begun'");
        let ran = run(&line, "20s", "");
        assert_eq!((ran.failure, &*ran.output), (None, "begun"));
        let left = Instant::now();
        while !file.exists() {
            assert!(left.elapsed() < Duration::from_secs(60));
            thread::sleep(TICK);
        }
        let _ = std::fs::remove_file(file);
        // Nor is it a failure when it is out of reach.
        let ran = run("sh -c 'setsid sleep 5 & echo begun'", "20s", "");
        assert_eq!((ran.failure, &*ran.output), (None, "begun"));
    }

    #[test]
    fn one_that_is_to_end_may_tidy_up() {
        let line = "sh -c 'trap \"echo bye; exit\" TERM; echo begun; sleep 600; echo no'";
        assert_eq!(run(line, "200ms", "").output, "begun\nbye");
    }
}
