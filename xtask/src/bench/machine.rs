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

/// Those of the processor's that kernels are written for, ours and the peer's.
fn instruction_sets() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let sets = [
        ("AVX2", is_x86_feature_detected!("avx2")),
        ("FMA", is_x86_feature_detected!("fma")),
        ("AVX-VNNI", is_x86_feature_detected!("avxvnni")),
        ("AVX-512", is_x86_feature_detected!("avx512f")),
        ("AVX-512 VNNI", is_x86_feature_detected!("avx512vnni")),
    ];
    #[cfg(target_arch = "aarch64")]
    let sets = [
        ("NEON", true),
        (
            "dotprod",
            std::arch::is_aarch64_feature_detected!("dotprod"),
        ),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let sets = [("no vectors that are known", true)];
    let had = sets.into_iter().filter(|(_, has)| *has);
    had.map(|(name, _)| name).collect()
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
            "Machine: {cpu} ({} with {}), {} cores of {:.0} GFLOP/s each (float32 FMA peak, measured)",
            std::env::consts::ARCH,
            instruction_sets().join(", "),
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
