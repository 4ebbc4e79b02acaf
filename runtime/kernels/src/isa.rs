//! Which instruction set the kernels use: the widest that the processor has, or one
//! that is chosen, so that a result can be had that does not depend on the machine.
//!
//! **Invariant:** there is an [`Isa`] only of what this processor has.

use crate::gemm::MicroKernel;
#[cfg(target_arch = "x86_64")]
use crate::simd::avx2::{self, Avx2};
#[cfg(target_arch = "x86_64")]
use crate::simd::avx512::{self, Avx512};
#[cfg(target_arch = "aarch64")]
use crate::simd::neon;
use crate::simd::{Baseline, F32x4, Kernel};
use std::fmt;
use std::sync::OnceLock;

/// An instruction set that the kernels are compiled for and that this processor has:
/// only [`Isa::all`] and what chooses among those make one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Isa(Proven);

/// An instruction set with the token that proves it, the narrowest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Proven {
    /// Four values at a time: scalars natively, simd128 in a wasm module.
    Portable(Baseline),
    /// Every arm64 processor has it; int8 GEMM also takes `dotprod` where there is that.
    #[cfg(target_arch = "aarch64")]
    Neon(Baseline),
    /// With FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX-512F; int8 GEMM also takes VNNI where there is that.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
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
        *IN_USE.get_or_init(Self::widest)
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
        let mut all = vec![Proven::Portable(Baseline)];
        #[cfg(target_arch = "aarch64")]
        all.push(Proven::Neon(Baseline));
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(Avx2::detect().map(Proven::Avx2));
            all.extend(Avx512::detect().map(Proven::Avx512));
        }
        all.into_iter().map(Self).collect()
    }

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self.0 {
            Proven::Portable(_) if cfg!(target_feature = "simd128") => "simd128",
            Proven::Portable(_) => "portable",
            #[cfg(target_arch = "aarch64")]
            Proven::Neon(_) => "neon",
            #[cfg(target_arch = "x86_64")]
            Proven::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Proven::Avx512(_) => "avx512",
        }
    }

    /// Those of this machine, with commas between them.
    pub fn names() -> String {
        let names = Self::all().into_iter().map(Self::name);
        names.collect::<Vec<_>>().join(", ")
    }

    /// Columns of a panel of B, as the micro-kernel reads it.
    pub fn panel_width(self) -> usize {
        self.run(PanelWidth)
    }

    /// Whether the micro-kernel reads panels of so many columns.
    pub fn reads_panels_of(self, columns: usize) -> bool {
        self.run(ReadsPanelsOf(columns))
    }

    fn widest() -> Self {
        Self::all()
            .pop()
            .unwrap_or(Self(Proven::Portable(Baseline)))
    }

    pub(crate) fn proven(self) -> Proven {
        self.0
    }

    pub(crate) fn run<T: Kernel>(self, kernel: T) -> T::Output {
        match self.0 {
            Proven::Portable(token) => kernel.run::<F32x4>(token),
            #[cfg(target_arch = "aarch64")]
            Proven::Neon(token) => kernel.run::<neon::F32x4>(token),
            #[cfg(target_arch = "x86_64")]
            Proven::Avx2(token) => avx2::run(token, kernel),
            #[cfg(target_arch = "x86_64")]
            Proven::Avx512(token) => avx512::run(token, kernel),
        }
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

struct ReadsPanelsOf(usize);

impl Kernel for ReadsPanelsOf {
    type Output = bool;

    #[inline(always)]
    fn run<V: MicroKernel>(self, _token: V::Token) -> bool {
        V::reads_panels_of(self.0)
    }
}

struct PanelWidth;

impl Kernel for PanelWidth {
    type Output = usize;

    #[inline(always)]
    fn run<V: MicroKernel>(self, _token: V::Token) -> usize {
        V::PANEL
    }
}
