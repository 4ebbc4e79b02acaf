//! What a hub says of files: which there are, and what each is.

use super::HubError;
use super::reference::{COMMIT_LEN, Reference, is_commit, is_hexadecimal};
use crate::net::{Hash, content_length};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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

/// The hash of an `ETag`, `"…"` or `W/"…"`, by which a file is kept under `blobs/`: SHA-256 of a
/// large file's content, of any other what git has for it.
fn hash_of_etag(etag: &str) -> Option<Hash> {
    let etag = etag.trim();
    let hash = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
    match hash.len() {
        _ if !is_hexadecimal(hash) => None,
        SHA256_LEN => Some(Hash::Sha256(hash.to_owned())),
        COMMIT_LEN => Some(Hash::GitBlob(hash.to_owned())),
        _ => None,
    }
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
    pub(super) fn is_told(headers: &HeaderMap) -> bool {
        headers.contains_key(LINKED_ETAG)
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
            hash: hash_of_etag(etag?)?,
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
        let of = |etag: &str| hash_of_etag(etag);
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
}
