//! What a file that was compiled ahead says of itself, which is read of every file that is inspected.

use encoderfile_builder::precompiled::{Description, Precompiler};

pub(crate) fn run(data: &[u8]) {
    let _ = Description::of(data);
}

/// A module and a component that carry a few bytes.
pub(crate) fn seeds() -> anyhow::Result<Vec<Vec<u8>>> {
    const MODULE: &str = r#"(module (memory 1)
        (func (export "encoderfile_payload") (result i64) i64.const 0))"#;
    let component = MODULE.replacen('(', "(component (core ", 1) + ")";
    let mut seeds = Vec::new();
    for text in [MODULE, &component] {
        let mut file = Vec::new();
        Precompiler::new(wat::parse_str(text)?)?.write_with(&b"payload".to_vec(), &mut file)?;
        seeds.push(file);
    }
    Ok(seeds)
}
