//! `cargo xtask test`: every test on every target.

use crate::demo::{self, Site};
use crate::deny;
use crate::dist::{self, Dist, Scope};
use crate::fuzz;
use crate::notices;
use crate::npm::{self, Package};
use crate::process;
use crate::python;
use crate::rules;
use crate::setup::arm64::{self, Emulator};
use crate::setup::{self, CROSS_TARGETS, clients};
use crate::steps::Steps;
use crate::workspace::Workspace;
use anyhow::Context;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

/// How long each fuzz target runs: what it found stays, and the next run goes on from there.
const FUZZ_SECONDS: u64 = 20;

/// `cargo xtask test [FILTER]`
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Only tests whose name contains FILTER, and no checks beside them
    filter: Option<String>,

    /// On the emulated processor the tests of all crates below the runtime, not the kernels' alone
    #[arg(long, conflicts_with = "filter")]
    emulated: bool,
}

/// The programs that tests run.
pub(crate) struct Programs {
    wasmtime: PathBuf,
    node: PathBuf,
    /// Absent where it cannot be had, as are the next three.
    python: Option<PathBuf>,
    frameworks: Option<PathBuf>,
    /// The folder of published models.
    published: Option<PathBuf>,
    chromium: Option<PathBuf>,
}

impl Programs {
    pub(crate) fn install(workspace: &Workspace, steps: &mut Steps) -> anyhow::Result<Self> {
        let python = clients::python(workspace, steps, &clients::CLIENTS)?;
        let published = (python.as_deref()).map(|it| clients::published(workspace, it));
        let published = published.transpose()?;
        let frameworks = clients::python(workspace, steps, &clients::FRAMEWORKS)?;
        clients::node_modules(workspace)?;
        setup::image_tools(steps)?;
        setup::language_tools(steps)?;
        Ok(Self {
            wasmtime: setup::wasmtime::find(workspace)?,
            node: setup::node()?,
            chromium: clients::chromium(steps)?,
            python,
            frameworks,
            published,
        })
    }

    /// By the variables that tests/src/programs.rs reads.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &PathBuf)> {
        [
            ("ENCODERFILE_WASMTIME", Some(&self.wasmtime)),
            ("ENCODERFILE_NODE", Some(&self.node)),
            ("ENCODERFILE_PYTHON", self.python.as_ref()),
            ("ENCODERFILE_FRAMEWORKS", self.frameworks.as_ref()),
            ("ENCODERFILE_PUBLISHED", self.published.as_ref()),
            ("ENCODERFILE_CHROMIUM", self.chromium.as_ref()),
        ]
        .into_iter()
        .filter_map(|(name, path)| Some((name, path?)))
    }
}

/// What is tested.
struct Built {
    dist: Dist,
    spin_adapter: PathBuf,
    package: Package,
    site: Site,
    /// A Python that has the wheel; absent where there is none to build it.
    python: Option<PathBuf>,
}

/// Runs the steps, after those that were done already; the first that fails ends it.
pub(crate) fn run(
    workspace: &Workspace,
    mut steps: Steps,
    arguments: &Arguments,
) -> anyhow::Result<()> {
    steps.begin(
        "setup",
        "what the tests need: rustup targets, the wasmtime CLI, Node, clients, Chromium, skopeo, umoci, other languages",
    );
    setup::targets(workspace, &mut steps, &CROSS_TARGETS)?;
    let programs = Programs::install(workspace, &mut steps)?;
    let mut totals = Totals::default();
    match &arguments.filter {
        None => checks(workspace, &mut steps, &mut totals, arguments.emulated)?,
        Some(filter) => steps.skip(
            "checks",
            &format!("only tests named *{filter}* were asked for"),
        )?,
    }
    let dist = dist::build(workspace, &mut steps, Scope::Everything)?;
    let spin_adapter = dist::spin_adapter(workspace, &workspace.root.join("dist"))?;
    let package = npm::build(workspace, &mut steps, &programs.node)?;
    npm::check_pages(workspace, &mut steps, &programs.node)?;
    let site = demo::build(workspace, &mut steps)?;
    let wheel = python::build(workspace, &mut steps, &dist.tool)?;
    let python = match wheel {
        Some(wheel) => wheel.install(workspace, &mut steps)?,
        None => None,
    };
    let built = Built {
        dist,
        spin_adapter,
        package,
        site,
        python,
    };
    steps.begin(
        "tests",
        "every crate's own, and the conformance suite on every target",
    );
    let mut tests = cargo_test(workspace, &built, &programs);
    tests.args(&arguments.filter);
    let mut status = totals.add_all(&mut tests)?;
    if arguments.filter.is_none() {
        for isa in other_instruction_sets(&built)? {
            steps.begin(
                &isa,
                "the numbers that depend on the instruction set, with this one",
            );
            for mut of_isa in tests_of_numbers(workspace, &built, &programs) {
                let ended = totals.add_all(of_isa.env("ENCODERFILE_ISA", &isa))?;
                // The first that fails is the one that is named.
                if status.success() {
                    (tests, status) = (of_isa, ended);
                }
            }
        }
    }
    if arguments.filter.is_none() && status.success() {
        fuzz::run_all(workspace, &mut steps, FUZZ_SECONDS)?;
    }
    println!("\n{}", steps.summary());
    println!("{}", totals.summary());
    process::succeeded(&tests, status)
}

/// Those of this machine but the widest, which programs take by themselves.
fn other_instruction_sets(built: &Built) -> anyhow::Result<Vec<String>> {
    let said = process::capture(Command::new(&built.dist.tool).arg("version"))?;
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("instruction sets: "));
    let sets = line.context("`encoderfile version` names no instruction sets")?;
    let mut sets: Vec<String> = sets.split(", ").map(str::to_owned).collect();
    sets.pop();
    Ok(sets)
}

/// The crates' own tests, the conformance suite, and one embedding in every dialect.
/// All of the workspace is named, so that its dependencies are those of the others.
fn tests_of_numbers(workspace: &Workspace, built: &Built, programs: &Programs) -> [Command; 2] {
    let mut suites = cargo_test(workspace, built, programs);
    suites.args(["--lib", "--test", "conformance"]);
    let mut dialects = cargo_test(workspace, built, programs);
    dialects.args(["--test", "serve", "dialects::"]);
    [suites, dialects]
}

fn checks(
    workspace: &Workspace,
    steps: &mut Steps,
    totals: &mut Totals,
    emulated: bool,
) -> anyhow::Result<()> {
    if !workspace.host.starts_with("aarch64") {
        match Emulator::find(steps)? {
            Some(emulator) => {
                let (packages, what) = match emulated {
                    true => (&rules::CORE[..], "the runtime's own tests"),
                    false => (&[rules::KERNELS][..], "the kernels' own tests"),
                };
                steps.begin("arm64", &format!("{what}, on an emulated processor"));
                test_emulated(workspace, &emulator, packages, totals)?;
            }
            None => {
                steps.begin(
                    "check",
                    "the runtime compiles for arm64, which nothing runs here",
                );
                check_arm64(workspace)?;
            }
        }
    }
    test_memory(workspace, steps, totals)?;
    steps.begin(
        "dependencies",
        "who may depend on whom, as ARCHITECTURE.md says",
    );
    rules::check(workspace)?;
    steps.begin(
        "supply chain",
        "licences and sources of dependencies, and whether every program has its notices",
    );
    deny::check(workspace, steps)?;
    notices::check(workspace)
}

/// In the profile of nothing else: build scripts that a check ran for this target
/// without a compiler would be taken for run.
fn test_emulated(
    workspace: &Workspace,
    emulator: &Emulator,
    packages: &[&str],
    totals: &mut Totals,
) -> anyhow::Result<()> {
    for isa in arm64::INSTRUCTION_SETS {
        let mut tests = workspace.cargo(&["test", "--lib", "--target", arm64::TARGET]);
        for package in packages {
            tests.args(["--package", package]);
        }
        emulator.configure(&mut tests);
        let status = totals.add_all(tests.env("ENCODERFILE_ISA", isa))?;
        process::succeeded(&tests, status)?;
    }
    Ok(())
}

/// The kernels' own tests, with every access to memory checked. What valgrind
/// emulates has no AVX-512.
fn test_memory(
    workspace: &Workspace,
    steps: &mut Steps,
    totals: &mut Totals,
) -> anyhow::Result<()> {
    let Some(valgrind) = setup::valgrind(steps)? else {
        return Ok(());
    };
    steps.begin(
        "memory",
        "the kernels' own tests under valgrind, portable and up to AVX2",
    );
    let mut tests = workspace.cargo(&["test", "--release", "--lib"]);
    tests.args(["--package", rules::KERNELS, "--target", &workspace.host]);
    let target = workspace.host.replace('-', "_").to_uppercase();
    let valgrind = valgrind.display();
    let runner = format!("{valgrind} --quiet --error-exitcode=1 --leak-check=no");
    tests.env(format!("CARGO_TARGET_{target}_RUNNER"), runner);
    // It compares with what the system says of the real processor.
    tests.args(["--", "--skip", "every_instruction_set_of_the_processor"]);
    let status = totals.add_all(&mut tests)?;
    process::succeeded(&tests, status)
}

/// tract assembles kernels for aarch64 in its build script. A check emits no
/// machine code, so a compiler that does nothing is enough.
fn check_arm64(workspace: &Workspace) -> anyhow::Result<()> {
    let mut check = workspace.cargo(&["check", "--release", "--package", "encoderfile"]);
    check.args(["--target", arm64::TARGET]);
    let target = arm64::TARGET.replace('-', "_");
    for program in ["CC", "AR"] {
        check.env(format!("{program}_{target}"), "true");
    }
    process::run(&mut check)
}

fn cargo_test(workspace: &Workspace, built: &Built, programs: &Programs) -> Command {
    let mut tests = workspace.cargo(&["test", "--workspace", "--release", "--no-fail-fast"]);
    tests.env("ENCODERFILE_BIN", &built.dist.tool);
    tests.env("ENCODERFILE_SPIN", &built.spin_adapter);
    tests.env("ENCODERFILE_NPM", &built.package.tarball);
    tests.env("ENCODERFILE_DEMO", &built.site.folder);
    if let Some(library) = &built.dist.library {
        tests.env("ENCODERFILE_CAPI", &library.folder);
    }
    tests.envs(
        built
            .python
            .iter()
            .map(|it| ("ENCODERFILE_WHEEL_PYTHON", it)),
    );
    tests.envs(programs.variables());
    // Chosen for some of the runs; in the others programs take the widest.
    tests.env_remove("ENCODERFILE_ISA");
    tests
}

/// The sum over all test programs.
#[derive(Default)]
struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// The names of those that failed: what they print is far above the end of the log.
    failures: Vec<String>,
}

impl Totals {
    /// Runs tests, shows what they print, and says how they ended.
    fn add_all(&mut self, tests: &mut Command) -> anyhow::Result<ExitStatus> {
        process::for_each_line(tests, |line| {
            println!("{line}");
            self.add(line);
        })
    }

    /// Takes in a line such as `test result: ok. 3 passed; 0 failed; 0 ignored; …`
    /// or `test a::b ... FAILED`.
    fn add(&mut self, line: &str) {
        self.failures.extend(failed_test(line).map(str::to_owned));
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let count = |name: &str| {
            result
                .split([';', '.'])
                .find_map(|part| counted(part, name))
        };
        self.passed += count("passed").unwrap_or(0);
        self.failed += count("failed").unwrap_or(0);
        self.ignored += count("ignored").unwrap_or(0);
    }

    /// One line, after one for each test that failed.
    fn summary(&self) -> String {
        let Self {
            passed,
            failed,
            ignored,
            failures,
        } = self;
        let mut lines = String::new();
        for name in failures {
            lines += &format!("failed: {name}\n");
        }
        format!("{lines}tests: {passed} passed, {failed} failed, {ignored} skipped")
    }
}

/// `a::b`, of `test a::b ... FAILED`.
fn failed_test(line: &str) -> Option<&str> {
    let name = line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
    Some(name.trim_end())
}

/// 3, of ` 3 passed` and `passed`.
fn counted(part: &str, name: &str) -> Option<u64> {
    let number = part.trim().strip_suffix(name)?;
    number.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Totals;

    #[test]
    fn results_are_summed() {
        let mut totals = Totals::default();
        totals.add("test a::b ... ok");
        totals.add("test models/keys   ... FAILED");
        totals.add("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.10s");
        totals.add("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s");
        let summary = "failed: models/keys\ntests: 14 passed, 1 failed, 1 skipped";
        assert_eq!(totals.summary(), summary);
    }
}
