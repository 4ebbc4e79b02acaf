//! Libraries of Windows, linked of a static one: rustc has zig export every symbol of what it links itself,
//! which are more than a library may have.

use crate::process;
use anyhow::Context;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What Rust's standard library and ours need of the system.
const SYSTEM: &[&str] = &[
    "-lunwind",
    "-lkernel32",
    "-lntdll",
    "-luserenv",
    "-lws2_32",
    "-ldbghelp",
    "-lbcrypt",
    "-ladvapi32",
    "-lole32",
    "-lsecur32",
];

/// A library of Windows, to be linked.
pub(crate) struct Dll<'a> {
    /// What the code is in.
    pub(crate) archive: &'a Path,
    /// What it exports, and nothing else.
    pub(crate) exports: Vec<String>,
    /// The library itself.
    pub(crate) output: &'a Path,
    /// What programs are linked with to call it.
    pub(crate) import_library: Option<&'a Path>,
}

impl Dll<'_> {
    /// Links it. What neither an export needs nor anything that one needs is left out.
    pub(crate) fn link(&self, mut linker: Command) -> anyhow::Result<()> {
        let name = self
            .output
            .file_name()
            .context("a library without a name")?;
        let mut definition = format!("LIBRARY \"{}\"\nEXPORTS\n", name.to_string_lossy());
        for export in &self.exports {
            definition += &format!("    {export}\n");
        }
        // The linker knows it by the end of its name; beside the archive, which nobody packs.
        let exports = self.archive.with_extension("def");
        fs::write(&exports, definition).with_context(|| exports.display().to_string())?;
        linker.args(["-shared", "-s", "-o"]).arg(self.output);
        linker.arg(&exports).arg(self.archive);
        linker.arg("-Wl,--gc-sections");
        if let Some(library) = self.import_library {
            let mut flag = OsString::from("-Wl,--out-implib,");
            flag.push(library);
            linker.arg(flag);
        }
        process::run(linker.args(SYSTEM))
    }
}
