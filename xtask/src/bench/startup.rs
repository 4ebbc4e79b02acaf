//! From nothing to a file, and from process start to a printed result.

use super::median;
use super::peer::Peer;
use super::report::{Report, Row, Target, Unit};
use super::subject::{Subject, TEXT};
use crate::dist::size;
use crate::process;
use crate::setup::WASM;
use anyhow::Context;
use std::fs;
use std::path::Path;

/// `load_ms` is how long the peer's session takes to load.
pub(super) fn measure(
    subject: &Subject,
    peer: &Peer,
    load_ms: f64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut push = |what: &str, unit, limit, ours, peer| {
        let target = Target::AtMost(limit);
        let what = what.into();
        report.push(Row {
            what,
            unit,
            target,
            ours,
            peer,
        });
    };
    push(
        "build, native",
        Unit::Seconds,
        1.0,
        build_seconds(subject, None)?,
        None,
    );
    push(
        "build, wasm",
        Unit::Seconds,
        1.5,
        build_seconds(subject, Some(WASM))?,
        None,
    );
    let native = native_seconds(subject)? * 1e3;
    let beside = peer.first_result_seconds(subject)? * 1e3;
    push(
        "first result, native",
        Unit::Milliseconds,
        150.0,
        native,
        Some(beside),
    );
    push(
        "the same; peer's session load alone",
        Unit::Milliseconds,
        load_ms / 2.0,
        native,
        Some(load_ms),
    );
    push(
        "first result, wasm, cached",
        Unit::Seconds,
        0.8,
        wasm_seconds(subject)?,
        None,
    );
    push(
        "first result, wasm, first ever",
        Unit::Seconds,
        8.0,
        wasm_first_seconds(subject)?,
        None,
    );
    let base = size(&subject.dist.wasm_base)? as f64 / 1e6;
    push("wasm base", Unit::Megabytes, 8.0, base, None);
    Ok(())
}

fn build_seconds(subject: &Subject, target: Option<&str>) -> anyhow::Result<f64> {
    let output = subject.folder.join("built");
    let model = Some(subject.inputs.model.as_path());
    median(subject.inputs.runs.short, || {
        let time = subject.dist.build_model(model, target, &output)?;
        Ok(time.as_secs_f64())
    })
}

/// The runs before have warmed the page cache.
fn native_seconds(subject: &Subject) -> anyhow::Result<f64> {
    let run = || process::seconds(&mut subject.native().command(&["infer", TEXT]));
    run()?;
    median(subject.inputs.runs.short, run)
}

/// With the module in wasmtime's cache.
fn wasm_seconds(subject: &Subject) -> anyhow::Result<f64> {
    let cache = tempfile::tempdir_in(&subject.folder)?;
    let program = subject.wasm(&cache_in(cache.path())?);
    let run = || process::seconds(&mut program.command(&["infer", TEXT]));
    run()?;
    median(subject.inputs.runs.short, run)
}

/// With an empty cache each time.
fn wasm_first_seconds(subject: &Subject) -> anyhow::Result<f64> {
    median(subject.inputs.runs.long, || {
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
