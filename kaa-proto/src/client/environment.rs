//! What a program is told by its environment.

use std::env;
use std::fmt;

use super::{InvalidTarget, Options};
use crate::names::{EndpointName, NameError, NameKind};
#[cfg(feature = "tls")]
use crate::tls;

impl Options {
    /// What the environment says:
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `KAA_URL` | where the platform is, as for [`new`](Self::new); required |
    /// | `KAA_USERNAME`, `KAA_PASSWORD` | the login; both or none |
    /// | `KAA_CA_FILE` | authorities to trust instead of the system's |
    /// | `KAA_CERT_FILE`, `KAA_KEY_FILE` | the client's certificate and key; both or none |
    ///
    /// The last three need the feature `tls`, and are refused without it. The endpoint is told by
    /// [`EndpointName::from_env`].
    ///
    /// # Errors
    /// [`InvalidEnvironment`] names the variable. Values are never repeated.
    pub fn from_env() -> Result<Self, InvalidEnvironment> {
        Self::from_variables(&variable)
    }

    fn from_variables(read: &Read<'_>) -> Result<Self, InvalidEnvironment> {
        let url = required(read, URL)?;
        let mut options = Self::new(&url).map_err(|error| InvalidEnvironment {
            variable: URL,
            problem: EnvironmentProblem::Target(error),
        })?;
        if let Some((user, password)) = both(read, "KAA_USERNAME", "KAA_PASSWORD")? {
            options = options.login(user, password);
        }
        let authorities = read(CA_FILE)?;
        let identity = both(read, CERT_FILE, "KAA_KEY_FILE")?;
        let of_tls = match (&authorities, &identity) {
            (Some(_), _) => CA_FILE,
            (None, Some(_)) => CERT_FILE,
            (None, None) => return Ok(options),
        };
        // Without the feature no target is.
        if !options.target().is_tls() {
            return Err(InvalidEnvironment {
                variable: of_tls,
                problem: match cfg!(feature = "tls") {
                    true => EnvironmentProblem::NotSecured,
                    false => EnvironmentProblem::NoTls,
                },
            });
        }
        #[cfg(feature = "tls")]
        let options = options.tls(with_files(authorities, identity));
        Ok(options)
    }
}

#[cfg(feature = "tls")]
fn with_files(authorities: Option<String>, identity: Option<(String, String)>) -> tls::Options {
    let mut options = tls::Options::new();
    if let Some(path) = authorities {
        options = options.ca_file(path);
    }
    if let Some((certificate, key)) = identity {
        options = options.identity_files(certificate, key);
    }
    options
}

impl EndpointName {
    /// The endpoint that `KAA_APP_VERSION` and `KAA_TOKEN` name.
    ///
    /// # Errors
    /// [`InvalidEnvironment`] names the variable. Values are never repeated.
    pub fn from_env() -> Result<Self, InvalidEnvironment> {
        Self::from_variables(&variable)
    }

    fn from_variables(read: &Read<'_>) -> Result<Self, InvalidEnvironment> {
        let app_version = required(read, APP_VERSION)?;
        let token = required(read, TOKEN)?;
        Self::parse(&app_version, &token).map_err(|error| InvalidEnvironment {
            variable: match error.kind() == NameKind::EndpointToken {
                true => TOKEN,
                false => APP_VERSION,
            },
            problem: EnvironmentProblem::Name(error),
        })
    }
}

const URL: &str = "KAA_URL";
const APP_VERSION: &str = "KAA_APP_VERSION";
const TOKEN: &str = "KAA_TOKEN";
const CA_FILE: &str = "KAA_CA_FILE";
const CERT_FILE: &str = "KAA_CERT_FILE";

/// Why the environment does not say what it has to. The caller's mistake, or the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEnvironment {
    /// The variable at fault.
    pub variable: &'static str,
    /// What is wrong with it.
    pub problem: EnvironmentProblem,
}

/// What is wrong with a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvironmentProblem {
    /// It is not set.
    Missing,
    /// It is not set, and the other one of its pair is.
    HalfMissing,
    /// It is not UTF-8.
    NotText,
    /// It is no URL of a platform.
    Target(InvalidTarget),
    /// It cannot be that name.
    Name(NameError),
    /// It is about TLS, and `KAA_URL` begins with `mqtt://`: the password would go in clear where
    /// somebody meant to secure it.
    NotSecured,
    /// It needs the feature `tls`, which is switched off.
    NoTls,
}

impl fmt::Display for InvalidEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the environment variable {}: ", self.variable)?;
        match &self.problem {
            EnvironmentProblem::Missing => f.write_str("it is not set"),
            EnvironmentProblem::HalfMissing => f.write_str("it is not set, and its pair is"),
            EnvironmentProblem::NotText => f.write_str("it is not UTF-8"),
            EnvironmentProblem::Target(error) => error.fmt(f),
            EnvironmentProblem::Name(error) => error.fmt(f),
            EnvironmentProblem::NotSecured => {
                f.write_str("it is about TLS, and KAA_URL does not begin with \"mqtts://\"")
            }
            EnvironmentProblem::NoTls => f.write_str("it needs the feature \"tls\""),
        }
    }
}

impl std::error::Error for InvalidEnvironment {}

/// Reads one variable; `None` if it is not set, or empty.
type Read<'a> = dyn Fn(&'static str) -> Result<Option<String>, InvalidEnvironment> + 'a;

fn variable(name: &'static str) -> Result<Option<String>, InvalidEnvironment> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(InvalidEnvironment {
            variable: name,
            problem: EnvironmentProblem::NotText,
        }),
    }
}

fn required(read: &Read<'_>, variable: &'static str) -> Result<String, InvalidEnvironment> {
    read(variable)?.ok_or(InvalidEnvironment {
        variable,
        problem: EnvironmentProblem::Missing,
    })
}

fn both(
    read: &Read<'_>,
    one: &'static str,
    other: &'static str,
) -> Result<Option<(String, String)>, InvalidEnvironment> {
    let variable = match (read(one)?, read(other)?) {
        (None, None) => return Ok(None),
        (Some(one), Some(other)) => return Ok(Some((one, other))),
        (None, Some(_)) => one,
        (Some(_), None) => other,
    };
    Err(InvalidEnvironment {
        variable,
        problem: EnvironmentProblem::HalfMissing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads from a list instead of the environment, which all tests share.
    fn options(variables: &[(&'static str, &str)]) -> Result<Options, InvalidEnvironment> {
        Options::from_variables(&from(variables))
    }

    fn from<'a>(
        variables: &'a [(&'static str, &'a str)],
    ) -> impl Fn(&'static str) -> Result<Option<String>, InvalidEnvironment> + 'a {
        |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            Ok(found.map(|(_, value)| (*value).to_owned()))
        }
    }

    #[test]
    fn the_url_is_enough_and_the_login_is_taken_as_it_is() {
        let plain = options(&[(URL, "mqtt://here:2883")]).unwrap();
        assert_eq!(plain.target().to_string(), "mqtt://here:2883");
        let login = [
            (URL, "mqtt://here"),
            ("KAA_USERNAME", "name@tenant"),
            ("KAA_PASSWORD", "a:b@c"),
        ];
        let shown = format!("{:?}", options(&login).unwrap());
        assert!(!shown.contains("tenant") && !shown.contains("a:b@c"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing = |variable, problem| InvalidEnvironment { variable, problem };
        let cases: [(&[(&'static str, &str)], _); 3] = [
            (&[], missing(URL, EnvironmentProblem::Missing)),
            (
                &[(URL, "mqtt://here"), ("KAA_USERNAME", "name")],
                missing("KAA_PASSWORD", EnvironmentProblem::HalfMissing),
            ),
            (
                &[(URL, "http://here")],
                missing(URL, EnvironmentProblem::Target(InvalidTarget::Scheme)),
            ),
        ];
        for (variables, error) in cases {
            assert_eq!(options(variables).unwrap_err(), error);
        }
    }

    #[test]
    fn the_endpoint_is_told_and_its_token_never_repeated() {
        let variables = [(APP_VERSION, "demo-v1"), (TOKEN, "JTjdbENzHh")];
        let name = EndpointName::from_variables(&from(&variables)).unwrap();
        assert_eq!(name, EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap());
        let wrong = [(APP_VERSION, "demo-v1"), (TOKEN, "secret/secret")];
        let error = EndpointName::from_variables(&from(&wrong)).unwrap_err();
        assert_eq!(error.variable, TOKEN);
        assert!(!format!("{error} {error:?}").contains("secret"));
    }

    /// The password would go in clear where somebody meant to secure it.
    #[cfg(feature = "tls")]
    #[test]
    fn files_for_tls_are_refused_where_there_is_none() {
        let error = options(&[(URL, "mqtt://here"), ("KAA_CA_FILE", "ca.pem")]).unwrap_err();
        assert_eq!(error.variable, "KAA_CA_FILE");
        assert_eq!(error.problem, EnvironmentProblem::NotSecured);
        assert!(options(&[(URL, "mqtts://here"), ("KAA_CA_FILE", "ca.pem")]).is_ok());
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn files_for_tls_are_not_ignored_without_it() {
        let error = options(&[(URL, "mqtt://here"), ("KAA_CA_FILE", "ca.pem")]).unwrap_err();
        assert_eq!(error.problem, EnvironmentProblem::NoTls);
    }

    #[test]
    fn what_the_environment_lacks_is_told_without_a_value() {
        let name = EndpointName::parse("", "token").unwrap_err();
        let cases = [
            (EnvironmentProblem::Missing, "it is not set"),
            (
                EnvironmentProblem::HalfMissing,
                "it is not set, and its pair is",
            ),
            (EnvironmentProblem::NotText, "it is not UTF-8"),
            (
                EnvironmentProblem::Target(InvalidTarget::Port),
                "the URL's port is not a number from 1 to 65535",
            ),
            (
                EnvironmentProblem::Name(name),
                "application version is empty",
            ),
            (
                EnvironmentProblem::NotSecured,
                "it is about TLS, and KAA_URL does not begin with \"mqtts://\"",
            ),
            (EnvironmentProblem::NoTls, "it needs the feature \"tls\""),
        ];
        for (problem, text) in cases {
            let variable = "KAA_URL";
            let error = InvalidEnvironment { variable, problem };
            let told = format!("the environment variable KAA_URL: {text}");
            assert_eq!(error.to_string(), told);
        }
    }

    #[test]
    fn the_half_that_is_there_is_not_the_one_at_fault() {
        for (set, missing) in [
            ("KAA_USERNAME", "KAA_PASSWORD"),
            ("KAA_PASSWORD", "KAA_USERNAME"),
            ("KAA_CERT_FILE", "KAA_KEY_FILE"),
            ("KAA_KEY_FILE", "KAA_CERT_FILE"),
        ] {
            let error = options(&[(URL, "mqtts://here"), (set, "x")]);
            // Without TLS the URL itself is refused.
            if cfg!(feature = "tls") {
                assert_eq!(error.unwrap_err().variable, missing);
            }
        }
        let error = EndpointName::from_variables(&from(&[(APP_VERSION, "a/b"), (TOKEN, "t")]));
        assert_eq!(error.unwrap_err().variable, APP_VERSION);
    }
}
