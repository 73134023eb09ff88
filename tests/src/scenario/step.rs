//! What can happen in a scenario.
//!
//! Names such as `"a"` stand for what a step brings, for later steps. Payloads are JSON; `#` in
//! the payload of a [`Step::Burst`] is the number of the request.

use kaa_proto::connection::Removal;

use super::Op;

/// One step. Those that wait do so for a long time, and fail when it is over.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// The steps are of another endpoint than the usual one.
    As(&'static str, &'static [Self]),
    /// The steps, so many times.
    Repeat(usize, &'static [Self]),

    /// Takes a request; its ticket gets a name.
    Submit(&'static str, Op),
    /// Takes so many requests under one name.
    Burst(&'static str, usize, Op),
    /// Takes a request without a ticket.
    Send(Op),
    /// Requests, and waits for the end.
    Request(Op, End),
    /// Requests, and drops the future at its first wait.
    Abandon(Op),
    /// A request is not taken, for a reason in these words.
    Refuse(Op, &'static str),
    /// All tickets of that name end like this.
    Expect(&'static str, End),
    /// No request of that name has ended.
    Open(&'static str),
    /// Takes the requests of that name back.
    Cancel(&'static str),
    /// Drops the tickets of that name.
    Forget(&'static str),

    /// Reads what the platform pushes.
    Read(&'static str, Source),
    /// Stops reading.
    Stop(&'static str),
    /// This comes next.
    Next(&'static str, Item),
    /// Nothing is there to be read.
    Nothing(&'static str),
    /// Answers a command, under the name of the ticket.
    Respond(&'static str, Verdict, &'static str),
    /// Makes the commands that [`Op::Pending`] brought ones that are answered, under that name.
    Adopt(&'static str),
    /// Drops a command unanswered.
    Release(&'static str),

    /// The link becomes usable.
    Ready,
    /// The wait for the link ends with a cause; how it begins when it is shown for developers.
    NotReady(&'static str),
    /// A link, or a dial, ends; how the cause begins when it is shown for developers, in one of
    /// these ways.
    Lost(&'static [&'static str]),
    /// The link tells this; how it begins when it is shown for developers.
    LinkTells(&'static str),
    /// The endpoint tells this; how it begins when it is shown for developers.
    Tells(&'static str),
    /// A counter of the endpoint reaches this, and is not over it.
    Count(&'static str, u64),
    /// A counter of the connection is within these bounds.
    LinkCount(&'static str, u64, u64),
    /// Cuts the wait before the next dial.
    DialNow,
    /// Uses another login.
    Login(&'static str, &'static str),
    /// Removes the endpoint. Its handle stays, until there is another.
    Remove(Removal),
    /// Adds the endpoint once more.
    Add,
    /// Closes the client; how many requests ended how, and how many are unfinished.
    Shutdown(u64, &'static [(&'static str, u64)], usize),
    /// Drops all handles.
    DropHandles,
    /// The driver is dropped, as when its runtime ends.
    EndDriver,
    /// A task of the user takes a request, and panics with handles in its hands.
    Panic(Op),

    /// An operator sends a command: its type and payload.
    Invoke(&'static str, &'static str),
    /// An operator assigns a configuration; an empty name is the unnamed one.
    Configure(&'static str, &'static str),
    /// An operator offers a version of the software.
    Offer(&'static str, &'static str),
    /// The platform misbehaves; see [`Fault::parse`](kaa_proto::platform::Fault::parse).
    Fault(&'static str),
    /// A switch of the platform.
    Switch(&'static str, &'static str),
    /// The platform drops the link of the endpoint.
    Kick,
    /// The platform tells of this event, with these fields; each is told once.
    Sees(&'static str, &'static str),
    /// The platform has told so often of this event with these fields, since it began.
    SawTimes(&'static str, &'static str, usize),
    /// The platform tells of so many of these events, whose data have the numbers `n` from 0 on
    /// in their order, and of no others.
    Numbered(&'static str, usize),
    /// The platform's state of the endpoint comes to hold this.
    State(&'static str),

    /// Something happens to the network, or to the platform as a whole.
    Net(Network),
    /// So many seconds pass. In memory only.
    Pass(u64),
}

/// How a request ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// Confirmed.
    Done,
    /// Confirmed, and this came back.
    Brings(&'static str),
    /// Refused by the platform, with this status.
    Rejected(u16),
    /// Another failure, by its name.
    Fails(&'static str),
    /// Confirmed and this came back, or that failure, by its name.
    Either(&'static str, &'static str),
    /// Not even taken; how the reason begins when it is shown for developers.
    NotTaken(&'static str),
    /// Some like one, so many of them like the other, as failures by their names; `""`: confirmed.
    Some(usize, &'static str, &'static str),
}

/// What is read.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// Commands of these types.
    Commands(&'static [&'static str]),
    /// A configuration; an empty name is the unnamed one.
    Configuration(&'static str),
    /// Software, with the version that runs.
    Software(&'static str),
}

/// What comes out of a reader.
#[derive(Clone, Copy, Debug)]
pub enum Item {
    /// A command with this payload (`null`: none), under a name.
    Command(&'static str, &'static str),
    /// An assigned configuration with this content, under a name.
    Assigned(&'static str, &'static str),
    /// No configuration is assigned.
    Unassigned,
    /// This version of the software, under a name.
    Version(&'static str, &'static str),
    /// Nothing ever again.
    Ended,
}

/// How a command went.
#[derive(Clone, Copy, Debug)]
pub enum Verdict {
    /// Status 200, without a payload.
    Done,
    /// Status 200, with this payload.
    With(&'static str),
    /// It failed, for that reason.
    Failed(u16, &'static str),
}

/// What happens between client and platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Links break, and nobody listens.
    Away,
    /// Somebody listens again.
    Back,
    /// Links break.
    Cut,
    /// The links there are carry nothing any more, and stay open. New ones are good.
    Mute,
    /// The links there are carry so many more bytes from the platform, then nothing.
    MuteIn(usize),
    /// Links to come carry so many bytes from the platform, then nothing.
    MuteAfter(usize),
    /// Links to come are good.
    Heal,
    /// The platform stops, and another one starts that knows nothing of it.
    Restart,
    /// As [`Restart`](Self::Restart), at another address.
    Move,
}
