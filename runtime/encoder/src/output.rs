//! Results, in upstream's JSON shapes.

use crate::tokenizer::Tokens;
use serde::Serialize;

/// The result for one text.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Prediction {
    /// What the task computes.
    #[serde(flatten)]
    pub values: Values,
    /// Present where the text was truncated or read in several windows.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub usage: Option<TokenUsage>,
    /// How many tokens were computed for it, in all its sequences.
    #[serde(skip)]
    pub tokens: usize,
}

/// How much of a text was used. Special tokens and prompt are counted, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TokenUsage {
    /// Tokens of the whole text.
    pub tokens_total: usize,
    /// Tokens the model saw.
    pub tokens_used: usize,
    /// Sequences the text was read in, where those were several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<usize>,
}

/// The values of a prediction, by task.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Values {
    /// Token embeddings.
    Embedding {
        /// In text order.
        embeddings: Vec<TokenVector>,
    },
    /// A sentence embedding.
    SentenceEmbedding {
        /// `[dimensions]`.
        embedding: Vec<f32>,
    },
    /// One weight for each vocabulary entry that has one.
    SparseEmbedding {
        /// By index.
        sparse_embedding: Vec<SparseValue>,
    },
    /// All that a hybrid model makes of one pass.
    HybridEmbedding {
        /// `[dimensions]`.
        embedding: Vec<f32>,
        /// By index.
        sparse_embedding: Vec<SparseValue>,
        /// In text order.
        embeddings: Vec<TokenVector>,
    },
    /// A logit and a score for each label.
    SequenceClassification {
        /// Before the activation, `[labels]`.
        logits: Vec<f32>,
        /// After it, `[labels]`; logits where the request asks for raw scores.
        scores: Vec<f32>,
        /// Of the largest score.
        predicted_index: usize,
        /// Of the largest score.
        predicted_label: String,
    },
    /// The labels of a request and how well each fits, best first.
    ZeroShot {
        /// `[labels]`.
        labels: Vec<String>,
        /// `[labels]`: probabilities, or logits of entailment where the request asks for raw
        /// scores.
        scores: Vec<f32>,
    },
    /// How well the text answers the query.
    Score {
        /// After the activation; the logit where the request asks for raw scores.
        score: f32,
    },
    /// A label for each token.
    TokenClassification {
        /// In text order.
        tokens: Vec<TokenPrediction>,
    },
    /// The spans that have a label.
    Entities {
        /// In text order.
        entities: Vec<Entity>,
    },
    /// The candidates for each mask token.
    FillMask {
        /// The masks in text order, and for each its candidates, likeliest first.
        masks: Vec<Vec<Filling>>,
    },
}

impl Values {
    /// Every number that was computed, in no order that means anything.
    pub(crate) fn numbers(&self) -> Box<dyn Iterator<Item = f32> + '_> {
        match self {
            Self::Embedding { embeddings } => {
                Box::new(embeddings.iter().flat_map(|it| &it.embedding).copied())
            }
            Self::SentenceEmbedding { embedding } => Box::new(embedding.iter().copied()),
            Self::HybridEmbedding {
                embedding,
                sparse_embedding,
                embeddings,
            } => {
                let weights = sparse_embedding.iter().map(|it| it.value);
                let vectors = embeddings.iter().flat_map(|it| &it.embedding).copied();
                Box::new(embedding.iter().copied().chain(weights).chain(vectors))
            }
            Self::SparseEmbedding { sparse_embedding } => {
                Box::new(sparse_embedding.iter().map(|it| it.value))
            }
            Self::SequenceClassification { logits, scores, .. } => {
                Box::new(logits.iter().chain(scores).copied())
            }
            Self::ZeroShot { scores, .. } => Box::new(scores.iter().copied()),
            Self::Score { score } => Box::new(std::iter::once(*score)),
            Self::TokenClassification { tokens } => {
                let rows = tokens
                    .iter()
                    .flat_map(|it| it.logits.iter().chain(&it.scores));
                Box::new(rows.copied())
            }
            Self::Entities { entities } => Box::new(entities.iter().map(|it| it.score)),
            Self::FillMask { masks } => Box::new(masks.iter().flatten().map(|it| it.score)),
        }
    }
}

/// The weight of a vocabulary entry.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SparseValue {
    /// Index into the vocabulary.
    pub index: u32,
    /// Above 0.
    pub value: f32,
}

/// A labelled part of a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Entity {
    /// What it is.
    #[serde(flatten)]
    pub label: EntityLabel,
    /// The probability of the label, by softmax; of several tokens or words the mean.
    pub score: f32,
    /// As the tokenizer puts its tokens together; [`Entity::start`] and
    /// [`Entity::end`] say how the text spells it.
    pub word: String,
    /// First code point of the text.
    pub start: usize,
    /// One past the last code point.
    pub end: usize,
}

/// The label of an entity, by aggregation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum EntityLabel {
    /// A single token.
    Token {
        /// Its label.
        entity: String,
        /// Its position, special tokens counted.
        index: usize,
    },
    /// One or more tokens or words.
    Group {
        /// Their label without `B-` and `I-`.
        entity_group: String,
    },
}

impl EntityLabel {
    /// The label.
    pub fn name(&self) -> &str {
        match self {
            Self::Token { entity, .. } => entity,
            Self::Group { entity_group } => entity_group,
        }
    }
}

/// A candidate token for a mask.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Filling {
    /// Its probability among the whole vocabulary, by softmax.
    pub score: f32,
    /// Index into the vocabulary.
    pub token: u32,
    /// The token as text.
    pub token_str: String,
    /// The text with the token in place of the mask.
    pub sequence: String,
}

/// A text and how well it answers a query.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Ranked {
    /// Its place among the texts of the request, from 0.
    pub index: usize,
    /// After the activation; the logit where the request asks for raw scores.
    pub score: f32,
    /// Present where the pair was truncated.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub usage: Option<TokenUsage>,
}

/// The results of a query, best first and at most `top_k`; texts that score
/// the same stay in their order.
pub fn rank(predictions: &[Prediction], top_k: Option<usize>) -> Vec<Ranked> {
    let scores = predictions.iter().enumerate();
    let ranked = scores.filter_map(|(index, prediction)| match prediction.values {
        Values::Score { score } => Some(Ranked {
            index,
            score,
            usage: prediction.usage,
        }),
        _ => None,
    });
    let mut ranked: Vec<Ranked> = ranked.collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
    ranked.truncate(top_k.unwrap_or(usize::MAX));
    ranked
}

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
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

/// The embedding of a token.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TokenVector {
    /// `[hidden_size]`.
    pub embedding: Vec<f32>,
    /// Which token.
    pub token_info: TokenInfo,
}

/// The label of a token.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TokenPrediction {
    /// Which token.
    pub token_info: TokenInfo,
    /// Before the activation, `[labels]`.
    pub logits: Vec<f32>,
    /// After it, `[labels]`.
    pub scores: Vec<f32>,
    /// The label with the largest score.
    pub label: String,
    /// That score, after the model's activation.
    pub score: f32,
}

/// A tokenised text or pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tokenized {
    /// In the order the model sees them.
    pub tokens: Vec<TokenizedToken>,
    /// In tokens, special tokens included: of the whole text.
    pub tokens_total: usize,
    /// In tokens, special tokens included: what the model sees.
    pub tokens_used: usize,
}

/// One of its tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenizedToken {
    /// Which token.
    #[serde(flatten)]
    pub info: TokenInfo,
    /// Whether the tokenizer added it, rather than finding it in the text.
    pub special: bool,
}

impl From<Tokens> for Tokenized {
    fn from(tokens: Tokens) -> Self {
        let tokens_used = tokens.ids.len();
        let columns = tokens
            .tokens
            .into_iter()
            .zip(tokens.ids)
            .zip(tokens.offsets)
            .zip(tokens.special);
        let list = columns.map(
            |(((token, token_id), (start, end)), special)| TokenizedToken {
                info: TokenInfo {
                    token,
                    token_id,
                    start,
                    end,
                },
                special,
            },
        );
        Self {
            tokens: list.collect(),
            tokens_total: tokens.total,
            tokens_used,
        }
    }
}
