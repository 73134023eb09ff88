//! Where the device plays: the platform that the environment names, or a local one in this
//! process. Shared by the examples of all runtimes.

use std::error::Error;
use std::fs;
use std::time::Duration;

use kaa_blocking::platform::{LocalOptions, LocalPlatform};
use kaa_proto::client::{EnvironmentProblem, InvalidEnvironment, Options};
use kaa_proto::names::{CommandType, EndpointName};
use serde::Serialize;
use serde_json::Value;

pub(crate) struct Stage {
    pub(crate) options: Options,
    pub(crate) name: EndpointName,
    /// How long a push may take to come; another platform may have none to send.
    pub(crate) patience: Duration,
    local: Option<LocalPlatform>,
}

impl Stage {
    pub(crate) fn set() -> Result<Self, Box<dyn Error>> {
        if let Some(options) = of_environment()? {
            return Ok(Self {
                options,
                name: EndpointName::from_env()?,
                patience: Duration::from_secs(5),
                local: None,
            });
        }
        // On free ports of this machine.
        let mut options = LocalOptions::default();
        options.http_listen = Some(([127, 0, 0, 1], 0).into());
        let local = LocalPlatform::start(options)?;
        Ok(Self {
            options: Options::new(local.url())?,
            name: EndpointName::parse("demo-v1", "JTjdbENzHh")?,
            patience: Duration::from_secs(10),
            local: Some(local),
        })
    }

    pub(crate) fn is_local(&self) -> bool {
        self.local.is_some()
    }

    /// Where uploads go, as `HOST:PORT` of plain HTTP. The cloud takes them by HTTPS only.
    #[allow(dead_code, reason = "the quickstarts upload nothing")]
    pub(crate) fn uploads(&self) -> Option<String> {
        let local = self.local.as_ref()?;
        local.http_addr().map(|addr| addr.to_string())
    }

    // What an operator does at the platform's user interface.

    pub(crate) fn send_command(
        &self,
        of: &CommandType,
        payload: Value,
    ) -> Result<(), Box<dyn Error>> {
        if let Some(local) = &self.local {
            local.command(&self.name, of, Some(payload))?;
        }
        Ok(())
    }

    pub(crate) fn configure(&self, configuration: Value) -> Result<(), Box<dyn Error>> {
        if let Some(local) = &self.local {
            local.set_configuration(&self.name, None, configuration)?;
        }
        Ok(())
    }

    pub(crate) fn offer_software(&self, version: &str, spec: Value) -> Result<(), Box<dyn Error>> {
        if let Some(local) = &self.local {
            local.set_software(&self.name, version, spec)?;
        }
        Ok(())
    }
}

/// What the environment says; `None` if it names no platform.
fn of_environment() -> Result<Option<Options>, InvalidEnvironment> {
    match Options::from_env() {
        Ok(options) => Ok(Some(options)),
        // Only `KAA_URL` can be.
        Err(error) if error.problem == EnvironmentProblem::Missing => Ok(None),
        Err(error) => Err(error),
    }
}

/// What this machine says of itself: 0 where it does not.
#[derive(Serialize)]
pub(crate) struct Machine {
    /// Processes that want to run, on average over a minute.
    pub(crate) load: f64,
    /// Memory that is free for use, in KiB.
    pub(crate) memory: f64,
    /// Seconds since it was started.
    pub(crate) uptime: f64,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let first = |text: &str| {
            text.split_whitespace()
                .next()
                .and_then(|word| word.parse().ok())
        };
        let memory = read("/proc/meminfo");
        let available = memory
            .lines()
            .find_map(|line| line.strip_prefix("MemAvailable:"));
        Self {
            load: first(&read("/proc/loadavg")).unwrap_or_default(),
            memory: available.and_then(first).unwrap_or_default(),
            uptime: first(&read("/proc/uptime")).unwrap_or_default(),
        }
    }
}
