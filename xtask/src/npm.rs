//! The npm package: the runtime for JavaScript, and what is around it.

use crate::dist::{self, megabytes, size};
use crate::notices;
use crate::process;
use crate::setup::clients::npm;
use crate::setup::{self, BROWSER};
use crate::steps::Steps;
use crate::table::{Align, Table};
use crate::wasm_opt::WasmOpt;
use crate::workspace::Workspace;
use anyhow::{Context, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package's sources, from the root.
const SOURCES: &str = "wasm/npm";

/// What the package's file with the licences of what is in its module is called.
pub(crate) const NOTICES: &str = "THIRD-PARTY.txt";

/// The compiler, in [`SOURCES`].
const COMPILER: &str = "node_modules/typescript/bin/tsc";

/// The folder of the `encoderfile` command, among the package's scripts.
const COMMAND: &str = "tool";

/// What describes a set of scripts to the compiler, from the root: the demo with what
/// both pages share, its service worker, and the server's page.
const PAGES: [&str; 3] = [
    "web-demo/tsconfig.json",
    "web-demo/sw.tsconfig.json",
    "dialects/src/page/tsconfig.json",
];

/// The package, built.
pub(crate) struct Package {
    /// `dist/npm/encoderfile-VERSION.tgz`.
    pub(crate) tarball: PathBuf,
    /// The WebAssembly module in it.
    module: PathBuf,
}

/// Builds it alone and shows its parts.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let mut steps = Steps::new();
    let package = build(workspace, &mut steps, &setup::node()?)?;
    let mut parts = Table::new(&[
        ("part", Align::Left),
        ("size", Align::Right),
        ("path", Align::Left),
    ]);
    package.list(workspace, &mut parts)?;
    print!("\n{}", parts.to_terminal());
    Ok(())
}

/// Builds `dist/npm/encoderfile-VERSION.tgz`.
pub(crate) fn build(
    workspace: &Workspace,
    steps: &mut Steps,
    node: &Path,
) -> anyhow::Result<Package> {
    steps.begin("npm module", "the runtime for wasm32-unknown-unknown");
    setup::targets(workspace, steps, &[BROWSER])?;
    let wasm_opt = WasmOpt::install(workspace, node)?;
    compile_module(workspace)?;

    steps.begin("npm package", "its module, its scripts and their types");
    let sources = workspace.root.join(SOURCES);
    let folder = sources.join("dist");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
    let script = |path: &str, arguments: &[&str]| {
        let mut command = Command::new(node);
        command.arg(path).args(arguments);
        process::run(command.current_dir(&sources))
    };
    script(COMPILER, &[])?;
    assemble(workspace, &folder, |assembled| {
        let assembled = assembled.to_string_lossy();
        let arguments = [
            "src/tile.wat",
            "-o",
            &assembled,
            "--enable-simd",
            "--enable-relaxed-simd",
        ];
        script("node_modules/binaryen/bin/wasm-as", &arguments)
    })?;
    let module = folder.join("encoderfile.wasm");
    bind(workspace, &folder, &wasm_opt)?;
    let into = workspace.root.join("dist").join("npm");
    if into.exists() {
        fs::remove_dir_all(&into).with_context(|| into.display().to_string())?;
    }
    Ok(Package {
        tarball: pack(workspace, &into)?,
        module,
    })
}

/// Packs what was built once more, with what the command knows of its release.
pub(crate) fn pack_for_release(
    workspace: &Workspace,
    description: &str,
    into: &Path,
) -> anyhow::Result<PathBuf> {
    let path = workspace.root.join(SOURCES).join("dist/release.json");
    write(&path, description.as_bytes())?;
    let packed = pack(workspace, into);
    fs::remove_file(&path).with_context(|| path.display().to_string())?;
    packed
}

/// The runtime for [`BROWSER`], as it is linked.
pub(crate) fn compile_module(workspace: &Workspace) -> anyhow::Result<()> {
    let mut build = workspace.cargo(&["build", "--package", "encoderfile-wasm"]);
    build.args(["--profile", "browser", "--target", BROWSER, "--config"]);
    process::run(build.arg(dist::remapped(workspace, BROWSER)?))
}

/// Checks the types of both pages' scripts against those of the package, which is built.
pub(crate) fn check_pages(
    workspace: &Workspace,
    steps: &mut Steps,
    node: &Path,
) -> anyhow::Result<()> {
    steps.begin(
        "pages",
        "the types in the scripts of the demo and of the server's page",
    );
    let compiler = workspace.root.join(SOURCES).join(COMPILER);
    for page in PAGES {
        let mut check = Command::new(node);
        check.arg(&compiler).arg("--project");
        process::run(check.arg(workspace.root.join(page)))?;
    }
    Ok(())
}

/// Whether a file or folder is of use to no browser: types, what tells the compiler of them, and
/// the command.
pub(crate) fn is_for_no_browser(name: &str) -> bool {
    name == COMMAND || name.ends_with(".d.ts") || name.ends_with("tsconfig.json")
}

/// Writes `tile.js`: the assembled `tile.wat`, which is too small to be a file.
fn assemble(
    workspace: &Workspace,
    folder: &Path,
    assemble: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let assembled = workspace
        .target
        .join(BROWSER)
        .join("browser")
        .join("tile.wasm");
    assemble(&assembled)?;
    let module = fs::read(&assembled).with_context(|| assembled.display().to_string())?;
    let script = format!("export default new Uint8Array({module:?});\n");
    write(&folder.join("tile.js"), script.as_bytes())
}

/// Writes `encoderfile.wasm` and `glue.js`, which starts instances of it.
///
/// wasm-bindgen's modules hold one instance each. We want one a model, since
/// that is what frees a model's memory, and so take its script without modules
/// as the body of a function.
fn bind(workspace: &Workspace, folder: &Path, wasm_opt: &WasmOpt) -> anyhow::Result<()> {
    let built = workspace.target.join(BROWSER).join("browser");
    let (script, bound) = (built.join("bound.js"), built.join("bound.wasm"));
    let mut bind = workspace.cargo(&["run", "--quiet", "--release"]);
    bind.args(["--package", "encoderfile-xtask", "--features", "bind"]);
    bind.args(["--bin", "bind", "--"]);
    let made = built.join("encoderfile_wasm.wasm");
    process::run(bind.args([&made, &script, &bound]))?;
    let script = fs::read_to_string(&script).with_context(|| script.display().to_string())?;
    let glue = format!("export default function glue() {{\n{script}\nreturn wasm_bindgen;\n}}\n");
    write(&folder.join("glue.js"), glue.as_bytes())?;
    let optimised = wasm_opt.optimise(&bound)?;
    let module = fs::read(&optimised).with_context(|| optimised.display().to_string())?;
    write(&folder.join("encoderfile.wasm"), &module)
}

/// The package as npm would publish it, in a folder.
fn pack(workspace: &Workspace, into: &Path) -> anyhow::Result<PathBuf> {
    let sources = workspace.root.join(SOURCES);
    for (from, name) in [
        (workspace.root.join("LICENSE"), "LICENSE"),
        (notices::of_npm_package(workspace), NOTICES),
    ] {
        let path = sources.join(name);
        fs::copy(from, &path).with_context(|| path.display().to_string())?;
    }
    let manifest = fs::read_to_string(sources.join("package.json"))?;
    let manifest: Value = serde_json::from_str(&manifest).context("package.json")?;
    let version = manifest.get("version").and_then(Value::as_str);
    ensure!(
        version == Some(&workspace.version),
        "{SOURCES}/package.json has version {version:?}, Cargo.toml {}",
        workspace.version
    );
    fs::create_dir_all(into).with_context(|| into.display().to_string())?;
    let mut pack = npm(&sources)?;
    pack.args(["pack", "--silent", "--pack-destination"]);
    process::capture(pack.arg(into))?;
    let tarball = into.join(format!("encoderfile-{}.tgz", workspace.version));
    ensure!(tarball.is_file(), "npm pack left no {}", tarball.display());
    Ok(tarball)
}

impl Package {
    /// Its parts, their sizes and where they are.
    pub(crate) fn list(&self, workspace: &Workspace, table: &mut Table) -> anyhow::Result<()> {
        for (part, path) in [("npm module", &self.module), ("npm package", &self.tarball)] {
            let size = megabytes(size(path)?);
            table.push(vec![part.into(), size, workspace.shown(path).to_string()]);
        }
        Ok(())
    }
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    fs::write(path, content).with_context(|| path.display().to_string())
}
