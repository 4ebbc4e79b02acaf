//! A component: one file that is a command, a service and a library, and as readable as any other
//! encoderfile.

mod composed;
mod file;
mod javascript;
mod library;
mod precompiled;
mod rust;
mod service;
mod snapshot;
mod spin;

use anyhow::Context;
use encoderfile_tests::compare::{self, Agreement};
use encoderfile_tests::component_rows::in_float32;
use encoderfile_tests::component_service::Served;
use encoderfile_tests::process;
use encoderfile_tests::target::{COMPONENT, WASI};
use encoderfile_tests::workbench::Workbench;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A component of that model, or a module, compiled ahead.
fn precompiled(workbench: &Workbench, model: &str, target: &str) -> anyhow::Result<PathBuf> {
    workbench.built(model, &["--target", target, "--precompile"])
}

/// Models that together have every method.
const MODELS: [&str; 7] = [
    "st-mean-normalize",
    "bert-token_classification",
    "cls-multi-label",
    "cls-pair-rerank",
    "cls-pair-nli",
    "bert-fill_mask",
    "splade-max",
];

const TEXTS: [&str; 3] = ["a cat sits on the mat", "of the house in Berlin", ""];

/// A model of `tests/models` as a component.
fn component(workbench: &Workbench, model: &str) -> anyhow::Result<PathBuf> {
    workbench.built(model, &["--target", COMPONENT])
}

/// A module or a component in wasmtime, which grants the types of HTTP only where it is told to.
fn run(workbench: &Workbench, file: &Path, target: &str) -> anyhow::Result<Option<Command>> {
    let Some(wasmtime) = &workbench.programs().wasmtime else {
        return Ok(None);
    };
    let mut command = Command::new(wasmtime);
    command.arg("run");
    if target == COMPONENT {
        command.args(["-S", "http"]);
    }
    command.arg(file);
    Ok(Some(command))
}

/// What `infer` prints of a model, a line for each result.
struct Printed {
    native: Value,
    /// By the module, whose numbers a component has to the bit; absent where there is no wasmtime.
    module: Option<Value>,
}

impl Printed {
    fn of(workbench: &Workbench, model: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let results = |mut command: Command| {
            let finished =
                process::succeed(command.args(["infer", "--format", "jsonl"]).args(arguments))?;
            let lines = finished.text()?.lines();
            let rows: Result<Value, _> = lines.map(serde_json::from_str::<Value>).collect();
            anyhow::Ok(rows?)
        };
        let native = results(Command::new(workbench.built(model, &[])?))?;
        let module = match &workbench.programs().wasmtime {
            None => None,
            Some(wasmtime) => {
                let bundle = workbench.built(model, &["--target", "bundle"])?;
                let mut command = Command::new(wasmtime);
                command
                    .arg("run")
                    .arg("--dir")
                    .arg(workbench.built_folder());
                command
                    .arg(workbench.base(WASI)?)
                    .arg("--payload")
                    .arg(bundle);
                Some(results(command)?)
            }
        };
        Ok(Self { native, module })
    }

    /// Whether those are the results of a component. More of each may be printed than a method gives.
    fn is(&self, got: impl IntoIterator<Item = Value>) -> anyhow::Result<()> {
        let got: Value = got.into_iter().collect();
        compare::targets(&got, &self.native, compare::TARGET_TOLERANCE)?;
        if let Some(module) = &self.module {
            let same = compare::json(&got, &in_float32(module), Agreement::Within(0.0));
            same.context("from the module")?;
        }
        Ok(())
    }
}

/// Has every command that reads encoderfiles read one; gives what `inspect` says of it.
fn read_by_all(workbench: &Workbench, file: &Path) -> anyhow::Result<Value> {
    let file = file.to_str().context("a path of UTF-8")?;
    let inspected = workbench.run(&["inspect", file, "--json"])?.json()?;
    let parts = tempfile::tempdir_in(workbench.folder())?;
    let folder = parts.path().join("parts");
    let folder = folder.to_str().context("a path of UTF-8")?;
    workbench.run(&["extract", file, "-o", folder])?;
    anyhow::ensure!(parts.path().join("parts/tokenizer.json").exists());
    let tested = workbench.run(&["test", file])?;
    anyhow::ensure!(tested.text()?.contains("hashes"), "{tested:?}");
    for arguments in [
        ["infer", file, "a"].as_slice(),
        &["run", file, "infer", "a"],
    ] {
        let results = workbench.run(arguments)?;
        anyhow::ensure!(results.text()?.contains("\"embedding\""), "{results:?}");
    }
    Ok(inspected)
}

/// Whether two services answer alike, errors and all.
fn answers_as(one: &Served, other: &Served) -> anyhow::Result<()> {
    let texts = json!({"inputs": ["a cat", "of the house"]}).to_string();
    for (path, body) in [
        ("/predict", &*texts),
        ("/embed", &texts),
        ("/v1/embeddings", r#"{"input": "a cat"}"#),
        ("/predict", "{"),
        ("/rerank", r#"{"query": "a", "texts": ["b"]}"#),
    ] {
        let same = one.post(path, body)? == other.post(path, body)?;
        anyhow::ensure!(same, "{path}: {body}");
    }
    for path in ["/health", "/info", "/openapi.json", "/"] {
        anyhow::ensure!(one.get(path)? == other.get(path)?, "{path}");
    }
    Ok(())
}

#[test]
fn a_command_prints_what_the_module_prints() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    for model in ["st-mean-normalize", "cls-multi-label"] {
        let module = workbench.built(model, &["--target", WASI])?;
        let component = component(&workbench, model)?;
        let mut outputs = Vec::new();
        for (file, target) in [(&module, WASI), (&component, COMPONENT)] {
            let Some(mut command) = run(&workbench, file, target)? else {
                return Ok(());
            };
            command.args(["infer", "a cat sits on the mat", "of the house", ""]);
            outputs.push(process::succeed(&mut command)?.stdout);
        }
        anyhow::ensure!(outputs[0] == outputs[1], "{model}: other numbers");
    }
    Ok(())
}

/// wasmtime grants a command no HTTP, and says what is missing.
#[test]
fn a_host_without_http_names_it() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let Some(wasmtime) = &workbench.programs().wasmtime else {
        return Ok(());
    };
    let component = component(&workbench, "st-mean-normalize")?;
    let mut run = Command::new(wasmtime);
    run.arg("run").arg(component).args(["infer", "a cat"]);
    let refused = process::finish(&mut run)?;
    let names_it = refused.stderr.contains("wasi:http/types");
    anyhow::ensure!(refused.code != Some(0) && names_it, "{}", refused.stderr);
    Ok(())
}

#[test]
fn a_command_that_fails_says_so() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let component = component(&workbench, "st-mean-normalize")?;
    for (arguments, words) in [
        (&["infer", "--dimensions", "0", "a"][..], "dimensions"),
        (&["infer", "--input", "nowhere"], "nowhere"),
    ] {
        let Some(mut command) = run(&workbench, &component, COMPONENT)? else {
            return Ok(());
        };
        process::finish(command.args(arguments))?.refused(&[words])?;
    }
    Ok(())
}
