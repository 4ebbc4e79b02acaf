//! Copies of fixtures to be spoiled: one thing each.

use crate::fixture;
use anyhow::Context;
use encoderfile::onnx::{GraphProto, ModelProto};
use prost::Message;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A copy of a model folder.
pub struct ModelFolder {
    folder: TempDir,
}

impl ModelFolder {
    /// A copy of the fixture of that name.
    pub fn copy_of(name: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let source = fixture::folder(name);
        copy(&source, folder.path()).with_context(|| source.display().to_string())?;
        Ok(Self { folder })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) -> anyhow::Result<()> {
        fs::remove_file(self.file(name)).with_context(|| name.to_owned())
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
        let path = self.file(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, content).with_context(|| name.to_owned())
    }

    /// Changes the bytes of a file.
    pub fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> anyhow::Result<()> {
        let mut content = fs::read(self.file(name)).with_context(|| name.to_owned())?;
        change(&mut content);
        self.write(name, content)
    }

    /// Changes a JSON file.
    pub fn edit_json(&self, name: &str, change: impl FnOnce(&mut Value)) -> anyhow::Result<()> {
        let content = fs::read(self.file(name)).with_context(|| name.to_owned())?;
        let mut json = serde_json::from_slice(&content).with_context(|| name.to_owned())?;
        change(&mut json);
        self.write(name, serde_json::to_vec(&json)?)
    }

    /// Changes the graph of model.onnx.
    pub fn edit_graph(&self, change: impl FnOnce(&mut GraphProto)) -> anyhow::Result<()> {
        self.edit_model("model.onnx", |model| {
            change(model.graph.get_or_insert_default());
        })
    }

    /// Changes an ONNX file.
    pub fn edit_model(
        &self,
        name: &str,
        change: impl FnOnce(&mut ModelProto),
    ) -> anyhow::Result<()> {
        let content = fs::read(self.file(name)).with_context(|| name.to_owned())?;
        let model = encoderfile::proto::decode::<ModelProto>(content, usize::MAX);
        let mut model = model.with_context(|| name.to_owned())?;
        change(&mut model);
        self.write(name, model.encode_to_vec())
    }
}

/// Copies a folder with everything in it.
pub fn copy(source: &Path, destination: &Path) -> std::io::Result<()> {
    fs::create_dir_all(destination)?;
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let (from, to) = (entry.path(), destination.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else {
            // Not `fs::copy`, which would keep a read-only mode.
            fs::write(to, fs::read(from)?)?;
        }
    }
    Ok(())
}
