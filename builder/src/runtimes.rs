//! Upstream's `runtime` and `new-transform`: what they mean for a tool that
//! carries its base programs and runs no scripts.

use crate::cli::{Runtime, RuntimeTarget};
use anyhow::bail;
use encoderfile_builder::base::{BUNDLE_TARGET, Carried};

/// Says what upstream's command is here; the text to print.
pub(crate) fn runtime(command: &Runtime) -> anyhow::Result<String> {
    let carried = Carried::open()?;
    let mut targets = carried.targets();
    // Nothing to run it with.
    targets.retain(|target| target != BUNDLE_TARGET);
    match command {
        Runtime::List => {
            let version = env!("CARGO_PKG_VERSION");
            let lines = targets.iter().map(|it| format!("{version} {it}\n"));
            Ok(lines.collect())
        }
        Runtime::Add(RuntimeTarget {
            target,
            runtime_version,
        }) => {
            if let Some(version) = runtime_version {
                warn_of_version(version);
            }
            if !targets.contains(target) {
                let targets = targets.join(", ");
                bail!(
                    "runtime add: base programs are not downloaded, and this tool carries no base program for {target}, only for {targets}; give `build` one with --base FILE"
                );
            }
            warn(&format!(
                "runtime add: nothing to do, this tool carries the base program for {target}"
            ));
            Ok(String::new())
        }
        Runtime::Remove(_) => bail!(
            "runtime remove: base programs are part of this tool, and there is no cache to remove them from"
        ),
    }
}

/// Scripts are not run.
pub(crate) fn new_transform(model_type: Option<&str>) -> anyhow::Result<String> {
    let of = model_type.map_or(String::new(), |it| format!(" for {it}"));
    bail!(
        "new-transform: a Lua script{of} would not be run; pooling, normalisation and activations come from the model folder, and requests have options of their own (`infer --help`)"
    )
}

/// One line about something that was given and has no effect.
pub(crate) fn warn(message: &str) {
    eprintln!("warning: {message}");
}

/// Upstream's releases have a base program each.
pub(crate) fn warn_of_version(version: &str) {
    warn(&format!(
        "--runtime-version {version} has no effect: base programs are in this tool, of version {}",
        env!("CARGO_PKG_VERSION")
    ));
}
