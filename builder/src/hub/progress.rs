//! A bar on standard error for large files, on a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// Smaller files are there before a bar could be read.
const SHOWN_FROM: u64 = 4 << 20;

pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A bar for a file of `length` bytes, of which some are there already.
    pub(super) fn new(name: &str, length: Option<u64>, there: u64) -> Self {
        let Some(length) = length.filter(|it| *it >= SHOWN_FROM) else {
            return Self(ProgressBar::hidden());
        };
        let bar = ProgressBar::new(length).with_position(there);
        let bar = bar.with_message(name.to_owned());
        let template = "{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.reset_eta();
        Self(bar)
    }

    pub(super) fn set(&self, there: u64) {
        self.0.set_position(there);
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    /// An error is not to be said behind a bar.
    fn drop(&mut self) {
        self.finish();
    }
}
