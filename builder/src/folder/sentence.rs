//! The files of sentence-transformers: modules.json and what it lists, and
//! config_sentence_transformers.json.

mod hybrid;
mod late_interaction;
mod pooling;
mod settings;
mod transformer;
mod weights;

use super::findings::Findings;
use super::limit::Limit;
use super::{Paths, read_json_if_there};
use crate::error::BuildError;
use encoderfile::manifest::{Pooling, Splade};
use serde_json::Value;
use std::collections::HashSet;
use std::path::{Component, Path};

pub(crate) use hybrid::FILES as HYBRID_FILES;
pub use hybrid::HybridWeights;
pub(super) use late_interaction::{LateInteraction, is_stanfords};
pub(super) use settings::Settings;
pub use weights::{DenseWeights, ModuleWeights};

/// What those files say.
#[derive(Debug, Default)]
pub(super) struct Sentence {
    /// What the token vectors become.
    pub(super) head: Head,
    /// The prompt's tokens take no part in pooling.
    pub(super) exclude_prompt: bool,
    /// Between pooling and the norm at the end.
    pub(super) modules: Vec<ModuleWeights>,
    /// An L2 norm at the end.
    pub(super) normalize: bool,
    /// A cross-encoder's: the last Dense gives so many logits.
    pub(super) logits: Option<u32>,
    /// What its files state.
    pub(super) limit: Option<Limit>,
    pub(super) lower_case: bool,
    pub(super) settings: Settings,
    pub(super) findings: Findings,
}

/// What follows the Transformer module.
#[derive(Debug, Default)]
pub(super) enum Head {
    /// Nothing: a cross-encoder, whose head is in its graph.
    #[default]
    None,
    /// Pooling, by one or more modes.
    Pooling(Vec<Pooling>),
    /// `SpladePooling`.
    Splade(Splade),
    /// A vector for each token, of a query or of a document.
    LateInteraction(Box<LateInteraction>),
}

/// Whose modules are known.
const PACKAGES: [&str; 2] = ["sentence_transformers.", "pylate.models."];

/// A module: what it is, and where its files are.
struct Listed<'a> {
    kind: &'a str,
    /// As modules.json names the folder.
    path: &'a str,
}

/// `None` if there is no modules.json and nothing that stands for one.
pub(super) fn read(paths: &Paths) -> Result<Option<Sentence>, BuildError> {
    if let Some(sentence) = late_interaction::read(paths)? {
        return Ok(Some(sentence));
    }
    let folder = &paths.folder;
    let path = folder.join("modules.json");
    let Some(modules) = read_json_if_there(&path)? else {
        return Ok(None);
    };
    let Some(list) = modules.as_array() else {
        return Err(BuildError::key(&path, "", &modules));
    };
    let mut sentence = Sentence {
        settings: Settings::read(folder)?,
        ..Sentence::default()
    };
    refuse_namesakes(&path, list)?;
    for (place, module) in list.iter().enumerate() {
        let listed = Listed::of(&path, module)?;
        let known = sentence.read_module(folder, &listed, place)?;
        if !known {
            let class = module["type"].as_str().unwrap_or_default();
            let followed = format!("{class} at place {place}");
            return Err(BuildError::key(&path, "type", &followed.into()));
        }
    }
    if list.is_empty() {
        return Err(BuildError::key(&path, "", &modules));
    }
    sentence.settings.note(&mut sentence.findings);
    Ok(Some(sentence))
}

/// Of two modules with one name, sentence-transformers keeps the later.
fn refuse_namesakes(path: &Path, modules: &[Value]) -> Result<(), BuildError> {
    let mut names = HashSet::new();
    let mut names_of = modules.iter().map(|module| &module["name"]);
    let twice = names_of.find(|name| !name.is_null() && !names.insert(*name));
    twice.map_or(Ok(()), |name| Err(BuildError::key(path, "name", name)))
}

/// A module of a folder, before anything else of it is read.
pub(crate) struct Module {
    /// Its folder, as modules.json names it; empty for the model's own.
    pub(crate) path: String,
    /// It is the encoder, whose weights are the model's.
    pub(crate) is_encoder: bool,
}

/// What modules.json lists; nothing if there is none.
pub(crate) fn modules(folder: &Path) -> Result<Vec<Module>, BuildError> {
    let path = folder.join("modules.json");
    let modules = read_json_if_there(&path)?.unwrap_or_default();
    let modules = modules.as_array().map_or(&[][..], Vec::as_slice);
    let module = |module: &Value| {
        let listed = Listed::of(&path, module)?;
        Ok(Module {
            path: listed.path.to_owned(),
            is_encoder: listed.kind == "Transformer",
        })
    };
    modules.iter().map(module).collect()
}

/// Where the Transformer module is, from the folder: in newer ones the folder itself.
pub(super) fn transformer_path(folder: &Path) -> Result<String, BuildError> {
    let path = folder.join("modules.json");
    let modules = read_json_if_there(&path)?.unwrap_or_default();
    let first = match modules.get(0) {
        Some(module) if module["type"].is_string() => Listed::of(&path, module)?,
        // What is wrong with it is said when the modules are read.
        _ => return Ok(String::new()),
    };
    Ok(first.path.to_owned())
}

impl<'a> Listed<'a> {
    fn of(path: &Path, module: &'a Value) -> Result<Self, BuildError> {
        // A module of somebody else's is another one, whatever its name.
        let full_type = module["type"].as_str();
        let is_known = |it: &&str| PACKAGES.iter().any(|package| it.starts_with(package));
        let Some(full_type) = full_type.filter(is_known) else {
            return Err(BuildError::key(path, "type", &module["type"]));
        };
        let module_path = module["path"].as_str().unwrap_or_default();
        let inside = |it| matches!(it, Component::Normal(_));
        if !Path::new(module_path).components().all(inside) {
            return Err(BuildError::key(path, "path", &module["path"]));
        }
        Ok(Self {
            // The packages in front of the name have changed over time.
            kind: full_type.rsplit('.').next().unwrap_or(full_type),
            path: module_path,
        })
    }

    /// A file of the module, as people find it in the folder.
    fn file(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.path)
        }
    }
}

impl Sentence {
    /// Reads the module at `place` of the list; `false` for one that is not
    /// served, or not there.
    fn read_module(
        &mut self,
        folder: &Path,
        listed: &Listed<'_>,
        place: usize,
    ) -> Result<bool, BuildError> {
        // Nothing is served behind the scores.
        let is_pooled = matches!(self.head, Head::Pooling(_)) && self.logits.is_none();
        match listed.kind {
            "Transformer" | "MLMTransformer" if place == 0 => {
                self.read_transformer(folder, listed, &[])?;
            }
            "Pooling" if place == 1 => self.read_pooling(folder, listed)?,
            "SpladePooling" if place == 1 => self.read_splade(folder, listed)?,
            "Dense" if is_pooled => {
                let (dense, logits) = weights::dense(folder, listed, &OF_TEXT, &mut self.findings)?;
                self.logits = logits;
                self.push(dense);
            }
            "LayerNorm" if is_pooled => {
                let norm = weights::layer_norm(folder, listed, &mut self.findings)?;
                self.push(norm);
            }
            // It drops values in training alone.
            "Dropout" if is_pooled => {}
            "Normalize" if is_pooled => {
                let path = folder.join(listed.file("config.json"));
                if let Some(config) = read_json_if_there(&path)? {
                    refuse_unknown(&path, &config, &["module_input_name", "module_output_name"])?;
                    refuse_other_vectors(&path, &config, &OF_TEXT)?;
                }
                // Twice in a row is once.
                self.normalize = true;
                let source = format!("modules.json, module {place}");
                self.findings.note("norm", "divided by the L2 norm", source);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A norm that something follows is a module of its own.
    fn push(&mut self, module: ModuleWeights) {
        if std::mem::take(&mut self.normalize) {
            self.modules.push(ModuleWeights::L2Norm);
        }
        self.modules.push(module);
    }
}

/// A JSON file that has been read, for values of a certain type.
struct Keys<'a> {
    path: &'a Path,
    config: &'a Value,
}

impl Keys<'_> {
    fn refuse(&self, key: &str) -> BuildError {
        BuildError::key(self.path, key, &self.config[key])
    }

    fn length(&self, key: &str, default: u32) -> Result<u32, BuildError> {
        match &self.config[key] {
            Value::Null => Ok(default),
            value => unsigned(value, self.path, key),
        }
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, BuildError> {
        match &self.config[key] {
            Value::Null => Ok(default),
            Value::Bool(flag) => Ok(*flag),
            _ => Err(self.refuse(key)),
        }
    }

    fn words(&self, key: &str) -> Result<Option<Vec<String>>, BuildError> {
        let words = match &self.config[key] {
            Value::Null => return Ok(None),
            Value::Array(words) => words.iter().map(|word| word.as_str().map(str::to_owned)),
            _ => return Err(self.refuse(key)),
        };
        let words: Option<Vec<String>> = words.collect();
        words.map(Some).ok_or_else(|| self.refuse(key))
    }
}

/// Modules that do not make a model together.
fn problem_of(path: &Path, problem: &str) -> BuildError {
    BuildError::Widths {
        path: path.to_owned(),
        problem: problem.to_owned(),
    }
}

/// A key that has to be a number above 0.
fn unsigned(value: &Value, path: &Path, key: &str) -> Result<u32, BuildError> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number
        .filter(|number| *number > 0)
        .ok_or_else(|| BuildError::key(path, key, value))
}

/// What modules after pooling take and give: the vector of the text.
const OF_TEXT: [&str; 1] = ["sentence_embedding"];

/// A module takes and gives what has one of these names.
fn refuse_other_vectors(path: &Path, config: &Value, names: &[&str]) -> Result<(), BuildError> {
    for key in ["module_input_name", "module_output_name"] {
        let value = &config[key];
        if !value.is_null() && names.iter().all(|name| value != name) {
            return Err(BuildError::key(path, key, value));
        }
    }
    Ok(())
}

/// A module's config.json, with no keys but `known` ones.
fn read_config(path: &Path, known: &[&str]) -> Result<Value, BuildError> {
    let Some(config) = read_json_if_there(path)? else {
        return Err(BuildError::Read {
            path: path.to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        });
    };
    refuse_unknown(path, &config, known)?;
    Ok(config)
}

/// A key that is null says as much as one that is not there.
fn refuse_unknown(path: &Path, config: &Value, known: &[&str]) -> Result<(), BuildError> {
    let Some(keys) = config.as_object() else {
        return Err(BuildError::key(path, "", config));
    };
    let mut said = keys.iter().filter(|(_, value)| !value.is_null());
    let unknown = said.find(|(key, _)| !known.contains(&key.as_str()));
    match unknown {
        Some((key, value)) => Err(BuildError::key(path, key, value)),
        None => Ok(()),
    }
}
