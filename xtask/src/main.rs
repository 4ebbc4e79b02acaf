//! `cargo xtask`: the one entry to everything this workspace can do, for people
//! and for CI.
//!
//! Every command installs what it can of what it needs and says so; Node.js, Python and a C
//! compiler have to be there, and what `bench` measures. xtask itself depends on
//! none of the workspace's crates, so that it compiles in seconds and can check
//! and build them from outside.
#![deny(unsafe_code)]
#![allow(
    clippy::print_stdout,
    reason = "standard output is this program's whole product"
)]

mod advisories;
mod bench;
mod capi;
mod ci;
mod conformance;
mod demo;
mod deny;
mod dist;
mod dll;
mod documents;
mod fuzz;
mod infer;
mod notices;
mod npm;
mod packages;
mod process;
mod python;
mod quickstart;
mod release;
mod rules;
mod sbom;
mod setup;
mod similarity;
mod steps;
mod table;
mod test;
mod wasm_opt;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use steps::Steps;
use workspace::Workspace;

/// Tasks of the encoderfile workspace
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything, make a native and a wasm encoderfile, run both and compare
    Quickstart(quickstart::Arguments),
    /// Run every test on every target, after installing what that needs
    Test(test::Arguments),
    /// Make dist/encoderfile, the whole tool in one file, the C library, the npm package and the demo
    Dist(dist::Arguments),
    /// Make dist/release: base programs and tools for every target, signed; publish nothing
    Release(release::Arguments),
    /// Make dist/capi: the C library alone
    Capi,
    /// Make dist/npm/encoderfile-VERSION.tgz: the npm package alone
    Npm,
    /// Make dist/web-demo: a page around the npm package, for any file server
    Demo,
    /// Measure what the project must reach, beside ONNX Runtime, as a table
    Bench(bench::Arguments),
    /// Run the fuzz targets under libFuzzer, each for a while
    Fuzz(fuzz::Arguments),
    /// Write the results of the last `test` into the README's table
    Table,
    /// Write the notices of all that is linked into each program, into licenses/
    Licenses,
    /// Ask the databases of RustSec, npm and PyPI for advisories on what is used
    Advisories,
    /// Write what a program is made of as CycloneDX
    Sbom(sbom::Arguments),
    /// What CI runs: format, then `test`, with clippy reading what is compiled
    Ci,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match &cli.command {
        Command::Quickstart(arguments) => quickstart::run(&workspace, arguments),
        Command::Test(arguments) => test::run(&workspace, Steps::new(), arguments),
        Command::Dist(arguments) => dist::run(&workspace, arguments),
        Command::Release(arguments) => release::run(&workspace, arguments),
        Command::Capi => capi::run(&workspace),
        Command::Npm => npm::run(&workspace),
        Command::Demo => demo::run(&workspace),
        Command::Bench(arguments) => bench::run(&workspace, arguments),
        Command::Fuzz(arguments) => fuzz::run(&workspace, arguments),
        Command::Table => conformance::run(&workspace),
        Command::Licenses => notices::run(&workspace),
        Command::Advisories => advisories::run(&workspace),
        Command::Sbom(arguments) => sbom::run(&workspace, arguments),
        Command::Ci => ci::run(workspace),
    }
}
