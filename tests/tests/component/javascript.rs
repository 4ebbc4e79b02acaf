//! `encoderfile:encoder`, called in JavaScript: transpiled by jco, in Node and in a page.

use super::{Printed, TEXTS};
use anyhow::Context;
use encoderfile_tests::process;
use encoderfile_tests::programs::{Program, has_node_modules, root};
use encoderfile_tests::target::COMPONENT;
use encoderfile_tests::workbench::Workbench;
use serde_json::{Map, json};
use std::fs;
use std::process::Command;

/// Those of `clients/component/checks.js`: how they are built, and the flags of what is asked there.
const MODELS: [(&str, &[&str], &[&str]); 3] = [
    ("st-mean-normalize", &[], &[]),
    ("cls-multi-label", &["--snapshot"], &[]),
    ("bert-token_classification", &[], &["--aggregation=simple"]),
];

#[test]
fn node_and_pages_get_what_the_command_line_prints() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let Some(node) = Program::Node.find()? else {
        return Ok(());
    };
    if !has_node_modules("clients")? {
        return Ok(());
    }
    let mut printed = Map::from_iter([("texts".to_owned(), json!(TEXTS))]);
    for (model, options, flags) in MODELS {
        let arguments: Vec<&str> = flags.iter().chain(&TEXTS).copied().collect();
        let Printed { native, module } = Printed::of(&workbench, model, &arguments)?;
        printed.insert(
            model.to_owned(),
            json!({ "native": native, "module": module }),
        );
        let component = workbench.built(model, &[&["--target", COMPONENT], options].concat())?;
        fs::copy(component, workbench.path(format!("{model}.wasm")))?;
    }
    workbench.write("printed.json", json!(printed).to_string())?;
    let tests = root().join("tests");
    let mut in_node = Command::new(&node);
    in_node
        .arg(tests.join("clients/component_library.mjs"))
        .arg(workbench.folder());
    process::pass(&mut in_node).context("in Node")?;

    let Some(chromium) = Program::Chromium.find()? else {
        return Ok(());
    };
    if !has_node_modules("browser")? {
        return Ok(());
    }
    let mut in_page = Command::new(node);
    in_page.arg(tests.join("browser/component.mjs"));
    in_page.arg("--folder").arg(workbench.folder());
    in_page.arg("--chromium").arg(chromium);
    process::pass(&mut in_page).context("in a page").map(drop)
}
