//! Folders that are easily understood wrongly, each with what the reference
//! implementation makes of it: `faults/*/expected.json`.
//!
//! `ENCODERFILE_FAULTS=prefix cargo test --test faults` runs only the folders whose
//! name contains `prefix`.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use anyhow::{Context, bail, ensure};
use encoderfile_tests::compare::Agreement;
use encoderfile_tests::process::{self, Finished};
use encoderfile_tests::programs::Programs;
use encoderfile_tests::request::Item;
use encoderfile_tests::target::{Built, Runner, Target};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

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

#[test]
fn every_folder_means_what_the_reference_makes_of_it() {
    let Some(programs) = Programs::find().unwrap() else {
        return;
    };
    let runner = Runner::new(programs).unwrap();
    let filter = env::var("ENCODERFILE_FAULTS").unwrap_or_default();
    let folders = folders().unwrap();
    assert!(folders.len() >= FAULTS_MIN, "{} folders", folders.len());
    let mut failures = Vec::new();
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy();
        if name.contains(&filter)
            && let Err(error) = check(&runner, &folder)
        {
            failures.push(format!("{name}: {error:#}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
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

fn check(runner: &Runner, folder: &Path) -> anyhow::Result<()> {
    let path = folder.join("expected.json");
    let expected: Expected = serde_json::from_slice(&fs::read(path)?).context("expected.json")?;
    match &expected.kind {
        Kind::Refused { says } => return refused(runner, folder, says),
        Kind::NotTask { task } => return not_task(runner, folder, task),
        _ => {}
    }
    let built = Built::new(runner, Some(folder))?;
    for target in TARGETS.into_iter().filter(|target| runner.has(*target)) {
        let subject = Subject {
            runner,
            target,
            built: &built,
        };
        subject.check(&expected.kind).context(target.name())?;
    }
    Ok(())
}

/// Builds a folder, to fail or not.
fn build(runner: &Runner, folder: &Path) -> anyhow::Result<(Finished, PathBuf)> {
    let name = folder.file_name().context("no name")?;
    let output = runner.folder().join(name);
    let mut command = runner.encoderfile();
    command.args(["build", "--model"]).arg(folder);
    let finished = process::finish(command.arg("-o").arg(&output))?;
    Ok((finished, output))
}

/// One line that names the cause, and no file.
fn refused(runner: &Runner, folder: &Path, says: &[String]) -> anyhow::Result<()> {
    let (finished, output) = build(runner, folder)?;
    let says: Vec<&str> = says.iter().map(String::as_str).collect();
    finished.refused(&says)?;
    ensure!(!output.exists(), "refused, but there is a file");
    Ok(())
}

fn not_task(runner: &Runner, folder: &Path, task: &str) -> anyhow::Result<()> {
    let (finished, output) = build(runner, folder)?;
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
    runner: &'a Runner,
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
            Kind::Builds {} => self.runner.self_test(self.target, self.built),
            Kind::NotTask { .. } | Kind::Refused { .. } => bail!("not built"),
        }
    }

    fn ids(&self, max_length: usize, cases: &[Case]) -> anyhow::Result<()> {
        let items: Vec<Item> = cases.iter().map(Case::item).collect();
        let tokenized = self.runner.tokenize(self.target, self.built, &items)?;
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
        let mut info = self.runner.command(self.target, self.built)?;
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
        let mut info = self.runner.command(self.target, self.built)?;
        let info = process::succeed(info.args(["info", "--json"]))?.json()?;
        ensure!(info["max_tokens"] == max_tokens, "{info}");
        let text = "the king rode out ".repeat(max_tokens);
        let tokenized = self
            .runner
            .tokenize(self.target, self.built, &[Item::text(&text)])?;
        ensure!(
            tokenized[0].tokens_used == max_tokens,
            "{} tokens used",
            tokenized[0].tokens_used
        );
        self.infer(&[Item::text(&text)], &Map::new()).map(drop)
    }

    fn infer(&self, items: &[Item], options: &Map<String, Value>) -> anyhow::Result<Vec<Value>> {
        let lines = self.runner.lines(self.target, self.built, items, options)?;
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
