//! The options that all commands share. What stands here is what `--help` says.

use std::path::PathBuf;

use clap::Args;

/// Where the platform is, how to reach it, and the endpoint that is spoken for.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    // No doc comment: rustdoc takes the brackets for links.
    #[arg(
        long,
        value_name = "URL",
        help = "mqtts://HOST[:PORT] with TLS, mqtt://HOST[:PORT] without [env: KAA_URL] [default: \
                mqtts://mqtt.cloud.kaaiot.com]"
    )]
    pub(crate) url: Option<String>,

    /// The application version of the endpoint [env: KAA_APP_VERSION]
    #[arg(long, value_name = "VERSION")]
    pub(crate) app_version: Option<String>,

    /// A file with the endpoint token; without it KAA_TOKEN is read, or you are asked
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// The user name of the login, if the platform asks for one [env: KAA_USERNAME]
    #[arg(long, value_name = "NAME")]
    pub(crate) username: Option<String>,

    /// A file with the password; without it KAA_PASSWORD is read, or you are asked
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// Trust these authorities instead of the system's, a PEM file [env: KAA_CA_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// The client's certificate, a PEM file, if the platform asks for one [env: KAA_CERT_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,

    /// The key of --cert, a PEM file without passphrase [env: KAA_KEY_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,

    /// How long to try, from the first dial to the answer: 500ms, 20s, 5m [env: KAA_TIMEOUT]
    /// [default: 20s]
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<String>,

    /// Read what is not given otherwise from this profile; see `kaa profile` [env: KAA_PROFILE]
    /// [default: default]
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
}
