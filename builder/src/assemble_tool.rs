//! Making the distributed tool: this program with base programs and a default
//! model appended, in the same container as any encoderfile.

use crate::cli::AssembleTool;
use anyhow::Context;
use encoderfile::container::{self, ArtifactKind, Content};
use encoderfile::file::MappedFile;
use encoderfile::manifest::{Manifest, Release};
use encoderfile_builder::base::Base;
use encoderfile_builder::folder::read_file;
use encoderfile_builder::release;
use encoderfile_builder::target::Target;
use std::fs;
use std::path::Path;

pub(crate) fn assemble(arguments: &AssembleTool) -> anyhow::Result<()> {
    let mut manifest = Manifest {
        name: "encoderfile".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        release: release(arguments)?,
        ..Manifest::default()
    };
    let mut programs = Vec::new();
    for base in &arguments.bases {
        let (target, path) = base
            .split_once('=')
            .context("--base: expected TARGET=FILE")?;
        manifest.bases.push(Target::find(target)?.triple.into());
        let program = read_file(Path::new(path))?;
        programs.push(zstd::encode_all(&*program, arguments.compression_level)?);
    }
    let model = &arguments.default_model;
    let model = MappedFile::open(model).with_context(|| model.display().to_string())?;
    let mut contents: Vec<Content<'_>> = Vec::new();
    for (index, program) in programs.iter().enumerate() {
        contents.push((ArtifactKind::Base(index), program));
    }
    contents.push((ArtifactKind::DefaultModel, &model));
    let mut payload = Vec::new();
    container::write(&manifest, &contents, &mut payload)?;
    let program = match &arguments.program {
        Some(path) => read_file(path)?,
        None => read_file(&std::env::current_exe()?)?,
    };
    Base::from_bytes(program)?.write_with(&manifest, &payload, &arguments.output)
}

/// What the tool is to know of its release.
fn release(arguments: &AssembleTool) -> anyhow::Result<Option<Release>> {
    let Some(path) = &arguments.release else {
        return Ok(None);
    };
    let shown = || path.display().to_string();
    let json = fs::read_to_string(path).with_context(shown)?;
    Ok(Some(release::parse(&json).with_context(shown)?))
}
