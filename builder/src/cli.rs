//! The command line: what was typed.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use encoderfile::manifest::{Compute, Task};
use encoderfile::weights::WeightsEncoding;
use encoderfile_builder::graph::Rule;
use encoderfile_builder::precision::TargetSize;
use std::ffi::OsString;
use std::path::PathBuf;

/// Turns one encoder model into one file that runs everywhere.
#[derive(Parser)]
#[command(name = "encoderfile", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Where base programs are kept that were downloaded [default: `encoderfile` in the user's cache folder]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) cache_dir: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,

    /// After an error, also print what the inference engine says of it
    #[arg(long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Build an encoderfile from a model folder, a model of the Hugging Face Hub, or another encoderfile
    Build(Box<Build>),
    /// Show what is in an encoderfile and check its hashes
    Inspect {
        /// An encoderfile: native, wasm, bundle, image, or upstream's format 1
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the parts of an encoderfile into a folder, as files that other tools read
    Extract {
        /// An encoderfile: native, wasm, bundle, image, or upstream's format 1
        file: PathBuf,
        /// The folder; made if it is not there
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
    },
    /// Compute a model's results for texts, or for files of millions of rows
    ///
    /// As `infer` of the encoderfile itself, on this machine's processor, and Parquet and Arrow beside it.
    Infer(Box<Infer>),
    /// Run an encoderfile in the built-in WebAssembly host
    Run(Run),
    /// Print the JSON schema of a settings file, for editors
    Schema {
        #[arg(value_enum)]
        file: SchemaArgument,
    },
    /// Test an encoderfile on this machine: hashes, stored results, and with --full all that it can do
    Test(Box<Test>),
    /// Print the licences of all software in this tool and in the base programs that it carries
    Licenses,
    /// Print the version, the targets this tool can build for and the instruction sets
    Version,
    /// List, download and remove base programs for other machines
    #[command(subcommand)]
    Runtime(Runtime),
    /// Upstream's, for Lua scripts, which are not run here
    #[command(hide = true)]
    NewTransform {
        #[arg(short, long, value_name = "TASK")]
        model_type: Option<String>,
    },
    /// Append base programs and a default model to this tool
    #[command(hide = true)]
    AssembleTool(Box<AssembleTool>),
}

#[derive(Args)]
pub(crate) struct AssembleTool {
    #[arg(long = "base", value_name = "TARGET=FILE", required = true)]
    pub(crate) bases: Vec<String>,
    #[arg(long, value_name = "FILE")]
    pub(crate) default_model: PathBuf,
    /// What to append them to [default: this program]
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Of Zstandard, from 1 to 22
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) compression_level: i32,
    /// What the tool is to know of its release: a release.json
    #[arg(long, value_name = "FILE")]
    pub(crate) release: Option<PathBuf>,
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

#[derive(Subcommand)]
pub(crate) enum Runtime {
    /// Print version and target of each, and where it is
    List {
        /// The version [default: this tool's]
        #[arg(long, value_name = "VERSION")]
        runtime_version: Option<String>,
    },
    /// Put the base program for TARGET into the cache, downloaded if this tool does not carry it
    Add(RuntimeTarget),
    /// Remove the base program for TARGET from the cache
    Remove(RuntimeTarget),
    /// Print where the cache is, or the base program for TARGET in it
    Path {
        /// A target triple
        target: Option<String>,
        /// The version [default: this tool's]
        #[arg(long, value_name = "VERSION")]
        runtime_version: Option<String>,
    },
}

#[derive(Args)]
pub(crate) struct RuntimeTarget {
    /// A target triple
    pub(crate) target: String,
    /// The version [default: this tool's]
    #[arg(long, value_name = "VERSION")]
    pub(crate) runtime_version: Option<String>,
}

#[derive(Args)]
pub(crate) struct Build {
    /// Read settings from an encoderfile.yml; options given here go first
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// The model folder, in Hugging Face layout, or else a model of the hub: ORG/NAME, perhaps with @REVISION [default: the model in this tool]
    #[arg(long, value_name = "MODEL", conflicts_with = "from")]
    pub(crate) model: Option<PathBuf>,

    /// Take the model out of another encoderfile
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) many: Many,

    /// Where to write; with --models, the folder [default: NAME.encoderfile, NAME.ef.wasm, NAME.component.wasm, NAME.cwasm, NAME.ef, NAME.tar or NAME-VERSION-py3-none-any.whl]
    #[arg(short, long, alias = "output-path", value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Go there once the config file is read: relative paths, in it too, begin there
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,

    /// A target triple that `encoderfile runtime list` has, `bundle` for the payload alone, `wheel` for a Python package, or `oci` (`oci-amd64`, `oci-arm64`) for a container image [default: this machine's]
    #[arg(long, alias = "platform", value_name = "TARGET")]
    pub(crate) target: Option<String>,

    /// A base program of your own, which nobody verifies
    #[arg(long, alias = "base-binary-path", value_name = "FILE")]
    pub(crate) base: Option<PathBuf>,

    /// Compile the component (`wasm32-wasip2`) or module (`wasm32-wasip1`) ahead, so that it starts at once: for the version of wasmtime that `encoderfile version` names, and for processors that have what this one has
    #[arg(long)]
    pub(crate) precompile: bool,

    /// Put the memory of the loaded model into the component (`wasm32-wasip2`), so that an instance answers without loading it; the file is larger for it
    #[arg(long, conflicts_with = "target_size")]
    pub(crate) snapshot: bool,

    /// The `model_id` of results [default: the folder's or model's name]
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: Option<String>,

    /// Your version of the model [default: 0.1.0]
    #[arg(long)]
    pub(crate) model_version: Option<String>,

    /// What the model computes [default: what the folder says]
    #[arg(long, value_enum)]
    pub(crate) task: Option<TaskArgument>,

    /// The file of weights in the folder [default: model.onnx, onnx/model.onnx, model.safetensors, pytorch_model.bin or the index of either, or the only ONNX file]
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    pub(crate) weights_file: Option<PathBuf>,

    /// How the large matrices are stored: f32, f16, bf16, int8 or int4; of the last two each so many values share a scale, 32, 64 or 128, 64 unless said [default: as in the source]
    #[arg(long, value_name = "f32|f16|bf16|int8[:GROUP]|int4[:GROUP]")]
    pub(crate) weights: Option<WeightsEncoding>,

    /// Another encoding for the matrices whose name has PATTERN in it; `embeddings` are the tables of tokens and positions. May be given several times, and the last one counts
    #[arg(long = "weights-rule", value_name = "PATTERN=ENCODING")]
    pub(crate) weights_rules: Vec<Rule>,

    /// How large the whole file may be (40MB): no matrix is stored less exactly than --weights says [default: int4], and those that lose most are stored more exactly as long as it fits
    #[arg(long, value_name = "SIZE")]
    pub(crate) target_size: Option<TargetSize>,

    /// Refuse to write a file of which a result has a smaller cosine to float32's
    #[arg(long, value_name = "X", value_parser = cosine)]
    pub(crate) min_cosine: Option<f32>,

    /// Texts, one a line, that int8 and int4 are rounded for [default: calibration.txt of the folder, or built-in ones]
    #[arg(long, value_name = "FILE")]
    pub(crate) calibration: Option<PathBuf>,

    /// What products with large matrices are computed in [default: f32]
    #[arg(long, value_enum)]
    pub(crate) compute: Option<ComputeArgument>,

    /// Maximum sequence length in tokens [default: what the folder says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_length: Option<u32>,

    /// The model's licence, an SPDX expression [default: what the model card says]
    #[arg(long, value_name = "SPDX")]
    pub(crate) license: Option<String>,

    /// Take base programs and models of the hub as they were downloaded before; HF_HUB_OFFLINE=1 says the same of models
    #[arg(long)]
    pub(crate) no_download: bool,

    /// The version of the base program [default: this tool's]
    #[arg(long, value_name = "VERSION")]
    pub(crate) runtime_version: Option<String>,

    /// Print what was written as JSON: `output`, `name`, `version`, `task` and `bytes`
    #[arg(long, conflicts_with = "models")]
    pub(crate) json: bool,
}

/// Many models at once.
#[derive(Args)]
pub(crate) struct Many {
    /// Which models of the --models file [default: all]
    #[arg(value_name = "NAME", requires = "models")]
    pub(crate) names: Vec<String>,

    /// Build the models of a models.yaml, but for what is up to date
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "config", "model", "from", "target", "base", "name", "model_version", "task",
        "weights_file", "weights", "weights_rules", "target_size", "min_cosine", "calibration",
        "compute", "max_length", "license", "precompile", "snapshot",
    ])]
    pub(crate) models: Option<PathBuf>,

    /// Of --models: say what would be read, fetched and written, and write nothing
    #[arg(long, requires = "models")]
    pub(crate) dry_run: bool,

    /// Of --models: build what is up to date too
    #[arg(long, requires = "models")]
    pub(crate) no_skip: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaArgument {
    /// models.yaml
    Models,
    /// encoderfile.yml
    Encoderfile,
}

#[derive(Args)]
pub(crate) struct Infer {
    /// An encoderfile: native, wasm, bundle, image or wheel
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) arguments: encoderfile_infer::Infer,
}

#[derive(Args)]
pub(crate) struct Run {
    /// Let the program read and write files in DIR
    #[arg(long = "dir", value_name = "DIR")]
    pub(crate) directories: Vec<PathBuf>,

    /// Of a file that was compiled ahead (`build --precompile`), start the machine code, which is in no sandbox
    #[arg(long)]
    pub(crate) allow_precompiled: bool,

    /// An encoderfile: wasm, native or bundle
    pub(crate) file: PathBuf,

    /// What to tell it: `infer "…"`, `info`, …
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    pub(crate) arguments: Vec<OsString>,
}

#[derive(Args)]
pub(crate) struct Test {
    /// An encoderfile: native, wasm, bundle or image
    pub(crate) file: PathBuf,

    /// Also ask for everything that the model can be asked for, and take the times
    #[arg(long)]
    pub(crate) full: bool,

    /// Compare its numbers with those of the model that it was made of, in float32: a folder or a model of the hub, as --model of build
    #[arg(long, value_name = "MODEL")]
    pub(crate) against: Option<PathBuf>,

    /// Compare over the lines of FILE too
    #[arg(long, value_name = "FILE", requires = "against")]
    pub(crate) input: Option<PathBuf>,

    /// The worst cosine allowed of any text [default: four times as far from 1 as over six texts when FILE was built]
    #[arg(long, value_name = "X", requires = "against", value_parser = cosine)]
    pub(crate) min_cosine: Option<f32>,

    /// The file of weights in MODEL, as of build
    #[arg(long, value_name = "NAME", requires = "against")]
    pub(crate) weights_file: Option<PathBuf>,

    /// Take a model of the hub as it was downloaded before
    #[arg(long, requires = "against")]
    pub(crate) no_download: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn cosine(text: &str) -> Result<f32, String> {
    let number = text.parse::<f32>().ok();
    let cosine = number.filter(|it| (0.0..=1.0).contains(it));
    cosine.ok_or_else(|| "it is no number from 0 to 1".into())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum TaskArgument {
    /// Token embeddings
    Embedding,
    /// A sentence embedding
    SentenceEmbedding,
    /// Logits and scores per label
    SequenceClassification,
    /// A label per token, or labelled spans
    TokenClassification,
    /// Weights of vocabulary entries (SPLADE)
    SparseEmbedding,
    /// Candidate tokens for each mask
    FillMask,
    /// Token embeddings of a query or a document (ColBERT)
    LateInteraction,
}

impl From<TaskArgument> for Task {
    fn from(argument: TaskArgument) -> Self {
        match argument {
            TaskArgument::Embedding => Self::Embedding,
            TaskArgument::SentenceEmbedding => Self::SentenceEmbedding,
            TaskArgument::SequenceClassification => Self::SequenceClassification,
            TaskArgument::TokenClassification => Self::TokenClassification,
            TaskArgument::SparseEmbedding => Self::SparseEmbedding,
            TaskArgument::FillMask => Self::FillMask,
            TaskArgument::LateInteraction => Self::LateInteraction,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ComputeArgument {
    /// As exactly as the model was trained
    F32,
    /// Large products in int8: less exact, and faster with AVX-512 VNNI
    Int8,
}

impl From<ComputeArgument> for Compute {
    fn from(argument: ComputeArgument) -> Self {
        match argument {
            ComputeArgument::F32 => Self::F32,
            ComputeArgument::Int8 => Self::Int8,
        }
    }
}
