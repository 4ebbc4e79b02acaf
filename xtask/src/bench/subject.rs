//! What is measured: the tool, and the files it builds of one model.

use super::Runs;
use crate::dist::{Dist, size};
use crate::infer::{Program, argument, tokens_total, tokens_used};
use crate::process;
use crate::setup::WASM;
use crate::workspace::Workspace;
use anyhow::{Context, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// A text for first results.
pub(super) const TEXT: &str = "A cat sits on the mat.";

/// What the caller chose.
pub(super) struct Inputs {
    pub(super) model: PathBuf,
    pub(super) passages: PathBuf,
    pub(super) runs: Runs,
}

/// The tool, and everything built with it.
pub(super) struct Subject {
    pub(super) dist: Dist,
    pub(super) inputs: Inputs,
    /// For files made while measuring.
    pub(super) folder: PathBuf,
    /// The model in float32, for this machine.
    pub(super) native: PathBuf,
    /// The same for wasm32-wasip1.
    pub(super) wasm: PathBuf,
    /// Of the model's own files.
    pub(super) weights_bytes: u64,
    wasmtime: PathBuf,
}

impl Subject {
    /// Builds the model for both targets.
    pub(super) fn prepare(
        workspace: &Workspace,
        dist: Dist,
        wasmtime: PathBuf,
        inputs: Inputs,
    ) -> anyhow::Result<Self> {
        let folder = workspace.target.join("bench");
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let inputs = Inputs {
            model: with_long_texts(&inputs.model, &folder)?,
            ..inputs
        };
        let subject = Self {
            native: folder.join("model.encoderfile"),
            wasm: folder.join("model.ef.wasm"),
            weights_bytes: weights_bytes(&inputs.model)?,
            dist,
            inputs,
            folder,
            wasmtime,
        };
        let model = Some(subject.inputs.model.as_path());
        subject.dist.build_model(model, None, &subject.native)?;
        subject.dist.build_model(model, Some(WASM), &subject.wasm)?;
        Ok(subject)
    }

    pub(super) fn native(&self) -> Program {
        Program::Native(self.native.clone())
    }

    /// The wasm file under wasmtime, with further options of `wasmtime run`.
    pub(super) fn wasm(&self, options: &[String]) -> Program {
        Program::Wasm {
            wasmtime: self.wasmtime.clone(),
            options: options.to_vec(),
            file: self.wasm.clone(),
        }
    }

    /// Tokens of all passages, as the model sees them.
    pub(super) fn passages_tokens(&self) -> anyhow::Result<u64> {
        Ok(tokens_used(&self.tokenize(&self.inputs.passages)?)?
            .iter()
            .sum())
    }

    /// A text of exactly so many tokens, out of the passages.
    pub(super) fn text_of(&self, tokens: u64) -> anyhow::Result<String> {
        let passages = fs::read_to_string(&self.inputs.passages)
            .with_context(|| self.inputs.passages.display().to_string())?;
        let words: Vec<&str> = passages.split_whitespace().collect();
        let longest = usize::try_from(tokens)?;
        // A word is a token or more. Several beginnings, since the last word of
        // one may step over the number wanted.
        let candidates: Vec<String> = (0..4)
            .flat_map(|start| (1..longest).map(move |length| (1000 * start, length)))
            .filter_map(|(start, length)| words.get(start..start + length))
            .map(|words| words.join(" "))
            .collect();
        let file = self.folder.join("candidates.txt");
        fs::write(&file, candidates.join("\n")).with_context(|| file.display().to_string())?;
        let counts = tokens_total(&self.tokenize(&file)?)?;
        ensure!(counts.len() == candidates.len(), "tokenize lost a text");
        let mut texts = candidates.into_iter().zip(counts);
        texts
            .find_map(|(text, count)| (count == tokens).then_some(text))
            .with_context(|| format!("no text of {tokens} tokens in the passages"))
    }

    fn tokenize(&self, file: &Path) -> anyhow::Result<String> {
        process::capture(
            &mut self
                .native()
                .command(&["tokenize", "--input", argument(file)?]),
        )
    }
}

/// The model's folder with another limit to its texts: all that the graph takes.
pub(super) fn with_long_texts(model: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let copy = folder.join("model");
    if copy.exists() {
        fs::remove_dir_all(&copy).with_context(|| copy.display().to_string())?;
    }
    copy_folder(model, &copy)?;
    let limit = copy.join("sentence_bert_config.json");
    fs::write(&limit, r#"{"max_seq_length": 512}"#).with_context(|| limit.display().to_string())?;
    Ok(copy)
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to).with_context(|| to.display().to_string())?;
        }
    }
    Ok(())
}

/// `model.onnx`, and `model.onnx_data` where there is one.
fn weights_bytes(model: &Path) -> anyhow::Result<u64> {
    let data = model.join("model.onnx_data");
    let data = if data.exists() { size(&data)? } else { 0 };
    Ok(size(&model.join("model.onnx"))? + data)
}
