//! Where the workspace, its target directory and its host triple are.

use crate::process;
use anyhow::Context;
use serde_json::Value;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace this was started in.
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo puts what it builds; CARGO_TARGET_DIR is taken into account.
    pub(crate) target: PathBuf,
    /// The triple this compiler builds for by default.
    pub(crate) host: String,
    /// The version of every package in it.
    pub(crate) version: String,
    /// Whether clippy reads what is compiled, and ends it where it has something to say.
    pub(crate) has_lints: bool,
}

impl Workspace {
    pub(crate) fn find() -> anyhow::Result<Self> {
        let mut metadata = Command::new("cargo");
        metadata.args(["metadata", "--no-deps", "--format-version", "1"]);
        let metadata: Value = serde_json::from_str(&process::capture(&mut metadata)?)
            .context("the output of `cargo metadata`")?;
        let version = process::capture(Command::new("rustc").arg("-vV"))?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        Ok(Self {
            root: folder(&metadata, "workspace_root")?,
            target: folder(&metadata, "target_directory")?,
            host: host.context("`rustc -vV` names no host")?.to_owned(),
            // xtask's own is the workspace's.
            version: env!("CARGO_PKG_VERSION").to_owned(),
            has_lints: false,
        })
    }

    /// `cargo` in the root of the workspace.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = self.command("cargo", arguments);
        self.with_lints(&mut cargo);
        cargo
    }

    /// What runs cargo, so that it has clippy read what it compiles, if that was asked for.
    pub(crate) fn with_lints<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if self.has_lints {
            let wrapper = self.root.join("xtask/clippy.sh");
            command.env("RUSTC_WORKSPACE_WRAPPER", wrapper);
            command.env("ENCODERFILE_ROOT", &self.root);
        }
        command
    }

    /// Any program in the root of the workspace.
    ///
    /// `cargo run` tells what it runs, us, of our own package. A build script that looks
    /// at the same variables (ring's) would be run again, and what depends on it compiled
    /// again, each time that somebody calls cargo by hand in between.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        const OURS: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.root);
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if OURS.iter().any(|ours| text.starts_with(ours)) {
                command.env_remove(name);
            }
        }
        command
    }

    /// `path` from the root where that is shorter to read.
    pub(crate) fn shown<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}

fn folder(metadata: &Value, key: &str) -> anyhow::Result<PathBuf> {
    let value = metadata.get(key).and_then(Value::as_str);
    value
        .map(PathBuf::from)
        .with_context(|| format!("`cargo metadata` gives no {key}"))
}
