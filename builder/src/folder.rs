//! Reading a model folder: the many dialects of Hugging Face folders, once,
//! into one [`Model`].
//!
//! Nothing that changes a result is ignored: a key this program does not serve
//! is refused by name.

mod config;
mod limit;
mod sentence;
mod weights_file;

use crate::error::BuildError;
use crate::graph;
use config::Config;
use encoderfile_runtime::proto::{Activation, Pooling, Task, TruncationSide};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

pub use limit::Limit;

/// Where each file of a model is; `None` where a folder need not have it.
#[derive(Clone, Debug)]
pub struct Paths {
    /// For messages: the folder, or what was given instead.
    pub folder: PathBuf,
    /// The ONNX file.
    pub weights: PathBuf,
    /// config.json.
    pub config: PathBuf,
    /// tokenizer.json.
    pub tokenizer: PathBuf,
    /// tokenizer_config.json.
    pub tokenizer_config: PathBuf,
}

impl Paths {
    /// The usual places in `folder`.
    pub fn in_folder(folder: &Path) -> Result<Self, BuildError> {
        Self::in_folder_with(folder, None)
    }

    /// The same with the name of the ONNX file, if there is one to be preferred.
    pub fn in_folder_with(folder: &Path, weights: Option<&Path>) -> Result<Self, BuildError> {
        if !folder.is_dir() {
            return Err(BuildError::NoFolder(folder.to_owned()));
        }
        Ok(Self {
            folder: folder.to_owned(),
            weights: weights_file::find(folder, weights)?,
            config: folder.join("config.json"),
            tokenizer: folder.join("tokenizer.json"),
            tokenizer_config: folder.join("tokenizer_config.json"),
        })
    }
}

/// What the caller says instead of the folder.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The task.
    pub task: Option<Task>,
    /// The most tokens of a sequence.
    pub max_length: Option<u32>,
    /// Which end of an over-long text is cut.
    pub truncation_side: Option<TruncationSide>,
    /// The licence.
    pub license: Option<String>,
}

/// What a folder means, apart from its graph.
#[derive(Clone, Debug)]
pub struct Model {
    /// What it computes.
    pub task: Task,
    /// The most tokens of a sequence, and who says so.
    pub limit: Limit,
    /// The id of the first token's position.
    pub first_position: u32,
    /// Which end of an over-long text is cut.
    pub truncation_side: TruncationSide,
    /// Lower-case texts first.
    pub lower_case: bool,
    /// Sentence embeddings: the modes, in their order.
    pub pooling: Vec<Pooling>,
    /// Whether the folder leaves unsaid how token vectors become one.
    pub pooling_is_assumed: bool,
    /// Sentence embeddings: L2-normalised.
    pub normalize: bool,
    /// Classification: in the order of the logits; empty if the folder has none.
    pub labels: Vec<String>,
    /// Logits to scores.
    pub activation: Activation,
    /// The first of `architectures`.
    pub architecture: String,
    /// As far as the folder says.
    pub license: String,
    /// Rows of the token embedding, as far as config.json says.
    pub vocabulary_size: Option<u32>,
    /// config.json as it is.
    pub config_json: Vec<u8>,
    /// tokenizer.json as it is.
    pub tokenizer_json: Vec<u8>,
}

/// Reads everything but the graph.
pub fn read(paths: &Paths, overrides: &Overrides) -> Result<Model, BuildError> {
    let config_json = read_file(&paths.config)?;
    let config = Config::parse(&paths.config, &config_json)?;
    let tokenizer_json = read_file(&paths.tokenizer)?;
    let tokenizer_config = read_json_if_there(&paths.tokenizer_config)?.unwrap_or(Value::Null);
    let sentence = sentence::read(&paths.folder)?;

    config.refuse_decoders()?;
    let pooling_is_assumed = sentence.is_none();
    let task = match overrides.task {
        Some(task) => task,
        None if sentence.is_some() => Task::SentenceEmbedding,
        None => match config.task()? {
            // optimum's exports of sentence-transformers keep none of its files.
            Task::Embedding if graph::pools(&paths.weights)? => Task::SentenceEmbedding,
            task => task,
        },
    };
    let sentence = match (task, sentence) {
        (Task::SentenceEmbedding, Some(sentence)) => sentence,
        // What sentence-transformers does with a folder that is none of its own.
        (Task::SentenceEmbedding, None) => sentence::Sentence {
            pooling: vec![Pooling::Mean],
            ..Default::default()
        },
        (_, sentence) => sentence::Sentence {
            pooling: Vec::new(),
            normalize: false,
            ..sentence.unwrap_or_default()
        },
    };
    let limit = limit::read(&config, &tokenizer_config, &sentence, overrides)?;
    let truncation_side = match overrides.truncation_side {
        Some(side) => side,
        None => truncation_side(&tokenizer_config, &paths.tokenizer_config)?,
    };
    Ok(Model {
        task,
        limit,
        first_position: limit::first_position(&config),
        truncation_side,
        lower_case: sentence.lower_case,
        pooling: sentence.pooling,
        pooling_is_assumed,
        normalize: sentence.normalize,
        labels: config.labels()?,
        activation: config.activation(task)?,
        architecture: config.architecture().unwrap_or_default().to_owned(),
        license: match &overrides.license {
            Some(license) => license.clone(),
            None => license(&paths.folder),
        },
        vocabulary_size: config.vocabulary_size(),
        config_json,
        tokenizer_json,
    })
}

/// Reads a file, with an error that names it.
pub fn read_file(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(|source| BuildError::Read {
        path: path.to_owned(),
        source,
    })
}

fn read_json_if_there(path: &Path) -> Result<Option<Value>, BuildError> {
    if !path.is_file() {
        return Ok(None);
    }
    parse_json(path, &read_file(path)?).map(Some)
}

fn parse_json(path: &Path, bytes: &[u8]) -> Result<Value, BuildError> {
    serde_json::from_slice(bytes).map_err(|source| BuildError::Json {
        path: path.to_owned(),
        source,
    })
}

fn truncation_side(tokenizer_config: &Value, path: &Path) -> Result<TruncationSide, BuildError> {
    match &tokenizer_config["truncation_side"] {
        Value::Null => Ok(TruncationSide::Right),
        Value::String(side) if side == "right" => Ok(TruncationSide::Right),
        Value::String(side) if side == "left" => Ok(TruncationSide::Left),
        other => Err(BuildError::key(path, "truncation_side", other)),
    }
}

/// The `license:` of the front matter of README.md, the model card.
fn license(folder: &Path) -> String {
    let Ok(card) = fs::read_to_string(folder.join("README.md")) else {
        return String::new();
    };
    let Some(front_matter) = card
        .strip_prefix("---\n")
        .and_then(|rest| rest.split("\n---").next())
    else {
        return String::new();
    };
    let line = front_matter
        .lines()
        .find_map(|line| line.strip_prefix("license:"));
    line.unwrap_or_default().trim().to_owned()
}
