//! Wheels for Python and archives of the C library. `cargo xtask release --check` runs their own suites
//! with those of this machine.

use crate::{Release, headers, trial, windows};
use anyhow::{Context, ensure};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use encoderfile_builder::target::Target;
use encoderfile_tests::{process, programs};
use libtest_mimic::Trial;
use object::Object;
use regex::Regex;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
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
    /// What Python looks for in the package.
    module: &'static str,
}

impl Wheel {
    const fn new(triple: &'static str, platform: &'static str) -> Self {
        let module = "_encoderfile.abi3.so";
        Self {
            triple,
            platform,
            module,
        }
    }
}

const WHEELS: [Wheel; 5] = [
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
    Wheel {
        triple: windows::TARGET,
        platform: "win_amd64",
        module: "_encoderfile.pyd",
    },
];

/// The function by which Python finds a module.
const MODULE_ENTRY: &str = "PyInit__encoderfile";

/// What SQLite looks for, which the header leaves out.
const EXTENSION: &str = "sqlite3_encoderfile_init";

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

/// Its name is what pip looks for, its files are those that it lists, its module needs no later system,
/// and the tool in it is the release's.
fn check_wheel(release: &Release, target: &Target, wheel: &Wheel) -> anyhow::Result<()> {
    let name = format!("encoderfile-{VERSION}-cp310-abi3-{}.whl", wheel.platform);
    let folder = tempfile::tempdir()?;
    let mut unpack = Command::new("python3");
    unpack.args(["-m", "zipfile", "--extract"]);
    unpack.arg(release.folder.join("python").join(name));
    process::succeed(unpack.arg(folder.path()))?;
    check_record(folder.path(), wheel)?;
    let package = folder.path().join("encoderfile");
    let module = package.join(wheel.module);
    headers::check_python_module(target, &code(&module)?)?;
    let exported = exports(&module)?;
    ensure!(exported.contains(MODULE_ENTRY), "{exported:?}");
    let is_code = |path: &&PathBuf| path.extension().is_some_and(|it| it == "so" || it == "pyd");
    let modules = files_in(&package)?.iter().filter(is_code).count();
    ensure!(modules == 1, "{modules} modules");
    let tool = fs::read(package.join(format!("bin/encoderfile{}", target.suffix())))?;
    ensure!(
        tool == fs::read(release.tool_of(target))?,
        "another tool than the release's"
    );
    Ok(())
}

/// The tags in it are those of its name, and its list has every file with its hash.
fn check_record(folder: &Path, wheel: &Wheel) -> anyhow::Result<()> {
    let information = folder.join(format!("encoderfile-{VERSION}.dist-info"));
    let said = fs::read_to_string(information.join("WHEEL"))?;
    let tags = said.lines().filter_map(|it| it.strip_prefix("Tag: "));
    let expected = wheel.platform.split('.');
    let mut expected: Vec<_> = expected.map(|it| format!("cp310-abi3-{it}")).collect();
    let mut tags: Vec<_> = tags.collect();
    expected.sort();
    tags.sort_unstable();
    ensure!(tags == expected, "{tags:?}");
    let record = fs::read_to_string(information.join("RECORD"))?;
    let mut listed = BTreeSet::new();
    for line in record.lines() {
        let (rest, size) = line.rsplit_once(',').context("no size")?;
        let (path, hash) = rest.rsplit_once(',').context("no hash")?;
        listed.insert(folder.join(path));
        if let Some(hash) = hash.strip_prefix("sha256=") {
            let content = fs::read(folder.join(path)).with_context(|| path.to_owned())?;
            let digest = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&content));
            ensure!(
                digest == hash && content.len() == size.parse::<usize>()?,
                "{path}: another file"
            );
        }
    }
    let found: BTreeSet<PathBuf> = files_in(folder)?.into_iter().collect();
    ensure!(listed == found, "{:?}", &listed ^ &found);
    Ok(())
}

fn files_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => files.extend(files_in(&path)?),
            false => files.push(path),
        }
    }
    Ok(files)
}

/// It unpacks into a folder of its name, with a shared library that needs no later system and exports
/// what its header declares.
fn check_library(release: &Release, target: &Target) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let library = unpack_library(release, target, folder.path())?;
    for file in [
        "lib/libencoderfile.a",
        "lib/pkgconfig/encoderfile.pc",
        "share/doc/encoderfile/THIRD-PARTY.txt",
    ] {
        ensure!(library.join(file).is_file(), "no {file}");
    }
    let is_windows = target.triple == windows::TARGET;
    let shared = match is_windows {
        true => library.join("bin/encoderfile.dll"),
        false => shared(&library.join("lib"))?,
    };
    headers::check(target, &code(&shared)?)?;
    let header = fs::read_to_string(library.join("include/encoderfile.h"))?;
    let declared = Regex::new(r"(encoderfile_[a-z_]+)\(")?;
    let declared = declared.captures_iter(&header).map(|it| it[1].to_owned());
    let declared: BTreeSet<String> = declared.chain([EXTENSION.to_owned()]).collect();
    let exported = exports(&shared)?;
    let missing: Vec<_> = declared.difference(&exported).collect();
    ensure!(missing.is_empty(), "it does not export {missing:?}");
    ensure!(!is_windows || exported == declared, "{exported:?}");
    Ok(())
}

/// The C library for a target, in a folder of its name.
pub(crate) fn unpack_library(
    release: &Release,
    target: &Target,
    folder: &Path,
) -> anyhow::Result<PathBuf> {
    let name = format!("libencoderfile-{VERSION}-{target}");
    let mut unpack = Command::new("tar");
    unpack.arg("-xzf");
    unpack.arg(release.folder.join(format!("capi/{name}.tar.gz")));
    process::succeed(unpack.arg("-C").arg(folder))?;
    Ok(folder.join(name))
}

fn exports(library: &Path) -> anyhow::Result<BTreeSet<String>> {
    let code = fs::read(library).with_context(|| library.display().to_string())?;
    let file = object::File::parse(code.as_slice())?;
    let names = file.exports()?.into_iter();
    let names = names.map(|it| String::from_utf8_lossy(it.name()).into_owned());
    // Mach-O's have a letter before them.
    Ok(names
        .map(|it| it.strip_prefix('_').unwrap_or(&it).to_owned())
        .collect())
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

fn code(path: &Path) -> anyhow::Result<Vec<u8>> {
    let code = fs::read(path).with_context(|| path.display().to_string())?;
    let named = programs::folder_named_in(&code)?;
    ensure!(named.is_none(), "it names {named:?}");
    Ok(code)
}
