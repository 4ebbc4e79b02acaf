//! What an encoderfile says of itself, as types that cannot be wrong.
//!
//! Protobuf ends here: `manifest/wire.rs` makes these types of the messages of
//! manifest.proto and back, and `manifest/check.rs` owns every bound on counts,
//! widths and lengths.
//!
//! **Invariant:** nothing above this crate sees a message of manifest.proto.

mod check;
mod names;
mod pipeline;
mod weights;
mod wire;

pub use crate::weights::WeightsEncoding;
pub use check::ManifestError;
pub use names::{
    Activation, Compute, DenseFunction, InputRole, IntegerType, Pooling, Similarity, Task,
    TruncationSide, TruncationStrategy,
};
pub use pipeline::*;
pub use weights::StoredWeights;

/// What a payload says of itself, apart from where its artifacts are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// Upstream's `name`: the `model_id` of results.
    pub name: String,
    /// The author's version of the model.
    pub version: String,
    /// The model; the `encoderfile` tool has none of its own.
    pub model: Option<Model>,
    /// The target triples of the base programs inside, in the order of their
    /// artifacts. Only the `encoderfile` tool carries any.
    pub bases: Vec<String>,
    /// The names of the graphs beside the first, in the order of their artifacts.
    pub graphs: Vec<String>,
    /// The release that a tool is of.
    pub release: Option<Release>,
}

/// Where the `encoderfile` tool has base programs from that it does not carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// Of the folder in which each version has a folder; empty where nobody has said it.
    pub address: String,
    /// The minisign key, in base64, that signs SHA256SUMS; empty in a tool of no release.
    pub public_key: String,
    /// The base programs of this version.
    pub programs: Vec<ReleasedProgram>,
}

/// A base program of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedProgram {
    /// A Rust target triple.
    pub target: String,
    /// In bytes.
    pub length: u64,
    /// Of the program.
    pub sha256: [u8; 32],
}

/// A model: what it computes, how, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// What it computes.
    pub task: Task,
    /// How texts become results.
    pub pipeline: Pipeline,
    /// Where it comes from.
    pub provenance: Provenance,
    /// How its large matrices are stored.
    pub weights: StoredWeights,
}

/// Where a model comes from. No timestamp and no path: the same folder gives the
/// same bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The builder's name and version.
    pub builder: String,
    /// What the folder says of its licence, if anything.
    pub license: String,
    /// The architecture that the folder names.
    pub architecture: String,
    /// SHA-256 of the source ONNX file and of its external data.
    pub source_sha256: Vec<u8>,
    /// Equal only for files whose embeddings may be compared: BLAKE3 over `source_sha256`,
    /// the tokenizer, the pipeline and the weights of its modules, but not over how weights
    /// are stored.
    pub embedding_space_id: Vec<u8>,
    /// What the builder understood of the folder.
    pub findings: Vec<Finding>,
    /// The model of the hub that the folder was fetched of, if it was.
    pub source: Option<HubCommit>,
    /// The file of weights, by its name in the folder.
    pub source_file: String,
    /// "onnx", "safetensors" or "pytorch".
    pub source_format: String,
    /// What was asked for beside what the folder says.
    pub options: Vec<BuildOption>,
    /// BLAKE3 over the builder's version, the name, version and options of the model, and the
    /// files that the build reads or the commit they are of.
    pub fingerprint: Vec<u8>,
}

/// An option of a build, as it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildOption {
    /// "max_length"
    pub name: String,
    /// "128"
    pub value: String,
}

/// A commit of a model of the Hugging Face Hub.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HubCommit {
    /// "BAAI/bge-small-en-v1.5"
    pub repository: String,
    /// 40 hexadecimal digits.
    pub commit: String,
}

/// Something the model folder says, in plain words, and where it says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// "pooling"
    pub subject: String,
    /// "the mean over all tokens"
    pub meaning: String,
    /// "1_Pooling/config.json pooling_mode_mean_tokens"
    pub source: String,
}
