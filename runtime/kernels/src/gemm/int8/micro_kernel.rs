//! int8 micro-kernels: int32 accumulators of int8 dot products.
//!
//! A word of 32 bits holds as many numbers as an instruction multiplies and adds up at once:
//! 2 × int16 (`pmaddwd`), 4 × int8 (`sdot`), or 4 × int8 of which one factor is
//! unsigned with a zero point of 128 (VNNI's `vpdpbusd`). B is packed for the
//! micro-kernel that computes with it.

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
    /// The first words of a slice that has as many.
    fn load(token: Self::Token, words: &[u32]) -> Self::Words;
    /// The same word for each sum.
    fn splat(token: Self::Token, word: u32) -> Self::Words;
    /// As [`Accumulator::splat`], for each of four words.
    #[inline(always)]
    fn splat_four(token: Self::Token, words: &[u32; 4]) -> [Self::Words; 4] {
        words.map(|word| Self::splat(token, word))
    }
    /// Adds the products of the numbers in two words to each sum.
    fn add_products(self, a: Self::Words, b: Self::Words) -> Self;
    /// Writes the first sums of a slice that has as many.
    fn store(self, sums: &mut [i32]);
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
    fn micro_kernel(self, a: &[u32], rows: usize, b: &[u32], sums: &mut [i32]);
}

/// What a word holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "each machine has some of them")]
pub(crate) enum Packing {
    /// 2 × int16.
    I16x2,
    /// 4 × int8.
    I8x4,
    /// 4 × int8; those of A are unsigned, with a zero point of 128.
    U8x4,
}

impl Packing {
    /// How many numbers a word has.
    pub(crate) fn numbers(self) -> usize {
        match self {
            Self::I16x2 => 2,
            Self::I8x4 | Self::U8x4 => 4,
        }
    }

    /// What is added to every number of A.
    pub(crate) fn zero_point(self) -> i32 {
        match self {
            Self::I16x2 | Self::I8x4 => 0,
            Self::U8x4 => 128,
        }
    }

    /// A word of B; with two numbers in it, of the first two.
    #[inline(always)]
    pub(crate) fn word_of_b(self, numbers: [i8; 4]) -> u32 {
        match self {
            Self::I16x2 => pair(numbers[0], numbers[1]),
            Self::I8x4 | Self::U8x4 => u32::from_le_bytes(numbers.map(i8::cast_unsigned)),
        }
    }

    /// A word of A.
    #[inline(always)]
    pub(crate) fn word_of_a(self, numbers: &[i8]) -> u32 {
        match (self, numbers) {
            (Self::U8x4, [a, b, c, d]) => self.word_of_b([*a, *b, *c, *d]) ^ 0x8080_8080,
            (_, [a, b, c, d]) => self.word_of_b([*a, *b, *c, *d]),
            (_, [a, b]) => pair(*a, *b),
            _ => unreachable!("a word of {} numbers", numbers.len()),
        }
    }
}

#[inline(always)]
fn pair(first: i8, second: i8) -> u32 {
    let bits = |number: i8| u32::from(i16::from(number).cast_unsigned());
    bits(first) | bits(second) << 16
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

    /// Words of so many numbers.
    pub(crate) fn words(self, numbers: usize) -> usize {
        numbers.div_ceil(self.packing().numbers())
    }

    /// Multiplies a block of `rows` and a panel.
    #[inline(always)]
    pub(crate) fn multiply(self, a: &[u32], b: &[u32], rows: usize, sums: &mut [i32; SUMS_MAX]) {
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

/// How many words a block of `rows` has in each row, which a panel has as well.
#[inline(always)]
fn words_of<S: Accumulator>(a: &[u32], rows: usize, b: &[u32]) -> usize {
    let words = a.len() / rows;
    assert!(
        a.len() == words * rows && b.len() == words * 2 * S::LANES,
        "{} words in {rows} rows times {}",
        a.len(),
        b.len()
    );
    words
}

/// A micro-kernel of any number of rows, each of which has registers of its own.
#[inline(always)]
#[cfg(not(target_family = "wasm"))]
pub(crate) fn unrolled<S: Accumulator, const ROWS: usize>(
    token: S::Token,
    a: &[u32],
    b: &[u32],
    sums: &mut [i32],
) {
    let words = words_of::<S>(a, ROWS, b);
    let sums = &mut sums[..ROWS * 2 * S::LANES];
    let (mut low, mut high) = ([S::zero(token); ROWS], [S::zero(token); ROWS]);
    let (mut block, mut panel) = (a.as_ptr(), b.as_ptr());
    for _ in 0..words {
        // SAFETY: as `words_of` has checked, B has two vectors of each of `words`.
        let pair = unsafe { std::slice::from_raw_parts(panel, 2 * S::LANES) };
        let (first, second) = (S::load(token, pair), S::load(token, &pair[S::LANES..]));
        for row in 0..ROWS {
            // SAFETY: and A has `ROWS` words of each.
            let word = S::splat(token, unsafe { *block.add(row) });
            low[row] = low[row].add_products(word, first);
            high[row] = high[row].add_products(word, second);
        }
        block = block.wrapping_add(ROWS);
        panel = panel.wrapping_add(2 * S::LANES);
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
    b: &[u32],
    sums: &mut [i32],
) {
    let _ = words_of::<S>(a, ROWS, b);
    let [mut low0, mut low1, mut low2, mut low3] = [S::zero(token); 4];
    let [mut high0, mut high1, mut high2, mut high3] = [S::zero(token); 4];
    for (block, panel) in a.chunks_exact(ROWS).zip(b.chunks_exact(2 * S::LANES)) {
        let (first, second) = (S::load(token, panel), S::load(token, &panel[S::LANES..]));
        let [row0, row1, row2, row3] = match block.first_chunk::<4>() {
            Some(four) => S::splat_four(token, four),
            None => [0, 1, 2, 3].map(|row: usize| S::splat(token, block[row.min(ROWS - 1)])),
        };
        low0 = low0.add_products(row0, first);
        high0 = high0.add_products(row0, second);
        if ROWS > 1 {
            low1 = low1.add_products(row1, first);
            high1 = high1.add_products(row1, second);
        }
        if ROWS > 2 {
            low2 = low2.add_products(row2, first);
            high2 = high2.add_products(row2, second);
        }
        if ROWS > 3 {
            low3 = low3.add_products(row3, first);
            high3 = high3.add_products(row3, second);
        }
    }
    let rows = [(low0, high0), (low1, high1), (low2, high2), (low3, high3)];
    let sums = sums.chunks_exact_mut(2 * S::LANES).take(ROWS);
    for (sums, (low, high)) in sums.zip(rows) {
        low.store(sums);
        high.store(&mut sums[S::LANES..]);
    }
}
