//! Results of `encoderfile:encoder` as the command line prints them, so that they can be compared.

use crate::component_host::types;
use serde_json::{Map, Value, json};

/// `infer` of a model for sentence embeddings.
pub fn embedding(result: &types::Embedding) -> Value {
    with_usage(json!({ "embedding": result.values }), result.usage)
}

/// `infer` of a model for token embeddings, or with `--unpooled`.
pub fn token_embeddings(result: &types::TokenEmbeddings) -> Value {
    let tokens = result.tokens.iter().map(|it| {
        let info =
            json!({ "token": it.token, "token_id": it.id, "start": it.start, "end": it.end });
        json!({ "token_info": info, "embedding": it.values })
    });
    let tokens: Vec<Value> = tokens.collect();
    with_usage(json!({ "embeddings": tokens }), result.usage)
}

/// `infer` of a model for sparse embeddings.
pub fn sparse_embedding(result: &types::SparseEmbedding) -> Value {
    let values = result.values.iter();
    let values: Vec<Value> = values
        .map(|it| json!({ "index": it.index, "value": it.value }))
        .collect();
    with_usage(json!({ "sparse_embedding": values }), result.usage)
}

/// `infer` of a model for sequence classification: its scores in the order of the `labels`.
pub fn classification(result: &types::Classification, labels: &[String]) -> Value {
    let score = |label: &String| {
        let found = result.classes.iter().find(|it| it.label == *label);
        found.map(|it| it.score)
    };
    let scores: Vec<Option<f32>> = labels.iter().map(score).collect();
    let best = result.classes.first().map(|it| &it.label);
    let row = json!({ "scores": scores, "predicted_label": best });
    with_usage(row, result.usage)
}

/// `infer` with `--labels`.
pub fn zero_shot(result: &types::Classification) -> Value {
    let (labels, scores): (Vec<&String>, Vec<f32>) = result
        .classes
        .iter()
        .map(|it| (&it.label, it.score))
        .unzip();
    with_usage(json!({ "labels": labels, "scores": scores }), result.usage)
}

/// `infer` with `--aggregation`.
pub fn entities(result: &types::EntityList) -> Value {
    let entities = result.entities.iter().map(|it| {
        json!({
            "entity_group": it.label, "score": it.score, "word": it.word, "start": it.start, "end": it.end,
        })
    });
    let entities: Vec<Value> = entities.collect();
    with_usage(json!({ "entities": entities }), result.usage)
}

/// `infer` of a model for fill-mask.
pub fn filled_text(result: &types::FilledText) -> Value {
    let masks = result.masks.iter().map(|mask| {
        let fillings = mask.iter().map(|it| {
            json!({
                "score": it.score, "token": it.token, "token_str": it.token_text, "sequence": it.sequence,
            })
        });
        fillings.collect::<Value>()
    });
    let masks: Vec<Value> = masks.collect();
    with_usage(json!({ "masks": masks }), result.usage)
}

/// A line of `infer` with `--query`.
pub fn ranked(result: &types::Ranked) -> Value {
    let row = json!({ "index": result.index, "score": result.score });
    with_usage(row, result.usage)
}

/// A result of `tokenize`.
pub fn tokenized(result: &types::TokenList) -> Value {
    let tokens = result.tokens.iter().map(|it| {
        json!({
            "token": it.text, "token_id": it.id, "start": it.start, "end": it.end, "special": it.special,
        })
    });
    let tokens: Vec<Value> = tokens.collect();
    let all = tokens.len();
    let row = json!({ "tokens": tokens, "tokens_total": all, "tokens_used": all });
    with_usage(row, result.usage)
}

/// The result with how much of the text it is of, where that is said.
fn with_usage(mut row: Value, usage: Option<types::Usage>) -> Value {
    if let (Some(usage), Some(row)) = (usage, row.as_object_mut()) {
        let mut said = Map::from_iter([
            ("tokens_total".to_owned(), usage.tokens_total.into()),
            ("tokens_used".to_owned(), usage.tokens_used.into()),
        ]);
        said.extend(usage.windows.map(|it| ("windows".to_owned(), it.into())));
        row.extend(said);
    }
    row
}

/// A printed result whose numbers are those that the printed digits stand for, in float32.
pub fn in_float32(printed: &Value) -> Value {
    match printed {
        Value::Number(number) if number.is_f64() => {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "they were float32 when they were printed"
            )]
            let value = number.as_f64().map(|it| it as f32);
            json!(value)
        }
        Value::Array(values) => values.iter().map(in_float32).collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(name, value)| (name.clone(), in_float32(value)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}
