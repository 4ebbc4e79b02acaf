//! BGE-M3: `sparse_linear.pt` and `colbert_linear.pt`, which FlagEmbedding keeps beside the
//! encoder and sentence-transformers does not know.

use super::problem_of;
use super::weights::{DenseWeights, File};
use crate::error::BuildError;
use crate::folder::findings::Findings;
use crate::folder::tokenizer::Resolved;
use encoderfile::manifest::DenseFunction;
use std::path::Path;

/// The layer of tokens' weights, and that of their vectors.
pub(crate) const FILES: [&str; 2] = ["sparse_linear.pt", "colbert_linear.pt"];

/// The special tokens that FlagEmbedding gives no weight.
const UNWEIGHTED: [&str; 4] = ["cls_token", "eos_token", "pad_token", "unk_token"];

/// Linear layers on the token vectors.
#[derive(Clone, Debug)]
pub struct HybridWeights {
    /// The weight of a token.
    pub sparse: DenseWeights,
    /// The vector of a token.
    pub colbert: DenseWeights,
    /// Token ids in ascending order that have no weight.
    pub unweighted: Vec<u32>,
}

impl HybridWeights {
    /// `None` where there is neither file.
    pub(in crate::folder) fn read(
        folder: &Path,
        tokenizer: &Resolved,
        findings: &mut Findings,
    ) -> Result<Option<Self>, BuildError> {
        let [sparse, colbert] = FILES.map(|name| folder.join(name));
        if !sparse.is_file() && !colbert.is_file() {
            return Ok(None);
        }
        let sparse_weights = layer(&sparse, DenseFunction::Relu)?;
        if sparse_weights.out_features != 1 {
            return Err(problem_of(&sparse, "gives more than one value a token"));
        }
        let colbert_weights = layer(&colbert, DenseFunction::Identity)?;
        let ids = UNWEIGHTED
            .iter()
            .filter_map(|key| tokenizer.special_id(key));
        let mut unweighted: Vec<u32> = ids.collect();
        unweighted.sort_unstable();
        unweighted.dedup();
        let names = UNWEIGHTED.join(", ");
        let meaning = format!("the largest weight of each token in the text, without {names}");
        findings.note("sparse", meaning, FILES[0]);
        let width = colbert_weights.out_features;
        let meaning =
            format!("{width} values for each token but the first, divided by the L2 norm");
        findings.note("colbert", meaning, FILES[1]);
        Ok(Some(Self {
            sparse: sparse_weights,
            colbert: colbert_weights,
            unweighted,
        }))
    }
}

/// A state dict of torch's `Linear`.
fn layer(path: &Path, function: DenseFunction) -> Result<DenseWeights, BuildError> {
    let file = File::open(path)?;
    let shape = file.shape("weight")?;
    let [out_features, in_features] = *shape else {
        return Err(problem_of(path, "`weight` is no matrix"));
    };
    Ok(DenseWeights {
        in_features,
        out_features,
        weight: file.get("weight", &shape)?,
        bias: Some(file.get("bias", &[out_features])?),
        function,
        residual: None,
    })
}
