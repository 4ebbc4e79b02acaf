//! The code signatures of files for macOS, by a program that shares no code with ours.

use crate::Release;
use anyhow::{Context, ensure};
use encoderfile_builder::target::Target;
use encoderfile_tests::fixture::DEFAULT_MODEL;
use encoderfile_tests::process;
use libtest_mimic::Trial;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// All that is wrong with a signature that no certificate made.
const AD_HOC: &str = "no cryptographic signature present\n";

const MISMATCH: &str = "code digest mismatch";

pub(crate) fn is_apple(target: &Target) -> bool {
    target.triple.ends_with("-apple-darwin")
}

pub(crate) fn trial(release: &Arc<Release>, target: &'static Target) -> Trial {
    crate::trial(&format!("signature/{target}"), release, move |release| {
        check(release, target)
    })
}

/// Of a file and of the tool: every page has its hash, and not with one byte changed, in the program
/// or in the payload.
fn check(release: &Release, target: &'static Target) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("model");
    release.build(target, DEFAULT_MODEL, &file)?;
    let tool = release.folder.join(format!("encoderfile-{target}"));
    for path in [&file, &tool] {
        let said = verify(path)?;
        ensure!(said == AD_HOC, "{}: {said}", path.display());
    }
    let signed = fs::read(&file)?;
    for place in [signed.len() / 100, signed.len() / 2] {
        let mut changed = signed.clone();
        *changed.get_mut(place).context("a byte")? ^= 1;
        fs::write(&file, changed)?;
        let said = verify(&file)?;
        ensure!(said.contains(MISMATCH), "byte {place} changed: {said}");
    }
    Ok(())
}

/// What rcodesign finds wrong. Its exit code says nothing: it wants a certificate's signature too.
fn verify(path: &Path) -> anyhow::Result<String> {
    let program = env::var_os("ENCODERFILE_RCODESIGN");
    let program = program.context("ENCODERFILE_RCODESIGN names no rcodesign")?;
    let finished = process::finish(Command::new(program).arg("verify").arg(path))?;
    Ok(finished.text()?.to_owned())
}
