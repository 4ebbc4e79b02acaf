//! A library that panics over what is in a file is an error like any other: one line
//! and exit code 1, natively and under WASI.

use anyhow::{Context, ensure};
use encoderfile::container::{self, ArtifactKind, Content};
use encoderfile::{Payload, Source};
use encoderfile_tests::process;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// The payload with a pre-tokenizer that splits texts into pieces of no length, over
/// which the tokenizers library panics for every text.
fn with_broken_pre_tokenizer(bundle: &Path) -> anyhow::Result<Vec<u8>> {
    let payload = Payload::open(Arc::new(fs::read(bundle)?))?;
    let mut contents = Vec::new();
    for (kind, _, length) in payload.artifacts() {
        let mut content = payload.read(kind, length)?;
        if kind == ArtifactKind::Tokenizer {
            let mut tokenizer: Value = serde_json::from_slice(&content)?;
            tokenizer["pre_tokenizer"] = json!({"type": "FixedLength", "length": 0});
            content = serde_json::to_vec(&tokenizer)?;
        }
        contents.push((kind, content));
    }
    let contents = contents
        .iter()
        .map(|(kind, content)| (*kind, content as &dyn Source));
    let contents: Vec<Content<'_>> = contents.collect();
    let mut out = Vec::new();
    container::write(payload.manifest(), &contents, &mut out)?;
    Ok(out)
}

#[test]
fn a_panic_is_one_line() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let bundle = workbench.build("bert-embedding", &["--target", "bundle"], "model.ef")?;
    workbench.write("broken.ef", with_broken_pre_tokenizer(&bundle)?)?;
    let native = workbench.build("bert-embedding", &[], "model")?;
    let module = workbench.build(
        "bert-embedding",
        &["--target", "wasm32-wasip1"],
        "model.wasm",
    )?;
    // What the tool runs, it names to the guest itself.
    let payload = ["--payload", "broken.ef"];
    let mut programs = vec![workbench.program(&native, &payload)];
    programs.push(workbench.tool(&["run", "--dir", ".", "broken.ef"]));
    if let Some(wasmtime) = &workbench.programs().wasmtime {
        let mut command = workbench.program(wasmtime, &["run", "--dir=."]);
        command.arg(module).args(payload);
        programs.push(command);
    }
    for program in &programs {
        for arguments in [
            &["infer", "a", "b", "-o", "out.json"][..],
            &["infer", "a"],
            &["tokenize", "a"],
            &["self-test"],
        ] {
            let finished = process::finish(again(program)?.args(arguments))?;
            ensure!(finished.code == Some(1), "{finished:?}");
            finished.refused(&["the computation failed unexpectedly", "--verbose"])?;
        }
        let verbose = ["infer", "--verbose", "a"];
        let said = process::finish(again(program)?.args(verbose))?;
        ensure!(said.stderr.contains("the engine says: "), "{said:?}");
    }
    let names = workbench.names()?;
    let left = names.iter().find(|name| name.starts_with("out.json"));
    ensure!(left.is_none(), "half of a file: {left:?}");
    Ok(())
}

/// The same command once more.
fn again(command: &Command) -> anyhow::Result<Command> {
    let mut copy = Command::new(command.get_program());
    let folder = command.get_current_dir().context("no folder")?;
    copy.args(command.get_args()).current_dir(folder);
    Ok(copy)
}
