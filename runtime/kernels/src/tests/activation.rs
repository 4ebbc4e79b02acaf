//! GELU and GeGLU.

use super::{Numbers, U, assert_close, for_each};
use crate::gemm::MicroKernel;
use crate::simd::Kernel;
use crate::{Activation, GeGlu, Isa, geglu};

struct Gelu<'a>(&'a mut [f32]);

impl Kernel for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: MicroKernel>(self, token: V::Token) {
        Activation::Gelu.apply::<V>(token, self.0);
    }
}

fn exact_gelu(x: f32) -> f64 {
    let x = f64::from(x);
    x / 2.0 * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2))
}

/// 1e-6 · |x|: the fit of erf is off by 3e-7, half of which counts, and each power of
/// its denominator doubles what was rounded before.
fn gelu_bound(x: f32) -> f64 {
    f64::from(x.abs()) * (1.5e-7 + 14.0 * U)
}

#[test]
fn gelu_is_the_exact_one() {
    let steps: i16 = if cfg!(miri) { 20 } else { 20_000 };
    for isa in Isa::all() {
        let xs: Vec<f32> = (-steps..=steps)
            .map(|step| f32::from(step) / f32::from(steps) * 12.0)
            .chain([0.0, -0.0, 1e-30, -1e-30, 1e30, f32::MAX])
            .collect();
        let mut values = xs.clone();
        isa.run(Gelu(&mut values));
        for (x, value) in xs.iter().zip(&values) {
            let what = || format!("{isa:?}: gelu({x})");
            assert_close(&what, *value, exact_gelu(*x), gelu_bound(*x));
            // Whatever is beside it in a vector.
            let mut alone = [*x];
            isa.run(Gelu(&mut alone));
            assert_eq!(alone[0].to_bits(), value.to_bits(), "{}", what());
        }
        let mut special = [f32::NAN, f32::INFINITY];
        isa.run(Gelu(&mut special));
        assert!(
            special[0].is_nan() && special[1] == f32::INFINITY,
            "{isa:?}"
        );
    }
}

#[test]
fn geglu_is_the_exact_one_of_each_row() {
    let shapes = (0..7usize, 0..40usize, 0..3usize, 0..3usize, 0..u64::MAX);
    for_each(&shapes, |(rows, part, before, between, seed)| {
        let first = before..before + part;
        let second = first.end + between..first.end + between + part;
        let width = second.end;
        let input = Numbers::of(seed).vec(rows * width);
        for (activated, factor) in [(&first, &second), (&second, &first)] {
            let layout = GeGlu {
                width,
                activated: activated.clone(),
                factor: factor.clone(),
            };
            for isa in Isa::all() {
                let mut output = vec![f32::NAN; rows * part];
                geglu(isa, &layout, &input, &mut output).unwrap();
                for (place, value) in output.iter().enumerate() {
                    let row = &input[place / part * width..][..width];
                    let x = row[activated.start + place % part];
                    let y = f64::from(row[factor.start + place % part]);
                    let exact = exact_gelu(x) * y;
                    let bound = gelu_bound(x) * y.abs() + U * exact.abs();
                    assert_close(&|| format!("{isa:?}: {layout:?}"), *value, exact, bound);
                }
            }
        }
    });
}

#[test]
fn parts_beyond_a_row_are_refused() {
    let isa = Isa::in_use();
    let layout = |width, activated, factor| GeGlu {
        width,
        activated,
        factor,
    };
    let run = |layout, output: usize| geglu(isa, &layout, &[1.0; 8], &mut vec![0.0; output]);
    assert!(run(layout(4, 0..2, 2..4), 4).is_ok());
    assert!(run(layout(4, 0..2, 3..5), 4).is_err());
    assert!(run(layout(4, 0..2, 2..3), 4).is_err());
    assert!(run(layout(4, 0..2, 2..4), 3).is_err());
    assert!(run(layout(3, 0..1, 1..2), 2).is_err());
}
