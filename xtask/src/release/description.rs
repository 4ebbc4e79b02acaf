//! `release.json`: what tools, and the npm package, know of the release that they are of.

use super::targets::Target;
use anyhow::Context;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// What tools know: who signs the release, and its base programs.
pub(super) fn for_tools(
    targets: &[&Target],
    folder: &Path,
    public_key: &str,
    address: Option<&str>,
) -> anyhow::Result<String> {
    let mut bases = Map::new();
    for target in targets {
        let base = described(folder, &target.base_name())?;
        bases.insert(target.triple.to_owned(), base);
    }
    text(&json!({
        "address": address.unwrap_or_default(),
        "public_key": public_key,
        "bases": bases,
    }))
}

/// What the npm package knows: the tools.
pub(super) fn for_npm(
    targets: &[&Target],
    folder: &Path,
    version: &str,
    address: Option<&str>,
) -> anyhow::Result<String> {
    let mut tools = Map::new();
    for target in targets.iter().filter(|it| it.has_tool) {
        let name = target.tool_name();
        let mut tool = described(folder, &name)?;
        tool["name"] = name.into();
        tools.insert(target.triple.to_owned(), tool);
    }
    text(&json!({
        "version": version,
        "address": address.unwrap_or_default(),
        "tools": tools,
    }))
}

fn described(folder: &Path, name: &str) -> anyhow::Result<Value> {
    let path = folder.join(name);
    let program = fs::read(&path).with_context(|| path.display().to_string())?;
    let sha256 = super::sha256(&program);
    Ok(json!({"length": program.len(), "sha256": sha256}))
}

fn text(description: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(description)? + "\n")
}
