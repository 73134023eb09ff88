//! The parts of `examples/software_update`, where its run does not show them.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example says what it does, and a helper that cannot go on fails its test"
)]

#[path = "../examples/software_update/download.rs"]
mod download;
#[path = "../examples/software_update/server.rs"]
mod server;

use std::fs;
use std::path::Path;

use kaa_tests::scratch::Scratch;

#[test]
fn a_download_that_was_whole_when_the_device_stopped_is_whole() {
    let scratch = Scratch::new().unwrap();
    let path = download::part(scratch.path(), "0.0.2");
    let image = vec![7; 100_000];
    fs::write(&path, &image).unwrap();
    let link = server::serve(image.clone()).unwrap();
    download::file(&link, &path).unwrap();
    assert!(fs::read(&path).unwrap() == image);
}

#[test]
fn a_version_cannot_name_a_file_outside_its_folder() {
    let folder = Path::new("/updates");
    let versions = [
        "0.0.2",
        "0.0.3",
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        "",
    ];
    let mut parts: Vec<_> = versions
        .map(|version| download::part(folder, version))
        .into();
    for part in &parts {
        assert_eq!(part.parent(), Some(folder));
    }
    parts.dedup();
    assert_eq!(parts.len(), versions.len());
}
