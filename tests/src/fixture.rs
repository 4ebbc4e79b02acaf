//! The model folders in `models/` and the reference results in their `golden.json`.

use crate::request::{Item, Request};
use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The model whose int8 form the tool carries. Only its reference results are here.
pub const DEFAULT_MODEL: &str = "all-MiniLM-L6-v2";

/// How many folders there are at least, so that an empty one is no success.
const MODELS_MIN: usize = 230;

/// A model folder and what a reference implementation computed with it.
#[derive(Debug)]
pub struct Fixture {
    /// The folder's name.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// `bert`, `roberta`, …
    pub architecture: String,
    /// `embedding`, `sentence_embedding`, …
    pub task: String,
    /// One a text.
    pub cases: Vec<Case>,
    /// Results under other options than the default.
    pub requests: Vec<Request>,
}

/// A text and its reference result. Which numbers there are depends on the task.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    /// The text.
    pub text: String,
    /// The second text of a pair.
    pub text_pair: Option<String>,
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
    /// Sentence embeddings, by the name of the prompt.
    #[serde(default)]
    prompt: Map<String, Value>,
    /// Late interaction: what the text is to a search.
    role: Option<String>,
    /// Late interaction: the prompt that was asked for.
    prompt_name: Option<String>,
    /// Late interaction: 1 for each token whose vector is kept.
    kept: Option<Vec<u8>>,
    /// Late interaction: those vectors.
    embeddings: Option<Vec<Vec<f64>>>,
}

/// A token with a label other than `O`.
#[derive(Clone, Debug, Deserialize)]
pub struct Entity {
    /// The position of the token, special tokens counted.
    pub index: usize,
    /// Its label.
    pub entity: String,
    /// The score of the label.
    pub score: f64,
}

/// The tokens of a case.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Tokens {
    /// As the vocabulary spells them.
    Spelled(Vec<String>),
    /// How many.
    Count(usize),
}

/// The logits of a case.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Logits {
    /// One a label.
    Text(Vec<f64>),
    /// One a label for each token.
    Tokens(Vec<Vec<f64>>),
}

#[derive(Deserialize)]
struct Golden {
    #[serde(default)]
    architecture: String,
    task: String,
    cases: Vec<Case>,
    /// A cross-encoder's is one; of late interaction it is a list that pads documents.
    #[serde(default)]
    rerank: Value,
    /// Late interaction: `MaxSim` of each query and document.
    #[serde(default)]
    scores: Vec<Vec<f64>>,
}

/// What sentence-transformers' `CrossEncoder.rank` gives.
#[derive(Deserialize)]
struct Rerank {
    query: String,
    texts: Vec<String>,
    ranking: Vec<Value>,
}

/// What `requests.json` holds.
#[derive(Deserialize)]
struct Requests {
    requests: Vec<Request>,
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

/// The folder with that name of those whose files contradict one another.
pub fn fault(name: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.join("faults").join(name)
}

/// Every model folder that can be built, in the order of the names.
pub fn all() -> anyhow::Result<Vec<Fixture>> {
    let models = folder("");
    let entries = fs::read_dir(&models).with_context(|| models.display().to_string())?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().join("config.json").is_file() {
            names.push(name);
        }
    }
    ensure!(
        names.len() >= MODELS_MIN,
        "{} models, expected {MODELS_MIN}",
        names.len()
    );
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
        architecture: golden.architecture,
        task: golden.task,
        cases: golden.cases,
        requests: Vec::new(),
    };
    if fixture.task == "late_interaction" {
        fixture.take_roles(&golden.scores)?;
    } else {
        fixture.requests = fixture.requests(serde_json::from_value(golden.rerank)?)?;
    }
    fixture.forget_counts_without_prompt()?;
    match fixture.task.as_str() {
        "token_classification" => fixture.take_entities_from_pipeline()?,
        "sequence_classification" => fixture.take_scores_from_pipeline()?,
        _ => {}
    }
    Ok(fixture)
}

impl Fixture {
    /// The requests that golden.json has results for, and those of requests.json.
    fn requests(&self, rerank: Option<Rerank>) -> anyhow::Result<Vec<Request>> {
        let mut requests = Vec::new();
        if self.task == "token_classification" {
            for aggregation in ["none", "simple", "first", "average", "max"] {
                let result = |case: &Case| {
                    let entities = case.pipeline.get(aggregation)?;
                    Some(json!({ "entities": entities }))
                };
                requests.extend(self.request("aggregation", aggregation, result));
            }
        }
        let prompts: BTreeSet<&String> =
            self.cases.iter().flat_map(|it| it.prompt.keys()).collect();
        for prompt in prompts {
            let result = |case: &Case| Some(json!({ "embedding": case.prompt.get(prompt)? }));
            requests.extend(self.request("prompt_name", prompt, result));
        }
        requests.extend(rerank.map(|rerank| Request {
            name: "rerank".into(),
            options: Map::from_iter([("query".into(), rerank.query.into())]),
            items: rerank.texts.iter().map(|text| Item::text(text)).collect(),
            results: rerank.ranking,
        }));
        let more = self.folder.join("requests.json");
        if more.is_file() {
            let more: Requests = serde_json::from_value(read_json(&more)?)
                .with_context(|| more.display().to_string())?;
            requests.extend(more.requests);
        }
        Ok(requests)
    }

    /// Queries, documents and prompts become requests, and each query a ranking of the
    /// documents. The documents stay as cases: what a text is that nobody calls a query.
    fn take_roles(&mut self, scores: &[Vec<f64>]) -> anyhow::Result<()> {
        let is = |role: &'static str| {
            let plain = |case: &&Case| case.prompt_name.is_none();
            let of_role = move |case: &&Case| case.role.as_deref() == Some(role);
            self.cases.iter().filter(plain).filter(of_role)
        };
        let documents: Vec<Item> = is("document").map(Case::item).collect();
        let mut requests: Vec<Request> = Vec::new();
        for case in &self.cases {
            let said = [("role", &case.role), ("prompt_name", &case.prompt_name)];
            let said = said
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.as_ref()?)));
            let options = said.map(|(name, value)| (name.to_owned(), value.clone().into()));
            let options: Map<String, Value> = options.collect();
            let mut there = requests.iter_mut();
            match there.find(|request| request.options == options) {
                Some(request) => {
                    request.items.push(case.item());
                    request.results.push(case.vectors()?);
                }
                None => requests.push(Request {
                    name: format!("{options:?}"),
                    options,
                    items: vec![case.item()],
                    results: vec![case.vectors()?],
                }),
            }
        }
        ensure!(is("query").count() == scores.len(), "{}: scores", self.name);
        for (query, scores) in is("query").zip(scores) {
            let mut ranked: Vec<(usize, &f64)> = scores.iter().enumerate().collect();
            ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
            let ranked = ranked.into_iter();
            requests.push(Request {
                name: format!("query {:?}", query.text),
                options: Map::from_iter([("query".into(), query.text.clone().into())]),
                items: documents.clone(),
                results: ranked
                    .map(|(index, score)| json!({ "index": index, "score": score }))
                    .collect(),
            });
        }
        self.requests = requests;
        let is_document = |case: &Case| case.role.as_deref() == Some("document");
        self.cases
            .retain(|case| is_document(case) && case.prompt_name.is_none());
        Ok(())
    }

    /// The reference counts the tokens of the text alone, the programs those
    /// that the model sees.
    fn forget_counts_without_prompt(&mut self) -> anyhow::Result<()> {
        let settings = self.folder.join("config_sentence_transformers.json");
        if settings.is_file() && read_json(&settings)?["default_prompt_name"].is_string() {
            self.cases.iter_mut().for_each(|case| case.tokens = None);
        }
        Ok(())
    }

    /// One option for all cases that have a result for it; `None` if none has.
    fn request(
        &self,
        option: &str,
        value: &str,
        result: impl Fn(&Case) -> Option<Value>,
    ) -> Option<Request> {
        let cases = self
            .cases
            .iter()
            .filter_map(|case| Some((case, result(case)?)));
        let (cases, results): (Vec<&Case>, Vec<Value>) = cases.unzip();
        (!cases.is_empty()).then(|| Request {
            name: format!("{option} {value}"),
            options: Map::from_iter([(option.into(), value.into())]),
            items: cases.into_iter().map(Case::item).collect(),
            results,
        })
    }

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
    /// Late interaction: the vectors that are kept, each with its token.
    fn vectors(&self) -> anyhow::Result<Value> {
        let ids = self.input_ids.as_ref().context("no `input_ids`")?;
        let kept = self.kept.as_ref().context("no `kept`")?;
        let vectors = self.embeddings.as_ref().context("no `embeddings`")?;
        ensure!(ids.len() == kept.len(), "`kept` is of other tokens");
        let ids = ids.iter().zip(kept).filter(|(_, kept)| **kept == 1);
        let ids: Vec<&u32> = ids.map(|(id, _)| id).collect();
        ensure!(ids.len() == vectors.len(), "vectors of other tokens");
        let rows = ids.into_iter().zip(vectors);
        let rows = rows
            .map(|(id, vector)| json!({ "token_info": { "token_id": id }, "embedding": vector }));
        Ok(json!({ "embeddings": rows.collect::<Vec<_>>() }))
    }

    /// What is asked about.
    pub fn item(&self) -> Item {
        Item {
            text: self.text.clone(),
            text_pair: self.text_pair.clone(),
        }
    }

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
