//! The model that everything is measured with, unless a row names another: the default
//! model's graph and weights, made float32 again, in a folder as Hugging Face has it.

use crate::dist::{DEFAULT_MODEL, Dist};
use crate::process;
use crate::workspace::Workspace;
use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What of such a folder is in no encoderfile, from the root.
const FILES: &str = "xtask/bench/all-MiniLM-L6-v2";

/// The folder that the caller named, or this one, made in `folder`.
pub(super) fn or_given(
    given: Option<&Path>,
    workspace: &Workspace,
    dist: &Dist,
    folder: &Path,
) -> anyhow::Result<PathBuf> {
    match given {
        Some(model) => Ok(model.to_owned()),
        None => make(workspace, dist, folder),
    }
}

/// Makes the folder.
pub(super) fn make(workspace: &Workspace, dist: &Dist, folder: &Path) -> anyhow::Result<PathBuf> {
    let model = folder.join("all-MiniLM-L6-v2");
    if model.exists() {
        fs::remove_dir_all(&model).with_context(|| model.display().to_string())?;
    }
    copy(&workspace.root.join(FILES), &model)?;
    let mut extract = Command::new(&dist.tool);
    extract
        .arg("extract")
        .arg(workspace.root.join(DEFAULT_MODEL));
    process::capture(extract.arg("-o").arg(&model))?;
    Ok(model)
}

/// A copy of a folder and all in it.
pub(super) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to).with_context(|| to.display().to_string())?;
        }
    }
    Ok(())
}
