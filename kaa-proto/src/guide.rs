//! Guides, in the order in which one needs them.
//!
//! | guide | says |
//! |---|---|
//! | [`getting_started`] | from nothing to a device in the field |
//! | [`operations`] | what Kaa calls an operation, and the call for it |
//! | [`reliability`] | what becomes of a request, and what survives a crash |
//! | [`commands`] | how a device runs no command twice |
//! | [`gateways`] | one connection for many devices |
//! | [`testing`] | the local platform, and a simulator, for your own device |
//! | [`security`] | what is defended, what is left to you |
//! | [`own_mqtt_client`] | Kaa over an MQTT client that you have |
//! | [`binding`] | a binding for another runtime |

pub mod binding {
    #![doc = include_str!("guide/binding.md")]
}

pub mod commands {
    #![doc = include_str!("guide/commands.md")]
}

pub mod gateways {
    #![doc = include_str!("guide/gateways.md")]
}

pub mod getting_started {
    #![doc = include_str!("guide/getting_started.md")]
}

pub mod operations {
    #![doc = include_str!("guide/operations.md")]
}

pub mod own_mqtt_client {
    #![doc = include_str!("guide/own_mqtt_client.md")]
}

pub mod reliability {
    #![doc = include_str!("guide/reliability.md")]
}

pub mod security {
    #![doc = include_str!("guide/security.md")]
}

pub mod testing {
    #![doc = include_str!("guide/testing.md")]
}
