//! What a hub says of files: which there are, and what each is.

use super::HubError;
use super::client::content_length;
use super::reference::{COMMIT_LEN, Reference, is_commit, is_hexadecimal};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use ureq::Body;
use ureq::http::header::ETAG;
use ureq::http::{HeaderMap, Response};

/// The hub's limit, by which no download is endless.
pub(super) const FILE_LEN_MAX: u64 = 50_000_000_000;

/// A SHA-256 in hexadecimal.
const SHA256_LEN: usize = 64;

/// The files of a commit, as `/api/models/ID/revision/REVISION` has them.
#[derive(Debug, Deserialize)]
pub(super) struct List {
    /// The commit.
    pub(super) sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    #[serde(rename = "rfilename")]
    name: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Debug, Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

impl List {
    pub(super) fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }

    /// Itself, if its commit and its names are such.
    pub(super) fn checked(self, reference: &Reference) -> Result<Self, HubError> {
        if !is_commit(&self.sha) {
            return Err(HubError::Answer {
                url: reference.to_string(),
                problem: format!("its commit is not {COMMIT_LEN} hexadecimal digits"),
            });
        }
        match self.siblings.iter().find(|it| !is_inside(&it.name)) {
            Some(other) => Err(HubError::FileName {
                reference: reference.clone(),
                name: other.name.clone(),
            }),
            None => Ok(self),
        }
    }

    pub(super) fn lengths(&self) -> BTreeMap<String, Option<u64>> {
        let lengths = self.siblings.iter().map(|it| {
            let large = it.lfs.as_ref().map(|it| it.size);
            (it.name.clone(), large.or(it.size))
        });
        lengths.collect()
    }

    /// What `huggingface_hub` keeps of a commit's files; `None` where the hub said too little.
    pub(super) fn tree(&self) -> Option<Tree> {
        let entry = |it: &Sibling| {
            let entry = TreeEntry {
                size: it.size?,
                blob_id: it.blob_id.clone()?,
                lfs_sha256: it.lfs.as_ref().map(|it| it.sha256.clone()),
                lfs_size: it.lfs.as_ref().map(|it| it.size),
            };
            Some((it.name.clone(), entry))
        };
        Some(Tree {
            format_version: TREE_VERSION,
            files: self.siblings.iter().map(entry).collect::<Option<_>>()?,
        })
    }
}

const TREE_VERSION: u32 = 1;

/// The files of a commit, as `huggingface_hub` keeps them under `trees/`.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Tree {
    format_version: u32,
    files: BTreeMap<String, TreeEntry>,
}

#[derive(Debug, Deserialize, Serialize)]
struct TreeEntry {
    size: u64,
    blob_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    lfs_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lfs_size: Option<u64>,
}

impl Tree {
    /// The lengths, if it is of a form that is known and each name is inside of a folder.
    pub(super) fn into_lengths(self) -> Option<BTreeMap<String, Option<u64>>> {
        let is_known = self.format_version == TREE_VERSION;
        let all_inside = self.files.keys().all(|it| is_inside(it));
        let length = |it: TreeEntry| it.lfs_size.or(Some(it.size));
        let lengths = self.files.into_iter().map(|(name, it)| (name, length(it)));
        (is_known && all_inside).then(|| lengths.collect())
    }
}

/// Whether a name is one of a file inside a folder, on every system, and can be shown on a
/// terminal.
pub(super) fn is_inside(name: &str) -> bool {
    let is_part = |part: &str| !["", ".", ".."].contains(&part);
    let is_refused = |it: char| it.is_control() || it == '\\' || it == ':';
    !name.contains(is_refused) && name.split('/').all(is_part)
}

/// What a file holds, by which it is kept under `blobs/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    /// Of a large file's content.
    Sha256(String),
    /// Of any other, as git does it.
    GitBlob(String),
}

impl Hash {
    /// Of an `ETag`: `"…"` or `W/"…"`.
    fn of_etag(etag: &str) -> Option<Self> {
        let etag = etag.trim();
        let hash = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
        match hash.len() {
            _ if !is_hexadecimal(hash) => None,
            SHA256_LEN => Some(Self::Sha256(hash.to_owned())),
            COMMIT_LEN => Some(Self::GitBlob(hash.to_owned())),
            _ => None,
        }
    }

    pub(super) fn name(&self) -> &str {
        let (Self::Sha256(name) | Self::GitBlob(name)) = self;
        name
    }

    /// The same hash of a file.
    pub(super) fn compute(&self, file: &mut File) -> io::Result<String> {
        let length = file.metadata()?.len();
        Ok(match self {
            Self::Sha256(_) => hash_of(Sha256::new(), file)?,
            Self::GitBlob(_) => hash_of(Sha1::new_with_prefix(format!("blob {length}\0")), file)?,
        })
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(name) => write!(f, "SHA-256 {name}"),
            Self::GitBlob(name) => write!(f, "git blob {name}"),
        }
    }
}

fn hash_of(mut hasher: impl Digest, file: &mut File) -> io::Result<String> {
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            length => hasher.update(&chunk[..length]),
        }
    }
    let hash = hasher.finalize();
    Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What the hub says of one file.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    pub(super) hash: Hash,
    pub(super) length: Option<u64>,
}

const LINKED_ETAG: &str = "X-Linked-Etag";
const LINKED_SIZE: &str = "X-Linked-Size";

impl Remote {
    /// Whether an answer that redirects says what the file is.
    pub(super) fn is_told(response: &Response<Body>) -> bool {
        response.headers().contains_key(LINKED_ETAG)
    }

    /// `None` for an answer without a hash that can be checked.
    pub(super) fn of(response: &Response<Body>) -> Option<Self> {
        let headers = response.headers();
        let text = |name: &str| text(headers, name);
        let etag = text(LINKED_ETAG).or_else(|| text(ETAG.as_str()));
        let linked = text(LINKED_SIZE).and_then(|it| it.parse().ok());
        // Of a redirection, the length is of its own text.
        let own = content_length(headers).filter(|_| response.status().is_success());
        Some(Self {
            hash: Hash::of_etag(etag?)?,
            length: linked.or(own),
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_inside_its_folder() {
        for name in [
            "config.json",
            "onnx/model.onnx",
            "1_Pooling/config.json",
            "a..b",
            ".x",
        ] {
            assert!(is_inside(name), "{name}");
        }
        for name in [
            "",
            "/etc/passwd",
            "../x",
            "a/../x",
            "a//b",
            "a/",
            "a/.",
            "C:\\x",
            "c:x",
            "a\\..\\b",
            "a\0b",
            "a\x1b[2Jb",
            "a\nb",
        ] {
            assert!(!is_inside(name), "{name:?}");
        }
    }

    #[test]
    fn an_etag_is_a_hash_or_nothing() {
        let (sha1, sha256) = ("a".repeat(40), "b".repeat(64));
        let of = |etag: &str| Hash::of_etag(etag);
        assert_eq!(
            of(&format!("\"{sha1}\"")),
            Some(Hash::GitBlob(sha1.clone()))
        );
        assert_eq!(
            of(&format!("W/\"{sha1}\"")),
            Some(Hash::GitBlob(sha1.clone()))
        );
        assert_eq!(of(&sha256), Some(Hash::Sha256(sha256)));
        for etag in [
            "",
            "\"../../x\"",
            &"A".repeat(40),
            &"a".repeat(41),
            "\"x-2\"",
        ] {
            assert_eq!(of(etag), None, "{etag}");
        }
    }

    /// `git hash-object` and `sha256sum` of `hello\n`.
    #[test]
    fn a_file_is_hashed_as_git_and_lfs_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hello");
        std::fs::write(&path, "hello\n").unwrap();
        for (hash, expected) in [
            (
                Hash::GitBlob(String::new()),
                "ce013625030ba8dba906f756967f9e9ca394464a",
            ),
            (
                Hash::Sha256(String::new()),
                "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
            ),
        ] {
            let computed = hash.compute(&mut File::open(&path).unwrap());
            assert_eq!(computed.unwrap(), expected);
        }
    }
}
