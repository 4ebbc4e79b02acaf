//! Which instruction set the kernels use: the widest that the processor has, or one
//! that is chosen, so that a result can be had that does not depend on the machine.

#[cfg(target_arch = "aarch64")]
use super::neon;
#[cfg(target_arch = "x86_64")]
use super::x86;
use super::{F32x4, Lanes, Task};
use std::sync::OnceLock;

/// An instruction set that the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Four values at a time: scalars natively, simd128 in a wasm module.
    Portable,
    /// Every arm64 processor has it; int8 products also take `dotprod` where there is that.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// With FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512F; int8 products also take VNNI where there is that.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// The environment variable by which a native program chooses one: `avx512`, `avx2`,
/// `neon` or `portable`. It is the program that reads it, before it loads a model.
pub const ISA_VARIABLE: &str = "ENCODERFILE_ISA";

/// A name that is none of this machine's instruction sets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no instruction set `{name}` here; this machine has {}", Isa::names())]
pub struct NoSuchIsa {
    /// What was asked for.
    pub name: String,
}

/// The one in use. Matrices are packed for it, so it never changes once it is asked for.
static IN_USE: OnceLock<Isa> = OnceLock::new();

impl Isa {
    /// The one that this process computes with.
    pub fn in_use() -> Self {
        *IN_USE.get_or_init(|| Self::of_tests().unwrap_or_else(Self::widest))
    }

    /// Has this process compute with the set of that name. To be called before the
    /// first model is loaded: afterwards another set than the one in use is refused
    /// like one that the machine lacks.
    pub fn choose(name: &str) -> Result<(), NoSuchIsa> {
        let known = Self::all().into_iter().find(|isa| isa.name() == name);
        known
            .filter(|isa| IN_USE.get_or_init(|| *isa) == isa)
            .map(|_| ())
            .ok_or_else(|| NoSuchIsa { name: name.into() })
    }

    /// All that this machine has, the widest last.
    pub fn all() -> Vec<Self> {
        #[allow(unused_mut, reason = "there is more on some machines")]
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "aarch64")]
        all.push(Self::Neon);
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                all.push(Self::Avx2);
            }
            if is_x86_feature_detected!("avx512f") {
                all.push(Self::Avx512);
            }
        }
        all
    }

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable if cfg!(target_feature = "simd128") => "simd128",
            Self::Portable => "portable",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "neon",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
        }
    }

    /// Those of this machine, with commas between them.
    pub fn names() -> String {
        Self::all()
            .into_iter()
            .map(Self::name)
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn widest() -> Self {
        Self::all().pop().unwrap_or(Self::Portable)
    }

    #[cfg(not(test))]
    fn of_tests() -> Option<Self> {
        None
    }

    /// This crate's own tests have no program around them that would choose.
    #[cfg(test)]
    fn of_tests() -> Option<Self> {
        let name = std::env::var(ISA_VARIABLE).ok()?;
        let known = Self::all().into_iter().find(|isa| isa.name() == name);
        assert!(known.is_some(), "{ISA_VARIABLE}: {}", NoSuchIsa { name });
        known
    }

    /// Values of a panel at one place of the common dimension: two vectors.
    pub(in crate::fused) fn panel_width(self) -> usize {
        2 * match self {
            Self::Portable => F32x4::COUNT,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => neon::F32x4::COUNT,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::F32x8::COUNT,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => x86::F32x16::COUNT,
        }
    }

    /// Whether tiles read a part of a wider panel as well.
    pub(in crate::fused) fn reads_wide_panels(self) -> bool {
        !match self {
            Self::Portable => F32x4::PACKED,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => neon::F32x4::PACKED,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::F32x8::PACKED,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => x86::F32x16::PACKED,
        }
    }

    pub(in crate::fused) fn run<T: Task>(self, task: T) -> T::Output {
        match self {
            Self::Portable => task.run::<F32x4>(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => task.run::<neon::F32x4>(),
            // SAFETY: there is such a value only where the processor has them: see `all`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::run_avx2(task) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { x86::run_avx512(task) },
        }
    }
}
