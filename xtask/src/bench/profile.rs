//! `cargo xtask bench --profile`: where the time of a text goes, by operator.

use super::{sized, subject};
use crate::dist::{self, Scope};
use crate::infer::argument;
use crate::process;
use crate::setup::{self, WASM};
use crate::steps::Steps;
use crate::workspace::Workspace;
use anyhow::Context;
use std::fs;
use std::path::Path;

/// Builds the model's bundle and runs the runtime's example on it.
pub(super) fn run(workspace: &Workspace, model: Option<&Path>) -> anyhow::Result<()> {
    let mut steps = Steps::new();
    setup::targets(workspace, &mut steps, &[WASM])?;
    let dist = dist::build(workspace, &mut steps, Scope::Programs)?;
    let folder = workspace.target.join("bench");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let model = sized::named(workspace, &dist, model, &folder)?;
    let model = subject::with_long_texts(&model, &folder)?;
    let bundle = folder.join("profile.ef");
    dist.build_model(Some(&model), Some("bundle"), &[], &bundle)?;
    steps.begin("profile", "milliseconds by operator, on one thread");
    let example = ["run", "--release", "--package", "encoderfile"];
    let mut profile = workspace.cargo(&example);
    profile.args(["--example", "profile", "--", argument(&bundle)?]);
    process::run(profile.args(["16", "128", "512"]))
}
