//! Fetching a file: from where it was cut, to the length and hash it was announced with.

use super::HubError;
use super::cache::{Repository, create_folder_of, of_file};
use super::client::{Asked, Client, TRIES, pause_after};
use super::files::{FILE_LEN_MAX, Remote};
use super::reference::Reference;
use super::url::Url;
use crate::progress::Progress;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use ureq::http::HeaderMap;
use ureq::http::header::CONTENT_RANGE;

/// Read at once.
const CHUNK_LEN: usize = 1 << 18;

/// A connection that brought so much was a good one, whatever became of it.
const WORTH: u64 = 1 << 20;

/// Where the lengths of a file are not announced, it is one of these: JSON and text.
const UNANNOUNCED_LEN_MAX: u64 = 64 << 20;

/// A file of a commit.
pub(super) struct Wanted<'a> {
    pub(super) reference: &'a Reference,
    pub(super) commit: &'a str,
    pub(super) name: &'a str,
}

/// How a connection ended.
enum End {
    /// With the file.
    Whole,
    /// Before that.
    Cut(io::Error),
}

impl Wanted<'_> {
    /// Fetches it, unless the blob is there, and links it; gives how many bytes it took.
    pub(super) fn fetch(
        &self,
        client: &mut Client,
        repository: &Repository,
    ) -> Result<u64, HubError> {
        let url = client.file(self.commit, self.name)?;
        let answer = client.ask(&url, Asked::Head, Some(self.name))?;
        let remote = Remote::of(&answer.response).ok_or_else(|| HubError::Answer {
            url: answer.url.shown(),
            problem: "its answer has no ETag that is a SHA-1 or SHA-256".into(),
        })?;
        let limit = remote.length.unwrap_or(UNANNOUNCED_LEN_MAX);
        if limit > FILE_LEN_MAX {
            return Err(self.content(format!("has {limit} bytes, limit {FILE_LEN_MAX}")));
        }
        let blob = repository.blob(&remote.hash);
        let mut fetched = 0;
        if !blob.exists() {
            let _lock = repository.lock(&remote.hash, self.name)?;
            // Whoever held the lock may have fetched it.
            if !blob.exists() {
                fetched = self.fetch_blob(client, &url, &remote, &blob)?;
            }
        }
        repository.link(&remote.hash, self.commit, self.name)?;
        Ok(fetched)
    }

    fn fetch_blob(
        &self,
        client: &mut Client,
        url: &Url,
        remote: &Remote,
        blob: &Path,
    ) -> Result<u64, HubError> {
        let mut partial = Partial::open(blob, self.name, remote)?;
        let begun = partial.length;
        let wrong = self.complete(client, url, &mut partial)?;
        let wrong = match wrong {
            // The beginning was somebody else's, or of a file system that lost it.
            Some(_) if begun > 0 => {
                partial.restart()?;
                self.complete(client, url, &mut partial)?
            }
            wrong => wrong,
        };
        if let Some(problem) = wrong {
            partial.remove();
            return Err(self.content(problem));
        }
        let fetched = partial.length;
        partial.keep(blob)?;
        Ok(fetched)
    }

    /// Fetches what is missing, and says what is wrong with the whole.
    fn complete(
        &self,
        client: &mut Client,
        url: &Url,
        partial: &mut Partial<'_>,
    ) -> Result<Option<String>, HubError> {
        let mut tries = 0;
        while !partial.is_whole() {
            let before = partial.length;
            let end = self.transfer(client, url, partial)?;
            let End::Cut(error) = end else { break };
            tries = if partial.length >= before + WORTH {
                1
            } else {
                tries + 1
            };
            if tries >= TRIES {
                return Err(HubError::Cut {
                    reference: self.reference.clone(),
                    file: self.name.to_owned(),
                    got: partial.length,
                    expected: partial.limit(),
                    problem: error.to_string(),
                });
            }
            if partial.length == before {
                thread::sleep(pause_after(tries));
            }
        }
        partial.problem()
    }

    fn transfer(
        &self,
        client: &mut Client,
        url: &Url,
        partial: &mut Partial<'_>,
    ) -> Result<End, HubError> {
        let asked = match partial.length {
            0 => Asked::All,
            length => Asked::From(length),
        };
        let mut answer = client.ask(url, asked, Some(self.name))?;
        let goes_on = answer.response.status().as_u16() == 206
            && range_start(answer.response.headers()) == Some(partial.length);
        if partial.length > 0 && !goes_on {
            partial.restart()?;
            if !answer.response.status().is_success() || answer.response.status() == 206 {
                // It has no such range: what was there is none of it.
                answer = client.ask(url, Asked::All, Some(self.name))?;
            }
        }
        let mut body = answer.response.body_mut().as_reader();
        let mut chunk = vec![0; CHUNK_LEN];
        loop {
            let length = match body.read(&mut chunk) {
                Ok(0) => return Ok(End::Whole),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(End::Cut(error)),
            };
            if partial.length + length as u64 > partial.limit() {
                partial.remove();
                let limit = partial.limit();
                return Err(self.content(format!("has more than the {limit} bytes announced")));
            }
            partial.append(&chunk[..length])?;
        }
    }

    fn content(&self, problem: String) -> HubError {
        HubError::Content {
            reference: self.reference.clone(),
            file: self.name.to_owned(),
            problem,
        }
    }
}

/// Where the range of an answer begins: `bytes 100-199/200`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (start, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    start.parse().ok()
}

/// A blob on its way: `HASH.incomplete`, which a later build goes on with.
struct Partial<'a> {
    path: PathBuf,
    file: File,
    length: u64,
    remote: &'a Remote,
    progress: Progress,
}

impl<'a> Partial<'a> {
    fn open(blob: &Path, name: &str, remote: &'a Remote) -> Result<Self, HubError> {
        let mut path = blob.as_os_str().to_owned();
        path.push(".incomplete");
        let path = PathBuf::from(path);
        let opened = create_folder_of(&path).and_then(|()| {
            let mut options = File::options();
            let file = options.read(true).append(true).create(true).open(&path)?;
            let length = file.metadata()?.len();
            Ok((file, length))
        });
        let (file, length) = opened.map_err(|source| of_file(&path, source))?;
        let mut partial = Self {
            path,
            file,
            length,
            remote,
            progress: Progress::of_file(name, remote.length, length),
        };
        if length > partial.limit() {
            partial.restart()?;
        }
        Ok(partial)
    }

    fn limit(&self) -> u64 {
        self.remote.length.unwrap_or(UNANNOUNCED_LEN_MAX)
    }

    /// Whether as much is there as was announced.
    fn is_whole(&self) -> bool {
        self.remote.length == Some(self.length)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        let written = self.file.write_all(bytes);
        written.map_err(|source| of_file(&self.path, source))?;
        self.length += bytes.len() as u64;
        self.progress.set(self.length);
        Ok(())
    }

    fn restart(&mut self) -> Result<(), HubError> {
        let cleared = self.file.set_len(0);
        cleared.map_err(|source| of_file(&self.path, source))?;
        self.length = 0;
        self.progress.set(0);
        Ok(())
    }

    /// What of it is not as announced.
    fn problem(&self) -> Result<Option<String>, HubError> {
        if let Some(expected) = self.remote.length.filter(|it| *it != self.length) {
            let got = self.length;
            return Ok(Some(format!("has {got} bytes, {expected} were announced")));
        }
        // What is on the disk: a part of it may be of an earlier build.
        let computed = File::open(&self.path).and_then(|mut it| self.remote.hash.compute(&mut it));
        let computed = computed.map_err(|source| of_file(&self.path, source))?;
        let is_right = computed == self.remote.hash.name();
        Ok((!is_right).then(|| format!("is not the {} announced", self.remote.hash)))
    }

    /// Gives it the blob's name.
    fn keep(self, blob: &Path) -> Result<(), HubError> {
        self.progress.finish();
        // Else a machine that loses power may find the name without the content.
        let kept = self
            .file
            .sync_all()
            .and_then(|()| fs::rename(&self.path, blob));
        kept.map_err(|source| of_file(blob, source))
    }

    fn remove(&self) {
        // What remains is never taken for the blob.
        let _ = fs::remove_file(&self.path);
    }
}
