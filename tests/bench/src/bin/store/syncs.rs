//! How often a store waits for the medium, as strace sees it: no counter of the operating system
//! says it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use kaa_bench::Outcome;

use super::life::Life;
use super::peer::Peer;

/// Syncs for each sample; `None` where there is no strace.
pub(crate) fn count(folder: &Path, life: Life) -> Outcome<Option<[f64; 3]>> {
    let there = Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !there.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    // Longer than a round, so that what happens now and then has its share.
    let groups = 2 * life.groups;
    let life = Life { groups, ..life };
    let per_sample = |peer: Peer| -> Outcome<f64> {
        let with = syncs(folder, peer, life)?;
        let without = syncs(folder, peer, Life { groups: 0, ..life })?;
        Ok((with - without) as f64 / life.samples() as f64)
    };
    let [log, sqlite, redb] = Peer::ALL.map(per_sample);
    Ok(Some([log?, sqlite?, redb?]))
}

/// The syncs of a program that does this and ends.
fn syncs(folder: &Path, peer: Peer, life: Life) -> Outcome<u64> {
    super::clear(folder)?;
    let trace = folder.join("trace");
    let status = Command::new("strace")
        .args(["-f", "-qq", "--seccomp-bpf"])
        .args(["-e", "trace=fsync,fdatasync,msync,sync_file_range,syncfs"])
        .arg("-o")
        .arg(&trace)
        .arg(std::env::current_exe()?)
        .arg(folder.join("store"))
        .arg(peer.name())
        .args([life.group, life.groups].map(|number| number.to_string()))
        .status()?;
    if !status.success() {
        return Err(format!("strace of {}: {status}", peer.name()).into());
    }
    Ok(fs::read_to_string(trace)?.lines().count() as u64)
}
