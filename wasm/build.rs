//! Links the stack pointer as an export, for `npm/src/instance.ts`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Natively there is nothing in this crate, and the linker has no such option.
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo::rustc-link-arg-cdylib=--export=__stack_pointer");
    }
}
