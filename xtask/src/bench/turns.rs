//! Measuring things in turns. A shared machine is slow for minutes at a time: what
//! is to be compared must be measured in the same minutes.

use anyhow::ensure;
use std::thread;
use std::time::Duration;

/// Before each measurement: a pool of threads may wait for more work in a loop for some ten
/// milliseconds after its last, on a core that is the next one's.
const REST: Duration = Duration::from_millis(100);

/// What one thing took, over all turns.
#[derive(Clone, Copy, serde::Deserialize)]
pub(super) struct Taken {
    /// The middle one (the upper, of an even number).
    pub(super) median: f64,
    /// What other work on the machine disturbed least.
    pub(super) best: f64,
}

impl Taken {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self {
            median: values[values.len() / 2],
            best: values[0],
        }
    }

    /// The same in another unit, or as a rate.
    pub(super) fn map(self, unit: impl Fn(f64) -> f64) -> Self {
        Self {
            median: unit(self.median),
            best: unit(self.best),
        }
    }
}

/// Makes each measurement once, then each again, and so on.
pub(super) fn in_turns<const N: usize>(
    turns: usize,
    mut measurements: [&mut dyn FnMut() -> anyhow::Result<f64>; N],
) -> anyhow::Result<[Taken; N]> {
    ensure!(turns > 0, "a measurement of no turns");
    let mut values = [const { Vec::new() }; N];
    for _ in 0..turns {
        for (values, once) in values.iter_mut().zip(&mut measurements) {
            thread::sleep(REST);
            values.push(once()?);
        }
    }
    Ok(values.map(Taken::of))
}

/// The median of one measurement alone.
pub(super) fn median(
    runs: usize,
    mut once: impl FnMut() -> anyhow::Result<f64>,
) -> anyhow::Result<f64> {
    let [taken] = in_turns(runs, [&mut once])?;
    Ok(taken.median)
}

#[cfg(test)]
mod tests {
    use super::{in_turns, median};
    use std::cell::RefCell;

    #[test]
    fn one_slow_run_does_not_move_the_median() {
        let mut times = [1.0, 90.0, 2.0].into_iter();
        let middle = median(3, || Ok(times.next().unwrap())).unwrap();
        assert!((middle - 2.0).abs() < 1e-12);
        assert!(median(0, || Ok(0.0)).is_err());
    }

    #[test]
    fn measurements_take_turns() {
        let order = RefCell::new(String::new());
        let once = |name, value| {
            order.borrow_mut().push(name);
            Ok(value)
        };
        let [a, b] = in_turns(2, [&mut || once('a', 2.0), &mut || once('b', 3.0)]).unwrap();
        assert_eq!(order.borrow().as_str(), "abab");
        assert!((b.median / a.median - 1.5).abs() < 1e-12);
    }
}
