//! `cargo xtask dist`: the whole tool in one file, the C library, the npm package and the demo.

use crate::capi::{self, Library};
use crate::demo;
use crate::notices;
use crate::npm;
use crate::process;
use crate::python;
use crate::setup::{self, BROWSER, WASM};
use crate::steps::Steps;
use crate::table::{Align, Table};
use crate::wasm_opt::WasmOpt;
use crate::workspace::Workspace;
use anyhow::{Context, anyhow};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

/// The embedded default model, from the root.
pub(crate) const DEFAULT_MODEL: &str = "models/all-MiniLM-L6-v2.ef";

/// The columns of a table of parts.
pub(crate) const PARTS: [(&str, Align); 3] = [
    ("part", Align::Left),
    ("size", Align::Right),
    ("path", Align::Left),
];

/// What `dist` builds.
pub(crate) struct Dist {
    /// `dist/encoderfile`.
    pub(crate) tool: PathBuf,
    /// The base program for this machine.
    pub(crate) native_base: PathBuf,
    /// The base program for wasm32-wasip1.
    pub(crate) wasm_base: PathBuf,
    /// The base component, for wasm32-wasip2; not of a trial.
    pub(crate) component_base: Option<PathBuf>,
    /// The model the tool carries.
    pub(crate) default_model: PathBuf,
    /// `dist/capi`, where there is one.
    pub(crate) library: Option<Library>,
    /// The tool before anything is appended to it.
    bare_tool: PathBuf,
}

/// `cargo xtask dist`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Show instead which crates the bytes of the base program are of, as a release links it
    #[arg(long)]
    bloat: bool,
}

/// Builds it and shows its parts.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.bloat {
        return show_bloat(workspace);
    }
    let mut steps = Steps::new();
    steps.begin("setup", "the targets of what is not native");
    setup::targets(workspace, &mut steps, &[WASM, BROWSER])?;
    let dist = build(workspace, &mut steps, Scope::Programs)?;
    let package = match setup::node() {
        Ok(node) => {
            let package = npm::build(workspace, &mut steps, &node)?;
            Some((package, demo::build(workspace, &mut steps)?))
        }
        Err(why) => {
            steps.skip("npm package and demo", &why.to_string())?;
            None
        }
    };
    let wheel = python::build(workspace, &mut steps, &dist.tool)?;
    let adapter = spin_adapter(workspace, &workspace.root.join("dist"))?;
    let mut parts = dist.parts(workspace)?;
    let shown = workspace.shown(&adapter).to_string();
    parts.push(vec![
        "Spin adapter".into(),
        megabytes(size(&adapter)?),
        shown,
    ]);
    if let Some((package, site)) = package {
        package.list(workspace, &mut parts)?;
        site.list(workspace, &mut parts)?;
    }
    if let Some(wheel) = wheel {
        wheel.list(workspace, &mut parts)?;
    }
    print!("\n{}", parts.to_terminal());
    Ok(())
}

/// By cargo-bloat, of the whole program as it is linked with symbols.
fn show_bloat(workspace: &Workspace) -> anyhow::Result<()> {
    let tool = setup::cargo_program(workspace, "cargo-bloat@0.12.1", "cargo-bloat", "")?;
    let mut bloat = workspace.command(&tool.to_string_lossy(), &["bloat", "--crates", "-n", "40"]);
    bloat.args(["--profile", "dist", "--package", "encoderfile-host"]);
    process::run(bloat.env("CARGO_PROFILE_DIST_STRIP", "none"))
}

/// What is built, of the same dependencies each time: `rules` checks that their features do not depend on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Bases and tool as soon as there can be any: the wasm base as it is linked. Of the component no more than
    /// its module.
    Trial,
    /// Bases, tool and C library as they are given away.
    Programs,
    /// Those and the tests.
    Everything,
}

/// Builds both bases and the tool, and puts them together.
pub(crate) fn build(
    workspace: &Workspace,
    steps: &mut Steps,
    scope: Scope,
) -> anyhow::Result<Dist> {
    let mut dist = Dist::new(workspace);
    steps.begin(
        "programs",
        "the base for this machine and the encoderfile command; the same base for wasm32-wasip1, and \
         as a component",
    );
    let wasm_opt = match scope {
        Scope::Trial => None,
        Scope::Programs | Scope::Everything => wasm_opt(workspace, steps)?,
    };
    // Side by side, in folders of their own: each has a long end on one core.
    let (native, wasm) = thread::scope(|threads| {
        let native = threads.spawn(|| {
            // What the package of the next step is made of.
            let module = (scope == Scope::Everything)
                .then(|| threads.spawn(|| npm::compile_module(workspace)));
            process::run(&mut native_programs(workspace, scope))?;
            module.map_or(Ok(()), joined)
        });
        let wasm = link_for_wasi(workspace).and_then(|()| {
            let made_of = |package| optimised(workspace, package, wasm_opt.as_ref());
            let module = (scope != Scope::Trial).then(|| made_of(COMPONENT));
            Ok((made_of(HOST)?, module.transpose()?))
        });
        (joined(native), wasm)
    });
    native?;
    let module;
    (dist.wasm_base, module) = wasm?;
    // By a program that is compiled natively, too.
    let component = module.map(|module| componentize(workspace, &module));
    dist.component_base = component.transpose()?;
    steps.begin(
        "dist",
        "the tool, both bases and the default model in one file",
    );
    dist.assemble(workspace)?;
    if scope != Scope::Trial {
        dist.library = capi::build(workspace, steps)?;
    }
    Ok(dist)
}

fn joined(build: ScopedJoinHandle<'_, anyhow::Result<()>>) -> anyhow::Result<()> {
    build.join().map_err(|_| anyhow!("a build panicked"))?
}

fn native_programs(workspace: &Workspace, scope: Scope) -> Command {
    let targets: &[&str] = match scope {
        Scope::Trial => &["--bins"],
        Scope::Programs => &["--bins", "--lib"],
        Scope::Everything => &["--all-targets"],
    };
    let mut programs = workspace.cargo(&["build", "--release", "--workspace"]);
    programs.args(targets);
    programs
}

/// The optimiser, if there is Node to run it.
fn wasm_opt(workspace: &Workspace, steps: &mut Steps) -> anyhow::Result<Option<WasmOpt>> {
    match setup::node() {
        Ok(node) => WasmOpt::install(workspace, &node).map(Some),
        Err(why) => {
            steps.skip(
                "wasm-opt",
                &format!("the wasm base stays as large as it is linked: {why}"),
            )?;
            Ok(None)
        }
    }
}

/// The packages of the two programs for WASI.
const HOST: &str = "encoderfile-host";
const COMPONENT: &str = "encoderfile-component";

/// The package of the adapter for Spin, `wasm/spin`, and what it is called where it is given away.
pub(crate) const SPIN_ADAPTER: &str = "encoderfile-spin";

/// Makes the adapter for Spin, which asks nothing of WASI, in `folder`, with its notices beside it.
pub(crate) fn spin_adapter(workspace: &Workspace, folder: &Path) -> anyhow::Result<PathBuf> {
    let mut build = workspace.cargo(&["build", "--package", SPIN_ADAPTER]);
    build.args(["--profile", "wasm", "--target", BROWSER]);
    process::run(build.arg("--config").arg(remapped(workspace, BROWSER)?))?;
    let module = workspace
        .target
        .join(BROWSER)
        .join("wasm/encoderfile_spin.wasm");
    let adapter = folder.join(format!("{SPIN_ADAPTER}.wasm"));
    make_component(workspace, &module, &adapter)?;
    let notices = folder.join(format!("{SPIN_ADAPTER}.THIRD-PARTY.txt"));
    fs::copy(notices::of_spin_adapter(workspace), &notices)
        .with_context(|| notices.display().to_string())?;
    Ok(adapter)
}

/// Makes the component of the base module, beside it.
fn componentize(workspace: &Workspace, module: &Path) -> anyhow::Result<PathBuf> {
    let component = module.with_file_name("encoderfile-component.wasm");
    make_component(workspace, module, &component)?;
    Ok(component)
}

/// Makes the component of a core module.
fn make_component(workspace: &Workspace, module: &Path, output: &Path) -> anyhow::Result<()> {
    let mut make = workspace.cargo(&["run", "--quiet", "--release"]);
    make.args([
        "--package",
        "encoderfile-xtask",
        "--features",
        "componentize",
    ]);
    make.args(["--bin", "componentize", "--"]);
    process::run(make.args([module, output]))
}

/// Links both programs for WASI. Always both: the features of what they depend on are those of
/// either, so that it is compiled once.
fn link_for_wasi(workspace: &Workspace) -> anyhow::Result<()> {
    let mut build = workspace.cargo(&["build", "--package", HOST, "--package", COMPONENT]);
    build.args(["--profile", "wasm", "--target", WASM]);
    process::run(build.arg("--config").arg(remapped(workspace, WASM)?))
}

/// The program of a package for WASI as it is given away, or, without an optimiser, as it is linked.
fn optimised(
    workspace: &Workspace,
    package: &str,
    wasm_opt: Option<&WasmOpt>,
) -> anyhow::Result<PathBuf> {
    let linked = linked(workspace, package);
    match wasm_opt {
        Some(wasm_opt) => wasm_opt.optimise(&linked),
        None => Ok(linked),
    }
}

/// What cargo calls the program of a package for WASI: that of a library has underscores.
fn linked(workspace: &Workspace, package: &str) -> PathBuf {
    let name = match package {
        COMPONENT => package.replace('-', "_"),
        _ => package.to_owned(),
    };
    let folder = workspace.target.join(WASM).join("wasm");
    folder.join(name + ".wasm")
}

/// Flags of a compiler by which sources have no folder of this machine before them: messages of
/// panics name each, and a file that everybody gets names nobody's home, and is the same
/// wherever it was built. Sources of this workspace have none: cargo compiles them from its root.
/// So the flags are the same in every checkout, and dependencies are not compiled for each.
pub(crate) fn remap(workspace: &Workspace, flag: &str) -> anyhow::Result<Vec<String>> {
    let mut folders = registries()?;
    // Of what build scripts write.
    folders.push(workspace.target.clone());
    let flags = folders
        .iter()
        .map(|it| format!("{flag}={}/=", it.display()));
    Ok(flags.collect())
}

/// What cargo is to read beside .cargo/config.toml, for a target whose flags are there.
pub(crate) fn remapped(workspace: &Workspace, target: &str) -> anyhow::Result<String> {
    let flags = remap(workspace, "--remap-path-prefix")?;
    Ok(format!("target.{target}.rustflags={flags:?}"))
}

/// The folders of this machine that cargo has sources of dependencies in.
fn registries() -> anyhow::Result<Vec<PathBuf>> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    let sources = home.context("no home folder, where cargo has sources")?;
    let sources = sources.join("registry/src");
    let mut folders = Vec::new();
    for index in fs::read_dir(&sources).with_context(|| sources.display().to_string())? {
        folders.push(index?.path());
    }
    Ok(folders)
}

/// The base program for wasm32-wasip1, as it is given away.
pub(crate) fn wasm_program(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    wasi_program(workspace, HOST)
}

/// The base component, for wasm32-wasip2, as it is given away.
pub(crate) fn component(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    componentize(workspace, &wasi_program(workspace, COMPONENT)?)
}

fn wasi_program(workspace: &Workspace, package: &str) -> anyhow::Result<PathBuf> {
    let wasm_opt = WasmOpt::install(workspace, &setup::node()?)?;
    link_for_wasi(workspace)?;
    optimised(workspace, package, Some(&wasm_opt))
}

impl Dist {
    fn new(workspace: &Workspace) -> Self {
        let executable = |name: &str| format!("{name}{}", env::consts::EXE_SUFFIX);
        let release = workspace.target.join("release");
        Self {
            tool: workspace.root.join("dist").join(executable("encoderfile")),
            native_base: release.join(executable("encoderfile-host")),
            wasm_base: linked(workspace, HOST),
            component_base: None,
            default_model: workspace.root.join(DEFAULT_MODEL),
            library: None,
            bare_tool: release.join(executable("encoderfile")),
        }
    }

    fn assemble(&self, workspace: &Workspace) -> anyhow::Result<()> {
        let folder = self.tool.parent().unwrap_or(&workspace.root);
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let base = |target: &str, path: &Path| format!("{target}={}", path.display());
        let mut assemble = workspace.command(&self.bare_tool.to_string_lossy(), &["assemble-tool"]);
        assemble.args(["--base", &base(&workspace.host, &self.native_base)]);
        assemble.args(["--base", &base(WASM, &self.wasm_base)]);
        if let Some(component) = &self.component_base {
            assemble.args(["--base", &base(setup::COMPONENT, component)]);
        }
        assemble.arg("--default-model").arg(&self.default_model);
        process::run(assemble.arg("-o").arg(&self.tool))
    }

    /// Builds an encoderfile with the tool; says how long that took. No `model`
    /// means the one in the tool, no `target` this machine.
    pub(crate) fn build_model(
        &self,
        model: Option<&Path>,
        target: Option<&str>,
        options: &[&str],
        output: &Path,
    ) -> anyhow::Result<Duration> {
        let mut build = process::timed(&self.tool);
        build.arg("build");
        if let Some(model) = model {
            build.arg("--model").arg(model);
        }
        if let Some(target) = target {
            build.args(["--target", target]);
        }
        let (time, _) = process::time(build.args(options).arg("-o").arg(output))?;
        Ok(time)
    }

    /// The parts, their sizes and where they are.
    pub(crate) fn parts(&self, workspace: &Workspace) -> anyhow::Result<Table> {
        let mut table = Table::new(&PARTS);
        let parts = [
            ("native base", &self.native_base),
            ("wasm base", &self.wasm_base),
            ("command", &self.bare_tool),
            ("default model", &self.default_model),
            ("the tool", &self.tool),
        ];
        let component = self.component_base.iter();
        let component = component.map(|path| ("component base", path));
        for (part, path) in parts.into_iter().chain(component) {
            let size = megabytes(size(path)?);
            table.push(vec![part.into(), size, workspace.shown(path).to_string()]);
        }
        if let Some(library) = &self.library {
            library.list(workspace, &mut table)?;
        }
        Ok(table)
    }
}

/// The size of a file in bytes.
pub(crate) fn size(path: &Path) -> anyhow::Result<u64> {
    let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
    Ok(metadata.len())
}

/// `90.4 MB`, of a million bytes each.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
