//! Making the distributed tool: this program with base programs and a default
//! model appended, in the same container as any encoderfile.

use anyhow::Context;
use encoderfile::container::{self, ArtifactKind, Content};
use encoderfile::file::MappedFile;
use encoderfile::manifest::Manifest;
use encoderfile_builder::base::Base;
use encoderfile_builder::folder::read_file;
use std::path::Path;

pub(crate) fn assemble(
    bases: &[String],
    default_model: &Path,
    output: &Path,
) -> anyhow::Result<()> {
    let mut manifest = Manifest {
        name: "encoderfile".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..Manifest::default()
    };
    let mut programs = Vec::new();
    for base in bases {
        let (target, path) = base
            .split_once('=')
            .context("--base: expected TARGET=FILE")?;
        manifest.bases.push(target.into());
        programs.push(read_file(Path::new(path))?);
    }
    let default_model =
        MappedFile::open(default_model).with_context(|| default_model.display().to_string())?;
    let mut contents: Vec<Content<'_>> = Vec::new();
    for (index, program) in programs.iter().enumerate() {
        contents.push((ArtifactKind::Base(index), program));
    }
    contents.push((ArtifactKind::DefaultModel, &default_model));
    let mut payload = Vec::new();
    container::write(&manifest, &contents, &mut payload)?;
    let tool = Base::from_bytes(read_file(&std::env::current_exe()?)?)?;
    tool.write_with(&payload, output)
}
