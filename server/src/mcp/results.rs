//! What tools give back: JSON for programs, and as text for language models.

use super::arguments::Metadata;
use encoderfile::Prediction;
use encoderfile::output::Entity;
use encoderfile_dialects::failure::Failure;
use encoderfile_dialects::service::Report;
use rmcp::model::{CallToolResult, ContentBlock};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::task::block_in_place;
use utoipa::ToSchema;

/// A sentence embedding for each text.
#[derive(Serialize, ToSchema)]
pub(super) struct Embedded {
    pub(super) embeddings: Vec<Vec<f32>>,
    /// Vectors may only be compared with others of the same one.
    pub(super) embedding_space_id: String,
}

/// One list for all texts, best first.
#[derive(Serialize, ToSchema)]
pub(super) struct ScoredTexts {
    pub(super) results: Vec<Scored>,
}

/// A text's place among those of the call and how well it fits.
#[derive(Serialize, ToSchema)]
pub(super) struct Scored {
    pub(super) index: usize,
    pub(super) score: f32,
    pub(super) text: String,
}

/// The labels of each text.
#[derive(Serialize, ToSchema)]
pub(super) struct Classified {
    pub(super) results: Vec<Vec<Class>>,
}

/// A label and its score.
#[derive(Serialize, ToSchema)]
pub(super) struct Class {
    pub(super) label: String,
    pub(super) score: f32,
}

/// What was found in each text.
#[derive(Serialize, ToSchema)]
pub(super) struct Entities {
    pub(super) results: Vec<Vec<Found>>,
}

/// What was found in a text, spelt as the text spells it.
#[derive(Serialize, ToSchema)]
pub(super) struct Found {
    text: String,
    label: String,
    score: f32,
    /// In code points.
    start: usize,
    /// In code points.
    end: usize,
}

/// Results as `infer` gives them.
#[derive(Serialize, ToSchema)]
pub(super) struct Predictions {
    pub(super) results: Vec<Prediction>,
}

/// Results as `/predict` gives them.
#[derive(Serialize, ToSchema)]
pub(super) struct Encoded {
    pub(super) results: Vec<Prediction>,
    pub(super) model_id: String,
    /// What came with the texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Metadata>)]
    pub(super) metadata: Option<Map<String, Value>>,
}

/// A result, and what became of texts that were too long.
#[derive(Serialize)]
struct Reported<T> {
    #[serde(flatten)]
    result: T,
    #[serde(flatten)]
    cut: Cut,
}

/// What every result may say beside itself.
#[derive(Serialize, ToSchema)]
pub(super) struct Cut {
    /// The texts that were cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<Vec<Truncated>>,
    /// How much of the source that texts are compared with was used, if it was cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated_source: Option<Used>,
}

/// How much of a text was used.
#[derive(Serialize, ToSchema)]
struct Truncated {
    /// The text's place among those of the call.
    index: usize,
    tokens_total: usize,
    tokens_used: usize,
}

/// How much of the source was used.
#[derive(Serialize, ToSchema)]
struct Used {
    tokens_total: usize,
    tokens_used: usize,
}

/// A result with its report.
pub(super) fn reported(result: impl Serialize, report: &Report) -> CallToolResult {
    let cut = report.truncated.iter();
    let cut = cut.map(|(index, tokens_total, tokens_used)| Truncated {
        index: *index,
        tokens_total: *tokens_total,
        tokens_used: *tokens_used,
    });
    let truncated: Vec<Truncated> = cut.collect();
    let truncated = (!truncated.is_empty()).then_some(truncated);
    let source = report.truncated_source;
    let cut = Cut {
        truncated,
        truncated_source: source.map(|(tokens_total, tokens_used)| Used {
            tokens_total,
            tokens_used,
        }),
    };
    plain(&Reported { result, cut })
}

/// A result as it is.
pub(super) fn plain(of: &impl Serialize) -> CallToolResult {
    match block_in_place(|| encoderfile_dialects::json::value(of)) {
        Ok(value) => CallToolResult::structured(value),
        Err(error) => CallToolResult::error(vec![ContentBlock::text(error.to_string())]),
    }
}

/// What went wrong, for the model to read and correct.
pub(super) fn failed(failure: &Failure) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(failure.to_string())])
}

/// Labels with their scores, best first.
pub(super) fn classes(labels: &[String], scores: &[f32]) -> Vec<Class> {
    let classes = labels.iter().zip(scores);
    let mut classes: Vec<Class> = classes
        .map(|(label, score)| Class {
            label: label.clone(),
            score: *score,
        })
        .collect();
    classes.sort_by(|a, b| b.score.total_cmp(&a.score));
    classes
}

/// Entities as the text spells them.
pub(super) fn spelt(entities: Vec<Entity>, text: &str) -> Vec<Found> {
    let characters: Vec<char> = text.chars().collect();
    let found = entities.into_iter().map(|entity| Found {
        text: characters
            .get(entity.start..entity.end)
            .unwrap_or_default()
            .iter()
            .collect(),
        label: entity.label.name().to_owned(),
        score: entity.score,
        start: entity.start,
        end: entity.end,
    });
    found.collect()
}
