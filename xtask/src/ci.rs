//! `cargo xtask ci`: what CI runs, for people to run before CI does.

use crate::process;
use crate::setup::{self, BROWSER};
use crate::steps::Steps;
use crate::test;
use crate::workspace::Workspace;

/// Format, lints, tests.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let mut steps = Steps::new();
    steps.begin("setup", "the rustup components that CI uses");
    setup::components(workspace, &mut steps)?;
    steps.begin("format", "cargo fmt changes nothing");
    process::run(&mut workspace.cargo(&["fmt", "--all", "--check"]))?;
    steps.begin("lints", "clippy has nothing to say");
    let mut clippy = workspace.cargo(&["clippy", "--workspace", "--all-targets", "--release"]);
    clippy.args(["--features", "encoderfile-xtask/bind"]);
    process::run(clippy.args(["--", "-D", "warnings"]))?;
    // Of nothing but its own target is there anything in it.
    setup::targets(workspace, &mut steps, &[BROWSER])?;
    let mut clippy = workspace.cargo(&["clippy", "--package", "encoderfile-wasm"]);
    clippy.args(["--profile", "browser", "--target", BROWSER]);
    process::run(clippy.args(["--", "-D", "warnings"]))?;
    test::run(workspace, steps, &test::Arguments::default())
}
