//! `componentize MODULE COMPONENT`: makes the component of a core module that wit-bindgen's exports are
//! in. A program of its own, so that no other task compiles wit-component.

use anyhow::Context;
use std::borrow::Cow;
use std::env;
use std::fs;
use std::path::PathBuf;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasm_encoder::{RawSection, Section};
use wasmparser::{Parser, Payload};
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
    let component = without_names(&component)?;
    fs::write(&output, component).with_context(|| output.display().to_string())
}

/// The sections with which debuggers name what is in a module or a component.
const NAMES: [&str; 2] = ["name", "component-name"];

/// The same module or component, and what is in it, without names, which are 24 kB of every built
/// file. It is no good to take them out of what ComponentEncoder reads: by them it finds the adapter's
/// stack pointer.
fn without_names(binary: &[u8]) -> anyhow::Result<Vec<u8>> {
    let (mut kept, mut depth) = (Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(binary) {
        let payload = payload?;
        let is_names = matches!(&payload, Payload::CustomSection(it) if NAMES.contains(&it.name()));
        let section = payload.as_section().filter(|_| depth == 0 && !is_names);
        let is_nested = matches!(
            payload,
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. }
        );
        if let Some((id, range)) = section {
            let mut data = Cow::from(&binary[range]);
            if is_nested {
                data = without_names(&data)?.into();
            }
            RawSection { id, data: &data }.append_to(&mut kept);
        }
        match payload {
            Payload::Version { range, .. } if depth == 0 => kept.extend(&binary[range]),
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => depth += usize::from(is_nested),
        }
    }
    Ok(kept)
}
