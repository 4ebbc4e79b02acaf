//! config_sentence_transformers.json: prompts, dimensions, similarity.

use super::{refuse_unknown, unsigned};
use crate::error::BuildError;
use crate::folder::findings::Findings;
use crate::folder::read_json_if_there;
use encoderfile::manifest::{Prompt, Similarity};
use serde_json::Value;
use std::path::Path;

pub(super) const NAME: &str = "config_sentence_transformers.json";

const KNOWN: [&str; 9] = [
    "__version__",
    // The versions of Python's packages.
    "requirements",
    // Everything is computed in float32.
    "keep_in_fp32_modules",
    "model_type",
    "prompts",
    "default_prompt_name",
    "similarity_fn_name",
    "truncate_dim",
    "activation_fn",
];

/// The kinds of sentence-transformers' models that are served.
const MODEL_TYPES: [&str; 3] = ["SentenceTransformer", "CrossEncoder", "SparseEncoder"];

/// The prompts that sentence-transformers has in every model, empty where nobody says.
const ALWAYS_THERE: [&str; 2] = ["query", "document"];

/// What the file says; all defaults if there is none.
#[derive(Debug, Default)]
pub(in crate::folder) struct Settings {
    pub(in crate::folder) prompts: Vec<Prompt>,
    pub(in crate::folder) default_prompt: String,
    /// 0 for all.
    pub(in crate::folder) dimensions: u32,
    pub(in crate::folder) similarity: Option<Similarity>,
    /// Cross-encoders: the path of a torch class.
    pub(in crate::folder) activation: Option<String>,
}

impl Settings {
    pub(super) fn read(folder: &Path) -> Result<Self, BuildError> {
        let path = folder.join(NAME);
        let Some(config) = read_json_if_there(&path)? else {
            return Ok(Self::default());
        };
        refuse_unknown(&path, &config, &KNOWN)?;
        let model_type = &config["model_type"];
        if !model_type.is_null() && MODEL_TYPES.iter().all(|known| model_type != known) {
            return Err(BuildError::key(&path, "model_type", model_type));
        }
        Self::of(&path, &config)
    }

    /// What the values of its known keys mean.
    pub(super) fn of(path: &Path, config: &Value) -> Result<Self, BuildError> {
        let prompts = prompts(path, &config["prompts"])?;
        let default = &config["default_prompt_name"];
        let default_prompt = match default {
            Value::Null => String::new(),
            Value::String(name) if prompts.iter().any(|it| it.name == *name) => name.clone(),
            Value::String(name) if ALWAYS_THERE.contains(&name.as_str()) => String::new(),
            other => return Err(BuildError::key(path, "default_prompt_name", other)),
        };
        Ok(Self {
            prompts,
            default_prompt,
            dimensions: match &config["truncate_dim"] {
                Value::Null => 0,
                value => unsigned(value, path, "truncate_dim")?,
            },
            similarity: similarity(path, &config["similarity_fn_name"])?,
            activation: match &config["activation_fn"] {
                Value::Null => None,
                Value::String(name) => Some(name.clone()),
                other => return Err(BuildError::key(path, "activation_fn", other)),
            },
        })
    }

    pub(in crate::folder) fn note(&self, findings: &mut Findings) {
        for prompt in self.prompts.iter().filter(|prompt| !prompt.text.is_empty()) {
            let meaning = format!("{} {:?}", prompt.name, prompt.text);
            findings.note("prompt", meaning, format!("{NAME} prompts"));
        }
        if !self.default_prompt.is_empty() {
            let meaning = format!("{} unless a request says otherwise", self.default_prompt);
            findings.note("prompt", meaning, format!("{NAME} default_prompt_name"));
        }
        if self.dimensions > 0 {
            let meaning = format!("the first {} values", self.dimensions);
            findings.note("dimensions", meaning, format!("{NAME} truncate_dim"));
        }
        if let Some(similarity) = self.similarity {
            let source = format!("{NAME} similarity_fn_name");
            findings.note("similarity", similarity.name(), source);
        }
    }
}

fn prompts(path: &Path, value: &Value) -> Result<Vec<Prompt>, BuildError> {
    let map = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Object(map) => map,
        other => return Err(BuildError::key(path, "prompts", other)),
    };
    let prompts = map.iter().map(|(name, text)| {
        let text = match text {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => return Err(BuildError::key(path, &format!("prompts.{name}"), other)),
        };
        Ok(Prompt {
            name: name.clone(),
            text,
        })
    });
    prompts.collect()
}

fn similarity(path: &Path, value: &Value) -> Result<Option<Similarity>, BuildError> {
    let known = [
        Similarity::Cosine,
        Similarity::Dot,
        Similarity::Euclidean,
        Similarity::Manhattan,
    ];
    if value.is_null() {
        return Ok(None);
    }
    // "dot_score" is what version 3 wrote.
    let name = value.as_str().map(|name| match name {
        "dot_score" => "dot",
        name => name,
    });
    let found = known.into_iter().find(|it| Some(it.name()) == name);
    match found {
        Some(similarity) => Ok(Some(similarity)),
        None => Err(BuildError::key(path, "similarity_fn_name", value)),
    }
}
