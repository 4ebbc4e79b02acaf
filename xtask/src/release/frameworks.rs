//! Stubs of Apple's frameworks, which zig has not: text files that tell the linker which symbols
//! a library has, and where macOS has the library.
//!
//! What is in them is what the crates of Rust's declarations name, so that they are never older
//! than those.

use crate::process;
use crate::workspace::Workspace;
use anyhow::Context;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// A framework, and the crate that declares what is in it.
const FRAMEWORKS: [(&str, &str); 2] = [
    ("CoreFoundation", "core-foundation-sys"),
    ("Security", "security-framework-sys"),
];

/// Writes them into a folder that `-L framework=` is given.
pub(super) fn write(workspace: &Workspace, folder: &Path) -> anyhow::Result<()> {
    let mut metadata = workspace.cargo(&["metadata", "--format-version", "1", "--locked"]);
    let metadata: Value = serde_json::from_str(&process::capture(&mut metadata)?)?;
    for (name, package) in FRAMEWORKS {
        let mut symbols = declared(&sources(&metadata, package)?)?;
        symbols.sort();
        symbols.dedup();
        let framework = folder.join(format!("{name}.framework"));
        fs::create_dir_all(&framework).with_context(|| framework.display().to_string())?;
        let stub = framework.join(format!("{name}.tbd"));
        fs::write(&stub, text(name, &symbols)).with_context(|| stub.display().to_string())?;
    }
    Ok(())
}

fn sources(metadata: &Value, package: &str) -> anyhow::Result<PathBuf> {
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    let found = packages.find(|it| it["name"] == package);
    let manifest = found.and_then(|it| it["manifest_path"].as_str());
    let manifest = manifest.with_context(|| format!("no package {package}"))?;
    Ok(Path::new(manifest).with_file_name("src"))
}

/// The functions and statics of all files of a folder.
fn declared(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut symbols = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            symbols.extend(declared(&path)?);
            continue;
        }
        let source = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let lines = source.lines().map(str::trim_start);
        symbols.extend(lines.filter_map(|line| {
            let rest = line
                .strip_prefix("pub fn ")
                .or_else(|| line.strip_prefix("pub static "))?;
            let end = rest.find(|it: char| !it.is_ascii_alphanumeric() && it != '_')?;
            Some(format!("_{}", &rest[..end]))
        }));
    }
    Ok(symbols)
}

fn text(name: &str, symbols: &[String]) -> String {
    let symbols = symbols.join(", ");
    format!(
        "--- !tapi-tbd\n\
         tbd-version:     4\n\
         targets:         [ x86_64-macos, arm64-macos ]\n\
         install-name:    '/System/Library/Frameworks/{name}.framework/Versions/A/{name}'\n\
         exports:\n  \
           - targets:         [ x86_64-macos, arm64-macos ]\n    \
             symbols:         [ {symbols} ]\n\
         ...\n"
    )
}
