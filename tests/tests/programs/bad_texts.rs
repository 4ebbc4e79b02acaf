//! Texts that a built program refuses, on every target that runs it.

use anyhow::Context;
use encoderfile_tests::fixture;
use encoderfile_tests::process;
use encoderfile_tests::target::WASI;
use encoderfile_tests::workbench::Workbench;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// A built program, and how to start it on each target.
struct Program {
    workbench: Workbench,
    starts: Vec<Command>,
}

impl Program {
    fn build(model: &str) -> anyhow::Result<Option<Self>> {
        let Some(workbench) = Workbench::open()? else {
            return Ok(None);
        };
        let native = workbench.build(model, &[], "native")?;
        workbench.build(model, &["--target", WASI], "model.ef.wasm")?;
        let mut starts = vec![workbench.program::<&str>(&native, &[])];
        starts.push(workbench.tool(&["run", "--dir", ".", "model.ef.wasm"]));
        if let Some(wasmtime) = &workbench.programs().wasmtime {
            starts.push(workbench.program(wasmtime, &["run", "--dir", ".", "model.ef.wasm"]));
        }
        Ok(Some(Self { workbench, starts }))
    }

    /// Every target refuses the arguments with one line that contains `words`.
    fn refuses(&self, arguments: &[&str], words: &[&str]) -> anyhow::Result<()> {
        self.refuses_with(None, arguments, words)
    }

    fn refuses_with(
        &self,
        input: Option<&Path>,
        arguments: &[&str],
        words: &[&str],
    ) -> anyhow::Result<()> {
        for start in &self.starts {
            let mut command = Command::new(start.get_program());
            command.args(start.get_args()).args(arguments);
            command.current_dir(self.workbench.folder());
            let finished = match input {
                Some(input) => process::finish_with_input(&mut command, input)?,
                None => process::finish(&mut command)?,
            };
            // Results of the texts before the one refused may be out already.
            finished.refused_midway(words)?;
        }
        Ok(())
    }
}

#[test]
fn no_texts() -> anyhow::Result<()> {
    let Some(program) = Program::build("bert-sequence_classification")? else {
        return Ok(());
    };
    program.refuses(&["infer"], &["no texts"])?;
    program.refuses(&["tokenize"], &["no texts"])?;
    let empty = program.workbench.write("empty.txt", "")?;
    program.refuses(
        &["infer", "--input", "empty.txt"],
        &["empty.txt", "no texts"],
    )?;
    program.refuses_with(
        Some(&empty),
        &["infer", "--input", "-"],
        &["standard input", "no texts"],
    )?;
    program.refuses(&["infer", "--input", "missing.txt"], &["missing.txt"])
}

#[test]
fn invalid_utf8() -> anyhow::Result<()> {
    let Some(program) = Program::build("bert-sequence_classification")? else {
        return Ok(());
    };
    let bad = program.workbench.write("bad.txt", b"good\nbad \xff\n")?;
    let words = ["bad.txt", "invalid UTF-8 at byte 9"];
    program.refuses(&["infer", "--input", "bad.txt"], &words)?;
    let words = ["standard input", "invalid UTF-8 at byte 9"];
    program.refuses_with(Some(&bad), &["infer", "--input", "-"], &words)
}

#[cfg(unix)]
#[test]
fn invalid_utf8_as_an_argument() -> anyhow::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let native = workbench.build("bert-sequence_classification", &[], "native")?;
    let arguments = [OsStr::new("infer"), OsStr::from_bytes(b"bad \xff")];
    let finished = process::finish(&mut workbench.program(&native, &arguments))?;
    finished.refused(&["invalid UTF-8"])
}

#[test]
fn a_json_line_without_a_text() -> anyhow::Result<()> {
    let Some(program) = Program::build("bert-sequence_classification")? else {
        return Ok(());
    };
    program
        .workbench
        .write("bad.jsonl", "{\"text\": \"good\"}\n{\"txt\": \"bad\"}\n")?;
    program.refuses(&["infer", "--input", "bad.jsonl"], &["bad.jsonl", "line 2"])
}

#[test]
fn an_over_long_text_that_must_not_be_cut() -> anyhow::Result<()> {
    let Some(program) = Program::build("bert-sequence_classification")? else {
        return Ok(());
    };
    let cases = fixture::read("bert-sequence_classification")?.cases;
    let long = cases.last().context("no cases")?.text.as_str();
    let words = ["tokens, the model takes 64"];
    program.refuses(&["infer", "--truncate", "error", long], &words)?;
    program.refuses(&["tokenize", "--truncate", "error", long], &words)?;
    let words = ["text 2", "tokens, the model takes 64"];
    program.refuses(&["infer", "--truncate", "error", "short", long], &words)
}

#[test]
fn an_option_that_the_task_does_not_have() -> anyhow::Result<()> {
    let Some(program) = Program::build("bert-sequence_classification")? else {
        return Ok(());
    };
    let words = ["normalize", "sequence_classification"];
    program.refuses(&["infer", "--normalize", "true", "text"], &words)?;
    let words = ["special_tokens", "sequence_classification"];
    program.refuses(&["infer", "--special-tokens", "text"], &words)
}

#[test]
fn a_payload_that_cannot_be_used() -> anyhow::Result<()> {
    let Some(program) = Program::build("bert-sequence_classification")? else {
        return Ok(());
    };
    let workbench = &program.workbench;
    workbench.write("prose.txt", "Call me Ishmael. ".repeat(100))?;
    // `encoderfile run` gives a payload itself.
    for start in program
        .starts
        .iter()
        .filter(|it| it.get_program() != workbench.programs().encoderfile)
    {
        let run = |payload: &str| {
            let mut command = workbench.program(Path::new(start.get_program()), &[] as &[&str]);
            process::finish(
                command
                    .args(start.get_args())
                    .args(["--payload", payload, "info"]),
            )
        };
        run("prose.txt")?.refused(&["prose.txt", "footer at offset"])?;
        run("missing")?.refused(&["missing"])?;
    }
    Ok(())
}
