//! How many rows were read, what became of them, and what was too long.

use encoderfile::TokenUsage;
use serde::{Deserialize, Serialize};

/// So many texts that did not fit are said one by one.
const SHOWN_MAX: u64 = 3;

/// Since the first run of an output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Rows read.
    pub(crate) rows: u64,
    /// Rows with a result.
    pub(crate) written: u64,
    /// Rows without one.
    pub(crate) failed: u64,
    /// Texts of which the model used a part.
    pub(crate) truncated: u64,
    /// Texts that were read in several windows.
    pub(crate) windowed: u64,
}

impl Tally {
    /// Counts a text that did not fit, and gives what is said of it.
    pub(crate) fn note(&mut self, usage: &TokenUsage) -> Option<String> {
        let total = usage.tokens_total;
        let (count, note) = match usage.windows {
            Some(windows) => (
                &mut self.windowed,
                format!("has {total} tokens, read in {windows} windows"),
            ),
            None => (
                &mut self.truncated,
                format!(
                    "has {total} tokens; the model used the {} it takes",
                    usage.tokens_used
                ),
            ),
        };
        *count += 1;
        (*count <= SHOWN_MAX).then_some(note)
    }

    /// What is said at the end of those that were not said one by one.
    pub(crate) fn summary(&self, has_errors: bool) -> Vec<String> {
        let mut lines = Vec::new();
        let read = self.rows;
        if self.truncated > SHOWN_MAX {
            let truncated = self.truncated;
            lines.push(format!(
                "note: {truncated} of {read} texts have more tokens than the model takes, which used the first of them (`tokens_total` and `tokens_used` in their results; --overflow says what else to do)"
            ));
        }
        if self.windowed > SHOWN_MAX {
            let windowed = self.windowed;
            lines.push(format!(
                "note: {windowed} of {read} texts were read in several windows (`tokens_total` in their results)"
            ));
        }
        if has_errors && self.failed > 0 {
            lines.push(format!(
                "note: {} of {read} rows have no result",
                self.failed
            ));
        }
        lines
    }
}
