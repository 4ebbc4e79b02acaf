//! `cargo xtask release`: base programs for every target and the tool for every system, from
//! one Linux machine, in a folder as the release address has it. It publishes nothing.

mod build;
mod check;
mod crates;
mod description;
mod frameworks;
mod provenance;
mod sign;
mod targets;

use crate::dist::{self, DEFAULT_MODEL, megabytes, size};
use crate::npm;
use crate::packages::Packages;
use crate::process;
use crate::python::Packer;
use crate::sbom;
use crate::setup;
use crate::steps::Steps;
use crate::table::{Align, Table};
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use build::{Builder, Programs};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
pub(crate) use targets::TARGETS;
use targets::Target;

/// `cargo xtask release`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only these targets [default: all]
    targets: Vec<String>,

    /// Run the tests of the release that is in dist/release, and build none
    #[arg(long, conflicts_with_all = ["targets", "key", "address"])]
    check: bool,

    /// The minisign secret key [default: one made for this folder, without a password]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// Where the release will be, without the folder of its version: what the tools look at
    /// unless they are told otherwise
    #[arg(long, value_name = "URL")]
    address: Option<String>,
}

/// Builds it and shows what is in it.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    let mut steps = Steps::new();
    let release = workspace.root.join("dist/release");
    let folder = release.join(format!("v{}", workspace.version));
    if arguments.check {
        return check::run(workspace, steps, &folder);
    }
    let targets = chosen(&arguments.targets)?;
    steps.begin(
        "setup",
        "Node, rustup targets, zig, cargo-zigbuild and minisign",
    );
    let node = setup::node()?;
    let names: Vec<&str> = targets.iter().map(|it| it.rust).collect();
    setup::targets(workspace, &mut steps, &names)?;
    let (Some(builder), Some(packer)) = (
        Builder::new(workspace, &mut steps)?,
        Packer::find(workspace, &mut steps)?,
    ) else {
        bail!("a release needs zig and maturin, which python3 installs");
    };
    let key = sign::Key::of(arguments.key.as_deref(), &release)?;
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;

    let mut built = Vec::new();
    for &target in &targets {
        steps.begin(
            target.triple,
            "its base program, and the tool where it runs",
        );
        let programs = builder.build(target)?;
        copy(&programs.base, &folder.join(target.base_name()))?;
        built.push((target, programs));
    }
    steps.begin(
        "tools",
        "each with its own base program, wasm's and the default model",
    );
    let address = arguments.address.as_deref();
    let for_tools = description::for_tools(&targets, &folder, &key.public()?, address)?;
    tools(workspace, &folder, &built, &builder, &for_tools)?;
    steps.begin("languages", "wheels for Python, and libraries for C");
    languages(&targets, &folder, &builder, &packer)?;
    steps.begin("crates", "what cargo installs the tool from");
    crates::pack(workspace, &for_tools, &folder)?;
    npm::build(workspace, &mut steps, &node)?;
    let has_spin_adapter = targets.iter().any(|it| it.triple == setup::COMPONENT);
    if has_spin_adapter {
        dist::spin_adapter(workspace, &folder)?;
    }
    let for_npm = description::for_npm(&targets, &folder, &workspace.version, address)?;
    npm::pack_for_release(workspace, &for_npm, &folder.join("npm"))?;
    steps.begin("bills", "what each program is made of, as CycloneDX");
    bills(workspace, &built, has_spin_adapter, &folder)?;
    steps.begin(
        "provenance",
        "what it was made of, checksums and their signature",
    );
    provenance::write(workspace, &folder, &names)?;
    installer(workspace, address, &release)?;
    fs::write(folder.join("SHA256SUMS"), sums(&folder)?)?;
    key.sign(&folder.join("SHA256SUMS"), &workspace.version)?;
    print!(
        "\n{}{}\n",
        parts(workspace, &folder)?.to_terminal(),
        steps.summary()
    );
    Ok(())
}

/// Puts the tools together.
fn tools(
    workspace: &Workspace,
    folder: &Path,
    built: &[(&Target, Programs)],
    builder: &Builder<'_>,
    description: &str,
) -> anyhow::Result<()> {
    let path = workspace.target.join("release.json");
    fs::write(&path, description).with_context(|| path.display().to_string())?;
    let assemble = Assemble {
        workspace,
        tool: builder.assembler(built)?,
        folder,
        description: &path,
    };
    for (target, programs) in built {
        assemble.tool(target, programs)?;
    }
    Ok(())
}

/// What other languages have of the runtime.
fn languages(
    targets: &[&Target],
    folder: &Path,
    builder: &Builder<'_>,
    packer: &Packer<'_>,
) -> anyhow::Result<()> {
    let (wheels, libraries) = (folder.join("python"), folder.join("capi"));
    for output in [&wheels, &libraries] {
        fs::create_dir(output).with_context(|| output.display().to_string())?;
    }
    for target in targets.iter().filter(|it| it.has_tool) {
        let tool = folder.join(target.tool_name());
        builder.wheel(target, packer, &tool, &wheels)?;
        builder.library(target, &libraries)?;
    }
    Ok(())
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Target>> {
    if names.is_empty() {
        return Ok(TARGETS.iter().collect());
    }
    let find = |name: &String| {
        let found = TARGETS.iter().find(|it| it.triple == name);
        found.with_context(|| {
            let known: Vec<&str> = TARGETS.iter().map(|it| it.triple).collect();
            format!(
                "{name}: no target of a release; there are {}",
                known.join(", ")
            )
        })
    };
    names.iter().map(find).collect()
}

/// Putting tools together.
struct Assemble<'a> {
    workspace: &'a Workspace,
    /// The tool that runs here.
    tool: PathBuf,
    folder: &'a Path,
    /// A release.json.
    description: &'a Path,
}

impl Assemble<'_> {
    /// The tool for a target, if it runs there.
    fn tool(&self, target: &Target, programs: &Programs) -> anyhow::Result<()> {
        let Some(tool) = &programs.tool else {
            return Ok(());
        };
        let mut assemble = Command::new(&self.tool);
        assemble.arg("assemble-tool").arg("--program").arg(tool);
        for base in [target.triple, setup::WASM, setup::COMPONENT] {
            let base = targets::find(base)?;
            let path = self.folder.join(base.base_name());
            let argument = format!("{}={}", base.triple, path.display());
            assemble.args(["--base", &argument]);
        }
        let model = self.workspace.root.join(DEFAULT_MODEL);
        assemble.arg("--default-model").arg(model);
        assemble.args(["--compression-level", "19"]);
        assemble.arg("--release").arg(self.description);
        process::run(assemble.arg("-o").arg(self.folder.join(target.tool_name())))
    }
}

/// A bill of materials beside each program.
fn bills(
    workspace: &Workspace,
    built: &[(&Target, Programs)],
    has_spin_adapter: bool,
    folder: &Path,
) -> anyhow::Result<()> {
    let packages = Packages::read(workspace)?;
    let write = |package: &str, target: &str, program: String| {
        let path = folder.join(program + ".cdx.json");
        sbom::write(workspace, &packages, (package, target), &path)
    };
    for (target, programs) in built {
        write(target.base_package(), target.rust, target.base_name())?;
        if programs.tool.is_some() {
            write("encoderfile-builder", target.rust, target.tool_name())?;
        }
    }
    if has_spin_adapter {
        let program = format!("{}.wasm", dist::SPIN_ADAPTER);
        write(dist::SPIN_ADAPTER, setup::BROWSER, program)?;
    }
    Ok(())
}

/// The script that installs a tool, which knows this release unless it is told of another.
fn installer(workspace: &Workspace, address: Option<&str>, release: &Path) -> anyhow::Result<()> {
    const SCRIPT: &str = "deploy/install.sh";

    let script = fs::read_to_string(workspace.root.join(SCRIPT)).context(SCRIPT)?;
    let variable =
        |name: &str, value: &str| (format!("{{{name}:-}}"), format!("{{{name}:-{value}}}"));
    let known = [
        variable(
            "ENCODERFILE_BASE_BINARY_BASE_URL",
            address.unwrap_or_default(),
        ),
        variable("ENCODERFILE_VERSION", &workspace.version),
    ];
    let script = known
        .iter()
        .fold(script, |script, (from, to)| script.replace(from, to));
    let path = release.join("install.sh");
    fs::write(&path, script).with_context(|| path.display().to_string())
}

/// A line for each file, as `sha256sum` writes them.
fn sums(folder: &Path) -> anyhow::Result<String> {
    let mut lines = String::new();
    for path in files(folder)? {
        let content = fs::read(&path).with_context(|| path.display().to_string())?;
        let hash = sha256(&content);
        let name = path.strip_prefix(folder).unwrap_or(&path).display();
        lines += &format!("{hash}  {name}\n");
    }
    Ok(lines)
}

/// In hexadecimal.
fn sha256(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Those of a folder and the folders in it, by name.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        match path.is_dir() {
            true => paths.extend(files(&path)?),
            false => paths.push(path),
        }
    }
    paths.sort();
    Ok(paths)
}

fn parts(workspace: &Workspace, folder: &Path) -> anyhow::Result<Table> {
    let mut table = Table::new(&[("file", Align::Left), ("size", Align::Right)]);
    for path in files(folder)? {
        let name = workspace.shown(&path).to_string();
        table.push(vec![name, megabytes(size(&path)?)]);
    }
    Ok(table)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::copy(from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    Ok(())
}
