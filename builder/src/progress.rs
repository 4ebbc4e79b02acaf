//! A bar on standard error for what takes long, on a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// Smaller files are there before a bar could be read.
const SHOWN_FROM: u64 = 4 << 20;

pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar for a file of `length` bytes, of which some are there already.
    pub(crate) fn of_file(name: &str, length: Option<u64>, there: u64) -> Self {
        let Some(length) = length.filter(|it| *it >= SHOWN_FROM) else {
            return Self(ProgressBar::hidden());
        };
        let template = "{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
        let bar = ProgressBar::new(length).with_position(there);
        Self::shown(bar, name, template)
    }

    /// A bar for passes over the calibration texts.
    pub(crate) fn of_passes(passes: usize) -> Self {
        let template = "{msg} {bar:30} {pos}/{len} layers, {eta} left";
        let bar = ProgressBar::new(passes as u64);
        Self::shown(bar, "rounding weights", template)
    }

    fn shown(bar: ProgressBar, message: &str, template: &str) -> Self {
        let bar = bar.with_message(message.to_owned());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.tick();
        bar.reset_eta();
        Self(bar)
    }

    /// One more.
    pub(crate) fn add(&self) {
        self.0.inc(1);
    }

    pub(crate) fn set(&self, there: u64) {
        self.0.set_position(there);
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    /// An error is not to be said behind a bar.
    fn drop(&mut self) {
        self.finish();
    }
}
