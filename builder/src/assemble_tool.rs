//! Making the distributed tool: this program with base programs and a default
//! model appended, in the same container as any encoderfile.

use crate::cli::AssembleTool;
use anyhow::Context;
use encoderfile::container::{self, ArtifactKind, Content};
use encoderfile::file::MappedFile;
use encoderfile::manifest::{Manifest, Release, ReleasedProgram};
use encoderfile_builder::base::Base;
use encoderfile_builder::folder::read_file;
use encoderfile_builder::runtimes::file_name;
use encoderfile_builder::target::{TARGETS, Target};
use sha2::{Digest, Sha256};
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

/// What is in the folder of a release, and who signs it.
fn release(arguments: &AssembleTool) -> anyhow::Result<Option<Release>> {
    let Some(folder) = &arguments.release else {
        return Ok(None);
    };
    let mut programs = Vec::new();
    for target in &TARGETS {
        let path = folder.join(file_name(target));
        if path.is_file() {
            let program = read_file(&path)?;
            programs.push(ReleasedProgram {
                target: target.triple.into(),
                length: program.len() as u64,
                sha256: Sha256::digest(&program).into(),
            });
        }
    }
    Ok(Some(Release {
        address: arguments.address.clone().unwrap_or_default(),
        public_key: arguments.public_key.clone().unwrap_or_default(),
        programs,
    }))
}
