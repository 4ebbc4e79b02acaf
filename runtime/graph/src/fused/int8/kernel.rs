//! Words of four bytes, and the tile of products made of them.
//!
//! A word holds as many whole numbers as an instruction multiplies and adds up at
//! once: four of 8 bits, or two of 16. One kernel is chosen for an
//! instruction set; its weights are packed for it.

use crate::fused::lanes::Isa;

/// The most rows and columns that a tile has.
const ROWS_MAX: usize = 12;
const COLUMNS_MAX: usize = 32;

/// The most sums that a tile has.
pub(super) const TILE_MAX: usize = ROWS_MAX * COLUMNS_MAX;

/// Several sums of 32 bits.
pub(super) trait Sums: Copy {
    /// How many there are.
    const COUNT: usize;
    /// The words that are multiplied.
    type Words: Copy;

    fn zero() -> Self;
    /// A word for each sum.
    ///
    /// # Safety
    ///
    /// They can be read.
    unsafe fn load(words: *const u32) -> Self::Words;
    /// The same word for each sum.
    fn splat(word: u32) -> Self::Words;
    /// As [`Sums::splat`], for each of four words.
    ///
    /// # Safety
    ///
    /// They can be read.
    #[inline(always)]
    unsafe fn splat_four(words: *const u32) -> [Self::Words; 4] {
        // SAFETY: the caller's promise.
        unsafe { words.cast::<[u32; 4]>().read().map(Self::splat) }
    }
    /// Adds the products of the numbers in two words to each sum.
    fn add_products(self, left: Self::Words, right: Self::Words) -> Self;
    /// # Safety
    ///
    /// They can be written.
    unsafe fn store(self, sums: *mut i32);
}

/// What a word holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "each machine has some of them")]
pub(super) enum Format {
    /// Two numbers of 16 bits.
    Halves,
    /// Four of 8 bits.
    Bytes,
    /// Four of 8 bits; those of left factors have 128 added, and no sign.
    ShiftedBytes,
}

impl Format {
    /// How many numbers a word has.
    pub(super) fn numbers(self) -> usize {
        match self {
            Self::Halves => 2,
            Self::Bytes | Self::ShiftedBytes => 4,
        }
    }

    /// What is added to every number of a left factor.
    pub(super) fn shift(self) -> i32 {
        match self {
            Self::Halves | Self::Bytes => 0,
            Self::ShiftedBytes => 128,
        }
    }

    /// A word of a right factor; with two numbers in it, of the first two.
    #[inline(always)]
    pub(super) fn right(self, numbers: [i8; 4]) -> u32 {
        match self {
            Self::Halves => halves(numbers[0], numbers[1]),
            Self::Bytes | Self::ShiftedBytes => u32::from_le_bytes(numbers.map(i8::cast_unsigned)),
        }
    }

    /// A word of a left factor.
    #[inline(always)]
    pub(super) fn left(self, numbers: &[i8]) -> u32 {
        match (self, numbers) {
            (Self::ShiftedBytes, [a, b, c, d]) => self.right([*a, *b, *c, *d]) ^ 0x8080_8080,
            (_, [a, b, c, d]) => self.right([*a, *b, *c, *d]),
            (_, [a, b]) => halves(*a, *b),
            _ => unreachable!("a word of {} numbers", numbers.len()),
        }
    }
}

#[inline(always)]
fn halves(first: i8, second: i8) -> u32 {
    let bits = |number: i8| u32::from(i16::from(number).cast_unsigned());
    bits(first) | bits(second) << 16
}

/// Computes a tile: the products of a strip, with `rows` words side by side, and a
/// panel, with those of its columns, row after row.
type Tile =
    unsafe fn(strip: *const u32, rows: usize, panel: *const u32, words: usize, sums: *mut i32);

/// A tile, and what it is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel {
    /// The most rows of a strip.
    pub(super) rows: usize,
    /// Of a panel.
    pub(super) columns: usize,
    pub(super) format: Format,
    tile: Tile,
}

impl Kernel {
    /// With two sums' worth of columns.
    pub(super) const fn new(rows: usize, count: usize, format: Format, tile: Tile) -> Self {
        assert!(rows <= ROWS_MAX && 2 * count <= COLUMNS_MAX, "too large");
        Self {
            rows,
            columns: 2 * count,
            format,
            tile,
        }
    }

    /// The fastest one of the instruction set in use.
    pub(super) fn best() -> Self {
        Self::up_to(Isa::in_use()).pop().unwrap_or(PORTABLE)
    }

    /// Those that an instruction set and the narrower ones have on this machine.
    pub(super) fn up_to(isa: Isa) -> Vec<Self> {
        #[allow(unused_mut, reason = "there is more on most machines")]
        let mut all = vec![PORTABLE];
        #[cfg(target_arch = "x86_64")]
        all.extend(super::x86::kernels(isa));
        #[cfg(target_arch = "aarch64")]
        all.extend(super::neon::kernel().filter(|_| isa >= Isa::Neon));
        #[cfg(target_feature = "simd128")]
        if isa == Isa::Portable {
            all.push(super::simd128::KERNEL);
        }
        all
    }

    /// Words of so many numbers.
    pub(super) fn words(self, numbers: usize) -> usize {
        numbers.div_ceil(self.format.numbers())
    }

    /// Multiplies a strip of `rows` and a panel.
    #[inline(always)]
    pub(super) fn multiply(self, strip: &[u32], panel: &[u32], rows: usize, sums: &mut [i32]) {
        let words = strip.len() / rows;
        assert!(
            rows <= self.rows && panel.len() == words * self.columns && sums.len() == TILE_MAX,
            "{} words in {rows} rows times {}",
            strip.len(),
            panel.len()
        );
        // SAFETY: `all` gives kernels that this machine has; lengths as asserted.
        unsafe {
            (self.tile)(
                strip.as_ptr(),
                rows,
                panel.as_ptr(),
                words,
                sums.as_mut_ptr(),
            );
        }
    }
}

/// Calls the tile of as many rows.
macro_rules! tile_of {
    ($tile:ident, $sums:ty, ($strip:expr, $rows:expr, $panel:expr, $words:expr, $to:expr), [$($count:literal)*]) => {
        match $rows {
            $($count => $crate::fused::int8::kernel::$tile::<$sums, $count>(
                $strip, $panel, $words, $to,
            ),)*
            rows => unreachable!("a strip of {rows} rows"),
        }
    };
}
pub(super) use tile_of;

/// A tile of any number of rows, each of which has registers of its own.
///
/// # Safety
///
/// As many words can be read, and as many sums written.
#[inline(always)]
#[cfg(not(target_family = "wasm"))]
pub(super) unsafe fn tile<S: Sums, const ROWS: usize>(
    mut strip: *const u32,
    mut panel: *const u32,
    words: usize,
    sums: *mut i32,
) {
    let (mut low, mut high) = ([S::zero(); ROWS], [S::zero(); ROWS]);
    for _ in 0..words {
        // SAFETY: the caller's promise: two vectors, and a word of each row.
        let (first, second) = unsafe { (S::load(panel), S::load(panel.add(S::COUNT))) };
        for row in 0..ROWS {
            // SAFETY: as above.
            let left = S::splat(unsafe { *strip.add(row) });
            low[row] = low[row].add_products(left, first);
            high[row] = high[row].add_products(left, second);
        }
        strip = strip.wrapping_add(ROWS);
        panel = panel.wrapping_add(2 * S::COUNT);
    }
    for row in 0..ROWS {
        // SAFETY: the caller's promise.
        unsafe {
            let to = sums.add(row * 2 * S::COUNT);
            low[row].store(to);
            high[row].store(to.add(S::COUNT));
        }
    }
}

/// A tile of up to four rows, written so that nothing is left to be unrolled: a
/// module made to be small is compiled with its loops as they are.
///
/// # Safety
///
/// As [`tile`].
#[inline(always)]
pub(super) unsafe fn small_tile<S: Sums, const ROWS: usize>(
    mut strip: *const u32,
    mut panel: *const u32,
    words: usize,
    sums: *mut i32,
) {
    let [mut low0, mut low1, mut low2, mut low3] = [S::zero(); 4];
    let [mut high0, mut high1, mut high2, mut high3] = [S::zero(); 4];
    for _ in 0..words {
        // SAFETY: the caller's promise: two vectors, and a word of each row.
        let (first, second) = unsafe { (S::load(panel), S::load(panel.add(S::COUNT))) };
        // SAFETY: as above.
        let [row0, row1, row2, row3] = unsafe {
            match ROWS {
                4 => S::splat_four(strip),
                _ => [0, 1, 2, 3].map(|row: usize| S::splat(*strip.add(row.min(ROWS - 1)))),
            }
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
        strip = strip.wrapping_add(ROWS);
        panel = panel.wrapping_add(2 * S::COUNT);
    }
    // SAFETY: the caller's promise; nothing beyond the rows is written.
    unsafe {
        low0.store(sums);
        high0.store(sums.add(S::COUNT));
        if ROWS > 1 {
            low1.store(sums.add(2 * S::COUNT));
            high1.store(sums.add(3 * S::COUNT));
        }
        if ROWS > 2 {
            low2.store(sums.add(4 * S::COUNT));
            high2.store(sums.add(5 * S::COUNT));
        }
        if ROWS > 3 {
            low3.store(sums.add(6 * S::COUNT));
            high3.store(sums.add(7 * S::COUNT));
        }
    }
}

/// What the instructions compute.
#[derive(Clone, Copy)]
struct I32x4([i32; 4]);

const PORTABLE: Kernel = Kernel::new(4, I32x4::COUNT, Format::Halves, tile_portable);

/// # Safety
///
/// As [`tile`].
unsafe fn tile_portable(
    strip: *const u32,
    rows: usize,
    panel: *const u32,
    words: usize,
    sums: *mut i32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        tile_of!(small_tile, I32x4, (strip, rows, panel, words, sums), [1 2 3 4]);
    }
}

impl Sums for I32x4 {
    const COUNT: usize = 4;
    type Words = [u32; 4];

    #[inline(always)]
    fn zero() -> Self {
        Self([0; 4])
    }

    #[inline(always)]
    unsafe fn load(words: *const u32) -> [u32; 4] {
        // SAFETY: the caller's promise.
        unsafe { words.cast::<[u32; 4]>().read() }
    }

    #[inline(always)]
    fn splat(word: u32) -> [u32; 4] {
        [word; 4]
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "the lower half of a word")]
    fn add_products(self, left: [u32; 4], right: [u32; 4]) -> Self {
        let mut sums = self.0;
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            for half in [0, 16] {
                let [left, right] =
                    [left, right].map(|word| i32::from(((word >> half) as u16).cast_signed()));
                *sum += left * right;
            }
        }
        Self(sums)
    }

    #[inline(always)]
    unsafe fn store(self, sums: *mut i32) {
        // SAFETY: the caller's promise.
        unsafe { sums.cast::<[i32; 4]>().write(self.0) }
    }
}
