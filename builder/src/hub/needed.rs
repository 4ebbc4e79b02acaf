//! Which files of a model a build needs: settings, the tokenizer, the modules, the licence,
//! and of all the weights those that the builder chooses.

use super::files::is_inside;
use super::{HubError, Reference};
use crate::folder::{
    Listing, Module, VOCABULARY_FILES, choose_weights, is_of_two_files, modules, refuse_decoders,
};
use crate::inputs::{OF_ENCODER, OF_MODEL, OF_MODULE};
use crate::{checkpoint, graph};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A tokenizer class written in Python reads it beside tokenizer.json too.
const OF_ANY_CLASS: &str = "vocab.txt";

/// A commit whose files can be had.
pub(super) trait Files {
    /// What was asked for.
    fn reference(&self) -> &Reference;
    /// Whether it has a file of that name.
    fn has(&self, name: &str) -> bool;
    /// What its files are called.
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_>;
    /// Where those are that have been fetched.
    fn folder(&self) -> PathBuf;
    /// A file of it, and where that is.
    fn fetch(&mut self, name: &str) -> Result<PathBuf, HubError>;

    /// A file of it, if it has one of that name.
    fn fetch_if_there(&mut self, name: &str) -> Result<(), HubError> {
        match self.has(name) {
            true => self.fetch(name).map(drop),
            false => Ok(()),
        }
    }
}

/// Fetches all but the weights, and gives the name of those.
pub(super) fn fetch_settings(
    files: &mut impl Files,
    weights: Option<&Path>,
) -> Result<String, HubError> {
    for name in OF_MODEL {
        files.fetch_if_there(name)?;
    }
    let modules = modules(&files.folder())?;
    let place = modules.first().map_or("", |it| &it.path);
    for place in BTreeSet::from(["", place]) {
        fetch_encoder(files, place)?;
    }
    // Before what takes long.
    let weights = choose(files, place, weights)?;
    let config = files.folder().join(inside(place, "config.json"));
    refuse_decoders(&config)?;
    for module in &modules {
        fetch_module(files, module)?;
    }
    if is_of_two_files(&config)? {
        fetch_module_weights(files, "")?;
    }
    Ok(weights)
}

fn fetch_encoder(files: &mut impl Files, place: &str) -> Result<(), HubError> {
    for name in OF_ENCODER {
        files.fetch_if_there(&inside(place, name))?;
    }
    // Without tokenizer.json the vocabulary, whose kind is the class's to choose.
    let has_tokenizer = files.has(&inside(place, "tokenizer.json"));
    for name in VOCABULARY_FILES {
        if !has_tokenizer || name == OF_ANY_CLASS {
            files.fetch_if_there(&inside(place, name))?;
        }
    }
    Ok(())
}

fn fetch_module(files: &mut impl Files, module: &Module) -> Result<(), HubError> {
    if module.path.is_empty() {
        return Ok(());
    }
    files.fetch_if_there(&inside(&module.path, "config.json"))?;
    match module.is_encoder {
        true => Ok(()),
        false => fetch_module_weights(files, &module.path),
    }
}

fn fetch_module_weights(files: &mut impl Files, place: &str) -> Result<(), HubError> {
    let names = OF_MODULE.map(|name| inside(place, name));
    match names.iter().find(|name| files.has(name)) {
        Some(name) => files.fetch(name).map(drop),
        None => Ok(()),
    }
}

/// Which file is the model, from the names alone.
fn choose(files: &impl Files, place: &str, weights: Option<&Path>) -> Result<String, HubError> {
    let listing = |place: &str| Names {
        files,
        place: place.to_owned(),
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
pub(super) fn fetch_weights(files: &mut impl Files, name: &str) -> Result<(), HubError> {
    let path = files.fetch(name)?;
    let others = match checkpoint::is_one(&path) {
        true => checkpoint::shards(&path)?,
        false if path.is_file() => graph::external_files(&path)?,
        false => usual_external_files(files, name),
    };
    let place = name.rsplit_once('/').map_or("", |it| it.0);
    for other in others {
        let other = inside(place, &other);
        if !files.has(&other) || !is_inside(&other) {
            return Err(HubError::NoFile {
                reference: files.reference().clone(),
                file: format!("{other}, where tensors of {name} are,"),
            });
        }
        files.fetch(&other)?;
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

/// Where the tensors of a graph are that nobody has fetched: `model.onnx_data`, as exporters call
/// it.
fn usual_external_files(files: &impl Files, name: &str) -> BTreeSet<String> {
    let (_, own) = name.rsplit_once('/').unwrap_or(("", name));
    let suffixes = files.names().filter_map(|it| it.strip_prefix(name));
    let external = suffixes.filter(|it| matches!(*it, "_data" | ".data"));
    external.map(|suffix| format!("{own}{suffix}")).collect()
}

/// The files of a commit, or of a folder in it.
struct Names<'a, F> {
    files: &'a F,
    place: String,
}

impl<F: Files> Listing for Names<'_, F> {
    fn shown(&self) -> PathBuf {
        self.files.reference().id().into()
    }

    fn has(&self, name: &Path) -> bool {
        self.files.has(&inside(&self.place, &slashed(name)))
    }

    fn names_in(&self, folder: &str) -> Vec<String> {
        let folder = match (&*self.place, folder) {
            (place, "") => place.to_owned(),
            (place, folder) => inside(place, folder),
        };
        let below = self.files.names().filter_map(|name| match &*folder {
            "" => Some(name),
            folder => name.strip_prefix(folder)?.strip_prefix('/'),
        });
        let direct = below.filter(|name| !name.contains('/'));
        direct.map(str::to_owned).collect()
    }
}
