//! `componentize MODULE COMPONENT`: makes the component of a core module that wit-bindgen's exports are
//! in. A program of its own, so that no other task compiles wit-component.

use anyhow::Context;
use std::env;
use std::fs;
use std::path::PathBuf;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

fn main() -> anyhow::Result<()> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (module, output) = (arguments.next(), arguments.next());
    let (module, output) = module
        .zip(output)
        .context("componentize MODULE COMPONENT")?;
    let core = fs::read(&module).with_context(|| module.display().to_string())?;
    let component = ComponentEncoder::default()
        .module(&core)?
        .adapter(
            WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
            WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        )?
        .validate(true)
        .encode()?;
    fs::write(&output, component).with_context(|| output.display().to_string())
}
