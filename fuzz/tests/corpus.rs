//! Every seed and everything in `corpus/` through its target: what was found once is not
//! found again.

use encoderfile_fuzz::TARGETS;
use std::fs;
use std::path::Path;

#[test]
fn what_was_found_stays_mended() -> anyhow::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in TARGETS {
        let seeds = target.seeds()?;
        assert!(!seeds.is_empty(), "{}: {}", target.name, target.about);
        for seed in seeds {
            target.run(&seed);
        }
        let folder = corpus.join(target.name);
        let entries = folder.is_dir().then(|| fs::read_dir(&folder)).transpose()?;
        for entry in entries.into_iter().flatten() {
            let path = entry?.path();
            // A crash ends the process: the last line says over what.
            println!("{}", path.display());
            target.run(&fs::read(path)?);
        }
    }
    // No other folder is there, of a target that was renamed.
    for entry in fs::read_dir(corpus)? {
        let name = entry?.file_name();
        let is_target = TARGETS.iter().any(|target| *target.name == *name);
        assert!(is_target, "{}", name.display());
    }
    Ok(())
}
