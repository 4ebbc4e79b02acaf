//! The npm package: the runtime for JavaScript, and what is around it.

use crate::workspace::Workspace;
use anyhow::{Context, anyhow};
use std::fs;
use std::path::Path;
use wasm_bindgen_cli_support::Bindgen;

/// Where a browser's WebAssembly runs.
pub(crate) const BROWSER: &str = "wasm32-unknown-unknown";

/// Writes `encoderfile.wasm` and `glue.js`, which starts instances of it.
///
/// wasm-bindgen's modules hold one instance each. We want one a model, since
/// that is what frees a model's memory, and so take its script without modules
/// as the body of a function.
fn bind(workspace: &Workspace, folder: &Path) -> anyhow::Result<()> {
    let module = workspace
        .target
        .join(BROWSER)
        .join("browser")
        .join("encoderfile_wasm.wasm");
    let mut bindgen = Bindgen::new();
    bindgen.input_path(&module).out_name("encoderfile");
    bindgen
        .no_modules(true)
        .map_err(|error| anyhow!("{error:#}"))?;
    bindgen.typescript(false).omit_default_module_path(true);
    bindgen
        .remove_name_section(true)
        .remove_producers_section(true);
    bindgen.keep_lld_exports(true);
    let mut output = bindgen
        .generate_output()
        .map_err(|error| anyhow!("{error:#}"))?;
    let script = output.js();
    let glue = format!("export default function glue() {{\n{script}\nreturn wasm_bindgen;\n}}\n");
    let wasm = output.wasm_mut().emit_wasm();
    fs::write(folder.join("encoderfile.wasm"), wasm).context("encoderfile.wasm")?;
    fs::write(folder.join("glue.js"), glue).context("glue.js")
}

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let folder = workspace.root.join("dist/npm");
    fs::create_dir_all(&folder)?;
    bind(workspace, &folder)
}
