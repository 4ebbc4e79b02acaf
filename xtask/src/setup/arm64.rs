//! Running arm64 programs on a machine of another kind: a compiler and an emulator.

use super::{debian, on_path};
use crate::steps::Steps;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target that is emulated.
pub(crate) const TARGET: &str = "aarch64-unknown-linux-gnu";

/// Those that its kernels are compiled for.
pub(crate) const INSTRUCTION_SETS: [&str; 2] = ["portable", "neon"];

const COMPILER: &str = "aarch64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-aarch64";
const PACKAGES: [&str; 3] = [
    "gcc-aarch64-linux-gnu",
    "libc6-dev-arm64-cross",
    "qemu-user",
];

/// Where Debian's packages put an arm64 machine's libraries.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// What compiles for arm64, and runs it.
pub(crate) struct Emulator {
    compiler: PathBuf,
    emulator: PathBuf,
}

impl Emulator {
    /// From PATH, or installed. `None` where that cannot be.
    pub(crate) fn find(steps: &mut Steps) -> anyhow::Result<Option<Self>> {
        if Self::on_path().is_none() {
            debian::install(&PACKAGES)?;
        }
        let found = Self::on_path();
        if found.is_none() {
            let why = format!("no {COMPILER} and {EMULATOR} with {LIBRARIES}");
            steps.skip("arm64", &why)?;
        }
        Ok(found)
    }

    fn on_path() -> Option<Self> {
        let found = Self {
            compiler: on_path(COMPILER)?,
            emulator: on_path(EMULATOR)?,
        };
        Path::new(LIBRARIES).join("lib").is_dir().then_some(found)
    }

    /// Has Cargo compile with the one and run with the other.
    pub(crate) fn configure(&self, cargo: &mut Command) {
        cargo.env(format!("CC_{}", TARGET.replace('-', "_")), &self.compiler);
        let variable = |name| {
            let target = TARGET.replace('-', "_").to_uppercase();
            format!("CARGO_TARGET_{target}_{name}")
        };
        cargo.env(variable("LINKER"), &self.compiler);
        cargo.env(variable("RUNNER"), &self.emulator);
        cargo.env("QEMU_LD_PREFIX", LIBRARIES);
    }
}
