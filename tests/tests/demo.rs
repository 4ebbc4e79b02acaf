//! The demo page, driven in a browser with a model of every kind. What is checked is
//! in `browser/demo.mjs`.
#![cfg(unix)]

use encoderfile_tests::process;
use encoderfile_tests::programs::{self, Program};
use encoderfile_tests::workbench::Workbench;
use std::process::Command;

/// The names that the script has for models, and the fixtures they are.
const MODELS: [(&str, &str); 8] = [
    ("ner", "bert-token_classification"),
    ("classifier", "bert-sequence_classification"),
    ("nli", "cls-pair-nli"),
    ("rerank", "ce-modules"),
    ("late", "late-bert"),
    ("mask", "bert-fill_mask"),
    ("sparse", "splade-max"),
    ("tokens", "bert-embedding"),
];

#[test]
fn demo() -> anyhow::Result<()> {
    let (Some(workbench), Some(node), Some(chromium), Some(site)) = (
        Workbench::open()?,
        Program::Node.find()?,
        Program::Chromium.find()?,
        Program::Demo.find()?,
    ) else {
        return Ok(());
    };
    if !programs::has_node_modules("browser")? {
        return Ok(());
    }
    for (name, model) in MODELS {
        workbench.build(model, &["--target", "bundle"], &format!("{name}.ef"))?;
    }
    let script = programs::root().join("tests/browser/demo.mjs");
    let mut command = Command::new(node);
    command.arg(script).arg("--site").arg(site);
    command.arg("--models").arg(workbench.folder());
    command.arg("--chromium").arg(chromium);
    process::pass(&mut command).map(drop)
}
