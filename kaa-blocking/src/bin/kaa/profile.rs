//! `kaa profile`: options that are typed once.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::connection::ConnectionArgs;
use crate::connection::profile::{Contents, Profile};
use crate::connection::secret::Secret;
use crate::connection::settings::Settings;
use crate::exit::Exit;
use crate::output::{self, say};
use crate::problem::Problem;

/// Keep options, so that they are typed once.
///
/// A profile is a TOML file in $XDG_CONFIG_HOME/kaa, or ~/.config/kaa, that only you can read. The one
/// called "default" is read by every command; --profile NAME or KAA_PROFILE picks another. The command
/// line and the environment come first.
///
/// What can stand there: url, http-url, app-version, token or token-file, username, password or
/// password-file, ca, cert, key, timeout. Relative paths are relative to the file.
#[derive(Args, Debug)]
pub(crate) struct ProfileArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Keep these options; those that are not named stay as they are
    #[command(
        after_help = "Example:\n  kaa profile set --url mqtts://kaa.example.com --app-version \
                            demo-v1 --ask token\n  kaa profile set --profile test --url mqtt://localhost"
    )]
    Set {
        /// Ask for this secret, and keep it in the profile
        #[arg(long, value_enum, value_name = "SECRET")]
        ask: Vec<Asked>,

        /// Where uploads go
        #[arg(long, value_name = "URL")]
        http_url: Option<String>,

        #[command(flatten)]
        connection: Box<ConnectionArgs>,
    },
    /// Print a profile as JSON; secrets are not shown
    #[command(after_help = "Example:\n  kaa profile show --profile test")]
    Show {
        /// Which
        #[arg(long, value_name = "NAME")]
        profile: Option<String>,
    },
    /// Forget options, such as url or token
    #[command(after_help = "Example:\n  kaa profile unset password username")]
    Unset {
        /// Which
        #[arg(required = true)]
        keys: Vec<String>,
        /// Of which profile
        #[arg(long, value_name = "NAME")]
        profile: Option<String>,
    },
    /// Print where the file is
    #[command(after_help = "Example:\n  \"$EDITOR\" \"$(kaa profile path)\"")]
    Path {
        /// Of which profile
        #[arg(long, value_name = "NAME")]
        profile: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Asked {
    Token,
    Password,
}

pub(crate) fn run(args: &ProfileArgs) -> Result<Exit, Problem> {
    match &args.action {
        Action::Set {
            ask,
            http_url,
            connection,
        } => set(ask, http_url.as_ref(), connection),
        Action::Show { profile } => {
            let profile = Profile::chosen(profile.as_deref())?;
            let _ = output::print(&shown(&profile.contents)?)?;
            Ok(Exit::Done)
        }
        Action::Unset { keys, profile } => {
            let mut profile = Profile::chosen(profile.as_deref())?;
            let mut fields = fields(&profile.contents)?;
            for key in keys {
                if fields.remove(key).is_none() {
                    return Err(Problem::misuse(format!("the profile holds no {key:?}"))
                        .hint("`kaa profile show` lists what it holds"));
                }
            }
            profile.contents = serde_json::from_value(Value::Object(fields))
                .map_err(|error| Problem::local(error.to_string()))?;
            profile.save()?;
            Ok(Exit::Done)
        }
        Action::Path { profile } => {
            let profile = Profile::named(profile.as_deref())?;
            let _ = output::write(format!("{}\n", profile.path.display()).as_bytes())?;
            Ok(Exit::Done)
        }
    }
}

fn set(ask: &[Asked], http_url: Option<&String>, args: &ConnectionArgs) -> Result<Exit, Problem> {
    let mut profile = Profile::named(args.profile.as_deref())?;
    let contents = &mut profile.contents;
    let absolute = |path: &std::path::PathBuf| {
        std::path::absolute(path).map_err(|error| Problem::local(error.to_string()))
    };
    // A secret and a file with it exclude each other: what is set last holds.
    if let Some(path) = &args.token_file {
        contents.token = None;
        contents.token_file = Some(absolute(path)?);
    }
    if let Some(path) = &args.password_file {
        contents.password = None;
        contents.password_file = Some(absolute(path)?);
    }
    for (place, given) in [
        (&mut contents.ca, &args.ca),
        (&mut contents.cert, &args.cert),
        (&mut contents.key, &args.key),
    ] {
        if let Some(path) = given {
            *place = Some(absolute(path)?);
        }
    }
    for (place, given) in [
        (&mut contents.url, args.url.as_ref()),
        (&mut contents.http_url, http_url),
        (&mut contents.app_version, args.app_version.as_ref()),
        (&mut contents.username, args.username.as_ref()),
        (&mut contents.timeout, args.timeout.as_ref()),
    ] {
        if let Some(text) = given {
            *place = Some(text.clone());
        }
    }
    // What is wrong is told now, not at night.
    Settings::check(args, http_url)?;
    let instead = "run this on a terminal, or give a file instead of --ask";
    for asked in ask {
        match asked {
            Asked::Token => {
                contents.token = Some(Secret::ask("endpoint token", instead)?.expose().into());
                contents.token_file = None;
            }
            Asked::Password => {
                contents.password = Some(Secret::ask("password", instead)?.expose().into());
                contents.password_file = None;
            }
        }
    }
    profile.save()?;
    say(format_args!("kept in {}", profile.path.display()));
    Ok(Exit::Done)
}

fn fields(contents: &Contents) -> Result<serde_json::Map<String, Value>, Problem> {
    match serde_json::to_value(contents) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Ok(serde_json::Map::new()),
        Err(error) => Err(Problem::local(error.to_string())),
    }
}

fn shown(contents: &Contents) -> Result<Value, Problem> {
    let mut fields = fields(contents)?;
    // No command uses a URL with a login in it, and a file that was written by hand may hold one.
    let has_login = |value: &Value| value.as_str().is_some_and(|url| url.contains('@'));
    for (key, value) in &mut fields {
        let is_secret = match &**key {
            "token" | "password" => true,
            "url" | "http-url" => has_login(value),
            _ => false,
        };
        if is_secret {
            *value = json!("(kept, not shown)");
        }
    }
    Ok(Value::Object(fields))
}
