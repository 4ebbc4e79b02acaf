//! The header is what cbindgen makes of the sources.
//!
//! `SNAPSHOTS=overwrite cargo test --test header` writes it.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

#[test]
fn the_header_is_that_of_the_sources() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml"))?;
    let mut header = Vec::new();
    cbindgen::generate_with_config(folder, config)?.write(&mut header);
    let path = folder.join("include/encoderfile.h");
    if env::var_os("SNAPSHOTS").is_some_and(|it| it == "overwrite") {
        fs::write(&path, &header)?;
    }
    assert!(
        fs::read(&path)? == header,
        "{} is another; write it with SNAPSHOTS=overwrite",
        path.display()
    );
    Ok(())
}
