//! `test`: whether an encoderfile computes here what it says.
//!
//! **Invariant:** what fails is a row of the [`Report`], and the rows that do not depend on it
//! follow. An error is what leaves nothing to test: no file, no encoderfile, no model.

mod capabilities;
mod comparison;
mod table;

pub use comparison::{Against, Compared, Comparison, OtherModel};
pub use table::to_text;

use crate::error::detail;
use crate::{inspect, run, upstream, wasm_payload};
use anyhow::{Context, ensure};
use encoderfile::file::MappedFile;
use encoderfile::graph::Isa;
use encoderfile::{Executor, Model, Payload, golden, one_line, panics};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// What is tested beside hashes, loading and stored results.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The tokenizer, and everything that the model can be asked for.
    pub full: bool,
    /// The numbers, beside those of the model that the file was made of.
    pub against: Option<Against>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// As it was named.
    pub file: String,
    /// Whether no check failed.
    pub passed: bool,
    /// What the file is, as `inspect` says it.
    pub kind: &'static str,
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// What the model computes.
    pub task: &'static str,
    /// How the large matrices are stored.
    pub weights: String,
    /// What products with large matrices are computed in.
    pub compute: &'static str,
    /// What this machine computes with.
    pub instruction_set: &'static str,
    /// In the order in which they were made.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// `hashes`, `load`, `stored_results`, `program`, `tokenize`, a capability, or `against`.
    pub check: &'static str,
    /// The text that it was made with, if it was one: `sample`, `full_length` or `empty`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<&'static str>,
    /// Whether the file does what it should.
    pub passed: bool,
    /// How long it took.
    pub seconds: f64,
    /// What came of it.
    #[serde(flatten)]
    pub found: Found,
}

/// What came of a check.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Found {
    /// Every hash is right.
    Hashes {
        /// How many parts the file has.
        artifacts: usize,
        /// Of all parts.
        bytes: u64,
    },
    /// A model.
    Loaded {
        /// The most that a text may have.
        max_tokens: u32,
        /// What it can be asked for.
        capabilities: Vec<&'static str>,
    },
    /// What became of the stored results.
    Stored(golden::Report),
    /// What a WebAssembly program said of itself.
    Program {
        /// 0 where it found nothing wrong.
        exit_code: i32,
        /// On standard output and standard error.
        printed: String,
    },
    /// A text as tokens.
    Tokenized {
        /// What the model would see.
        tokens: usize,
    },
    /// A result of finite numbers.
    Computed {
        /// What was computed for it.
        tokens: usize,
    },
    /// A score of two texts.
    Similarity {
        /// More is more alike.
        similarity: f32,
    },
    /// The file's numbers beside its source's.
    Compared(Comparison),
    /// An error.
    Error {
        /// On one line.
        error: String,
        /// The inference engine's own words.
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
}

impl Found {
    /// Whether it is as it should be.
    fn passed(&self) -> bool {
        match self {
            Self::Stored(report) => report.passed(),
            Self::Program { exit_code, .. } => *exit_code == 0,
            Self::Compared(comparison) => comparison.passed(),
            Self::Error { .. } => false,
            _ => true,
        }
    }

    fn error(error: &anyhow::Error) -> Self {
        Self::Error {
            error: one_line(&**error),
            detail: detail(error).map(Into::into),
        }
    }
}

/// Tests an encoderfile of any kind.
///
/// A check fails where a hash is wrong, the model does not load, a stored result is another
/// here ([`golden::Report::passed`]), the program of a WebAssembly module says that of itself,
/// a text gives an error or a number that is not finite, and where the worst cosine to the
/// source is below what is allowed.
///
/// # Errors
/// [`ContainerError`](encoderfile::container::ContainerError) for a file that is no valid
/// encoderfile or holds no model, [`std::io::Error`] for what the system says, and a message
/// alone for a file of upstream's format 1. Each names the file.
pub fn test(file: &Path, settings: &Settings) -> anyhow::Result<Report> {
    panics::catch(|| examine(file, settings).with_context(|| file.display().to_string()))?
}

fn examine(file: &Path, settings: &Settings) -> anyhow::Result<Report> {
    let mapped = MappedFile::open(file)?;
    let kind = inspect::kind(mapped.bytes());
    let is_module = wasm_payload::is_module(mapped.bytes());
    ensure!(
        !upstream::is_format_1(mapped.bytes()),
        "format 1, which has no stored results; build a file of it (--from) and test that"
    );
    let payload = Payload::open(Arc::new(mapped))?;
    let mut report = Report::of(file, kind, &payload)?;
    let of_file = payload.model()?.clone();
    let sound = report.check("hashes", None, || {
        payload.verify_with(&Executor::AllCores)?;
        let lengths: Vec<u64> = payload.artifacts().map(|(_, _, length)| length).collect();
        let (artifacts, bytes) = (lengths.len(), lengths.iter().sum());
        Ok(((), Found::Hashes { artifacts, bytes }))
    });
    let loaded = sound.and_then(|()| report.check("load", None, || load(payload)));
    let Some(model) = loaded else {
        return Ok(report);
    };
    report.check("stored_results", None, || {
        Ok(((), Found::Stored(model.self_test()?)))
    });
    if is_module {
        report.check("program", None, || {
            let (exit_code, printed) = run::self_test(file)?;
            Ok(((), Found::Program { exit_code, printed }))
        });
    }
    if settings.full {
        capabilities::check(&model, &mut report);
    }
    if let Some(against) = &settings.against {
        report.check("against", None, || {
            let comparison = comparison::compare(&model, &of_file, against)?;
            Ok(((), Found::Compared(comparison)))
        });
    }
    Ok(report)
}

/// The model as every program loads it, which checks the hashes once more meanwhile.
fn load(payload: Payload) -> anyhow::Result<(Model, Found)> {
    let model = Model::from_payload(payload, Executor::AllCores)?;
    let capabilities = model.encoder().capabilities().into_iter();
    let found = Found::Loaded {
        max_tokens: model.info().max_tokens,
        capabilities: capabilities.map(|it| it.name()).collect(),
    };
    Ok((model, found))
}

impl Report {
    fn of(file: &Path, kind: &'static str, payload: &Payload) -> anyhow::Result<Self> {
        let manifest = payload.manifest();
        let model = payload.model()?;
        Ok(Self {
            file: file.display().to_string(),
            passed: true,
            kind,
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            task: model.task.name(),
            weights: model.weights.encoding.to_string(),
            compute: model.pipeline.compute.name(),
            instruction_set: Isa::in_use().name(),
            checks: Vec::new(),
        })
    }

    /// Makes a check, writes down what came of it, and gives what it made.
    fn check<T>(
        &mut self,
        check: &'static str,
        text: Option<&'static str>,
        make: impl FnOnce() -> anyhow::Result<(T, Found)>,
    ) -> Option<T> {
        let start = Instant::now();
        let made = panics::catch(make).map_err(anyhow::Error::from).flatten();
        let seconds = start.elapsed().as_secs_f64();
        let (made, found) = match made {
            Ok((made, found)) => (Some(made), found),
            Err(error) => (None, Found::error(&error)),
        };
        let passed = found.passed();
        self.passed &= passed;
        self.checks.push(Check {
            check,
            text,
            passed,
            seconds,
            found,
        });
        made
    }
}
