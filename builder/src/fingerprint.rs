//! By what a file says that a build would give it again: a hash of everything that the build is
//! made of, which stands in the file's manifest.
//!
//! No state is kept beside the files, and no time of a file is looked at.

use crate::base::Base;
use crate::error::BuildError;
use crate::folder::Paths;
use crate::inputs;
use encoderfile::file::MappedFile;
use encoderfile::manifest::{BuildOption, HubCommit};
use encoderfile::{Executor, Payload};
use std::path::Path;
use std::sync::Arc;

/// Who builds, as it stands in a file's provenance.
pub(crate) const BUILDER: &str = concat!("encoderfile ", env!("CARGO_PKG_VERSION"));

/// What the name of a fingerprint's form is; another form has another.
const FORM: &str = "encoderfile fingerprint 1";

/// What a model is made of.
#[derive(Clone, Copy, Debug)]
pub enum Material<'a> {
    /// The files of a folder, by their content.
    Files(&'a Paths),
    /// A commit of the hub, whose files nobody can change.
    Commit {
        /// Which.
        source: &'a HubCommit,
        /// The file of weights that was asked for.
        weights_file: Option<&'a Path>,
    },
}

/// BLAKE3 over the builder's version, the name, version and options of a model, and its material.
///
/// # Errors
/// [`BuildError`] for a file of the material that cannot be read.
pub fn fingerprint(
    name: &str,
    version: &str,
    options: &[BuildOption],
    material: Material<'_>,
) -> Result<[u8; 32], BuildError> {
    let mut hash = Fields(blake3::Hasher::new());
    hash.add(FORM);
    hash.add(BUILDER);
    hash.add(name);
    hash.add(version);
    hash.add(options.len().to_string());
    for option in options {
        hash.add(&option.name);
        hash.add(&option.value);
    }
    match material {
        Material::Files(paths) => {
            hash.add(match paths.tokenizer_stands_alone {
                true => "parts",
                false => "files",
            });
            let Paths {
                weights,
                config,
                tokenizer,
                tokenizer_config,
                ..
            } = paths;
            for stated in [weights, config, tokenizer, tokenizer_config] {
                hash.add(inputs::name_in(&paths.folder, stated));
            }
            for input in inputs::of(paths)? {
                hash.add(&input.name);
                hash.add(input.hash()?.as_bytes());
            }
        }
        Material::Commit {
            source,
            weights_file,
        } => {
            hash.add("commit");
            hash.add(&source.repository);
            hash.add(&source.commit);
            hash.add(
                weights_file
                    .unwrap_or(Path::new(""))
                    .to_string_lossy()
                    .as_bytes(),
            );
        }
    }
    Ok(hash.0.finalize().into())
}

/// A hash of fields, each with its length before it, so that no two lists of fields are the same
/// bytes.
struct Fields(blake3::Hasher);

impl Fields {
    fn add(&mut self, field: impl AsRef<[u8]>) {
        let field = field.as_ref();
        self.0.update(&(field.len() as u64).to_le_bytes());
        self.0.update(field);
    }
}

/// Whether a file is what a build with that fingerprint would write behind `base`: its manifest
/// has the fingerprint, its hashes are right, and its program is this one.
pub fn is_current(file: &Path, base: &Base, fingerprint: &[u8]) -> bool {
    let Ok(file) = MappedFile::open(file).map(Arc::new) else {
        return false;
    };
    let Ok(payload) = Payload::open(Arc::<MappedFile>::clone(&file)) else {
        return false;
    };
    let model = payload.manifest().model.as_ref();
    model.is_some_and(|it| it.provenance.fingerprint == fingerprint)
        && payload.verify_with(&Executor::AllCores).is_ok()
        && payload
            .bytes()
            .is_ok_and(|bytes| base.gives(payload.manifest(), &bytes, file.bytes()))
}
