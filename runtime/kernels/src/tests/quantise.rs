//! Quantisation.

#![allow(
    clippy::cast_possible_truncation,
    reason = "rounded, and within the range"
)]

use super::{Numbers, for_each};
use crate::Steps;

const BYTE: (f32, f32) = (0.0, 255.0);

#[test]
fn values_are_the_nearest_steps() {
    let shapes = (0..5usize, 1..9usize, 1..9usize, 0..u64::MAX);
    for_each(&shapes, |(rounds, pairs, inner, seed)| {
        let mut numbers = Numbers::of(seed);
        let values: Vec<f32> = numbers.vec(rounds * pairs * inner);
        let parameters: Vec<(f32, f32)> = (0..pairs)
            .map(|pair| (0.001 + numbers.next().abs() / 64.0, 16.0 * pair as f32))
            .collect();
        let steps = Steps {
            parameters: &parameters,
            inner,
            range: BYTE,
        };
        let mut bytes = vec![0_u8; values.len()];
        steps
            .quantise(&values, |value| value as u8, &mut bytes)
            .unwrap();
        let mut rounded = vec![f32::NAN; values.len()];
        steps.round(&values, &mut rounded).unwrap();
        for (place, value) in values.iter().enumerate() {
            let (scale, zero) = parameters[place / inner % pairs];
            let nearest = (value / scale).round_ties_even() + zero;
            let nearest = nearest.clamp(BYTE.0, BYTE.1);
            assert_eq!(f32::from(bytes[place]), nearest, "at {place}");
            assert_eq!(rounded[place], (nearest - zero) * scale, "at {place}");
        }
        let mut long = vec![0.0; values.len() + 1];
        assert!(steps.round(&values, &mut long).is_err());
    });
}

#[test]
fn halves_go_to_even_and_ends_are_kept() {
    let steps = Steps {
        parameters: &[(2.0, 1.0)],
        inner: 1,
        range: (-128.0, 127.0),
    };
    let values = [1.0, 3.0, -1.0, -3.0, 5.0, 1e9, f32::NEG_INFINITY];
    let mut quantised = [0_i8; 7];
    let convert = |value| value as i8;
    steps.quantise(&values, convert, &mut quantised).unwrap();
    assert_eq!(quantised, [1, 3, 1, -1, 3, 127, -128]);
    let mut rounded = [0.0; 7];
    steps.round(&values, &mut rounded).unwrap();
    assert_eq!(rounded, [0.0, 4.0, 0.0, -4.0, 4.0, 252.0, -258.0]);
}

#[test]
fn no_scales_and_half_rounds_are_refused() {
    let refused = |parameters: &[(f32, f32)], inner| {
        let steps = Steps {
            parameters,
            inner,
            range: BYTE,
        };
        steps.round(&[1.0; 3], &mut [0.0; 3]).is_err()
    };
    assert!(refused(&[], 1));
    assert!(refused(&[(1.0, 0.0); 2], 1));
    assert!(refused(&[(1.0, 0.0)], 0));
}
