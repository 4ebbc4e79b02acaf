//! Kernels: everything that takes an encoder's time, over slices. No graph, no file, no
//! threads of its own; of what is shipped, the only crate with intrinsics.
//!
//! Each function takes an [`Isa`], which is proof that the processor has the
//! instructions, slices in, a slice out, and refuses what does not fit with a
//! [`ShapeError`]. Those whose work is split take a [`Parallel`], which whoever owns the
//! threads implements.
//!
//! **Invariant:** a row's result depends neither on the rows beside it nor on how work
//! is split. So a text's result depends on no other text and on no number of cores.
//!
//! # Glossary
//!
//! - *GEMM*: `C = A · B`. A `[rows, depth]` is computed, B `[depth, columns]` constant.
//! - *micro-kernel*: a strip of at most MR rows of A times NR columns of B, its MR × NR sums all
//!   in registers.
//! - *packed panel*: some columns of B, depth outside, so that the micro-kernel reads one
//!   stream. *Strip*: the same of some rows of A.
//! - *epilogue*: what is computed of C while it is in a cache: bias, activation.
//! - *residual*: what a layer's input adds to its output, here before LayerNorm.
//! - *GELU*, *GeGLU*: `x · Φ(x)` with the normal distribution's Φ; `gelu(a) · b`.
//! - *softmax denominator*: the sum of `exp(score − max)`; attention divides by it last.
//! - *RoPE*: rotary position embedding.
//! - *disentangled attention*: DeBERTa's scores by content and relative position (c2p,
//!   p2c).
//! - *head strides*: where a tensor has the vector of each token in each head.
//! - *symmetric quantisation*: a value is `scale × q`, −127 ≤ q ≤ 127; with a *zero point*,
//!   `scale × (q − zero point)`, it is asymmetric.
//! - *block-quantised*: with a scale for each group of values along the depth (block size).
//! - *ULP*: the distance to the next float.

mod activation;
mod aligned;
mod attention;
mod dequantise;
mod disentangled;
mod encoding;
mod geglu;
mod gemm;
mod heads;
mod isa;
mod layer_norm;
mod parallel;
mod quantise;
mod rope;
mod shape;
mod simd;
mod softmax;
#[cfg(test)]
mod tests;

pub use activation::Activation;
pub use aligned::PANEL_ALIGNMENT;
pub use attention::{Attention, Bias, Undefined, Window, attention};
pub use dequantise::{Quantised, dequantise};
pub use disentangled::{DisentangledBias, PositionIndices, disentangled_bias};
pub use encoding::{GroupLen, INT4_ZERO, INT8_MAX, NoSuchEncoding, PANEL, WeightsEncoding};
pub use geglu::{GeGlu, geglu};
pub use gemm::PackedB;
pub use gemm::encoded::EncodedB;
pub use gemm::int8::{DEPTH_MAX as INT8_DEPTH_MAX, Int8Matrix};
pub use gemm::linear::{BLOCK_ROWS, Epilogue, LinearLayer, Weights, linear};
#[cfg(target_family = "wasm")]
pub use gemm::micro_kernel::portable::{TileKernel, use_tile_kernel};
pub use gemm::pack::{Order, PackedMatrix};
pub use heads::{HeadStrides, HeadView};
pub use isa::{ISA_VARIABLE, Isa, NoSuchIsa};
pub use layer_norm::{LayerNorm, layer_norm};
pub use parallel::{Parallel, Sequential};
pub use quantise::Steps;
pub use rope::rope;
pub use shape::ShapeError;
