//! What is compiled ahead: it answers as what it was made of, by wasmtime's commands and by `run`; whatever
//! reads an encoderfile reads it; and for another version, or cut, it is refused.

use super::{component, precompiled, read_by_all};
use anyhow::{Context, ensure};
use encoderfile_builder::precompiled::WASMTIME_VERSION;
use encoderfile_tests::component_service::Served;
use encoderfile_tests::process;
use encoderfile_tests::target::{COMPONENT, WASI};
use encoderfile_tests::workbench::Workbench;
use object::{Object, ObjectSection};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MODEL: &str = "st-mean-normalize";

const TEXTS: [&str; 4] = ["infer", "a cat sits on the mat", "of the house", ""];

/// What `encoderfile run` and wasmtime have to be told to run machine code.
const ALLOWED: &str = "--allow-precompiled";

/// What wasmtime has to be told to run each target.
const TARGETS: [(&str, &[&str]); 2] = [(COMPONENT, &["-S", "http"]), (WASI, &[])];

/// A path that the tool's commands take.
fn shown(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path of UTF-8")
}

/// `wasmtime run` of a file, if there is a wasmtime.
fn wasmtime(workbench: &Workbench, options: &[&str], file: &Path) -> Option<Command> {
    let mut command = Command::new(workbench.programs().wasmtime.as_ref()?);
    command.arg("run").args(options).arg(file);
    Some(command)
}

#[test]
fn a_command_prints_what_it_prints_when_it_is_compiled_at_once() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    for model in [MODEL, "cls-multi-label"] {
        for (target, options) in TARGETS {
            let file = precompiled(&workbench, model, target)?;
            let module = workbench.built(model, &["--target", target])?;
            let Some(mut run) = wasmtime(&workbench, options, &module) else {
                return Ok(());
            };
            let expected = process::succeed(run.args(TEXTS))?.stdout;
            let options = [&[ALLOWED], options].concat();
            let mut run = wasmtime(&workbench, &options, &file).context("no wasmtime")?;
            let printed = process::succeed(run.args(TEXTS))?.stdout;
            ensure!(printed == expected, "{model}, {target}: other numbers");
            for options in [&["run", ALLOWED][..], &["run"]] {
                let mut run = workbench.tool(options);
                let printed = process::succeed(run.arg(&file).args(TEXTS))?.stdout;
                ensure!(
                    printed == expected,
                    "{model}, {target}: other numbers by {options:?}"
                );
            }
        }
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
    let ahead = precompiled(&workbench, MODEL, COMPONENT)?;
    let at_once = component(&workbench, MODEL)?;
    super::answers_as(
        &Served::start(wasmtime, &[ALLOWED], &ahead)?,
        &Served::start(wasmtime, &[], &at_once)?,
    )
}

/// Arguments, exit codes and directories, as of a module.
#[test]
fn run_gives_it_what_it_gives_a_module() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    workbench.write("lines.txt", "a cat\nof the house\n")?;
    let rows = ["infer", "--input", "lines.txt", "--format", "jsonl"];
    let module = workbench.built(MODEL, &["--target", WASI])?;
    let run =
        |file: &Path| workbench.tool(&["run", ALLOWED, "--dir", ".", file.to_str().unwrap_or("")]);
    let expected = process::succeed(run(&module).args(rows))?.stdout;
    for (target, _) in TARGETS {
        let file = precompiled(&workbench, MODEL, target)?;
        let printed = process::succeed(run(&file).args(rows))?.stdout;
        ensure!(printed == expected, "{target}: other rows");
        process::finish(run(&file).args(["infer", "--dimensions", "0", "a"]))?
            .refused(&["dimensions"])?;
        let tested = process::succeed(run(&file).arg("self-test"))?;
        ensure!(tested.text()?.contains("6"), "{target}: {tested:?}");
        // A folder that nobody has given it.
        let mut run = workbench.tool(&["run", ALLOWED, shown(&file)?]);
        process::finish(run.args(rows))?.refused(&["lines.txt"])?;
    }
    Ok(())
}

#[test]
fn every_command_reads_it() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    for (target, _) in TARGETS {
        let file = precompiled(&workbench, MODEL, target)?;
        let source = workbench.built(MODEL, &["--target", target])?;
        let source = workbench.run(&["inspect", shown(&source)?, "--json"])?;
        let inspected = read_by_all(&workbench, &file)?;
        let digest = |it: &Value| it["payload_digest"].clone();
        ensure!(digest(&inspected) == digest(&source.json()?), "{inspected}");
        let kind = inspected["kind"].as_str().unwrap_or_default();
        ensure!(kind.ends_with("compiled ahead"), "{inspected}");
        let compiled = &inspected["compiled_for"];
        ensure!(compiled["wasmtime"] == WASMTIME_VERSION, "{compiled}");
        ensure!(
            compiled["architecture"] == std::env::consts::ARCH,
            "{compiled}"
        );
        let text = workbench.run(&["inspect", shown(&file)?])?;
        ensure!(text.text()?.contains("compiled_for"), "{text:?}");
    }
    Ok(())
}

#[test]
fn it_becomes_every_other_file_and_every_other_it() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let component_ahead = &[COMPONENT, "--precompile"][..];
    let module_ahead = &[WASI, "--precompile"][..];
    let built = |target: &[&str]| workbench.built(MODEL, &[&["--target"], target].concat());
    let native = workbench.built(MODEL, &[])?;
    let ahead = built(component_ahead)?;
    for (from, target, expected) in [
        (&ahead, &["bundle"][..], built(&["bundle"])?),
        (&ahead, &[WASI], built(&[WASI])?),
        (&ahead, &[COMPONENT], built(&[COMPONENT])?),
        (&ahead, component_ahead, built(component_ahead)?),
        (&ahead, module_ahead, built(module_ahead)?),
        (&native, component_ahead, built(component_ahead)?),
        (
            &built(module_ahead)?,
            component_ahead,
            built(component_ahead)?,
        ),
    ] {
        let mut build = workbench.tool(&["build", "-o", "out", "--from", shown(from)?, "--target"]);
        process::succeed(build.args(target))?;
        ensure!(
            workbench.read("out")? == fs::read(expected)?,
            "{} to {target:?}: other bytes",
            from.display()
        );
    }
    workbench.run(&["build", "-o", "out", "--from", shown(&ahead)?])?;
    ensure!(
        workbench.read("out")? == fs::read(native)?,
        "to this machine: other bytes"
    );
    Ok(())
}

/// A file for another version of wasmtime: the same, but for what it says of that.
fn of_another_version(workbench: &Workbench, target: &str) -> anyhow::Result<PathBuf> {
    let mut bytes = fs::read(precompiled(workbench, MODEL, target)?)?;
    let place = {
        let object = object::File::parse(&*bytes)?;
        let section = object.section_by_name(".wasmtime.engine");
        let section = section.context("no version")?;
        usize::try_from(section.file_range().context("no bytes")?.0)?
    };
    // The form of the section, and the length of the version, come before it.
    let version = place + 2..place + 2 + WASMTIME_VERSION.len();
    ensure!(bytes[version.clone()] == *WASMTIME_VERSION.as_bytes());
    bytes[version].copy_from_slice(b"47");
    workbench.write(&format!("{target}.cwasm"), bytes)
}

#[test]
fn for_another_version_it_is_read_and_not_run() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    for (target, options) in TARGETS {
        let file = of_another_version(&workbench, target)?;
        let name = shown(&file)?;
        let ours = format!("wasmtime {WASMTIME_VERSION}");
        let words = [name, "wasmtime 47", &ours, ALLOWED, "--precompile", target];
        workbench.refuses(&["run", ALLOWED, name, "infer", "a"], &words)?;
        let inspected = workbench.run(&["inspect", name, "--json"])?.json()?;
        ensure!(inspected["compiled_for"]["wasmtime"] == "47", "{inspected}");
        // As the refusal says.
        workbench.run(&["run", name, "infer", "a"])?;
        let arguments = ["build", "--from", name, "--target", target, "--precompile"];
        let mut build = workbench.tool(&arguments);
        process::succeed(build.args(["-o", "again"]))?;
        workbench.run(&["run", ALLOWED, "again", "infer", "a"])?;
        let options = [&[ALLOWED], options].concat();
        let Some(mut run) = wasmtime(&workbench, &options, &file) else {
            continue;
        };
        let refused = process::finish(run.args(["infer", "a"]))?;
        ensure!(
            refused.code != Some(0) && refused.stderr.contains("47"),
            "{}",
            refused.stderr
        );
    }
    Ok(())
}

/// Somebody else's file may call itself whatever it likes: without being told to, `run` starts none of
/// its machine code, which is broken here, and computes what its payload says in the sandbox.
#[test]
fn machine_code_runs_only_where_it_is_allowed() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let module = workbench.built(MODEL, &["--target", WASI])?;
    let expected = workbench.run(&[&["run", shown(&module)?], &TEXTS[..]].concat())?;
    for (target, _) in TARGETS {
        let mut bytes = fs::read(precompiled(&workbench, MODEL, target)?)?;
        let code = {
            let object = object::File::parse(&*bytes)?;
            let section = object.section_by_name(".text").context("no code")?;
            section.file_range().context("no bytes")?
        };
        let (start, length) = (usize::try_from(code.0)?, usize::try_from(code.1)?);
        ensure!(length > 1 << 20, "{length} bytes of code");
        bytes[start..start + length].fill(0xcc);
        workbench.write("model.encoderfile", bytes)?;
        let arguments = [&["run", "model.encoderfile"], &TEXTS[..]].concat();
        let printed = workbench.run(&arguments)?;
        ensure!(printed.stdout == expected.stdout, "{target}: other numbers");
        let arguments = [&["run", ALLOWED, "model.encoderfile"], &TEXTS[..]].concat();
        let crashed = workbench.finish(&workbench.programs().encoderfile, &arguments)?;
        ensure!(crashed.code != Some(0), "{target}: which code ran?");
    }
    Ok(())
}

/// wasmtime runs no machine code of a file unless it is told to.
#[test]
fn wasmtime_wants_to_be_told() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let file = precompiled(&workbench, MODEL, WASI)?;
    let Some(mut run) = wasmtime(&workbench, &[], &file) else {
        return Ok(());
    };
    let refused = process::finish(run.args(["infer", "a"]))?;
    ensure!(
        refused.code != Some(0) && refused.stderr.contains(ALLOWED),
        "{}",
        refused.stderr
    );
    Ok(())
}

#[test]
fn a_damaged_one_is_refused() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let whole = fs::read(precompiled(&workbench, MODEL, COMPONENT)?)?;
    let end = whole.len();
    for place in (end - 40..end).chain((0..end).step_by(end / 40)) {
        workbench.write("cut.cwasm", &whole[..place])?;
        workbench.refuses(&["inspect", "cut.cwasm"], &["cut.cwasm"])?;
        workbench.refuses(&["run", "cut.cwasm", "infer", "a"], &["cut.cwasm"])?;
        let run = ["run", ALLOWED, "cut.cwasm", "infer", "a"];
        workbench.refuses(&run, &["cut.cwasm"])?;
    }
    for place in end - 32..end {
        let mut flipped = whole.clone();
        flipped[place] ^= 0xff;
        workbench.write("flipped.cwasm", flipped)?;
        workbench.refuses(&["inspect", "flipped.cwasm"], &["flipped.cwasm"])?;
        workbench.refuses(&["run", "flipped.cwasm", "infer", "a"], &["flipped.cwasm"])?;
        let run = ["run", ALLOWED, "flipped.cwasm", "infer", "a"];
        workbench.refuses(&run, &["flipped.cwasm"])?;
    }
    Ok(())
}

/// The command and `inspect` check every artifact; a service what each of its instances reads, and not
/// the weights.
#[test]
fn a_changed_artifact_is_refused_by_name() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let whole = precompiled(&workbench, MODEL, COMPONENT)?;
    let inspected = workbench.run(&["inspect", shown(&whole)?, "--json"])?;
    let inspected = inspected.json()?;
    let artifacts = inspected["artifacts"].as_array().context("no artifacts")?;
    ensure!(artifacts.len() == 5, "{inspected}");
    let whole = fs::read(whole)?;
    for artifact in artifacts {
        let name = artifact["artifact"].as_str().context("no name")?;
        let [offset, length] = ["offset", "length"].map(|it| artifact[it].as_u64());
        let middle = offset.context("no offset")? + length.context("no length")? / 2;
        let mut changed = whole.clone();
        changed[usize::try_from(middle)?] ^= 1;
        let file = workbench.write("changed.cwasm", changed)?;
        let words = [name, "do not match their hash"];
        workbench.refuses(&["inspect", shown(&file)?], &words)?;
        workbench.refuses(&["run", ALLOWED, shown(&file)?, "infer", "a"], &words)?;
        let Some(wasmtime) = &workbench.programs().wasmtime else {
            continue;
        };
        let server = Served::start(wasmtime, &[ALLOWED], &file)?;
        let (status, answer) = server.post("/predict", r#"{"inputs": ["a"]}"#)?;
        match name {
            "tokenizer" | "graph" => {
                let is_said = words.iter().all(|word| answer.contains(word));
                ensure!(status == 424 && is_said, "{name}: {status} {answer}");
            }
            "weights" => ensure!(status == 200, "{name}: {status} {answer}"),
            _ => {}
        }
    }
    Ok(())
}

#[test]
fn only_webassembly_is_compiled_ahead() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    for target in [
        &[][..],
        &["--target", "bundle"],
        &["--target", "wheel"],
        &["--target", "oci"],
    ] {
        let build = [&["build", "--precompile", "-o", "out"], target].concat();
        workbench.refuses(&build, &["--precompile", "wasm32-wasip2", "wasm32-wasip1"])?;
        ensure!(!workbench.path("out").exists(), "{target:?}");
    }
    let build = ["build", "--precompile", "--target", "wasm32-wasip3"];
    workbench.refuses(&build, &["wasm32-wasip2"])?;
    Ok(())
}
