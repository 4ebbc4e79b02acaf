//! Tables, aligned for a terminal or as Markdown.

/// Which side a column's cells lean to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows under a head. Every row has as many cells as the head.
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        let columns = columns
            .iter()
            .map(|(name, align)| ((*name).to_owned(), *align));
        Self {
            columns: columns.collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// Whether there is nothing but a head.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Columns padded to equal width, two spaces between and before them.
    pub(crate) fn to_terminal(&self) -> String {
        let widths = self.widths();
        let rule = widths.iter().map(|width| "─".repeat(*width)).collect();
        let lines = [self.head(), rule].into_iter().chain(self.rows.clone());
        lines
            .map(|row| self.line(&row, &widths, "  ", "  ", "") + "\n")
            .collect()
    }

    /// A Markdown table that also reads well as text.
    pub(crate) fn to_markdown(&self) -> String {
        let widths = self.widths();
        let rule = self
            .columns
            .iter()
            .zip(&widths)
            .map(|((_, align), width)| match align {
                Align::Left => "-".repeat(*width),
                Align::Right => "-".repeat(width - 1) + ":",
            });
        let lines = [self.head(), rule.collect()]
            .into_iter()
            .chain(self.rows.clone());
        lines
            .map(|row| self.line(&row, &widths, "| ", " | ", " |") + "\n")
            .collect()
    }

    fn head(&self) -> Vec<String> {
        self.columns.iter().map(|(name, _)| name.clone()).collect()
    }

    /// At least 3 each, which a Markdown rule needs.
    fn widths(&self) -> Vec<usize> {
        let width = |column: usize, name: &str| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max();
            widest.unwrap_or(0).max(name.chars().count()).max(3)
        };
        let columns = self.columns.iter().enumerate();
        columns
            .map(|(column, (name, _))| width(column, name))
            .collect()
    }

    fn line(
        &self,
        row: &[String],
        widths: &[usize],
        open: &str,
        between: &str,
        close: &str,
    ) -> String {
        let cells = row.iter().zip(widths).zip(&self.columns);
        let cells: Vec<String> = cells
            .map(|((cell, &width), (_, align))| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            })
            .collect();
        let line = format!("{open}{}{close}", cells.join(between));
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{Align, Table};

    fn table() -> Table {
        let mut table = Table::new(&[("what", Align::Left), ("ms", Align::Right)]);
        table.push(vec!["é".into(), "10.5".into()]);
        table
    }

    #[test]
    fn a_terminal_table_is_aligned_by_characters() {
        assert_eq!(
            table().to_terminal(),
            "  what    ms\n  ────  ────\n  é     10.5\n"
        );
    }

    #[test]
    fn a_markdown_table_states_the_alignment() {
        assert_eq!(
            table().to_markdown(),
            "| what |   ms |\n| ---- | ---: |\n| é    | 10.5 |\n"
        );
    }
}
