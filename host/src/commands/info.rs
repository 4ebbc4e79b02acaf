//! `info`: what a file contains.

use super::{is_per_token, println};
use encoderfile_runtime::Payload;
use encoderfile_runtime::proto::{Manifest, Pipeline};
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
    json!({
        "name": manifest.name,
        "version": manifest.version,
        "task": manifest.task().name(),
        "architecture": provenance.architecture,
        "output": output(manifest, pipeline),
        "labels": pipeline.labels,
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
    })
}

fn output(manifest: &Manifest, pipeline: &Pipeline) -> String {
    let width = pipeline.output.as_ref().map_or(0, |output| output.width);
    if is_per_token(manifest.task()) {
        return format!("{width} numbers a token");
    }
    let pooling: Vec<&str> = pipeline.pooling().map(|it| it.as_str_name()).collect();
    if pooling.is_empty() {
        return format!("{width} numbers a text");
    }
    let names: Vec<String> = pooling
        .iter()
        .map(|name| name.trim_start_matches("POOLING_").to_lowercase())
        .collect();
    let normalized = if pipeline.normalize {
        ", normalised"
    } else {
        ""
    };
    let width = width as usize * names.len();
    format!("{width} numbers a text: {}{normalized}", names.join(" + "))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
