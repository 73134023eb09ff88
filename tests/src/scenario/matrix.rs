//! Which scenario ran where.

use std::fmt;

use super::Scenario;

/// A way of running scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// What it runs on.
    pub runtime: &'static str,
    /// Whether links go over TLS.
    pub is_tls: bool,
    /// Whether there are sockets, or a simulated clock.
    pub is_real: bool,
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.runtime)?;
        match self.is_tls {
            true => f.write_str(" tls"),
            false => Ok(()),
        }
    }
}

/// What became of a scenario in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// It held on a simulated clock.
    Virtual,
    /// It held over sockets.
    Real,
    /// Why it does not apply.
    Absent(&'static str),
    /// It did not hold.
    Failed(String),
}

impl Cell {
    /// What it is before it has run; `None`: it has to run.
    #[must_use]
    pub fn absent(scenario: &Scenario, column: &Column) -> Option<Self> {
        scenario.absence(column).map(Self::Absent)
    }

    /// What came of a run.
    #[must_use]
    pub fn of_run(column: &Column, run: Result<(), String>) -> Self {
        match run {
            Ok(()) if column.is_real => Self::Real,
            Ok(()) => Self::Virtual,
            Err(error) => Self::Failed(error),
        }
    }
}

/// All scenarios and columns.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// The columns.
    pub columns: Vec<Column>,
    /// The scenarios, and a cell for each column.
    pub rows: Vec<(&'static Scenario, Vec<Option<Cell>>)>,
}

impl Matrix {
    /// What is wrong with it: cells that are empty or failed, too few rows.
    #[must_use]
    pub fn problems(&self, min_rows: usize, min_real: usize) -> Vec<String> {
        let mut problems = Vec::new();
        for (scenario, cells) in &self.rows {
            for (column, cell) in self.columns.iter().zip(cells) {
                match cell {
                    None => problems.push(format!("{} on {column}: empty", scenario.name)),
                    Some(Cell::Absent("")) => {
                        problems.push(format!("{} on {column}: no reason", scenario.name));
                    }
                    Some(Cell::Failed(error)) => {
                        problems.push(format!("{} on {column}: {error}", scenario.name));
                    }
                    Some(Cell::Virtual | Cell::Real | Cell::Absent(_)) => {}
                }
            }
        }
        let with = |cell: Cell| {
            let has = |cells: &[Option<Cell>]| cells.iter().flatten().any(|other| *other == cell);
            self.rows.iter().filter(|(_, cells)| has(cells)).count()
        };
        for (found, min, what) in [
            (with(Cell::Virtual), min_rows, "on a simulated clock"),
            (with(Cell::Real), min_real, "over sockets"),
        ] {
            if found < min {
                problems.push(format!("{found} scenarios {what}, and {min} are wanted"));
            }
        }
        problems
    }
}

/// A table, with the reasons below.
impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .rows
            .iter()
            .map(|(s, _)| s.name.len())
            .max()
            .unwrap_or_default();
        let mut reasons: Vec<&str> = Vec::new();
        write!(f, "{:width$}", "scenario")?;
        for column in &self.columns {
            write!(f, " | {:7}", column.to_string())?;
        }
        writeln!(f)?;
        for (scenario, cells) in &self.rows {
            write!(f, "{:width$}", scenario.name)?;
            for (column, cell) in self.columns.iter().zip(cells) {
                let width = column.to_string().len().max(7);
                let text = match cell {
                    None => String::new(),
                    Some(Cell::Virtual) => "virtual".into(),
                    Some(Cell::Real) => "real".into(),
                    Some(Cell::Failed(_)) => "FAILED".into(),
                    Some(Cell::Absent(reason)) => {
                        let known = reasons.iter().position(|other| other == reason);
                        let number = known.unwrap_or_else(|| {
                            reasons.push(reason);
                            reasons.len() - 1
                        });
                        format!("({})", number + 1)
                    }
                };
                write!(f, " | {text:width$}")?;
            }
            writeln!(f)?;
        }
        for (index, reason) in reasons.iter().enumerate() {
            writeln!(f, "({}) {reason}", index + 1)?;
        }
        let count = |cell: &Cell| {
            let cells = self
                .rows
                .iter()
                .flat_map(|(_, cells)| cells.iter().flatten());
            cells.filter(|other| *other == cell).count()
        };
        let (virtuals, reals) = (count(&Cell::Virtual), count(&Cell::Real));
        let rows = self.rows.len();
        writeln!(
            f,
            "{rows} scenarios: {virtuals} runs in memory, {reals} over sockets"
        )
    }
}
