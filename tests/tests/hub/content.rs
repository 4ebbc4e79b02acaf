//! What the hub has: a model folder as a repository, with the hashes that git and LFS give
//! its files.

use anyhow::Context;
use encoderfile_tests::fixture;
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

pub(crate) const ID: &str = "org/tiny-model";
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a repository has beside what a build needs.
const OTHERS: [&str; 4] = [
    ".gitattributes",
    "flax_model.msgpack",
    "onnx_runtime.md",
    "openvino/openvino_model.bin",
];

/// Files with these names are large on the hub.
const LARGE: [&str; 5] = ["onnx", "onnx_data", "safetensors", "bin", "h5"];

/// A file of the model.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
    pub(crate) is_lfs: bool,
    pub(crate) sha256: String,
    pub(crate) git_blob: String,
}

impl File {
    pub(crate) fn new(name: &str, content: Vec<u8>) -> Self {
        let extension = Path::new(name).extension();
        let mut blob = Sha1::new_with_prefix(format!("blob {}\0", content.len()));
        blob.update(&content);
        Self {
            is_lfs: extension.is_some_and(|it| LARGE.iter().any(|large| it == *large)),
            sha256: hex(&Sha256::digest(&content)),
            git_blob: hex(&blob.finalize()),
            name: name.into(),
            content,
        }
    }

    /// What it is called under `blobs/`.
    pub(crate) fn hash(&self) -> &str {
        if self.is_lfs {
            &self.sha256
        } else {
            &self.git_blob
        }
    }

    pub(crate) fn etag(&self) -> String {
        format!("\"{}\"", self.hash())
    }
}

/// A model with one commit, which is also its branch `main` and its tag `v1`.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) id: String,
    pub(crate) commit: String,
    pub(crate) files: Vec<File>,
}

impl Model {
    /// The fixture of that name, with more files than a build needs.
    pub(crate) fn of_fixture(name: &str) -> anyhow::Result<Self> {
        let folder = fixture::folder(name);
        let mut files = Vec::new();
        read(&folder, "", &mut files).with_context(|| folder.display().to_string())?;
        for other in OTHERS {
            if !files.iter().any(|it| it.name == other) {
                files.push(File::new(
                    other,
                    format!("{other}: not needed").into_bytes(),
                ));
            }
        }
        if !files.iter().any(|it| it.name == "README.md") {
            files.push(File::new("README.md", b"---\nlicense: mit\n---\n".to_vec()));
        }
        Ok(Self {
            id: ID.into(),
            commit: COMMIT.into(),
            files,
        })
    }

    pub(crate) fn file(&self, name: &str) -> Option<&File> {
        self.files.iter().find(|it| it.name == name)
    }

    /// Without a file.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.files.retain(|it| it.name != name);
        self
    }

    /// With a file, instead of the one of that name.
    pub(crate) fn with(mut self, name: &str, content: &[u8]) -> Self {
        self.files.retain(|it| it.name != name);
        self.files.push(File::new(name, content.to_vec()));
        self
    }

    pub(crate) fn revisions(&self) -> [String; 4] {
        let [branch, tag, request] = ["main", "v1", "refs/pr/1"].map(String::from);
        [self.commit.clone(), branch, tag, request]
    }

    /// `/api/models/ID/revision/REVISION?blobs=true`.
    pub(crate) fn info(&self) -> Value {
        let sibling = |it: &File| {
            let mut sibling = json!({
                "rfilename": it.name,
                "size": it.content.len(),
                "blobId": it.git_blob,
            });
            if it.is_lfs {
                let size = it.content.len();
                sibling["lfs"] = json!({"sha256": it.sha256, "size": size, "pointerSize": 134});
            }
            sibling
        };
        json!({
            "_id": "621ffdc036468d709f17434d",
            "id": self.id,
            "modelId": self.id,
            "sha": self.commit,
            "private": false,
            "gated": false,
            "disabled": false,
            "siblings": self.files.iter().map(sibling).collect::<Vec<_>>(),
        })
    }

    /// `/api/models/ID/tree/REVISION`.
    pub(crate) fn tree(&self) -> Value {
        let entry = |it: &File| {
            let size = it.content.len();
            let mut entry = json!({
                "type": "file", "oid": it.git_blob, "size": size, "path": it.name,
            });
            if it.is_lfs {
                entry["lfs"] = json!({"oid": it.sha256, "size": size, "pointerSize": 134});
            }
            entry
        };
        self.files.iter().map(entry).collect()
    }
}

fn read(folder: &Path, place: &str, files: &mut Vec<File>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{place}{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => read(&entry.path(), &format!("{name}/"), files)?,
            false => files.push(File::new(&name, fs::read(entry.path())?)),
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
