//! The npm package in fresh projects of every kind, one test for each. What they
//! check is in `browser/packaging/`.

use anyhow::ensure;
use encoderfile_tests::process;
use encoderfile_tests::programs::{self, Program};
use std::process::Command;

/// The model that the projects load, from the root.
const MODEL: &str = "models/all-MiniLM-L6-v2.ef";

fn pass(case: &str) -> anyhow::Result<()> {
    let (Some(node), Some(chromium), Some(package), Some(tool)) = (
        Program::Node.find()?,
        Program::Chromium.find()?,
        Program::NpmPackage.find()?,
        Program::Encoderfile.find()?,
    ) else {
        return Ok(());
    };
    if !programs::has_node_modules("browser")? {
        return Ok(());
    }
    let mut command = Command::new(node);
    command.arg(programs::root().join("tests/browser/packaging.mjs"));
    command.args(["--only", case]);
    command.arg("--package").arg(package);
    command.arg("--model").arg(programs::root().join(MODEL));
    command.arg("--tool").arg(tool);
    command.arg("--chromium").arg(chromium);
    let printed = process::pass(&mut command)?;
    let ok = format!("ok {case} ");
    ensure!(
        printed.lines().any(|line| line.starts_with(&ok)),
        "{printed}"
    );
    Ok(())
}

/// `NAME: CASE;` makes a test NAME.
macro_rules! cases {
    ($($name:ident: $case:literal;)*) => {$(
        #[test]
        fn $name() -> anyhow::Result<()> {
            pass($case)
        }
    )*};
}

cases! {
    vite_build: "vite-build";
    vite_dev: "vite-dev";
    webpack: "webpack";
    page: "page";
    forbidden: "forbidden";
    astray: "astray";
    service_worker: "service-worker";
    extension: "extension";
    bin: "bin";
    node: "node";
    langchain: "langchain";
    modules: "modules";
    reader: "reader";
    layouts: "layouts";
    types: "types";
}
