//! Where files of the hub are kept: the folder that `huggingface_hub` keeps them in, so that
//! what one fetched the other has.
//!
//! `models--ORG--NAME/` has `blobs/HASH`, `snapshots/COMMIT/NAME` (links to those),
//! `refs/REVISION` (each the commit it was last) and `trees/COMMIT.json` (which files the
//! commit has); `.locks/models--ORG--NAME/HASH.lock` is held by whoever fetches a blob.
//!
//! **Invariant:** a blob is whole: until then it is `HASH.incomplete`.

use super::HubError;
use super::files::{List, Tree, is_inside};
use super::reference::{Reference, is_commit};
use crate::net::{Hash, create_folder_of, lock, write};
use encoderfile::output_file::OutputFile;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Of a commit's list of files.
const TREE_LEN_MAX: u64 = 64 << 20;

/// One model's part of the cache.
#[derive(Debug)]
pub(super) struct Repository {
    folder: PathBuf,
    locks: PathBuf,
}

impl Repository {
    pub(super) fn new(cache: &Path, reference: &Reference) -> Self {
        let name = format!("models--{}", reference.id().replace('/', "--"));
        Self {
            folder: cache.join(&name),
            locks: cache.join(".locks").join(name),
        }
    }

    /// The commit that a branch or tag was when it was last asked for.
    pub(super) fn commit(&self, revision: &str) -> Option<String> {
        let commit = fs::read_to_string(self.folder.join("refs").join(revision)).ok()?;
        is_commit(commit.trim()).then(|| commit.trim().to_owned())
    }

    /// Remembers it.
    pub(super) fn set_commit(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        if revision == commit || self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.folder.join("refs").join(revision);
        write(&path, commit.as_bytes()).map_err(|source| of_file(&path, source))
    }

    /// The files of a commit, where somebody has kept the list.
    pub(super) fn lengths(&self, commit: &str) -> Option<BTreeMap<String, Option<u64>>> {
        let path = self.tree(commit);
        let length = fs::metadata(&path).ok()?.len();
        let bytes = (length <= TREE_LEN_MAX).then(|| fs::read(&path))?.ok()?;
        let tree: Tree = serde_json::from_slice(&bytes).ok()?;
        tree.into_lengths()
    }

    /// Keeps the list, where the hub said as much as is in one.
    pub(super) fn set_lengths(&self, list: &List) -> Result<(), HubError> {
        let path = self.tree(&list.sha);
        let Some(tree) = list.tree().filter(|_| !path.exists()) else {
            return Ok(());
        };
        let written = serde_json::to_vec_pretty(&tree).map_err(io::Error::from);
        let written = written.and_then(|bytes| write(&path, &bytes));
        written.map_err(|source| of_file(&path, source))
    }

    fn tree(&self, commit: &str) -> PathBuf {
        self.folder.join("trees").join(format!("{commit}.json"))
    }

    /// Whether `huggingface_hub` was told that a commit has no such file.
    pub(super) fn is_known_to_lack(&self, commit: &str, name: &str) -> bool {
        self.folder
            .join(".no_exist")
            .join(commit)
            .join(name)
            .exists()
    }

    /// The folder of a commit.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// The files of a commit that are there.
    pub(super) fn kept(&self, commit: &str) -> BTreeMap<String, Option<u64>> {
        let root = self.snapshot(commit);
        let mut lengths = BTreeMap::new();
        let mut open = vec![root.clone()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                // A link to a folder is none of ours, and may lead around in a circle.
                if entry.file_type().is_ok_and(|it| it.is_dir()) {
                    open.push(entry.path());
                } else if let Ok(path) = entry.path().strip_prefix(&root)
                    && entry.path().is_file()
                {
                    let parts = path.iter().map(|it| it.to_string_lossy());
                    let length = entry.path().metadata().ok().map(|it| it.len());
                    lengths.insert(parts.collect::<Vec<_>>().join("/"), length);
                }
            }
        }
        lengths.retain(|name, _| is_inside(name));
        lengths
    }

    pub(super) fn blob(&self, hash: &Hash) -> PathBuf {
        self.folder.join("blobs").join(hash.name())
    }

    /// Waits until nobody else fetches that blob; it is ours as long as the file is open.
    pub(super) fn lock(&self, hash: &Hash, name: &str) -> Result<File, HubError> {
        let path = self.locks.join(format!("{}.lock", hash.name()));
        lock(&path, name).map_err(|source| of_file(&path, source))
    }

    /// Gives a blob its name in a commit.
    pub(super) fn link(&self, hash: &Hash, commit: &str, name: &str) -> Result<(), HubError> {
        let path = self.snapshot(commit).join(name);
        let blob = self.blob(hash);
        let depth = name.split('/').count() + 1;
        let target = Path::new(&"../".repeat(depth))
            .join("blobs")
            .join(hash.name());
        link(&blob, &target, &path).map_err(|source| of_file(&path, source))
    }
}

pub(super) fn of_file(path: &Path, source: io::Error) -> HubError {
    HubError::File {
        path: path.to_owned(),
        source,
    }
}

/// A link to `target`, which is the blob from there; a copy where there are no links.
fn link(blob: &Path, target: &Path, path: &Path) -> io::Result<()> {
    create_folder_of(path)?;
    if path.is_symlink() && !path.exists() {
        // To a blob that somebody has removed.
        fs::remove_file(path)?;
    }
    match symlink(target, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(_) => {
            let mut file = OutputFile::create(path)?;
            io::copy(&mut File::open(blob)?, &mut file)?;
            file.complete()
        }
        linked => linked,
    }
}

#[cfg(unix)]
fn symlink(target: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(windows)]
fn symlink(target: &Path, path: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, path)
}
