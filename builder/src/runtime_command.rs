//! The `runtime` command, and upstream's `new-transform`.

use crate::cli::{Cli, Runtime, RuntimeTarget};
use anyhow::bail;
use encoderfile_builder::hub::Network;
use encoderfile_builder::runtimes::{self, Place, Runtimes};
use encoderfile_builder::target::{TARGETS, Target};
use std::path::PathBuf;

/// The base programs that options speak of. `cache` is what a settings file says.
pub(crate) fn open(
    cli: &Cli,
    cache: Option<PathBuf>,
    version: Option<&str>,
    no_download: bool,
) -> anyhow::Result<Runtimes> {
    Runtimes::open(runtimes::Settings {
        cache: cli.cache_dir.clone().or(cache),
        version: version.map(str::to_owned),
        network: match no_download {
            true => Network::Forbidden("--no-download"),
            false => Network::Allowed,
        },
    })
}

/// Does what the command says; the text to print.
pub(crate) fn run(cli: &Cli, command: &Runtime) -> anyhow::Result<String> {
    match command {
        Runtime::List { runtime_version } => {
            list(&open(cli, None, runtime_version.as_deref(), true)?)
        }
        Runtime::Add(argument) => {
            let target = Target::find(&argument.target)?;
            let path = runtimes(cli, argument)?.add(target)?;
            Ok(format!("{}\n", path.display()))
        }
        Runtime::Remove(argument) => {
            let target = Target::find(&argument.target)?;
            let runtimes = runtimes(cli, argument)?;
            if !runtimes.remove(target)? {
                let version = runtimes.version();
                warn(&format!(
                    "runtime remove: no {version} {target} in the cache"
                ));
            }
            Ok(String::new())
        }
        Runtime::Path {
            target,
            runtime_version,
        } => {
            let runtimes = open(cli, None, runtime_version.as_deref(), true)?;
            let path = match target {
                None => runtimes.folder()?,
                Some(name) => cached(&runtimes, name)?,
            };
            Ok(format!("{}\n", path.display()))
        }
    }
}

fn runtimes(cli: &Cli, argument: &RuntimeTarget) -> anyhow::Result<Runtimes> {
    open(cli, None, argument.runtime_version.as_deref(), false)
}

fn list(runtimes: &Runtimes) -> anyhow::Result<String> {
    let version = runtimes.version();
    let mut lines = String::new();
    for target in targets(runtimes) {
        let place = match runtimes.place(target)? {
            Some(Place::Carried) => "in this tool",
            Some(Place::Cached) => "in the cache",
            Some(Place::Released) => "to be downloaded",
            None => "not in this release",
        };
        lines += &format!("{version} {target:<27} {place}\n", target = target.triple);
    }
    Ok(lines)
}

/// Those of a release, and this machine's if it is none of them.
fn targets(runtimes: &Runtimes) -> Vec<&'static Target> {
    let mut targets: Vec<&Target> = TARGETS.iter().collect();
    let host = Target::host();
    if !targets.contains(&host) && runtimes.carried().has(host.triple) {
        targets.push(host);
    }
    targets
}

fn cached(runtimes: &Runtimes, name: &str) -> anyhow::Result<PathBuf> {
    let path = runtimes.cached(Target::find(name)?)?;
    if !path.is_file() {
        bail!(
            "{}: not there; `encoderfile runtime add {name}` puts it there",
            path.display()
        );
    }
    Ok(path)
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
