//! The table: what was measured, what it should be, and what the peer does.

use crate::table::{Align, Table};

/// Rows, in the order they were measured, and what to know about them.
#[derive(Default)]
pub(super) struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
}

/// One measurement.
pub(super) struct Row {
    pub(super) what: String,
    pub(super) unit: Unit,
    pub(super) target: Target,
    pub(super) ours: f64,
    /// The same of ONNX Runtime, where it does the same.
    pub(super) peer: Option<f64>,
}

/// What a number counts.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
    Megabytes,
    /// A multiple of the weights' size.
    Weights,
    TokensPerSecond,
    TextsPerSecond,
    /// A multiple of another measurement.
    Times,
    Count,
    Difference,
    Cosine,
}

/// What a number should be, in its own unit.
#[derive(Clone, Copy)]
pub(super) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// Measured to know it.
    None,
}

impl Report {
    /// Adds a row, and prints it to those who wait.
    pub(super) fn push(&mut self, row: Row) {
        println!("    {}: {}", row.what, row.unit.shown(row.ours));
        self.rows.push(row);
    }

    /// Adds a row of what ONNX Runtime does not do.
    pub(super) fn alone(&mut self, what: impl Into<String>, unit: Unit, target: Target, ours: f64) {
        self.push(Row {
            what: what.into(),
            unit,
            target,
            ours,
            peer: None,
        });
    }

    /// Adds a paragraph below the table.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(super) fn to_terminal(&self) -> String {
        self.table().to_terminal() + &self.below()
    }

    pub(super) fn to_markdown(&self) -> String {
        self.table().to_markdown() + &self.below()
    }

    fn below(&self) -> String {
        self.notes
            .iter()
            .map(|note| format!("\n{note}\n"))
            .collect()
    }

    fn table(&self) -> Table {
        let columns = [
            ("measured", Align::Left),
            ("target", Align::Right),
            ("encoderfile", Align::Right),
            ("", Align::Left),
            ("ONNX Runtime", Align::Right),
            ("ratio", Align::Right),
        ];
        // The last two only where something was compared.
        let compared = self.rows.iter().any(|row| row.peer.is_some());
        let shown = if compared { 6 } else { 4 };
        let mut table = Table::new(columns.get(..shown).unwrap_or_default());
        for row in &self.rows {
            let mut cells = row.cells();
            cells.truncate(shown);
            table.push(cells);
        }
        table
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let shown = |value| self.unit.shown(value);
        let target = match self.target {
            Target::AtMost(limit) => format!("≤ {}", shown(limit)),
            Target::AtLeast(limit) => format!("≥ {}", shown(limit)),
            Target::None => String::new(),
        };
        let ratio = |peer| format!("{:.2}", self.ours / peer);
        vec![
            self.what.clone(),
            target,
            shown(self.ours),
            self.target.verdict(self.ours).into(),
            self.peer.map(shown).unwrap_or_default(),
            self.peer.map(ratio).unwrap_or_default(),
        ]
    }
}

impl Target {
    fn verdict(self, value: f64) -> &'static str {
        let met = match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
            Self::None => return "",
        };
        if met { "✓ met" } else { "✗ MISSED" }
    }
}

impl Unit {
    fn shown(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{value:.2} s"),
            Self::Milliseconds if value < 100.0 => format!("{value:.1} ms"),
            Self::Milliseconds => format!("{value:.0} ms"),
            Self::Megabytes => format!("{value:.1} MB"),
            Self::Weights | Self::Times => format!("{value:.2} ×"),
            Self::TextsPerSecond => format!("{value:.1} texts/s"),
            Self::Count => format!("{value:.0}"),
            Self::TokensPerSecond => format!("{value:.0} tok/s"),
            Self::Difference => format!("{value:.0e}"),
            Self::Cosine => format!("{value:.5}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, Row, Target, Unit};

    #[test]
    fn a_missed_target_stands_out() {
        let mut report = Report::default();
        report.push(Row {
            what: "first result".into(),
            unit: Unit::Milliseconds,
            target: Target::AtMost(150.0),
            ours: 151.0,
            peer: Some(302.0),
        });
        let table = report.to_terminal();
        assert!(
            table.contains("≤ 150 ms       151 ms  ✗ MISSED        302 ms   0.50"),
            "{table}"
        );
    }
}
