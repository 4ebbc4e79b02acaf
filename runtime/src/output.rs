//! Results, in upstream's JSON shapes.

use serde::Serialize;

/// The result for one text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// What the task computes.
    #[serde(flatten)]
    pub values: Values,
    /// Present where the text was cut.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<TokenUsage>,
}

/// How much of a text was used. Special tokens are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TokenUsage {
    /// Tokens of the whole text.
    pub tokens_total: usize,
    /// Tokens the model saw.
    pub tokens_used: usize,
}

/// The values of a prediction, by task.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Values {
    /// One vector a token.
    Embedding {
        /// In text order.
        embeddings: Vec<TokenVector>,
    },
    /// One vector for the text.
    SentenceEmbedding {
        /// `[modes × hidden_size]`.
        embedding: Vec<f32>,
    },
    /// One score a label.
    SequenceClassification {
        /// Before the activation, `[labels]`.
        logits: Vec<f32>,
        /// After it, `[labels]`.
        scores: Vec<f32>,
        /// Of the largest score.
        predicted_index: usize,
        /// Of the largest score.
        predicted_label: String,
    },
    /// One label a token.
    TokenClassification {
        /// In text order.
        tokens: Vec<TokenPrediction>,
    },
}

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenInfo {
    /// As the vocabulary spells it.
    pub token: String,
    /// Index into the vocabulary.
    pub token_id: u32,
    /// First code point of the text; 0 for special tokens.
    pub start: usize,
    /// One past the last code point; 0 for special tokens.
    pub end: usize,
}

/// The vector of a token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenVector {
    /// `[hidden_size]`.
    pub embedding: Vec<f32>,
    /// Which token.
    pub token_info: TokenInfo,
}

/// The label of a token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenPrediction {
    /// Which token.
    pub token_info: TokenInfo,
    /// Before the activation, `[labels]`.
    pub logits: Vec<f32>,
    /// After it, `[labels]`.
    pub scores: Vec<f32>,
    /// The label with the largest score.
    pub label: String,
    /// That score.
    pub score: f32,
}
