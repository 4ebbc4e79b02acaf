//! From nothing to a file, and from process start to a printed result.

use super::peer::Peer;
use super::report::{Report, Target, Unit};
use super::subject::{Subject, TEXT};
use super::turns::{in_turns, median};
use crate::dist::size;
use crate::infer::Program;
use crate::process;
use crate::setup::WASM;
use anyhow::Context;
use std::fs;
use std::path::Path;

/// The native file, beside ONNX Runtime doing the same and its load alone.
pub(super) fn first_result(
    subject: &Subject,
    peer: &Peer,
    report: &mut Report,
) -> anyhow::Result<()> {
    let model = &subject.inputs.model;
    let native = subject.native();
    let taken = in_turns(
        subject.inputs.turns.short,
        [
            &mut || first_seconds(&native),
            &mut || process::seconds(&mut peer.first_result(model, TEXT)),
            &mut || peer.load_seconds(model),
        ],
    )?;
    let [ours, theirs, load] = taken.map(|taken| taken.map(|seconds| seconds * 1e3));
    let what = "process start to first embedding";
    let target = Target::AtMost(60.0);
    report.race(what, Unit::Milliseconds, target, [ours, theirs]);
    let what = "the same; beside it: a session's load alone";
    let target = Target::Ratio(2.0);
    report.race(what, Unit::Milliseconds, target, [ours, load]);
    Ok(())
}

/// A model of hundreds of megabytes, beside the load of its session.
pub(super) fn of_size(
    subject: &Subject,
    peer: &Peer,
    (name, model, program): (&str, &Path, &Program),
    target: Target,
    report: &mut Report,
) -> anyhow::Result<()> {
    let taken = in_turns(
        subject.inputs.turns.long,
        [&mut || first_seconds(program), &mut || {
            peer.load_seconds(model)
        }],
    )?;
    let race = taken.map(|taken| taken.map(|seconds| seconds * 1e3));
    let what = format!("start to first embedding, {name}; beside it: load");
    report.race(what, Unit::Milliseconds, target, race);
    Ok(())
}

/// From process start to a printed result.
pub(super) fn first_seconds(program: &Program) -> anyhow::Result<f64> {
    process::seconds(&mut program.command(&["infer", TEXT]))
}

/// What nothing stands beside.
pub(super) fn alone(subject: &Subject, report: &mut Report) -> anyhow::Result<()> {
    let mut seconds = |what, limit, seconds| {
        report.alone(what, Unit::Seconds, Target::AtMost(limit), seconds);
    };
    seconds("build, native", 1.0, build_seconds(subject, None)?);
    seconds("build, wasm", 1.5, build_seconds(subject, Some(WASM))?);
    let cached = wasm_seconds(subject)?;
    seconds("first result, wasm, cached", 0.8, cached);
    let first = wasm_first_seconds(subject)?;
    seconds("first result, wasm, first ever", 5.0, first);
    let base = size(&subject.dist.wasm_base)? as f64 / 1e6;
    report.alone("wasm base", Unit::Megabytes, Target::AtMost(5.5), base);
    Ok(())
}

fn build_seconds(subject: &Subject, target: Option<&str>) -> anyhow::Result<f64> {
    let output = subject.folder.join("built");
    let model = Some(subject.inputs.model.as_path());
    median(subject.inputs.turns.short, || {
        let time = subject.dist.build_model(model, target, &[], &output)?;
        Ok(time.as_secs_f64())
    })
}

/// With the module in wasmtime's cache.
fn wasm_seconds(subject: &Subject) -> anyhow::Result<f64> {
    let cache = tempfile::tempdir_in(&subject.folder)?;
    let program = subject.wasm(&cache_in(cache.path())?);
    let run = || process::seconds(&mut program.command(&["infer", TEXT]));
    run()?;
    median(subject.inputs.turns.short, run)
}

/// With an empty cache each time.
fn wasm_first_seconds(subject: &Subject) -> anyhow::Result<f64> {
    median(subject.inputs.turns.long, || {
        let cache = tempfile::tempdir_in(&subject.folder)?;
        let program = subject.wasm(&cache_in(cache.path())?);
        process::seconds(&mut program.command(&["infer", TEXT]))
    })
}

/// Options that make wasmtime keep its cache in `folder`, an absolute path.
fn cache_in(folder: &Path) -> anyhow::Result<Vec<String>> {
    let config = folder.join("config.toml");
    let content = format!(
        "[cache]\ndirectory = '{}'\n",
        folder.join("modules").display()
    );
    fs::write(&config, content).with_context(|| config.display().to_string())?;
    Ok(vec![
        "-C".into(),
        format!("cache-config={}", config.display()),
    ])
}
