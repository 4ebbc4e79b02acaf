//! Which files a build reads of a model folder.
//!
//! **Invariant:** whatever of a folder changes a build's result is one of them. Tests build from
//! them alone, and from what the hub gives by the same names.

use crate::error::BuildError;
use crate::folder::{Paths, VOCABULARY_FILES, is_of_two_files, modules};
use crate::{checkpoint, graph};
use encoderfile::file::MappedFile;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Of the model as a whole; README.md says the licence.
pub(crate) const OF_MODEL: [&str; 8] = [
    "README.md",
    "artifact.metadata",
    "calibration.txt",
    "colbert_linear.pt",
    "config_sentence_transformers.json",
    "modules.json",
    "onnx_config.json",
    "sparse_linear.pt",
];

/// Of the encoder and its tokenizer.
pub(crate) const OF_ENCODER: [&str; 14] = [
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "config.json",
    "sentence_albert_config.json",
    "sentence_bert_config.json",
    "sentence_camembert_config.json",
    "sentence_distilbert_config.json",
    "sentence_roberta_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
];

/// Of a module that has weights of its own, best first.
pub(crate) const OF_MODULE: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// A file that a build reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its name in the folder, with `/`; of a file outside of it, the last part.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Of its content, in bytes, if it is known.
    pub length: Option<u64>,
    /// Whether it is of the model's weights, rather than a setting of it.
    pub is_weights: bool,
}

impl Input {
    /// BLAKE3 of its content.
    pub(crate) fn hash(&self) -> Result<blake3::Hash, BuildError> {
        if self.length == Some(0) {
            return Ok(blake3::hash(&[]));
        }
        let file = MappedFile::open(&self.path).map_err(|source| BuildError::Read {
            path: self.path.clone(),
            source,
        })?;
        Ok(blake3::hash(file.bytes()))
    }
}

/// The files that a build of `paths` reads, in the order of their names. None of them is read
/// but those that say which others are.
///
/// # Errors
/// [`BuildError`] for modules.json, config.json and weights that cannot be read.
pub fn of(paths: &Paths) -> Result<Vec<Input>, BuildError> {
    let mut inputs = Inputs {
        folder: &paths.folder,
        found: BTreeMap::new(),
    };
    for name in OF_MODEL {
        inputs.add(&paths.folder.join(name), false)?;
    }
    let stated = [&paths.config, &paths.tokenizer, &paths.tokenizer_config];
    for path in stated {
        inputs.add(path, false)?;
    }
    for near in stated
        .into_iter()
        .chain([&paths.folder.join("config.json")])
    {
        for name in OF_ENCODER.iter().chain(&VOCABULARY_FILES) {
            inputs.add(&near.with_file_name(name), false)?;
        }
    }
    inputs.add_modules(paths)?;
    inputs.add_weights(&paths.weights)?;
    let mut found: Vec<Input> = inputs.found.into_values().collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// Those that have been found, by their paths.
struct Inputs<'a> {
    folder: &'a Path,
    found: BTreeMap<PathBuf, Input>,
}

impl Inputs<'_> {
    /// A file, if it is there.
    fn add(&mut self, path: &Path, is_weights: bool) -> Result<(), BuildError> {
        if !path.is_file() {
            return Ok(());
        }
        let metadata = path.metadata().map_err(|source| BuildError::Read {
            path: path.to_owned(),
            source,
        })?;
        let input = Input {
            name: name_in(self.folder, path),
            path: path.to_owned(),
            length: Some(metadata.len()),
            is_weights,
        };
        self.found.insert(path.to_owned(), input);
        Ok(())
    }

    fn add_modules(&mut self, paths: &Paths) -> Result<(), BuildError> {
        let mut places = Vec::new();
        for module in modules(&paths.folder)? {
            let place = paths.folder.join(&module.path);
            if module.is_encoder {
                for name in OF_ENCODER {
                    self.add(&place.join(name), false)?;
                }
            } else if !module.path.is_empty() {
                self.add(&place.join("config.json"), false)?;
                places.push(place);
            }
        }
        if is_of_two_files(&paths.config)? {
            places.push(paths.folder.clone());
        }
        for place in places {
            let names = OF_MODULE.map(|name| place.join(name));
            if let Some(path) = names.iter().find(|path| path.is_file()) {
                self.add(path, true)?;
            }
        }
        Ok(())
    }

    /// The file, and those that it says its tensors are in.
    fn add_weights(&mut self, path: &Path) -> Result<(), BuildError> {
        let others = match checkpoint::is_one(path) {
            true => checkpoint::shards(path)?,
            false => graph::external_files(path)?,
        };
        self.add(path, true)?;
        for other in others {
            self.add(&path.with_file_name(other), true)?;
        }
        Ok(())
    }
}

/// The name of a file in a folder, as the hub spells it.
pub(crate) fn name_in(folder: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(folder);
    let name = inside.unwrap_or(path.file_name().map_or(path, Path::new));
    let parts = name.iter().map(|it| it.to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}
