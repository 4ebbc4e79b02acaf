//! The npm package in headless Chromium: loading from good and bad servers, what
//! it says of bad input, and that memory comes back. What is checked is in
//! `browser/`; that the numbers are right is the conformance suite's.

use encoderfile_tests::fixture::DEFAULT_MODEL;
use encoderfile_tests::process;
use encoderfile_tests::programs;
use encoderfile_tests::target::WASI;
use encoderfile_tests::workbench::Workbench;
use std::path::Path;
use std::process::Command;

/// A small model for entities.
const NER: &str = "bert-token_classification";

#[test]
fn loading_works_or_says_why() -> anyhow::Result<()> {
    pass("loading.mjs")
}

#[test]
fn memory_comes_back() -> anyhow::Result<()> {
    pass("memory.mjs")
}

/// Runs a script with the files it wants.
fn pass(script: &str) -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let Some(of_browser) = workbench.programs().of_browser() else {
        return Ok(());
    };
    if !programs::has_node_modules("browser")? {
        return Ok(());
    }
    let bundle = ["--target", "bundle"];
    workbench.build(DEFAULT_MODEL, &[], "model.encoderfile")?;
    workbench.build(DEFAULT_MODEL, &["--target", WASI], "model.ef.wasm")?;
    workbench.build(DEFAULT_MODEL, &bundle, "model.ef")?;
    workbench.build(NER, &bundle, "ner.ef")?;

    let mut command = Command::new(of_browser.node);
    command.arg(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("browser")
            .join(script),
    );
    command.arg("--package").arg(of_browser.npm_package);
    command.arg("--chromium").arg(of_browser.chromium);
    command.arg("--files").arg(workbench.folder());
    process::pass(&mut command).map(drop)
}
