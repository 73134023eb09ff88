//! Where the device plays: the platform in the environment, or a local one in this process.

use std::error::Error;
use std::time::Duration;
use std::{env, fs};

use kaa_blocking::names::{CommandType, EndpointName};
use kaa_blocking::platform::{LocalOptions, LocalPlatform};
use serde::Serialize;
use serde_json::Value;

pub(crate) struct Stage {
    pub(crate) url: String,
    pub(crate) name: EndpointName,
    /// How long a push may take to come; another platform may have none to send.
    pub(crate) patience: Duration,
    local: Option<LocalPlatform>,
}

impl Stage {
    pub(crate) fn set() -> Result<Self, Box<dyn Error>> {
        if let Ok(url) = env::var("KAA_URL") {
            let name = EndpointName::parse(&env::var("KAA_APP_VERSION")?, &env::var("KAA_TOKEN")?)?;
            return Ok(Self {
                url,
                name,
                patience: Duration::from_secs(2),
                local: None,
            });
        }
        // Port 0: the system picks a free one.
        let local = LocalPlatform::start(LocalOptions::default())?;
        Ok(Self {
            url: local.url().to_owned(),
            name: EndpointName::parse("demo-v1", "JTjdbENzHh")?,
            patience: Duration::from_secs(10),
            local: Some(local),
        })
    }

    pub(crate) fn is_local(&self) -> bool {
        self.local.is_some()
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
