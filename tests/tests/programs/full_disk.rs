//! A disk that is full, and a build that is killed, leave no half-written file.
//!
//! A limit on the size of files stands for the full disk: it needs no rights.
#![cfg(unix)]

use anyhow::ensure;
use encoderfile_tests::fixture;
use encoderfile_tests::process;
use encoderfile_tests::workbench::Workbench;
use std::path::Path;
use std::process::Command;

/// What happens to whoever writes beyond the limit.
pub(crate) enum Beyond {
    /// The write fails.
    Fails,
    /// The system kills the writer.
    Kills,
}

/// Runs `program` where no file may grow beyond 64 blocks (32 or 64 KiB).
pub(crate) fn with_small_files(workbench: &Workbench, beyond: Beyond, program: &Path) -> Command {
    let trap = match beyond {
        Beyond::Fails => "trap '' XFSZ; ",
        Beyond::Kills => "",
    };
    let script = format!("{trap}ulimit -c 0; ulimit -f 64; exec \"$0\" \"$@\"");
    let mut command = workbench.program(Path::new("/bin/sh"), &["-c", &script]);
    command.arg(program);
    command
}

#[test]
fn a_build_without_space_leaves_nothing() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let model = fixture::folder("bert-embedding");
    for target in [
        [].as_slice(),
        &["--target", "wasm32-wasip1"],
        &["--target", "bundle"],
    ] {
        workbench.write("out", "what was there before")?;
        let mut build =
            with_small_files(&workbench, Beyond::Fails, &workbench.programs().encoderfile);
        build
            .args(["build", "-o", "out"])
            .args(target)
            .arg("--model")
            .arg(&model);
        process::finish(&mut build)?.refused(&["out"])?;
        ensure!(
            workbench.names()? == ["out"],
            "left behind: {:?}",
            workbench.names()?
        );
        ensure!(
            workbench.read("out")? == b"what was there before",
            "the old file is gone"
        );
    }
    Ok(())
}

#[test]
fn a_killed_build_leaves_no_output() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let mut build = with_small_files(&workbench, Beyond::Kills, &workbench.programs().encoderfile);
    build
        .args(["build", "-o", "out", "--model"])
        .arg(fixture::folder("bert-embedding"));
    let finished = process::finish(&mut build)?;
    ensure!(finished.code.is_none(), "not killed: {finished:?}");
    ensure!(!workbench.path("out").exists(), "a half-written file");
    Ok(())
}

#[test]
fn extract_without_space_leaves_no_part() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    workbench.build("bert-embedding", &["--target", "bundle"], "model.ef")?;
    let mut extract =
        with_small_files(&workbench, Beyond::Fails, &workbench.programs().encoderfile);
    let finished = process::finish(extract.args(["extract", "model.ef", "-o", "parts"]))?;
    finished.refused(&["parts"])?;
    for entry in std::fs::read_dir(workbench.path("parts"))? {
        let name = entry?.file_name();
        ensure!(
            name != "weights" && !name.to_string_lossy().ends_with(".part"),
            "{name:?}"
        );
    }
    Ok(())
}

#[test]
fn infer_without_space_leaves_nothing() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let native = workbench.built("bert-embedding", &[])?;
    workbench.write(
        "texts",
        "a text that becomes some vectors of numbers\n".repeat(200),
    )?;
    let mut infer = with_small_files(&workbench, Beyond::Fails, &native);
    infer.args(["infer", "--input", "texts", "-o", "results.json"]);
    process::finish(&mut infer)?.refused(&["results.json"])?;
    ensure!(
        workbench.names()? == ["texts"],
        "left behind: {:?}",
        workbench.names()?
    );
    Ok(())
}
