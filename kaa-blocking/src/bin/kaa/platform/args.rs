//! The command line of `kaa platform`. What stands here is what `--help` says.

use std::path::PathBuf;

use clap::Args;

/// Run a local platform: the server side of every operation of the Kaa MQTT API, for tests and
/// demonstrations.
///
/// It prints `listening on ADDR` (or `attached to URL`) when devices can come, and then a line for
/// each thing that they do. It reads commands from standard input, one a line, quoted as in a
/// shell; `help` lists them. The end of standard input does not end it; SIGINT, SIGTERM and SIGHUP do.
///
/// Without --fixture any application version and any endpoint token is accepted.
///
/// Exit status: 0 when it was told to end; 1 with --strict if a device broke the protocol; 2 if it
/// could not start, because of its arguments or an address, or not go on.
#[derive(Args)]
#[command(after_long_help = MORE)]
pub(crate) struct PlatformArgs {
    /// Where MQTT clients connect; port 0 picks a free one
    ///
    /// Default: 127.0.0.1:1883; with --tls-cert 127.0.0.1:8883.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,

    /// Serve through a broker at mqtt://HOST:PORT, as its client on kp1/#, instead of listening
    ///
    /// A broker that cannot be reached, or is lost, is tried again every second.
    #[arg(long, value_name = "URL", conflicts_with = "listen")]
    pub(crate) attach: Option<String>,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,

    /// Start from this state and refuse unknown versions and tokens as the switches say
    #[arg(long, value_name = "FILE")]
    pub(crate) fixture: Option<PathBuf>,

    /// Settle a question that the documents leave open; `--switch help` lists them
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) switch: Vec<String>,

    /// Require a user name and password
    ///
    /// Give it again for more users. With --attach it is what the broker requires of the platform,
    /// and there is one only. Others on this machine may see the command line: for passwords that
    /// matter, use --user-file.
    #[arg(long, value_name = "NAME:PASSWORD")]
    pub(crate) user: Vec<String>,

    /// The same from a file, one NAME:PASSWORD a line
    #[arg(long, value_name = "FILE")]
    pub(crate) user_file: Option<PathBuf>,

    /// Print every line as a JSON object
    #[arg(long)]
    pub(crate) json: bool,

    /// Write the port to this file when devices can come
    ///
    /// With --attach it is the broker's port. With --http-listen a second line is the port for
    /// uploads. The file appears whole; one that is there is removed first.
    #[arg(long, value_name = "FILE")]
    pub(crate) port_file: Option<PathBuf>,

    /// Draw IDs, tokens and the chance of faults from this number, so that a run can be repeated
    ///
    /// Default: a random one.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// End with exit status 1 if a device broke the protocol
    #[arg(long)]
    pub(crate) strict: bool,

    /// Take commands on this Unix socket too
    ///
    /// Each line is answered by one that begins with `ok` or `error` and the command's name, after
    /// lines that begin with two blanks where there is more to say. `expect` answers when its
    /// event has come; lines after it are answered meanwhile.
    #[arg(long, value_name = "SOCKET")]
    pub(crate) control: Option<PathBuf>,

    /// Take uploads of binary data and files over HTTP; port 0 picks a free one
    ///
    /// Always plain HTTP, also with --tls-cert.
    #[arg(long, value_name = "ADDR")]
    pub(crate) http_listen: Option<String>,

    /// Print endpoint tokens whole; they are secrets
    #[arg(long)]
    pub(crate) show_tokens: bool,
}

/// TLS for MQTT clients. All files are PEM.
#[derive(Args)]
pub(crate) struct TlsArgs {
    /// Speak TLS 1.2 or 1.3 with MQTT clients, and show them this certificate
    ///
    /// A PEM file; the certificates between it and the root follow it there. Uploads stay plain
    /// HTTP.
    #[arg(
        long = "tls-cert",
        value_name = "FILE",
        requires = "key",
        conflicts_with = "attach"
    )]
    pub(crate) cert: Option<PathBuf>,

    /// The key of --tls-cert, as PEM: PKCS#8, SEC1 or PKCS#1, not encrypted
    #[arg(long = "tls-key", value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// Refuse clients that have no certificate of these authorities, a PEM file
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) client_ca: Option<PathBuf>,
}

/// Shown after `kaa platform --help`.
const MORE: &str = "\
Fixture: a JSON object; every key is optional, an unknown one is an error.
  {\"appVersions\": {\"demo-v1\": {\"endpoints\": {\"TOKEN\": {
    \"metadata\": {\"name\": \"Device name\"}, \"readOnly\": [\"serial\"], \"hidden\": [\"secret\"],
    \"configurations\": {\"\": {\"configId\": \"1\", \"config\": {}}, \"network\": {\"config\": {}}},
    \"software\": {\"configId\": \"0.0.2\", \"config\": {\"link\": \"https://example.com/fw\"}},
    \"commands\": {\"reboot\": [{\"id\": 1, \"payload\": {\"delay\": 5}}]},
    \"uploadToken\": \"2222\"}}}}}

JSON lines: an object with
  v            the version of this description, 1; it rises when a field changes or goes away
  at           seconds since the platform was started
  event        what happened; `expect` takes the same names
  link         the number of the connection, if it happened on one
  appVersion, token
               the endpoint, if it concerns one; the token is shortened without --show-tokens
  and the fields of the event. Four are of the program itself:
  listening    address, text; and uploads, an address, with --http-listen
  attached     url, text
  tls-failed   link, cause: the connection is closed because TLS failed
  answer       to a line of standard input: verb, ok, then result (ok) or problem (not ok), and
               lines where there is more to say

Try it with Mosquitto's clients:
  mosquitto_rr -V 311 -q 1 -t kp1/demo-v1/dcx/my-token/json/1 \\
    -e kp1/demo-v1/dcx/my-token/json/1/status -m '{\"temperature\": 21}'
and with TLS, where ca.pem is the authority that signed server.pem for localhost:
  kaa platform --tls-cert server.pem --tls-key server.key
  mosquitto_rr --cafile ca.pem -h localhost -p 8883 -V 311 …

In the background of a terminal, run it with `< /dev/null`.";

/// Passwords are not shown.
impl std::fmt::Debug for PlatformArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlatformArgs").finish_non_exhaustive()
    }
}
