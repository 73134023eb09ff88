//! One endpoint, as the platform knows it.

use std::time::Instant;

use serde_json::Value;

use super::commands::Commands;
use super::configurations::{Assigned, Configurations, Subject};
use super::fixture::{AssignedFixture, EndpointFixture};
use super::metadata::Metadata;
use super::operator::{ConfigState, ResultState, Snapshot};
use super::options::{LinkId, Secret, Service};
use super::others::Requests;
use super::switches::Switches;
use super::telemetry::Telemetry;
use super::uploads::{Upload, unique_id};
use super::weight::Weigh;
use crate::names::EndpointName;
use crate::qos::QoS;
use crate::rng::Rng;
use crate::timers::later;

/// An endpoint and everything the extensions keep about it.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) name: EndpointName,
    /// The endpoint ID, which never goes over MQTT.
    pub(super) id: String,
    /// Where it last spoke; `None` while it is offline.
    pub(super) speaker: Option<LinkId>,
    /// Whether it is offline because it was silent for too long.
    pub(super) is_idle: bool,
    /// When it last spoke.
    pub(super) last_seen: Option<Instant>,
    /// The QoS of its latest message, at which it is pushed to.
    pub(super) qos: QoS,
    pub(super) telemetry: Telemetry,
    pub(super) metadata: Metadata,
    pub(super) commands: Commands,
    pub(super) configurations: Configurations,
    pub(super) software: Configurations,
    /// The upload token it is always given.
    pub(super) upload_token: Option<Secret>,
    pub(super) requests: Requests,
    /// What it weighed after its last request.
    pub(super) kept: usize,
}

/// What an endpoint takes that has done nothing yet: it stands in several tables.
const OWN: usize = 2 * size_of::<Device>() + 1_024;

/// What the platform keeps for it because of what it sent.
impl Weigh for Device {
    fn weigh(&self) -> usize {
        let name = self.name.app_version().as_str().len() + self.name.token().as_str().len();
        OWN + name
            + self.telemetry.last().map_or(0, Weigh::weigh)
            + self.metadata.values().weigh()
            + self.commands.weigh()
            + self.configurations.weigh()
            + self.software.weigh()
            + self.requests.weigh()
    }
}

impl Device {
    pub(super) fn new(name: EndpointName, rng: &mut Rng) -> Self {
        let mut device = Self {
            name,
            id: unique_id(rng),
            speaker: None,
            is_idle: false,
            last_seen: None,
            qos: QoS::AtMostOnce,
            telemetry: Telemetry::default(),
            metadata: Metadata::default(),
            commands: Commands::default(),
            configurations: Configurations::new(Subject::Configuration),
            software: Configurations::new(Subject::Software),
            upload_token: None,
            requests: Requests::default(),
            kept: 0,
        };
        device.kept = device.weigh();
        device
    }

    pub(super) fn from_fixture(
        name: EndpointName,
        fixture: EndpointFixture,
        switches: &Switches,
        rng: &mut Rng,
    ) -> Self {
        let mut device = Self::new(name, rng);
        let by_text = |(key, value): (crate::names::MetadataKey, Value)| (key.to_string(), value);
        let metadata = fixture.metadata.into_iter().map(by_text).collect();
        device.metadata = Metadata::new(metadata, fixture.read_only, fixture.hidden);
        for (key, assigned) in fixture.configurations {
            let assigned = with_id(assigned, rng);
            // Nobody is connected yet: the push is made when the endpoint speaks.
            let _ = device
                .configurations
                .assign(key.as_str(), assigned, switches);
        }
        if let Some(assigned) = fixture.software {
            let _ = device.software.assign("", with_id(assigned, rng), switches);
        }
        for (of_type, commands) in fixture.commands {
            for command in commands {
                device
                    .commands
                    .restore(of_type.as_str(), command.id, command.payload);
            }
        }
        device.upload_token = fixture.upload_token;
        device.kept = device.weigh();
        device
    }

    /// When something of it expires: a command, or the patience with its silence.
    pub(super) fn deadline(&self, switches: &Switches) -> Option<Instant> {
        let idle = self.idle_at(switches);
        idle.into_iter().chain(self.commands.next_expiry()).min()
    }

    /// When it counts as offline if it stays silent.
    pub(super) fn idle_at(&self, switches: &Switches) -> Option<Instant> {
        let spoke = self.last_seen.filter(|_| self.speaker.is_some());
        Some(later(spoke?, switches.idle_disconnect?))
    }

    /// The configurations, or the software.
    pub(super) const fn configurations_of(&mut self, service: Service) -> &mut Configurations {
        if matches!(service, Service::CmxOta) {
            &mut self.software
        } else {
            &mut self.configurations
        }
    }

    /// It went offline or to another link.
    pub(super) fn end_session(&mut self, switches: &Switches) {
        self.commands.end_session(switches);
        self.configurations.end_session(switches);
        self.software.end_session(switches);
    }

    pub(super) fn snapshot(&self, uploads: Vec<Upload>) -> Snapshot {
        let states = |configurations: &Configurations| {
            let state = |(name, assigned, reported): (&String, Option<&Assigned>, Option<&_>)| {
                let state = ConfigState {
                    assigned: assigned.cloned(),
                    reported: Option::<&super::configurations::Report>::cloned(reported),
                };
                (name.clone(), state)
            };
            configurations
                .slots()
                .map(state)
                .collect::<std::collections::BTreeMap<_, _>>()
        };
        let results = self
            .commands
            .results()
            .map(|(of_type, result)| ResultState {
                command_type: of_type.clone(),
                id: result.id,
                status_code: result.status_code,
                reason_phrase: result.reason_phrase.clone(),
                payload: result.payload.clone(),
            });
        Snapshot {
            app_version: self.name.app_version().to_string(),
            endpoint_id: self.id.clone(),
            online: self.speaker.is_some(),
            metadata: self.metadata.values().clone(),
            samples: self.telemetry.samples(),
            last_sample: self.telemetry.last().cloned(),
            configurations: states(&self.configurations),
            software: states(&self.software).remove("").unwrap_or_default(),
            commands: self.commands.outstanding(),
            results: results.collect(),
            uploads,
        }
    }
}

/// An ID as 7/CMP shows them: 32 hexadecimal digits.
pub(super) fn config_id(rng: &mut Rng) -> String {
    format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64())
}

fn with_id(fixture: AssignedFixture, rng: &mut Rng) -> Assigned {
    Assigned {
        config_id: fixture.config_id.unwrap_or_else(|| config_id(rng)),
        config: fixture.config,
    }
}
