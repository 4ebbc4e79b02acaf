//! wasm-bindgen, as a program of one step: reads a module that the compiler made, writes
//! the script that starts it and the module that goes with that.
#![deny(unsafe_code)]

use anyhow::{Context, anyhow, bail};
use std::env;
use std::fs;
use std::path::PathBuf;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [module, script, bound] = arguments.as_slice() else {
        bail!("usage: bind MODULE SCRIPT BOUND");
    };
    let failed = |error: anyhow::Error| anyhow!("wasm-bindgen: {error:#}");
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module);
    bindgen.no_modules(true).map_err(failed)?;
    bindgen.typescript(false).omit_default_module_path(true);
    bindgen.remove_name_section(true);
    bindgen.remove_producers_section(true);
    let mut output = bindgen.generate_output().map_err(failed)?;
    fs::write(script, output.js()).with_context(|| script.display().to_string())?;
    let module = output.wasm_mut().emit_wasm();
    fs::write(bound, module).with_context(|| bound.display().to_string())
}
