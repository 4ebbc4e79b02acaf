//! Running built encoderfiles, and reading the JSON that they print.

use crate::process;
use anyhow::{Context, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A built file and what runs it.
pub(crate) enum Program {
    /// A native executable.
    Native(PathBuf),
    /// A wasm file under the host in the `encoderfile` tool.
    Hosted { tool: PathBuf, file: PathBuf },
    /// A wasm file under the wasmtime CLI.
    Wasm {
        wasmtime: PathBuf,
        /// Options of `wasmtime run`; none are needed.
        options: Vec<String>,
        file: PathBuf,
    },
}

impl Program {
    /// The command line that runs the file with these arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self {
            Self::Native(file) => process::timed(file),
            Self::Hosted { tool, file } => {
                let mut command = process::timed(tool);
                command.arg("run").arg(file);
                command
            }
            Self::Wasm {
                wasmtime,
                options,
                file,
            } => {
                let mut command = process::timed(wasmtime);
                command.arg("run").args(options).arg(file);
                command
            }
        };
        command.args(arguments);
        command
    }

    /// Embeds the texts, one vector each; the time is that of the whole process.
    pub(crate) fn embed(&self, texts: &[&str]) -> anyhow::Result<(Duration, Vec<Vec<f64>>)> {
        let mut command = self.command(&["infer", "-f", "json", "--"]);
        command.args(texts);
        let (time, json) = process::time(&mut command)?;
        let vectors = embeddings(&json)?;
        ensure!(
            vectors.len() == texts.len(),
            "{} texts gave {} results",
            texts.len(),
            vectors.len()
        );
        Ok((time, vectors))
    }
}

/// The vectors in the JSON of `infer`.
pub(crate) fn embeddings(json: &str) -> anyhow::Result<Vec<Vec<f64>>> {
    results(json)?
        .iter()
        .map(|result| {
            let embedding = result.get("embedding").and_then(Value::as_array);
            let values = embedding.context("a result without an `embedding`")?.iter();
            let values: Option<Vec<f64>> = values.map(Value::as_f64).collect();
            values.context("an `embedding` with something else than numbers")
        })
        .collect()
}

/// The tokens of each text that the model uses, in the JSON of `tokenize`.
pub(crate) fn tokens_used(json: &str) -> anyhow::Result<Vec<u64>> {
    counts(json, "tokens_used")
}

/// The tokens of each whole text, in the JSON of `tokenize`.
pub(crate) fn tokens_total(json: &str) -> anyhow::Result<Vec<u64>> {
    counts(json, "tokens_total")
}

fn counts(json: &str, key: &str) -> anyhow::Result<Vec<u64>> {
    let results = results(json)?;
    let counts = results.iter().map(|result| {
        let count = result.get(key).and_then(Value::as_u64);
        count.with_context(|| format!("a result without `{key}`"))
    });
    counts.collect()
}

fn results(json: &str) -> anyhow::Result<Vec<Value>> {
    let mut json: Value = serde_json::from_str(json).context("the output is no JSON")?;
    match json.get_mut("results").map(Value::take) {
        Some(Value::Array(results)) => Ok(results),
        _ => anyhow::bail!("the output has no `results`"),
    }
}

/// The path as a command-line argument.
pub(crate) fn argument(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .with_context(|| format!("{}: not a UTF-8 path", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{embeddings, tokens_total, tokens_used};

    #[test]
    fn results_are_read() {
        let json = r#"{"results": [{"embedding": [0.5, -1]}], "model_id": "m"}"#;
        assert_eq!(embeddings(json).unwrap(), [[0.5, -1.0]]);
        let json = r#"{"results": [{"tokens": [], "tokens_total": 9, "tokens_used": 7}]}"#;
        assert_eq!(tokens_used(json).unwrap(), [7]);
        assert_eq!(tokens_total(json).unwrap(), [9]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = embeddings(r#"{"results": [{"logits": []}]}"#).unwrap_err();
        assert!(error.to_string().contains("`embedding`"), "{error}");
        assert!(
            embeddings("{}")
                .unwrap_err()
                .to_string()
                .contains("`results`")
        );
    }
}
