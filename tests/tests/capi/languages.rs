//! The example of each language (`capi/examples`) is compiled as its documentation says, finds the
//! same texts with the same scores, and says the same of a file that is not there.

use crate::{Bench, Check};
use anyhow::{Context, ensure};
use encoderfile::{Model, Options};
use encoderfile_tests::process;
use encoderfile_tests::programs::{Program, root};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

pub(crate) const CHECKS: &[&Check] = &[
    &Check {
        name: "languages/c",
        needs: &[Program::Cc, Program::PkgConfig],
        run: c,
    },
    &Check {
        name: "languages/c-static",
        needs: &[Program::Cc, Program::PkgConfig],
        run: c_static,
    },
    &Check {
        name: "languages/cmake",
        needs: &[Program::Cc, Program::Cmake],
        run: cmake,
    },
    &Check {
        name: "languages/cpp",
        needs: &[Program::Cxx, Program::PkgConfig],
        run: cpp,
    },
    &Check {
        name: "languages/go",
        needs: &[Program::Go, Program::Cc, Program::PkgConfig],
        run: go,
    },
    &Check {
        name: "languages/java",
        needs: &[Program::Javac, Program::Jna],
        run: java,
    },
    &Check {
        name: "languages/csharp",
        needs: &[Program::Mcs, Program::Mono],
        run: csharp,
    },
    &Check {
        name: "languages/node",
        needs: &[Program::Node, Program::NpmPackage],
        run: node,
    },
];

const QUERY: &str = "I forgot my login";

const TEXTS: [&str; 3] = [
    "Our office is in Berlin.",
    "How do I reset my password?",
    "Zoë flew to 東京 😀, twice.",
];

/// Scores are printed with four digits, and summed in any order.
const SCORE_TOLERANCE: f32 = 2e-4;

/// What the command line says of a file that is not there.
const MISSING: &str = "error: no/such: No such file or directory (os error 2)\n";

fn example(path: &str) -> PathBuf {
    root().join("capi/examples").join(path)
}

fn model() -> PathBuf {
    root().join("models/all-MiniLM-L6-v2.ef")
}

/// The program ranks the texts as the runtime does.
fn ranks(mut command: Command) -> anyhow::Result<()> {
    let model = model();
    let alike = Model::open(&model)?.similarity(QUERY, TEXTS, &Options::default())?;
    let mut expected: Vec<(f32, &str)> = alike.into_iter().zip(TEXTS).collect();
    expected.sort_by(|a, b| b.0.total_cmp(&a.0));
    let finished = process::succeed(command.arg(model).arg(QUERY).args(TEXTS))?;
    let lines: Vec<&str> = finished.text()?.lines().collect();
    ensure!(lines.len() == expected.len(), "{lines:?}");
    for (line, (score, text)) in lines.iter().zip(expected) {
        let (number, found) = line.split_once("  ").context("no score")?;
        let apart = (number.parse::<f32>()? - score).abs();
        ensure!(
            found == text && apart < SCORE_TOLERANCE,
            "{line} for {score}"
        );
    }
    Ok(())
}

/// It says what is wrong in the words of the command line.
fn refuses(mut command: Command) -> anyhow::Result<()> {
    let finished = process::finish(command.args(["no/such", "a", "b"]))?;
    let said = (finished.code, finished.stderr.as_str());
    ensure!(said == (Some(1), MISSING), "{finished:?}");
    Ok(())
}

fn works(command: impl Fn() -> Command) -> anyhow::Result<()> {
    ranks(command())?;
    refuses(command())
}

/// What pkg-config says for a compiler.
fn flags(bench: &Bench, arguments: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut command = bench.command(bench.program(Program::PkgConfig)?);
    let finished = process::succeed(command.args(arguments).arg("encoderfile"))?;
    shlex::split(finished.text()?).context("flags")
}

fn compiled(bench: &Bench, cc: Program, standard: &str, source: &str) -> anyhow::Result<PathBuf> {
    let program = bench.workbench.path("search");
    let mut compile = bench.command(bench.program(cc)?);
    compile.args([standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-o"]);
    compile.arg(&program).arg(example(source));
    process::succeed(compile.args(flags(bench, &["--cflags", "--libs"])?))?;
    Ok(program)
}

fn c(bench: &Bench) -> anyhow::Result<()> {
    let program = compiled(bench, Program::Cc, "-std=c11", "c/search.c")?;
    works(|| bench.command(&program))
}

fn cpp(bench: &Bench) -> anyhow::Result<()> {
    let program = compiled(bench, Program::Cxx, "-std=c++17", "cpp/search.cpp")?;
    works(|| bench.command(&program))
}

/// The library is in the program, which needs no other file.
fn c_static(bench: &Bench) -> anyhow::Result<()> {
    let program = bench.workbench.path("search");
    let mut compile = bench.command(bench.program(Program::Cc)?);
    compile.arg("-o").arg(&program).arg(example("c/search.c"));
    let mut flags = flags(bench, &["--static", "--cflags", "--libs"])?;
    for flag in &mut flags {
        if flag == "-lencoderfile" {
            let archive = bench.library.join("lib/libencoderfile.a");
            *flag = archive.to_string_lossy().into_owned();
        }
    }
    process::succeed(compile.args(flags))?;
    works(|| Command::new(&program))
}

fn cmake(bench: &Bench) -> anyhow::Result<()> {
    let cmake = bench.program(Program::Cmake)?;
    let build = bench.workbench.path("build");
    let mut configure = bench.command(&cmake);
    configure.arg("-S").arg(example("c")).arg("-B").arg(&build);
    let prefix = format!("-DCMAKE_PREFIX_PATH={}", bench.library.display());
    process::succeed(configure.arg(prefix))?;
    process::succeed(bench.command(&cmake).arg("--build").arg(&build))?;
    // CMake's programs know where the library is.
    works(|| Command::new(build.join("search")))?;
    works(|| Command::new(build.join("search-static")))
}

fn go(bench: &Bench) -> anyhow::Result<()> {
    let program = bench.workbench.path("search");
    let mut build = bench.command(bench.program(Program::Go)?);
    build.current_dir(example("go"));
    build.env("GOCACHE", bench.workbench.path("cache"));
    // There is nothing to fetch, and no network is asked.
    build
        .env("GOPROXY", "off")
        .env("GOFLAGS", "-buildvcs=false");
    process::succeed(build.arg("build").arg("-o").arg(&program).arg("."))?;
    works(|| bench.command(&program))
}

fn java(bench: &Bench) -> anyhow::Result<()> {
    let javac = bench.program(Program::Javac)?;
    let jna = bench.program(Program::Jna)?;
    let mut compile = bench.command(&javac);
    compile.args(["-Xlint:all", "-Werror", "-d", "."]);
    compile
        .arg("-cp")
        .arg(&jna)
        .arg(example("java/Search.java"));
    process::succeed(&mut compile)?;
    let classes = format!("{}:.", jna.display());
    works(|| {
        let mut java = bench.command(javac.with_file_name("java"));
        java.args(["-Dfile.encoding=UTF-8", "-Dsun.jnu.encoding=UTF-8"]);
        java.env("LC_ALL", "C.UTF-8");
        java.args(["-cp", &classes, "Search"]);
        java
    })
}

fn csharp(bench: &Bench) -> anyhow::Result<()> {
    let program = bench.workbench.path("Search.exe");
    let mut compile = bench.command(bench.program(Program::Mcs)?);
    compile
        .arg("-warnaserror")
        .arg(format!("-out:{}", program.display()));
    process::succeed(compile.arg(example("csharp/Search.cs")))?;
    let mono = bench.program(Program::Mono)?;
    works(|| {
        let mut command = bench.command(&mono);
        command.env("LC_ALL", "C.UTF-8").arg(&program);
        command
    })
}

/// With the npm package, which says of a missing file what Node does.
fn node(bench: &Bench) -> anyhow::Result<()> {
    let package = bench.program(Program::NpmPackage)?;
    let modules = bench.workbench.path("node_modules");
    fs::create_dir(&modules)?;
    let mut unpack = bench.command("tar");
    process::succeed(unpack.arg("xzf").arg(package).arg("-C").arg(&modules))?;
    fs::rename(modules.join("package"), modules.join("encoderfile"))?;
    let script = bench.workbench.path("search.mjs");
    fs::copy(example("node/search.mjs"), &script)?;
    let node = bench.program(Program::Node)?;
    let command = || {
        let mut command = bench.command(&node);
        command.arg(&script);
        command
    };
    ranks(command())?;
    process::finish(command().args(["no/such", "a", "b"]))?.refused(&["no/such"])
}
