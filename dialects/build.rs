//! Takes the indentation out of the OpenAPI document, which is most of its bytes.

use std::path::Path;
use std::{env, fs};

const DOCUMENT: &str = "../docs/schemas/openapi.json";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed={DOCUMENT}");
    // A line break in a string is escaped.
    let lines = fs::read_to_string(DOCUMENT)?;
    let lines: String = lines.lines().map(str::trim_start).collect();
    fs::write(Path::new(&env::var("OUT_DIR")?).join("openapi.json"), lines)?;
    Ok(())
}
