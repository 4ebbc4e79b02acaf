//! Results as the programs print them, read back.

use anyhow::Context;
use serde::Deserialize;

/// One line of `infer -f jsonl`. Which fields there are depends on the task.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Embedding: one vector a token.
    pub embeddings: Option<Vec<TokenVector>>,
    /// Sentence embedding.
    pub embedding: Option<Vec<f64>>,
    /// Sequence classification.
    pub logits: Option<Vec<f64>>,
    /// Sequence classification.
    pub scores: Option<Vec<f64>>,
    /// Sequence classification.
    pub predicted_index: Option<usize>,
    /// Sequence classification.
    pub predicted_label: Option<String>,
    /// Token classification: one prediction a token.
    pub tokens: Option<Vec<TokenPrediction>>,
    /// Sparse embedding.
    pub sparse_embedding: Option<Vec<SparseValue>>,
    /// Present where the text was cut.
    pub tokens_total: Option<usize>,
    /// Present where the text was cut.
    pub tokens_used: Option<usize>,
}

/// The weight of a vocabulary entry.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct SparseValue {
    /// Index into the vocabulary.
    pub index: u32,
    /// Above 0.
    pub value: f64,
}

/// A token and where it stands.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TokenInfo {
    /// As the vocabulary spells it.
    pub token: String,
    /// Index into the vocabulary.
    pub token_id: u32,
    /// In code points.
    pub start: usize,
    /// In code points.
    pub end: usize,
}

/// A token and its vector.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TokenVector {
    /// `[hidden_size]`.
    pub embedding: Vec<f64>,
    /// Which token.
    pub token_info: TokenInfo,
}

/// A token and its label.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TokenPrediction {
    /// Which token.
    pub token_info: TokenInfo,
    /// `[labels]`.
    pub logits: Vec<f64>,
    /// `[labels]`.
    pub scores: Vec<f64>,
    /// That of the largest score.
    pub label: String,
    /// The largest score.
    pub score: f64,
}

/// One result of `tokenize`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokenized {
    /// Special tokens included, cut to the model's limit.
    pub tokens: Vec<Token>,
    /// Before the text was cut.
    pub tokens_total: usize,
    /// After the text was cut.
    pub tokens_used: usize,
}

/// A token of `tokenize`.
#[derive(Debug, Deserialize)]
pub struct Token {
    /// Which token.
    #[serde(flatten)]
    pub info: TokenInfo,
    /// Whether the tokenizer added it.
    pub special: bool,
}

/// What `tokenize` prints.
#[derive(Deserialize)]
struct TokenizedDocument {
    results: Vec<Tokenized>,
}

/// The lines of `infer -f jsonl`.
pub fn parse(lines: &str) -> anyhow::Result<Vec<Row>> {
    let rows = lines.lines().map(|line| {
        let start = line.get(..80).unwrap_or(line);
        serde_json::from_str(line).with_context(|| format!("not a result: {start}"))
    });
    rows.collect()
}

/// The document of `tokenize`.
pub fn parse_tokenized(json: &str) -> anyhow::Result<Vec<Tokenized>> {
    let document: TokenizedDocument = serde_json::from_str(json).context("tokenize")?;
    Ok(document.results)
}

impl Row {
    /// Every number of the result, in the order in which it is printed.
    pub fn numbers(&self) -> Vec<f64> {
        let mut numbers = Vec::new();
        for vector in self.embeddings.iter().flatten() {
            numbers.extend(&vector.embedding);
        }
        let lists = [&self.embedding, &self.logits, &self.scores];
        numbers.extend(lists.into_iter().flatten().flatten());
        numbers.extend(self.sparse_embedding.iter().flatten().map(|it| it.value));
        for token in self.tokens.iter().flatten() {
            numbers.extend(token.logits.iter().chain(&token.scores));
            numbers.push(token.score);
        }
        numbers
    }

    /// Which tokens the result is about; empty where it is about the text.
    pub fn token_infos(&self) -> Vec<&TokenInfo> {
        let vectors = self.embeddings.iter().flatten().map(|it| &it.token_info);
        let predictions = self.tokens.iter().flatten().map(|it| &it.token_info);
        vectors.chain(predictions).collect()
    }

    /// Every label of the result.
    pub fn labels(&self) -> Vec<&str> {
        let tokens = self.tokens.iter().flatten().map(|it| it.label.as_str());
        tokens.chain(self.predicted_label.as_deref()).collect()
    }
}
