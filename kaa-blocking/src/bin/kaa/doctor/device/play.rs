//! The scenes: what the doctor does with a device, and how long he watches. It is done as soon as
//! there is enough to judge by.

mod acts;
mod answers;
mod commands;

use std::io;

use std::time::{Duration, Instant};

use kaa_proto::names::{CommandType, EndpointName};
use kaa_proto::platform::PlatformOptions;
use kaa_proto::topic::Topic;
use serde_json::Value;

use super::case::Scene;
use super::desk::Desk;
use super::program::{Program, Recipe};
use super::record::{Act, Entry, Record, What, is_sign_of_life, request};
use super::tap::Tap;
use super::wire::Packet;
use crate::stop::Stop;

/// How often is looked whether the program has ended, or the doctor is to.
const TICK: Duration = Duration::from_millis(100);

const SECOND: Duration = Duration::from_secs(1);

/// Who plays the scenes.
pub(crate) struct Player<'a> {
    pub(crate) tap: &'a Tap,
    /// `None`: a device comes by itself.
    pub(crate) recipe: Option<&'a Recipe>,
    /// The endpoint, unless the device shows another one.
    pub(crate) name: EndpointName,
    /// The longest that a scene takes.
    pub(crate) timeout: Duration,
    /// What is invoked; `None`: the first that the device asks for, without a payload.
    pub(crate) command: Option<(CommandType, Option<Value>)>,
    /// Whether the user wants to end.
    pub(crate) stop: &'a Stop,
}

/// One scene being played.
struct Stage<'a> {
    player: &'a Player<'a>,
    program: Option<Program>,
    has_exited: bool,
    deadline: Instant,
}

impl Player<'_> {
    /// Plays a scene; what was seen.
    ///
    /// # Errors
    /// The program cannot be started, or the system gives no entropy.
    pub(crate) fn play(&self, scene: Scene) -> io::Result<Vec<Entry>> {
        self.tap.begin(PlatformOptions::default())?;
        if scene == Scene::Slow {
            let hold = Some(answers::SLOW);
            self.tap.act(|desk| desk.conduct.holds_answers = hold);
        }
        let mut stage = Stage {
            player: self,
            program: self.recipe.map(Recipe::start).transpose()?,
            has_exited: false,
            deadline: Instant::now() + self.timeout,
        };
        if stage.comes() {
            match scene {
                Scene::Calm => stage.calm(),
                Scene::Slow => stage.slow(),
                Scene::WrongAnswers => stage.wrong_answers(),
                Scene::Push => stage.push(),
                Scene::OddPackets => stage.odd_packets(),
                Scene::Cut => stage.cut(),
                Scene::Outage => stage.outage(|desk| desk.conduct.closes = true),
                Scene::Refusal => stage.outage(|desk| {
                    desk.conduct.refuses = Some(SERVER_UNAVAILABLE);
                }),
                Scene::Quiet => stage.quiet(),
                Scene::DeadLink => stage.dead_link(),
                Scene::Commands => stage.commands(),
                Scene::Goodbye => stage.goodbye(),
            }
        }
        Ok(self.tap.act(|desk| {
            desk.note(What::Did(Act::Ends));
            desk.entries().to_vec()
        }))
    }
}

/// The CONNACK of a server that is starting, or has too much to do.
const SERVER_UNAVAILABLE: u8 = 3;

impl Stage<'_> {
    /// Waits until the device was let in.
    fn comes(&mut self) -> bool {
        self.wait(self.left(), |record| record.welcomes().next().is_some())
    }

    /// What is left of the time for the scene.
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Waits until `look` says so, at most that long or as the scene has left; whether it did.
    fn wait(&mut self, time: Duration, look: impl Fn(Record<'_>) -> bool) -> bool {
        let until = (Instant::now() + time).min(self.deadline);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let slice = left.min(TICK);
            if self
                .player
                .tap
                .wait(slice, |desk| look(Record(desk.entries())))
            {
                return true;
            }
            let is_over = left.is_zero() || self.player.stop.is_stopping();
            if is_over || self.notice_exit() {
                return false;
            }
        }
    }

    /// Lets time pass.
    fn pause(&mut self, time: Duration) {
        self.wait(time, |_| false);
    }

    /// Whether the program has ended; notes it once.
    fn notice_exit(&mut self) -> bool {
        let ended = self.program.as_mut().is_some_and(Program::has_ended);
        if ended && !self.has_exited {
            self.has_exited = true;
            self.act(|desk| desk.note(What::Exited));
        }
        ended
    }

    fn act<T>(&self, act: impl FnOnce(&mut Desk) -> T) -> T {
        self.player.tap.act(act)
    }

    fn note(&self, act: Act) {
        self.act(|desk| desk.note(What::Did(act)));
    }

    /// Waits for a sign of life.
    fn speaks(&mut self, time: Duration) -> bool {
        let before = self.count(is_sign_of_life);
        self.wait(time, |record| count(record, is_sign_of_life) > before)
    }

    fn count(&self, is_it: impl Fn(&Packet) -> bool) -> usize {
        self.act(|desk| count(Record(desk.entries()), is_it))
    }

    /// How many requests it made.
    fn requests(&self) -> usize {
        self.count(is_request)
    }

    /// The keep alive that it asked for last.
    fn keep_alive(&self) -> u16 {
        self.act(|desk| {
            let connects = Record(desk.entries()).connects();
            connects
                .last()
                .map_or(0, |(_, _, connect)| connect.keep_alive)
        })
    }

    /// The endpoint that it speaks for.
    fn endpoint(&self) -> EndpointName {
        let seen = self.act(|desk| {
            let record = Record(desk.entries());
            let mut topics = record.published().map(|(_, _, publish)| &publish.topic);
            topics.find_map(|topic| {
                let topic = Topic::parse(topic).ok()?;
                EndpointName::parse(topic.app_version(), topic.token()).ok()
            })
        });
        seen.unwrap_or_else(|| self.player.name.clone())
    }
}

fn count(record: Record<'_>, is_it: impl Fn(&Packet) -> bool) -> usize {
    record
        .heard()
        .filter(|(_, _, packet)| is_it(packet))
        .count()
}

fn is_request(packet: &Packet) -> bool {
    matches!(packet, Packet::Publish(publish) if request(publish).is_some())
}
