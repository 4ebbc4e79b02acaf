//! The code signatures of files for macOS, by a program that shares no code with ours.

use crate::Release;
use anyhow::{Context, ensure};
use encoderfile_builder::target::Target;
use encoderfile_tests::fixture::DEFAULT_MODEL;
use encoderfile_tests::process::{self, Finished};
use libtest_mimic::Trial;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

pub(crate) fn is_apple(target: &Target) -> bool {
    target.triple.ends_with("-apple-darwin")
}

pub(crate) fn trial(release: &Arc<Release>, target: &'static Target) -> Trial {
    crate::trial(&format!("signature/{target}"), release, move |release| {
        check(release, target)
    })
}

/// Of a file and of the tool: valid as they are, and not with one byte changed, in the program or
/// in the payload.
fn check(release: &Release, target: &'static Target) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("model");
    release.build(target, DEFAULT_MODEL, &file)?;
    let tool = release.folder.join(format!("encoderfile-{target}"));
    for path in [&file, &tool] {
        let said = verify(path)?;
        ensure!(said.code == Some(0), "{}: {said:?}", path.display());
    }
    let signed = fs::read(&file)?;
    for place in [signed.len() / 100, signed.len() / 2] {
        let mut changed = signed.clone();
        *changed.get_mut(place).context("a byte")? ^= 1;
        fs::write(&file, changed)?;
        let said = verify(&file)?;
        ensure!(said.code != Some(0), "byte {place} changed: {said:?}");
    }
    Ok(())
}

fn verify(path: &Path) -> anyhow::Result<Finished> {
    let program = env::var_os("ENCODERFILE_RCODESIGN");
    let program = program.context("ENCODERFILE_RCODESIGN names no rcodesign")?;
    process::finish(Command::new(program).arg("verify").arg(path))
}
