//! float32 GEMM and its panels.

use super::{Numbers, Threads, U, assert_close, for_each, linear, rounds_products, up_to};
use crate::aligned::AlignedBuffer;
use crate::gemm::{Initial, Memory, MicroKernel, PackedB, Panels, Rows, RowsMut, Strip, Tile};
use crate::simd::Kernel;
use crate::{Activation, Epilogue, Isa, Order, PANEL_ALIGNMENT, PackedMatrix, Sequential, Weights};

/// The width of panels that are read as they are stored.
const STORED: usize = 16;

/// The panels of a file.
fn stored_panels(b: &[f32], (depth, columns): (usize, usize)) -> AlignedBuffer {
    let mut panels = AlignedBuffer::default();
    panels.resize(columns.next_multiple_of(STORED) * depth);
    for (place, value) in panels.iter_mut().enumerate() {
        let (panel, row) = (place / (STORED * depth), place / STORED % depth);
        let column = panel * STORED + place % STORED;
        *value = if column < columns {
            b[row * columns + column]
        } else {
            0.0
        };
    }
    panels
}

/// Panels in one go, or some of wider ones after the other, where an instruction set's are
/// not as wide.
fn packed(isa: Isa, b: &[f32], shape: (usize, usize), stored: bool) -> PackedMatrix {
    if !stored {
        return PackedMatrix::new(isa, b, shape, Order::Rows).unwrap();
    }
    let (depth, _) = shape;
    let panels = stored_panels(b, shape);
    let read = |first: usize, values: &mut [f32]| {
        values.copy_from_slice(&panels[first * STORED * depth..][..values.len()]);
        Ok::<_, ()>(())
    };
    PackedMatrix::read_panels(isa, shape, STORED, read).unwrap()
}

fn multiplied(isa: Isa, a: &[f32], b: &PackedMatrix, bias: &[f32], parts: usize) -> Vec<f32> {
    let b = Weights::F32(b.as_b());
    let mut padded = bias.to_vec();
    padded.resize(b.padded_columns(), 0.0);
    let rows = a.len().checked_div(b.depth()).unwrap_or(3);
    let mut c = vec![f32::NAN; rows * b.columns()];
    linear(isa, &Threads(parts), a, b, epilogue(&padded), &mut c).unwrap();
    c
}

/// `|c − exact| ≤ (depth + 1) · u · (Σ |a · b| + |bias|)`, to the second order.
#[test]
fn values_are_the_exact_ones() {
    let shapes = (up_to(30), up_to(70), up_to(80), 0..u64::MAX, 1..4usize);
    for_each(&shapes, |(rows, depth, columns, seed, parts)| {
        let mut numbers = Numbers::of(seed);
        let (a, b) = (numbers.vec(rows * depth), numbers.vec(depth * columns));
        let bias = numbers.vec(columns);
        for isa in Isa::all() {
            for stored in [false, true] {
                let packed = packed(isa, &b, (depth, columns), stored);
                let c = multiplied(isa, &a, &packed, &bias, parts);
                for (place, value) in c.iter().enumerate() {
                    let (row, column) = (place / columns, place % columns);
                    let terms = (0..depth).map(|k| {
                        let of_a = a.get(row * depth + k).copied().unwrap_or_default();
                        f64::from(of_a) * f64::from(b[k * columns + column])
                    });
                    let bias = f64::from(bias[column]);
                    let exact = terms.clone().sum::<f64>() + bias;
                    let magnitude = terms.map(f64::abs).sum::<f64>() + bias.abs();
                    let bound = 1.01 * (depth as f64 + 1.0) * U * magnitude;
                    let what = || format!("{isa:?} {rows} × {depth} × {columns} at {place}");
                    assert_close(&what, *value, exact, bound);
                }
            }
        }
    });
}

/// To the bit, where they are, also by a micro-kernel that is half as wide.
#[test]
fn stored_panels_are_multiplied_by_where_they_are() {
    assert!(Isa::all().iter().all(|isa| isa.reads_panels_of(STORED)));
    let check = |rows: usize, shape: (usize, usize), seed: u64| {
        let (depth, columns) = shape;
        let mut numbers = Numbers::of(seed);
        let (a, b) = (numbers.vec(rows * depth), numbers.vec(depth * columns));
        let bias = numbers.vec(columns.next_multiple_of(STORED));
        let panels = stored_panels(&b, shape);
        let stored = Weights::F32(PackedB::new(&panels, shape, STORED).unwrap());
        for isa in Isa::all() {
            let mut c = vec![f32::NAN; rows * columns];
            linear(isa, &Threads(2), &a, stored, epilogue(&bias), &mut c).unwrap();
            let packed = packed(isa, &b, shape, false);
            let expected = multiplied(isa, &a, &packed, &bias[..columns], 1);
            let is_same = c
                .iter()
                .zip(&expected)
                .all(|(c, e)| c.to_bits() == e.to_bits());
            assert!(is_same, "{isa:?} {rows} × {depth} × {columns}");
        }
    };
    let shapes = (1..30usize, 1..70usize, 1..80usize, 0..u64::MAX);
    for_each(&shapes, |(rows, depth, columns, seed)| {
        check(rows, (depth, columns), seed);
    });
    if !cfg!(miri) {
        // Several blocks of the depth.
        check(13, (1200, 70), 1);
    }
}

/// To the bit, with rows that are part of wider ones in A and in C.
#[test]
fn every_value_is_one_sum_in_order() {
    let shapes = (1..27usize, 1..40usize, 1..70usize, 0..5usize, 0..u64::MAX);
    for_each(&shapes, |(rows, depth, columns, gap, seed)| {
        check_sums([rows, depth, columns], gap, seed);
    });
    if !cfg!(miri) {
        // Several blocks of the depth, of whole and of narrow tiles.
        check_sums([13, 509, 33], 3, 1);
        check_sums([27, 1200, 70], 0, 2);
    }
}

fn check_sums([rows, depth, columns]: [usize; 3], gap: usize, seed: u64) {
    let mut numbers = Numbers::of(seed);
    let (a_stride, c_stride) = (depth + gap, columns + gap);
    let (a, b) = (numbers.vec(rows * a_stride), numbers.vec(depth * columns));
    let transposed: Vec<f32> = (0..columns * depth)
        .map(|place| b[place % depth * columns + place / depth])
        .collect();
    for isa in Isa::all() {
        let packed = PackedMatrix::new(isa, &b, (depth, columns), Order::Rows).unwrap();
        let other = PackedMatrix::new(isa, &transposed, (depth, columns), Order::Columns);
        let mut c = vec![f32::NAN; rows * c_stride];
        isa.run(Strided {
            a: Rows {
                values: &a,
                stride: a_stride,
                width: depth,
                count: rows,
            },
            b: other.unwrap().as_b(),
            c: RowsMut {
                values: &mut c,
                stride: c_stride,
                width: columns,
            },
        });
        let mut same = vec![f32::NAN; rows * c_stride];
        isa.run(Strided {
            a: Rows {
                values: &a,
                stride: a_stride,
                width: depth,
                count: rows,
            },
            b: packed.as_b(),
            c: RowsMut {
                values: &mut same,
                stride: c_stride,
                width: columns,
            },
        });
        for (row, c) in c.chunks(c_stride).enumerate() {
            for (column, value) in c[..columns].iter().enumerate() {
                let terms = (0..depth).map(|k| (a[row * a_stride + k], b[k * columns + column]));
                let expected = terms.fold(0.0f32, |sum, (a, b)| match rounds_products(isa) {
                    true => sum + a * b,
                    false => a.mul_add(b, sum),
                });
                let place = format!("{isa:?}: row {row}, column {column}");
                assert_eq!(value.to_bits(), expected.to_bits(), "{place}");
                assert_eq!(same[row * c_stride + column].to_bits(), value.to_bits());
            }
            let beyond = &c[columns..];
            assert!(beyond.iter().all(|value| value.is_nan()), "{isa:?}");
        }
    }
}

/// A product without an epilogue.
struct Strided<'a> {
    a: Rows<'a>,
    b: PackedB<'a>,
    c: RowsMut<'a>,
}

impl Kernel for Strided<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: MicroKernel>(mut self, token: V::Token) {
        let mut memory = Memory::default();
        crate::gemm::gemm::<V>(token, self.a, self.b, None, &mut memory, &mut self.c);
    }
}

/// Neither on the rows beside it, nor on how many parts there are, nor on NaN there.
#[test]
fn a_row_depends_on_itself_alone() {
    let shapes = (1..40usize, 1..20usize, 1..40usize, 0..u64::MAX);
    for_each(&shapes, |(rows, depth, columns, seed)| {
        let mut numbers = Numbers::of(seed);
        let (mut a, b) = (numbers.vec(rows * depth), numbers.vec(depth * columns));
        let bias = numbers.vec(columns);
        // One that nothing comes of.
        let (lost, value) = (rows / 2, [f32::NAN, f32::INFINITY][rows % 2]);
        a[lost * depth] = value;
        for isa in Isa::all() {
            let b = packed(isa, &b, (depth, columns), true);
            let all = multiplied(isa, &a, &b, &bias, 1);
            for parts in [2, 3] {
                let same = multiplied(isa, &a, &b, &bias, parts);
                assert!(
                    all.iter()
                        .zip(&same)
                        .all(|(a, b)| a.to_bits() == b.to_bits())
                );
            }
            for (row, a) in a.chunks(depth).enumerate() {
                let alone = multiplied(isa, a, &b, &bias, 1);
                let together = &all[row * columns..][..columns];
                if row == lost {
                    assert!(together.iter().all(|value| !value.is_finite()), "{isa:?}");
                } else {
                    assert_eq!(alone, together, "{isa:?}: row {row}");
                }
            }
        }
    });
}

fn epilogue(bias: &[f32]) -> Epilogue<'_> {
    Epilogue {
        bias,
        activation: Activation::None,
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let buffer = AlignedBuffer::<f32>::zeros(5 * 48);
    assert!(PackedB::new(&buffer, (5, 33), STORED).is_ok());
    for (values, shape, width) in [
        (&buffer[..5 * 32], (5, 33), STORED),
        (&buffer[..], (6, 33), STORED),
        (&buffer[..], (usize::MAX, 33), STORED),
        (&buffer[..], (5, usize::MAX), STORED),
        (&buffer[..], (5, 33), 0),
        (&buffer[1..161], (5, 32), STORED),
    ] {
        let problem = PackedB::new(values, shape, width).unwrap_err().to_string();
        assert!(problem.starts_with("gemm: "), "{problem}");
    }
    for isa in Isa::all() {
        assert!(PackedMatrix::new(isa, &[0.0; 7], (2, 3), Order::Rows).is_err());
        assert!(PackedMatrix::new(isa, &[], (usize::MAX, 3), Order::Rows).is_err());
        assert!(PANEL_ALIGNMENT.is_multiple_of(4 * isa.panel_width()));
        let b = PackedMatrix::new(isa, &[1.0; 6], (2, 3), Order::Rows).unwrap();
        let width = isa.panel_width();
        let bias = vec![0.0; width];
        let run = |a: &[f32], bias: &[f32], c: &mut [f32]| {
            linear(
                isa,
                &Sequential,
                a,
                Weights::F32(b.as_b()),
                epilogue(bias),
                c,
            )
        };
        assert!(run(&[1.0; 2], &bias, &mut [0.0; 3]).is_ok());
        assert!(run(&[1.0; 3], &bias, &mut [0.0; 3]).is_err());
        assert!(run(&[1.0; 2], &bias[1..], &mut [0.0; 3]).is_err());
        assert!(run(&[1.0; 2], &bias, &mut [0.0; 4]).is_err());
        assert!(run(&[1.0; 4], &bias, &mut [0.0; 3]).is_err());
        // Half a vector wide.
        let narrow = PackedB::new(&buffer[..2 * width / 4], (2, width / 4), width / 4).unwrap();
        let bias = vec![0.0; width / 4];
        let mut c = vec![0.0; width / 4];
        let (narrow, bias) = (Weights::F32(narrow), epilogue(&bias));
        assert!(linear(isa, &Sequential, &[1.0; 2], narrow, bias, &mut c).is_err());
    }
}

/// A strip and panels of two depths, and a tile that has not its rows.
#[test]
fn micro_kernels_refuse_what_does_not_fit() {
    struct Run {
        strip: usize,
        panel: usize,
        tile: usize,
    }
    impl Kernel for Run {
        type Output = bool;

        fn run<V: MicroKernel>(self, token: V::Token) -> bool {
            let values = vec![1.0; 100 * V::NR];
            let mut sums = vec![0.0; self.tile * V::NR];
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let strip = Strip {
                    values: &values[..self.strip * 4],
                    rows: 4,
                };
                let panels = Panels::last([&values[..self.panel * V::PANEL]; 2]);
                let mut tile = Tile {
                    values: &mut sums,
                    stride: V::NR,
                    initial: Initial::ZEROS,
                };
                V::micro_kernel(token, strip, panels, &mut tile);
            }))
            .is_ok()
                && sums.iter().all(|sum| *sum == self.strip as f32)
        }
    }
    for isa in Isa::all() {
        let run = |strip, panel, tile| isa.run(Run { strip, panel, tile });
        assert!(run(3, 3, 4), "{isa:?}");
        assert!(!run(3, 4, 4) && !run(4, 3, 4), "{isa:?}");
        assert!(!run(3, 3, 3), "{isa:?}");
    }
}
