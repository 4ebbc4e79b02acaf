//! A process that answers each line with a line, and stays loaded meanwhile.
//!
//! Invariant: the process ends with its handle; its input ends there.

use anyhow::{Context, bail};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub(super) struct Conversation {
    pipes: Option<Pipes>,
    process: Child,
}

struct Pipes {
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Conversation {
    pub(super) fn start(command: &mut Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let process = command.spawn();
        let mut process = process.with_context(|| format!("cannot start {command:?}"))?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let pipes = pipes.map(|(questions, answers)| Pipes {
            questions,
            answers: BufReader::new(answers),
        });
        Ok(Self { pipes, process })
    }

    /// The answer to a line.
    pub(super) fn ask(&mut self, line: &str) -> anyhow::Result<String> {
        let pipes = self.pipes.as_mut().context("a process without pipes")?;
        writeln!(pipes.questions, "{line}")?;
        pipes.questions.flush()?;
        let mut answer = String::new();
        if pipes.answers.read_line(&mut answer)? == 0 {
            bail!("it ended without an answer; what it says is above");
        }
        Ok(answer)
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.pipes.take();
        // Nobody is left to tell.
        let _ = self.process.wait();
    }
}
