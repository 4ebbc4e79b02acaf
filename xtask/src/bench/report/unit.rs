//! What a number counts, and what it should be.

/// What a number counts.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    Megabytes,
    /// A multiple of the weights' size.
    Weights,
    TokensPerSecond,
    TextsPerSecond,
    /// 10⁹ multiplications and additions a second.
    Gigaflops,
    /// A multiple of another measurement.
    Times,
    Count,
    Difference,
    Cosine,
}

/// What a number should be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// In the row's unit.
    AtMost(f64),
    /// In the row's unit.
    AtLeast(f64),
    /// So many times better than what stands beside it.
    Ratio(f64),
    /// Measured to know it.
    None,
}

impl Target {
    pub(super) fn shown(self, unit: Unit) -> String {
        match self {
            Self::AtMost(limit) => format!("≤ {}", unit.shown(limit)),
            Self::AtLeast(limit) => format!("≥ {}", unit.shown(limit)),
            Self::Ratio(limit) => format!("ratio ≥ {limit:.2}"),
            Self::None => String::new(),
        }
    }

    pub(super) fn verdict(self, value: f64, ratio: Option<f64>) -> &'static str {
        let met = match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
            Self::Ratio(limit) => ratio.is_some_and(|ratio| ratio >= limit),
            Self::None => return "",
        };
        if met { "✓ met" } else { "✗ MISSED" }
    }
}

impl Unit {
    /// How many times better the first number is than the second.
    pub(super) fn ratio(self, ours: f64, other: f64) -> Option<f64> {
        match self {
            Self::Seconds | Self::Milliseconds | Self::Megabytes | Self::Weights => {
                Some(other / ours)
            }
            Self::TokensPerSecond | Self::TextsPerSecond | Self::Gigaflops => Some(ours / other),
            Self::Times | Self::Count | Self::Difference | Self::Cosine => None,
        }
    }

    pub(super) fn shown(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{value:.2} s"),
            Self::Milliseconds if value < 100.0 => format!("{value:.1} ms"),
            Self::Milliseconds => format!("{value:.0} ms"),
            Self::Megabytes => format!("{value:.1} MB"),
            Self::Weights | Self::Times => format!("{value:.2} ×"),
            Self::TextsPerSecond => format!("{value:.1} texts/s"),
            Self::Gigaflops => format!("{value:.0} GFLOP/s"),
            Self::Count => format!("{value:.0}"),
            Self::TokensPerSecond => format!("{value:.0} tok/s"),
            Self::Difference => format!("{value:.0e}"),
            Self::Cosine => format!("{value:.5}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Target, Unit};

    #[test]
    fn above_one_is_ahead_in_times_and_in_rates() {
        assert_eq!(Unit::Milliseconds.ratio(2.0, 3.0), Some(1.5));
        assert_eq!(Unit::TokensPerSecond.ratio(3.0, 2.0), Some(1.5));
        assert_eq!(Unit::Cosine.ratio(0.5, 1.0), None);
        let two = Target::Ratio(2.0);
        assert_eq!(two.verdict(0.0, Some(1.99)), "✗ MISSED");
        assert_eq!(two.verdict(0.0, Some(2.0)), "✓ met");
    }
}
