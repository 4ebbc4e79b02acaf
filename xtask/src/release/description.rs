//! `release.json`: what tools know of the release that they are of.

use super::targets::Target;
use anyhow::Context;
use serde_json::{Map, json};
use std::fs;
use std::path::Path;

/// Of the base programs in a folder.
pub(super) fn of<'a>(
    targets: impl Iterator<Item = &'a Target>,
    folder: &Path,
    public_key: &str,
    address: Option<&str>,
) -> anyhow::Result<String> {
    let mut bases = Map::new();
    for target in targets {
        let path = folder.join(target.base_name());
        let program = fs::read(&path).with_context(|| path.display().to_string())?;
        let base = json!({"length": program.len(), "sha256": super::sha256(&program)});
        bases.insert(target.triple.to_owned(), base);
    }
    let description = json!({
        "address": address.unwrap_or_default(),
        "public_key": public_key,
        "bases": bases,
    });
    Ok(serde_json::to_string_pretty(&description)? + "\n")
}
