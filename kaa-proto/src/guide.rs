//! Guides: [`reliability`] says what becomes of a request, and what survives a crash;
//! [`commands`] how to write a device that does not reboot twice.

#[doc = include_str!("guide/commands.md")]
pub mod commands {}
#[doc = include_str!("guide/reliability.md")]
pub mod reliability {}
