//! A component with the memory of the loaded model: it answers as the component that it was made of, and
//! loads nothing for it; whatever reads an encoderfile reads it; and it is no base.

use super::{component, read_by_all};
use anyhow::{Context, ensure};
use encoderfile_tests::component_service::Served;
use encoderfile_tests::process;
use encoderfile_tests::target::COMPONENT;
use encoderfile_tests::workbench::Workbench;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MODEL: &str = "st-mean-normalize";

const SNAPSHOT: [&str; 3] = ["--target", COMPONENT, "--snapshot"];

fn snapshot(workbench: &Workbench, model: &str) -> anyhow::Result<PathBuf> {
    workbench.built(model, &SNAPSHOT)
}

fn shown(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path of UTF-8")
}

/// `wasmtime run` of a file, if there is a wasmtime.
fn run(workbench: &Workbench, file: &Path) -> Option<Command> {
    let mut command = Command::new(workbench.programs().wasmtime.as_ref()?);
    command.args(["run", "-S", "http"]).arg(file);
    Some(command)
}

/// Beside the tasks of conformance.
#[test]
fn a_command_prints_what_the_component_prints() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    for (model, arguments) in [
        ("bert-fill_mask", &["a [MASK] sits on the mat"][..]),
        ("splade-max", &["a cat", "of the house", ""]),
        (
            "cls-pair-rerank",
            &["--query", "a cat", "the house", "a cat sat"],
        ),
    ] {
        let arguments = [&["infer"], arguments].concat();
        let component = component(&workbench, model)?;
        let expected = workbench.run(&[&["run", shown(&component)?], &*arguments].concat())?;
        let ahead = workbench.built(model, &[&SNAPSHOT[..], &["--precompile"]].concat())?;
        let run = ["run", "--allow-precompiled", shown(&ahead)?];
        let printed = workbench.run(&[&run[..], &arguments].concat())?;
        ensure!(printed.stdout == expected.stdout, "{model}: other numbers");
    }
    Ok(())
}

/// A byte of tokenizer or graph that is changed afterwards is noticed by whoever loads them, since
/// they are hashed then, and is not by what has them in memory.
#[test]
fn what_is_loaded_is_not_loaded_again() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let whole = snapshot(&workbench, MODEL)?;
    let inspected = workbench
        .run(&["inspect", shown(&whole)?, "--json"])?
        .json()?;
    let artifacts = inspected["artifacts"].as_array().context("no artifacts")?;
    for name in ["tokenizer", "graph"] {
        let artifact = artifacts.iter().find(|it| it["artifact"] == name);
        let artifact = artifact.with_context(|| format!("no {name}"))?;
        let [offset, length] = ["offset", "length"].map(|it| artifact[it].as_u64());
        let middle = offset.context("no offset")? + length.context("no length")? / 2;
        let mut changed = fs::read(&whole)?;
        changed[usize::try_from(middle)?] ^= 1;
        let file = workbench.write(&format!("changed-{name}.wasm"), changed)?;
        let words = [name, "do not match their hash"];
        workbench.refuses(&["inspect", shown(&file)?], &words)?;
        workbench.refuses(&["run", shown(&file)?, "infer", "a"], &words)?;
        let (Some(mut loaded), Some(wasmtime)) =
            (run(&workbench, &file), &workbench.programs().wasmtime)
        else {
            continue;
        };
        // A service that loads its model refuses both parts (424).
        super::answers_as(
            &Served::start(wasmtime, &[], &file)?,
            &Served::start(wasmtime, &[], &whole)?,
        )?;
        let mut as_it_was = run(&workbench, &whole).context("no wasmtime")?;
        let arguments = ["infer", "a cat sits on the mat"];
        let expected = process::succeed(as_it_was.args(arguments))?.stdout;
        let printed = process::succeed(loaded.args(arguments))?.stdout;
        ensure!(printed == expected, "{name}: other numbers");
        let tested = process::succeed(
            run(&workbench, &file)
                .context("no wasmtime")?
                .arg("self-test"),
        )?;
        ensure!(tested.text()?.contains("passed"), "{tested:?}");
    }
    Ok(())
}

#[test]
fn a_service_answers_as_the_component() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let Some(wasmtime) = &workbench.programs().wasmtime else {
        return Ok(());
    };
    super::answers_as(
        &Served::start(wasmtime, &[], &snapshot(&workbench, MODEL)?)?,
        &Served::start(wasmtime, &[], &component(&workbench, MODEL)?)?,
    )
}

/// Another model than its own is read from where it is.
#[test]
fn a_command_loads_another_payload() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let other = "cls-multi-label";
    let bundle = workbench.built(other, &["--target", "bundle"])?;
    let file = component(&workbench, other)?;
    let arguments = ["infer", "a cat sits on the mat"];
    let expected = workbench.run(&[&["run", shown(&file)?], &arguments[..]].concat())?;
    let Some(wasmtime) = &workbench.programs().wasmtime else {
        return Ok(());
    };
    let mut run = Command::new(wasmtime);
    run.args(["run", "-S", "http", "--dir"])
        .arg(workbench.built_folder());
    run.arg(snapshot(&workbench, MODEL)?)
        .arg("--payload")
        .arg(bundle);
    let printed = process::succeed(run.args(arguments))?;
    ensure!(printed.stdout == expected.stdout, "other numbers");
    Ok(())
}

#[test]
fn every_command_reads_it() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let (file, source) = (snapshot(&workbench, MODEL)?, component(&workbench, MODEL)?);
    let [inspected, plain] = [
        read_by_all(&workbench, &file)?,
        read_by_all(&workbench, &source)?,
    ];
    let digest = |it: &Value| it["payload_digest"].clone();
    ensure!(digest(&inspected) == digest(&plain), "{inspected}");
    ensure!(inspected["kind"] == "wasm component", "{inspected}");
    ensure!(inspected["snapshot"] == true, "{inspected}");
    ensure!(plain.get("snapshot").is_none(), "{plain}");
    let text = workbench.run(&["inspect", shown(&file)?])?;
    ensure!(text.text()?.contains("snapshot"), "{text:?}");
    Ok(())
}

/// From whatever it is made, it has the same bytes, and gives every other file.
#[test]
fn it_becomes_every_other_file_and_every_other_it() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let built = |options: &[&str]| workbench.built(MODEL, options);
    let snapshot = snapshot(&workbench, MODEL)?;
    for (from, options) in [
        (&snapshot, &["--target", "bundle"][..]),
        (&snapshot, &["--target", COMPONENT]),
        (&snapshot, &["--target", "wasm32-wasip1"]),
        (&snapshot, &SNAPSHOT),
        (&built(&[])?, &SNAPSHOT),
    ] {
        let mut build = workbench.tool(&["build", "-o", "out", "--from", shown(from)?]);
        process::succeed(build.args(options))?;
        let same = workbench.read("out")? == fs::read(built(options)?)?;
        ensure!(same, "{} to {options:?}: other bytes", from.display());
    }
    Ok(())
}

#[test]
fn it_is_no_base() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let file = snapshot(&workbench, MODEL)?;
    let build = ["build", "--base", shown(&file)?, "-o", "out"];
    workbench.refuses(&build, &["--from"])?;
    ensure!(!workbench.path("out").exists());
    Ok(())
}

#[test]
fn a_damaged_one_is_refused() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let whole = fs::read(snapshot(&workbench, MODEL)?)?;
    let end = whole.len();
    for place in (end - 40..end).chain((0..end).step_by(end / 40)) {
        workbench.write("cut.wasm", &whole[..place])?;
        workbench.refuses(&["inspect", "cut.wasm"], &["cut.wasm"])?;
        workbench.refuses(&["run", "cut.wasm", "infer", "a"], &["cut.wasm"])?;
    }
    Ok(())
}

#[test]
fn only_of_components() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    for target in [
        &[][..],
        &["--target", "wasm32-wasip1"],
        &["--target", "wasm32-wasip1", "--precompile"],
        &["--target", "bundle"],
        &["--target", "oci"],
    ] {
        let build = [&["build", "--snapshot", "-o", "out"], target].concat();
        workbench.refuses(&build, &["--snapshot", "wasm32-wasip2"])?;
        ensure!(!workbench.path("out").exists(), "{target:?}");
    }
    Ok(())
}
