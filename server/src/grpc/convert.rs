//! Between the messages of the services and the runtime's types.

use super::schema::{
    embedding, fill_mask, options as schema, sentence_embedding as sentence,
    sequence_classification as sequence, sparse_embedding as sparse, token,
    token_classification as tokens,
};
use encoderfile::output::{Entity, Filling, SparseValue, TokenInfo, TokenPrediction, TokenVector};
use encoderfile::{
    Aggregation, Options, Overflow, Prediction, Role, Side, TokenUsage, TruncationStrategy, Values,
    Vectors,
};
use tonic::Status;

#[allow(
    clippy::too_many_lines,
    reason = "a line or two for each of the options"
)]
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
        unpooled: message.unpooled,
        vectors: match schema::Vectors::try_from(message.vectors) {
            Ok(schema::Vectors::Unspecified) => None,
            Ok(schema::Vectors::Dense) => Some(Vectors::Dense),
            Ok(schema::Vectors::Sparse) => Some(Vectors::Sparse),
            Ok(schema::Vectors::Colbert) => Some(Vectors::Colbert),
            Ok(schema::Vectors::All) => Some(Vectors::All),
            Err(_) => return Err(unknown("vectors")),
        },
        special_tokens: message.special_tokens,
        aggregation: match schema::Aggregation::try_from(message.aggregation) {
            Ok(schema::Aggregation::Unspecified) => None,
            Ok(schema::Aggregation::None) => Some(Aggregation::None),
            Ok(schema::Aggregation::Simple) => Some(Aggregation::Simple),
            Ok(schema::Aggregation::First) => Some(Aggregation::First),
            Ok(schema::Aggregation::Average) => Some(Aggregation::Average),
            Ok(schema::Aggregation::Max) => Some(Aggregation::Max),
            Err(_) => return Err(unknown("aggregation")),
        },
        ignore_labels: message.ignore_labels.map(|it| it.names),
        stride: message.stride.map(|it| it as usize),
        query: message.query,
        labels: message.labels.map(|it| it.names),
        template: message.template,
        multi_label: message.multi_label,
        raw_scores: message.raw_scores,
        top_k: message.top_k.map(|it| it as usize),
        targets: message.targets.map(|it| it.names),
    })
}

pub(super) fn token_embeddings(
    prediction: Prediction,
) -> Option<embedding::TokenEmbeddingSequence> {
    let (embeddings, score) = match prediction.values {
        Values::Embedding { embeddings } => (token_vectors(embeddings), None),
        Values::Score { score } => (Vec::new(), Some(score)),
        _ => return None,
    };
    Some(embedding::TokenEmbeddingSequence {
        embeddings,
        usage: prediction.usage.map(usage),
        score,
    })
}

fn token_vectors(vectors: Vec<TokenVector>) -> Vec<embedding::TokenEmbedding> {
    let vectors = vectors.into_iter().map(|it| embedding::TokenEmbedding {
        embedding: it.embedding,
        token_info: Some(token_info(it.token_info)),
    });
    vectors.collect()
}

pub(super) fn sentence_embedding(prediction: Prediction) -> Option<sentence::SentenceEmbedding> {
    let result = sentence::SentenceEmbedding {
        usage: prediction.usage.map(usage),
        ..sentence::SentenceEmbedding::default()
    };
    Some(match prediction.values {
        Values::SentenceEmbedding { embedding } => sentence::SentenceEmbedding {
            embedding,
            ..result
        },
        Values::Embedding { embeddings } => sentence::SentenceEmbedding {
            tokens: token_vectors(embeddings),
            ..result
        },
        Values::SparseEmbedding { sparse_embedding } => sentence::SentenceEmbedding {
            sparse: sparse_values(sparse_embedding),
            ..result
        },
        Values::HybridEmbedding {
            embedding,
            sparse_embedding,
            embeddings,
        } => sentence::SentenceEmbedding {
            embedding,
            sparse: sparse_values(sparse_embedding),
            tokens: token_vectors(embeddings),
            ..result
        },
        Values::Score { score } => sentence::SentenceEmbedding {
            score: Some(score),
            ..result
        },
        _ => return None,
    })
}

fn sparse_values(weights: Vec<SparseValue>) -> Vec<sparse::SparseValue> {
    let values = weights.into_iter().map(|it| sparse::SparseValue {
        index: it.index,
        value: it.value,
    });
    values.collect()
}

pub(super) fn sparse_embedding(prediction: Prediction) -> Option<sparse::SparseEmbedding> {
    let Values::SparseEmbedding { sparse_embedding } = prediction.values else {
        return None;
    };
    Some(sparse::SparseEmbedding {
        values: sparse_values(sparse_embedding),
        usage: prediction.usage.map(usage),
    })
}

pub(super) fn classes(prediction: Prediction) -> Option<sequence::SequenceClassificationResult> {
    let result = sequence::SequenceClassificationResult {
        usage: prediction.usage.map(usage),
        ..sequence::SequenceClassificationResult::default()
    };
    Some(match prediction.values {
        Values::SequenceClassification {
            logits,
            scores,
            predicted_index,
            predicted_label,
        } => sequence::SequenceClassificationResult {
            logits,
            scores,
            predicted_index: number(predicted_index),
            predicted_label: Some(predicted_label),
            ..result
        },
        Values::ZeroShot { labels, scores } => sequence::SequenceClassificationResult {
            labels,
            scores,
            ..result
        },
        Values::Score { score } => sequence::SequenceClassificationResult {
            score: Some(score),
            ..result
        },
        _ => return None,
    })
}

pub(super) fn token_classes(prediction: Prediction) -> Option<tokens::TokenClassificationResult> {
    let result = tokens::TokenClassificationResult {
        usage: prediction.usage.map(usage),
        ..tokens::TokenClassificationResult::default()
    };
    Some(match prediction.values {
        Values::TokenClassification { tokens: classes } => tokens::TokenClassificationResult {
            tokens: classes.into_iter().map(token_class).collect(),
            ..result
        },
        Values::Entities { entities } => tokens::TokenClassificationResult {
            entities: entities.into_iter().map(entity).collect(),
            ..result
        },
        _ => return None,
    })
}

fn token_class(prediction: TokenPrediction) -> tokens::TokenClassification {
    tokens::TokenClassification {
        token_info: Some(token_info(prediction.token_info)),
        logits: prediction.logits,
        scores: prediction.scores,
        label: prediction.label,
        score: prediction.score,
    }
}

fn entity(entity: Entity) -> tokens::Entity {
    tokens::Entity {
        label: entity.label.name().into(),
        score: entity.score,
        word: entity.word,
        start: number(entity.start),
        end: number(entity.end),
    }
}

pub(super) fn masks(prediction: Prediction) -> Option<fill_mask::FillMaskResult> {
    let Values::FillMask { masks } = prediction.values else {
        return None;
    };
    let filling = |it: Filling| fill_mask::Filling {
        score: it.score,
        token: it.token,
        token_str: it.token_str,
        sequence: it.sequence,
    };
    let masks = masks.into_iter().map(|fillings| fill_mask::Mask {
        fillings: fillings.into_iter().map(filling).collect(),
    });
    Some(fill_mask::FillMaskResult {
        masks: masks.collect(),
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

#[cfg(test)]
mod tests {
    use super::{options, schema};
    use encoderfile::{OPTIONS, OptionKind, OptionRow, Options, Surface};
    use prost::Message;
    use prost::encoding::{encode_varint, string};
    use serde_json::{Value, json};

    const SCHEMA: &str = include_str!("../../../proto/services/options.proto");

    /// The number that a field or value of the schema has.
    fn number(line: &str) -> Option<u32> {
        line.trim_end()
            .strip_suffix(';')?
            .rsplit(' ')
            .next()?
            .parse()
            .ok()
    }

    /// The field's line: `optional uint32 top_k = 40;`.
    fn field(row: &OptionRow) -> &'static str {
        let is_it = |line: &&str| line.contains(&format!(" {} = ", row.name));
        SCHEMA.lines().find(is_it).unwrap()
    }

    /// A message that has only this option: its bytes as another implementation writes
    /// them, and the same in JSON.
    fn messages(row: &OptionRow) -> Vec<(Vec<u8>, Value)> {
        let tag = number(field(row)).unwrap();
        let varint = |value: u32| {
            let mut bytes = Vec::new();
            encode_varint(u64::from(tag << 3), &mut bytes);
            encode_varint(value.into(), &mut bytes);
            bytes
        };
        let text = |tag: u32, value: &str| {
            let mut bytes = Vec::new();
            string::encode(tag, &value.to_owned(), &mut bytes);
            bytes
        };
        match row.kind {
            OptionKind::Flag | OptionKind::Bool => vec![(varint(1), json!(true))],
            OptionKind::Count => vec![(varint(7), json!(7))],
            OptionKind::Text => vec![(text(tag, "a"), json!("a"))],
            OptionKind::Names | OptionKind::Texts => {
                let names = text(1, "a");
                let mut bytes = Vec::new();
                encode_varint(u64::from(tag << 3 | 2), &mut bytes);
                encode_varint(names.len() as u64, &mut bytes);
                bytes.extend(names);
                vec![(bytes, json!(["a"]))]
            }
            OptionKind::Choice(values) => {
                let kind = field(row).trim().split(' ').next().unwrap();
                let (_, body) = SCHEMA.split_once(&format!("enum {kind} {{")).unwrap();
                let (body, _) = body.split_once('}').unwrap();
                let value = |(name, _): &(&str, &str)| {
                    let ending = format!("_{} = ", name.to_uppercase());
                    let line = body.lines().find(|line| line.contains(&ending)).unwrap();
                    (varint(number(line).unwrap()), json!(name))
                };
                values.iter().map(value).collect()
            }
        }
    }

    #[allow(clippy::disallowed_methods, reason = "as tonic decodes it")]
    #[test]
    fn each_option_is_the_one_of_its_name_with_each_of_its_values() {
        for row in OPTIONS {
            if row.absence(Surface::Grpc).is_some() {
                continue;
            }
            for (bytes, value) in messages(row) {
                let message = schema::Options::decode(&*bytes).unwrap();
                let expected: Options = serde_json::from_value(json!({row.name: value})).unwrap();
                assert_eq!(options(message).unwrap(), expected, "{}: {value}", row.name);
            }
        }
    }
}
