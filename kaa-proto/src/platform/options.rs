//! What a platform is set up with.

use std::collections::BTreeMap;
use std::fmt;

use super::fixture::Fixture;
use super::limits::Limits;
use super::switches::Switches;
use crate::names::Extension;

/// One connection to the platform, as its host numbers them. Numbers are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

impl LinkId {
    /// The link of that number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What an extension instance does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Service {
    /// Data collection, 2/DCP.
    Dcx,
    /// Endpoint metadata, 10/EPMP.
    Epmx,
    /// Commands, 11/CEP.
    Cex,
    /// Configurations, 7/CMP.
    Cmx,
    /// Software updates over 7/CMP.
    CmxOta,
    /// Upload tokens for binary data and files.
    Bcx,
    /// Request status.
    Rsx,
    /// Time.
    Tsx,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Dcx,
        Self::Epmx,
        Self::Cex,
        Self::Cmx,
        Self::CmxOta,
        Self::Bcx,
        Self::Rsx,
        Self::Tsx,
    ];

    /// The usual name of its instance.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dcx => "dcx",
            Self::Epmx => "epmx",
            Self::Cex => "cex",
            Self::Cmx => "cmx",
            Self::CmxOta => "cmx_ota",
            Self::Bcx => "bcx",
            Self::Rsx => "rsx",
            Self::Tsx => "tsx",
        }
    }

    /// The service of a usual name.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }
}

/// A text that is not shown by `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Whether a user may come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserState {
    /// The password opens the door.
    #[default]
    Active,
    /// Suspended or revoked: CONNACK 5 even with the right password.
    Suspended,
}

/// MQTT credentials that the platform takes. As soon as there is one user, one is required.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user name, on Kaa Cloud `<name>@<tenantId>` (FACTS trap 33).
    pub name: String,
    /// The password.
    pub password: Secret,
    /// Whether the credentials are good.
    pub state: UserState,
}

/// How a platform is set up. The default takes any application version and any endpoint.
#[derive(Clone, Debug)]
pub struct PlatformOptions {
    /// How open questions are settled.
    pub switches: Switches,
    /// The initial state. With it unknown versions and tokens are refused; without it they are
    /// created on first contact.
    pub fixture: Option<Fixture>,
    /// Who may connect (level B); empty: everybody.
    pub users: Vec<User>,
    /// Extension instances by name. Default: each service under its usual name.
    pub extensions: BTreeMap<Extension, Service>,
    /// How many endpoints there can be; further ones are refused as unknown tokens. Default:
    /// 100,000, a fleet test with room to spare.
    pub max_endpoints: usize,
    /// How much devices can make it hold.
    pub limits: Limits,
}

impl Default for PlatformOptions {
    fn default() -> Self {
        let named = |service: Service| Some((Extension::new(service.as_str()).ok()?, service));
        Self {
            switches: Switches::default(),
            fixture: None,
            users: Vec::new(),
            extensions: Service::ALL.into_iter().filter_map(named).collect(),
            max_endpoints: 100_000,
            limits: Limits::default(),
        }
    }
}
