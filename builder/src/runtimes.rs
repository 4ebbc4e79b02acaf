//! Where base programs come from: this tool, a cache, or the release that the tool is of.
//!
//! A release is a folder for each version, on a server or a disk: the base programs as they are,
//! `SHA256SUMS`, which lists them, and `SHA256SUMS.minisig`, which signs that list.
//!
//! **Invariant:** no program from outside of this tool is used that a list signed with the
//! tool's key does not have, and of the tool's own version none that the tool does not list
//! itself. The cache is checked as often as it is read.

mod address;
mod cache;
mod error;
mod sums;

use crate::carried::Carried;
use crate::hub::Network;
use crate::net::{Download, DownloadError, Hash, hexadecimal, lock, write};
use crate::target::Target;
use address::Address;
use encoderfile::manifest::{Release, ReleasedProgram};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use sums::Sums;

pub use error::RuntimeError;

/// The version of this tool, and of the base programs that it takes unless told otherwise.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The environment variable that says where releases are.
pub const ADDRESS_VARIABLE: &str = "ENCODERFILE_BASE_BINARY_BASE_URL";

/// No base program is larger.
const PROGRAM_LEN_MAX: u64 = 1 << 30;

/// What of the runtimes somebody knows better than this tool.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder to keep them in [default: `encoderfile` in the user's cache folder].
    pub cache: Option<PathBuf>,
    /// The version [default: [`VERSION`]].
    pub version: Option<String>,
    /// Whether anything is downloaded.
    pub network: Network,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cache: None,
            version: None,
            network: Network::Allowed,
        }
    }
}

/// The base programs of one version.
pub struct Runtimes {
    carried: Carried,
    settings: Settings,
    version: String,
}

/// Where a base program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this tool.
    Carried,
    /// In the cache.
    Cached,
    /// In the release alone.
    Released,
}

impl Runtimes {
    /// Those of this tool and its release.
    ///
    /// # Errors
    /// [`io::Error`] where this executable cannot be read, and [`RuntimeError::Version`].
    pub fn open(settings: Settings) -> anyhow::Result<Self> {
        let version = settings.version.as_deref().unwrap_or(VERSION);
        let version = version.trim_start_matches('v').to_owned();
        if !is_version(&version) {
            return Err(RuntimeError::Version { version }.into());
        }
        Ok(Self {
            carried: Carried::open()?,
            settings,
            version,
        })
    }

    /// What this tool carries.
    pub fn carried(&self) -> &Carried {
        &self.carried
    }

    /// Which version they are of.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// A base program's bytes; fetched where neither the tool nor the cache has it.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub fn program(&self, target: &'static Target) -> Result<Vec<u8>, RuntimeError> {
        match self.carried_program(target)? {
            Some(program) => Ok(program),
            None => {
                let path = self.fetch(target)?;
                let program = fs::read(&path).map_err(|source| of_file(&path, source))?;
                // Of the bytes that are used: somebody else may write into the cache meanwhile.
                match self.hash(target)? == Hash::sha256(&program) {
                    true => Ok(program),
                    false => Err(RuntimeError::Content {
                        place: path.display().to_string(),
                        problem: "was changed while it was read".into(),
                    }),
                }
            }
        }
    }

    /// Puts a base program into the cache, if it is not there; says where.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub fn add(&self, target: &'static Target) -> Result<PathBuf, RuntimeError> {
        let Some(program) = self.carried_program(target)? else {
            return self.fetch(target);
        };
        let path = self.cached(target)?;
        if fs::read(&path).ok().as_ref() != Some(&program) {
            write(&path, &program)
                .and_then(|()| set_executable(&path))
                .map_err(|source| of_file(&path, source))?;
        }
        Ok(path)
    }

    /// Removes a base program from the cache; says whether it was there.
    ///
    /// # Errors
    /// [`RuntimeError::File`].
    pub fn remove(&self, target: &'static Target) -> Result<bool, RuntimeError> {
        let path = self.cached(target)?;
        let folder = path.parent().unwrap_or(&path);
        match fs::remove_dir_all(folder) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(of_file(folder, source)),
        }
    }

    /// Where a base program is, if it can be had as far as is known without asking anybody.
    ///
    /// # Errors
    /// [`RuntimeError::NoCache`].
    pub fn place(&self, target: &'static Target) -> Result<Option<Place>, RuntimeError> {
        if self.is_own() && self.carried.has(target.triple) {
            return Ok(Some(Place::Carried));
        }
        if self.cached(target)?.is_file() {
            return Ok(Some(Place::Cached));
        }
        let is_released = self.released(target).is_some();
        Ok(is_released.then_some(Place::Released))
    }

    /// Where the cache has a base program, or would have it.
    ///
    /// # Errors
    /// [`RuntimeError::NoCache`].
    pub fn cached(&self, target: &'static Target) -> Result<PathBuf, RuntimeError> {
        let name = format!("encoderfile-runtime{}", target.suffix());
        Ok(self.folder()?.join(target.triple).join(name))
    }

    /// Where the cache has everything of this version.
    ///
    /// # Errors
    /// [`RuntimeError::NoCache`].
    pub fn folder(&self) -> Result<PathBuf, RuntimeError> {
        let cache = match &self.settings.cache {
            Some(cache) => Some(cache.clone()),
            None => cache::default_folder(),
        };
        let cache = cache.ok_or(RuntimeError::NoCache)?;
        Ok(cache.join("base-binaries/encoderfile").join(&self.version))
    }

    /// How many bytes a base program of the release has, if this tool knows.
    pub fn released_length(&self, target: &Target) -> Option<u64> {
        self.released(target).map(|it| it.length)
    }

    fn is_own(&self) -> bool {
        self.version == VERSION
    }

    fn release(&self) -> Result<&Release, RuntimeError> {
        let release = self.carried.release();
        release
            .filter(|it| !it.public_key.is_empty())
            .ok_or_else(|| RuntimeError::NoRelease {
                carried: self.carried.names(),
            })
    }

    /// What this tool knows of a base program of its own version.
    fn released(&self, target: &Target) -> Option<&ReleasedProgram> {
        let release = self.carried.release().filter(|_| self.is_own())?;
        let mut programs = release.programs.iter();
        programs.find(|it| it.target == target.triple)
    }

    fn carried_program(&self, target: &Target) -> Result<Option<Vec<u8>>, RuntimeError> {
        if !self.is_own() {
            return Ok(None);
        }
        let carried = self.carried.program(target.triple);
        carried.map_err(|source| RuntimeError::Carried {
            target: target.triple,
            source,
        })
    }

    /// Where the cache has a base program, which is what the release says it is.
    fn fetch(&self, target: &'static Target) -> Result<PathBuf, RuntimeError> {
        let path = self.cached(target)?;
        let hash = self.hash(target)?;
        if is_whole(&path, &hash) {
            return Ok(path);
        }
        let name = format!("encoderfile {} for {target}", self.version);
        if let Network::Forbidden(why) = self.settings.network {
            return Err(RuntimeError::Forbidden { name, path, why });
        }
        let lock_path = self.folder()?.join(format!(".{target}.lock"));
        let _lock = lock(&lock_path, &name).map_err(|source| of_file(&lock_path, source))?;
        // Whoever held the lock may have fetched it.
        if !is_whole(&path, &hash) {
            self.download(target, &name, &path, &hash)?;
        }
        Ok(path)
    }

    fn download(
        &self,
        target: &'static Target,
        name: &str,
        path: &Path,
        hash: &Hash,
    ) -> Result<(), RuntimeError> {
        let mut address = self.address()?;
        let file = file_name(target);
        let download = Download {
            name,
            path,
            length: self.released_length(target),
            length_max: PROGRAM_LEN_MAX,
            hash,
        };
        let done = download.fetch(&mut |offset| address.open(&file, offset));
        let length = done.map_err(|error| match error {
            DownloadError::Source(error) => error,
            DownloadError::Content(problem) => RuntimeError::Content {
                place: address.place(&file),
                problem,
            },
            DownloadError::Cut { got, problem, .. } => RuntimeError::Cut {
                place: address.place(&file),
                got,
                problem,
            },
            DownloadError::File { path, source } => RuntimeError::File { path, source },
        })?;
        set_executable(path).map_err(|source| of_file(path, source))?;
        let megabytes = length as f64 / 1e6;
        eprintln!("{name}: {megabytes:.1} MB from {}", address.place(&file));
        Ok(())
    }

    /// The hash of a base program, as the release's signed list has it.
    fn hash(&self, target: &'static Target) -> Result<Hash, RuntimeError> {
        let known = self.released(target).map(|it| hexadecimal(&it.sha256));
        let sums = self.sums(target)?;
        let file = file_name(target);
        let listed = sums.get(&file).ok_or_else(|| RuntimeError::NotInRelease {
            target: target.triple,
            version: self.version.clone(),
            there: sums.programs().join(", "),
        })?;
        match known {
            Some(known) if known != listed => Err(RuntimeError::Disagree {
                target: target.triple,
                known,
                listed: listed.to_owned(),
            }),
            None if self.is_own() && self.lists_programs() => Err(RuntimeError::NotInRelease {
                target: target.triple,
                version: self.version.clone(),
                there: self.carried.names(),
            }),
            _ => Ok(Hash::Sha256(listed.to_owned())),
        }
    }

    fn lists_programs(&self) -> bool {
        let release = self.carried.release();
        release.is_some_and(|it| !it.programs.is_empty())
    }

    /// The signed list: of the cache, or fetched into it.
    fn sums(&self, target: &Target) -> Result<Sums, RuntimeError> {
        let key = &self.release()?.public_key;
        let folder = self.folder()?;
        // A version that was made again has another list than the cache of the one before.
        let known = self.released(target).map(|it| hexadecimal(&it.sha256));
        let is_of_tool =
            |sums: &Sums| known.is_none() || sums.get(&file_name(target)) == known.as_deref();
        if let Some(sums) = Sums::in_folder(&folder, key, &self.version).filter(is_of_tool) {
            return Ok(sums);
        }
        if let Network::Forbidden(why) = self.settings.network {
            return Err(RuntimeError::Forbidden {
                name: format!("encoderfile {} for {target}", self.version),
                path: folder.join(target.triple),
                why,
            });
        }
        let mut address = self.address()?;
        let sums = Sums::fetch(&mut address, key, &self.version)?;
        sums.keep(&folder)?;
        Ok(sums)
    }

    /// The folder of this version.
    fn address(&self) -> Result<Address, RuntimeError> {
        let said = std::env::var(ADDRESS_VARIABLE).ok();
        let said = said.filter(|it| !it.trim().is_empty());
        let own = self.carried.release().map(|it| it.address.clone());
        let text = said.or(own.filter(|it| !it.is_empty()));
        Address::parse(&text.ok_or(RuntimeError::NoAddress)?, &self.version)
    }
}

/// The name of a base program in a release.
pub fn file_name(target: &Target) -> String {
    format!("encoderfile-runtime-{target}{}", target.suffix())
}

/// A folder is called so, and nothing leaves it.
fn is_version(text: &str) -> bool {
    let is_allowed = |it: char| it.is_ascii_alphanumeric() || ".-+".contains(it);
    text.starts_with(|it: char| it.is_ascii_digit()) && text.chars().all(is_allowed)
}

fn is_whole(path: &Path, hash: &Hash) -> bool {
    let computed = File::open(path).and_then(|mut file| hash.compute(&mut file));
    computed.is_ok_and(|it| it == hash.name())
}

fn of_file(path: &Path, source: io::Error) -> RuntimeError {
    RuntimeError::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(unix)]
fn set_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let mut permissions = fs::metadata(path)?.permissions();
    // Whoever may read it may run it.
    let mode = permissions.mode();
    permissions.set_mode(mode | (mode & 0o444) >> 2);
    fs::set_permissions(path, permissions)
}

#[cfg(not(unix))]
fn set_executable(_: &Path) -> io::Result<()> {
    Ok(())
}
