//! Which file of a folder is the model: ONNX, or a checkpoint.

use crate::checkpoint;
use crate::error::BuildError;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the model itself is, best first; other files are variants of it.
const USUAL: [&str; 2] = ["model.onnx", "onnx/model.onnx"];

/// Where ONNX files are, from the folder.
const FOLDERS: [&str; 2] = ["", "onnx"];

/// Weights that an export can be made of.
const OTHER_FORMATS: [&str; 2] = ["tf_model.h5", "flax_model.msgpack"];

/// The files that there are to choose from.
pub(crate) trait Listing {
    /// Whose they are, for messages.
    fn shown(&self) -> PathBuf;
    /// Whether there is a file of that name.
    fn has(&self, name: &Path) -> bool;
    /// The names of what is in a folder itself; in the first for "".
    fn names_in(&self, folder: &str) -> Vec<String>;
}

/// Those of a folder on this machine.
impl Listing for Path {
    fn shown(&self) -> PathBuf {
        self.to_owned()
    }

    fn has(&self, name: &Path) -> bool {
        self.join(name).is_file()
    }

    fn names_in(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.join(folder)).into_iter().flatten();
        let names = entries.flatten().map(|it| it.file_name());
        names.map(|it| it.to_string_lossy().into_owned()).collect()
    }
}

/// The file of that name, or else the usual ONNX file, or else the checkpoint, or else the
/// only ONNX file.
pub(crate) fn choose(
    files: &(impl Listing + ?Sized),
    name: Option<&Path>,
) -> Result<PathBuf, BuildError> {
    if let Some(name) = name {
        return named(files, name);
    }
    let mut usual = USUAL.iter().chain(&checkpoint::NAMES).map(Path::new);
    if let Some(usual) = usual.find(|name| files.has(name)) {
        return Ok(usual.to_owned());
    }
    let candidates = candidates(files);
    match &*candidates {
        [only] => Ok(only.into()),
        [] => Err(no_onnx(files)),
        _ => Err(BuildError::SeveralOnnx {
            folder: files.shown(),
            candidates,
        }),
    }
}

fn named(files: &(impl Listing + ?Sized), name: &Path) -> Result<PathBuf, BuildError> {
    let mut places = FOLDERS.iter().map(|place| Path::new(place).join(name));
    if let Some(found) = places.find(|path| files.has(path)) {
        return Ok(found);
    }
    let candidates = candidates(files);
    match candidates.is_empty() {
        true => Err(no_onnx(files)),
        false => Err(BuildError::NoSuchOnnx {
            folder: files.shown(),
            name: name.display().to_string(),
            candidates,
        }),
    }
}

fn no_onnx(files: &(impl Listing + ?Sized)) -> BuildError {
    let mut others = OTHER_FORMATS.iter();
    let instead = others.find(|name| files.has(Path::new(name)));
    BuildError::NoOnnx {
        folder: files.shown(),
        instead: instead.map(|name| (*name).to_owned()),
    }
}

/// The names of all ONNX files and checkpoints, sorted.
fn candidates(files: &(impl Listing + ?Sized)) -> Vec<String> {
    let mut names = Vec::new();
    for place in FOLDERS {
        for name in files.names_in(place) {
            let is_onnx = Path::new(&name).extension().is_some_and(|it| it == "onnx");
            let is_checkpoint = checkpoint::NAMES.contains(&&*name);
            let name = Path::new(place).join(name);
            if (is_onnx || is_checkpoint) && files.has(&name) {
                names.push(name.display().to_string());
            }
        }
    }
    names.sort();
    names
}
