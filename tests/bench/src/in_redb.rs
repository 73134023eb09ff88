//! redb: a tree of pages that are never overwritten before they are free, synced at each commit.

use std::path::Path;

use kaa_proto::endpoint::{Record, Stored};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use crate::work::Step;
use crate::{Open, Outbox, Outcome, age, now};

/// How many groups go by one transaction when a table is filled.
const FILL: usize = 100;

/// By number: the endpoint, in place of its tag, the time and the request.
const OUTBOX: TableDefinition<'_, u64, (u32, u64, &str)> = TableDefinition::new("outbox");

/// Requests in a table.
#[derive(Debug)]
pub struct RedbOutbox(Database);

impl RedbOutbox {
    /// A new database in this folder.
    ///
    /// # Errors
    /// If the store fails.
    pub fn create(folder: &Path) -> Outcome<Self> {
        std::fs::create_dir_all(folder)?;
        let outbox = Self(Database::create(folder.join("outbox.redb"))?);
        outbox.transaction(&[])?;
        Ok(outbox)
    }

    fn transaction(&self, steps: &[Step]) -> Outcome<()> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        let at = now();
        let mut table = transaction.open_table(OUTBOX)?;
        for step in steps {
            match step {
                Step::Accept(id, _) => {
                    let request = step.record().to_json();
                    table.insert(id, (1, at, request.as_str()))?;
                }
                Step::End(id) => {
                    table.remove(id)?;
                }
            }
        }
        drop(table);
        Ok(transaction.commit()?)
    }
}

impl Outbox for RedbOutbox {
    fn write(&mut self, groups: &[Vec<Step>]) -> Outcome<()> {
        for group in groups {
            self.transaction(group)?;
        }
        Ok(())
    }

    fn fill(&mut self, groups: &mut dyn Iterator<Item = Outcome<Vec<Step>>>) -> Outcome<()> {
        let mut gathered = Vec::new();
        while let Some(group) = groups.next() {
            gathered.append(&mut group?);
            for group in groups.take(FILL - 1) {
                gathered.append(&mut group?);
            }
            self.transaction(&gathered)?;
            gathered.clear();
        }
        Ok(())
    }
}

/// Reads the database in this folder.
///
/// # Errors
/// If the store fails.
pub fn load(folder: &Path) -> Outcome<Open> {
    let database = Database::open(folder.join("outbox.redb"))?;
    let table = database.begin_read()?.open_table(OUTBOX)?;
    let now = now();
    let mut found = Open::new();
    for row in table.iter()? {
        let (id, row) = row?;
        let (_, at, request) = row.value();
        let record = Record::from_json(request)?;
        let age = age(now, at);
        found.insert(id.value(), Stored { record, age });
    }
    Ok(found)
}
