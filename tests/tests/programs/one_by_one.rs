//! A program that is asked text by text, and answers each before the next.

use anyhow::{Context, ensure};
use encoderfile_tests::fixture;
use encoderfile_tests::process;
use encoderfile_tests::request::Item;
use encoderfile_tests::target::{Built, Target};
use encoderfile_tests::workbench::Workbench;
use serde_json::Map;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How long a program may take for what takes milliseconds.
const WAIT_MAX: Duration = Duration::from_secs(60);

const TEXTS: [&str; 3] = ["one", "a second text", "three"];

/// A program whose standard input stays open; ended when dropped.
struct Asked {
    child: Child,
    questions: ChildStdin,
    answers: Receiver<String>,
}

impl Asked {
    fn start(command: &mut Command, options: &[&str]) -> anyhow::Result<Self> {
        command.args(["infer", "--format", "jsonl", "--input", "-"]);
        command.args(options);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = process::spawn(command.stderr(Stdio::null()))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (questions, answers) = pipes.context("no pipes")?;
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(answers).lines().map_while(Result::ok);
            lines.for_each(|line| drop(sender.send(line)));
        });
        Ok(Self {
            child,
            questions,
            answers: receiver,
        })
    }

    fn ask(&mut self, text: &str) -> anyhow::Result<String> {
        writeln!(self.questions, "{text}")?;
        self.questions.flush()?;
        let answer = self.answers.recv_timeout(WAIT_MAX);
        answer.with_context(|| format!("no answer to {text:?}"))
    }

    /// Waits for its end, with its standard input open: that of its answers.
    fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let ended = self.answers.recv_timeout(WAIT_MAX);
        ensure!(
            ended == Err(RecvTimeoutError::Disconnected),
            "it does not end: {ended:?}"
        );
        Ok(self.child.wait()?)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn each_text_is_answered_before_the_next_is_written() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let built = Built::new(&workbench, Some(&fixture::folder("bert-embedding")))?;
    let items = TEXTS.map(Item::text);
    let targets = Target::ALL.into_iter();
    let with_pipes = |target: &Target| target.has_command_line() && workbench.has(*target);
    for target in targets.filter(with_pipes) {
        let expected = workbench.infer(target, &built, &items, &Map::new())?;
        let mut asked = Asked::start(&mut workbench.command(target, &built)?, &[])?;
        for (text, expected) in TEXTS.iter().zip(&expected) {
            let answer = asked.ask(text).with_context(|| target.name())?;
            ensure!(answer == *expected, "{}: {answer}", target.name());
        }
    }
    Ok(())
}

/// Whoever waits for an answer does not close the input.
#[test]
fn a_refused_text_ends_the_program_while_its_input_is_open() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let built = Built::new(&workbench, Some(&fixture::folder("bert-embedding")))?;
    for threads in ["1", "2"] {
        let options = ["--long", "error", "--threads", threads];
        let mut asked = Asked::start(&mut workbench.command(Target::Native, &built)?, &options)?;
        asked.ask("short")?;
        ensure!(asked.ask(&"long ".repeat(5000)).is_err(), "an answer");
        let status = asked.ended()?;
        ensure!(!status.success(), "{threads} threads: {status}");
    }
    Ok(())
}
