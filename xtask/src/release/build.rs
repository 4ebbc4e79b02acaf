//! Compiling and linking for a target: with zig, but for wasm.

use super::frameworks;
use super::targets::{self, Target};
use crate::capi;
use crate::dist;
use crate::dll::Dll;
use crate::process;
use crate::python::{self, Module, Packer};
use crate::setup::clients::{self, ZIG};
use crate::setup::{COMPONENT, WASM};
use crate::steps::Steps;
use crate::workspace::Workspace;
use anyhow::Context;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

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
        if target.triple == WASM {
            let base = dist::wasm_program(self.workspace)?;
            return Ok(Programs { base, tool: None });
        }
        if target.triple == COMPONENT {
            let base = dist::component(self.workspace)?;
            return Ok(Programs { base, tool: None });
        }
        let mut zigbuild = self.zigbuild(target, "encoderfile-host")?;
        if target.has_tool {
            zigbuild.args(["--package", "encoderfile-builder"]);
        }
        process::run(&mut zigbuild)?;
        let folder = self.folder(target);
        let program = |name: &str| folder.join(format!("{name}{}", target.suffix));
        Ok(Programs {
            base: program("encoderfile-host"),
            tool: target.has_tool.then(|| program("encoderfile")),
        })
    }

    /// The C library for a target, as an archive that tar and gzip unpack.
    pub(super) fn library(&self, target: &Target, output: &Path) -> anyhow::Result<()> {
        let name = target.library_name(&self.workspace.version);
        self.compile_library(target, "encoderfile-capi")?;
        let built = capi::Built {
            target: target.rust,
            folder: self.folder(target),
            linker: self.linker(target)?,
        };
        let above = self.workspace.target.join("capi");
        capi::lay_out(self.workspace, built, above.join(&name))?;
        let mut archive = Command::new("tar");
        archive.args(["--create", "--gzip", "--format=ustar", "--sort=name"]);
        archive.args(["--owner=0", "--group=0", "--numeric-owner"]);
        archive.args(["--mode=go-w", &format!("--mtime=@{}", self.epoch)]);
        archive.arg("-f").arg(output.join(format!("{name}.tar.gz")));
        process::run(archive.arg("-C").arg(&above).arg(&name))
    }

    /// The wheel for a target, which has the target's tool in it.
    pub(super) fn wheel(
        &self,
        target: &Target,
        packer: &Packer<'_>,
        tool: &Path,
        output: &Path,
    ) -> anyhow::Result<()> {
        let folder = self.workspace.target.join("wheel");
        let mut maturin = packer.maturin(tool, target.suffix, &folder)?;
        // Where maturin links no module, one of here is exchanged.
        let compiled = match target.is_windows() {
            true => targets::find(&self.workspace.host)?,
            false => target,
        };
        maturin.args(["--profile", PROFILE, "--target", compiled.rust, "--zig"]);
        if compiled.glibc.is_some() {
            maturin.args(["--compatibility", "manylinux2014"]);
        }
        self.prepare(&mut maturin, compiled)?;
        process::run(&mut maturin)?;
        if target.is_windows() {
            let module = Module {
                file: &self.python_module(target)?,
                name: "_encoderfile.pyd",
                platform: "win_amd64",
                target: target.rust,
            };
            packer.exchange(&module, &folder, &self.epoch)?;
        }
        let wheel = python::only_file(&folder)?;
        let name = wheel.file_name().context("a wheel without a name")?;
        super::copy(&wheel, &output.join(name))
    }

    /// The module of Python for Windows.
    fn python_module(&self, target: &Target) -> anyhow::Result<PathBuf> {
        self.compile_library(target, "encoderfile-python")?;
        let folder = self.folder(target);
        let module = folder.join("_encoderfile.pyd");
        let dll = Dll {
            archive: &folder.join("libencoderfile_python.a"),
            exports: vec!["PyInit__encoderfile".into()],
            output: &module,
            import_library: None,
        };
        dll.link(self.linker(target)?)?;
        Ok(module)
    }

    /// `cargo zigbuild` of packages for a target.
    fn zigbuild(&self, target: &Target, package: &str) -> anyhow::Result<Command> {
        self.zig_cargo("zigbuild", target, package)
    }

    /// The libraries of a package for a target: a shared one only of macOS, since the others are linked of
    /// the static one.
    fn compile_library(&self, target: &Target, package: &str) -> anyhow::Result<()> {
        let mut rustc = self.zig_cargo("rustc", target, package)?;
        let kinds = match target.is_apple() {
            true => "staticlib,cdylib",
            false => "staticlib",
        };
        process::run(rustc.args(["--lib", "--crate-type", kinds]))
    }

    fn zig_cargo(&self, action: &str, target: &Target, package: &str) -> anyhow::Result<Command> {
        let mut command = self.workspace.command("cargo-zigbuild", &[action]);
        command.args(["--locked", "--profile", PROFILE]);
        command.args(["--target", &target.zig(), "--package", package]);
        self.prepare(&mut command, target)?;
        Ok(command)
    }

    /// What links for a target.
    fn linker(&self, target: &Target) -> anyhow::Result<Command> {
        let mut linker = self.workspace.command("python", &["-m", "ziglang", "cc"]);
        linker.args(["-target", &target.zig_linker()]);
        linker.env("PATH", self.path()?);
        Ok(linker)
    }

    /// What whatever compiles for a target is told by its environment.
    fn prepare(&self, command: &mut Command, target: &Target) -> anyhow::Result<()> {
        let name = target.rust.replace('-', "_");
        let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", name.to_uppercase());
        let mut flags = self.remap.rust.clone();
        if target.is_apple() {
            let frameworks = self.workspace.target.join("frameworks");
            frameworks::write(self.workspace, &frameworks)?;
            flags += &format!(" -Lframework={}", frameworks.display());
            command.env("MACOSX_DEPLOYMENT_TARGET", MACOS_MIN);
        }
        command.env(variable, flags);
        command.env(format!("CFLAGS_{name}"), &self.remap.c);
        command.env("SOURCE_DATE_EPOCH", &self.epoch);
        command.env("PATH", self.path()?);
        Ok(())
    }

    /// Where cargo leaves what it builds for a target.
    fn folder(&self, target: &Target) -> PathBuf {
        self.workspace.target.join(target.rust).join(PROFILE)
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
