//! Compresses the notices: every built file carries those of its program.

use std::env;
use std::fs;
use std::io;
use std::path::Path;

/// The files that a program carries. That of the npm package is a file in it.
const FILES: [&str; 5] = ["native", "wasm", "component", "tool", "library"];

/// zlib's levels end at 9; this one is miniz_oxide's, and takes longest.
const LEVEL: u8 = 10;

fn main() -> io::Result<()> {
    let folder = env::var_os("OUT_DIR").unwrap_or_default();
    for name in FILES {
        let path = format!("{name}.txt");
        println!("cargo::rerun-if-changed={path}");
        let compressed = miniz_oxide::deflate::compress_to_vec_zlib(&fs::read(path)?, LEVEL);
        fs::write(Path::new(&folder).join(format!("{name}.zlib")), compressed)?;
    }
    Ok(())
}
