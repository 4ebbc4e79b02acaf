//! The Python package, installed from its wheel: `python/tests` under pytest, a test for each file.

use anyhow::ensure;
use encoderfile_tests::process;
use encoderfile_tests::programs::{self, Program};
use encoderfile_tests::workbench::Workbench;
use std::env;
use std::process::Command;

/// Tests that need PyTorch, in words of pytest's `-k`: by hand, as CONTRIBUTING.md says.
const WITH_TORCH: &str =
    "keybert or bertopic or mteb or setfit or with_torch or instance_of_the_real_class";

/// Runs a file of the package's tests, or a folder, with the Python that has the wheel.
fn pytest(file: &str) -> anyhow::Result<()> {
    let (Some(workbench), Some(python)) = (Workbench::open()?, Program::WheelPython.find()?) else {
        return Ok(());
    };
    let mut pytest = Command::new(python);
    pytest.args(["-m", "pytest", "-p", "no:cacheprovider", "-rs", "-q"]);
    pytest.args(["-k", &format!("not ({WITH_TORCH})")]);
    // All of it needs PyTorch.
    let goldens = programs::root().join("python/tests/integrations/test_goldens.py");
    pytest.arg("--ignore").arg(goldens);
    pytest.arg(programs::root().join("python/tests").join(file));
    // The sources have no module; the wheel has.
    pytest.current_dir(workbench.path(""));
    pytest.env("PYTHONDONTWRITEBYTECODE", "1");
    let finished = process::finish(&mut pytest)?;
    let printed = String::from_utf8_lossy(&finished.stdout);
    let is_whole = env::var_os("CI").is_none() || !printed.contains(" skipped");
    ensure!(
        finished.code == Some(0) && printed.contains(" passed") && is_whole,
        "{printed}{}",
        finished.stderr
    );
    eprintln!("{printed}");
    Ok(())
}

#[test]
fn embeddings() -> anyhow::Result<()> {
    pytest("test_encode.py")
}

#[test]
fn tasks() -> anyhow::Result<()> {
    pytest("test_tasks.py")
}

#[test]
fn errors() -> anyhow::Result<()> {
    pytest("test_errors.py")
}

#[test]
fn processes() -> anyhow::Result<()> {
    pytest("test_processes.py")
}

#[test]
fn building() -> anyhow::Result<()> {
    pytest("test_building.py")
}

#[test]
fn documents() -> anyhow::Result<()> {
    pytest("test_docs.py")
}

#[test]
fn frameworks() -> anyhow::Result<()> {
    pytest("integrations")
}

#[test]
fn types() -> anyhow::Result<()> {
    pytest("test_types.py")
}
