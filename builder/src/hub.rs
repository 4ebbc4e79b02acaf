//! Models of the Hugging Face Hub: `ORG/NAME@REVISION` into a folder that the builder reads
//! like any other.
//!
//! This is all that ever speaks to a network, and only the tool has it: no base program does.
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
mod progress;
mod proxy;
mod reference;
mod settings;
mod url;

use crate::folder::Paths;
use cache::Repository;
use client::Client;
use download::Wanted;
use encoderfile::manifest::HubCommit;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use error::HubError;
pub use reference::{Named, NoReference, Reference};
pub use settings::{Network, Settings};

/// A model of the hub whose files are on this machine.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Where they are.
    pub paths: Paths,
    /// What they are.
    pub source: HubCommit,
    /// The name of the model, without its organisation.
    pub name: String,
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
    let mut checkout = Checkout::open(settings, reference)?;
    let weights = needed::fetch(&mut checkout, weights)?;
    let folder = checkout.folder();
    Ok(Snapshot {
        paths: Paths::in_folder_with(&folder, Some(Path::new(&weights)))?,
        source: HubCommit {
            repository: reference.id().to_owned(),
            commit: checkout.commit,
        },
        name: reference.name().to_owned(),
        downloaded: checkout.downloaded,
    })
}

/// A commit of a model, whose files are fetched as they are needed.
struct Checkout<'a> {
    settings: &'a Settings,
    reference: &'a Reference,
    repository: Repository,
    commit: String,
    /// Its files.
    names: BTreeSet<String>,
    /// Who fetches them, where somebody may.
    client: Option<Client>,
    downloaded: Downloaded,
}

impl<'a> Checkout<'a> {
    fn open(settings: &'a Settings, reference: &'a Reference) -> Result<Self, HubError> {
        let repository = Repository::new(&settings.cache, reference);
        let (client, (commit, names)) = match settings.network {
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
            commit,
            names,
            client,
            downloaded: Downloaded::default(),
        })
    }

    /// Where its files are.
    fn folder(&self) -> PathBuf {
        self.repository.snapshot(&self.commit)
    }

    /// A file of it, if it has one of that name.
    fn fetch_if_there(&mut self, name: &str) -> Result<(), HubError> {
        match self.names.contains(name) {
            true => self.fetch(name).map(drop),
            false => Ok(()),
        }
    }

    /// A file of it, and where that is.
    fn fetch(&mut self, name: &str) -> Result<PathBuf, HubError> {
        let path = self.folder().join(name);
        if path.is_file() {
            return Ok(path);
        }
        let wanted = Wanted {
            reference: self.reference,
            commit: &self.commit,
            name,
        };
        let bytes = match (&mut self.client, self.settings.network) {
            (Some(client), _) => wanted.fetch(client, &self.repository)?,
            (None, Network::Forbidden(why)) => return Err(self.offline(name, why)),
            (None, Network::Allowed) => return Err(self.offline(name, "this build")),
        };
        if bytes > 0 {
            self.downloaded.files += 1;
            self.downloaded.bytes += bytes;
        }
        Ok(path)
    }

    fn offline(&self, name: &str, why: &'static str) -> HubError {
        HubError::Offline {
            reference: self.reference.clone(),
            missing: name.to_owned(),
            cache: self.settings.cache.clone(),
            why,
        }
    }
}

/// A commit and the names of its files.
type Found = (String, BTreeSet<String>);

/// As the hub says; a commit whose list is kept will never have another.
fn resolve(
    client: &mut Client,
    repository: &Repository,
    reference: &Reference,
) -> Result<Found, HubError> {
    if let Some(commit) = reference.commit()
        && let Some(names) = repository.names(commit)
    {
        return Ok((commit.to_owned(), names));
    }
    let list = client.list()?;
    repository.set_commit(reference.revision(), &list.sha)?;
    repository.set_names(&list)?;
    let names = list.names().map(str::to_owned).collect();
    Ok((list.sha, names))
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
    if let Some(names) = repository.names(&commit) {
        return Ok((commit, names));
    }
    // Fetched file by file, by a program that needed perhaps not all that a build does.
    let names = repository.kept(&commit);
    if !names.contains(MODULES) && !repository.is_known_to_lack(&commit, MODULES) {
        return Err(HubError::Unknown {
            reference: reference.clone(),
            folder: repository.snapshot(&commit),
            file: MODULES,
            why,
        });
    }
    Ok((commit, names))
}
