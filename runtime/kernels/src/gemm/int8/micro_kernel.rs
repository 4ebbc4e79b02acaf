//! int8 micro-kernels: int32 accumulators of int8 dot products.
//!
//! An instruction multiplies and adds up as many numbers as a word of 32 bits holds:
//! 2 × int16 (`pmaddwd`), 4 × int8 (`sdot`), or 4 × int8 of which one factor is
//! unsigned with a zero point of 128 (VNNI's `vpdpbusd`). A is packed in such words. So is B, for
//! the micro-kernel that computes with it, or its int16 are stored as int8.

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

/// Words of the depth after which the next two cache lines are prefetched.
#[cfg(not(target_family = "wasm"))]
const PREFETCH_WORDS: usize = 4;

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
        words.map(|word| Self::splat(token, word))
    }
    /// Has the cache line of an address fetched into the cache of the second level.
    #[inline(always)]
    #[allow(
        dead_code,
        reason = "where there are few registers, nothing is fetched ahead"
    )]
    fn prefetch(_address: *const u8) {}
    /// Adds the products of the numbers in two words to each sum.
    fn add_products(self, a: Self::Words, b: Self::Words) -> Self;
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
    /// 2 × int16.
    I16x2,
    /// 2 × int16; those of B are stored as int8.
    I16x2OfI8,
    /// 4 × int8.
    I8x4,
    /// 4 × int8; those of A are unsigned, with a zero point of 128.
    U8x4,
}

/// What makes int8 numbers of [`Packing::U8x4`].
pub(crate) const U8X4_ZERO_POINTS: u32 = 0x8080_8080;

impl Packing {
    /// How many numbers a word has.
    pub(crate) fn numbers(self) -> usize {
        match self {
            Self::I16x2 | Self::I16x2OfI8 => 2,
            Self::I8x4 | Self::U8x4 => 4,
        }
    }

    /// What is added to every number of A.
    pub(crate) fn zero_point(self) -> i32 {
        match self {
            Self::I16x2 | Self::I16x2OfI8 | Self::I8x4 => 0,
            Self::U8x4 => 128,
        }
    }

    /// How many bytes a word of B is stored in.
    pub(crate) fn bytes_of_b(self) -> usize {
        match self {
            Self::I16x2OfI8 => 2,
            Self::I16x2 | Self::I8x4 | Self::U8x4 => 4,
        }
    }

    /// Writes a word of B: to as many bytes as it is stored in, of as many numbers as it has.
    #[inline(always)]
    pub(crate) fn put_b(self, numbers: [i8; 4], to: &mut [u8]) {
        let word = match self {
            Self::I16x2 => pair(numbers[0], numbers[1]).to_le_bytes(),
            Self::I16x2OfI8 | Self::I8x4 | Self::U8x4 => numbers.map(i8::cast_unsigned),
        };
        to.copy_from_slice(&word[..to.len()]);
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

    /// Bytes of a panel of B of that depth.
    pub(crate) fn panel_bytes(self, depth: usize) -> usize {
        self.words(depth) * self.columns() * self.packing().bytes_of_b()
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

/// How many words a block of `rows` has in each row, which a panel has as well.
#[inline(always)]
fn words_of<S: Accumulator>(a: &[u32], rows: usize, Panel { bytes, .. }: Panel<'_>) -> usize {
    let words = a.len() / rows;
    assert!(
        a.len() == words * rows && bytes.len() == words * 2 * S::BYTES,
        "{} words in {rows} rows times {} bytes",
        a.len(),
        bytes.len()
    );
    words
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
    let words = words_of::<S>(a, ROWS, b);
    let sums = &mut sums[..ROWS * 2 * S::LANES];
    let (mut low, mut high) = ([S::zero(token); ROWS], [S::zero(token); ROWS]);
    let (mut block, mut panel, mut next) = (a.as_ptr(), b.bytes.as_ptr(), b.next.as_ptr());
    let each = b
        .next
        .len()
        .checked_div(words / PREFETCH_WORDS)
        .unwrap_or(0);
    for word in 0..words {
        if word % PREFETCH_WORDS == 0 {
            S::prefetch(next);
            S::prefetch(next.wrapping_add(PANEL_ALIGNMENT));
            next = next.wrapping_add(each);
        }
        // SAFETY: as `words_of` has checked, B has two vectors of each of `words`.
        let pair = unsafe { std::slice::from_raw_parts(panel, 2 * S::BYTES) };
        let (first, second) = (S::load(token, pair), S::load(token, &pair[S::BYTES..]));
        for row in 0..ROWS {
            // SAFETY: and A has `ROWS` words of each.
            let word = S::splat(token, unsafe { *block.add(row) });
            low[row] = low[row].add_products(word, first);
            high[row] = high[row].add_products(word, second);
        }
        block = block.wrapping_add(ROWS);
        panel = panel.wrapping_add(2 * S::BYTES);
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
    let _ = words_of::<S>(a, ROWS, b);
    let [mut low0, mut low1, mut low2, mut low3] = [S::zero(token); 4];
    let [mut high0, mut high1, mut high2, mut high3] = [S::zero(token); 4];
    for (block, panel) in a.chunks_exact(ROWS).zip(b.bytes.chunks_exact(2 * S::BYTES)) {
        let (first, second) = (S::load(token, panel), S::load(token, &panel[S::BYTES..]));
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
