//! The bias of disentangled attention.

use super::{Numbers, Threads, U, assert_close, for_each};
use crate::{
    DisentangledBias, HeadStrides, HeadView, Isa, Order, PackedMatrix, PositionIndices,
    disentangled_bias,
};

/// `(width + 1) · u · scale · Σ |row · position|`, of a product and its scale.
#[test]
fn scores_are_those_of_the_positions_that_are_taken() {
    let lengths = (1..4usize, 1..30usize, 1..12usize, 1..90usize, 1..30usize);
    let flags = (proptest::bool::ANY, proptest::bool::ANY);
    for_each(&(lengths, flags, 0..u64::MAX), |(lengths, flags, seed)| {
        let (heads, tokens, width, positions, columns) = lengths;
        let (transposed, of_each_head) = flags;
        let mut numbers = Numbers::of(seed);
        let rows = numbers.vec(tokens * heads * width);
        let table = numbers.vec(heads * width * positions);
        let index_heads = if of_each_head { heads } else { 1 };
        // Some count from the end.
        let length = i64::try_from(positions).unwrap();
        let indices: Vec<i64> = (0..index_heads * tokens * columns)
            .map(|_| numbers.integer() % (2 * length) - length)
            .collect();
        let strides = HeadStrides {
            heads,
            tokens,
            width,
            offset: 0,
            head_stride: width,
            token_stride: heads * width,
        };
        for isa in Isa::all() {
            let of_table = (heads * width, positions);
            let packed = PackedMatrix::new(isa, &table, of_table, Order::Rows).unwrap();
            let shape = [index_heads, tokens, columns];
            let operands = DisentangledBias {
                rows: HeadView::new(&rows, strides).unwrap(),
                table: packed.as_b(),
                indices: &PositionIndices::new(&indices, shape, positions).unwrap(),
                scale: 0.125,
                transposed,
            };
            let mut output = vec![f32::NAN; heads * tokens * columns];
            disentangled_bias(isa, &Threads(1), &operands, &mut output).unwrap();
            let mut same = vec![f32::NAN; output.len()];
            disentangled_bias(isa, &Threads(3), &operands, &mut same).unwrap();
            assert_eq!(output, same, "{isa:?}");
            for (place, value) in output.iter().enumerate() {
                let (head, place) = (place / (tokens * columns), place % (tokens * columns));
                let (token, column) = match transposed {
                    true => (place % tokens, place / tokens),
                    false => (place / columns, place % columns),
                };
                let index_head = if of_each_head { head } else { 0 };
                let index = indices[(index_head * tokens + token) * columns + column];
                let position = usize::try_from(index.rem_euclid(length)).unwrap();
                let terms = (0..width).map(|at| {
                    let row = f64::from(rows[(token * heads + head) * width + at]);
                    row * f64::from(table[(head * width + at) * positions + position])
                });
                let exact = 0.125 * terms.clone().sum::<f64>();
                let magnitude = 0.125 * terms.map(f64::abs).sum::<f64>();
                let bound = 1.01 * (width as f64 + 1.0) * U * magnitude;
                assert_close(&|| format!("{isa:?} {lengths:?}"), *value, exact, bound);
            }
        }
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    let isa = Isa::in_use();
    let table = PackedMatrix::new(isa, &[0.0; 24], (6, 4), Order::Rows).unwrap();
    for index in [4, -5, i64::MAX, i64::MIN] {
        let problem = PositionIndices::new(&[index], [1, 1, 1], 4).unwrap_err();
        assert!(problem.to_string().contains("of 4"), "{problem}");
    }
    assert!(PositionIndices::new(&[0; 5], [1, 2, 3], 4).is_err());
    let indices = |positions| PositionIndices::new(&[3, -4, 0, 1], [1, 2, 2], positions).unwrap();
    let rows = |tokens| HeadStrides {
        heads: 2,
        tokens,
        width: 3,
        offset: 0,
        head_stride: 3,
        token_stride: 6,
    };
    let of = |tokens, positions, output: usize| {
        let operands = DisentangledBias {
            rows: HeadView::new(&[0.0; 18], rows(tokens)).unwrap(),
            table: table.as_b(),
            indices: &indices(positions),
            scale: 1.0,
            transposed: false,
        };
        disentangled_bias(isa, &Threads(2), &operands, &mut vec![0.0; output])
    };
    assert!(of(2, 4, 8).is_ok());
    assert!(of(3, 4, 8).is_err() && of(2, 4, 7).is_err() && of(2, 5, 8).is_err());
}
