//! Dequantisation.

use super::{Numbers, U, assert_close, for_each};
use crate::{Quantised, dequantise};

/// To the bit what two roundings give: within `2 · u · |q − zero point| · |scale|`.
#[test]
fn values_are_the_exact_ones() {
    let shapes = (0..5usize, 1..9usize, 1..9usize, 0..u64::MAX);
    for_each(&shapes, |(rounds, pairs, inner, seed)| {
        let mut numbers = Numbers::of(seed);
        let bytes: Vec<u8> = (0..rounds * pairs * inner)
            .map(|_| numbers.integer().to_le_bytes()[0])
            .collect();
        let signed: Vec<i8> = bytes.iter().map(|byte| byte.cast_signed()).collect();
        let floats = numbers.vec(bytes.len());
        let parameters: Vec<(f32, f32)> = (0..pairs)
            .map(|pair| (numbers.next(), pair as f32 - 3.0))
            .collect();
        let of_bytes: Vec<f32> = bytes.iter().map(|value| f32::from(*value)).collect();
        let of_signed: Vec<f32> = signed.iter().map(|value| f32::from(*value)).collect();
        for (values, expected) in [
            (Quantised::U8(&bytes), &of_bytes),
            (Quantised::I8(&signed), &of_signed),
            (Quantised::F32(&floats), &floats),
        ] {
            let mut output = vec![f32::NAN; bytes.len()];
            dequantise(values, &parameters, inner, &mut output).unwrap();
            for (place, (output, value)) in output.iter().zip(expected).enumerate() {
                let (scale, zero) = parameters[place / inner % pairs];
                assert_eq!(output.to_bits(), ((value - zero) * scale).to_bits());
                let exact = (f64::from(*value) - f64::from(zero)) * f64::from(scale);
                let bound = 2.01 * U * exact.abs();
                assert_close(&|| format!("at {place}"), *output, exact, bound);
            }
            let mut short = vec![0.0; bytes.len() + 1];
            assert!(dequantise(values, &parameters, inner, &mut short).is_err());
        }
        let odd = Quantised::F32(&[1.0; 3]);
        assert!(dequantise(odd, &[(1.0, 0.0); 2], 1, &mut [0.0; 3]).is_err());
        assert!(dequantise(odd, &[], 1, &mut [0.0; 3]).is_err());
    });
}
