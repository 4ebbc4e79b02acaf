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
            &without_names(WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?,
        )?
        .validate(true)
        .encode()?;
    let component = without_names(&component)?;
    fs::write(&output, component).with_context(|| output.display().to_string())
}

/// The sections with which debuggers name what is in a module or a component.
const NAMES: [&str; 2] = ["name", "component-name"];

/// The same module or component without names, which are 24 kB of every built file.
fn without_names(binary: &[u8]) -> anyhow::Result<Vec<u8>> {
    let (header, mut rest) = binary.split_at_checked(8).context("no wasm")?;
    let mut kept = header.to_vec();
    while let Some((id, after)) = rest.split_first() {
        let (length, content) = var_u32(after)?;
        let section = content.get(..length).context("a section is cut")?;
        let is_names = *id == 0 && NAMES.contains(&custom_name(section)?);
        let whole = rest.len() - content.len() + length;
        if !is_names {
            kept.extend(&rest[..whole]);
        }
        rest = &rest[whole..];
    }
    Ok(kept)
}

/// The name of a custom section.
fn custom_name(section: &[u8]) -> anyhow::Result<&str> {
    let (length, name) = var_u32(section)?;
    Ok(str::from_utf8(
        name.get(..length).context("a name is cut")?,
    )?)
}

/// A LEB128 number, and what follows it.
fn var_u32(bytes: &[u8]) -> anyhow::Result<(usize, &[u8])> {
    let last = bytes.iter().position(|byte| byte & 0x80 == 0);
    let (number, rest) = bytes.split_at(last.context("a number is cut")? + 1);
    let digits = number.iter().rev().map(|byte| usize::from(byte & 0x7f));
    Ok((digits.fold(0, |value, digit| value << 7 | digit), rest))
}
