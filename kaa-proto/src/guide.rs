//! Guides: [`reliability`] says what becomes of a request, and what survives a crash;
//! [`commands`] how to write a device that runs no command twice.

pub mod commands {
    #![doc = include_str!("guide/commands.md")]
}

pub mod reliability {
    #![doc = include_str!("guide/reliability.md")]
}
