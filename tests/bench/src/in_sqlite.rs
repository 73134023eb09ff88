//! SQLite, as one would build an outbox by hand: a table, in WAL mode, synced at each commit.

use std::path::Path;

use kaa_proto::endpoint::{Record, Stored};
use rusqlite::{Connection, Statement, params};

use crate::work::Step;
use crate::{Open, Outbox, Outcome, age, now};

/// How many groups go by one transaction when a table is filled.
const FILL: usize = 100;

/// Requests in a table; its number in place of the tag of their endpoint.
#[derive(Debug)]
pub struct SqliteOutbox(Connection);

impl SqliteOutbox {
    /// A new database in this folder.
    ///
    /// # Errors
    /// If the store fails.
    pub fn create(folder: &Path) -> Outcome<Self> {
        std::fs::create_dir_all(folder)?;
        let connection = open(folder)?;
        connection.execute_batch(
            "CREATE TABLE outbox (
                id INTEGER PRIMARY KEY,
                endpoint INTEGER NOT NULL,
                at INTEGER NOT NULL,
                request TEXT NOT NULL
            )",
        )?;
        Ok(Self(connection))
    }

    fn writing(&self) -> Outcome<Writing<'_>> {
        let insert = "INSERT INTO outbox (id, endpoint, at, request) VALUES (?1, 1, ?2, ?3)";
        Ok(Writing {
            begin: self.0.prepare("BEGIN IMMEDIATE")?,
            insert: self.0.prepare(insert)?,
            delete: self.0.prepare("DELETE FROM outbox WHERE id = ?1")?,
            commit: self.0.prepare("COMMIT")?,
        })
    }
}

impl Outbox for SqliteOutbox {
    fn write(&mut self, groups: &[Vec<Step>]) -> Outcome<()> {
        let mut writing = self.writing()?;
        for group in groups {
            writing.transaction(group)?;
        }
        Ok(())
    }

    fn fill(&mut self, groups: &mut dyn Iterator<Item = Outcome<Vec<Step>>>) -> Outcome<()> {
        let mut writing = self.writing()?;
        let mut gathered = Vec::new();
        while let Some(group) = groups.next() {
            gathered.append(&mut group?);
            for group in groups.take(FILL - 1) {
                gathered.append(&mut group?);
            }
            writing.transaction(&gathered)?;
            gathered.clear();
        }
        Ok(())
    }
}

/// Prepared once for many groups.
struct Writing<'a> {
    begin: Statement<'a>,
    insert: Statement<'a>,
    delete: Statement<'a>,
    commit: Statement<'a>,
}

impl Writing<'_> {
    fn transaction(&mut self, steps: &[Step]) -> Outcome<()> {
        self.begin.execute([])?;
        let at = i64::try_from(now())?;
        for step in steps {
            match step {
                Step::Accept(id, _) => {
                    let request = step.record().to_json();
                    self.insert
                        .execute(params![id.cast_signed(), at, request])?;
                }
                Step::End(id) => {
                    self.delete.execute([id.cast_signed()])?;
                }
            }
        }
        self.commit.execute([])?;
        Ok(())
    }
}

/// Reads the database in this folder.
///
/// # Errors
/// If the store fails.
pub fn load(folder: &Path) -> Outcome<Open> {
    let connection = open(folder)?;
    let mut rows = connection.prepare("SELECT id, at, request FROM outbox ORDER BY id")?;
    let mut rows = rows.query([])?;
    let now = now();
    let mut found = Open::new();
    while let Some(row) = rows.next()? {
        let record = Record::from_json(row.get_ref(2)?.as_str()?)?;
        let age = age(now, row.get::<_, i64>(1)?.cast_unsigned());
        let id = row.get::<_, i64>(0)?.cast_unsigned();
        found.insert(id, Stored { record, age });
    }
    Ok(found)
}

fn open(folder: &Path) -> Outcome<Connection> {
    let connection = Connection::open(folder.join("outbox.db"))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    Ok(connection)
}
