//! Tokens and passwords: from files and prompts, never shown.

use std::fmt;
use std::fs;
use std::path::Path;

use super::prompt;
use crate::problem::Problem;

/// Something that nobody may see.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// What a file holds, without the end of its last line.
    ///
    /// # Errors
    /// It cannot be read, is empty, or no text.
    pub(crate) fn read(what: &str, path: &Path) -> Result<Self, Problem> {
        let shown = path.display();
        let text = fs::read_to_string(path).map_err(|error| {
            let problem = format!("the {what} cannot be read from {shown}: {error}");
            Problem::misuse(problem)
        })?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        match text.is_empty() {
            true => Err(Problem::misuse(format!("{shown} holds no {what}"))),
            false => Ok(Self::from(text)),
        }
    }

    /// Asks the one at the terminal, who does not see what is typed.
    ///
    /// # Errors
    /// There is no terminal, or nothing was typed; `instead` says what else would do.
    pub(crate) fn ask(what: &str, instead: &str) -> Result<Self, Problem> {
        match prompt::ask(what) {
            Ok(text) if text.is_empty() => Err(Problem::misuse(format!("no {what} was given"))),
            Ok(text) => Ok(Self(text)),
            Err(_) => {
                let problem =
                    format!("the {what} is missing, and there is no terminal to ask for it");
                Err(Problem::misuse(problem).hint(instead))
            }
        }
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
