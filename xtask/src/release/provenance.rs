//! What a release was made of: a statement as in-toto has them, with SLSA's provenance.

use super::{sha256, sums};
use crate::process;
use crate::workspace::Workspace;
use anyhow::Context;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Writes `provenance.json`: the subjects are the files that are there by now.
pub(super) fn write(workspace: &Workspace, folder: &Path, targets: &[&str]) -> anyhow::Result<()> {
    let git = |arguments: &[&str]| process::capture(&mut workspace.command("git", arguments));
    let commit = git(&["rev-parse", "HEAD"])?;
    let is_clean = git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    let rustc = process::capture(&mut workspace.command("rustc", &["-V"]))?;
    let subjects = sums(folder)?;
    let subjects = subjects.lines().filter_map(|line| line.split_once("  "));
    let subjects = subjects.map(|(hash, name)| json!({"name": name, "digest": {"sha256": hash}}));
    let source = json!({
        "uri": "git+HEAD",
        "digest": {"gitCommit": commit.trim()},
        "annotations": {"clean": is_clean},
    });
    let materials = [
        source,
        material(workspace, "Cargo.lock")?,
        material(workspace, "rust-toolchain.toml")?,
        material(workspace, "xtask/zig.txt")?,
        material(workspace, "wasm/npm/package-lock.json")?,
    ];
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects.collect::<Vec<_>>(),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "cargo xtask release",
                "externalParameters": {"version": workspace.version, "targets": targets},
                "internalParameters": {"rustc": rustc.trim(), "host": workspace.host},
                "resolvedDependencies": materials,
            },
            "runDetails": {"builder": {"id": "cargo xtask release"}},
        },
    });
    let path = folder.join("provenance.json");
    fs::write(&path, serde_json::to_string_pretty(&statement)? + "\n")
        .with_context(|| path.display().to_string())
}

/// A file that says what else was used.
fn material(workspace: &Workspace, name: &str) -> anyhow::Result<Value> {
    let content = fs::read(workspace.root.join(name)).with_context(|| name.to_owned())?;
    Ok(json!({"uri": name, "digest": {"sha256": sha256(&content)}}))
}
