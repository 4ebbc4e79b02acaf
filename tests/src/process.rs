//! Running a program to its end, and what it left behind.

use anyhow::{Context, ensure};
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

/// How often a program is tried that another thread's child still holds open.
const BUSY_TRIES: usize = 10_000;

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The command line, for messages.
    pub command: String,
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it said, as text.
    pub stderr: String,
}

/// Runs a command with nothing on its standard input.
pub fn finish(command: &mut Command) -> anyhow::Result<Finished> {
    run(command, || Ok(Stdio::null()))
}

/// Runs a command with the content of a file on its standard input.
pub fn finish_with_input(command: &mut Command, input: &Path) -> anyhow::Result<Finished> {
    run(command, || Ok(File::open(input)?.into()))
}

/// Runs a command that must succeed.
pub fn succeed(command: &mut Command) -> anyhow::Result<Finished> {
    finish(command)?.succeeded()
}

/// Runs a script that says of each thing it checked `ok …`, and shows what it printed;
/// one that fails, or that checked nothing, is an error with all of that.
pub fn pass(command: &mut Command) -> anyhow::Result<String> {
    let finished = finish(command)?;
    let printed = String::from_utf8_lossy(&finished.stdout).into_owned();
    ensure!(
        finished.code == Some(0) && printed.lines().any(|line| line.starts_with("ok ")),
        "{} ended with {:?}:\n{printed}{}",
        finished.command,
        finished.code,
        finished.stderr
    );
    eprintln!("{}\n{printed}", finished.command);
    Ok(printed)
}

/// Starts a command that goes on.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    unless_busy(|| command.spawn())
}

fn run(command: &mut Command, input: impl Fn() -> io::Result<Stdio>) -> anyhow::Result<Finished> {
    let shown = format!("{command:?}");
    let output = unless_busy(|| command.stdin(input()?).output());
    let output = output.with_context(|| shown.clone())?;
    Ok(Finished {
        command: shown,
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr)?,
    })
}

/// A file just written by this process is busy as long as a child that another
/// thread is about to start holds its descriptor.
fn unless_busy<T>(mut start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..BUSY_TRIES {
        match start() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => thread::yield_now(),
            started => return started,
        }
    }
    start()
}

impl Finished {
    /// Fails, with what the program said, if it failed.
    pub fn succeeded(self) -> anyhow::Result<Self> {
        ensure!(
            self.code == Some(0),
            "{} ended with {:?}: {}",
            self.command,
            self.code,
            self.stderr.trim_end()
        );
        Ok(self)
    }

    /// Standard output as text.
    pub fn text(&self) -> anyhow::Result<&str> {
        std::str::from_utf8(&self.stdout).with_context(|| self.command.clone())
    }

    /// Standard output as JSON.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_slice(&self.stdout).with_context(|| self.command.clone())
    }

    /// Fails unless the program refused its input as every program of this
    /// project does: an exit code of its own other than 0, nothing on standard
    /// output, and exactly one line on standard error, which begins with
    /// `error:` and contains each of `words`.
    pub fn refused(&self, words: &[&str]) -> anyhow::Result<()> {
        ensure!(
            self.stdout.is_empty(),
            "{}: printed {:?} and {:?}",
            self.command,
            String::from_utf8_lossy(&self.stdout),
            self.stderr
        );
        self.refused_midway(words)
    }

    /// The same for a program that may have printed results before it met what
    /// it refuses.
    pub fn refused_midway(&self, words: &[&str]) -> anyhow::Result<()> {
        let Self {
            command, stderr, ..
        } = self;
        ensure!(
            self.code.is_some_and(|code| code != 0),
            "{command}: exit code {:?}; stderr: {stderr}",
            self.code
        );
        ensure!(
            stderr.lines().count() == 1 && stderr.starts_with("error: "),
            "{command}: not one line that begins with `error: `: {stderr}"
        );
        for word in words {
            ensure!(stderr.contains(word), "{command}: no {word:?} in: {stderr}");
        }
        Ok(())
    }
}
