//! What `--model` names: a folder, or a model of the hub.

use super::HubError;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

/// The branch of a reference that names no revision.
const DEFAULT_REVISION: &str = "main";

/// The hub has no longer ids.
const ID_LEN_MAX: usize = 96;

/// A commit's name is a SHA-1 in hexadecimal.
pub(super) const COMMIT_LEN: usize = 40;

/// What was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A folder, which need not be there.
    Folder(PathBuf),
    /// A model of the hub.
    Model(Reference),
}

impl Named {
    /// What a name means here and now: a folder that is there goes first. `./NAME` and
    /// absolute paths are never models.
    ///
    /// # Errors
    /// [`HubError::Neither`] for a name that can be neither.
    pub fn of(name: &Path) -> Result<Self, HubError> {
        if name.exists() || is_a_path(name) {
            return Ok(Self::Folder(name.to_owned()));
        }
        let reference = name.to_str().and_then(|it| it.parse().ok());
        reference.map(Self::Model).ok_or_else(|| HubError::Neither {
            name: name.to_owned(),
        })
    }
}

/// Whether a name is written as only paths are.
fn is_a_path(name: &Path) -> bool {
    let first = name.components().next();
    name.is_absolute() || matches!(first, Some(Component::CurDir | Component::ParentDir))
}

/// A model of the hub: `NAME` or `ORG/NAME`, perhaps with `@REVISION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    id: String,
    revision: Option<String>,
}

impl Reference {
    /// `NAME` or `ORG/NAME`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The id without the organisation.
    pub fn name(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or(&self.id)
    }

    /// A branch, a tag, or a commit, which may be shortened.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(DEFAULT_REVISION)
    }

    /// The revision, if it is a whole commit and so will never be another.
    pub(super) fn commit(&self) -> Option<&str> {
        self.revision.as_deref().filter(|it| is_commit(it))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

/// Text that is no reference to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoReference;

impl FromStr for Reference {
    type Err = NoReference;

    fn from_str(text: &str) -> Result<Self, NoReference> {
        let (id, revision) = match text.split_once('@') {
            Some((id, revision)) => (id, Some(revision)),
            None => (text, None),
        };
        let is_one = id.len() <= ID_LEN_MAX
            && id.split('/').count() <= 2
            && id.split('/').all(is_name)
            && revision.is_none_or(is_revision);
        match is_one {
            true => Ok(Self {
                id: id.to_owned(),
                revision: revision.map(str::to_owned),
            }),
            false => Err(NoReference),
        }
    }
}

/// Whether the hub takes it as a name. No such name leaves a folder.
fn is_name(name: &str) -> bool {
    let is_allowed = |it: char| it.is_ascii_alphanumeric() || "-_.".contains(it);
    let ends = ['-', '.'];
    !name.is_empty()
        && name.chars().all(is_allowed)
        && !name.starts_with(ends)
        && !name.ends_with(ends)
        && !name.contains("--")
        && !name.contains("..")
        && !name.ends_with(".git")
}

/// Whether git takes it as the name of a branch or tag. None leaves a folder.
fn is_revision(revision: &str) -> bool {
    let is_refused = |it: char| it.is_whitespace() || it.is_control() || "\\:?*[~^".contains(it);
    !revision.contains(is_refused)
        && revision
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains(".."))
}

/// Whether it is a whole commit's name.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == COMMIT_LEN && is_hexadecimal(revision)
}

/// Lower case, as git and the hub write it.
pub(super) fn is_hexadecimal(text: &str) -> bool {
    text.bytes()
        .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(text: &str) -> Option<(String, String)> {
        let reference: Reference = text.parse().ok()?;
        Some((reference.id().into(), reference.revision().into()))
    }

    #[test]
    fn ids_and_revisions_are_told_apart() {
        for (text, id, revision) in [
            ("bert-base-uncased", "bert-base-uncased", "main"),
            ("BAAI/bge-small-en-v1.5", "BAAI/bge-small-en-v1.5", "main"),
            ("org/name@v1.0", "org/name", "v1.0"),
            ("org/name@refs/pr/3", "org/name", "refs/pr/3"),
            ("_org/na_me.x", "_org/na_me.x", "main"),
        ] {
            assert_eq!(model(text), Some((id.into(), revision.into())), "{text}");
        }
        assert_eq!("org/name".parse::<Reference>().unwrap().name(), "name");
        assert_eq!("name".parse::<Reference>().unwrap().name(), "name");
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "", "/", "a/", "/a", "a/b/c", "..", "a/..", "../a", ".a", "a.", "-a", "a--b", "a b",
            "a\\b", "C:\\a", "~/a", "ä/b", "a.git", "a@", "a/b@", "a@..", "a@x/../y", "a@/x",
            "a@x/", "a@x y", "a@.x", "@main", "a@x\n",
        ] {
            assert_eq!(model(text), None, "{text:?}");
        }
        assert_eq!(model(&"a".repeat(97)), None);
    }

    #[test]
    fn a_folder_that_is_there_goes_first_and_paths_are_never_models() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            folder.path().to_owned(),
            "src".into(),
            "./nowhere".into(),
            "../nowhere".into(),
            "/no/where".into(),
        ] {
            assert_eq!(Named::of(&path).unwrap(), Named::Folder(path.clone()));
        }
        let named = Named::of(Path::new("org/nowhere")).unwrap();
        assert!(matches!(named, Named::Model(_)), "{named:?}");
        let error = Named::of(Path::new("no/such/folder")).unwrap_err();
        assert!(matches!(error, HubError::Neither { .. }), "{error}");
    }

    #[test]
    fn only_a_whole_commit_is_one() {
        let commit = "5c38ec7c405ec4b44b94cc5a9bb96e735b38267a";
        let of = |text: String| {
            text.parse::<Reference>()
                .unwrap()
                .commit()
                .map(String::from)
        };
        assert_eq!(of(format!("a@{commit}")), Some(commit.into()));
        assert_eq!(of(format!("a@{}", &commit[..39])), None);
        assert_eq!(of(format!("a@{}", commit.to_uppercase())), None);
        assert_eq!(of("a".into()), None);
    }
}
