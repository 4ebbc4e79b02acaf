//! The tables: what was measured, what it should be, and what stands beside it.

mod unit;

use super::turns::Taken;
use crate::table::{Align, Table};
use anyhow::Context;

pub(super) use unit::{Target, Unit};

/// Rows, in the order they were measured, and what to know about them.
#[derive(Default)]
pub(super) struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
}

/// One measurement.
struct Row {
    what: String,
    unit: Unit,
    target: Target,
    ours: f64,
    beside: Option<Beside>,
}

/// The same of something else, ONNX Runtime unless the row says what.
struct Beside {
    value: f64,
    /// How many times better ours is; nothing where that makes no sense.
    ratio: Option<f64>,
    /// The same of the best that each of them ever did.
    best: Option<f64>,
}

impl Report {
    /// Adds a row that nothing stands beside.
    pub(super) fn alone(&mut self, what: impl Into<String>, unit: Unit, target: Target, ours: f64) {
        self.push(what.into(), unit, target, ours, None);
    }

    /// Adds a row of ours and of what it is compared with.
    pub(super) fn beside(
        &mut self,
        what: impl Into<String>,
        unit: Unit,
        target: Target,
        ours: f64,
        value: f64,
    ) {
        let beside = Beside {
            value,
            ratio: unit.ratio(ours, value),
            best: None,
        };
        self.push(what.into(), unit, target, ours, Some(beside));
    }

    /// Adds a row of two things measured in turns.
    pub(super) fn race(
        &mut self,
        what: impl Into<String>,
        unit: Unit,
        target: Target,
        [ours, other]: [Taken; 2],
    ) {
        let beside = Beside {
            value: other.median,
            ratio: unit.ratio(ours.median, other.median),
            best: unit.ratio(ours.best, other.best),
        };
        self.push(what.into(), unit, target, ours.median, Some(beside));
    }

    /// Adds a row, and prints it to those who wait.
    fn push(
        &mut self,
        what: String,
        unit: Unit,
        target: Target,
        ours: f64,
        beside: Option<Beside>,
    ) {
        let row = Row {
            what,
            unit,
            target,
            ours,
            beside,
        };
        println!("    {}", row.line());
        self.rows.push(row);
    }

    /// Adds a paragraph below the tables.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(super) fn to_terminal(&self) -> String {
        let tables = self.tables().map(|table| table.to_terminal());
        self.with_notes(tables.collect())
    }

    pub(super) fn to_markdown(&self) -> String {
        let tables = self.tables().map(|table| table.to_markdown());
        self.with_notes(tables.collect())
    }

    /// The rows that something stands beside.
    pub(super) fn compared(&self) -> Table {
        let mut table = Table::new(&[
            ("compared", Align::Left),
            ("encoderfile", Align::Right),
            ("beside it", Align::Right),
            ("ratio", Align::Right),
            ("of the best", Align::Right),
            ("target", Align::Right),
            ("", Align::Left),
        ]);
        for row in self.rows.iter().filter(|row| row.beside.is_some()) {
            table.push(row.compared());
        }
        table
    }

    /// Some rows that something stands beside, each under another name.
    pub(super) fn shown(&self, names: &[(&str, &str)]) -> anyhow::Result<Table> {
        let mut table = Table::new(&[
            ("measured", Align::Left),
            ("encoderfile", Align::Right),
            ("beside it", Align::Right),
            ("ratio", Align::Right),
        ]);
        for (what, name) in names {
            let row = self.rows.iter().find(|row| row.what == *what);
            let mut cells = row.with_context(|| format!("no row {what:?}"))?.compared();
            cells.truncate(4);
            cells[0] = (*name).to_owned();
            table.push(cells);
        }
        Ok(table)
    }

    fn alone_table(&self) -> Table {
        let mut table = Table::new(&[
            ("measured", Align::Left),
            ("encoderfile", Align::Right),
            ("target", Align::Right),
            ("", Align::Left),
        ]);
        for row in self.rows.iter().filter(|row| row.beside.is_none()) {
            table.push(row.alone());
        }
        table
    }

    fn tables(&self) -> impl Iterator<Item = Table> {
        let tables = [self.compared(), self.alone_table()];
        tables.into_iter().filter(|table| !table.is_empty())
    }

    fn with_notes(&self, mut paragraphs: Vec<String>) -> String {
        let notes = self.notes.iter().map(|note| format!("{note}\n"));
        paragraphs.extend(notes);
        paragraphs.join("\n")
    }
}

impl Row {
    fn line(&self) -> String {
        let ratio = self.beside.as_ref().and_then(|beside| beside.ratio);
        let ratio = ratio.map(|ratio| format!(", ratio {ratio:.2}"));
        let ours = self.unit.shown(self.ours);
        format!("{}: {ours}{}", self.what, ratio.unwrap_or_default())
    }

    fn alone(&self) -> Vec<String> {
        vec![
            self.what.clone(),
            self.unit.shown(self.ours),
            self.target.shown(self.unit),
            self.target.verdict(self.ours, None).into(),
        ]
    }

    fn compared(&self) -> Vec<String> {
        let beside = self.beside.as_ref();
        let times = |ratio: Option<f64>| ratio.map(|ratio| format!("{ratio:.2}"));
        let ratio = beside.and_then(|beside| beside.ratio);
        let best = beside.and_then(|beside| beside.best);
        let other = beside.map(|beside| self.unit.shown(beside.value));
        vec![
            self.what.clone(),
            self.unit.shown(self.ours),
            other.unwrap_or_default(),
            times(ratio).unwrap_or_default(),
            times(best).unwrap_or_default(),
            self.target.shown(self.unit),
            self.target.verdict(self.ours, ratio).into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, Target, Unit};
    use crate::bench::turns::Taken;

    #[test]
    fn a_missed_target_stands_out() {
        let mut report = Report::default();
        let (what, target) = ("first result", Target::AtMost(150.0));
        report.beside(what, Unit::Milliseconds, target, 151.0, 302.0);
        let table = report.to_terminal();
        let row = "151 ms     302 ms   2.00               ≤ 150 ms  ✗ MISSED";
        assert!(table.contains(row), "{table}");
    }

    #[test]
    fn some_rows_are_shown_under_another_name() {
        let mut report = Report::default();
        report.beside("load", Unit::Milliseconds, Target::None, 2.0, 4.0);
        let table = report.shown(&[("load", "loading")]).unwrap();
        let row = "| loading  |      2.0 ms |    4.0 ms |  2.00 |";
        assert!(table.to_markdown().contains(row), "{}", table.to_markdown());
        assert!(report.shown(&[("start", "start")]).is_err());
    }

    #[test]
    fn a_race_compares_medians_and_the_best_of_each() {
        let taken = |median, best| Taken { median, best };
        let mut report = Report::default();
        let race = [taken(5.0, 4.0), taken(9.0, 6.0)];
        report.race("race", Unit::Seconds, Target::None, race);
        assert_eq!(report.rows[0].compared()[3..5], ["1.80", "1.50"]);
    }
}
