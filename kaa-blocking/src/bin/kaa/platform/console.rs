//! The commands of standard input and the control socket.

use kaa_blocking::platform::LocalPlatform;
use kaa_proto::names::{CommandType, ConfigName, EndpointName, EndpointToken};
use kaa_proto::platform::Fault;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::expect::Expected;

/// How each command is written, and what it does.
const HELP: &[(&str, &str)] = &[
    (
        "command TOKEN TYPE [JSON]",
        "invoke a command, with a payload or none",
    ),
    (
        "config TOKEN [--name NAME] JSON",
        "assign a configuration, the default one or a named one",
    ),
    (
        "software TOKEN VERSION [JSON]",
        "assign a software version; JSON is its specification, {} unless given",
    ),
    ("kick TOKEN", "close the link where the endpoint speaks"),
    (
        "fault NAME [ARGS]",
        "let something go wrong; `fault help` lists what",
    ),
    (
        "expect EVENT TOKEN [within TIME]",
        "wait for an event from now on, 10s unless given; TOKEN * is anybody",
    ),
    ("state TOKEN", "show what the platform knows of an endpoint"),
    ("help", "show this"),
    (
        "TOKEN",
        "is an endpoint token, or APPVERSION/TOKEN where it is new or in several versions",
    ),
    ("JSON", "is quoted as in a shell: '{\"key\": \"value\"}'"),
];

/// What a line asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It was done, or could not be.
    Answered(Answer),
    /// The answer comes later.
    Expecting(Expected),
}

/// Does what a line says.
pub(crate) fn execute(platform: &LocalPlatform, line: &str) -> Outcome {
    let Ok(words) = shell_words::split(line) else {
        return Outcome::Answered(Answer::failed("", "a closing quote is missing"));
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((&verb, rest)) = words.split_first() else {
        return Outcome::Answered(Answer::failed("", "the line is empty; try help"));
    };
    let done = match verb {
        "command" => command(platform, rest),
        "config" => config(platform, rest),
        "software" => software(platform, rest),
        "kick" => kick(platform, rest),
        "fault" if rest == ["help"] => return Outcome::Answered(faults()),
        "fault" => fault(platform, rest),
        "state" => state(platform, rest),
        "expect" => match Expected::parse(rest) {
            Ok(expected) => return Outcome::Expecting(expected),
            Err(problem) => Err(problem),
        },
        "help" => return Outcome::Answered(help()),
        _ => Err("there is no such command; try help".into()),
    };
    Outcome::Answered(match done {
        Ok(fields) => Answer::with(verb, fields),
        Err(problem) => Answer::failed(verb, problem),
    })
}

type Done = Result<Map<String, Value>, String>;

fn command(platform: &LocalPlatform, words: &[&str]) -> Done {
    let (token, of_type, payload) = match words {
        [token, of_type] => (token, of_type, None),
        [token, of_type, payload] => (token, of_type, Some(json(payload)?)),
        _ => return Err("usage: command TOKEN TYPE [JSON]".into()),
    };
    let endpoint = endpoint(platform, token)?;
    let of_type = CommandType::new(of_type).map_err(text)?;
    let id = platform.command(&endpoint, &of_type, payload);
    Ok(field("id", json!(id.map_err(text)?)))
}

fn config(platform: &LocalPlatform, words: &[&str]) -> Done {
    let (token, name, config) = match words {
        [token, config] => (token, None, config),
        [token, "--name", name, config] | ["--name", name, token, config] => {
            (token, Some(*name), config)
        }
        _ => return Err("usage: config TOKEN [--name NAME] JSON".into()),
    };
    let endpoint = endpoint(platform, token)?;
    let name = name.map(ConfigName::new).transpose().map_err(text)?;
    let config_id = platform.set_configuration(&endpoint, name.as_ref(), json(config)?);
    Ok(field("configId", json!(config_id.map_err(text)?)))
}

fn software(platform: &LocalPlatform, words: &[&str]) -> Done {
    let (token, version, specification) = match words {
        [token, version] => (token, version, json!({})),
        [token, version, specification] => (token, version, json(specification)?),
        _ => return Err("usage: software TOKEN VERSION [JSON]".into()),
    };
    let endpoint = endpoint(platform, token)?;
    let assigned = platform.set_software(&endpoint, version, specification);
    assigned.map(|()| Map::new()).map_err(text)
}

fn kick(platform: &LocalPlatform, words: &[&str]) -> Done {
    let [token] = words else {
        return Err("usage: kick TOKEN".into());
    };
    if platform.addr().is_none() {
        return Err("the platform is attached: the broker owns the links".into());
    }
    let kicked = platform.kick(&endpoint(platform, token)?);
    kicked.map(|()| Map::new()).map_err(text)
}

fn fault(platform: &LocalPlatform, words: &[&str]) -> Done {
    platform.fault(Fault::parse(words).map_err(|error| format!("{error}; try fault help"))?);
    Ok(Map::new())
}

fn state(platform: &LocalPlatform, words: &[&str]) -> Done {
    let [token] = words else {
        return Err("usage: state TOKEN".into());
    };
    let snapshot = platform.state(&endpoint(platform, token)?);
    match snapshot.map(serde_json::to_value) {
        Some(Ok(Value::Object(fields))) => Ok(fields),
        _ => Err("unknown endpoint".into()),
    }
}

fn faults() -> Answer {
    let rows = Fault::help();
    let rows: Vec<_> = rows.iter().map(|row| (row.usage, row.meaning)).collect();
    Answer {
        lines: table(&rows),
        ..Answer::done("fault")
    }
}

fn help() -> Answer {
    Answer {
        lines: table(HELP),
        ..Answer::done("help")
    }
}

fn table(rows: &[(&str, &str)]) -> Vec<String> {
    let width = rows.iter().map(|(usage, _)| usage.chars().count()).max();
    let width = width.unwrap_or_default();
    let row = |(usage, meaning): &(&str, &str)| format!("{usage:width$}  {meaning}");
    rows.iter().map(row).collect()
}

/// The endpoint of `TOKEN` or `APPVERSION/TOKEN`; of several with one token the one that spoke
/// last.
fn endpoint(platform: &LocalPlatform, word: &str) -> Result<EndpointName, String> {
    if let Some((version, token)) = word.rsplit_once('/') {
        return EndpointName::parse(version, token).map_err(text);
    }
    let token = EndpointToken::new(word).map_err(text)?;
    let known = platform.operate(|platform, _| platform.endpoints_of(&token));
    known.into_iter().next().ok_or_else(|| {
        "no endpoint of that token is known yet; say APPVERSION/TOKEN to make one".into()
    })
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("that is no JSON ({error}); is it in single quotes?"))
}

fn field(name: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(name.into(), value)])
}

fn text(error: impl std::error::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kaa_blocking::platform::LocalOptions;

    fn said(platform: &LocalPlatform, line: &str) -> String {
        match execute(platform, line) {
            Outcome::Answered(answer) => answer.to_text(),
            Outcome::Expecting(expected) => format!("{expected:?}"),
        }
    }

    #[test]
    fn every_command_is_answered_with_what_came_of_it() {
        let platform = LocalPlatform::start(LocalOptions::default()).unwrap();
        let ok = |line: &str, answer: &str| assert_eq!(said(&platform, line), answer, "{line}");
        ok(
            "command v/t reboot '{\"a\": \"b c\"}'",
            "ok command {\"id\":1}",
        );
        ok("command t reboot", "ok command {\"id\":2}");
        ok("software t 0.0.2", "ok software");
        ok("fault late 5s dcx times 3", "ok fault");
        ok("kick t", "error kick the endpoint is not connected");
        let config = said(&platform, "config t --name network '{\"key\": 1}'");
        assert!(config.starts_with("ok config {\"configId\":\""), "{config}");
        let state = said(&platform, "state t");
        assert!(state.starts_with("ok state {"), "{state}");
        for part in [
            r#""appVersion":"v""#,
            r#""payload":{"a":"b c"}"#,
            r#""config":{"key":1}"#,
            r#""configId":"0.0.2""#,
        ] {
            assert!(state.contains(part), "{part} in {state}");
        }
        assert!(said(&platform, "fault help").contains("\n  black-hole TIME  "));
        let help = said(&platform, "help");
        assert!(help.ends_with("\nok help"), "{help}");
    }

    #[test]
    fn a_wrong_line_says_what_is_wrong_with_it() {
        let platform = LocalPlatform::start(LocalOptions::default()).unwrap();
        for (line, problem) in [
            ("", "error the line is empty; try help"),
            ("command 'x", "error a closing quote is missing"),
            (
                "reboot t",
                "error reboot there is no such command; try help",
            ),
            (
                "command t",
                "error command usage: command TOKEN TYPE [JSON]",
            ),
            (
                "command t 42",
                "error command no endpoint of that token is known yet; \
              say APPVERSION/TOKEN to make one",
            ),
            (
                "command v/t 42",
                "error command command type is purely numeric, \
              which reads as a request ID",
            ),
            (
                "config v/t {\"a\":1}",
                "error config that is no JSON (key must be a string at \
              line 1 column 2); is it in single quotes?",
            ),
            ("state v/t", "error state unknown endpoint"),
            (
                "fault earthquake",
                "error fault expected the name of a fault instead of \
              \"earthquake\"; try fault help",
            ),
            (
                "expect telemetry",
                "error expect usage: expect EVENT TOKEN [within TIME]",
            ),
        ] {
            assert_eq!(said(&platform, line), problem, "{line}");
        }
    }
}
