//! The name by which programs find the shared library, with the version of its interface. `cargo
//! xtask dist` links ELF's anew: cargo's has no versions of symbols, since rustc gives the linker a
//! version script of its own, beside which none may have another.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_apple = env::var_os("CARGO_CFG_TARGET_VENDOR").is_some_and(|it| it == "apple");
    if is_apple {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libencoderfile.0.dylib");
    }
}
