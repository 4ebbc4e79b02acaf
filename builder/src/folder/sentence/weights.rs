//! The modules that have weights of their own: Dense and `LayerNorm`.

use super::{Listed, read_config, refuse_other_vectors, unsigned};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::error::BuildError;
use crate::folder::findings::Findings;
use encoderfile::manifest::{DenseFunction, Residual};
use serde_json::Value;
use std::path::Path;

/// torch's default; the module has no key for it.
const LAYER_NORM_EPSILON: f32 = 1e-5;

/// A step after pooling, with its weights as float32.
#[derive(Clone, Debug)]
pub enum ModuleWeights {
    /// A matrix, perhaps a bias, and a function.
    Dense(DenseWeights),
    /// Mean 0 and variance 1, then scale and shift.
    LayerNorm {
        /// `[width]`.
        weight: Vec<f32>,
        /// `[width]`.
        bias: Vec<f32>,
        /// Added to the variance.
        epsilon: f32,
    },
    /// Divided by the L2 norm.
    L2Norm,
}

/// A linear layer and what follows it.
#[derive(Clone, Debug)]
pub struct DenseWeights {
    /// Columns of the matrix.
    pub in_features: u32,
    /// Rows of the matrix.
    pub out_features: u32,
    /// `[out_features, in_features]`.
    pub weight: Vec<f32>,
    /// `[out_features]`.
    pub bias: Option<Vec<f32>>,
    /// What is applied to the sum.
    pub function: DenseFunction,
    /// What is added at the end.
    pub residual: Option<Residual<Vec<f32>>>,
}

/// torch's names of the functions.
const FUNCTIONS: [(&str, DenseFunction); 6] = [
    ("Identity", DenseFunction::Identity),
    ("Tanh", DenseFunction::Tanh),
    ("ReLU", DenseFunction::Relu),
    ("GELU", DenseFunction::Gelu),
    ("Sigmoid", DenseFunction::Sigmoid),
    ("SiLU", DenseFunction::Silu),
];

/// The module, and how many logits it gives where it is a cross-encoder's last. What it
/// takes and gives may have one of these names.
pub(super) fn dense(
    folder: &Path,
    listed: &Listed<'_>,
    vectors: &[&str],
    findings: &mut Findings,
) -> Result<(ModuleWeights, Option<u32>), BuildError> {
    let path = folder.join(listed.file("config.json"));
    let known = [
        "in_features",
        "out_features",
        "bias",
        "activation_function",
        "module_input_name",
        "module_output_name",
        "use_residual",
    ];
    let config = read_config(&path, &known)?;
    let gives_scores = config["module_output_name"] == "scores";
    let mut names = config.clone();
    if gives_scores {
        names["module_output_name"] = Value::Null;
    }
    refuse_other_vectors(&path, &names, vectors)?;
    let in_features = unsigned(&config["in_features"], &path, "in_features")?;
    let out_features = unsigned(&config["out_features"], &path, "out_features")?;
    let (name, function) = function(&path, &config["activation_function"])?;
    let tensors = File::read(folder, listed)?;
    let weight = tensors.get("linear.weight", &[out_features, in_features])?;
    let bias = match &config["bias"] {
        Value::Bool(false) => None,
        Value::Null | Value::Bool(true) => Some(tensors.get("linear.bias", &[out_features])?),
        other => return Err(BuildError::key(&path, "bias", other)),
    };
    let residual = match &config["use_residual"] {
        Value::Null | Value::Bool(false) => None,
        Value::Bool(true) if in_features == out_features => Some(Residual::Identity),
        Value::Bool(true) => {
            let weight = tensors.get("residual.weight", &[out_features, in_features])?;
            Some(Residual::Projected(weight))
        }
        other => return Err(BuildError::key(&path, "use_residual", other)),
    };
    let added = match residual {
        None => "",
        Some(Residual::Identity) => ", and what it was given added",
        Some(Residual::Projected(_)) => ", and what it was given added by a matrix of its own",
    };
    let meaning = format!("{in_features} to {out_features} values, then {name}{added}");
    findings.note("dense", meaning, listed.file("config.json"));
    let module = ModuleWeights::Dense(DenseWeights {
        in_features,
        out_features,
        weight,
        bias,
        function,
        residual,
    });
    Ok((module, gives_scores.then_some(out_features)))
}

/// sentence-transformers trusts only torch's own functions; Tanh is its default.
fn function(path: &Path, value: &Value) -> Result<(&'static str, DenseFunction), BuildError> {
    let name = match value {
        Value::Null => "Tanh",
        Value::String(full) if full.starts_with("torch.nn.") => {
            full.rsplit('.').next().unwrap_or_default()
        }
        _ => "",
    };
    let known = FUNCTIONS.iter().find(|(known, _)| *known == name);
    let known = known.ok_or_else(|| BuildError::key(path, "activation_function", value));
    known.copied()
}

pub(super) fn layer_norm(
    folder: &Path,
    listed: &Listed<'_>,
    findings: &mut Findings,
) -> Result<ModuleWeights, BuildError> {
    let path = folder.join(listed.file("config.json"));
    let config = read_config(&path, &["dimension"])?;
    let dimension = unsigned(&config["dimension"], &path, "dimension")?;
    let tensors = File::read(folder, listed)?;
    let meaning = format!("mean 0 and variance 1 over {dimension} values, scaled and shifted");
    findings.note("layer norm", meaning, listed.file("config.json"));
    Ok(ModuleWeights::LayerNorm {
        weight: tensors.get("norm.weight", &[dimension])?,
        bias: tensors.get("norm.bias", &[dimension])?,
        epsilon: LAYER_NORM_EPSILON,
    })
}

/// A module's own checkpoint, of which no more is read than what is asked for: that of
/// Stanford's `ColBERT` has the whole encoder beside one small matrix.
pub(super) struct File {
    checkpoint: Checkpoint,
}

impl File {
    pub(super) fn read(folder: &Path, listed: &Listed<'_>) -> Result<Self, BuildError> {
        let paths =
            ["model.safetensors", "pytorch_model.bin"].map(|it| folder.join(listed.file(it)));
        let found = paths.iter().find(|path| path.is_file());
        Self::open(found.unwrap_or(&paths[0]))
    }

    pub(super) fn open(path: &Path) -> Result<Self, BuildError> {
        let checkpoint = Checkpoint::open(path)?;
        Ok(Self { checkpoint })
    }

    /// The shape of a tensor.
    pub(super) fn shape(&self, name: &str) -> Result<Vec<u32>, BuildError> {
        let lengths = self.tensor(name)?.shape.iter();
        let lengths = lengths.map(|length| u32::try_from(*length));
        let lengths: Result<_, _> = lengths.collect();
        lengths.map_err(|error| self.checkpoint.problem(name, error.to_string()))
    }

    fn tensor(&self, name: &str) -> Result<&Tensor, BuildError> {
        let tensor = self.checkpoint.get(name);
        tensor.ok_or_else(|| self.checkpoint.problem(name, "is not there"))
    }

    /// The values of a tensor of that shape.
    pub(super) fn get(&self, name: &str, shape: &[u32]) -> Result<Vec<f32>, BuildError> {
        let found = self.shape(name)?;
        if found != shape {
            let problem = format!("has shape {found:?}, expected {shape:?}");
            return Err(self.checkpoint.problem(name, problem));
        }
        let values = self.tensor(name)?.values(name)?;
        // Every result would be one too.
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => {
                let problem = format!("holds {value}, which is no finite number");
                Err(self.checkpoint.problem(name, problem))
            }
            None => Ok(values),
        }
    }
}
