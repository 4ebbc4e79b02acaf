//! `inspect`: what is in an encoderfile, without running it.

use crate::precompiled::{Description, Form};
use crate::{upstream, wasm_payload};
use anyhow::Context;
use encoderfile::container::archive::is_tar;
use encoderfile::container::wheel::is_zip;
use encoderfile::container::{ArtifactKind, FORMAT_VERSION};
use encoderfile::file::MappedFile;
use encoderfile::graph::decode;
use encoderfile::limits::GRAPH_LEN_MAX;
use encoderfile::manifest::{Model, Module, Pipeline, StoredWeights, Task};
use encoderfile::onnx::tensor_proto::DataType;
use encoderfile::proto::Artifact;
use encoderfile::weights::External;
use encoderfile::{Executor, Payload, panics};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Everything a file says of itself, as JSON. Every hash is checked.
///
/// It has `kind`, of what was compiled ahead `compiled_for`, of a component with the memory of a loaded model `snapshot`, `format_version`, `name`, `version`, `task`, `payload_offset` (in bytes
/// from the start of the file), `payload_digest`, and `artifacts`, each with its `artifact`,
/// `offset`, `length` and `blake3`; of a model also `pipeline`, `understood` (the findings),
/// `provenance`, `weights` and `tensors` (how many of the weights have which encoding), and of a tool its `bases`. A file of upstream's format 1 has
/// no payload fields, but `can_be_retargeted`: "yes", or "no" and why, a wrong hash
/// included.
///
/// # Errors
/// [`ContainerError`](encoderfile::container::ContainerError) for a file that is no valid
/// encoderfile, [`std::io::Error`] for what the system says, and a message alone for a file
/// without a footer or with a malformed manifest of format 1. Each names the file.
pub fn inspect(path: &Path) -> anyhow::Result<Value> {
    panics::catch(|| describe_file(path))?
}

fn describe_file(path: &Path) -> anyhow::Result<Value> {
    let name = path.display().to_string();
    let file = MappedFile::open(path).with_context(|| name.clone())?;
    let kind = kind(file.bytes());
    let compiled = Description::of(file.bytes());
    let is_snapshot = wasm_payload::is_snapshot(&file);
    let (format_version, description) = match upstream::is_format_1(file.bytes()) {
        true => (1, describe_upstream(file.bytes())),
        false => (FORMAT_VERSION, describe(Arc::new(file))),
    };
    let mut all = Map::new();
    all.insert("kind".into(), kind.into());
    if let Some(compiled) = compiled {
        all.insert("compiled_for".into(), describe_compiled(&compiled));
    }
    if is_snapshot {
        all.insert("snapshot".into(), true.into());
    }
    all.insert("format_version".into(), format_version.into());
    all.extend(description.with_context(|| name)?);
    Ok(Value::Object(all))
}

/// What [`kind`] says of ELF files.
pub(crate) const ELF: &str = "ELF executable";

/// What a file is, by its first bytes.
pub(crate) fn kind(file: &[u8]) -> &'static str {
    match file.first_chunk::<4>() {
        Some(magic) if *magic == wasm_payload::MAGIC => {
            match file.starts_with(&encoderfile::container::component::COMPONENT) {
                true => "wasm component",
                false => "wasm module",
            }
        }
        Some([0x7f, b'E', b'L', b'F']) => match Form::of(file) {
            Some(Form::Component) => "wasm component, compiled ahead",
            Some(Form::Module) => "wasm module, compiled ahead",
            None => ELF,
        },
        Some([0xcf, 0xfa, 0xed, 0xfe]) => "Mach-O executable",
        Some([b'M', b'Z', ..]) => "PE executable",
        _ if is_tar(file) => "container image",
        _ if is_zip(file) => "Python wheel",
        _ => "bundle",
    }
}

/// What can run a file that was compiled ahead.
fn describe_compiled(compiled: &Description) -> Value {
    json!({
        "wasmtime": compiled.wasmtime,
        "architecture": compiled.architecture,
        "target": compiled.triple,
        "processor_features": compiled.features,
    })
}

fn describe(file: Arc<MappedFile>) -> anyhow::Result<Map<String, Value>> {
    let payload = Payload::open(file)?;
    payload.verify_with(&Executor::AllCores)?;
    let manifest = payload.manifest();
    let task = manifest.model.as_ref().map(|model| model.task);
    let task = task.map_or("unspecified", Task::name);
    let mut fields = describe_manifest(&manifest.name, &manifest.version, task);
    if let Some(model) = &manifest.model {
        describe_model(model, &mut fields);
        fields.insert("tensors".into(), describe_tensors(&payload));
    }
    if !manifest.bases.is_empty() {
        fields.insert("bases".into(), json!(manifest.bases));
    }
    fields.insert("payload_offset".into(), payload.start().into());
    fields.insert("payload_digest".into(), hex(&payload.digest()).into());
    let artifacts: Vec<Value> = payload
        .artifacts()
        .map(|(kind, offset, length)| {
            json!({"artifact": kind.to_string(), "offset": offset, "length": length, "blake3": "verified"})
        })
        .collect();
    fields.insert("artifacts".into(), artifacts.into());
    Ok(fields)
}

fn describe_model(model: &Model, fields: &mut Map<String, Value>) {
    fields.insert("pipeline".into(), describe_pipeline(&model.pipeline));
    let provenance = &model.provenance;
    let source = provenance.source.as_ref();
    let source = source.map(|it| format!("{}@{}", it.repository, it.commit));
    let findings: Vec<Value> = provenance
        .findings
        .iter()
        .map(|it| json!({"about": it.subject, "meaning": it.meaning, "source": it.source}))
        .collect();
    fields.insert("understood".into(), findings.into());
    let options = provenance.options.iter();
    let options: Map<String, Value> = options
        .map(|it| (it.name.clone(), it.value.clone().into()))
        .collect();
    fields.insert(
        "provenance".into(),
        json!({
            "built_by": provenance.builder,
            "source": source,
            "source_file": provenance.source_file,
            "source_format": provenance.source_format,
            "options": options,
            "architecture": provenance.architecture,
            "license": provenance.license,
            "source_sha256": hex(&provenance.source_sha256),
            "embedding_space_id": hex(&provenance.embedding_space_id),
            "fingerprint": hex(&provenance.fingerprint),
        }),
    );
    fields.insert("weights".into(), describe_weights(model.weights));
}

fn describe_weights(weights: StoredWeights) -> Value {
    let mut fields = json!({
        "encoding": weights.encoding.to_string(),
        "mean_cosine": weights.mean_cosine,
        "worst_cosine": weights.min_cosine,
    });
    if weights.quantized_matrices > 0 {
        fields["quantized_matrices"] = json!(format!(
            "{}, stored in 8 bits as in the source file",
            weights.quantized_matrices
        ));
    }
    fields
}

/// How many of the weights' tensors have which encoding, and their bytes.
fn describe_tensors(payload: &Payload) -> Value {
    match stored_tensors(payload) {
        Ok(stored) => stored
            .into_iter()
            .map(|(encoding, (count, length))| {
                json!({"encoding": encoding, "tensors": count, "length": length})
            })
            .collect(),
        Err(error) => format!("cannot be read: {error:#}").into(),
    }
}

fn stored_tensors(payload: &Payload) -> anyhow::Result<BTreeMap<String, (usize, u64)>> {
    let bytes = payload.read(ArtifactKind::Graph, GRAPH_LEN_MAX)?;
    let graph = decode(&bytes)?.graph.unwrap_or_default();
    let mut stored: BTreeMap<String, (usize, u64)> = BTreeMap::new();
    for tensor in &graph.initializer {
        let Some(place) = External::of(tensor)? else {
            continue;
        };
        let encoding = match DataType::try_from(tensor.data_type) {
            Ok(DataType::Float) => place.encoding.to_string(),
            Ok(other) => other.as_str_name().to_ascii_lowercase(),
            Err(_) => "unknown".into(),
        };
        let (count, length) = stored.entry(encoding).or_default();
        *count += 1;
        *length = length.saturating_add(place.length);
    }
    Ok(stored)
}

fn describe_upstream(file: &[u8]) -> anyhow::Result<Map<String, Value>> {
    let (manifest, start) = upstream::manifest(file)?;
    let checked = upstream::Upstream::read(file);
    let task = match manifest.task() {
        _ if upstream::is_of_images(&manifest) => "image_classification".to_owned(),
        task => task.name(),
    };
    let mut fields = describe_manifest(&manifest.name, &manifest.version, &task);
    let artifact = |name: &str, artifact: &Option<Artifact>| {
        let artifact = artifact.as_ref()?;
        Some(json!({
            "artifact": name,
            "offset": start.saturating_add(artifact.offset),
            "length": artifact.length,
            "sha256": hex(&artifact.sha256),
        }))
    };
    let artifacts: Vec<Value> = [
        artifact("weights", &manifest.weights),
        artifact("transform", &manifest.transform),
        artifact("model_config", &manifest.model_config),
        artifact("tokenizer", &manifest.tokenizer),
        artifact("image_preprocessor", &manifest.graph),
    ]
    .into_iter()
    .flatten()
    .collect();
    fields.insert("artifacts".into(), artifacts.into());
    let retarget = match checked {
        Ok(_) => "yes".to_owned(),
        Err(error) => format!("no: {error:#}"),
    };
    fields.insert("can_be_retargeted".into(), retarget.into());
    Ok(fields)
}

fn describe_manifest(name: &str, version: &str, task: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("name".into(), name.into());
    fields.insert("version".into(), version.into());
    fields.insert("task".into(), task.into());
    fields
}

fn describe_pipeline(pipeline: &Pipeline) -> Value {
    let inputs: Vec<&str> = pipeline.inputs.iter().map(|it| it.name.as_str()).collect();
    let output = &pipeline.output;
    let pooling: Vec<&str> = pipeline.pooling.iter().map(|mode| mode.name()).collect();
    let prompts = pipeline.prompts.iter();
    let prompts: Map<String, Value> = prompts
        .map(|prompt| (prompt.name.clone(), prompt.text.clone().into()))
        .collect();
    json!({
        "max_tokens": pipeline.max_tokens,
        "max_tokens_source": pipeline.max_tokens_source,
        "truncation_side": pipeline.truncation_side.name(),
        "lower_case": pipeline.lower_case,
        "vocabulary_size": pipeline.vocabulary_size,
        "inputs": inputs,
        "output": output.name,
        "output_width": output.width,
        "pooling": pooling,
        "modules": pipeline.modules.iter().map(describe_module).collect::<Vec<_>>(),
        "normalize": pipeline.normalize,
        "dimensions": pipeline.dimensions,
        "prompts": prompts,
        "default_prompt": pipeline.default_prompt,
        "exclude_prompt": pipeline.exclude_prompt,
        "similarity": match &pipeline.late_interaction {
            Some(roles) => roles.similarity(),
            None => pipeline.similarity.name(),
        },
        "compute": pipeline.compute.name(),
        "labels": pipeline.labels,
        "activation": pipeline.activation.name(),
        "rerank_activation": pipeline.rerank_activation.name(),
        "entailment": pipeline.entailment,
        "mask_token_id": pipeline.mask_token_id,
        "unknown_token_id": pipeline.unknown_token_id,
    })
}

fn describe_module(module: &Module) -> String {
    match module {
        Module::Dense(dense) => format!(
            "dense {} → {} {}",
            dense.in_features,
            dense.out_features,
            dense.function.name()
        ),
        Module::LayerNorm(_) => "layer_norm".into(),
        Module::L2Norm => "l2_norm".into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The description as aligned lines, for people.
pub fn to_text(description: &Value) -> String {
    let mut lines = String::new();
    write_fields(description, 0, &mut lines);
    lines
}

fn write_fields(value: &Value, indent: usize, lines: &mut String) {
    let Value::Object(fields) = value else {
        return;
    };
    for (name, value) in fields {
        let margin = " ".repeat(indent);
        match value {
            Value::Object(fields) if fields.is_empty() => {
                let width = 20_usize.saturating_sub(indent);
                lines.push_str(&format!("{margin}{name:<width$} none\n"));
            }
            Value::Null => {}
            Value::Object(_) => {
                lines.push_str(&format!("{margin}{name}\n"));
                write_fields(value, indent + 2, lines);
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                lines.push_str(&format!("{margin}{name}\n"));
                for item in items {
                    lines.push_str(&format!("{margin}  {}\n", one_line(item)));
                }
            }
            other => {
                let width = 20_usize.saturating_sub(indent);
                lines.push_str(&format!("{margin}{name:<width$} {}\n", one_line(other)));
            }
        }
    }
}

fn one_line(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".into(),
        Value::Array(items) => items.iter().map(one_line).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let pairs = fields.iter().map(|(name, value)| match name.as_str() {
                "artifact" | "about" => format!("{:<14}", one_line(value)),
                "meaning" => one_line(value),
                "source" => format!("({})", one_line(value)),
                _ => format!("{name} {}", one_line(value)),
            });
            pairs.collect::<Vec<_>>().join("  ")
        }
        other => other.to_string(),
    }
}
