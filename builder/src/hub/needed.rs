//! Which files of a model a build needs: settings, the tokenizer, the modules, the licence,
//! and of all the weights those that the builder chooses.

use super::files::is_inside;
use super::{Checkout, HubError};
use crate::folder::{
    HYBRID_FILES, Listing, Module, VOCABULARY_FILES, choose_weights, is_of_two_files, modules,
    refuse_decoders,
};
use crate::{checkpoint, graph};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Of the model as a whole; README.md says the licence.
const OF_MODEL: [&str; 5] = [
    "README.md",
    "artifact.metadata",
    "config_sentence_transformers.json",
    "modules.json",
    "onnx_config.json",
];

/// Of the encoder and its tokenizer.
const OF_ENCODER: [&str; 14] = [
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

/// A tokenizer class written in Python reads it beside tokenizer.json too.
const OF_ANY_CLASS: &str = "vocab.txt";

/// Of a module that has weights of its own, best first.
const OF_MODULE: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// Fetches them, and gives the name of the weights.
pub(super) fn fetch(
    checkout: &mut Checkout<'_>,
    weights: Option<&Path>,
) -> Result<String, HubError> {
    for name in OF_MODEL.into_iter().chain(HYBRID_FILES) {
        checkout.fetch_if_there(name)?;
    }
    let modules = modules(&checkout.folder())?;
    let place = modules.first().map_or("", |it| &it.path);
    for place in BTreeSet::from(["", place]) {
        fetch_encoder(checkout, place)?;
    }
    // Before what takes long.
    let weights = choose(checkout, place, weights)?;
    let config = checkout.folder().join(inside(place, "config.json"));
    refuse_decoders(&config)?;
    for module in &modules {
        fetch_module(checkout, module)?;
    }
    if is_of_two_files(&config)? {
        fetch_module_weights(checkout, "")?;
    }
    fetch_weights(checkout, &weights)?;
    Ok(weights)
}

fn fetch_encoder(checkout: &mut Checkout<'_>, place: &str) -> Result<(), HubError> {
    for name in OF_ENCODER {
        checkout.fetch_if_there(&inside(place, name))?;
    }
    // Without tokenizer.json the vocabulary, whose kind is the class's to choose.
    let has_tokenizer = checkout.names.contains(&inside(place, "tokenizer.json"));
    for name in VOCABULARY_FILES {
        if !has_tokenizer || name == OF_ANY_CLASS {
            checkout.fetch_if_there(&inside(place, name))?;
        }
    }
    Ok(())
}

fn fetch_module(checkout: &mut Checkout<'_>, module: &Module) -> Result<(), HubError> {
    if module.path.is_empty() {
        return Ok(());
    }
    checkout.fetch_if_there(&inside(&module.path, "config.json"))?;
    match module.is_encoder {
        true => Ok(()),
        false => fetch_module_weights(checkout, &module.path),
    }
}

fn fetch_module_weights(checkout: &mut Checkout<'_>, place: &str) -> Result<(), HubError> {
    let names = OF_MODULE.map(|name| inside(place, name));
    match names.iter().find(|name| checkout.names.contains(*name)) {
        Some(name) => checkout.fetch(name).map(drop),
        None => Ok(()),
    }
}

/// Which file is the model, from the names alone.
fn choose(
    checkout: &Checkout<'_>,
    place: &str,
    weights: Option<&Path>,
) -> Result<String, HubError> {
    let listing = |place: &str| Names {
        names: &checkout.names,
        place: place.to_owned(),
        shown: checkout.reference.id().into(),
    };
    let chosen = choose_weights(&listing(""), weights).map(|it| slashed(&it));
    let chosen = chosen.or_else(|error| {
        let there = choose_weights(&listing(place), weights);
        there
            .map(|it| inside(place, &slashed(&it)))
            .map_err(|_| error)
    });
    Ok(chosen?)
}

/// The file, and those that it says its tensors are in.
fn fetch_weights(checkout: &mut Checkout<'_>, name: &str) -> Result<(), HubError> {
    let path = checkout.fetch(name)?;
    let others = match checkpoint::is_one(&path) {
        true => checkpoint::shards(&path)?,
        false => graph::external_files(&path)?,
    };
    let place = name.rsplit_once('/').map_or("", |it| it.0);
    for other in others {
        let other = inside(place, &other);
        if !checkout.names.contains(&other) || !is_inside(&other) {
            return Err(HubError::NoFile {
                reference: checkout.reference.clone(),
                file: format!("{other}, where tensors of {name} are,"),
            });
        }
        checkout.fetch(&other)?;
    }
    Ok(())
}

/// A name in a folder of the model.
fn inside(place: &str, name: &str) -> String {
    match place {
        "" => name.to_owned(),
        place => format!("{place}/{name}"),
    }
}

/// As the hub spells it.
fn slashed(path: &Path) -> String {
    let parts = path.iter().map(|it| it.to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}

/// The files of a commit, or of a folder in it.
struct Names<'a> {
    names: &'a BTreeSet<String>,
    place: String,
    shown: PathBuf,
}

impl Listing for Names<'_> {
    fn shown(&self) -> PathBuf {
        self.shown.clone()
    }

    fn has(&self, name: &Path) -> bool {
        self.names.contains(&inside(&self.place, &slashed(name)))
    }

    fn names_in(&self, folder: &str) -> Vec<String> {
        let folder = match (&*self.place, folder) {
            (place, "") => place.to_owned(),
            (place, folder) => inside(place, folder),
        };
        let below = self.names.iter().filter_map(|name| match &*folder {
            "" => Some(&**name),
            folder => name.strip_prefix(folder)?.strip_prefix('/'),
        });
        let direct = below.filter(|name| !name.contains('/'));
        direct.map(str::to_owned).collect()
    }
}
