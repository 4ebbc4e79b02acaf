//! `encoderfile:encoder`, called by PyPI's wasmtime: `component_library.py`.

use super::{MODELS, component};
use encoderfile_tests::process;
use encoderfile_tests::programs::Program;
use encoderfile_tests::workbench::Workbench;
use std::path::Path;
use std::process::Command;

#[test]
fn programs_get_what_the_command_line_prints() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let Some(python) = Program::Python.find()? else {
        return Ok(());
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/component_library.py");
    let mut run = Command::new(python);
    // The first is the one that is compiled; the others are read by it.
    run.arg(script).arg(component(&workbench, MODELS[0])?);
    for model in MODELS {
        run.arg(workbench.built(model, &[])?);
    }
    print!("{}", process::pass(&mut run)?);
    Ok(())
}
