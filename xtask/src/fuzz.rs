//! `cargo xtask fuzz`: the fuzz targets under libFuzzer.

use crate::process;
use crate::setup;
use crate::steps::Steps;
use crate::workspace::Workspace;
use anyhow::{Context, bail};
use std::fs::{self, File};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

/// `cargo xtask fuzz [TARGET]`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only this target: see fuzz/src/lib.rs
    target: Option<String>,
    /// How long each runs
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
}

/// The targets, in the order in which they run.
const TARGETS: [&str; 11] = [
    "checkpoint",
    "container",
    "model",
    "graph",
    "tokenizer",
    "vocabulary",
    "upstream",
    "precompiled",
    "request",
    "capi",
    "server",
];

/// An input that takes longer is a fault, also beside whatever else the machine does. The
/// slowest of the seeds takes a hundredth of a second.
const INPUT_SECONDS: u64 = 120;

/// An input that takes more is one too.
const MEMORY_MB: u64 = 4096;

/// Of a payload of the conformance suite's largest model.
const INPUT_LEN_MAX: u64 = 1 << 20;

pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    let mut steps = Steps::new();
    let targets = TARGETS.into_iter();
    let targets: Vec<&str> = match &arguments.target {
        None => targets.collect(),
        Some(name) => targets.filter(|target| target == name).collect(),
    };
    if targets.is_empty() {
        bail!("no such target: there are {}", TARGETS.join(", "));
    }
    run_each(workspace, &mut steps, &targets, arguments.seconds)?;
    println!("\n{}", steps.summary());
    Ok(())
}

/// Each of the targets, for so long.
pub(crate) fn run_all(
    workspace: &Workspace,
    steps: &mut Steps,
    seconds: u64,
) -> anyhow::Result<()> {
    run_each(workspace, steps, &TARGETS, seconds)
}

fn run_each(
    workspace: &Workspace,
    steps: &mut Steps,
    targets: &[&str],
    seconds: u64,
) -> anyhow::Result<()> {
    if !setup::cxx(steps)? {
        return Ok(());
    }
    steps.begin(
        "fuzz",
        "the fuzz targets, compiled to say where an input leads",
    );
    let program = build(workspace)?;
    let what = format!("{seconds} s of inputs nobody thought of for each, a target a core");
    steps.begin("inputs", &what);
    let targets = Mutex::new(targets.iter());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let take = || {
        let next = || targets.lock().ok()?.next();
        while let Some(target) = next() {
            run_one(workspace, &program, target, seconds)?;
        }
        anyhow::Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(take)).collect();
        let ended = threads.into_iter().map(|it| match it.join() {
            Ok(ended) => ended,
            Err(panic) => resume_unwind(panic),
        });
        ended.collect()
    })
}

/// The program with libFuzzer. Whatever else the workspace's tests depend on is named too,
/// so that no dependency is compiled again.
fn build(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let mut build = workspace.cargo(&["test", "--workspace", "--release", "--test", "fuzz"]);
    build.args(["--features", "encoderfile-fuzz/libfuzzer", "--no-run"]);
    build.args(["--message-format", "json-render-diagnostics"]);
    let wrapper = workspace.root.join("fuzz/rustc.sh");
    build.env("RUSTC_WORKSPACE_WRAPPER", wrapper);
    let mut program = None;
    let status = process::for_each_line(&mut build, |line| {
        program = program.take().or_else(|| executable(line));
    })?;
    process::succeeded(&build, status)?;
    program.context("cargo names no program of the fuzz targets")
}

/// The test program that a message of cargo's names.
fn executable(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let is_fuzz = message.pointer("/target/name")? == "fuzz";
    let path = message.get("executable")?.as_str()?;
    is_fuzz.then(|| PathBuf::from(path))
}

/// What is found stays in the target folder, beside the seeds, and is where the next run
/// begins. What ends the program is kept too, and named by libFuzzer.
fn run_one(
    workspace: &Workspace,
    program: &Path,
    target: &str,
    seconds: u64,
) -> anyhow::Result<()> {
    let folder = workspace.target.join("fuzz").join(target);
    let [found, seeds, crashes] = ["found", "seeds", "crashes"].map(|it| folder.join(it));
    for folder in [&found, &seeds, &crashes] {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let mut fuzz = Command::new(program);
    fuzz.env("ENCODERFILE_FUZZ_TARGET", target);
    fuzz.env("ENCODERFILE_FUZZ_SEEDS", &seeds);
    fuzz.args([&found, &seeds]);
    let kept = workspace.root.join("fuzz/corpus").join(target);
    fuzz.args(kept.is_dir().then_some(kept));
    fuzz.args([
        format!("-max_total_time={seconds}"),
        format!("-timeout={INPUT_SECONDS}"),
        format!("-rss_limit_mb={MEMORY_MB}"),
        format!("-max_len={INPUT_LEN_MAX}"),
        format!("-artifact_prefix={}/", crashes.display()),
        "-print_final_stats=1".into(),
        "-print_funcs=0".into(),
    ]);
    let log = folder.join("log.txt");
    let file = File::create(&log).with_context(|| log.display().to_string())?;
    let status = fuzz.stderr(file).status();
    let status = status.with_context(|| program.display().to_string())?;
    let said = fs::read(&log).with_context(|| log.display().to_string())?;
    let said = String::from_utf8_lossy(&said);
    if !status.success() {
        println!("{}", last_lines(&said));
        bail!("{target}: {status}; {}", log.display());
    }
    println!("    {target}: {}", summary(&said));
    Ok(())
}

/// How an input ended the program.
fn last_lines(said: &str) -> String {
    const LINES: usize = 60;

    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// What libFuzzer's statistics say.
fn summary(said: &str) -> String {
    let stat = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        line.map_or("?", str::trim)
    };
    let covered = said.lines().rev().find_map(|line| {
        let (_, rest) = line.split_once(" cov: ")?;
        rest.split(' ').next()
    });
    format!(
        "{} inputs, {} of them kept, {} edges covered",
        stat("stat::number_of_executed_units:"),
        stat("stat::new_units_added:"),
        covered.unwrap_or("?")
    )
}

#[cfg(test)]
mod tests {
    use super::{TARGETS, executable, summary};

    /// xtask depends on no crate of the workspace, so that this is written twice.
    #[test]
    fn the_targets_are_those_of_the_crate() {
        let source = include_str!("../../fuzz/src/lib.rs");
        let names = source.lines().filter_map(|line| {
            let name = line.trim().strip_prefix("name: \"")?;
            name.strip_suffix("\",")
        });
        assert_eq!(names.collect::<Vec<_>>(), TARGETS);
    }

    #[test]
    fn the_program_is_what_cargo_names() {
        let message = |name: &str| {
            format!(r#"{{"target": {{"name": "{name}"}}, "executable": "/target/fuzz-1"}}"#)
        };
        let found = executable(&message("fuzz"));
        assert_eq!(found.as_deref(), Some("/target/fuzz-1".as_ref()));
        assert_eq!(executable(&message("corpus")), None);
        assert_eq!(executable("no JSON"), None);
    }

    #[test]
    fn statistics_are_read_from_the_log() {
        let log = "#2\tINITED cov: 7 ft: 8 corp: 1/1b exec/s: 0 rss: 30Mb\n\
            #9\tDONE   cov: 12 ft: 30 corp: 3/9b lim: 4 exec/s: 1 rss: 31Mb\n\
            stat::number_of_executed_units: 9\nstat::new_units_added:          3\n";
        assert_eq!(summary(log), "9 inputs, 3 of them kept, 12 edges covered");
    }
}
