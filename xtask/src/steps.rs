//! Announcing the steps of a long command.

use anyhow::bail;
use std::time::{Duration, Instant};

/// The steps so far.
pub(crate) struct Steps {
    start: Instant,
    count: u32,
    skipped: u32,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            count: 0,
            skipped: 0,
        }
    }

    /// Says what comes next and why.
    pub(crate) fn begin(&mut self, name: &str, why: &str) {
        self.count += 1;
        println!("==> {name}: {why}");
    }

    /// Says what is left out and why. An error in CI, which leaves nothing out.
    pub(crate) fn skip(&mut self, name: &str, why: &str) -> anyhow::Result<()> {
        if in_ci() {
            bail!("{name} cannot be skipped in CI: {why}");
        }
        self.skipped += 1;
        println!("==> {name}: skipped: {why}");
        Ok(())
    }

    /// One line on all of them.
    pub(crate) fn summary(&self) -> String {
        let Self { count, skipped, .. } = self;
        format!(
            "{count} steps done, {skipped} skipped, in {}",
            minutes(self.start.elapsed())
        )
    }
}

/// Whether this runs in CI, by the convention that every CI service follows.
fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// `3 min 07 s`.
pub(crate) fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{} min {:02} s", seconds / 60, seconds % 60)
}
