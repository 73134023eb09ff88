//! A long life of a device, whose power goes at every operation of its disk, and comes again.

use std::time::Duration;

use kaa_proto::platform::{Fault, FaultKind, PlatformOptions};
use kaa_proto::request::Resend;
use kaa_tests::dice::Dice;
use kaa_tests::disk::SimulatedDisk;
use kaa_tests::rig::Rig;
use kaa_tests::witness::Witness;

use crate::app::{App, Facts, number, options};
use crate::world::{World, pass};

/// What goes wrong beside the power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Nothing.
    Calm,
    /// Links are cut, answers are late, lost, doubled and out of order.
    Rough,
    /// The disk fails: syncs and writes fail, it is full for a while.
    BadDisk,
}

/// How many steps a life has.
const STEPS: u64 = 50;

/// What a life has shown.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// At how many points the power went.
    pub(crate) points: usize,
    /// How often the log was rewritten.
    pub(crate) compactions: u64,
    /// How often the store was lost.
    pub(crate) losses: u64,
}

/// Lives through a seed; at each operation of the disk it is found in so many ways.
pub(crate) fn live(seed: u64, ways: u64, weather: Weather) -> Shown {
    let mut dice = Dice::new(seed);
    let witness = Witness::new(SimulatedDisk::new(seed), ways, seed);
    let (client, mut rig) = Rig::with(options(&witness), PlatformOptions::default(), None);
    let mut app = App::start(client);
    app.is_moody = weather == Weather::Rough;
    // Some logs grow so large that they are rewritten.
    app.padding = if seed % 4 == 0 { 4_000 } else { 0 };
    let mut life = Life {
        seed,
        weather,
        slowness: Dice::new(seed + 1),
        witness,
        world: World::default(),
        sent: 0,
        points: 0,
    };
    for step in 0..STEPS {
        life.happen(&mut rig, &mut app, &mut dice, step);
        let time = Duration::from_millis(dice.below(400));
        life.pass(&mut rig, &app.facts, time);
        app.live(&mut dice);
    }
    // Its own end, without a crash.
    heal(&mut rig);
    for _ in 0..120 {
        life.pass(&mut rig, &app.facts, Duration::from_millis(500));
        app.live(&mut dice);
    }
    if weather == Weather::Calm {
        assert!(app.is_idle(), "{:?}", app.client.statistics());
        assert_eq!(World::outstanding(&mut rig), 0);
    }
    let store = app.client.store_status().unwrap();
    Shown {
        points: life.points,
        compactions: store.compactions,
        losses: app.client.statistics().store_losses,
    }
}

struct Life {
    seed: u64,
    weather: Weather,
    /// How long the disk takes.
    slowness: Dice,
    witness: Witness,
    world: World,
    /// How many samples were sent.
    sent: u64,
    points: usize,
}

impl Life {
    /// Something happens, as the dice decide.
    fn happen(&mut self, rig: &mut Rig, app: &mut App, dice: &mut Dice, step: u64) {
        for _ in 0..dice.below(4) {
            let resend = match dice.below(3) {
                0 => Resend::Never,
                _ => Resend::AfterLinkLoss,
            };
            self.sent += 1;
            app.send(self.sent, resend);
        }
        match dice.below(12) {
            0..3 => self.world.invoke(rig, dice.below(3) as usize),
            3 => self.world.assign(rig, step),
            4 => app.cancel(self.sent),
            5 => app.chat(),
            6 if self.weather != Weather::Calm => rig.sever(),
            7 if self.weather == Weather::Rough => fault(rig, dice),
            8 => rig.is_away = !rig.is_away,
            9 if self.weather == Weather::BadDisk => self.break_disk(dice),
            _ => {}
        }
    }

    fn break_disk(&self, dice: &mut Dice) {
        let disk = self.witness.disk();
        match dice.below(4) {
            0 => disk.fail_next_sync(),
            1 => disk.fail_next_write(),
            2 => disk.set_room(dice.below(4_000)),
            _ => disk.set_room(u64::MAX),
        }
    }

    /// Lets time pass, and the power go wherever it can.
    fn pass(&mut self, rig: &mut Rig, facts: &Facts, time: Duration) {
        // A medium that takes its time, so that much is on its way when the power goes.
        let mut patience = self.slowness.below(12);
        rig.is_disk_stuck = patience > 4;
        pass(rig, time, &mut |rig| {
            patience = patience.saturating_sub(1);
            rig.is_disk_stuck &= patience > 0;
            self.world.read(rig);
            for image in self.witness.take_images() {
                self.points += 1;
                let seed = self.seed.wrapping_mul(1_000_003) + self.points as u64;
                self.crash(rig, facts, &image, seed);
            }
        });
    }

    /// The power went, and this is how the disk is found.
    fn crash(&self, rig: &Rig, before: &Facts, image: &SimulatedDisk, seed: u64) {
        let (mut world, mut dice) = (self.world.clone(), Dice::new(seed));
        let (client, mut rig) = rig.after_crash(options(image), seed);
        let set_aside = client.store_status().unwrap().set_aside;
        assert_eq!(set_aside, [], "{seed}: what was torn is no damage");
        heal(&mut rig);
        let mut app = App::start(client);
        let count_before = |n: &u64| self.world.count(*n);
        let confirmed: Vec<_> = before
            .confirmed
            .iter()
            .map(|n| (n, count_before(n)))
            .collect();
        let is_good = self.weather != Weather::BadDisk;
        if is_good {
            // What was begun and may be run again is not begun twice by mistake.
            app.facts.executed = before.executed.clone();
            app.facts.executed.retain(|(of_type, _)| of_type != "again");
        }
        for _ in 0..40 {
            pass(&mut rig, Duration::from_millis(500), &mut |rig| {
                world.read(rig);
            });
            app.live(&mut dice);
            if app.is_idle() && World::outstanding(&mut rig) == 0 {
                break;
            }
        }
        assert!(app.is_idle(), "{seed}: {:?}", app.client.statistics());
        assert_eq!(
            World::outstanding(&mut rig),
            0,
            "{seed}: a command was forgotten"
        );
        check_stored(seed, before, &world);
        if is_good {
            check(seed, before, &app, &world);
            for (n, count) in confirmed {
                assert_eq!(
                    world.count(*n),
                    count,
                    "{seed}: {n} was confirmed, and sent again"
                );
            }
        }
        if self.weather == Weather::Calm {
            check_calm(seed, before, &app, &world);
        }
    }
}

/// What was told to be stored is not lost, whatever the disk did.
fn check_stored(seed: u64, before: &Facts, world: &World) {
    for n in before.stored.intersection(&before.repeatable) {
        let (is_done, is_ended) = (world.count(*n) > 0, before.ended.contains(n));
        assert!(is_done || is_ended, "{seed}: {n} was stored, and lost");
    }
}

/// Nothing was cut, late or lost: what may be sent once was processed, or nobody knows; what is
/// applied does not come again.
fn check_calm(seed: u64, before: &Facts, app: &App, world: &World) {
    for n in before.stored.intersection(&before.once) {
        let is_ended = before.ended.contains(n) || unknown(app).contains(n);
        assert!(world.count(*n) == 1 || is_ended, "{seed}: {n} was lost");
    }
    if let (Some(applied), true) = (&before.applied, app.facts.configurations > 0) {
        assert_ne!(
            Some(applied),
            world.assigned.as_ref(),
            "{seed}: it was applied"
        );
    }
}

/// The samples whose outcome nobody knows.
fn unknown(app: &App) -> Vec<u64> {
    let unknown = app.recovered.unknown.iter();
    unknown
        .filter_map(|request| number(&request.payload))
        .collect()
}

/// What holds after every crash, if the disk is good.
fn check(seed: u64, before: &Facts, app: &App, world: &World) {
    let unknown = unknown(app);
    for n in &before.once {
        assert!(
            world.count(*n) <= 1,
            "{seed}: {n} may be sent once, and was twice"
        );
        let is_told = !before.confirmed.contains(n) || !unknown.contains(n);
        assert!(is_told, "{seed}: {n} was confirmed, and is told as unknown");
    }
    let mut first: Vec<u64> = Vec::new();
    let repeatable = world
        .processed
        .iter()
        .filter(|n| before.repeatable.contains(n));
    for n in repeatable {
        if !first.contains(n) {
            first.push(*n);
        }
    }
    let is_rising = first.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(is_rising, "{seed}: out of order: {first:?}");
    for key in world.invoked.difference(&world.expired) {
        let results = world.results.get(key).map_or(0, Vec::len);
        assert_eq!(results, 1, "{seed}: the results of {key:?}");
    }
}

fn fault(rig: &mut Rig, dice: &mut Dice) {
    let kind = match dice.below(4) {
        0 => FaultKind::Late(Duration::from_millis(dice.below(3_000))),
        1 => FaultKind::Lose,
        2 => FaultKind::Duplicate(2),
        _ => FaultKind::Reorder(2),
    };
    let now = rig.now();
    rig.server
        .operate(now, |platform| platform.fault(now, Fault::new(kind)));
}

/// Nothing goes wrong any more.
fn heal(rig: &mut Rig) {
    rig.is_away = false;
    let now = rig.now();
    let clear = Fault::new(FaultKind::Clear);
    rig.server
        .operate(now, |platform| platform.fault(now, clear));
}
