//! `task:` of a model: our names, and the hub's.

use anyhow::ensure;
use encoderfile::manifest::{Manifest, Task};
use schemars::JsonSchema;
use serde::Deserialize;

/// What a model computes: a task of this program (`sentence_embedding`), or a pipeline tag of the
/// hub (`sentence-similarity`).
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "task")]
pub enum ModelTask {
    /// Token embeddings.
    Embedding,
    /// A sentence embedding.
    SentenceEmbedding,
    /// Weights of vocabulary entries (SPLADE).
    SparseEmbedding,
    /// Token embeddings of a query or a document (ColBERT).
    LateInteraction,
    /// Logits and scores per label.
    SequenceClassification,
    /// A label per token, or labelled spans.
    TokenClassification,
    /// Candidate tokens for each mask.
    FillMask,
    /// The hub's: embeddings of the kind that the model's files say, or else of tokens.
    #[serde(rename = "feature-extraction")]
    HubFeatureExtraction,
    /// The hub's: embeddings of the kind that the model's files say, or else of sentences.
    #[serde(rename = "sentence-similarity")]
    HubSentenceSimilarity,
    /// The hub's: logits and scores per label.
    #[serde(rename = "text-classification")]
    HubTextClassification,
    /// The hub's: a classifier with a label of entailment.
    #[serde(rename = "zero-shot-classification")]
    HubZeroShotClassification,
    /// The hub's: a classifier with one logit, or late interaction where the model's files say so.
    #[serde(rename = "text-ranking")]
    HubTextRanking,
    /// The hub's: a label per token, or labelled spans.
    #[serde(rename = "token-classification")]
    HubTokenClassification,
    /// The hub's: candidate tokens for each mask.
    #[serde(rename = "fill-mask")]
    HubFillMask,
}

impl ModelTask {
    /// The task that is built of a model whose files say none of [`Self::as_stated`].
    pub const fn task(self) -> Task {
        match self {
            Self::Embedding | Self::HubFeatureExtraction => Task::Embedding,
            Self::SentenceEmbedding | Self::HubSentenceSimilarity => Task::SentenceEmbedding,
            Self::SparseEmbedding => Task::SparseEmbedding,
            Self::LateInteraction => Task::LateInteraction,
            Self::SequenceClassification
            | Self::HubTextClassification
            | Self::HubZeroShotClassification
            | Self::HubTextRanking => Task::SequenceClassification,
            Self::TokenClassification | Self::HubTokenClassification => Task::TokenClassification,
            Self::FillMask | Self::HubFillMask => Task::FillMask,
        }
    }

    /// The tasks that go before it where the model's files say one of them: a tag of the hub is
    /// for several.
    pub const fn as_stated(self) -> &'static [Task] {
        match self {
            Self::HubFeatureExtraction => &[
                Task::SentenceEmbedding,
                Task::SparseEmbedding,
                Task::LateInteraction,
            ],
            Self::HubSentenceSimilarity => &[Task::SparseEmbedding, Task::LateInteraction],
            Self::HubTextRanking => &[Task::LateInteraction],
            _ => &[],
        }
    }

    /// Refuses a finished model that is of the task, but cannot do what the tag promises.
    ///
    /// # Errors
    /// A message alone, which says what the model lacks.
    pub fn check(self, manifest: &Manifest) -> anyhow::Result<()> {
        let Some(model) = &manifest.model else {
            return Ok(());
        };
        let pipeline = &model.pipeline;
        let is_classifier = model.task == Task::SequenceClassification;
        ensure!(
            self != Self::HubZeroShotClassification || pipeline.entailment.is_some(),
            "`task`: zero-shot-classification needs a label that is called entailment, and the labels are {}",
            pipeline.labels.join(", ")
        );
        ensure!(
            self != Self::HubTextRanking || !is_classifier || pipeline.labels.len() == 1,
            "`task`: text-ranking needs a model with one logit, and this one has {}",
            pipeline.labels.len()
        );
        Ok(())
    }
}
