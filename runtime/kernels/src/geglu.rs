//! GeGLU: `gelu(a) · b`, of two parts of each row.
//!
//! **Invariant:** a row's result depends on that row alone.

use crate::activation::Activation;
use crate::gemm::MicroKernel;
use crate::isa::Isa;
use crate::shape::{ShapeError, ensure};
use crate::simd::{self, Kernel};
use std::ops::Range;

/// Which values of a row are what. Both parts are as long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeGlu {
    /// How many values a row has.
    pub width: usize,
    /// What GELU is computed of.
    pub activated: Range<usize>,
    /// What it is multiplied by.
    pub factor: Range<usize>,
}

/// `gelu(row[activated]) · row[factor]` of each row: `[rows, width]` →
/// `[rows, activated.len()]`.
///
/// # Errors
///
/// If the shapes do not fit.
pub fn geglu(
    isa: Isa,
    layout: &GeGlu,
    input: &[f32],
    output: &mut [f32],
) -> Result<(), ShapeError> {
    let GeGlu {
        width,
        activated,
        factor,
    } = layout;
    let part = activated.len();
    let are_parts = part == factor.len() && activated.end.max(factor.end) <= *width;
    let rows = input.len().checked_div(*width).unwrap_or(0);
    let fits = are_parts && rows * width == input.len() && rows * part == output.len();
    ensure(fits, "GeGLU", || {
        let (input, output) = (input.len(), output.len());
        format!("{layout:?} of {input} values into {output}")
    })?;
    if part > 0 {
        isa.run(Rows {
            layout,
            input,
            output,
        });
    }
    Ok(())
}

struct Rows<'a> {
    layout: &'a GeGlu,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: MicroKernel>(self, token: V::Token) {
        let GeGlu {
            width,
            activated,
            factor,
        } = self.layout;
        let outputs = self.output.chunks_exact_mut(activated.len());
        for (row, output) in self.input.chunks_exact(*width).zip(outputs) {
            output.copy_from_slice(&row[activated.clone()]);
            Activation::Gelu.apply::<V>(token, output);
            simd::multiply::<V>(token, output, &row[factor.clone()]);
        }
    }
}
