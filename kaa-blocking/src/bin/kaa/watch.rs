//! Waiting for what the platform assigns, and saying what became of it: the same for configurations
//! and software.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::connection::Session;
use crate::exec::{ExecArgs, Failed};
use crate::exit::Exit;
use crate::json;
use crate::output::{self, Printer, Reader, say};
use crate::problem::Problem;
use crate::stop::LOOK;

#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    exec: ExecArgs,

    /// End after so many
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct RejectedArgs {
    /// Which
    pub(crate) id: String,

    /// Why, after HTTP: 400 or above
    #[arg(long, value_name = "CODE", default_value_t = 400)]
    pub(crate) status: u16,

    /// Why, in words
    #[arg(long, value_name = "TEXT", default_value = "rejected by the device")]
    pub(crate) reason: String,
}

/// Something that was assigned.
#[derive(Clone, Debug)]
pub(crate) struct Assigned {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) body: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Printed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    config_id: &'a str,
    config: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Judged<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    config_id: &'a str,
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_phrase: Option<&'a str>,
    outcome: &'static str,
}

/// How assignments are waited for and judged.
pub(crate) trait Source {
    /// The variable that tells programs the ID.
    const VARIABLE: &'static str;

    /// The next one, if it comes within that time; `Some(None)`: there is none any more.
    fn next(&mut self, within: Duration) -> Option<Option<Assigned>>;

    /// Reports that it is applied, or why it is not.
    fn report(
        &self,
        session: &Session,
        assigned: &Assigned,
        failed: Option<&Failed>,
    ) -> Result<(), Problem>;
}

/// Prints what was assigned; `null` where nothing is.
pub(crate) fn print(assigned: Option<&Assigned>) -> Result<Reader, Problem> {
    let Some(assigned) = assigned else {
        return output::print(&());
    };
    let config = RawValue::from_string(json::compact(&assigned.body))
        .map_err(|error| Problem::local(error.to_string()))?;
    output::print(&Printed {
        name: assigned.name.as_deref(),
        config_id: &assigned.id,
        config: &config,
    })
}

/// Waits until the end is asked for, or there were enough.
pub(crate) fn watch<S: Source>(
    session: Session,
    args: &WatchArgs,
    source: impl FnOnce(&Session) -> Result<S, Problem>,
) -> Result<Exit, Problem> {
    let program = args.exec.program()?;
    let mut source = source(&session)?;
    session.ready()?;
    let (mut seen, mut failed, mut exit) = (0_u64, 0_u64, Exit::Done);
    let mut printer = Printer::default();
    while !session.stop.is_stopping() && args.count.is_none_or(|count| seen < count) {
        let Some(next) = source.next(LOOK) else {
            continue;
        };
        seen += 1;
        let read = match (&program, &next) {
            (Some(program), Some(assigned)) => {
                let variables = [
                    (S::VARIABLE, &*assigned.id),
                    (
                        "KAA_CONFIG_NAME",
                        assigned.name.as_deref().unwrap_or_default(),
                    ),
                ];
                let ran = program.run(&assigned.body, &variables, &session.stop);
                if ran.failure.is_some() && session.stop.is_stopping() {
                    // We ended it: that says nothing of what was assigned.
                    break;
                }
                let verdict = ran.failure.map(|failure| Failed {
                    // What it said is worth more than how it ended.
                    words: Some(ran.output)
                        .filter(|output| !output.is_empty())
                        .unwrap_or(failure.words),
                    ..failure
                });
                failed += u64::from(verdict.is_some());
                let reported = source.report(&session, assigned, verdict.as_ref());
                if let Err(problem) = &reported {
                    say(format_args!("{}: {problem}", assigned.id));
                    exit = exit.and(problem.exit);
                }
                output::print(&Judged {
                    name: assigned.name.as_deref(),
                    config_id: &assigned.id,
                    status_code: verdict.as_ref().map_or(200, |failed| failed.status),
                    reason_phrase: verdict.as_ref().map(|failed| &*failed.words),
                    outcome: reported.map_or("failed", |()| "confirmed"),
                })?
            }
            _ => print(next.as_ref())?,
        };
        printer.note(read);
        if printer.is_alone() && program.is_none() {
            break;
        }
    }
    session.close();
    say(match failed {
        0 => format!("{seen} assignments"),
        _ => format!("{seen} assignments, {failed} rejected"),
    });
    Ok(exit)
}
