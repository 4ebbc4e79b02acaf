//! Links the stack pointer as an export, and a table of functions that can grow,
//! for `npm/src/instance.ts`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Natively there is nothing in this crate, and the linker has no such option.
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        for argument in ["--export=__stack_pointer", "--growable-table"] {
            println!("cargo::rustc-link-arg-cdylib={argument}");
        }
    }
}
