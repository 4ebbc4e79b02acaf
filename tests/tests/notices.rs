//! Whether the notices that a program prints are of everything in it: a package leaves its name in
//! the program, in the places of its panics.

use anyhow::{Context, ensure};
use encoderfile::Payload;
use encoderfile_tests::process;
use encoderfile_tests::programs::{Program, folder_named_in};
use encoderfile_tests::target::{COMPONENT, WASI};
use encoderfile_tests::workbench::Workbench;
use regex::bytes::Regex;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// `bytes-1.12.1/src/`, or with backslashes. Before it may be the end of whatever is in front.
const PLACE: &str = r"([a-z][a-z0-9_-]*)-([0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*)[/\\]src[/\\]";

/// At least so many packages are found in each program: all but those that never panic.
const PACKAGES_MIN: usize = 30;

const MODEL: &str = "bert-sequence_classification";

/// A built file without its payload: what is compressed in that holds ends of names.
fn without_payload(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = fs::read(file)?;
    let payload = Payload::open(Arc::new(bytes.clone()))?;
    let start = usize::try_from(payload.start())?;
    let length = usize::try_from(encoderfile::Source::len(&payload.bytes()?))?;
    bytes.drain(start..start + length);
    Ok(bytes)
}

/// `bytes 1.12.1` of every package that the program names.
fn packages(program: &[u8]) -> anyhow::Result<BTreeSet<String>> {
    let place = Regex::new(PLACE)?;
    let ids = place.captures_iter(program).map(|found| {
        let (_, [name, version]) = found.extract();
        [name, version].map(String::from_utf8_lossy).join(" ")
    });
    Ok(ids.collect())
}

/// Every package in the program, of which there are some, is in the notices, with a licence.
fn check(program: &[u8], least: usize, notices: &str) -> anyhow::Result<()> {
    let packages = packages(program)?;
    ensure!(
        packages.len() >= least,
        "only {} packages are found",
        packages.len()
    );
    let is_named = |id: &&String| {
        let mut titles = notices
            .lines()
            .filter_map(|line| Some(line.split_once(": ")?.0));
        titles.any(|title| id.ends_with(title))
    };
    let missing: Vec<&String> = packages.iter().filter(|id| !is_named(id)).collect();
    ensure!(missing.is_empty(), "without notice: {missing:?}");
    Ok(())
}

/// The same of a built file.
fn check_file(file: &Path, notices: &str) -> anyhow::Result<()> {
    check(&without_payload(file)?, PACKAGES_MIN, notices)
        .with_context(|| file.display().to_string())
}

#[test]
fn of_the_tool() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let notices = workbench.run(&["licenses"])?;
    check_file(&workbench.programs().encoderfile, notices.text()?)
}

#[test]
fn of_a_native_file() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let file = workbench.build(MODEL, &[], "model")?;
    let notices = workbench
        .finish(&file, &["info", "--licenses"])?
        .succeeded()?;
    check_file(&file, notices.text()?)
}

#[test]
fn of_a_wasm_file() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let file = workbench.build(MODEL, &["--target", "wasm32-wasip1"], "model.wasm")?;
    let notices = workbench.run(&["run", "model.wasm", "info", "--licenses"])?;
    check_file(&file, notices.text()?)
}

#[test]
fn of_a_component() -> anyhow::Result<()> {
    let (Some(workbench), Some(wasmtime)) = (Workbench::open()?, Program::Wasmtime.find()?) else {
        return Ok(());
    };
    let file = workbench.build(MODEL, &["--target", COMPONENT], "model.wasm")?;
    let mut info = Command::new(wasmtime);
    info.args(["run", "-S", "http"]).arg(&file);
    info.args(["info", "--licenses"]);
    check_file(&file, process::succeed(&mut info)?.text()?)
}

/// Which is a library, and has them beside it.
#[test]
fn of_the_adapter_for_spin() -> anyhow::Result<()> {
    let Some(adapter) = Program::SpinAdapter.find()? else {
        return Ok(());
    };
    let notices = fs::read_to_string(adapter.with_extension("THIRD-PARTY.txt"))?;
    check(&fs::read(adapter)?, 1, &notices)
}

#[test]
fn a_package_without_notice_is_found() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = without_payload(&workbench.programs().encoderfile)?;
    let notices = workbench.run(&["licenses"])?;
    let Some(some) = packages(&program)?.pop_last() else {
        anyhow::bail!("no package in the tool");
    };
    let without = notices.text()?.replace(&format!("{some}: "), "");
    let checked = check(&program, PACKAGES_MIN, &without);
    ensure!(checked.is_err(), "{some} is not missed");
    Ok(())
}

#[test]
fn wasm_names_no_folder_of_this_machine() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    for target in [WASI, COMPONENT] {
        let file = workbench.build(MODEL, &["--target", target], "model.wasm")?;
        let named = folder_named_in(&fs::read(file)?)?;
        ensure!(named.is_none(), "{target}: {named:?}");
    }
    Ok(())
}
