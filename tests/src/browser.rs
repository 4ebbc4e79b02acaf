//! A model in headless Chromium, through the npm package: one browser for a whole
//! suite, told by lines of JSON what to run (`browser/runner.mjs`).

use crate::programs::BrowserPrograms;
use crate::request::Item;
use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value, json};
use std::env;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running browser. Dropping it ends it.
pub struct Browser {
    process: Child,
    /// What it says of failures. A pipe of the test's would be made non-blocking by Node, for
    /// the test too.
    log: File,
    /// Absent once it is to end.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Browser {
    /// Starts Chromium with the package.
    pub fn start(programs: BrowserPrograms<'_>) -> anyhow::Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/runner.mjs");
        let mut command = Command::new(programs.node);
        command
            .arg(script)
            .arg("--package")
            .arg(programs.npm_package);
        command.arg("--files").arg(env::temp_dir());
        command.arg("--chromium").arg(programs.chromium);
        let log = tempfile::tempfile()?;
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?)
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        let answers = process.stdout.take().context("no standard output")?;
        Ok(Self {
            requests: process.stdin.take(),
            answers: BufReader::new(answers),
            process,
            log,
        })
    }

    /// The lines that `command` gives for a file below the temporary folder.
    pub fn lines(
        &mut self,
        file: &Path,
        command: &str,
        items: &[Item],
        options: &Map<String, Value>,
    ) -> anyhow::Result<Vec<String>> {
        let request =
            json!({ "model": file, "command": command, "items": items, "options": options });
        let answer = self.ask(&request);
        let answer = answer.with_context(|| format!("the browser has ended: {}", self.said()))?;
        let answer: Value = serde_json::from_str(&answer)?;
        let Some(lines) = answer.get("lines").and_then(Value::as_array) else {
            bail!("in the browser: {}", answer["error"]);
        };
        let lines = lines.iter().filter_map(Value::as_str);
        Ok(lines.map(str::to_owned).collect())
    }

    fn ask(&mut self, request: &Value) -> anyhow::Result<String> {
        let requests = self.requests.as_mut().context("none can be sent")?;
        writeln!(requests, "{request}")?;
        requests.flush()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        ensure!(!answer.is_empty(), "no answer");
        Ok(answer)
    }

    fn said(&mut self) -> String {
        let mut said = String::new();
        let read = self.log.seek(SeekFrom::Start(0));
        let read = read.and_then(|_| self.log.read_to_string(&mut said));
        read.map_or_else(|error| error.to_string(), |_| said)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends when nobody can ask it any more.
        self.requests = None;
        let _ = self.process.wait();
    }
}
