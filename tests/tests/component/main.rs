//! A component: one file that is a command, a service and a library, and as readable as any other
//! encoderfile.

mod file;
mod library;
mod service;

use encoderfile_tests::process;
use encoderfile_tests::target::{COMPONENT, WASI};
use encoderfile_tests::workbench::Workbench;
use std::path::{Path, PathBuf};
use std::process::Command;

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
