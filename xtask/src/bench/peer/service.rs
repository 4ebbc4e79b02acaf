//! Sessions of ONNX Runtime that stay loaded while something else is measured.

use crate::bench::conversation::Conversation;
use anyhow::Context;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::path::Path;
use std::process::Command;

/// `onnxruntime_peer.py serve`: a question and an answer are a line each.
pub(crate) struct Service(RefCell<Conversation>);

/// A loaded session.
pub(crate) struct Model<'a> {
    service: &'a Service,
    number: u64,
}

impl Service {
    pub(super) fn start(command: &mut Command) -> anyhow::Result<Self> {
        Ok(Self(RefCell::new(Conversation::start(command)?)))
    }

    /// Loads a model folder to run on so many threads.
    pub(crate) fn load(&self, folder: &Path, threads: usize) -> anyhow::Result<Model<'_>> {
        let load = json!({"do": "load", "folder": folder, "threads": threads});
        Ok(Model {
            service: self,
            number: self.ask(&load)?,
        })
    }

    fn ask<T: DeserializeOwned>(&self, question: &Value) -> anyhow::Result<T> {
        let answer = self.0.borrow_mut().ask(&question.to_string());
        let what = &question["do"];
        let answer = answer.with_context(|| format!("onnxruntime_peer.py, asked to {what}"))?;
        serde_json::from_str(&answer).with_context(|| format!("onnxruntime_peer.py: {answer}"))
    }
}

impl Model<'_> {
    /// Seconds for all texts as they come, in batches of `size`.
    pub(crate) fn seconds(&self, texts: &[&str], size: usize) -> anyhow::Result<f64> {
        self.ask("embed", json!({"texts": texts, "size": size}))
    }

    /// An embedding of each text, which is alone in its batch.
    pub(crate) fn vectors(&self, texts: &[&str]) -> anyhow::Result<Vec<Vec<f64>>> {
        self.ask("vectors", json!({"texts": texts}))
    }

    /// Tokens of each text, as the model sees them.
    pub(crate) fn token_counts(&self, texts: &[&str]) -> anyhow::Result<Vec<u64>> {
        self.ask("token_counts", json!({"texts": texts}))
    }

    fn ask<T: DeserializeOwned>(&self, what: &str, mut question: Value) -> anyhow::Result<T> {
        question["do"] = what.into();
        question["model"] = self.number.into();
        self.service.ask(&question)
    }
}

impl Drop for Model<'_> {
    fn drop(&mut self) {
        // A service that has ended has dropped it too.
        let _: anyhow::Result<()> = self.ask("drop", json!({}));
    }
}
