//! The command line: one trial for each file in `cases/`, which has the commands and
//! everything that they print. `cargo test --test cli build/` tries those of one
//! folder; `SNAPSHOTS=overwrite cargo test --test cli` writes the files anew.

mod case;
mod edit;
mod pointer;
#[path = "../trials/trial.rs"]
mod trial;

use crate::trial::trial;
use anyhow::ensure;
use encoderfile_tests::target::Target;
use encoderfile_tests::workbench::Workbench;
use libtest_mimic::Arguments;
use std::process::ExitCode;
use std::sync::Arc;

/// How many files there are at least, so that an empty folder is no success.
const CASES_MIN: usize = 60;

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::from_args();
    // Held until the end, and with it what the cases build.
    let workbench = Workbench::open()?.map(Arc::new);
    let cases = case::all()?;
    ensure!(cases.len() >= CASES_MIN, "{} cases", cases.len());
    let trials = cases.into_iter().map(|case| {
        let name = case.name.clone();
        let can_run =
            |it: &&Arc<Workbench>| !case.needs_wasmtime() || it.has(Target::WasmtimeModule);
        let workbench = workbench.as_ref().filter(can_run).cloned();
        trial(name, workbench, move |_| case.check())
    });
    Ok(libtest_mimic::run(&arguments, trials.collect()).exit_code())
}
