//! The machine that the numbers are from.

use super::peak;
use std::fmt;
use std::fs;

/// What numbers depend on; empty where the system does not say.
pub(super) struct Machine {
    cpu: String,
    cores: usize,
    /// Of one core, in float32.
    gigaflops: f64,
    /// The load average over one minute.
    load: Option<f64>,
}

impl Machine {
    /// Its state now, before the measurements add to the load.
    pub(super) fn now() -> anyhow::Result<Self> {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Ok(Self {
            cpu: model
                .unwrap_or_default()
                .trim_start_matches([' ', '\t', ':'])
                .into(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load: load.split(' ').next().and_then(|load| load.parse().ok()),
            gigaflops: peak::gigaflops()?,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = if self.cpu.is_empty() {
            "unknown CPU"
        } else {
            &self.cpu
        };
        write!(
            f,
            "Machine: {cpu} ({}), {} cores of {:.0} GFLOP/s each (float32 FMA peak, measured)",
            std::env::consts::ARCH,
            self.cores,
            self.gigaflops
        )?;
        let Some(load) = self.load else {
            return Ok(());
        };
        write!(f, ", load average before {load:.2}")?;
        // Half a core's worth of other work already shows in the numbers. The
        // average still holds some of the build that came before.
        if load > 0.5 {
            write!(f, " (other work was running: the times may be too long)")?;
        }
        Ok(())
    }
}
