//! Models of the conformance suite, built in memory.

use anyhow::Context;
use encoderfile::container::ArtifactKind;
use encoderfile::{Encoder, Info, Payload, Source};
use encoderfile_builder::assemble::{Identity, assemble};
use encoderfile_builder::folder::{self, Overrides, Paths};
use encoderfile_builder::graph::Graph;
use encoderfile_builder::precision::Precision;
use std::path::Path;
use std::sync::Arc;

/// One for each task, each kind of tokenizer, and activations that are quantised.
pub(crate) const NAMES: [&str; 8] = [
    "st-mean-normalize",
    "bert-sequence_classification",
    "bert-token_classification",
    "bert-fill_mask",
    "xlm-roberta-embedding",
    "modernbert-embedding",
    "late-bert",
    "files-static",
];

/// The payload of a model.
pub(crate) fn payload(name: &str) -> anyhow::Result<Vec<u8>> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/models");
    let paths = Paths::in_folder(&models.join(name))?;
    let model = folder::read(&paths, &Overrides::default())?;
    let graph = Graph::read(&paths.weights, &model)?;
    let identity = Identity {
        name: name.into(),
        version: "0.1.0".into(),
        ..Identity::default()
    };
    let assembled = assemble(&paths, model, &graph, identity, &Precision::exact())?;
    let payload = assembled.payload()?;
    let mut bytes = vec![0; usize::try_from(payload.len())?];
    let read = payload.read_at(0, &mut bytes);
    read.map_err(|error| anyhow::anyhow!(error))?;
    Ok(bytes)
}

/// An artifact of a model.
pub(crate) fn artifact(name: &str, kind: ArtifactKind) -> anyhow::Result<Vec<u8>> {
    let payload = Payload::open(Arc::new(payload(name)?))?;
    let mut artifacts = payload.artifacts();
    let found = artifacts.find(|(of, ..)| *of == kind);
    let (_, _, length) = found.with_context(|| format!("{name}: no {kind}"))?;
    Ok(payload.read(kind, length)?)
}

/// A model that is loaded.
pub(crate) fn encoder(name: &str) -> anyhow::Result<(Encoder, Info)> {
    let payload = Payload::open(Arc::new(payload(name)?))?;
    let info = Info::of(&payload)?;
    Ok((Encoder::load(&payload)?, info))
}
