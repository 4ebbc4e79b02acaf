//! Announcing the steps of a long command.

use anyhow::bail;
use std::time::{Duration, Instant};

/// The shortest step that the summary lists.
const LISTED_MIN: Duration = Duration::from_secs(10);

/// The steps so far.
pub(crate) struct Steps {
    start: Instant,
    /// The name of each and when it began.
    begun: Vec<(String, Instant)>,
    skipped: u32,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            begun: Vec::new(),
            skipped: 0,
        }
    }

    /// Says what comes next and why.
    pub(crate) fn begin(&mut self, name: &str, why: &str) {
        self.begun.push((name.into(), Instant::now()));
        println!(
            "==> {name}: {why} ({} so far)",
            minutes(self.start.elapsed())
        );
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

    /// One line on all of them, after one for each that took its time.
    pub(crate) fn summary(&self) -> String {
        let end = Instant::now();
        let ends = self.begun.iter().skip(1).map(|(_, begin)| *begin);
        let mut lines = String::new();
        for ((name, begin), end) in self.begun.iter().zip(ends.chain([end])) {
            let time = end.duration_since(*begin);
            if time >= LISTED_MIN {
                lines += &format!("{} {name}\n", minutes(time));
            }
        }
        let (count, skipped) = (self.begun.len(), self.skipped);
        let all = minutes(self.start.elapsed());
        format!("{lines}{count} steps done, {skipped} skipped, in {all}")
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
