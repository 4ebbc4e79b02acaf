//! Testing a release: its files, and those programs that can be run here.

use super::targets;
use crate::dist::{self, Scope};
use crate::process;
use crate::python;
use crate::setup::arm64::Emulator;
use crate::setup::clients::{self, ZIG};
use crate::setup::{self, WASM};
use crate::steps::Steps;
use crate::test::Programs;
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Random bytes, as Rust's standard library asks Windows for them, by what Wine has: versions of
/// Wine before 9 lack the library.
const PROCESS_PRNG: &str = "\
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length) {
  return SystemFunction036(data, (ULONG)length);
}
";

/// Runs the suite `release` on a folder.
pub(super) fn run(workspace: &Workspace, mut steps: Steps, folder: &Path) -> anyhow::Result<()> {
    steps.begin(
        "setup",
        "emulators, a substitute for Windows and its C compiler, and who verifies signatures",
    );
    if !folder.is_dir() {
        bail!(
            "{}: no release; `cargo xtask release` makes one",
            workspace.shown(folder)
        );
    }
    setup::targets(workspace, &mut steps, &[WASM])?;
    for (program, package) in [
        ("wine", "wine"),
        ("osslsigncode", "osslsigncode"),
        ("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64"),
    ] {
        setup::debian_program(program, package)?;
    }
    setup::minisign()?;
    let rcodesign = setup::cargo_program(workspace, "apple-codesign@0.29.0", "rcodesign", "")?;
    Emulator::find(&mut steps)?.context("no emulator of arm64")?;
    let library = wine_library(workspace, &mut steps)?;
    let dist = dist::build(workspace, &mut steps, Scope::Everything)?;
    steps.begin(
        "release",
        "its files, and those programs that can be run here",
    );
    let mut test = workspace.cargo(&["test", "--release", "--workspace", "--test", "release"]);
    test.env("ENCODERFILE_RELEASE", folder);
    test.env("ENCODERFILE_WINE_LIBRARY", library);
    test.env("ENCODERFILE_RCODESIGN", rcodesign);
    test.env("ENCODERFILE_BIN", &dist.tool);
    process::run(&mut test)?;
    languages(workspace, &mut steps, folder, &dist.tool)?;
    println!("\n{}", steps.summary());
    Ok(())
}

/// The suites of the Python package and of the C library, with those of the release.
fn languages(
    workspace: &Workspace,
    steps: &mut Steps,
    release: &Path,
    tool: &Path,
) -> anyhow::Result<()> {
    steps.begin("languages", "this machine's wheel and C library");
    let programs = Programs::install(workspace, steps)?;
    let target = targets::find(&workspace.host)?;
    let wheels = release.join("python");
    let python = python::install_from(workspace, steps, &wheels)?.context("no Python")?;
    let name = target.library_name(&workspace.version);
    let folder = workspace.target.join("release-capi");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let mut unpack = workspace.command("tar", &["-xzf"]);
    unpack.arg(release.join("capi").join(format!("{name}.tar.gz")));
    process::run(unpack.arg("-C").arg(&folder))?;
    let mut test = workspace.cargo(&["test", "--release", "--workspace"]);
    test.args(["--test", "python", "--test", "capi"]);
    test.envs(programs.variables());
    test.env("ENCODERFILE_BIN", tool);
    let npm = format!("npm/encoderfile-{}.tgz", workspace.version);
    test.env("ENCODERFILE_NPM", release.join(npm));
    test.env("ENCODERFILE_WHEEL_PYTHON", python);
    process::run(test.env("ENCODERFILE_CAPI", folder.join(name)))
}

fn wine_library(workspace: &Workspace, steps: &mut Steps) -> anyhow::Result<PathBuf> {
    let python = clients::python(workspace, steps, &ZIG)?.context("no zig")?;
    let folder = workspace.target.join("wine");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let source = folder.join("process_prng.c");
    fs::write(&source, PROCESS_PRNG)?;
    let library = folder.join("bcryptprimitives.dll");
    let mut compile = std::process::Command::new(python);
    compile.args([
        "-m",
        "ziglang",
        "cc",
        "-target",
        "x86_64-windows-gnu",
        "-shared",
    ]);
    process::run(
        compile
            .arg("-o")
            .arg(&library)
            .arg(&source)
            .arg("-ladvapi32"),
    )?;
    Ok(library)
}
