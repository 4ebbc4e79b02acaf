//! Wheels for Python and archives of the C library. `cargo xtask release --check` runs their own suites
//! with those of this machine.

use crate::{Release, headers, trial};
use anyhow::{Context, ensure};
use encoderfile_builder::target::Target;
use encoderfile_tests::{process, programs};
use libtest_mimic::Trial;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A target that Python has wheels for.
struct Wheel {
    triple: &'static str,
    /// What pip looks for in a wheel's name.
    platform: &'static str,
}

impl Wheel {
    const fn new(triple: &'static str, platform: &'static str) -> Self {
        Self { triple, platform }
    }
}

const WHEELS: [Wheel; 4] = [
    Wheel::new(
        "x86_64-unknown-linux-gnu",
        "manylinux2014_x86_64.manylinux_2_17_x86_64",
    ),
    Wheel::new(
        "aarch64-unknown-linux-gnu",
        "manylinux2014_aarch64.manylinux_2_17_aarch64",
    ),
    Wheel::new("x86_64-apple-darwin", "macosx_11_0_x86_64"),
    Wheel::new("aarch64-apple-darwin", "macosx_11_0_arm64"),
];

/// Those for the targets that the release has.
pub(crate) fn trials(release: &Arc<Release>) -> anyhow::Result<Vec<Trial>> {
    let mut trials = Vec::new();
    for wheel in &WHEELS {
        let target = Target::find(wheel.triple)?;
        if !release.has(target) {
            continue;
        }
        let check = move |release: &Release| check_wheel(release, target, wheel);
        trials.push(trial(&format!("wheel/{target}"), release, check));
        let check = move |release: &Release| check_library(release, target);
        trials.push(trial(&format!("library/{target}"), release, check));
    }
    Ok(trials)
}

/// Its name is what pip looks for, its module needs no later system, and the tool in it is the release's.
fn check_wheel(release: &Release, target: &Target, wheel: &Wheel) -> anyhow::Result<()> {
    let name = format!("encoderfile-{VERSION}-cp310-abi3-{}.whl", wheel.platform);
    let folder = tempfile::tempdir()?;
    let mut unpack = Command::new("python3");
    unpack.args(["-m", "zipfile", "--extract"]);
    unpack.arg(release.folder.join("python").join(name));
    process::succeed(unpack.arg(folder.path()))?;
    let package = folder.path().join("encoderfile");
    check_code(target, &package.join("_encoderfile.abi3.so"))?;
    let tool = fs::read(package.join("bin/encoderfile"))?;
    ensure!(
        tool == fs::read(release.tool_of(target))?,
        "another tool than the release's"
    );
    Ok(())
}

/// It unpacks into a folder of its name, with a shared library that needs no later system.
fn check_library(release: &Release, target: &Target) -> anyhow::Result<()> {
    let name = format!("libencoderfile-{VERSION}-{target}");
    let folder = tempfile::tempdir()?;
    let mut unpack = Command::new("tar");
    unpack.arg("-xzf");
    unpack.arg(release.folder.join(format!("capi/{name}.tar.gz")));
    process::succeed(unpack.arg("-C").arg(folder.path()))?;
    let library = folder.path().join(name);
    for file in [
        "include/encoderfile.h",
        "lib/libencoderfile.a",
        "lib/pkgconfig/encoderfile.pc",
        "share/doc/encoderfile/THIRD-PARTY.txt",
    ] {
        ensure!(library.join(file).is_file(), "no {file}");
    }
    check_code(target, &shared(&library.join("lib"))?)
}

/// The one that is a file: the others are links to it.
fn shared(folder: &Path) -> anyhow::Result<PathBuf> {
    let paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let paths: Vec<PathBuf> = paths.collect::<anyhow::Result<_>>()?;
    let is_shared = |path: &&PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        (name.contains(".so") || name.ends_with(".dylib")) && !path.is_symlink()
    };
    let found = paths.iter().find(is_shared);
    found.cloned().context("no shared library")
}

fn check_code(target: &Target, path: &Path) -> anyhow::Result<()> {
    let code = fs::read(path).with_context(|| path.display().to_string())?;
    let named = programs::folder_named_in(&code)?;
    ensure!(named.is_none(), "it names {named:?}");
    headers::check(target, &code)
}
