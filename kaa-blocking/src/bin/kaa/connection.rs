//! Where the platform is and who we are: from the command line, the environment, a profile or the
//! defaults, in this order; and the session that comes of it.

mod args;
pub(crate) mod failure;
pub(crate) mod profile;
mod prompt;
pub(crate) mod secret;
mod session;
pub(crate) mod settings;

pub(crate) use args::ConnectionArgs;
pub(crate) use session::{Session, Wanted, ask_once};
