//! `encoderfile test`: the numbers that it compares, and files whose stored results are not
//! what they compute.

use crate::retargeting::with_changed;
use anyhow::{Context, ensure};
use encoderfile::container::ArtifactKind;
use encoderfile::golden;
use encoderfile::proto::Task;
use encoderfile_tests::fixture;
use encoderfile_tests::format_1::format_1;
use encoderfile_tests::target::WASI;
use encoderfile_tests::workbench::Workbench;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// What `test` reports of a file; its exit code says whether that passed.
fn tested(workbench: &Workbench, arguments: &[&str]) -> anyhow::Result<Value> {
    let all = [&["test", "--json"], arguments].concat();
    let finished = workbench.finish(&workbench.programs().encoderfile, &all)?;
    let report = finished.json()?;
    let code = if report["passed"] == true { 0 } else { 1 };
    ensure!(finished.code == Some(code), "{:?}: {report}", finished.code);
    Ok(report)
}

/// The check of that name.
fn check<'r>(report: &'r Value, name: &str) -> anyhow::Result<&'r Value> {
    let checks = report["checks"].as_array().context("checks")?;
    let found = checks.iter().find(|it| it["check"] == name);
    found.with_context(|| format!("no {name}: {report}"))
}

fn embedding(workbench: &Workbench, program: &Path, text: &str) -> anyhow::Result<Vec<f64>> {
    let finished = workbench.finish(program, &["infer", text])?;
    let vector = &finished.json()?["results"][0]["embedding"];
    Ok(serde_json::from_value(vector.clone())?)
}

/// The cosine and the largest difference are those of what the programs print.
#[test]
fn a_file_is_compared_with_its_source_in_float32() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let (model, text) = ("st-mean-normalize", "a house in Baker Street");
    let exact = workbench.build(model, &[], "exact")?;
    let rounded = workbench.build(model, &["--weights", "int8"], "rounded")?;
    let [exact, rounded] = [exact, rounded].map(|it| embedding(&workbench, &it, text));
    let (exact, rounded) = (exact?, rounded?);
    let pairs = || exact.iter().zip(&rounded);
    // Both are normalised.
    let cosine: f64 = pairs().map(|(a, b)| a * b).sum();
    let difference = pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);

    workbench.write("texts", text)?;
    let folder = fixture::folder(model).display().to_string();
    let arguments = ["rounded", "--against", &folder, "--input", "texts"];
    let report = tested(&workbench, &arguments)?;
    let compared = check(&report, "against")?;
    let last = compared["texts"].as_array().and_then(|it| it.last());
    let last = last.context("texts")?;
    ensure!(last["text"] == text, "{last}");
    let near = |got: &Value, expected: f64| {
        let got = got.as_f64().context("no number")?;
        ensure!((got - expected).abs() < 1e-6, "{got}, expected {expected}");
        anyhow::Ok(())
    };
    ensure!(difference > 1e-4, "int8 rounds nothing: {difference}");
    near(&last["cosine"], cosine)?;
    near(&last["largest_difference"], difference)?;

    // The worst of the golden texts is what the build measured.
    let report = tested(&workbench, &["rounded", "--against", &folder])?;
    let inspected = workbench.run(&["inspect", "--json", "rounded"])?.json()?;
    let measured = inspected["weights"]["worst_cosine"].as_f64();
    near(
        &check(&report, "against")?["worst_cosine"],
        measured.context("no cosine")?,
    )?;
    Ok(())
}

/// A file whose stored results are not those of its weights, with hashes that agree.
#[test]
fn other_stored_results_fail_here_and_in_the_modules_own_program() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let bundle = workbench.build("bert-embedding", &["--target", "bundle"], "bundle")?;
    let module = workbench.build("bert-embedding", &["--target", WASI], "module")?;
    let bundle = fs::read(bundle)?;
    let changed = with_changed(&bundle, ArtifactKind::Golden, |golden| {
        let mut cases = golden::decode(&golden).unwrap_or_default();
        for case in &mut cases {
            case.values.iter_mut().for_each(|value| *value += 0.5);
        }
        golden::encode(&cases)
    })?;
    let base = fs::read(module)?;
    let base = base.strip_suffix(&bundle[..]).context("another payload")?;
    workbench.write("changed", &changed)?;
    workbench.write("changed.wasm", [base, &changed[..]].concat())?;

    let report = tested(&workbench, &["changed"])?;
    let stored = check(&report, "stored_results")?;
    ensure!(stored["passed"] == false, "{stored}");
    ensure!(
        stored["largest_difference"].as_f64() > Some(0.1),
        "{stored}"
    );
    ensure!(check(&report, "hashes")?["passed"] == true, "{report}");

    let report = tested(&workbench, &["changed.wasm"])?;
    let program = check(&report, "program")?;
    ensure!(program["passed"] == false, "{program}");
    let printed = program["printed"].as_str().unwrap_or_default();
    ensure!(printed.starts_with("self-test FAILED"), "{program}");
    Ok(())
}

#[test]
fn a_format_1_file_is_to_be_built_first() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    workbench.write("upstream", format_1("bert-embedding", Task::Embedding, 64)?)?;
    workbench.refuses(&["test", "upstream"], &["upstream: format 1", "--from"])
}
