//! What a build would fetch of a model, of which nothing is kept: the files that say which others
//! are needed are read in a temporary folder.

use super::download::Wanted;
use super::needed::{self, Files};
use super::{Checkout, HubError, Reference, Repository, Settings};
use crate::inputs::Input;
use crate::net::create_folder_of;
use encoderfile::manifest::HubCommit;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A file that a build would read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surveyed {
    /// Its name in the model; the path is where it is or would be.
    pub input: Input,
    /// It is there already.
    pub is_cached: bool,
}

/// A commit of a model, of which nothing is fetched that would stay.
pub struct Survey<'a> {
    checkout: Checkout<'a>,
    scratch: Repository,
    /// Removed with it.
    _folder: TempDir,
    seen: Vec<Surveyed>,
}

impl<'a> Survey<'a> {
    /// Asks which commit the reference is.
    ///
    /// # Errors
    /// [`HubError`], as of [`fetch`](super::fetch).
    pub fn open(settings: &'a Settings, reference: &'a Reference) -> Result<Self, HubError> {
        let folder = tempfile::tempdir().map_err(|source| HubError::File {
            path: std::env::temp_dir(),
            source,
        })?;
        Ok(Self {
            checkout: Checkout::look(settings, reference)?,
            scratch: Repository::new(folder.path(), reference),
            _folder: folder,
            seen: Vec::new(),
        })
    }

    /// What it is a commit of, and which.
    pub fn source(&self) -> HubCommit {
        self.checkout.source()
    }

    /// What a build would read, in the order of its names.
    ///
    /// # Errors
    /// [`HubError`], as of [`fetch`](super::fetch).
    pub fn files(mut self, weights: Option<&Path>) -> Result<Vec<Surveyed>, HubError> {
        let looked = self.look(weights);
        looked.map_err(|error| self.without_folder(error))?;
        // Of Stanford's ColBERT the same file is the projection's too.
        let order = |it: &Surveyed| (it.input.name.clone(), !it.input.is_weights);
        self.seen.sort_by_key(order);
        self.seen
            .dedup_by(|one, other| one.input.name == other.input.name);
        Ok(self.seen)
    }

    fn look(&mut self, weights: Option<&Path>) -> Result<(), HubError> {
        let chosen = needed::fetch_settings(self, weights)?;
        let first = self.seen.len();
        needed::fetch_weights(self, &chosen)?;
        for file in self.seen.iter_mut().skip(first) {
            file.input.is_weights = true;
        }
        Ok(())
    }

    /// An error that names no file of the temporary folder, but the model's.
    fn without_folder(&self, error: HubError) -> HubError {
        let folder = self.folder().display().to_string();
        match error {
            HubError::Model(error) => {
                let problem = error.to_string();
                HubError::Surveyed(problem.replace(&folder, self.reference().id()))
            }
            error => error,
        }
    }

    /// A file that says which others are needed, where it can be read.
    fn read(&mut self, name: &str, kept: &Path) -> Result<PathBuf, HubError> {
        let commit = &self.checkout.found.commit;
        let path = self.scratch.snapshot(commit).join(name);
        let reference = self.checkout.reference;
        match &mut self.checkout.client {
            _ if kept.is_file() => {
                let copied = create_folder_of(&path).and_then(|()| fs::copy(kept, &path));
                copied.map_err(|source| super::cache::of_file(&path, source))?;
            }
            Some(client) => {
                let wanted = Wanted {
                    reference,
                    commit,
                    name,
                };
                wanted.fetch(client, &self.scratch)?;
            }
            None => return Err(self.checkout.offline(name)),
        }
        Ok(path)
    }
}

impl Files for Survey<'_> {
    fn reference(&self) -> &Reference {
        self.checkout.reference
    }

    fn has(&self, name: &str) -> bool {
        self.checkout.has(name)
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        self.checkout.names()
    }

    fn folder(&self) -> PathBuf {
        self.scratch.snapshot(&self.checkout.found.commit)
    }

    fn fetch(&mut self, name: &str) -> Result<PathBuf, HubError> {
        let kept = self.checkout.folder().join(name);
        let is_cached = kept.is_file();
        if !is_cached && self.checkout.client.is_none() {
            return Err(self.checkout.offline(name));
        }
        let stated = self.checkout.found.lengths.get(name).copied().flatten();
        let length = match is_cached {
            true => kept.metadata().ok().map(|it| it.len()),
            false => stated,
        };
        let input = Input {
            name: name.to_owned(),
            path: kept.clone(),
            length,
            is_weights: false,
        };
        self.seen.push(Surveyed { input, is_cached });
        match says_of_others(name) {
            true => self.read(name, &kept),
            false => Ok(kept),
        }
    }
}

/// Whether a file says which others are needed; they are small.
fn says_of_others(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    ["config.json", "modules.json"].contains(&file) || file.ends_with(".index.json")
}
