//! The promises at the border, by `tests/capi/border.c`: as it is, and with every access to memory
//! checked.

use crate::{Bench, Check};
use encoderfile_tests::process;
use encoderfile_tests::programs::{Program, root};
use encoderfile_tests::workbench::C_FLAGS;
use std::path::PathBuf;
use std::process::Command;

pub(crate) const CHECKS: &[&Check] = &[
    &Check {
        name: "border/plain",
        needs: &[Program::Cc],
        run: |bench| passes(bench, Command::new(bench.workbench.c_program("border")?)),
    },
    &Check {
        name: "border/valgrind",
        needs: &[Program::Cc, Program::Valgrind],
        run: valgrind,
    },
    &Check {
        name: "border/address-sanitizer",
        needs: &[Program::Cc],
        run: address_sanitizer,
    },
];

/// A small model that gives one vector a text.
const MODEL: &str = "st-mean-normalize";

fn passes(bench: &Bench, mut command: Command) -> anyhow::Result<()> {
    let model = bench.workbench.built(MODEL, &["--target", "bundle"])?;
    process::pass(command.arg(model)).map(drop)
}

fn valgrind(bench: &Bench) -> anyhow::Result<()> {
    let mut command = bench.command(bench.program(Program::Valgrind)?);
    // What threads that go on hold is no leak, and a fork's child has everything of its parent's.
    command.args([
        "--quiet",
        "--child-silent-after-fork=yes",
        "--error-exitcode=9",
        "--leak-check=full",
        "--show-leak-kinds=definite,indirect",
        "--errors-for-leak-kinds=definite,indirect",
    ]);
    command.arg(bench.workbench.c_program("border")?);
    passes(bench, command)
}

/// Leaks too, where the compiler's library looks for them.
fn address_sanitizer(bench: &Bench) -> anyhow::Result<()> {
    let program: PathBuf = bench.workbench.path("border");
    let mut compile = bench.command(bench.program(Program::Cc)?);
    compile
        .args(C_FLAGS)
        .args(["-g", "-fsanitize=address,undefined"]);
    compile.arg("-fno-sanitize-recover=all");
    compile
        .arg(root().join("tests/capi/border.c"))
        .arg("-o")
        .arg(&program);
    compile.arg("-I").arg(bench.library.join("include"));
    compile.arg("-L").arg(bench.library.join("lib"));
    process::succeed(compile.args(["-lencoderfile", "-lpthread", "-lm"]))?;
    passes(bench, bench.command(program))
}
