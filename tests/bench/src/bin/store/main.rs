//! What it costs to keep requests through a crash: in our log, in SQLite and in redb.
//!
//! `store FOLDER` does the same work with each of them, in turns, on the file system of the folder,
//! and prints a table, and then one line `NAME VALUE UNIT` for each figure. The README says what
//! the figures mean.

mod life;
mod measure;
mod peer;
mod recovery;
mod report;
mod syncs;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use kaa_bench::Outcome;

use life::Life;
use peer::Peer;
use report::Report;

/// Rounds of a life that are counted.
const ROUNDS: usize = 11;

/// How it is usually driven: what has gathered while the medium was busy.
const GATHERED: Life = Life {
    group: 64,
    groups: 1280,
};

/// A device that sends now and then: each sample, and the end of another, on its own.
const ALONE: Life = Life {
    group: 2,
    groups: 640,
};

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map(PathBuf::from);
    let folder = folder.ok_or("store: a folder is missing")?;
    match arguments.next() {
        None => compare(&folder),
        // Itself, under strace.
        Some(name) => {
            let peer = Peer::named(&name).ok_or("store: there is no such peer")?;
            let mut number = || -> Outcome<u64> {
                let number = arguments.next().ok_or("store: a number is missing")?;
                Ok(number.parse()?)
            };
            let (group, groups) = (number()?, number()?);
            life::live(peer, &folder, Life { group, groups })
        }
    }
}

fn compare(folder: &Path) -> Outcome<()> {
    let mut report = Report::default();
    for (life, names) in [(GATHERED, true), (ALONE, false)] {
        clear(folder)?;
        report.life(life, &life::compare(folder, life, ROUNDS)?, names);
        clear(folder)?;
        report.syncs(life, &syncs::count(folder, life)?, names);
    }
    clear(folder)?;
    report.recovery(&recovery::compare(folder)?);
    clear(folder)?;
    let mut out = std::io::stdout().lock();
    write!(out, "{report}")?;
    Ok(())
}

/// An empty folder.
fn clear(folder: &Path) -> Outcome<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(fs::create_dir_all(folder)?)
}
