//! The model folders in `models/` and the reference results in their `golden.json`.

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that `build` refuses as long as what they need is not served, with
/// the key that its message names.
pub const REFUSED: [(&str, &str); 4] = [
    ("st-matryoshka", "truncate_dim"),
    ("st-mean-dense-normalize", "Dense"),
    ("st-prompts", "default_prompt_name"),
    ("st-prompts-excluded", "default_prompt_name"),
];

/// The model whose int8 form the tool carries. Only its reference results are here.
pub const DEFAULT_MODEL: &str = "all-MiniLM-L6-v2";

/// A model folder and what a reference implementation computed with it.
#[derive(Debug)]
pub struct Fixture {
    /// The folder's name.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// `embedding`, `sentence_embedding`, …
    pub task: String,
    /// One a text.
    pub cases: Vec<Case>,
}

/// A text and its reference result. Which numbers there are depends on the task.
#[derive(Debug, Deserialize)]
pub struct Case {
    /// The text.
    pub text: String,
    /// Special tokens included, cut to the model's limit.
    pub input_ids: Option<Vec<u32>>,
    /// Their spellings, or their number before they were cut.
    pub tokens: Option<Tokens>,
    /// Start and end of each token, in code points.
    pub offsets: Option<Vec<(usize, usize)>>,
    /// The mean of the last hidden state over all tokens.
    pub mean: Option<Vec<f64>>,
    /// The first row of the last hidden state.
    pub cls: Option<Vec<f64>>,
    /// The last row of the last hidden state.
    pub last_token: Option<Vec<f64>>,
    /// A sentence embedding.
    pub embedding: Option<Vec<f64>>,
    /// `[labels]`, or `[tokens][labels]`.
    pub logits: Option<Logits>,
    /// One a label, in the order of the logits.
    pub scores: Option<Vec<f64>>,
    /// That of the largest score.
    pub label: Option<String>,
    /// Token classification: the tokens with a label other than `O`. Absent
    /// where the reference says nothing about them.
    #[serde(skip)]
    pub entities: Option<Vec<Entity>>,
    /// What a pipeline of transformers makes of it; its form depends on the task.
    #[serde(default)]
    pipeline: Value,
}

/// A token with a label other than `O`.
#[derive(Debug, Deserialize)]
pub struct Entity {
    /// The position of the token, special tokens counted.
    pub index: usize,
    /// Its label.
    pub entity: String,
    /// The score of the label.
    pub score: f64,
}

/// The tokens of a case.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Tokens {
    /// As the vocabulary spells them.
    Spelled(Vec<String>),
    /// How many.
    Count(usize),
}

/// The logits of a case.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Logits {
    /// One a label.
    Text(Vec<f64>),
    /// One a label for each token.
    Tokens(Vec<Vec<f64>>),
}

#[derive(Deserialize)]
struct Golden {
    task: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Score {
    label: String,
    score: f64,
}

/// Where the folder of that name is.
pub fn folder(name: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.join("models").join(name)
}

/// Every model folder that can be built, in the order of the names.
pub fn all() -> anyhow::Result<Vec<Fixture>> {
    let models = folder("");
    let entries = fs::read_dir(&models).with_context(|| models.display().to_string())?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let refused = REFUSED.iter().any(|(refused, _)| *refused == name);
        if entry.path().join("config.json").is_file() && !refused {
            names.push(name);
        }
    }
    names.sort();
    names.iter().map(|name| read(name)).collect()
}

/// The folder of that name.
pub fn read(name: &str) -> anyhow::Result<Fixture> {
    let folder = folder(name);
    let golden = read_json(&folder.join("golden.json"))?;
    let golden: Golden = serde_json::from_value(golden).with_context(|| name.to_owned())?;
    ensure!(!golden.cases.is_empty(), "{name}: no cases");
    let mut fixture = Fixture {
        name: name.into(),
        folder,
        task: golden.task,
        cases: golden.cases,
    };
    match fixture.task.as_str() {
        "token_classification" => fixture.take_entities_from_pipeline()?,
        "sequence_classification" => fixture.take_scores_from_pipeline()?,
        _ => {}
    }
    Ok(fixture)
}

impl Fixture {
    /// transformers gives scores by label, best first; results have them in
    /// the order of the logits.
    fn take_scores_from_pipeline(&mut self) -> anyhow::Result<()> {
        let config = read_json(&self.folder.join("config.json"))?;
        let labels = &config["id2label"];
        for case in &mut self.cases {
            if case.pipeline.is_null() {
                continue;
            }
            let ranked: Vec<Score> = serde_json::from_value(case.pipeline.take())?;
            let score = |id: usize| {
                let label = labels[id.to_string()].as_str();
                let found = ranked.iter().find(|it| Some(it.label.as_str()) == label);
                found.map(|it| it.score)
            };
            let scores: Option<Vec<f64>> = (0..ranked.len()).map(score).collect();
            case.scores = Some(scores.context("a label of config.json has no score")?);
            case.label = ranked.into_iter().next().map(|it| it.label);
        }
        Ok(())
    }

    fn take_entities_from_pipeline(&mut self) -> anyhow::Result<()> {
        for case in &mut self.cases {
            case.entities = serde_json::from_value(case.pipeline["none"].take())?;
        }
        Ok(())
    }
}

impl Case {
    /// Whether the text does not fit the model, as far as the reference says:
    /// the last of its tokens ends before the text does.
    pub fn is_cut(&self) -> Option<bool> {
        let end = self.offsets.as_ref()?.iter().map(|(_, end)| *end).max()?;
        Some(end < self.text.trim_end().chars().count())
    }
}

fn read_json(path: &Path) -> anyhow::Result<Value> {
    let name = || path.display().to_string();
    let bytes = fs::read(path).with_context(name)?;
    serde_json::from_slice(&bytes).with_context(name)
}
