//! Running what was compiled ahead: native code, which wasmtime maps and starts.

use super::http_traps::trap_http;
use super::{of_wasmtime, stdio};
use crate::precompiled::{self, Description, Form, WASMTIME_VERSION};
use anyhow::{anyhow, ensure};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Module, Store};
use wasmtime_wasi::p2;
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// Runs a file that was compiled for what `description` says; returns the guest's exit code. The
/// model is in the guest's memory: it needs no folder.
pub(super) fn run(
    file: &Path,
    description: &Description,
    directories: &[PathBuf],
    arguments: &[OsString],
) -> anyhow::Result<i32> {
    ensure!(
        description.wasmtime == WASMTIME_VERSION,
        "compiled ahead for wasmtime {}, and this encoderfile has wasmtime {WASMTIME_VERSION}: {}",
        description.wasmtime,
        again(file, description)
    );
    let mut wasi = super::guest(file, &[], directories, arguments)?;
    stdio(&mut wasi)?;
    let engine = engine()?;
    match description.form {
        Form::Module => {
            // SAFETY: as of a component.
            let module = unsafe { Module::deserialize_file(&engine, file) };
            let module = module.map_err(|error| refused(file, description, &error))?;
            super::start(&engine, &module, wasi.build_p1())
        }
        Form::Component => {
            // SAFETY: whoever runs a file that was compiled ahead trusts its machine code, as that
            // of an executable. It is mapped, which asks of its owner what `MappedFile` does.
            let component = unsafe { Component::deserialize_file(&engine, file) };
            let component = component.map_err(|error| refused(file, description, &error))?;
            start(&engine, &component, wasi)
        }
    }
}

/// What to do about a file that does not start here: its payload is read all the same.
fn again(file: &Path, description: &Description) -> String {
    let (file, target) = (file.display(), description.form.target());
    format!(
        "leave out --allow-precompiled, or build it again here (--from {file} --target {target} --precompile)"
    )
}

/// wasmtime says which setting, system or processor it is.
fn refused(file: &Path, description: &Description, error: &wasmtime::Error) -> anyhow::Error {
    let said: Vec<String> = error.chain().map(ToString::to_string).collect();
    // The first is the file, where there are others.
    let causes = match &*said {
        [_, causes @ ..] if !causes.is_empty() => causes,
        all => all,
    };
    anyhow!(
        "compiled ahead for {description}, and this machine does not take it ({}): {}",
        causes.join(": "),
        again(file, description)
    )
}

fn engine() -> anyhow::Result<Engine> {
    let mut config = precompiled::config();
    config.wasm_backtrace_max_frames(None);
    Engine::new(&config).map_err(of_wasmtime)
}

/// What a component's host keeps for it.
struct Guest {
    wasi: WasiCtx,
    resources: ResourceTable,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.resources,
        }
    }
}

/// Runs the command of a component.
fn start(engine: &Engine, component: &Component, mut wasi: WasiCtxBuilder) -> anyhow::Result<i32> {
    let mut linker = Linker::new(engine);
    p2::add_to_linker_sync(&mut linker)
        .and_then(|()| trap_http(&mut linker, engine, component))
        .map_err(of_wasmtime)?;
    let guest = Guest {
        wasi: wasi.build(),
        resources: ResourceTable::new(),
    };
    let mut store = Store::new(engine, guest);
    store.set_hostcall_fuel(usize::MAX);
    let command = Command::instantiate(&mut store, component, &linker).map_err(of_wasmtime)?;
    match command.wasi_cli_run().call_run(&mut store) {
        Ok(Ok(())) => Ok(0),
        Ok(Err(())) => Ok(1),
        Err(error) => match error.downcast_ref() {
            Some(I32Exit(code)) => Ok(*code),
            None => Err(of_wasmtime(error)),
        },
    }
}
