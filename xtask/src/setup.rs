//! What building and testing need beyond the compiler: rustup targets and
//! components, the wasmtime CLI, Node, what drives servers ([`clients`]), and what
//! stands in for another machine ([`arm64`]).
//! What is missing is installed where that can be done without asking anybody,
//! and otherwise named.

pub(crate) mod arm64;
pub(crate) mod clients;
mod debian;
pub(crate) mod wasmtime;

use crate::process;
use crate::steps::Steps;
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Targets the runtime compiles to, beside that of this machine.
pub(crate) const CROSS_TARGETS: [&str; 3] = [WASM, BROWSER, arm64::TARGET];

/// The target of the wasm base.
pub(crate) const WASM: &str = "wasm32-wasip1";

/// The target of components, whose core module is compiled for [`WASM`].
pub(crate) const COMPONENT: &str = "wasm32-wasip2";

/// The target of the npm package's module.
pub(crate) const BROWSER: &str = "wasm32-unknown-unknown";

/// The oldest Node whose WASI is checked.
const NODE_MAJOR_MIN: u32 = 20;

/// Adds those rustup targets that are missing.
pub(crate) fn targets(
    workspace: &Workspace,
    steps: &mut Steps,
    wanted: &[&str],
) -> anyhow::Result<()> {
    let wanted: Vec<String> = wanted.iter().map(|&name| name.into()).collect();
    add_missing(workspace, steps, "target", &wanted)
}

/// Adds the rustup components that `ci` uses and that are missing.
pub(crate) fn components(workspace: &Workspace, steps: &mut Steps) -> anyhow::Result<()> {
    let wanted = ["clippy", "rustfmt"].map(|name| format!("{name}-{}", workspace.host));
    add_missing(workspace, steps, "component", &wanted)
}

fn add_missing(
    workspace: &Workspace,
    steps: &mut Steps,
    kind: &str,
    wanted: &[String],
) -> anyhow::Result<()> {
    if Command::new("rustup").arg("--version").output().is_err() {
        let names = wanted.join(", ");
        return steps.skip(
            "rustup",
            &format!("no rustup here; {kind}s needed: {names}"),
        );
    }
    let mut list = workspace.command("rustup", &[kind, "list", "--installed"]);
    let installed = process::capture(&mut list)?;
    let is_missing = |name: &&String| !installed.lines().any(|line| line == *name);
    for name in wanted.iter().filter(is_missing) {
        println!("    installing the rustup {kind} {name}");
        process::run(&mut workspace.command("rustup", &[kind, "add", name]))?;
    }
    Ok(())
}

/// A program of crates.io, with those features and no others: from the tools folder, or installed
/// there from source.
pub(crate) fn cargo_program(
    workspace: &Workspace,
    package: &str,
    program: &str,
    features: &str,
) -> anyhow::Result<PathBuf> {
    let tools = tools_folder()?;
    let name = format!("{program}{}", env::consts::EXE_SUFFIX);
    let path = tools.join("bin").join(name);
    if !path.is_file() {
        println!("    installing {package} into {}", tools.display());
        // A folder of its own, kept until the end: an install that was interrupted goes on where it was.
        let build = tools.join("build");
        let mut install = workspace.command("cargo", &["install", "--locked", package]);
        install.args(["--no-default-features", "--features", features]);
        install.arg("--root").arg(&tools);
        process::run(install.arg("--target-dir").arg(&build))?;
        fs::remove_dir_all(&build).with_context(|| build.display().to_string())?;
    }
    Ok(path)
}

/// Where tools built from source are kept for the next time.
fn tools_folder() -> anyhow::Result<PathBuf> {
    if let Some(folder) = env_path("ENCODERFILE_TOOLS") {
        return Ok(folder);
    }
    let cache = match env_path("XDG_CACHE_HOME") {
        Some(cache) => cache,
        None => env::home_dir()
            .context("no home directory; set ENCODERFILE_TOOLS to a folder for tools")?
            .join(".cache"),
    };
    Ok(cache.join("encoderfile").join("tools"))
}

fn env_path(name: &str) -> Option<PathBuf> {
    let value = env::var_os(name).filter(|value| !value.is_empty());
    value.map(PathBuf::from)
}

/// Node, new enough.
pub(crate) fn node() -> anyhow::Result<PathBuf> {
    let hint = format!("install Node {NODE_MAJOR_MIN} or newer, so that `node` is on PATH");
    let path = on_path("node").with_context(|| format!("no Node here: {hint}"))?;
    let version = process::capture(Command::new(&path).arg("--version"))?;
    let version = version.trim();
    let major = version.trim_start_matches('v').split('.').next();
    match major.and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major >= NODE_MAJOR_MIN => Ok(path),
        _ => bail!("{} is {version}: {hint}", path.display()),
    }
}

/// What checks every access to memory: from PATH, or installed. `None` where that cannot be.
pub(crate) fn valgrind(steps: &mut Steps) -> anyhow::Result<Option<PathBuf>> {
    const NAME: &str = "valgrind";
    if on_path(NAME).is_none() {
        debian::install(&[NAME])?;
    }
    let found = on_path(NAME);
    if found.is_none() {
        steps.skip("memory", "no valgrind")?;
    }
    Ok(found)
}

/// A program from PATH, or else from a package of Debian.
pub(crate) fn debian_program(name: &str, package: &str) -> anyhow::Result<PathBuf> {
    if on_path(name).is_none() {
        debian::install(&[package])?;
    }
    on_path(name).with_context(|| format!("no {name} here (Debian: apt-get install {package})"))
}

/// What signs a release, and verifies it.
pub(crate) fn minisign() -> anyhow::Result<PathBuf> {
    debian_program("minisign", "minisign")
}

/// What reads and unpacks container images: from PATH, or Debian's, which root can install.
pub(crate) fn image_tools(steps: &mut Steps) -> anyhow::Result<()> {
    const NAMES: [&str; 2] = ["skopeo", "umoci"];
    let is_missing = || NAMES.into_iter().any(|name| on_path(name).is_none());
    if is_missing() {
        debian::install(&NAMES)?;
    }
    match is_missing() {
        true => steps.skip("images", &format!("no {}", NAMES.join(" or "))),
        false => Ok(()),
    }
}

/// What compiles and runs programs in other languages that call the C library: from PATH, or
/// Debian's, which root can install.
pub(crate) fn language_tools(steps: &mut Steps) -> anyhow::Result<()> {
    /// A program and its package.
    const TOOLS: [(&str, &str); 9] = [
        ("cc", "gcc"),
        ("c++", "g++"),
        ("pkg-config", "pkg-config"),
        ("cmake", "cmake"),
        ("go", "golang-go"),
        ("javac", "default-jdk-headless"),
        ("mcs", "mono-mcs"),
        ("mono", "mono-runtime"),
        ("sqlite3", "sqlite3"),
    ];
    /// Of Java's JNA, which is no program.
    const JNA: (&str, &str) = ("/usr/share/java/jna.jar", "libjna-java");
    let missing = || {
        let tools = TOOLS.iter().filter(|(name, _)| on_path(name).is_none());
        let jna = (!Path::new(JNA.0).is_file()).then_some(&JNA);
        tools.chain(jna).copied().collect::<Vec<_>>()
    };
    let packages: Vec<&str> = missing().iter().map(|(_, package)| *package).collect();
    if !packages.is_empty() {
        debian::install(&packages)?;
    }
    match missing().as_slice() {
        [] => Ok(()),
        missing => {
            let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
            steps.skip("languages", &format!("no {}", names.join(", ")))
        }
    }
}

/// Whether there is a C++ compiler, which libFuzzer needs: on PATH, or installed.
pub(crate) fn cxx(steps: &mut Steps) -> anyhow::Result<bool> {
    const NAME: &str = "c++";
    if on_path(NAME).is_none() {
        debian::install(&["g++"])?;
    }
    let is_there = on_path(NAME).is_some();
    if !is_there {
        steps.skip("fuzz", "no `c++`, which compiles libFuzzer")?;
    }
    Ok(is_there)
}

/// The first program of that name in the folders of PATH.
fn on_path(name: &str) -> Option<PathBuf> {
    let name = format!("{name}{}", env::consts::EXE_SUFFIX);
    let folders = env::var_os("PATH")?;
    let mut candidates = env::split_paths(&folders).map(|folder| folder.join(&name));
    candidates.find(|path| path.is_file())
}
