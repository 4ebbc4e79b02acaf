//! Models of the Hugging Face Hub: `ORG/NAME@REVISION` into a folder that the builder reads
//! like any other.
//!
//! It is our own and not the hub's library, hf-hub 1.0: that one brings an async HTTP stack and
//! Xet's client (225 crates for 37), goes on with no download that was cut and checks no hash.
//!
//! **Invariant:** what a build reads is what the hub announced: the files of one commit, each
//! of the length and hash that it has there.

mod cache;
mod client;
mod download;
mod error;
mod files;
mod needed;
mod reference;
mod settings;
mod survey;

use crate::folder::Paths;
use cache::Repository;
use client::Client;
use download::Wanted;
use encoderfile::manifest::HubCommit;
use files::List;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use error::HubError;
pub use reference::{Named, NoReference, Reference};
pub use settings::{Network, Settings};
pub use survey::{Survey, Surveyed};

/// A model of the hub whose files are on this machine.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Where they are.
    pub paths: Paths,
    /// What they are.
    pub source: HubCommit,
    /// The name of the model, without its organisation.
    pub name: String,
    /// The file of weights that was asked for.
    pub weights_file: Option<PathBuf>,
    /// How many files were downloaded, and of how many bytes.
    pub downloaded: Downloaded,
}

/// What was downloaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Downloaded {
    /// Files.
    pub files: usize,
    /// Bytes of them.
    pub bytes: u64,
}

/// Fetches what a build needs of a model and the cache does not have. `weights` is the file
/// of weights, if it is not the one that the builder would choose.
///
/// # Errors
/// [`HubError`], which says what was asked for, of whom, and what to do.
pub fn fetch(
    settings: &Settings,
    reference: &Reference,
    weights: Option<&Path>,
) -> Result<Snapshot, HubError> {
    Checkout::open(settings, reference)?.snapshot(weights)
}

/// A commit of a model, whose files are fetched as they are needed.
pub struct Checkout<'a> {
    settings: &'a Settings,
    reference: &'a Reference,
    repository: Repository,
    found: Found,
    /// Who fetches them, where somebody may.
    client: Option<Client>,
    downloaded: Downloaded,
}

impl<'a> Checkout<'a> {
    /// Asks which commit the reference is, and remembers it; fetches nothing.
    ///
    /// # Errors
    /// [`HubError`], as of [`fetch`].
    pub fn open(settings: &'a Settings, reference: &'a Reference) -> Result<Self, HubError> {
        let checkout = Self::look(settings, reference)?;
        if let Some(list) = &checkout.found.list {
            let repository = &checkout.repository;
            repository.set_commit(reference.revision(), &list.sha)?;
            repository.set_lengths(list)?;
        }
        Ok(checkout)
    }

    /// The same, and remembers nothing.
    fn look(settings: &'a Settings, reference: &'a Reference) -> Result<Self, HubError> {
        let repository = Repository::new(&settings.cache, reference);
        let (client, found) = match settings.network {
            Network::Allowed => {
                let mut client = Client::new(settings, reference)?;
                let found = resolve(&mut client, &repository, reference)?;
                (Some(client), found)
            }
            Network::Forbidden(why) => {
                let found = resolve_in_cache(settings, &repository, reference, why)?;
                (None, found)
            }
        };
        Ok(Self {
            settings,
            reference,
            repository,
            found,
            client,
            downloaded: Downloaded::default(),
        })
    }

    /// What it is a commit of, and which.
    pub fn source(&self) -> HubCommit {
        HubCommit {
            repository: self.reference.id().to_owned(),
            commit: self.found.commit.clone(),
        }
    }

    /// Fetches what a build needs and the cache does not have.
    ///
    /// # Errors
    /// [`HubError`], as of [`fetch`].
    pub fn snapshot(mut self, weights: Option<&Path>) -> Result<Snapshot, HubError> {
        let chosen = needed::fetch_settings(&mut self, weights)?;
        needed::fetch_weights(&mut self, &chosen)?;
        let folder = needed::Files::folder(&self);
        Ok(Snapshot {
            paths: Paths::in_folder_with(&folder, Some(Path::new(&chosen)))?,
            source: self.source(),
            name: self.reference.name().to_owned(),
            weights_file: weights.map(Path::to_owned),
            downloaded: self.downloaded,
        })
    }

    /// Of a file that is not there and may not be fetched.
    fn offline(&self, name: &str) -> HubError {
        HubError::Offline {
            reference: self.reference.clone(),
            missing: name.to_owned(),
            cache: self.settings.cache.clone(),
            why: match self.settings.network {
                Network::Forbidden(why) => why,
                Network::Allowed => "this build",
            },
        }
    }
}

impl needed::Files for Checkout<'_> {
    fn reference(&self) -> &Reference {
        self.reference
    }

    fn has(&self, name: &str) -> bool {
        self.found.lengths.contains_key(name)
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.found.lengths.keys().map(String::as_str))
    }

    fn folder(&self) -> PathBuf {
        self.repository.snapshot(&self.found.commit)
    }

    fn fetch(&mut self, name: &str) -> Result<PathBuf, HubError> {
        let path = self.repository.snapshot(&self.found.commit).join(name);
        if path.is_file() {
            return Ok(path);
        }
        let wanted = Wanted {
            reference: self.reference,
            commit: &self.found.commit,
            name,
        };
        let bytes = match &mut self.client {
            Some(client) => wanted.fetch(client, &self.repository)?,
            None => return Err(self.offline(name)),
        };
        if bytes > 0 {
            self.downloaded.files += 1;
            self.downloaded.bytes += bytes;
        }
        Ok(path)
    }
}

/// A commit and its files.
struct Found {
    commit: String,
    /// Their lengths by their names, as far as they are known.
    lengths: BTreeMap<String, Option<u64>>,
    /// What the hub said, where it was asked.
    list: Option<List>,
}

/// As the hub says; a commit whose list is kept will never have another.
fn resolve(
    client: &mut Client,
    repository: &Repository,
    reference: &Reference,
) -> Result<Found, HubError> {
    if let Some(commit) = reference.commit()
        && let Some(lengths) = repository.lengths(commit)
    {
        return Ok(Found {
            commit: commit.to_owned(),
            lengths,
            list: None,
        });
    }
    let list = client.list()?;
    Ok(Found {
        commit: list.sha.clone(),
        lengths: list.lengths(),
        list: Some(list),
    })
}

/// As it was when somebody last asked the hub.
fn resolve_in_cache(
    settings: &Settings,
    repository: &Repository,
    reference: &Reference,
    why: &'static str,
) -> Result<Found, HubError> {
    /// Without it, the model would be another.
    const MODULES: &str = "modules.json";

    let commit = reference.commit().map(str::to_owned);
    let commit = commit.or_else(|| repository.commit(reference.revision()));
    let commit = commit.filter(|it| repository.snapshot(it).is_dir());
    let commit = commit.ok_or_else(|| HubError::Offline {
        reference: reference.clone(),
        missing: format!("revision {}", reference.revision()),
        cache: settings.cache.clone(),
        why,
    })?;
    if let Some(lengths) = repository.lengths(&commit) {
        return Ok(Found {
            commit,
            lengths,
            list: None,
        });
    }
    // Fetched file by file, by a program that needed perhaps not all that a build does.
    let lengths = repository.kept(&commit);
    if !lengths.contains_key(MODULES) && !repository.is_known_to_lack(&commit, MODULES) {
        return Err(HubError::Unknown {
            reference: reference.clone(),
            folder: repository.snapshot(&commit),
            file: MODULES,
            why,
        });
    }
    Ok(Found {
        commit,
        lengths,
        list: None,
    })
}
