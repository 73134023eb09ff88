//! A log in a folder of the file system.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

mod store_life;

use kaa_proto::store::{self, Durability, LogOptions, Store as _, StoreError};
use kaa_tests::scratch::Scratch;

use store_life::{batch, entries, entry, records};

#[test]
fn a_folder_is_a_store_through_restarts_and_of_one_opener_at_a_time() {
    let scratch = Scratch::new().unwrap();
    let folder = scratch.path().join("some/store");
    let open = || store::open(&folder, LogOptions::default());
    let mut log = open().unwrap();
    log.load().unwrap();
    log.append(&records(&batch(1, 1..4))).unwrap();
    log.commit(Durability::Sync).unwrap();
    assert_eq!(open().unwrap_err(), StoreError::InUse);
    drop(log);

    let mut log = open().unwrap();
    assert_eq!(entries(&log.load().unwrap()), batch(1, 1..4));
    log.compact(&records(&batch(1, 2..4))).unwrap();
    log.append(&records(&batch(1, 4..6))).unwrap();
    drop(log);
    // A crash cuts off an append.
    let path = folder.join("log.2");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let mut log = open().unwrap();
    let loaded = log.load().unwrap();
    assert_eq!(entries(&loaded), batch(1, 2..4));
    assert!(loaded.torn_bytes > 0);
    log.append(&records(&batch(1, 4..5))).unwrap();
    drop(log);
    assert_eq!(entries(&open().unwrap().load().unwrap()), batch(1, 2..5));
}

#[cfg(unix)]
#[test]
fn a_folder_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let scratch = Scratch::new().unwrap();
    let folder = scratch.path().join("store");
    let mut log = store::open(&folder, LogOptions::default()).unwrap();
    log.load().unwrap();
    log.append(&records(&[entry(1, 1)])).unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let mut names = Vec::new();
    for file in std::fs::read_dir(&folder).unwrap() {
        let file = file.unwrap();
        assert_eq!(mode(&file.path()), 0o600);
        names.push(file.file_name());
    }
    names.sort();
    assert_eq!(names, ["lock", "log.1"]);
}
