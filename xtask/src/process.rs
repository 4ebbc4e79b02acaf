//! Running other programs. A failure always shows the command line, so that it
//! can be tried by hand.

use anyhow::{Context, bail};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// A program whose time is shown: with RUST_BACKTRACE, every error that a model's
/// load takes in its stride would be traced, in tens of milliseconds.
pub(crate) fn timed(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_remove("RUST_BACKTRACE");
    command
}

/// Runs the command with our own outputs. It has no input: cargo's question of a target
/// is a `rustc -`, which would read ours as a program.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    command.stdin(Stdio::null());
    let status = command.status().with_context(|| cannot_start(command))?;
    succeeded(command, status)
}

/// Runs the command and gives its standard output.
pub(crate) fn capture(command: &mut Command) -> anyhow::Result<String> {
    let output = output(command)?;
    String::from_utf8(output.stdout).with_context(|| format!("the output of {}", shown(command)))
}

/// Runs the command and gives the time from start to end, and its standard output.
pub(crate) fn time(command: &mut Command) -> anyhow::Result<(Duration, String)> {
    let start = Instant::now();
    let output = output(command)?;
    let elapsed = start.elapsed();
    let stdout = String::from_utf8(output.stdout)
        .with_context(|| format!("the output of {}", shown(command)))?;
    Ok((elapsed, stdout))
}

/// Runs the command, drops its standard output, and gives the seconds it took.
pub(crate) fn seconds(command: &mut Command) -> anyhow::Result<f64> {
    let (time, _) = time(command.stdout(Stdio::null()))?;
    Ok(time.as_secs_f64())
}

/// Whether the command succeeds; what it prints is dropped.
pub(crate) fn succeeds(command: &mut Command) -> anyhow::Result<bool> {
    command.stdin(Stdio::null());
    let output = command.output().with_context(|| cannot_start(command))?;
    Ok(output.status.success())
}

/// Runs the command, gives every line of its standard output to `line` as it
/// comes, and says how it ended.
pub(crate) fn for_each_line(
    command: &mut Command,
    mut line: impl FnMut(&str),
) -> anyhow::Result<ExitStatus> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| cannot_start(command))?;
    read_lines(&mut child, &mut line)
        .with_context(|| format!("the output of {}", shown(command)))?;
    Ok(child.wait()?)
}

/// An error that shows the command, unless it succeeded.
pub(crate) fn succeeded(command: &Command, status: ExitStatus) -> anyhow::Result<()> {
    if !status.success() {
        bail!("{status}: {}", shown(command));
    }
    Ok(())
}

fn read_lines(child: &mut Child, line: &mut impl FnMut(&str)) -> std::io::Result<()> {
    let Some(stdout) = child.stdout.take() else {
        return Ok(());
    };
    let mut reader = BufReader::new(stdout);
    let mut bytes = Vec::new();
    // Bytes rather than `lines()`: a test may print what is no UTF-8.
    while reader.read_until(b'\n', &mut bytes)? > 0 {
        line(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']));
        bytes.clear();
    }
    Ok(())
}

fn output(command: &mut Command) -> anyhow::Result<Output> {
    command.stdin(Stdio::null());
    let output = command.output().with_context(|| cannot_start(command))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{}: {}\n{}",
            output.status,
            shown(command),
            stderr.trim_end()
        );
    }
    Ok(output)
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start {}", shown(command))
}

/// The command line as one could type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| quoted(&word.to_string_lossy())).collect();
    format!("`{}`", words.join(" "))
}

fn quoted(word: &str) -> String {
    if word.is_empty() || word.contains([' ', '"', '\'', '$', '&', ';', '*', '(', '|']) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::{capture, for_each_line};
    use std::process::Command;

    #[test]
    fn a_failure_shows_the_command_line() {
        let error = capture(Command::new("cargo").args(["no such command", "x"])).unwrap_err();
        assert!(
            error.to_string().contains("`cargo 'no such command' x`"),
            "{error}"
        );
    }

    #[test]
    fn lines_come_one_by_one() {
        let mut lines = 0;
        let status = for_each_line(Command::new("cargo").arg("--help"), |_| lines += 1).unwrap();
        assert!(status.success() && lines > 10);
    }
}
