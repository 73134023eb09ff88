//! What went wrong, in words for the one who has to mend it.

use std::fmt;

use crate::exit::Exit;

/// Why the program ends without having done what it was asked for. It holds no secret.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) exit: Exit,
    /// What failed.
    words: String,
    /// What to try.
    hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(exit: Exit, words: impl Into<String>) -> Self {
        Self {
            exit,
            words: words.into(),
            hint: None,
        }
    }

    /// The command line, a setting or the input is wrong.
    pub(crate) fn misuse(words: impl Into<String>) -> Self {
        Self::new(Exit::Misuse, words)
    }

    /// A file, a folder or the system failed.
    pub(crate) fn local(words: impl Into<String>) -> Self {
        Self::new(Exit::Local, words)
    }

    /// What failed, and what to try.
    pub(crate) fn parts(&self) -> (&str, &str) {
        (&self.words, self.hint.as_deref().unwrap_or_default())
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)?;
        match &self.hint {
            Some(hint) => write!(f, "\n     try: {hint}"),
            None => Ok(()),
        }
    }
}
