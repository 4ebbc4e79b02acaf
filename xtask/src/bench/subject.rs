//! What is measured: the tool, and the files it builds of one model.

use super::{Turns, minilm};
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
    /// With the tokenizer of the models with random weights.
    pub(super) minilm: PathBuf,
    pub(super) passages: PathBuf,
    pub(super) turns: Turns,
}

/// The tool, and everything built with it.
pub(super) struct Subject {
    pub(super) dist: Dist,
    pub(super) inputs: Inputs,
    /// For files made while measuring.
    pub(super) folder: PathBuf,
    /// The model's folder, with another limit to its texts: all that the graph takes.
    pub(super) long_model: PathBuf,
    /// The model in float32, for this machine.
    native: PathBuf,
    /// The same for wasm32-wasip1.
    wasm: PathBuf,
    /// `long_model`, for this machine.
    long: PathBuf,
    /// Of the model's own files.
    pub(super) weights_bytes: u64,
    wasmtime: PathBuf,
}

impl Subject {
    /// Builds the model for both targets, and for long texts.
    pub(super) fn prepare(
        workspace: &Workspace,
        dist: Dist,
        wasmtime: PathBuf,
        inputs: Inputs,
    ) -> anyhow::Result<Self> {
        let folder = workspace.target.join("bench");
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let subject = Self {
            long_model: with_long_texts(&inputs.model, &folder)?,
            native: folder.join("model.encoderfile"),
            wasm: folder.join("model.ef.wasm"),
            long: folder.join("long.encoderfile"),
            weights_bytes: weights_bytes(&inputs.model)?,
            dist,
            inputs,
            folder,
            wasmtime,
        };
        let build = |model: &Path, target, output: &Path| {
            subject.dist.build_model(Some(model), target, &[], output)
        };
        build(&subject.inputs.model, None, &subject.native)?;
        build(&subject.inputs.model, Some(WASM), &subject.wasm)?;
        build(&subject.long_model, None, &subject.long)?;
        Ok(subject)
    }

    pub(super) fn native(&self) -> Program {
        Program::Native(self.native.clone())
    }

    /// For texts of any length.
    pub(super) fn long(&self) -> Program {
        Program::Native(self.long.clone())
    }

    /// The wasm file under wasmtime, with further options of `wasmtime run`.
    pub(super) fn wasm(&self, options: &[String]) -> Program {
        Program::Wasm {
            wasmtime: self.wasmtime.clone(),
            options: options.to_vec(),
            file: self.wasm.clone(),
        }
    }

    /// The texts for throughput.
    pub(super) fn passages(&self) -> anyhow::Result<Vec<String>> {
        let path = &self.inputs.passages;
        let passages = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Ok(passages.lines().map(str::to_owned).collect())
    }

    /// Tokens of every passage, as the model sees them.
    pub(super) fn passages_tokens(&self) -> anyhow::Result<Vec<u64>> {
        tokens_used(&tokenize(&self.native(), &self.inputs.passages)?)
    }

    /// A text of exactly so many of the program's tokens, out of the passages.
    pub(super) fn text_of(&self, program: &Program, tokens: usize) -> anyhow::Result<String> {
        let passages = self.passages()?.join(" ");
        let words: Vec<&str> = passages.split_whitespace().collect();
        // A word is a token or more. Several beginnings, since the last word of
        // one may step over the number wanted.
        let candidates: Vec<String> = (0..4)
            .flat_map(|start| (1..tokens).map(move |length| (1000 * start, length)))
            .filter_map(|(start, length)| words.get(start..start + length))
            .map(|words| words.join(" "))
            .collect();
        let file = self.folder.join("candidates.txt");
        fs::write(&file, candidates.join("\n")).with_context(|| file.display().to_string())?;
        let counts = tokens_total(&tokenize(program, &file)?)?;
        ensure!(counts.len() == candidates.len(), "tokenize lost a text");
        let mut texts = candidates.into_iter().zip(counts);
        texts
            .find_map(|(text, count)| (count == tokens as u64).then_some(text))
            .with_context(|| format!("no text of {tokens} tokens in the passages"))
    }
}

fn tokenize(program: &Program, file: &Path) -> anyhow::Result<String> {
    process::capture(&mut program.command(&["tokenize", "--input", argument(file)?]))
}

/// The model's folder with another limit to its texts: all that the graph takes.
pub(super) fn with_long_texts(model: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let copy = folder.join("model");
    if copy.exists() {
        fs::remove_dir_all(&copy).with_context(|| copy.display().to_string())?;
    }
    minilm::copy(model, &copy)?;
    let limit = copy.join("sentence_bert_config.json");
    fs::write(&limit, r#"{"max_seq_length": 512}"#).with_context(|| limit.display().to_string())?;
    Ok(copy)
}

/// `model.onnx`, and its external data where there is some.
fn weights_bytes(model: &Path) -> anyhow::Result<u64> {
    let data = ["model.onnx_data", "weights"].map(|name| model.join(name));
    let mut bytes = size(&model.join("model.onnx"))?;
    for data in data.iter().filter(|path| path.exists()) {
        bytes += size(data)?;
    }
    Ok(bytes)
}
