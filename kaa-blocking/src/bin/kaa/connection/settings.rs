//! What holds, and who said so.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kaa_blocking::names::{AppVersion, EndpointName, NameKind};
use kaa_blocking::{Options, Target, tls};

use super::args::ConnectionArgs;
use super::failure::host_in_url;
use super::profile::Profile;
use super::secret::Secret;
use crate::problem::Problem;
use crate::time;

const URL: &str = "mqtts://mqtt.cloud.kaaiot.com";
const HTTP_URL: &str = "https://cloud.kaaiot.com";
const TIMEOUT: Duration = Duration::from_secs(20);
/// A longer one is a mistake.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// Who said something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// This option of the command line.
    CommandLine(&'static str),
    /// This variable of the environment.
    Environment(&'static str),
    /// This file.
    Profile(PathBuf),
    /// The one at the terminal.
    Prompt,
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine(option) => f.write_str(option),
            Self::Environment(variable) => f.write_str(variable),
            Self::Profile(path) => write!(f, "the profile {}", path.display()),
            Self::Prompt => f.write_str("the terminal"),
            Self::Default => f.write_str("the default"),
        }
    }
}

/// A setting, and who said so.
#[derive(Clone, Debug)]
pub(crate) struct Found<T> {
    pub(crate) value: T,
    pub(crate) source: Source,
}

/// What the command line, the environment and the profile say together.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) target: Found<Target>,
    pub(crate) username: Option<Found<String>>,
    pub(crate) password: Option<Found<Secret>>,
    pub(crate) ca: Option<Found<PathBuf>>,
    pub(crate) cert: Option<Found<PathBuf>>,
    pub(crate) key: Option<Found<PathBuf>>,
    pub(crate) timeout: Found<Duration>,
    /// What the profile says of uploads.
    http_url: Option<Found<String>>,
    pub(crate) app_version: Option<Found<String>>,
    pub(crate) token: Option<Found<Secret>>,
}

/// What a device is told, and how long it is watched.
#[derive(Clone, Debug)]
pub(crate) struct DeviceSettings {
    pub(crate) app_version: Option<Found<String>>,
    pub(crate) timeout: Option<Found<Duration>>,
}

impl Settings {
    /// Reads them all. What is missing is not asked for yet.
    ///
    /// # Errors
    /// Says which setting is wrong and where it stands.
    pub(crate) fn of(args: &ConnectionArgs) -> Result<Self, Problem> {
        let profile = Profile::chosen(args.profile.as_deref())?;
        let variable = &|name| env::var_os(name);
        let profile = &profile;
        Lookup { variable, profile }.settings(args)
    }

    /// What the command line and the environment say of the application version and of the time, for
    /// who has no platform to reach.
    ///
    /// # Errors
    /// Says which is wrong and where it stands.
    pub(crate) fn of_device(args: &ConnectionArgs) -> Result<DeviceSettings, Problem> {
        let profile = &Profile::default();
        let variable = &|name| env::var_os(name);
        let lookup = Lookup { variable, profile };
        Ok(DeviceSettings {
            app_version: lookup.app_version(args)?,
            timeout: lookup.timeout(args.timeout.as_ref())?,
        })
    }

    /// Looks at what the command line alone says.
    ///
    /// # Errors
    /// Says what is wrong.
    pub(crate) fn check(args: &ConnectionArgs, http_url: Option<&String>) -> Result<(), Problem> {
        let profile = &Profile::default();
        let variable = &|_| None;
        let settings = Lookup { variable, profile }.settings(args)?;
        check_http_url(&settings.http_url(http_url))?;
        match &settings.app_version {
            Some(version) => AppVersion::new(&version.value)
                .map(drop)
                .map_err(|error| Problem::misuse(error.to_string())),
            None => Ok(()),
        }
    }

    /// Those of somebody who says that, and of some endpoint.
    #[cfg(test)]
    pub(crate) fn of_url(url: &str, timeout: &str) -> Self {
        let args = ConnectionArgs {
            url: Some(url.into()),
            timeout: Some(timeout.into()),
            app_version: Some("v1".into()),
            ..ConnectionArgs::default()
        };
        let profile = &Profile::default();
        let variable = &|name| (name == "KAA_TOKEN").then(|| "token".into());
        Lookup { variable, profile }.settings(&args).unwrap()
    }

    /// The endpoint. Asks for its token if nobody told it.
    ///
    /// # Errors
    /// There is none, or it cannot be one.
    pub(crate) fn endpoint(&self) -> Result<EndpointName, Problem> {
        let version = self.app_version.as_ref().ok_or_else(|| {
            Problem::misuse("the application version is missing")
                .hint("--app-version VERSION, KAA_APP_VERSION, or `kaa profile set`")
        })?;
        let token = match &self.token {
            Some(token) => token.clone(),
            None => Found {
                value: Secret::ask(
                    "endpoint token",
                    "--token-file FILE, KAA_TOKEN, or `kaa profile set --ask token`",
                )?,
                source: Source::Prompt,
            },
        };
        EndpointName::parse(&version.value, token.value.expose()).map_err(|error| {
            let source = match error.kind() == NameKind::EndpointToken {
                true => &token.source,
                false => &version.source,
            };
            Problem::misuse(format!("{error} (from {source})"))
        })
    }

    /// Where uploads go: as the command line says, or whoever else.
    pub(crate) fn http_url(&self, given: Option<&String>) -> Found<String> {
        let found = |value: &str, source| Found {
            value: value.into(),
            source,
        };
        match (given, &self.http_url) {
            (Some(url), _) => found(url, Source::CommandLine("--http-url")),
            (None, Some(url)) => url.clone(),
            (None, None) => found(HTTP_URL, Source::Default),
        }
    }

    /// The client's options. Asks for the password if there is a user name and nobody told it.
    ///
    /// # Errors
    /// The settings do not go together, or the password is missing.
    pub(crate) fn options(&self) -> Result<Options, Problem> {
        let mut options = Options::at(self.target.value.clone());
        if let Some(username) = &self.username {
            let password = match &self.password {
                Some(password) => password.value.clone(),
                None => Secret::ask(
                    "password",
                    "--password-file FILE, KAA_PASSWORD, or `kaa profile set --ask password`",
                )?,
            };
            options = options.login(&username.value, password.expose());
        } else if let Some(password) = &self.password {
            let source = &password.source;
            return Err(Problem::misuse(format!(
                "there is a password (from {source}) and no user name"
            ))
            .hint("--username NAME, or KAA_USERNAME"));
        }
        Ok(options.tls(self.tls()?))
    }

    /// What they say of TLS.
    ///
    /// # Errors
    /// They do not go together.
    pub(crate) fn tls(&self) -> Result<tls::Options, Problem> {
        let mut options = tls::Options::new();
        let files = [&self.ca, &self.cert, &self.key];
        // The password would go in clear where somebody meant to secure it.
        if let Some(file) = files.into_iter().flatten().next() {
            let target = &self.target.value;
            if !target.is_tls() {
                let (source, host) = (&file.source, host_in_url(target));
                return Err(Problem::misuse(format!(
                    "{source} is about TLS, and {target} goes without"
                ))
                .hint(format!("--url mqtts://{host}")));
            }
        }
        if let Some(ca) = &self.ca {
            options = options.ca_file(&ca.value);
        }
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Ok(options.identity_files(&cert.value, &key.value)),
            (None, None) => Ok(options),
            (Some(cert), None) => Err(half(cert, "--key FILE, or KAA_KEY_FILE")),
            (None, Some(key)) => Err(half(key, "--cert FILE, or KAA_CERT_FILE")),
        }
    }
}

/// Looks at where uploads go.
///
/// # Errors
/// The URL cannot be used. It is not repeated: people put secrets into URLs.
pub(crate) fn check_http_url(url: &Found<String>) -> Result<(), Problem> {
    let Found { value: url, source } = url;
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    if rest.is_none_or(|rest| rest.is_empty() || rest.contains('@')) {
        let problem = format!("the URL for uploads (from {source}) cannot be used");
        return Err(Problem::misuse(problem).hint("https://HOST or http://HOST:PORT"));
    }
    Ok(())
}

fn half(there: &Found<PathBuf>, missing: &str) -> Problem {
    Problem::misuse(format!(
        "{} is there without its pair: a certificate and its key go together",
        there.source
    ))
    .hint(missing)
}

/// Where settings are looked for.
struct Lookup<'a> {
    variable: &'a dyn Fn(&'static str) -> Option<OsString>,
    profile: &'a Profile,
}

impl Lookup<'_> {
    fn settings(&self, args: &ConnectionArgs) -> Result<Settings, Problem> {
        let profile = &self.profile.contents;
        let url = self
            .text("--url", args.url.as_ref(), "KAA_URL", &profile.url)?
            .unwrap_or_else(|| Found {
                value: URL.into(),
                source: Source::Default,
            });
        let target = Target::parse(&url.value).map_err(|error| {
            let hint = "mqtts://HOST, mqtts://HOST:PORT, mqtt://HOST or mqtt://HOST:PORT";
            Problem::misuse(format!("{error} (from {})", url.source)).hint(hint)
        })?;
        Ok(Settings {
            target: Found {
                value: target,
                source: url.source,
            },
            username: self.text(
                "--username",
                args.username.as_ref(),
                "KAA_USERNAME",
                &profile.username,
            )?,
            password: self.secret(
                ("password", "--password-file"),
                args.password_file.as_ref(),
                "KAA_PASSWORD",
                (&profile.password_file, &profile.password),
            )?,
            ca: self.file("--ca", args.ca.as_ref(), "KAA_CA_FILE", &profile.ca),
            cert: self.file("--cert", args.cert.as_ref(), "KAA_CERT_FILE", &profile.cert),
            key: self.file("--key", args.key.as_ref(), "KAA_KEY_FILE", &profile.key),
            timeout: self.timeout(args.timeout.as_ref())?.unwrap_or(Found {
                value: TIMEOUT,
                source: Source::Default,
            }),
            http_url: self.text("--http-url", None, "KAA_HTTP_URL", &profile.http_url)?,
            app_version: self.app_version(args)?,
            token: self.secret(
                ("endpoint token", "--token-file"),
                args.token_file.as_ref(),
                "KAA_TOKEN",
                (&profile.token_file, &profile.token),
            )?,
        })
    }

    fn text(
        &self,
        option: &'static str,
        given: Option<&String>,
        variable: &'static str,
        kept: &Option<String>,
    ) -> Result<Option<Found<String>>, Problem> {
        let found = |value: &String, source| Found {
            value: value.clone(),
            source,
        };
        if let Some(value) = given {
            return Ok(Some(found(value, Source::CommandLine(option))));
        }
        if let Some(value) = self.variable(variable)? {
            return Ok(Some(found(&value, Source::Environment(variable))));
        }
        Ok(kept.as_ref().map(|value| found(value, self.in_profile())))
    }

    fn file(
        &self,
        option: &'static str,
        given: Option<&PathBuf>,
        variable: &'static str,
        kept: &Option<PathBuf>,
    ) -> Option<Found<PathBuf>> {
        let set = (self.variable)(variable).filter(|value| !value.is_empty());
        let (value, source) = match (given, set, kept) {
            (Some(path), _, _) => (path.clone(), Source::CommandLine(option)),
            (None, Some(path), _) => (path.into(), Source::Environment(variable)),
            (None, None, Some(path)) => (self.beside_profile(path), self.in_profile()),
            (None, None, None) => return None,
        };
        Some(Found { value, source })
    }

    fn secret(
        &self,
        (what, option): (&str, &'static str),
        given: Option<&PathBuf>,
        variable: &'static str,
        (kept_file, kept): (&Option<PathBuf>, &Option<String>),
    ) -> Result<Option<Found<Secret>>, Problem> {
        let (value, source) = if let Some(path) = given {
            (Secret::read(what, path)?, Source::CommandLine(option))
        } else if let Some(value) = self.variable(variable)? {
            (Secret::from(&*value), Source::Environment(variable))
        } else if let Some(path) = kept_file {
            let path = self.beside_profile(path);
            (Secret::read(what, &path)?, self.in_profile())
        } else if let Some(value) = kept {
            (Secret::from(&**value), self.in_profile())
        } else {
            return Ok(None);
        };
        Ok(Some(Found { value, source }))
    }

    fn app_version(&self, args: &ConnectionArgs) -> Result<Option<Found<String>>, Problem> {
        let (given, kept) = (&args.app_version, &self.profile.contents.app_version);
        self.text("--app-version", given.as_ref(), "KAA_APP_VERSION", kept)
    }

    fn timeout(&self, given: Option<&String>) -> Result<Option<Found<Duration>>, Problem> {
        let kept = &self.profile.contents.timeout;
        let Some(Found { value, source }) = self.text("--timeout", given, "KAA_TIMEOUT", kept)?
        else {
            return Ok(None);
        };
        let time = time::parse(&value).filter(|time| !time.is_zero() && *time <= LONGEST);
        let value = time.ok_or_else(|| {
            let problem = format!("{value:?} (from {source}) is no time to wait");
            Problem::misuse(problem).hint("a number with ms, s, m or h, up to 24h, such as 20s")
        })?;
        Ok(Some(Found { value, source }))
    }

    /// A variable that is empty counts as not set.
    fn variable(&self, name: &'static str) -> Result<Option<String>, Problem> {
        let value = (self.variable)(name).map(OsString::into_string).transpose();
        let value = value.map_err(|_| Problem::misuse(format!("{name} is not UTF-8")))?;
        Ok(value.filter(|value| !value.is_empty()))
    }

    fn in_profile(&self) -> Source {
        Source::Profile(self.profile.path.clone())
    }

    /// A relative path in a profile is relative to it.
    fn beside_profile(&self, path: &Path) -> PathBuf {
        match self.profile.path.parent() {
            Some(folder) => folder.join(path),
            None => path.into(),
        }
    }
}
