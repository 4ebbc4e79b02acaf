//! What a component's service imports, for a host that has only its command or its library.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceType};
use wasmtime::{Engine, bail};

/// Adds the types of HTTP that a component imports to a linker that has WASI, with a trap for each call.
///
/// `Linker::define_unknown_imports_as_traps` is no help: it gives the resources that an interface
/// has of another one a type of their own, also where that other one is WASI's.
///
/// # Errors
/// If the linker has HTTP already.
pub fn trap_http<T: 'static>(
    linker: &mut Linker<T>,
    engine: &Engine,
    component: &Component,
) -> wasmtime::Result<()> {
    let mut known = Vec::new();
    for (interface, import) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else {
            continue;
        };
        let mut http = match interface.starts_with("wasi:http/") {
            true => Some(linker.instance(interface)?),
            false => None,
        };
        for (name, export) in instance.exports(engine) {
            match (export.ty, &mut http) {
                (ComponentItem::Resource(resource), http) if !known.contains(&resource) => {
                    known.push(resource);
                    if let Some(http) = http {
                        http.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))?;
                    }
                }
                (ComponentItem::ComponentFunc(_), Some(http)) => {
                    http.func_new(name, |_, _, _, _| bail!("this host has no HTTP"))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}
