//! What runs on a simulated device.

use std::time::{Duration, Instant};

use kaa_proto::client::{Client, Options};
use kaa_proto::names::EndpointName;
use kaa_proto::platform;

use crate::dice::Dice;
use crate::sniffer::Seen;

/// A device's own logic, over the handles that every binding has.
///
/// It never blocks: it is called when something may have happened, reads what there is
/// ([`Ticket::try_outcome`](kaa_proto::client::Ticket::try_outcome),
/// [`Commands::try_next`](kaa_proto::client::Commands::try_next) …) and returns. What must not be, it
/// says by a panic: [`play`](super::play) catches it, and finds the shortest way to it.
pub trait Program {
    /// The endpoints it speaks for.
    fn names(&self) -> Vec<EndpointName>;

    /// The options of its client. The simulation adds the store, if the device has a disk.
    fn options(&self) -> Options;

    /// The device comes up, with a new client; again after each crash and each restart. What was in
    /// memory is gone: the program keeps only what it remembers for the sake of a test.
    fn start(&mut self, moment: &mut Moment<'_>, birth: Birth);

    /// It may do something. In calm weather it begins nothing new but what shows that everything
    /// works again.
    fn live(&mut self, moment: &mut Moment<'_>);

    /// Whether nothing is left to do: asked in calm weather, where this has to come to be.
    fn is_done(&self) -> bool;

    /// What is left, for people.
    fn undone(&self) -> String {
        String::new()
    }

    /// Calm weather has lasted until everything was done, and it is over: a last look.
    fn finish(&mut self) {}

    /// The process is about to be gone without a warning. No device gets to know; a test may note
    /// here what the client had told by then.
    fn note_crash(&mut self, now: Instant, notes: &mut Vec<String>) {
        let _ = (now, notes);
    }

    /// The device is told to end.
    fn handle_shutdown(&mut self) {}

    /// The device was told to end, and has; this is what was unfinished.
    fn handle_account(&mut self, account: &kaa_proto::connection::Account) {
        let _ = account;
    }

    /// An operator wants something of one of its endpoints.
    fn handle_order(&mut self, name: &EndpointName, order: &Order) {
        let _ = (name, order);
    }

    /// What the platform has written down about one of its endpoints.
    fn handle_log(&mut self, event: &platform::Event) {
        let _ = event;
    }

    /// The last byte of a message went to the transport of this link, or came from it.
    fn handle_wire(&mut self, now: Instant, link: u64, passed: Passed<'_>) {
        let _ = (now, link, passed);
    }

    /// So many bytes waited for the transport to take them.
    fn handle_output(&mut self, waiting: usize) {
        let _ = waiting;
    }

    /// A link is gone from the device's side.
    fn handle_link_gone(&mut self, link: u64, end: LinkEnd) {
        let _ = (link, end);
    }
}

/// What an operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// A command of this type and ID is invoked.
    Command(&'static str, i64),
    /// The default configuration is the one with this ID.
    Configuration(String),
    /// The software is to be of this version.
    Software(String),
}

/// What went through a transport.
#[derive(Clone, Copy, Debug)]
pub enum Passed<'a> {
    /// A message of the client.
    Sent(&'a Seen),
    /// A message for the client.
    Received(&'a Seen),
    /// A message for the client that may have come after something that is no MQTT: perhaps it did not
    /// look at it.
    Doubtful(&'a Seen),
    /// The PUBACK for a message of the client.
    Acknowledged(&'a Seen),
    /// A message for the client of which the network made a copy.
    Copied(&'a Seen),
}

/// How much of what was on its way had gone when a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// All packets were whole.
    Whole,
    /// A packet was begun.
    Partial,
    /// The platform refused it, so it has processed nothing of that.
    Refused,
}

/// What was before a program is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// Nothing.
    First,
    /// The power went; what was not synced is lost.
    PowerCut,
    /// The process was killed; the disk has all that was written.
    Killed,
    /// It ended as it was told to.
    ShutDown,
}

/// What a device has to remember things over a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Nothing.
    None,
    /// A disk that has never failed.
    Good,
    /// A disk that may have failed to write: what was told to be stored is stored, and what was not may be
    /// forgotten.
    Unreliable,
    /// A disk of which a sync has failed: if the process ended then, the next one has to believe what
    /// the system shows it ([`Log`](kaa_proto::store::Log)), and a power cut may take it.
    Doubtful,
}

/// When a program is called, and with what.
#[derive(Debug)]
pub struct Moment<'a> {
    /// The time it is.
    pub now: Instant,
    /// Its client.
    pub client: &'a Client,
    /// What it has to remember things.
    pub storage: Storage,
    /// The number of its latest link, from 1.
    pub link: u64,
    /// Chance.
    pub dice: &'a mut Dice,
    /// Nothing goes wrong any more.
    pub is_calm: bool,
    /// The client has done all that is due by now, and so has its store: what is overdue is late.
    pub is_settled: bool,
    /// What is to stand in the transcript.
    pub notes: &'a mut Vec<String>,
    /// After which time it is called again, whatever happens.
    pub again_in: Duration,
}
