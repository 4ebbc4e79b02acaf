//! Snapshots of a component of a few lines.

use super::*;
use crate::precompiled::Precompiler;
use crate::precompiled::tests::payload;
use encoderfile::container::find_footer;

const GUEST: &str = include_str!("guest.wat");

/// The component, whose `open` does that too.
fn guest(load: &str) -> Vec<u8> {
    wat::parse_str(GUEST.replace("LOAD", load)).unwrap()
}

fn snapshot(base: &[u8], payload: &[u8]) -> Result<Vec<u8>, SnapshotError> {
    let mut out = Vec::new();
    write_with(base, &payload, &mut out)?;
    Ok(out)
}

fn refusal(base: &[u8]) -> String {
    snapshot(base, &payload(5000)).unwrap_err().to_string()
}

/// What the guest has in its heap, and how often it was opened.
fn loaded(component: &[u8]) -> (u32, u32) {
    let engine = Engine::default();
    let component = Component::new(&engine, component).unwrap();
    let mut store = Store::new(&engine, ());
    let linker = linker(&engine, &component).unwrap();
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let loaded = instance.get_typed_func::<(), (u64,)>(&mut store, "loaded");
    let (value,) = loaded.unwrap().call(&mut store, ()).unwrap();
    let [heap, opened] = [value, value >> 32].map(|it| u32::try_from(it & 0xffff_ffff).unwrap());
    (heap, opened)
}

#[test]
fn an_instance_has_what_the_model_left() {
    let base = guest("");
    for length in [1, 5000, 3 << 20] {
        let payload = payload(length);
        let file = snapshot(&base, &payload).unwrap();
        let sum: u32 = payload.iter().copied().map(u32::from).sum();
        assert_eq!(loaded(&file), (sum, 1), "{length}");
        assert_eq!(snapshot(&base, &payload).unwrap(), file, "{length}");
    }
}

#[test]
fn the_payload_is_where_the_end_says() {
    let payload = payload(70_000);
    let file = snapshot(&guest(""), &payload).unwrap();
    let range = component::payload(&file).unwrap();
    let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
    assert!(file[range] == payload);
    assert!(find_footer(&file).is_some());
    // Once.
    assert_eq!(memchr::memmem::find_iter(&file, &payload).count(), 1);
    assert!(wasm_payload::is_snapshot(&file));
    let mut plain = Vec::new();
    wasm_payload::inject(&guest(""), &payload, &mut plain).unwrap();
    assert!(!wasm_payload::is_snapshot(&plain));
}

#[test]
fn nothing_else_takes_its_payloads_place() {
    let payload = payload(5000);
    let file = snapshot(&guest(""), &payload).unwrap();
    let injected = wasm_payload::inject(&file, &payload, &mut Vec::new());
    assert!(matches!(injected, Err(WasmError::Snapshot)), "{injected:?}");
    let base = wasm_payload::base_of(&file).map(drop);
    assert!(matches!(base, Err(WasmError::Snapshot)), "{base:?}");
    let again = snapshot(&file, &payload).map(drop);
    assert!(
        matches!(again, Err(SnapshotError::Wasm(WasmError::Snapshot))),
        "{again:?}"
    );
}

#[test]
fn it_is_compiled_ahead_as_any_component() {
    let payload = payload(5000);
    let base = crate::base::WasmBase::from(guest("")).snapshot().unwrap();
    let mut file = Vec::new();
    let precompiler = Precompiler::new(base).unwrap();
    precompiler.write_with(&payload, &mut file).unwrap();
    let range = component::payload(&file).unwrap();
    let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
    assert!(file[range] == payload);
}

#[test]
fn a_model_that_does_not_load_says_why() {
    // An error, with the text at 16.
    let base = guest(
        "(i32.store8 (i32.const 128) (i32.const 1))
         (i32.store (i32.const 132) (i32.const 16))
         (i32.store (i32.const 136) (i32.const 8))",
    );
    let error = refusal(&base);
    assert!(
        error.ends_with("did not load in the component: no model"),
        "{error}"
    );
    let error = refusal(&guest("unreachable"));
    assert!(error.contains("did not load in the component"), "{error}");
}

#[test]
fn what_a_snapshot_cannot_keep_is_named() {
    let error = snapshot(&guest("(drop (call $now))"), &payload(5000)).unwrap_err();
    let chain = format!("{:#}", anyhow::Error::from(error));
    assert!(chain.contains("wasi:clocks/monotonic-clock"), "{chain}");
}

#[test]
fn a_payload_that_was_written_to_is_refused() {
    let error = refusal(&guest("(i32.store8 (i32.const 65540) (i32.const 200))"));
    assert!(error.contains("changed its own payload"), "{error}");
}

#[test]
fn others_are_refused() {
    let module = wat::parse_str("(module)").unwrap();
    let error = refusal(&module);
    assert!(error.contains("--target wasm32-wasip2"), "{error}");
    // A component without the interface.
    let text = r#"(component (core module $m
        (memory (export "memory") 1)
        (func (export "encoderfile_payload") (result i64) i64.const 0))
        (core instance (instantiate $m)))"#;
    let error = refusal(&wat::parse_str(text).unwrap());
    assert!(error.contains("[static]model.open"), "{error}");
}
