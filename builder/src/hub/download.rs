//! Fetching a file of a commit.

use super::HubError;
use super::cache::{Repository, of_file};
use super::client::Client;
use super::files::{FILE_LEN_MAX, Remote};
use super::reference::Reference;
use crate::net::{Asked, Download, DownloadError, body_from};

/// Where the lengths of a file are not announced, it is one of these: JSON and text.
const UNANNOUNCED_LEN_MAX: u64 = 64 << 20;

/// A file of a commit.
pub(super) struct Wanted<'a> {
    pub(super) reference: &'a Reference,
    pub(super) commit: &'a str,
    pub(super) name: &'a str,
}

impl Wanted<'_> {
    /// Fetches it, unless the blob is there, and links it; gives how many bytes it took.
    pub(super) fn fetch(
        &self,
        client: &mut Client,
        repository: &Repository,
    ) -> Result<u64, HubError> {
        let url = client.file(self.commit, self.name)?;
        // What a file is, whoever has it, is said by the hub alone.
        let answer = client.ask(&url, Asked::Head(Remote::is_told), Some(self.name))?;
        let remote = Remote::of(&answer.response).ok_or_else(|| HubError::Answer {
            url: answer.url.shown(),
            problem: "its answer has no ETag that is a SHA-1 or SHA-256".into(),
        })?;
        let blob = repository.blob(&remote.hash);
        let download = Download {
            name: self.name,
            path: &blob,
            length: remote.length,
            length_max: UNANNOUNCED_LEN_MAX,
            hash: &remote.hash,
        };
        if let Some(length) = remote.length.filter(|it| *it > FILE_LEN_MAX) {
            return Err(self.content(format!("has {length} bytes, limit {FILE_LEN_MAX}")));
        }
        let mut fetched = 0;
        if !blob.exists() {
            let _lock = repository.lock(&remote.hash, self.name)?;
            // Whoever held the lock may have fetched it.
            if !blob.exists() {
                let mut ask = |asked| client.ask(&url, asked, Some(self.name));
                let done = download.fetch(&mut |offset| body_from(offset, &mut ask));
                fetched = done.map_err(|error| self.failed(error))?;
            }
        }
        repository.link(&remote.hash, self.commit, self.name)?;
        Ok(fetched)
    }

    fn failed(&self, error: DownloadError<HubError>) -> HubError {
        match error {
            DownloadError::Source(error) => error,
            DownloadError::Content(problem) => self.content(problem),
            DownloadError::Cut {
                got,
                expected,
                problem,
            } => HubError::Cut {
                reference: self.reference.clone(),
                file: self.name.to_owned(),
                got,
                expected,
                problem,
            },
            DownloadError::File { path, source } => of_file(&path, source),
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
