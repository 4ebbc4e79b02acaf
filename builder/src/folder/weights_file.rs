//! Which file of a folder is the model: ONNX, or a checkpoint.

use crate::checkpoint;
use crate::error::BuildError;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the model itself is, best first; other files are variants of it.
const USUAL: [&str; 2] = ["model.onnx", "onnx/model.onnx"];

/// Where ONNX files are, from the folder.
const FOLDERS: [&str; 2] = ["", "onnx"];

/// Weights that an export can be made of.
const OTHER_FORMATS: [&str; 2] = ["tf_model.h5", "flax_model.msgpack"];

/// The file of that name, or else the usual ONNX file, or else the checkpoint, or else the
/// only ONNX file.
pub(super) fn find(folder: &Path, name: Option<&Path>) -> Result<PathBuf, BuildError> {
    if let Some(name) = name {
        return named(folder, name);
    }
    if let Some(usual) = USUAL.iter().find(|name| folder.join(name).is_file()) {
        return Ok(folder.join(usual));
    }
    let mut checkpoints = checkpoint::NAMES.iter().map(|name| folder.join(name));
    if let Some(checkpoint) = checkpoints.find(|path| path.is_file()) {
        return Ok(checkpoint);
    }
    let candidates = candidates(folder);
    match &*candidates {
        [only] => Ok(folder.join(only)),
        [] => Err(BuildError::NoOnnx {
            folder: folder.to_owned(),
            instead: other_format(folder),
        }),
        _ => Err(BuildError::SeveralOnnx {
            folder: folder.to_owned(),
            candidates,
        }),
    }
}

fn named(folder: &Path, name: &Path) -> Result<PathBuf, BuildError> {
    let places = FOLDERS.iter().map(|place| folder.join(place).join(name));
    let found = places.into_iter().find(|path| path.is_file());
    let candidates = candidates(folder);
    match found {
        Some(path) => Ok(path),
        None if candidates.is_empty() => Err(BuildError::NoOnnx {
            folder: folder.to_owned(),
            instead: other_format(folder),
        }),
        None => Err(BuildError::NoSuchOnnx {
            folder: folder.to_owned(),
            name: name.display().to_string(),
            candidates,
        }),
    }
}

fn is_checkpoint(name: &OsStr) -> bool {
    checkpoint::NAMES.iter().any(|it| name == *it)
}

fn other_format(folder: &Path) -> Option<String> {
    let mut names = OTHER_FORMATS.iter();
    let name = names.find(|name| folder.join(name).is_file())?;
    Some((*name).to_owned())
}

/// The names of all ONNX files and checkpoints, sorted.
fn candidates(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for place in FOLDERS {
        let entries = fs::read_dir(folder.join(place)).into_iter().flatten();
        for entry in entries.flatten() {
            let name = Path::new(place).join(entry.file_name());
            let is_onnx = name.extension().is_some_and(|it| it == "onnx");
            let is_checkpoint = name.file_name().is_some_and(is_checkpoint);
            if (is_onnx || is_checkpoint) && folder.join(&name).is_file() {
                names.push(name.display().to_string());
            }
        }
    }
    names.sort();
    names
}
