//! The least that a program with a store does: keeps some requests, and reads them back. Built with
//! one store at a time, and with none.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

use kaa_bench::work;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or("weight: a folder is missing")?;
    let first = work::first()?;
    let mut out = std::io::stdout().lock();
    for step in &first {
        writeln!(out, "{}", step.record().to_json())?;
    }
    writeln!(out, "{}", folder.display())?;

    #[cfg(feature = "log")]
    {
        use kaa_bench::{Outbox, in_log};
        in_log::LogOutbox::create(&folder)?.write(std::slice::from_ref(&first))?;
        writeln!(out, "{}", in_log::load(&folder)?.len())?;
    }
    #[cfg(feature = "sqlite")]
    {
        use kaa_bench::{Outbox, in_sqlite};
        in_sqlite::SqliteOutbox::create(&folder)?.write(std::slice::from_ref(&first))?;
        writeln!(out, "{}", in_sqlite::load(&folder)?.len())?;
    }
    #[cfg(feature = "redb")]
    {
        use kaa_bench::{Outbox, in_redb};
        in_redb::RedbOutbox::create(&folder)?.write(std::slice::from_ref(&first))?;
        writeln!(out, "{}", in_redb::load(&folder)?.len())?;
    }
    Ok(())
}
