//! The C library as programs find it: what it exports, what it promises at its border, one program
//! in each of several languages, and its functions in SQLite.
//!
//! `cargo xtask capi` makes what is tested; `cargo test --test capi sql/` tries a part of it.

mod border;
mod languages;
mod library;
mod sqlite;
#[path = "../trials/trial.rs"]
mod trial;

use anyhow::Context;
use encoderfile_tests::programs::Program;
use encoderfile_tests::workbench::Workbench;
use libtest_mimic::{Arguments, Trial};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;

/// A check, and the programs that it needs beside the tool and the library.
struct Check {
    name: &'static str,
    needs: &'static [Program],
    run: fn(&Bench) -> anyhow::Result<()>,
}

/// A workbench with the library.
struct Bench {
    workbench: Workbench,
    library: PathBuf,
}

impl Bench {
    /// A program that the check needs.
    fn program(&self, program: Program) -> anyhow::Result<PathBuf> {
        program.find()?.with_context(|| format!("no {program:?}"))
    }

    /// Any program, to be run in the workbench's folder, that finds the library when it starts.
    fn command(&self, program: impl Into<PathBuf>) -> Command {
        let mut command = Command::new(program.into());
        command.current_dir(self.workbench.folder());
        command.env("LD_LIBRARY_PATH", self.library.join("lib"));
        command.env("DYLD_LIBRARY_PATH", self.library.join("lib"));
        command.env("PKG_CONFIG_PATH", self.library.join("lib/pkgconfig"));
        command
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::from_args();
    let workbench = Workbench::open()?.map(Arc::new);
    let library = Program::Library.find()?;
    let mut trials = Vec::new();
    let checks = [
        library::CHECKS,
        border::CHECKS,
        languages::CHECKS,
        sqlite::CHECKS,
    ];
    for check in checks.concat() {
        trials.push(trial_of(check, workbench.as_ref(), library.as_ref())?);
    }
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

fn trial_of(
    check: &'static Check,
    workbench: Option<&Arc<Workbench>>,
    library: Option<&PathBuf>,
) -> anyhow::Result<Trial> {
    let mut has_all = library.is_some();
    for program in check.needs {
        has_all &= program.find()?.is_some();
    }
    let library = library.cloned();
    let workbench = workbench.filter(|_| has_all).cloned();
    Ok(trial::trial(check.name.into(), workbench, move |_| {
        (check.run)(&Bench {
            // A folder of its own.
            workbench: Workbench::open()?.context("no tool")?,
            library: library.context("no C library")?,
        })
    }))
}
