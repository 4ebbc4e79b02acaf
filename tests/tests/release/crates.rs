//! The crates of a release, as cargo installs them: without this workspace, its profiles and its
//! other packages.

use crate::Release;
use anyhow::{Context, ensure};
use encoderfile_builder::runtimes::ADDRESS_VARIABLE;
use encoderfile_tests::process;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the tool is installed from.
const TOOL: &str = "encoderfile-builder";

impl Release {
    /// The tool that cargo installs has no base program in it, and takes those of the release.
    pub(super) fn check_crates(&self) -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        let folders = unpack(&self.folder.join("crates"), root.path())?;
        install(&folders, root.path())?;
        let above = self.folder.parent().context("no folder above")?;
        let run = |arguments: &[&str]| {
            let mut tool = Command::new(root.path().join("bin/encoderfile"));
            tool.args(arguments).current_dir(root.path());
            tool.env(ADDRESS_VARIABLE, format!("file://{}", above.display()));
            tool.env("XDG_CACHE_HOME", root.path().join("cache"));
            process::succeed(&mut tool)
        };
        let model = encoderfile_tests::fixture::folder("st-mean-normalize");
        let model = model.to_str().context("a path in UTF-8")?;
        run(&["build", "--model", model, "-o", "native"])?;
        run(&[
            "build",
            "--model",
            model,
            "--target",
            "wasm32-wasip1",
            "-o",
            "model.wasm",
        ])?;
        let embed = |program: &mut Command| process::succeed(program.args(["infer", "text"]));
        let native = embed(&mut Command::new(root.path().join("native")))?;
        let wasm = run(&["run", "model.wasm", "infer", "text"])?;
        ensure!(native.json()?.get("results").is_some() && wasm.json()?.get("results").is_some());
        Ok(())
    }
}

/// The folder of each crate.
fn unpack(crates: &Path, root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(crates).with_context(|| crates.display().to_string())? {
        let path = entry?.path();
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(&path).arg("-C").arg(root);
        process::succeed(&mut tar)?;
        folders.push(root.join(path.file_stem().context("no name")?));
    }
    Ok(folders)
}

/// Installs the tool, as if crates.io had the others.
fn install(folders: &[PathBuf], root: &Path) -> anyhow::Result<()> {
    let name = |folder: &Path| -> Option<String> {
        let name = folder.file_name()?.to_str()?;
        Some(
            name.strip_suffix(concat!("-", env!("CARGO_PKG_VERSION")))?
                .to_owned(),
        )
    };
    let mut patches = Vec::new();
    let mut tool = None;
    for folder in folders {
        match name(folder).context("not of this version")? {
            name if name == TOOL => tool = Some(folder),
            name => patches.push(format!("patch.crates-io.{name}.path={folder:?}")),
        }
    }
    let tool = tool.with_context(|| format!("no crate {TOOL}"))?;
    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(arguments).current_dir(tool);
        for patch in &patches {
            cargo.args(["--config", patch]);
        }
        cargo.env(
            "CARGO_TARGET_DIR",
            concat!(env!("CARGO_TARGET_TMPDIR"), "/crates"),
        );
        process::succeed(&mut cargo)
    };
    // Its Cargo.lock says that the others are of crates.io.
    cargo(&["update", "--workspace", "--quiet"])?;
    let root = root.to_str().context("a path in UTF-8")?;
    cargo(&[
        "install", "--locked", "--quiet", "--path", ".", "--root", root,
    ])?;
    Ok(())
}
