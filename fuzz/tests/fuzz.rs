//! libFuzzer, with the target that the environment names.
#![no_main]

use encoderfile_fuzz::Target;
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::LazyLock;
use std::{env, fs};

/// The variable with the target's name.
const NAME: &str = "ENCODERFILE_FUZZ_TARGET";

/// The variable with the folder that the seeds are written to, before libFuzzer reads it.
const SEEDS: &str = "ENCODERFILE_FUZZ_SEEDS";

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = env::var(NAME).unwrap_or_default();
    Target::named(&name).unwrap_or_else(|| panic!("{NAME}={name:?} is no target"))
});

fn write_seeds(folder: &Path) -> anyhow::Result<()> {
    for (number, seed) in TARGET.seeds()?.into_iter().enumerate() {
        fs::write(folder.join(format!("seed-{number}")), seed)?;
    }
    Ok(())
}

fuzz_target!(
    init: {
        if let Some(folder) = env::var_os(SEEDS) {
            write_seeds(Path::new(&folder)).unwrap_or_else(|error| panic!("{error:#}"));
        }
    },
    |data: &[u8]| TARGET.run(data)
);
