//! RoPE.

use super::{Numbers, U, assert_close, for_each};
use crate::{HeadStrides, HeadView, Isa, rope};

/// Heads inside tokens, or tokens inside heads.
fn strides([heads, tokens, width]: [usize; 3], heads_inside: bool) -> HeadStrides {
    let (head_stride, token_stride) = match heads_inside {
        true => (width, heads * width),
        false => (tokens * width, width),
    };
    HeadStrides {
        heads,
        tokens,
        width,
        offset: 0,
        head_stride,
        token_stride,
    }
}

/// To the bit what three roundings give: within `2 · u · (|x · cos| + |y · sin|)`.
#[test]
fn both_halves_are_rotated() {
    let shapes = (0..4usize, 0..6usize, 0..40usize, 0..u64::MAX);
    for_each(&shapes, |(heads, tokens, half, seed)| {
        let (mut numbers, width) = (Numbers::of(seed), 2 * half);
        let shape = [heads, tokens, width];
        let input = numbers.vec(heads * tokens * width);
        let (cos, sin) = (numbers.vec(tokens * width), numbers.vec(tokens * width));
        let (from, to) = (strides(shape, true), strides(shape, false));
        for isa in Isa::all() {
            let mut output = vec![f32::NAN; input.len()];
            let view = HeadView::new(&input, from).unwrap();
            rope(isa, view, &cos, &sin, to, &mut output).unwrap();
            for (at, value) in output.iter().enumerate() {
                let (head, token, place) = (at / (tokens * width), at / width % tokens, at % width);
                let row = &input[(token * heads + head) * width..][..width];
                let other = match place.checked_sub(half) {
                    Some(place) => row[place],
                    None => -row[place + half],
                };
                let angle = token * width + place;
                let expected = row[place] * cos[angle] + other * sin[angle];
                assert_eq!(*value, expected, "{isa:?}, {width}: {at}");
                let [x, y, cos, sin] = [row[place], other, cos[angle], sin[angle]].map(f64::from);
                let bound = 2.0 * U * ((x * cos).abs() + (y * sin).abs());
                assert_close(&|| format!("{isa:?}"), *value, x * cos + y * sin, bound);
            }
        }
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    let isa = Isa::in_use();
    let of = |shape, values: usize, angles: usize| {
        let strides = strides(shape, true);
        let values = vec![0.0; values];
        let view = HeadView::new(&values, strides)?;
        let angles = vec![0.0; angles];
        rope(
            isa,
            view,
            &angles,
            &angles,
            strides,
            &mut vec![0.0; values.len()],
        )
    };
    assert!(of([2, 3, 4], 24, 12).is_ok());
    assert!(of([2, 3, 4], 23, 12).is_err());
    assert!(of([2, 3, 4], 24, 11).is_err());
    assert!(of([2, 3, 3], 18, 9).is_err());
    let endless = HeadStrides {
        heads: usize::MAX,
        head_stride: usize::MAX,
        ..strides([1, 3, 6], true)
    };
    assert!(HeadView::new(&[0.0; 18], endless).is_err());
}
