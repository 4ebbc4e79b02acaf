//! Between the messages of the services and the runtime's types.

use super::schema::{
    embedding, options as schema, sentence_embedding as sentence,
    sequence_classification as sequence, token, token_classification as tokens,
};
use encoderfile::output::TokenInfo;
use encoderfile::{
    Options, Overflow, Prediction, Role, Side, TokenUsage, TruncationStrategy, Values,
};
use tonic::Status;

pub(super) fn options(message: schema::Options) -> Result<Options, Status> {
    let unknown = |field: &str| Status::invalid_argument(format!("options.{field}: no such value"));
    Ok(Options {
        overflow: match schema::Overflow::try_from(message.overflow) {
            Ok(schema::Overflow::Truncate) => Overflow::Truncate,
            Ok(schema::Overflow::Error) => Overflow::Error,
            Ok(schema::Overflow::Mean) => Overflow::Mean,
            Err(_) => return Err(unknown("overflow")),
        },
        truncation_side: match schema::Side::try_from(message.truncation_side) {
            Ok(schema::Side::Unspecified) => None,
            Ok(schema::Side::Left) => Some(Side::Left),
            Ok(schema::Side::Right) => Some(Side::Right),
            Err(_) => return Err(unknown("truncation_side")),
        },
        truncation_strategy: match schema::TruncationStrategy::try_from(message.truncation_strategy)
        {
            Ok(schema::TruncationStrategy::Unspecified) => None,
            Ok(schema::TruncationStrategy::LongestFirst) => Some(TruncationStrategy::LongestFirst),
            Ok(schema::TruncationStrategy::OnlyFirst) => Some(TruncationStrategy::OnlyFirst),
            Ok(schema::TruncationStrategy::OnlySecond) => Some(TruncationStrategy::OnlySecond),
            Err(_) => return Err(unknown("truncation_strategy")),
        },
        max_tokens: message.max_tokens.map(|it| it as usize),
        normalize: message.normalize,
        dimensions: message.dimensions.map(|it| it as usize),
        prompt: message.prompt,
        prompt_name: message.prompt_name,
        role: match schema::Role::try_from(message.role) {
            Ok(schema::Role::Unspecified) => None,
            Ok(schema::Role::Query) => Some(Role::Query),
            Ok(schema::Role::Document) => Some(Role::Document),
            Err(_) => return Err(unknown("role")),
        },
        special_tokens: message.special_tokens,
        ..Options::default()
    })
}

pub(super) fn token_embeddings(
    prediction: Prediction,
) -> Option<embedding::TokenEmbeddingSequence> {
    let Values::Embedding { embeddings } = prediction.values else {
        return None;
    };
    let embeddings = embeddings.into_iter().map(|it| embedding::TokenEmbedding {
        embedding: it.embedding,
        token_info: Some(token_info(it.token_info)),
    });
    Some(embedding::TokenEmbeddingSequence {
        embeddings: embeddings.collect(),
        usage: prediction.usage.map(usage),
    })
}

pub(super) fn sentence_embedding(prediction: Prediction) -> Option<sentence::SentenceEmbedding> {
    let Values::SentenceEmbedding { embedding } = prediction.values else {
        return None;
    };
    Some(sentence::SentenceEmbedding {
        embedding,
        usage: prediction.usage.map(usage),
    })
}

pub(super) fn classes(prediction: Prediction) -> Option<sequence::SequenceClassificationResult> {
    let Values::SequenceClassification {
        logits,
        scores,
        predicted_index,
        predicted_label,
    } = prediction.values
    else {
        return None;
    };
    Some(sequence::SequenceClassificationResult {
        logits,
        scores,
        predicted_index: number(predicted_index),
        predicted_label: Some(predicted_label),
        usage: prediction.usage.map(usage),
    })
}

pub(super) fn token_classes(prediction: Prediction) -> Option<tokens::TokenClassificationResult> {
    let Values::TokenClassification { tokens: classes } = prediction.values else {
        return None;
    };
    let classes = classes.into_iter().map(|it| tokens::TokenClassification {
        token_info: Some(token_info(it.token_info)),
        logits: it.logits,
        scores: it.scores,
        label: it.label,
        score: it.score,
    });
    Some(tokens::TokenClassificationResult {
        tokens: classes.collect(),
        usage: prediction.usage.map(usage),
    })
}

fn token_info(info: TokenInfo) -> token::TokenInfo {
    token::TokenInfo {
        token: info.token,
        token_id: info.token_id,
        start: number(info.start),
        end: number(info.end),
    }
}

fn usage(usage: TokenUsage) -> schema::TokenUsage {
    schema::TokenUsage {
        tokens_total: number(usage.tokens_total),
        tokens_used: number(usage.tokens_used),
        windows: usage.windows.map(number),
    }
}

/// Texts are far shorter than four billion characters.
fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
