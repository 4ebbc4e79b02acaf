//! Binaryen's optimiser: what rustc makes of WebAssembly becomes a seventh smaller, and no
//! slower.

use crate::process;
use crate::setup::clients::packages_of;
use crate::workspace::Workspace;
use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The npm package with Binaryen among its packages, from the root.
const SOURCES: &str = "wasm/npm";

/// What a module may use of WebAssembly: what rustc uses by default, which is
/// older than the SIMD that we add.
const FEATURES: [&str; 8] = [
    "--mvp-features",
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
    "--enable-simd",
];

/// `wasm-opt`, installed.
pub(crate) struct WasmOpt {
    node: PathBuf,
    script: PathBuf,
}

impl WasmOpt {
    /// Installs it, if it is not there.
    pub(crate) fn install(workspace: &Workspace, node: &Path) -> anyhow::Result<Self> {
        packages_of(workspace, SOURCES)?;
        let sources = workspace.root.join(SOURCES);
        Ok(Self {
            node: node.to_owned(),
            script: sources.join("node_modules/binaryen/bin/wasm-opt"),
        })
    }

    /// A module made as small as it can be, in a file beside `module`.
    pub(crate) fn optimise(&self, module: &Path) -> anyhow::Result<PathBuf> {
        let optimised = module.with_extension("optimised.wasm");
        let content = fs::read(module).with_context(|| module.display().to_string())?;
        // Most of a minute, and often for what was optimised before.
        let before = module.with_extension("before.wasm");
        let is_same = fs::read(&before).is_ok_and(|before| before == content);
        if !is_same || !optimised.is_file() {
            // Removed first: an interrupted run must not leave the two apart.
            let _ = fs::remove_file(&optimised);
            fs::write(&before, &content).with_context(|| before.display().to_string())?;
            let mut optimise = Command::new(&self.node);
            optimise.arg(&self.script).arg("-Oz").args(FEATURES);
            process::run(optimise.arg(&before).arg("-o").arg(&optimised))?;
        }
        Ok(optimised)
    }
}
