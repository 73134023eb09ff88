//! What clients connect to: the null platform, or a Mosquitto with the local platform behind it.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use kaa_bench::Outcome;
use kaa_blocking::platform::{LocalOptions, LocalPlatform};

use crate::work::PATIENCE;

/// Keeps nothing, bounds nothing, says nothing.
const SETUP: &str = "\
allow_anonymous true
user root
max_inflight_messages 0
max_queued_messages 0
set_tcp_nodelay true
log_dest stderr
log_type information
";

/// Runs until it is dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    process: Child,
    /// Behind a broker, in this process.
    _platform: Option<LocalPlatform>,
}

impl Server {
    /// The null platform, from the folder that this program is in.
    pub(crate) fn null() -> Outcome<Self> {
        let program = env::current_exe()?.with_file_name("null_platform");
        let mut process = Command::new(program).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let output = process.stdout.take().ok_or("no output")?;
        BufReader::new(output).read_line(&mut line)?;
        Ok(Self {
            port: line.trim().parse()?,
            process,
            _platform: None,
        })
    }

    /// A Mosquitto of the distribution, and the local platform.
    pub(crate) fn mosquitto() -> Outcome<Self> {
        // Free a moment later, too, if nobody is very quick.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let path = env::temp_dir().join(format!("kaa-bench-{}.conf", std::process::id()));
        fs::write(&path, format!("listener {port} 127.0.0.1\n{SETUP}"))?;
        let folders = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"];
        let programs = folders.map(|folder| Path::new(folder).join("mosquitto"));
        let there = programs.into_iter().find(|program| program.is_file());
        let program = there.unwrap_or_else(|| "mosquitto".into());
        let mut process = Command::new(program)
            .arg("-c")
            .arg(&path)
            .stderr(Stdio::piped())
            .spawn()?;
        let log = BufReader::new(process.stderr.take().ok_or("no log")?);
        // It says so when it listens already; what it says later nobody reads, and it is little.
        let runs = |line: &std::io::Result<String>| {
            line.as_ref().is_ok_and(|line| line.ends_with(" running"))
        };
        let is_up = log.lines().any(|line| runs(&line));
        fs::remove_file(path)?;
        if !is_up {
            return Err("mosquitto does not start".into());
        }
        let url = format!("mqtt://127.0.0.1:{port}");
        let platform = LocalPlatform::attach(&url, None, LocalOptions::default())?;
        platform.ready(PATIENCE)?;
        Ok(Self {
            port,
            process,
            _platform: Some(platform),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
