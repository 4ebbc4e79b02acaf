//! How long answers took, and the probes that ask for them.

use super::client::Client;
use super::report::{Report, Target, Unit};
use anyhow::Context;
use std::thread;
use std::time::{Duration, Instant};

/// Times of many requests.
#[derive(Default)]
pub(super) struct Latencies {
    milliseconds: Vec<f64>,
}

impl Latencies {
    pub(super) fn push(&mut self, time: Duration) {
        self.milliseconds.push(time.as_secs_f64() * 1e3);
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.milliseconds.extend(other.milliseconds);
    }

    /// The time within which this part (0 to 1) of the answers came.
    pub(super) fn quantile(&self, part: f64) -> anyhow::Result<f64> {
        let mut sorted = self.milliseconds.clone();
        sorted.sort_by(f64::total_cmp);
        // Of 100, the 99th is the 99th percentile.
        let above = (1.0 - part) * sorted.len() as f64 + 1e-9;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of a length"
        )]
        let above = above as usize;
        let at = sorted.len().checked_sub(above + 1);
        let value = at.and_then(|at| sorted.get(at)).copied();
        value.context("no request was answered")
    }

    /// A row each for p50 and p99.
    pub(super) fn rows(&self, what: &str, p99: Target, report: &mut Report) -> anyhow::Result<()> {
        for (name, part, target) in [("p50", 0.5, Target::None), ("p99", 0.99, p99)] {
            let name = format!("{what}, {name}");
            report.alone(name, Unit::Milliseconds, target, self.quantile(part)?);
        }
        Ok(())
    }
}

/// The same request over and over, `each` so often, until told to stop.
///
/// A request counts from when it was due if the answer before it held it up,
/// and from when it was sent if only this thread had slept too long.
pub(super) fn probe(
    client: &mut Client,
    request: &[u8],
    each: Duration,
    mut go_on: impl FnMut() -> bool,
) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::default();
    let mut due = Instant::now();
    let mut sent = due;
    while go_on() {
        let wait = due.saturating_duration_since(Instant::now());
        let from = if wait.is_zero() {
            sent.max(due)
        } else {
            thread::sleep(wait);
            Instant::now()
        };
        sent = Instant::now();
        client.body(request)?;
        latencies.push(from.elapsed());
        due += each;
    }
    Ok(latencies)
}

/// A probe for so long.
pub(super) fn probe_for(
    client: &mut Client,
    request: &[u8],
    each: Duration,
    time: Duration,
) -> anyhow::Result<Latencies> {
    let end = Instant::now() + time;
    probe(client, request, each, || Instant::now() < end)
}

/// The requests one after the other.
pub(super) fn one_by_one<'a>(
    client: &mut Client,
    requests: impl IntoIterator<Item = &'a Vec<u8>>,
) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::default();
    for request in requests {
        let begin = Instant::now();
        client.body(request)?;
        latencies.push(begin.elapsed());
    }
    Ok(latencies)
}

#[cfg(test)]
mod tests {
    use super::Latencies;
    use std::time::Duration;

    #[test]
    fn quantiles_are_of_answers_that_came() {
        let mut latencies = Latencies::default();
        assert!(latencies.quantile(0.5).is_err());
        for milliseconds in (1..=100).rev() {
            latencies.push(Duration::from_millis(milliseconds));
        }
        let is = |part, expected: f64| (latencies.quantile(part).unwrap() - expected).abs() < 1e-9;
        assert!(is(0.5, 50.0) && is(0.99, 99.0) && is(1.0, 100.0));
    }
}
