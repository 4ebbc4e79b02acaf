//! `cargo xtask table`: the results of the conformance suite, into the README.

use crate::workspace::Workspace;
use anyhow::Context;
use std::fs;

/// The conformance suite checks what is between them.
const BEGIN: &str = "<!-- conformance table -->\n";
const END: &str = "<!-- end of conformance table -->";

/// Replaces the table by that of the last complete run of the suite.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let table = workspace.target.join("tmp/conformance.md");
    let table = fs::read_to_string(&table)
        .with_context(|| format!("{}: run `cargo xtask test` first", table.display()))?;
    let path = workspace.root.join("README.md");
    let readme = fs::read_to_string(&path)?;
    let parts = readme.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts.context("README.md: no place for the table")?;
    fs::write(&path, format!("{before}{BEGIN}\n{table}\n{END}{after}"))?;
    println!("{}: {} rows", path.display(), table.lines().count() - 2);
    Ok(())
}
