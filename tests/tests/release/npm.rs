//! The npm package of a release, installed as a command.

use crate::Release;
use anyhow::{Context, ensure};
use encoderfile_builder::runtimes::ADDRESS_VARIABLE;
use encoderfile_tests::process;
use std::process::Command;

impl Release {
    /// `npm install -g` gives the tool of this machine.
    pub(super) fn check_npm(&self) -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        let package = format!("npm/encoderfile-{}.tgz", env!("CARGO_PKG_VERSION"));
        let mut install = Command::new("npm");
        install.args([
            "install",
            "--global",
            "--offline",
            "--no-audit",
            "--no-fund",
        ]);
        install.arg("--cache").arg(root.path().join("npm"));
        install.arg("--prefix").arg(root.path());
        process::succeed(install.arg(self.folder.join(package)))?;
        let above = self.folder.parent().context("no folder above")?;
        let mut tool = Command::new(root.path().join("bin/encoderfile"));
        tool.env(ADDRESS_VARIABLE, above).arg("version");
        tool.env("XDG_CACHE_HOME", root.path().join("cache"));
        let said = process::succeed(&mut tool)?;
        let expected = process::succeed(self.tool().arg("version"))?;
        ensure!(said.text()? == expected.text()?, "{}", said.text()?);
        Ok(())
    }
}
