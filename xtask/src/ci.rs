//! `cargo xtask ci`: what CI runs, for people to run before CI does.

use crate::process;
use crate::setup;
use crate::steps::Steps;
use crate::test;
use crate::workspace::Workspace;
use anyhow::ensure;
use std::env;

/// Format and tests, with clippy reading what is compiled for them.
pub(crate) fn run(workspace: Workspace) -> anyhow::Result<()> {
    ensure!(
        env::var_os("SNAPSHOTS").is_none(),
        "SNAPSHOTS is set: cases would be written anew, and CI compares them"
    );
    let workspace = Workspace {
        has_lints: true,
        ..workspace
    };
    let mut steps = Steps::new();
    steps.begin("setup", "the rustup components that CI uses");
    setup::components(&workspace, &mut steps)?;
    steps.begin("format", "cargo fmt changes nothing");
    process::run(&mut workspace.cargo(&["fmt", "--all", "--check"]))?;
    test::run(&workspace, steps, &test::Arguments::default())
}
