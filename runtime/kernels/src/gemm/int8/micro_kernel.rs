//! int8 micro-kernels: int32 accumulators of int8 dot products.
//!
//! An instruction multiplies and adds up as many numbers as a word of 32 bits holds:
//! 2 × int16 (`pmaddwd`), or 4 × int8 (`sdot`, VNNI's `vpdpbusd`, and AVX2's `vpmaddubsw` and `vpmaddwd`).
//! Of A's numbers, which are from 0 to 127, it does not matter whether an instruction takes them for signed.
//! A is packed in such words; B in as many bytes as a word has numbers.

use super::padded;
#[cfg(not(target_family = "wasm"))]
use crate::aligned::PANEL_ALIGNMENT;
use crate::isa::{Isa, Proven};
#[cfg(target_arch = "x86_64")]
use crate::simd::avx2::{Avx2, AvxVnni};
#[cfg(target_arch = "x86_64")]
use crate::simd::avx512::Avx512Vnni;
#[cfg(target_arch = "aarch64")]
use crate::simd::neon::Dotprod;
#[cfg(not(target_feature = "simd128"))]
use crate::simd::portable::PortableInt8;
#[cfg(target_feature = "simd128")]
use crate::simd::simd128::Simd128Int8 as PortableInt8;

/// The most rows and columns of a micro-kernel.
const MR_MAX: usize = 12;
const NR_MAX: usize = 32;

/// Words that are multiplied in one step. The depth is a multiple of them, in whole blocks
/// ([`padded`]).
const STEP: usize = 2;

/// Steps after which the next two cache lines are prefetched.
#[cfg(not(target_family = "wasm"))]
const PREFETCH_STEPS: usize = 2;

/// The most sums of a micro-kernel.
pub(crate) const SUMS_MAX: usize = MR_MAX * NR_MAX;

/// Several int32 accumulators.
pub(crate) trait Accumulator: Copy {
    /// The proof that the processor has the instructions.
    type Token: Copy;
    /// How many there are.
    const LANES: usize;
    /// The words that are multiplied.
    type Words: Copy;

    fn zero(token: Self::Token) -> Self;
    /// Bytes of B that are loaded at once.
    const BYTES: usize = Self::LANES * size_of::<u32>();

    /// Words of the first [`BYTES`](Self::BYTES) of a slice that has as many.
    fn load(token: Self::Token, bytes: &[u8]) -> Self::Words;
    /// The same word for each sum.
    fn splat(token: Self::Token, word: u32) -> Self::Words;
    /// As [`Accumulator::splat`], for each of four words.
    #[inline(always)]
    fn splat_four(token: Self::Token, words: &[u32; 4]) -> [Self::Words; 4] {
        let [a, b] = [Self::splat(token, words[0]), Self::splat(token, words[1])];
        [
            a,
            b,
            Self::splat(token, words[2]),
            Self::splat(token, words[3]),
        ]
    }
    /// Has the cache line of an address fetched into the cache of the second level.
    #[inline(always)]
    #[allow(
        dead_code,
        reason = "where there are few registers, nothing is fetched ahead"
    )]
    fn prefetch(_address: *const u8) {}
    /// Adds the products of the numbers in words of A, one after the other, and in those of B, to each sum.
    fn add_products(self, a: [Self::Words; STEP], b: [Self::Words; STEP]) -> Self;
    /// Writes the first sums of a slice that has as many.
    fn store(self, sums: &mut [i32]);
}

/// A panel of B.
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a> {
    pub(crate) bytes: &'a [u8],
    /// What comes after it, to be fetched into a cache meanwhile.
    pub(crate) next: &'a [u8],
}

impl<'a> Panel<'a> {
    /// So often, with as many parts of what comes after it.
    #[inline(always)]
    pub(crate) fn in_parts(self, parts: usize) -> impl Iterator<Item = Self> {
        // Here, since a division takes as long as a step of the depth does.
        let each = self.next.len().div_ceil(parts.max(1)).max(1);
        let nexts = self.next.chunks(each).chain(std::iter::repeat(&[][..]));
        nexts.take(parts).map(move |next| Self { next, ..self })
    }
}

/// A micro-kernel, which the token of its instructions is.
pub(crate) trait Int8MicroKernel: Copy {
    /// The most rows of a block of A.
    const MR: usize;
    /// The columns of B.
    const NR: usize;
    const PACKING: Packing;

    /// The sums of a block of A, with `rows` words side by side, and a panel of B, with
    /// those of its columns, row after row.
    ///
    /// # Panics
    ///
    /// If A and B differ in words, or there are too few sums.
    fn micro_kernel(self, a: &[u32], rows: usize, b: Panel<'_>, sums: &mut [i32]);
}

/// What a word holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "each machine has some of them")]
pub(crate) enum Packing {
    /// 2 × int16, of which those of B are stored as int8.
    I16x2,
    /// 4 × int8.
    I8x4,
}

impl Packing {
    /// How many numbers a word has, and so how many bytes of B.
    pub(crate) fn numbers(self) -> usize {
        match self {
            Self::I16x2 => 2,
            Self::I8x4 => 4,
        }
    }
}

/// One of this machine's micro-kernels.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Int8Kernel {
    Portable(PortableInt8),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    AvxVnni(AvxVnni),
    #[cfg(target_arch = "x86_64")]
    Vnni(Avx512Vnni),
    #[cfg(target_arch = "aarch64")]
    Dotprod(Dotprod),
}

/// Does the same with whichever it is.
macro_rules! of_kernel {
    ($self:expr, $kernel:ident: $type:ident => $result:expr) => {
        match $self {
            Int8Kernel::Portable($kernel) => {
                type $type = PortableInt8;
                $result
            }
            #[cfg(target_arch = "x86_64")]
            Int8Kernel::Avx2($kernel) => {
                type $type = Avx2;
                $result
            }
            #[cfg(target_arch = "x86_64")]
            Int8Kernel::AvxVnni($kernel) => {
                type $type = AvxVnni;
                $result
            }
            #[cfg(target_arch = "x86_64")]
            Int8Kernel::Vnni($kernel) => {
                type $type = Avx512Vnni;
                $result
            }
            #[cfg(target_arch = "aarch64")]
            Int8Kernel::Dotprod($kernel) => {
                type $type = Dotprod;
                $result
            }
        }
    };
}

impl Int8Kernel {
    /// The fastest one that an instruction set has on this machine.
    pub(crate) fn of(isa: Isa) -> Self {
        let fastest = Self::all(isa).pop();
        fastest.unwrap_or(Self::Portable(PortableInt8))
    }

    /// Those that an instruction set has on this machine, the fastest last.
    pub(crate) fn all(isa: Isa) -> Vec<Self> {
        #[allow(unused_mut, reason = "there is more on some machines")]
        let mut all = vec![Self::Portable(PortableInt8)];
        match isa.proven() {
            Proven::Portable(_) => {}
            #[cfg(target_arch = "aarch64")]
            Proven::Neon(_) => all.extend(Dotprod::detect().map(Self::Dotprod)),
            #[cfg(target_arch = "x86_64")]
            Proven::Avx2(token) => {
                all.push(Self::Avx2(token));
                all.extend(AvxVnni::detect().map(Self::AvxVnni));
            }
            #[cfg(target_arch = "x86_64")]
            Proven::Avx512(_) => {
                all.extend(Avx2::detect().map(Self::Avx2));
                all.extend(AvxVnni::detect().map(Self::AvxVnni));
                all.extend(Avx512Vnni::detect().map(Self::Vnni));
            }
        }
        all
    }

    /// The most rows of a block.
    #[inline(always)]
    pub(crate) fn rows(self) -> usize {
        of_kernel!(self, _kernel: K => K::MR)
    }

    /// The columns of a panel.
    #[inline(always)]
    pub(crate) fn columns(self) -> usize {
        of_kernel!(self, _kernel: K => K::NR)
    }

    #[inline(always)]
    pub(crate) fn packing(self) -> Packing {
        of_kernel!(self, _kernel: K => K::PACKING)
    }

    /// Words of a row of that depth.
    pub(crate) fn words(self, depth: usize) -> usize {
        padded(depth) / self.packing().numbers()
    }

    /// Bytes of a panel of B of that depth.
    pub(crate) fn panel_bytes(self, depth: usize) -> usize {
        padded(depth) * self.columns()
    }

    /// Multiplies a block of `rows` and a panel.
    #[inline(always)]
    pub(crate) fn multiply(self, a: &[u32], b: Panel<'_>, rows: usize, sums: &mut [i32; SUMS_MAX]) {
        of_kernel!(self, kernel: K => {
            const { assert!(K::MR <= MR_MAX && K::NR <= NR_MAX, "too large") };
            kernel.micro_kernel(a, rows, b, sums);
        });
    }
}

/// Calls the micro-kernel of as many rows.
macro_rules! of_rows {
    ($form:ident, $sums:ty, $token:expr, ($a:expr, $rows:expr, $b:expr, $to:expr), [$($count:literal)*]) => {
        match $rows {
            $($count => $crate::gemm::int8::micro_kernel::$form::<$sums, $count>(
                $token, $a, $b, $to,
            ),)*
            rows => unreachable!("a block of {rows} rows"),
        }
    };
}
pub(crate) use of_rows;

/// How many steps a block of `rows` has, which a panel has as well.
#[inline(always)]
fn steps_of<S: Accumulator>(a: &[u32], rows: usize, Panel { bytes, .. }: Panel<'_>) -> usize {
    let steps = a.len() / (STEP * rows);
    assert!(
        a.len() == steps * STEP * rows && bytes.len() == steps * STEP * 2 * S::BYTES,
        "{} words in {rows} rows times {} bytes",
        a.len(),
        bytes.len()
    );
    steps
}

/// A micro-kernel of any number of rows, each of which has registers of its own.
#[inline(always)]
#[cfg(not(target_family = "wasm"))]
pub(crate) fn unrolled<S: Accumulator, const ROWS: usize>(
    token: S::Token,
    a: &[u32],
    b: Panel<'_>,
    sums: &mut [i32],
) {
    let steps = steps_of::<S>(a, ROWS, b);
    let sums = &mut sums[..ROWS * 2 * S::LANES];
    let (mut low, mut high) = ([S::zero(token); ROWS], [S::zero(token); ROWS]);
    let (mut block, mut panel, mut next) = (a.as_ptr(), b.bytes.as_ptr(), b.next.as_ptr());
    let each = b.next.len().checked_div(steps / PREFETCH_STEPS);
    let each = each.unwrap_or(0);
    for step in 0..steps {
        if step % PREFETCH_STEPS == 0 {
            S::prefetch(next);
            S::prefetch(next.wrapping_add(PANEL_ALIGNMENT));
            next = next.wrapping_add(each);
        }
        // SAFETY: as `steps_of` has checked, B has two vectors of each word of a step.
        let bytes = unsafe { std::slice::from_raw_parts(panel, STEP * 2 * S::BYTES) };
        let [first, second] = [S::load(token, bytes), S::load(token, &bytes[S::BYTES..])];
        let bytes = &bytes[2 * S::BYTES..];
        let [third, fourth] = [S::load(token, bytes), S::load(token, &bytes[S::BYTES..])];
        for row in 0..ROWS {
            // SAFETY: and A has `ROWS` of each.
            let words = unsafe { [*block.add(row), *block.add(ROWS + row)] };
            let words = [S::splat(token, words[0]), S::splat(token, words[1])];
            low[row] = low[row].add_products(words, [first, third]);
            high[row] = high[row].add_products(words, [second, fourth]);
        }
        block = block.wrapping_add(STEP * ROWS);
        panel = panel.wrapping_add(STEP * 2 * S::BYTES);
    }
    for (row, sums) in sums.chunks_exact_mut(2 * S::LANES).enumerate() {
        low[row].store(sums);
        high[row].store(&mut sums[S::LANES..]);
    }
}

/// A micro-kernel of up to four rows, written so that nothing is left to be unrolled: a
/// module made to be small is compiled with its loops as they are.
#[inline(always)]
pub(crate) fn rolled<S: Accumulator, const ROWS: usize>(
    token: S::Token,
    a: &[u32],
    b: Panel<'_>,
    sums: &mut [i32],
) {
    let _ = steps_of::<S>(a, ROWS, b);
    let [mut low0, mut low1, mut low2, mut low3] = [S::zero(token); 4];
    let [mut high0, mut high1, mut high2, mut high3] = [S::zero(token); 4];
    let panels = b.bytes.chunks_exact(STEP * 2 * S::BYTES);
    for (block, panel) in a.chunks_exact(STEP * ROWS).zip(panels) {
        let (even, odd) = block.split_at(ROWS);
        let [a0, a1, a2, a3] = splat_rows::<S, ROWS>(token, even);
        let [b0, b1, b2, b3] = splat_rows::<S, ROWS>(token, odd);
        let [first, second] = [S::load(token, panel), S::load(token, &panel[S::BYTES..])];
        let panel = &panel[2 * S::BYTES..];
        let [third, fourth] = [S::load(token, panel), S::load(token, &panel[S::BYTES..])];
        low0 = low0.add_products([a0, b0], [first, third]);
        high0 = high0.add_products([a0, b0], [second, fourth]);
        if ROWS > 1 {
            low1 = low1.add_products([a1, b1], [first, third]);
            high1 = high1.add_products([a1, b1], [second, fourth]);
        }
        if ROWS > 2 {
            low2 = low2.add_products([a2, b2], [first, third]);
            high2 = high2.add_products([a2, b2], [second, fourth]);
        }
        if ROWS > 3 {
            low3 = low3.add_products([a3, b3], [first, third]);
            high3 = high3.add_products([a3, b3], [second, fourth]);
        }
    }
    let rows = [(low0, high0), (low1, high1), (low2, high2), (low3, high3)];
    let sums = sums.chunks_exact_mut(2 * S::LANES).take(ROWS);
    for (sums, (low, high)) in sums.zip(rows) {
        low.store(sums);
        high.store(&mut sums[S::LANES..]);
    }
}

/// The words of up to four rows, and the last again where there are fewer.
#[inline(always)]
fn splat_rows<S: Accumulator, const ROWS: usize>(token: S::Token, words: &[u32]) -> [S::Words; 4] {
    match words.first_chunk::<4>() {
        Some(four) => S::splat_four(token, four),
        None => {
            let words = [0, 1, 2, 3].map(|row: usize| words[row.min(ROWS - 1)]);
            S::splat_four(token, &words)
        }
    }
}
