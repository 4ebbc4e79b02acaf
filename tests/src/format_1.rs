//! Upstream's format 1: `[base][manifest][artifacts…][footer]`, the manifest
//! found from the start of the file, the whole ONNX file, SHA-256 hashes.

use crate::fixture;
use encoderfile::container::Footer;
use encoderfile::proto::{Artifact, Manifest, Task};
use prost::Message;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs;

/// What upstream appends the manifest to; any bytes will do.
pub const BASE: &[u8] = b"\x7fELF: not really";

/// Writes a fixture as a format 1 file, with truncation at `max_length`.
pub fn format_1(model: &str, task: Task, max_length: u32) -> anyhow::Result<Vec<u8>> {
    let folder = fixture::folder(model);
    let tokenizer: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("tokenizer.json"))?)?;
    let tokenizer = json!({
        "tokenizer": tokenizer,
        "config": {
            "padding": null,
            "truncation": {
                "direction": "Right",
                "max_length": max_length,
                "strategy": "LongestFirst",
                "stride": 0,
            },
        },
    });
    let contents = [
        fs::read(folder.join("model.onnx"))?,
        fs::read(folder.join("config.json"))?,
        serde_json::to_vec(&tokenizer)?,
    ];
    let mut manifest = Manifest {
        task: task.into(),
        name: model.into(),
        version: "1.2.3".into(),
        ..Manifest::default()
    };
    // Fixed-width offsets: the length does not depend on their values.
    let entry = |offset, content: &Vec<u8>| Artifact {
        offset,
        length: content.len() as u64,
        sha256: Sha256::digest(content).to_vec(),
        blake3: Vec::new(),
    };
    let fill = |manifest: &mut Manifest, start: u64| {
        let mut offsets = contents.iter().scan(start, |end, content| {
            let offset = *end;
            *end += content.len() as u64;
            Some(entry(offset, content))
        });
        manifest.weights = offsets.next();
        manifest.model_config = offsets.next();
        manifest.tokenizer = offsets.next();
    };
    fill(&mut manifest, 1);
    let start = manifest.encoded_len() as u64;
    fill(&mut manifest, start);
    let footer = Footer {
        format_version: 1,
        metadata_offset: BASE.len() as u64,
        metadata_length: manifest.encoded_len() as u64,
        flags: 1,
    };
    Ok([
        BASE,
        &manifest.encode_to_vec(),
        &contents.concat(),
        &footer.to_bytes(),
    ]
    .concat())
}
