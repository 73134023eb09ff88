//! Profiles: what is typed once, in a file that only its owner can read.

use std::env;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::output;
use crate::problem::Problem;

const DEFAULT: &str = "default";

/// A file of settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    pub(crate) path: PathBuf,
    pub(crate) contents: Contents,
}

/// What can stand in it. The token and the password are not shown.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Contents {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) app_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cert: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<String>,
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contents").finish_non_exhaustive()
    }
}

impl Profile {
    /// The one that the command line or `KAA_PROFILE` names, which has to be there; otherwise
    /// the default one, which may be missing.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub(crate) fn chosen(name: Option<&str>) -> Result<Self, Problem> {
        let name = name_of(name);
        let Some(path) = path(name.as_deref().unwrap_or(DEFAULT))? else {
            // No configuration folder, no profile.
            return Ok(Self::default());
        };
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(path, &text),
            Err(error) if error.kind() == ErrorKind::NotFound => match name {
                None => Ok(Self::default()),
                Some(name) => Err(Problem::misuse(format!("there is no profile {name:?}"))
                    .hint(format!("`kaa profile set --profile {name} …` to make it"))),
            },
            Err(error) => Err(unreadable(&path, &error)),
        }
    }

    /// As [`chosen`](Self::chosen), to be written: it need not be there yet.
    ///
    /// # Errors
    /// It cannot be read, or there is no place for it.
    pub(crate) fn named(name: Option<&str>) -> Result<Self, Problem> {
        let name = name_of(name).unwrap_or_else(|| DEFAULT.into());
        let path = path(&name)?.ok_or_else(|| {
            Problem::local("there is no place for profiles").hint("set HOME or XDG_CONFIG_HOME")
        })?;
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(path, &text),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self {
                path,
                contents: Contents::default(),
            }),
            Err(error) => Err(unreadable(&path, &error)),
        }
    }

    /// Writes it, readable for its owner only. It appears whole.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub(crate) fn save(&self) -> Result<(), Problem> {
        let problem = |error: &dyn std::fmt::Display| {
            Problem::local(format!(
                "{} cannot be written: {error}",
                self.path.display()
            ))
        };
        let text = toml::to_string(&self.contents).map_err(|error| problem(&error))?;
        if let Some(folder) = self.path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|error| problem(&error))?;
        }
        let beside = self
            .path
            .with_extension(format!("{}.new", std::process::id()));
        let written = write_private(&beside, &text).and_then(|()| fs::rename(&beside, &self.path));
        written.map_err(|error| {
            // What is left of it is of no use.
            let _ = fs::remove_file(&beside);
            problem(&error)
        })
    }

    fn parse(path: PathBuf, text: &str) -> Result<Self, Problem> {
        let contents: Contents = toml::from_str(text).map_err(|error| {
            let before = text.get(..error.span().map_or(0, |span| span.start));
            let line = before.unwrap_or_default().matches('\n').count();
            let problem = format!(
                "{}, line {}: {}",
                path.display(),
                line + 1,
                words(&error, text, line)
            );
            Problem::misuse(problem).hint("`kaa profile --help` lists what can stand there")
        })?;
        let has_secret = contents.token.is_some() || contents.password.is_some();
        let mode = fs::metadata(&path).map(|metadata| metadata.permissions().mode());
        if has_secret && mode.is_ok_and(|mode| mode & 0o077 != 0) {
            output::say(format_args!(
                "{0} holds a secret, and others can read it; try: chmod 600 {0}",
                path.display()
            ));
        }
        Ok(Self { path, contents })
    }
}

/// What is wrong on this line, counted from 0, without what it holds: that may be a secret.
fn words(error: &toml::de::Error, text: &str, line: usize) -> String {
    // What is no TOML is told without it, and so is a key that means nothing.
    let is_toml = toml::from_str::<toml::Table>(text).is_ok();
    if !is_toml || error.message().starts_with("unknown field ") {
        return error.message().into();
    }
    let line = text.lines().nth(line).unwrap_or_default();
    match line.split_once('=') {
        Some((key, _)) => format!("{} has to be a text in quotes", key.trim()),
        None => "what stands there has to be a text in quotes".into(),
    }
}

/// A file that was not there before, for its owner only.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Which profile is named, if one is.
fn name_of(given: Option<&str>) -> Option<String> {
    let set = env::var("KAA_PROFILE").ok();
    let name = given.map(String::from).or(set);
    name.filter(|name| !name.is_empty())
}

/// Where the profile of this name is, if the user has a configuration folder.
///
/// # Errors
/// The name cannot be one.
fn path(name: &str) -> Result<Option<PathBuf>, Problem> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(is_plain) {
        let problem = format!("{name:?} cannot be the name of a profile");
        return Err(Problem::misuse(problem).hint("letters, digits, - and _"));
    }
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let folder = match (set("XDG_CONFIG_HOME"), set("HOME")) {
        (Some(folder), _) => PathBuf::from(folder),
        (None, Some(home)) => PathBuf::from(home).join(".config"),
        (None, None) => return Ok(None),
    };
    Ok(Some(folder.join("kaa").join(format!("{name}.toml"))))
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem::misuse(format!("{}: {error}", path.display()))
}
