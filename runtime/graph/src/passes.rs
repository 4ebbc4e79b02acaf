//! Passes over a model: what they recognise becomes one operator of `ops`, which does
//! several of tract's in one pass over the data.
//!
//! **Invariant:** whatever is not recognised runs as tract computes it.

mod attention;
pub(crate) mod attention_mask;
pub(crate) mod declutter;
mod disentangled;
mod einsum_axes;
mod geglu;
pub(crate) mod indices;
mod layer_norm;
mod linear;
mod pattern;
mod quantisation;
mod rope;
#[cfg(test)]
mod tests;
mod window;

use crate::ops::{Backend, stored_tensor};
use tract_core::internal::*;

/// Replaces what is recognised in a simplified model.
pub(crate) fn fuse(model: &mut TypedModel, backend: &Backend) -> TractResult<()> {
    let mut cache = linear::WeightCache::new(backend);
    for id in 0..model.nodes.len() {
        if let Some(matched) = linear::Match::at(model, id)? {
            matched.replace(model, &mut cache)?;
        }
    }
    for id in 0..model.nodes.len() {
        if let Some(smoothing) = linear::SmoothingMatch::of(model, id) {
            smoothing.replace(model)?;
        }
    }
    for id in 0..model.nodes.len() {
        if let Some(epilogue) = linear::EpilogueMatch::of(model, id) {
            epilogue.replace(model)?;
        } else if let Some(matched) = layer_norm::Match::at(model, id, backend.isa) {
            matched.replace(model)?;
        } else if let Some(residual) = layer_norm::ResidualMatch::of(model, id) {
            residual.replace(model)?;
        } else if let Some(matched) = disentangled::Match::at(model, id, backend)? {
            matched.replace(model)?;
        } else if let Some(matched) = attention::Match::at(model, id, backend)? {
            matched.replace(model)?;
        } else if let Some(matched) = rope::Match::at(model, id, backend.isa)? {
            matched.replace(model)?;
        } else if let Some(matched) = geglu::Match::at(model, id, backend.isa) {
            matched.replace(model)?;
        } else if let Some(matched) = quantisation::Match::at(model, id) {
            matched.replace(model)?;
        }
    }
    // Last, since attention is matched by how heads are cut.
    for id in 0..model.nodes.len() {
        if let Some(reshaped) = linear::FoldedReshape::of(model, id) {
            reshaped.replace(model)?;
        }
    }
    for id in 0..model.nodes.len() {
        if let Some(group) = linear::GroupMatch::of(model, id) {
            group.replace(model)?;
        }
    }
    model.compact()?;
    stored_tensor::read_all(model)
}
