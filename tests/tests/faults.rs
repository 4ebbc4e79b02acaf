//! Folders that are easily understood wrongly, each with what the reference
//! implementation makes of it: `faults/*/expected.json`.
//!
//! One trial for each folder and target: `cargo test --test faults regex`,
//! `cargo test --test faults truncation-left/native`.

#[path = "trials/trial.rs"]
mod trial;

use crate::trial::trial;
use anyhow::{Context, bail, ensure};
use encoderfile_tests::compare::Agreement;
use encoderfile_tests::process::{self, Finished};
use encoderfile_tests::request::Item;
use encoderfile_tests::target::{Built, Target};
use encoderfile_tests::workbench::Workbench;
use libtest_mimic::{Arguments, Trial};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

/// How many folders there are at least, so that an empty folder is no success.
const FAULTS_MIN: usize = 90;

/// What each folder is checked on. A module of its own is compiled for each on Node,
/// which does that at once.
const TARGETS: [Target; 3] = [Target::Native, Target::Wasmtime, Target::Node];

/// How far a number may be from the reference's where a folder says nothing of it.
const TOLERANCE: f64 = 1e-4;

/// `expected.json`.
#[derive(Deserialize)]
struct Expected {
    /// What is easily understood wrongly, for people.
    #[serde(rename = "what")]
    _what: String,
    #[serde(flatten)]
    kind: Kind,
}

/// What has to come out, by `kind`.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Kind {
    /// The token ids of each text.
    Ids { max_length: usize, cases: Vec<Case> },
    /// The logits of each text or pair.
    Logits {
        #[serde(default = "tolerance")]
        tolerance: f64,
        cases: Vec<Case>,
        /// The label of each logit, in order.
        labels: Option<Vec<String>>,
    },
    /// The embedding of each text.
    Embedding {
        #[serde(default = "tolerance")]
        tolerance: f64,
        cases: Vec<Case>,
    },
    /// The score of each text for a query.
    Rerank {
        query: String,
        texts: Vec<String>,
        scores: Vec<f64>,
    },
    /// The most tokens of a text. No text fails, however long it is.
    Limit { max_tokens: usize },
    /// Refused, or built as another task.
    NotTask { task: String },
    /// Refused, in these words among others.
    Refused {
        #[serde(default)]
        says: Vec<String>,
    },
    /// Built, and able to compute something.
    Builds {},
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    text: String,
    text_pair: Option<String>,
    input_ids: Option<Vec<u32>>,
    offsets: Option<Vec<(usize, usize)>>,
    logits: Option<Vec<f64>>,
    scores: Option<Vec<f64>>,
    label: Option<String>,
    embedding: Option<Vec<f64>>,
}

impl Case {
    fn item(&self) -> Item {
        Item {
            text: self.text.clone(),
            text_pair: self.text_pair.clone(),
        }
    }
}

fn tolerance() -> f64 {
    TOLERANCE
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::from_args();
    let workbench = Workbench::open()?.map(Arc::new);
    let folders = folders()?;
    ensure!(folders.len() >= FAULTS_MIN, "{} folders", folders.len());
    let mut trials = Vec::new();
    for folder in folders {
        trials.extend(trials_of(workbench.as_ref(), folder)?);
    }
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

fn folders() -> anyhow::Result<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults");
    let mut folders = Vec::new();
    for entry in fs::read_dir(&root).with_context(|| root.display().to_string())? {
        let path = entry?.path();
        if path.join("expected.json").is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

fn trials_of(workbench: Option<&Arc<Workbench>>, folder: PathBuf) -> anyhow::Result<Vec<Trial>> {
    let name = folder.file_name().context("no name")?;
    let name = name.to_string_lossy().into_owned();
    let path = folder.join("expected.json");
    let expected: Expected =
        serde_json::from_slice(&fs::read(&path)?).with_context(|| path.display().to_string())?;
    let kind = match expected.kind {
        Kind::Refused { says } => {
            let refused = move |workbench: &Workbench| refused(workbench, &folder, &says);
            return Ok(vec![trial(name, workbench.cloned(), refused)]);
        }
        Kind::NotTask { task } => {
            let not_task = move |workbench: &Workbench| not_task(workbench, &folder, &task);
            return Ok(vec![trial(name, workbench.cloned(), not_task)]);
        }
        kind => kind,
    };
    // Built by the first of its trials, removed with the last.
    let shared = Arc::new((folder, kind, OnceLock::new()));
    let trials = TARGETS.map(|target| {
        let shared = shared.clone();
        let name = format!("{name}/{}", target.trial());
        trial(
            name,
            workbench.filter(|it| it.has(target)).cloned(),
            move |workbench| {
                let (folder, kind, built) = &*shared;
                let built = built.get_or_init(|| {
                    Built::new(workbench, Some(folder)).map_err(|error| format!("build: {error:#}"))
                });
                let built = built
                    .as_ref()
                    .map_err(|error| anyhow::Error::msg(error.clone()))?;
                let subject = Subject {
                    workbench,
                    target,
                    built,
                };
                subject.check(kind)
            },
        )
    });
    Ok(trials.into())
}

/// Builds a folder, to fail or not.
fn build(workbench: &Workbench, folder: &Path) -> anyhow::Result<(Finished, PathBuf)> {
    let name = folder.file_name().context("no name")?;
    let output = workbench.path(name);
    let mut command = workbench.tool(&["build", "--model"]);
    command.arg(folder);
    let finished = process::finish(command.arg("-o").arg(&output))?;
    Ok((finished, output))
}

/// One line that names the cause, and no file.
fn refused(workbench: &Workbench, folder: &Path, says: &[String]) -> anyhow::Result<()> {
    let (finished, output) = build(workbench, folder)?;
    let says: Vec<&str> = says.iter().map(String::as_str).collect();
    finished.refused(&says)?;
    ensure!(!output.exists(), "refused, but there is a file");
    Ok(())
}

fn not_task(workbench: &Workbench, folder: &Path, task: &str) -> anyhow::Result<()> {
    let (finished, output) = build(workbench, folder)?;
    if !output.exists() {
        return finished.refused(&[]);
    }
    let info = process::succeed(std::process::Command::new(&output).args(["info", "--json"]))?;
    let info = info.json()?;
    ensure!(info["task"] != task, "built as {task}: {info}");
    Ok(())
}

/// A built folder on a target.
struct Subject<'a> {
    workbench: &'a Workbench,
    target: Target,
    built: &'a Built,
}

impl Subject<'_> {
    fn check(&self, kind: &Kind) -> anyhow::Result<()> {
        match kind {
            Kind::Ids { max_length, cases } => self.ids(*max_length, cases),
            Kind::Logits {
                tolerance,
                cases,
                labels,
            } => {
                self.numbers("logits", *tolerance, cases)?;
                labels.iter().try_for_each(|labels| self.labels(labels))
            }
            Kind::Embedding { tolerance, cases } => self.numbers("embedding", *tolerance, cases),
            Kind::Rerank {
                query,
                texts,
                scores,
            } => self.rerank(query, texts, scores),
            Kind::Limit { max_tokens } => self.limit(*max_tokens),
            Kind::Builds {} => self.workbench.self_test(self.target, self.built),
            Kind::NotTask { .. } | Kind::Refused { .. } => bail!("not built"),
        }
    }

    fn ids(&self, max_length: usize, cases: &[Case]) -> anyhow::Result<()> {
        let items: Vec<Item> = cases.iter().map(Case::item).collect();
        let tokenized = self.workbench.tokenize(self.target, self.built, &items)?;
        for (case, got) in cases.iter().zip(tokenized) {
            let ids: Vec<u32> = got.tokens.iter().map(|it| it.info.token_id).collect();
            let expected = case.input_ids.as_ref().context("no input_ids")?;
            ensure!(expected.len() <= max_length, "{:?}: not cut", case.text);
            ensure!(
                ids == *expected,
                "{:?}: {ids:?}, expected {expected:?}",
                case.text
            );
            let offsets = got.tokens.iter().map(|it| (it.info.start, it.info.end));
            let offsets: Vec<(usize, usize)> = offsets.collect();
            let expected = case.offsets.as_ref().unwrap_or(&offsets);
            ensure!(
                offsets == *expected,
                "{:?}: {offsets:?}, expected {expected:?}",
                case.text
            );
        }
        Ok(())
    }

    fn numbers(&self, field: &str, tolerance: f64, cases: &[Case]) -> anyhow::Result<()> {
        let items: Vec<Item> = cases.iter().map(Case::item).collect();
        let results = self.infer(&items, &Map::new())?;
        for (case, got) in cases.iter().zip(&results) {
            let expected = case.logits.as_ref().or(case.embedding.as_ref());
            let expected = expected.context("no numbers")?;
            near(expected, &numbers(&got[field])?, tolerance)
                .with_context(|| format!("{:?}", case.text))?;
            if let Some(scores) = &case.scores {
                near(scores, &numbers(&got["scores"])?, tolerance)
                    .with_context(|| format!("{:?}: scores", case.text))?;
            }
            if let Some(label) = &case.label {
                ensure!(got["predicted_label"] == **label, "{got}, expected {label}");
            }
        }
        Ok(())
    }

    fn labels(&self, labels: &[String]) -> anyhow::Result<()> {
        let mut info = self.workbench.command(self.target, self.built)?;
        let info = process::succeed(info.args(["info", "--json"]))?.json()?;
        ensure!(info["labels"] == json!(labels), "{info}");
        Ok(())
    }

    fn rerank(&self, query: &str, texts: &[String], scores: &[f64]) -> anyhow::Result<()> {
        let items: Vec<Item> = texts.iter().map(|text| Item::text(text)).collect();
        let options = Map::from_iter([("query".to_owned(), json!(query))]);
        let results = self.infer(&items, &options)?;
        ensure!(results.len() == scores.len(), "{} scores", results.len());
        for result in results {
            let index = result["index"].as_u64().context("no index")?;
            let expected = scores[usize::try_from(index)?];
            near(&[expected], &numbers(&json!([result["score"]]))?, TOLERANCE)?;
        }
        Ok(())
    }

    fn limit(&self, max_tokens: usize) -> anyhow::Result<()> {
        let mut info = self.workbench.command(self.target, self.built)?;
        let info = process::succeed(info.args(["info", "--json"]))?.json()?;
        ensure!(info["max_tokens"] == max_tokens, "{info}");
        let text = "the king rode out ".repeat(max_tokens);
        let tokenized = self
            .workbench
            .tokenize(self.target, self.built, &[Item::text(&text)])?;
        ensure!(
            tokenized[0].tokens_used == max_tokens,
            "{} tokens used",
            tokenized[0].tokens_used
        );
        self.infer(&[Item::text(&text)], &Map::new()).map(drop)
    }

    fn infer(&self, items: &[Item], options: &Map<String, Value>) -> anyhow::Result<Vec<Value>> {
        let lines = self
            .workbench
            .lines(self.target, self.built, items, options)?;
        let results = lines.iter().map(|line| Ok(serde_json::from_str(line)?));
        results.collect()
    }
}

fn numbers(value: &Value) -> anyhow::Result<Vec<f64>> {
    let list = value
        .as_array()
        .with_context(|| format!("no list: {value}"))?;
    let numbers = list.iter().map(|it| it.as_f64().context("no number"));
    numbers.collect()
}

fn near(expected: &[f64], got: &[f64], tolerance: f64) -> anyhow::Result<()> {
    ensure!(
        expected.len() == got.len(),
        "{} numbers, expected {}",
        got.len(),
        expected.len()
    );
    let pairs = expected.iter().zip(got);
    let largest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    Agreement::Within(tolerance).check(largest)
}
