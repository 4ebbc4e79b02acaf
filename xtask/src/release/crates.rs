//! The archives that crates.io would have: of the library and of the tool, which `cargo install`
//! builds. That tool takes its base programs from the release.

use crate::process;
use crate::workspace::Workspace;
use anyhow::Context;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Of the tool's crate, from the root.
const DESCRIPTION: &str = "builder/release.json";

/// Packs the commit's crates, the tool's with what it knows of the release, into `folder/crates`.
pub(super) fn pack(workspace: &Workspace, description: &str, folder: &Path) -> anyhow::Result<()> {
    let packed = workspace.target.join("crates");
    if packed.exists() {
        fs::remove_dir_all(&packed).with_context(|| packed.display().to_string())?;
    }
    let source = packed.join("source");
    let mut clone = workspace.command("git", &["clone", "--quiet", "--shared"]);
    process::run(clone.arg(&workspace.root).arg(&source))?;
    fs::write(source.join(DESCRIPTION), description).context(DESCRIPTION)?;
    let mut package = workspace.command("cargo", &["package", "--quiet", "--locked"]);
    // The description is the one change. What they compile to is what `--check` tries.
    package.args(["--allow-dirty", "--no-verify"]);
    for name in published(workspace)? {
        package.args(["--package", &name]);
    }
    package.arg("--target-dir").arg(&packed);
    process::run(package.current_dir(&source))?;
    let crates = folder.join("crates");
    fs::create_dir(&crates).with_context(|| crates.display().to_string())?;
    // By name: cargo leaves crates that it was still working on in folders beside them.
    for name in published(workspace)? {
        let name = format!("{name}-{}.crate", workspace.version);
        super::copy(&packed.join("package").join(&name), &crates.join(&name))?;
    }
    Ok(())
}

/// The packages of this workspace that do not refuse to be published.
fn published(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let mut metadata = workspace.cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&process::capture(&mut metadata)?)?;
    let packages = metadata.get("packages").and_then(Value::as_array);
    let packages = packages.context("`cargo metadata` gives no packages")?;
    let is_published = |it: &&Value| it.get("publish").is_some_and(Value::is_null);
    let names = packages.iter().filter(is_published);
    Ok(names
        .filter_map(|it| it.get("name")?.as_str().map(ToOwned::to_owned))
        .collect())
}
