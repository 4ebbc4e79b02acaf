//! Compiling and linking for a target: with zig, but for wasm.

use super::frameworks;
use super::targets::Target;
use crate::dist;
use crate::process;
use crate::setup::WASM;
use crate::setup::clients::{self, ZIG};
use crate::steps::Steps;
use crate::workspace::Workspace;
use anyhow::Context;
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// The first macOS on arm64; zig's own choice is years later.
const MACOS_MIN: &str = "11.0";

/// What is linked whole, in minutes: CI builds everything with `release`.
const PROFILE: &str = "dist";

/// What compiles a release.
pub(super) struct Builder<'a> {
    workspace: &'a Workspace,
    /// The folder of `cargo-zigbuild` and `python`, which is zig.
    programs: PathBuf,
    /// Of the commit, in seconds, for whoever writes a time into a file.
    epoch: String,
    /// Flags by which no file has this machine's folders in it.
    remap: Remap,
}

/// What was built for a target.
pub(super) struct Programs {
    pub(super) base: PathBuf,
    pub(super) tool: Option<PathBuf>,
}

struct Remap {
    rust: String,
    c: String,
}

impl<'a> Builder<'a> {
    /// `None` where there is no zig to be had.
    pub(super) fn new(workspace: &'a Workspace, steps: &mut Steps) -> anyhow::Result<Option<Self>> {
        let Some(python) = clients::python(workspace, steps, &ZIG)? else {
            return Ok(None);
        };
        let mut log = workspace.command("git", &["log", "-1", "--format=%ct"]);
        let epoch = process::capture(&mut log)?;
        Ok(Some(Self {
            workspace,
            programs: python
                .parent()
                .context("python3 is in no folder")?
                .to_owned(),
            epoch: epoch.trim().to_owned(),
            remap: Remap::of(workspace)?,
        }))
    }

    /// The base program for a target, and the tool.
    pub(super) fn build(&self, target: &Target) -> anyhow::Result<Programs> {
        if target.rust == WASM {
            let base = dist::wasm_program(self.workspace)?;
            return Ok(Programs { base, tool: None });
        }
        let mut zigbuild = self.workspace.command("cargo", &["zigbuild", "--locked"]);
        zigbuild.args(["--profile", PROFILE, "--target", &target.zig()]);
        zigbuild.args(["--package", "encoderfile-host"]);
        if target.has_tool {
            zigbuild.args(["--package", "encoderfile-builder"]);
        }
        let name = target.rust.replace('-', "_");
        let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", name.to_uppercase());
        let mut flags = self.remap.rust.clone();
        if target.rust.ends_with("-apple-darwin") {
            let frameworks = self.workspace.target.join("frameworks");
            frameworks::write(self.workspace, &frameworks)?;
            flags += &format!(" -Lframework={}", frameworks.display());
            zigbuild.env("MACOSX_DEPLOYMENT_TARGET", MACOS_MIN);
        }
        zigbuild.env(variable, flags);
        zigbuild.env(format!("CFLAGS_{name}"), &self.remap.c);
        zigbuild.env("SOURCE_DATE_EPOCH", &self.epoch);
        zigbuild.env("PATH", self.path()?);
        process::run(&mut zigbuild)?;
        let folder = self.workspace.target.join(target.rust).join(PROFILE);
        let program = |name: &str| folder.join(format!("{name}{}", target.suffix));
        Ok(Programs {
            base: program("encoderfile-host"),
            tool: target.has_tool.then(|| program("encoderfile")),
        })
    }

    /// A tool that runs here, which puts the others together.
    pub(super) fn assembler(&self, built: &[(&Target, Programs)]) -> anyhow::Result<PathBuf> {
        let host = |it: &&(&Target, Programs)| it.0.triple == self.workspace.host;
        if let Some(tool) = built.iter().find(host).and_then(|it| it.1.tool.clone()) {
            return Ok(tool);
        }
        let mut native = self
            .workspace
            .cargo(&["build", "--release", "--workspace", "--bins"]);
        process::run(&mut native)?;
        let name = format!("encoderfile{}", env::consts::EXE_SUFFIX);
        Ok(self.workspace.target.join("release").join(name))
    }

    fn path(&self) -> anyhow::Result<OsString> {
        let before = env::var_os("PATH").unwrap_or_default();
        let folders = [self.programs.clone()];
        let folders = folders.into_iter().chain(env::split_paths(&before));
        Ok(env::join_paths(folders)?)
    }
}

impl Remap {
    fn of(workspace: &Workspace) -> anyhow::Result<Self> {
        // Flags are told apart by spaces.
        let each = |flag: &str| -> anyhow::Result<String> {
            let flags = dist::remap(workspace, flag)?.into_iter();
            Ok(flags
                .filter(|it| !it.contains(' '))
                .collect::<Vec<_>>()
                .join(" "))
        };
        Ok(Self {
            rust: each("--remap-path-prefix")?,
            // Of mimalloc, which names the date it was compiled on: that of the epoch.
            c: format!("{} -Wno-error=date-time", each("-ffile-prefix-map")?),
        })
    }
}
