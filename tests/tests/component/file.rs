//! The file: what it asks of a host, and that every command reads it.

use super::{component, read_by_all};
use anyhow::{Context, ensure};
use encoderfile_tests::target::COMPONENT;
use encoderfile_tests::workbench::Workbench;
use std::fs;
use wasmparser::{Parser, Payload};

/// All that a host has to grant. There are no sockets among it.
const IMPORTS: [&str; 18] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/streams",
    "wasi:random/random",
];

const EXPORTS: [&str; 3] = [
    "encoderfile:encoder/encoder@0.1.0",
    "wasi:cli/run",
    "wasi:http/incoming-handler",
];

/// Names without the version of WASI, of which a later one has the same.
fn name(of: &str) -> String {
    match of.split_once("@0.2.") {
        Some((name, _)) => name.to_owned(),
        None => of.to_owned(),
    }
}

#[test]
fn a_host_grants_what_is_listed_and_nothing_else() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let bytes = fs::read(component(&workbench, "st-mean-normalize")?)?;
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) if depth > 0 => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(name(import?.name.name));
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(name(export?.name.name));
                }
            }
            _ => {}
        }
    }
    for (found, expected) in [(&mut imports, &IMPORTS[..]), (&mut exports, &EXPORTS[..])] {
        found.sort_unstable();
        println!("{}", found.join("\n"));
        ensure!(*found == expected, "{found:#?}");
    }
    Ok(())
}

#[test]
fn every_command_reads_it() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let file = component(&workbench, "st-mean-normalize")?;
    let inspected = read_by_all(&workbench, &file)?;
    ensure!(inspected["kind"] == "wasm component", "{inspected}");
    Ok(())
}

#[test]
fn it_becomes_a_module_and_a_module_becomes_it() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let model = "st-mean-normalize";
    let built = component(&workbench, model)?;
    let module = workbench.built(model, &["--target", "wasm32-wasip1"])?;
    for (from, target, expected) in [
        (&built, "wasm32-wasip1", &module),
        (&module, COMPONENT, &built),
        (&built, COMPONENT, &built),
    ] {
        let from = from.to_str().context("a path of UTF-8")?;
        workbench.run(&["build", "--from", from, "--target", target, "-o", "out"])?;
        ensure!(
            workbench.read("out")? == fs::read(expected)?,
            "{from} to {target}: other bytes"
        );
    }
    Ok(())
}

/// Cut anywhere, or with a byte changed in what says where the payload is, it is refused.
#[test]
fn a_damaged_one_is_refused() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let whole = fs::read(component(&workbench, "st-mean-normalize")?)?;
    let end = whole.len();
    for place in (end - 40..end).chain((8..end).step_by(end / 40)) {
        workbench.write("cut.wasm", &whole[..place])?;
        workbench.refuses(&["inspect", "cut.wasm"], &["cut.wasm"])?;
    }
    for place in end - 32..end {
        let mut flipped = whole.clone();
        flipped[place] ^= 0xff;
        workbench.write("flipped.wasm", flipped)?;
        workbench.refuses(&["inspect", "flipped.wasm"], &["flipped.wasm"])?;
    }
    Ok(())
}
