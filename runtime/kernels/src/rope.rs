//! RoPE, rotary position embedding: the halves of queries or keys, rotated by an angle
//! for each token.
//!
//! **Invariant:** products and sums are rounded one by one, as in the ONNX operators that
//! are replaced: the results are the same to the bit.

use crate::gemm::MicroKernel;
use crate::heads::{HeadStrides, HeadView};
use crate::isa::Isa;
use crate::shape::{ShapeError, ensure};
use crate::simd::{Kernel, Simd};

/// `x · cos + concat(−x[half..], x[..half]) · sin` of each head, where cosines and sines
/// are `[tokens, width]`, to where `to` says in `output`.
///
/// # Errors
///
/// If the shapes do not fit, or the width is odd.
pub fn rope(
    isa: Isa,
    input: HeadView<'_>,
    cos: &[f32],
    sin: &[f32],
    to: HeadStrides,
    output: &mut [f32],
) -> Result<(), ShapeError> {
    let [heads, tokens, width] = input.shape();
    let length = tokens.checked_mul(width);
    let fits = [Some(cos.len()), Some(sin.len())] == [length; 2]
        && [to.heads, to.tokens, to.width] == [heads, tokens, width]
        && width.is_multiple_of(2);
    ensure(fits, "RoPE", || {
        let (input, cos, sin) = (input.shape(), cos.len(), sin.len());
        format!("{input:?} by {cos} cosines and {sin} sines to {to:?}")
    })?;
    to.check("RoPE", output.len())?;
    if width > 0 {
        isa.run(Heads {
            input,
            cos,
            sin,
            to,
            output,
        });
    }
    Ok(())
}

struct Heads<'a> {
    input: HeadView<'a>,
    cos: &'a [f32],
    sin: &'a [f32],
    to: HeadStrides,
    output: &'a mut [f32],
}

impl Kernel for Heads<'_> {
    type Output = ();

    /// Token by token: where they come from, its heads are side by side. Head by head,
    /// ModernBERT-base takes a third longer here, and attention that rotated its heads
    /// itself would take half as long again (`examples/profile`, 128 and 512 tokens).
    #[inline(always)]
    fn run<V: MicroKernel>(self, token: V::Token) {
        let [heads, _, width] = self.input.shape();
        let cos = self.cos.chunks_exact(width);
        for (position, (cos, sin)) in cos.zip(self.sin.chunks_exact(width)).enumerate() {
            for head in 0..heads {
                let start = self.to.start(head, position);
                let output = &mut self.output[start..][..width];
                rotate::<V>(token, self.input.row(head, position), cos, sin, output);
            }
        }
    }
}

#[inline(always)]
fn rotate<V: Simd>(token: V::Token, row: &[f32], cos: &[f32], sin: &[f32], output: &mut [f32]) {
    let half = row.len() / 2;
    let (first, second) = row.split_at(half);
    let (first_cos, second_cos) = cos.split_at(half);
    let (first_sin, second_sin) = sin.split_at(half);
    let (first_output, second_output) = output.split_at_mut(half);
    for at in (0..half).step_by(V::LANES) {
        let x = V::load_partial(token, &first[at..]);
        let y = V::load_partial(token, &second[at..]);
        let rotated = x.mul(V::load_partial(token, &first_cos[at..]));
        let rotated = rotated.sub(y.mul(V::load_partial(token, &first_sin[at..])));
        rotated.store_partial(&mut first_output[at..]);
        let rotated = y.mul(V::load_partial(token, &second_cos[at..]));
        let rotated = rotated.add(x.mul(V::load_partial(token, &second_sin[at..])));
        rotated.store_partial(&mut second_output[at..]);
    }
}
