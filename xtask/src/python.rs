//! The wheel that `pip install encoderfile` gets: the runtime for Python, compiled by maturin, with
//! the tool beside it.

use crate::packages::Packages;
use crate::process;
use crate::sbom;
use crate::setup::clients::{self, Environment};
use crate::steps::Steps;
use crate::table::Table;
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the package is, from the root.
const FOLDER: &str = "python";

/// The package of the module.
pub(crate) const PACKAGE: &str = "encoderfile-python";

/// The feature of it that the wheel of the tests has, and none that is given away.
pub(crate) const FEATURE: &str = "of-the-workspace";

/// What compiles and packs it.
const MATURIN: Environment = Environment {
    requirements: "python/build.txt",
    folder: "maturin-venv",
    holds: "maturin",
};

/// What the package is tested with.
const TESTS: Environment = Environment {
    requirements: "python/tests/requirements.txt",
    folder: "python-venv",
    holds: "Python packages of the wheel's tests",
};

/// A wheel.
pub(crate) struct Wheel {
    /// `dist/python/encoderfile-VERSION-cp310-abi3-PLATFORM.whl`.
    pub(crate) file: PathBuf,
}

/// What compiles and packs it.
pub(crate) struct Packer<'a> {
    workspace: &'a Workspace,
    /// A Python that has maturin.
    python: PathBuf,
}

/// A module for another system than a wheel was made for.
pub(crate) struct Module<'a> {
    pub(crate) file: &'a Path,
    /// What Python looks for there.
    pub(crate) name: &'a str,
    /// What pip calls the system.
    pub(crate) platform: &'a str,
    /// As Rust names it.
    pub(crate) target: &'a str,
}

/// Makes the wheel, with a tool in it. `None` where there is no Python to do so.
pub(crate) fn build(
    workspace: &Workspace,
    steps: &mut Steps,
    tool: &Path,
) -> anyhow::Result<Option<Wheel>> {
    let Some(packer) = Packer::find(workspace, steps)? else {
        return Ok(None);
    };
    steps.begin("wheel", "the Python package, for the stable ABI of 3.10");
    let output = workspace.root.join("dist/python");
    let mut maturin = packer.maturin(tool, env::consts::EXE_SUFFIX, &output)?;
    maturin.args(["--profile", "release", "--features", FEATURE]);
    process::run(workspace.with_lints(&mut maturin))?;
    Ok(Some(Wheel {
        file: only_file(&output)?,
    }))
}

impl<'a> Packer<'a> {
    /// `None` where there is no Python for it.
    pub(crate) fn find(
        workspace: &'a Workspace,
        steps: &mut Steps,
    ) -> anyhow::Result<Option<Self>> {
        let python = clients::python(workspace, steps, &MATURIN)?;
        Ok(python.map(|python| Self { workspace, python }))
    }

    /// What makes a wheel with that tool in it, in a folder that is emptied for it. The profile and the
    /// target are the caller's.
    pub(crate) fn maturin(
        &self,
        tool: &Path,
        suffix: &str,
        output: &Path,
    ) -> anyhow::Result<Command> {
        let root = &self.workspace.root;
        let package = root.join(FOLDER);
        place(&root.join("LICENSE"), &package.join("LICENSE"))?;
        let notices = root.join("licenses/python.txt");
        place(&notices, &package.join("THIRD-PARTY.txt"))?;
        // Another system's has another name.
        empty(&package.join("encoderfile/bin"))?;
        let name = format!("encoderfile/bin/encoderfile{suffix}");
        place(tool, &package.join(name))?;
        empty(output)?;
        let python = self.python.to_string_lossy();
        let mut maturin = self.workspace.command(&python, &["-m", "maturin", "build"]);
        maturin.args(["--quiet", "--locked", "--manifest-path"]);
        maturin.arg(package.join("Cargo.toml"));
        maturin.arg("--out").arg(output);
        maturin.env("CARGO_TARGET_DIR", &self.workspace.target);
        Ok(maturin)
    }

    /// Exchanges the module of the wheel in a folder; `epoch` is the time of its files.
    pub(crate) fn exchange(
        &self,
        module: &Module<'_>,
        folder: &Path,
        epoch: &str,
    ) -> anyhow::Result<()> {
        let version = &self.workspace.version;
        let wheel = |action: &str| {
            let python = self.python.to_string_lossy();
            let mut command = self.workspace.command(&python, &["-m", "wheel", action]);
            command.env("SOURCE_DATE_EPOCH", epoch);
            command
        };
        let unpacked = self.workspace.target.join("wheel-unpacked");
        empty(&unpacked)?;
        let before = only_file(folder)?;
        process::run(wheel("unpack").arg("--dest").arg(&unpacked).arg(&before))?;
        fs::remove_file(&before)?;
        let package = unpacked.join(format!("encoderfile-{version}"));
        fs::remove_file(package.join("encoderfile/_encoderfile.abi3.so"))?;
        place(module.file, &package.join("encoderfile").join(module.name))?;
        self.describe(module, &package)?;
        process::run(wheel("pack").arg("--dest-dir").arg(folder).arg(&package))?;
        let packed = only_file(folder)?;
        let mut tags = wheel("tags");
        tags.args(["--platform-tag", module.platform, "--remove"]);
        process::run(tags.arg(packed))
    }

    /// What the module is made of, in place of what the other was.
    fn describe(&self, module: &Module<'_>, package: &Path) -> anyhow::Result<()> {
        let information = format!("encoderfile-{}.dist-info/sboms", self.workspace.version);
        let bill = only_file(&package.join(information))?;
        let packages = Packages::read(self.workspace)?;
        let of = (PACKAGE, module.target);
        sbom::write(self.workspace, &packages, of, &bill)
    }
}

impl Wheel {
    /// A Python that has it, and what it is tested with.
    pub(crate) fn install(
        &self,
        workspace: &Workspace,
        steps: &mut Steps,
    ) -> anyhow::Result<Option<PathBuf>> {
        let Some(python) = clients::python(workspace, steps, &TESTS)? else {
            return Ok(None);
        };
        process::run(
            pip_install(&python)
                .arg("--force-reinstall")
                .arg(&self.file),
        )?;
        Ok(Some(python))
    }

    /// Puts what is in it into a folder, for that Python.
    pub(crate) fn unpack(&self, python: &Path, folder: &Path) -> anyhow::Result<()> {
        let mut install = pip_install(python);
        install.arg("--upgrade").arg("--target").arg(folder);
        process::run(install.arg(&self.file))
    }

    /// Adds it to the parts that are shown.
    pub(crate) fn list(&self, workspace: &Workspace, parts: &mut Table) -> anyhow::Result<()> {
        let size = crate::dist::megabytes(crate::dist::size(&self.file)?);
        let shown = workspace.shown(&self.file).to_string();
        parts.push(vec!["Python package".into(), size, shown]);
        Ok(())
    }
}

/// A Python with what the tests need, and the wheel that pip chooses of a folder.
pub(crate) fn install_from(
    workspace: &Workspace,
    steps: &mut Steps,
    folder: &Path,
) -> anyhow::Result<Option<PathBuf>> {
    let Some(python) = clients::python(workspace, steps, &TESTS)? else {
        return Ok(None);
    };
    let mut install = pip_install(&python);
    install.args(["--force-reinstall", "--find-links"]);
    let version = &workspace.version;
    process::run(install.arg(folder).arg(format!("encoderfile=={version}")))?;
    Ok(Some(python))
}

fn pip_install(python: &Path) -> Command {
    let mut install = Command::new(python);
    install.args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]);
    install
}

/// Puts a file beside the package's own; it is not part of the sources.
fn place(from: &Path, to: &Path) -> anyhow::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    fs::copy(from, to)
        .map(|_| ())
        .with_context(|| format!("{} to {}", from.display(), to.display()))
}

fn empty(folder: &Path) -> anyhow::Result<()> {
    match folder.exists() {
        true => fs::remove_dir_all(folder).with_context(|| folder.display().to_string()),
        false => Ok(()),
    }
}

pub(crate) fn only_file(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut files = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    match (files.next().transpose()?, files.next()) {
        (Some(file), None) => Ok(file.path()),
        _ => bail!("{}: not one wheel", folder.display()),
    }
}
