//! The figures, for people and for programs.

use std::fmt;

use kaa_bench::spread::{Spread, rounded};

use super::life::{self, Life};
use super::peer::Peer;
use super::recovery;

/// A table and lines.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<(String, [String; 3])>,
    lines: Vec<String>,
}

impl Report {
    /// `names`: the figures get lines.
    pub(crate) fn life(&mut self, life: Life, figures: &[life::Figures; 3], names: bool) {
        let title = |of: &str| format!("{of}, {} records a commit", life.group);
        let speeds = figures.each_ref().map(|of| of.records_per_second);
        self.spreads(&title("records/s"), speeds);
        let medium = figures.each_ref().map(|of| of.bytes_to_medium);
        let handed = figures.each_ref().map(|of| of.bytes_handed);
        self.spreads(&title("bytes to the medium per sample"), medium);
        self.spreads(&title("bytes handed to the system per sample"), handed);
        let device = figures.each_ref().map(|of| of.bytes_of_device);
        self.known(&title("bytes on the whole device per sample"), device);
        let counted = figures.each_ref().map(|of| of.bytes_appended);
        self.known(&title("bytes that the store appends per sample"), counted);
        let syncs = figures.each_ref().map(|of| of.syncs);
        self.known(&title("syncs that the store counts per sample"), syncs);
        if !names {
            return;
        }
        // Some file systems, of memory or of the network, count nothing.
        let real = medium.iter().all(|spread| spread.median > 0.0);
        let bytes = if real { medium } else { handed };
        self.lines(
            "records_per_second",
            "records/s",
            speeds.map(|of| of.median),
        );
        self.lines("bytes_per_sample", "bytes", bytes.map(|of| of.median));
    }

    pub(crate) fn syncs(&mut self, life: Life, syncs: &Option<[f64; 3]>, names: bool) {
        let title = format!("syncs per sample, {} records a commit", life.group);
        let Some(syncs) = syncs else {
            let cells = [(); 3].map(|()| "no strace".to_owned());
            self.rows.push((title, cells));
            return;
        };
        self.rows.push((title, syncs.map(rounded)));
        if names {
            self.lines("fsyncs_per_sample", "fsyncs", *syncs);
        }
    }

    pub(crate) fn recovery(&mut self, figures: &[recovery::Figures; 3]) {
        let milliseconds = figures.each_ref().map(|of| of.milliseconds);
        self.spreads("ms to open and load, of a million records", milliseconds);
        let name = "recovery_milliseconds_per_million";
        self.lines(name, "ms", milliseconds.map(|of| of.median));
        let sizes = figures.each_ref();
        let sizes = sizes.map(|of| format!("{} MB, {} open", of.size / 1_000_000, of.open));
        self.rows.push(("of files of".into(), sizes));
    }

    fn spreads(&mut self, title: &str, spreads: [Spread; 3]) {
        self.rows
            .push((title.into(), spreads.map(|of| of.to_string())));
    }

    fn known(&mut self, title: &str, spreads: [Option<Spread>; 3]) {
        let cells = spreads.map(|of| of.map_or_else(String::new, |of| of.to_string()));
        self.rows.push((title.into(), cells));
    }

    fn lines(&mut self, name: &str, unit: &str, values: [f64; 3]) {
        for (peer, value) in Peer::ALL.into_iter().zip(values) {
            let of = match peer {
                Peer::Log => String::new(),
                Peer::Sqlite | Peer::Redb => format!("{}.", peer.name()),
            };
            let value = rounded(value);
            self.lines.push(format!("store.{of}{name} {value} {unit}"));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Medians (least–most).\n")?;
        writeln!(f, "| | log | SQLite | redb |\n|---|---|---|---|")?;
        for (title, [log, sqlite, redb]) in &self.rows {
            writeln!(f, "| {title} | {log} | {sqlite} | {redb} |")?;
        }
        writeln!(f)?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
