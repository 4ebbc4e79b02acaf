//! One cache for this program and for `huggingface_hub`, of two versions and in both
//! directions.

use crate::bench::{Bench, FIXTURE};
use crate::content::{COMMIT, ID, Model};
use anyhow::ensure;
use encoderfile_tests::process;
use encoderfile_tests::programs::{self, Program};
use std::process::Command;

/// Each brings another version of `huggingface_hub`.
const PYTHONS: [Program; 2] = [Program::Python, Program::Frameworks];

/// `clients/hub_cache.py`, which says `ok …` of each thing it did.
fn python(bench: &Bench, program: Program, what: &[&str]) -> anyhow::Result<Option<Command>> {
    let Some(python) = program.find()? else {
        return Ok(None);
    };
    let script = programs::root().join("tests/clients/hub_cache.py");
    let mut command = Command::new(python);
    command.arg(script).args(what);
    bench.environment(&mut command);
    // Xet has servers of its own.
    command.envs([
        ("HF_HUB_DISABLE_XET", "1"),
        ("HF_HUB_DISABLE_TELEMETRY", "1"),
    ]);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(Some(command))
}

#[test]
fn what_python_fetched_is_built_of() -> anyhow::Result<()> {
    for program in PYTHONS {
        let Some(bench) = Bench::open()? else {
            return Ok(());
        };
        let Some(mut fetch) = python(&bench, program, &["fetch", ID])? else {
            return Ok(());
        };
        process::pass(&mut fetch)?;
        ensure!(!bench.downloads().is_empty());
        bench.succeeds()?;
        let downloads = bench.downloads();
        ensure!(downloads.is_empty(), "{program:?}: {downloads:?}");
        bench.check_cache()?;
        process::succeed(&mut bench.build(&["--no-download"]))?;
        process::succeed(&mut bench.build_of(&format!("{ID}@{COMMIT}"), &["--no-download"]))?;
        ensure!(bench.hub.asked().is_empty());
    }
    Ok(())
}

#[test]
fn what_was_fetched_for_a_build_python_has() -> anyhow::Result<()> {
    for program in PYTHONS {
        let Some(bench) = Bench::open()? else {
            return Ok(());
        };
        bench.succeeds()?;
        let fetched = bench.downloads();
        let names: Vec<&str> = fetched.iter().map(String::as_str).collect();
        for what in ["have", "have-offline"] {
            let arguments = [&[what, ID, COMMIT], &names[..]].concat();
            let Some(mut have) = python(&bench, program, &arguments)? else {
                return Ok(());
            };
            process::pass(&mut have)?;
            let downloads = bench.downloads();
            ensure!(downloads.is_empty(), "{program:?}: {downloads:?}");
        }
        // All of the model, of which a part is there.
        let Some(mut fetch) = python(&bench, program, &["fetch", ID])? else {
            return Ok(());
        };
        process::pass(&mut fetch)?;
        let downloads = bench.downloads();
        ensure!(
            !downloads.iter().any(|it| fetched.contains(it)),
            "{program:?}: {downloads:?}"
        );
        bench.check_cache()?;
    }
    Ok(())
}

#[test]
fn a_file_that_python_fetched_alone_is_not_a_model() -> anyhow::Result<()> {
    let model = Model::of_fixture(FIXTURE)?;
    let Some(bench) = Bench::with(model)? else {
        return Ok(());
    };
    let Some(mut fetch) = python(&bench, Program::Python, &["fetch-file", ID, "config.json"])?
    else {
        return Ok(());
    };
    process::pass(&mut fetch)?;
    let words = [ID, "may not be all of it", "modules.json"];
    process::finish(&mut bench.build(&["--no-download"]))?.refused(&words)?;
    bench.hub.asked();
    bench.succeeds()?;
    ensure!(!bench.downloads().iter().any(|it| it == "config.json"));
    bench.check_cache()
}
