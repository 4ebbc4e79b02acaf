//! `info`: what a file contains.

use super::{is_per_token, println};
use encoderfile_runtime::Payload;
use encoderfile_runtime::proto::module::Step;
use encoderfile_runtime::proto::{Manifest, Pipeline, Task};
use serde_json::{Value, json};

pub(super) fn print(payload: &Payload, as_json: bool) -> anyhow::Result<()> {
    let info = describe(payload);
    if as_json {
        return println(&serde_json::to_string_pretty(&info)?);
    }
    let Value::Object(fields) = info else {
        return Ok(());
    };
    for (name, value) in fields {
        println(&format!("{name:<20} {}", plain(&value)))?;
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "none".into(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Null => "none".into(),
        Value::Object(fields) if fields.is_empty() => "none".into(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name} {}", plain(value)))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    }
}

fn describe(payload: &Payload) -> Value {
    let manifest = payload.manifest();
    let default = Pipeline::default();
    let pipeline = manifest.pipeline.as_ref().unwrap_or(&default);
    let provenance = manifest.provenance.clone().unwrap_or_default();
    let weights = manifest.stored_weights.unwrap_or_default();
    let sizes: serde_json::Map<String, Value> = payload
        .artifacts()
        .map(|(kind, _, length)| (kind.to_string(), length.into()))
        .collect();
    let prompts = pipeline.prompts.iter();
    let prompts: serde_json::Map<String, Value> = prompts
        .map(|prompt| (prompt.name.clone(), prompt.text.clone().into()))
        .collect();
    let mut info = json!({
        "name": manifest.name,
        "version": manifest.version,
        "task": manifest.task().name(),
        "architecture": provenance.architecture,
        "output": output(manifest, pipeline),
        "labels": pipeline.labels,
        "prompts": prompts,
        "default_prompt": none_if_empty(&pipeline.default_prompt),
        "similarity": pipeline.similarity().name(),
        "max_tokens": pipeline.max_tokens,
        "max_tokens_source": pipeline.max_tokens_source,
        "vocabulary_size": pipeline.vocabulary_size,
        "weights": weights.encoding().name(),
        "worst_cosine": weights.worst_cosine,
        "license": if provenance.license.is_empty() { "not stated" } else { &provenance.license },
        "payload_digest": hex(&payload.digest()),
        "embedding_space_id": hex(&provenance.embedding_space_id),
        "source_sha256": hex(&provenance.source_sha256),
        "built_by": provenance.builder,
        "sizes_bytes": sizes,
    });
    let embeds = matches!(
        manifest.task(),
        Task::Embedding | Task::SentenceEmbedding | Task::SparseEmbedding
    );
    let others = if embeds {
        ["labels"].as_slice()
    } else {
        &["prompts", "default_prompt", "similarity"]
    };
    if let Value::Object(fields) = &mut info {
        fields.retain(|name, _| !others.contains(&name.as_str()));
    }
    info
}

/// What comes out, in words.
fn output(manifest: &Manifest, pipeline: &Pipeline) -> String {
    let width = pipeline.output.as_ref().map_or(0, |output| output.width);
    match manifest.task() {
        task if is_per_token(task) => format!("{width} numbers a token"),
        Task::FillMask => format!("{width} probabilities a mask"),
        Task::SparseEmbedding => format!("up to {width} weights a text"),
        Task::SentenceEmbedding => sentence_embedding(pipeline),
        _ => format!("{width} numbers a text"),
    }
}

fn sentence_embedding(pipeline: &Pipeline) -> String {
    let width = match pipeline.dimensions {
        0 => pipeline.embedding_width(),
        dimensions => dimensions as usize,
    };
    let mut steps: Vec<String> = pipeline
        .pooling()
        .map(|mode| {
            mode.as_str_name()
                .trim_start_matches("POOLING_")
                .to_lowercase()
        })
        .collect();
    if steps.is_empty() {
        steps.push("pooled in the graph".into());
    }
    let mut steps = vec![steps.join(" + ")];
    steps.extend(pipeline.modules.iter().filter_map(|module| {
        Some(match module.step.as_ref()? {
            Step::Dense(dense) => format!("dense to {}", dense.out_features),
            Step::LayerNorm(_) => "layer norm".into(),
            Step::L2Norm(_) => "L2 norm".into(),
        })
    }));
    if pipeline.normalize {
        steps.push("normalised".into());
    }
    format!("{width} numbers a text: {}", steps.join(", "))
}

fn none_if_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
