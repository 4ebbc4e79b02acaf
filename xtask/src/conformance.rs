//! `cargo xtask table`: the results of the conformance suite, into the README.

use crate::documents::{self, README};
use crate::workspace::Workspace;
use anyhow::Context;
use std::fs;

/// Its name in the README. The conformance suite checks what is there.
const NAME: &str = "conformance table";

/// Replaces the table by that of the last complete run of the suite.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let table = workspace.target.join("tmp/conformance.md");
    let table = fs::read_to_string(&table)
        .with_context(|| format!("{}: run `cargo xtask test` first", table.display()))?;
    documents::write(workspace, README, NAME, &table)
}
