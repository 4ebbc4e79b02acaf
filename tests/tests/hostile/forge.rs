//! Containers written by hand, so that they can say anything.

use crate::memory::{self, FIXED};
use anyhow::ensure;
use encoderfile::container::{self, ArtifactKind, ContainerError, Content, FOOTER_LEN, Footer};
use encoderfile::manifest::{
    self, Input, InputRole, IntegerType, Model, Output, Pipeline, Provenance, StoredWeights, Task,
    WeightsEncoding,
};
use encoderfile::proto::{self, Manifest};
use encoderfile::{Payload, Source};
use prost::Message;
use std::sync::Arc;

pub(crate) use encoderfile_tests::seal::{DIGEST_LEN, seal, seal_with};

/// What the small container holds.
pub(crate) const CONTENTS: [(ArtifactKind, &[u8]); 4] = [
    (ArtifactKind::ModelConfig, b"{\"model_type\":\"none\"}"),
    (
        ArtifactKind::Tokenizer,
        b"not a tokenizer, but as long as some text",
    ),
    (ArtifactKind::Graph, b"neither is this a graph"),
    (ArtifactKind::Weights, &[0xa5; 200]),
];

/// A manifest that names no artifact.
pub(crate) fn manifest() -> manifest::Manifest {
    let pipeline = Pipeline {
        max_tokens: 8,
        vocabulary_size: 100,
        inputs: vec![Input {
            name: "input_ids".into(),
            role: InputRole::InputIds,
            integer_type: IntegerType::Int64,
            first_position: 0,
            zeros: false,
        }],
        output: Output {
            name: "last_hidden_state".into(),
            width: 4,
            per_token: true,
        },
        labels: vec!["a".into(), "b".into()],
        ..Pipeline::default()
    };
    manifest::Manifest {
        name: "small".into(),
        version: "0.1.0".into(),
        model: Some(Model {
            task: Task::Embedding,
            pipeline,
            provenance: Provenance::default(),
            weights: StoredWeights {
                encoding: WeightsEncoding::F32,
                mean_cosine: 1.0,
                min_cosine: 1.0,
                quantized_matrices: 0,
            },
        }),
        ..manifest::Manifest::default()
    }
}

/// A valid container of some 64 KiB.
pub(crate) fn small() -> Vec<u8> {
    let contents = CONTENTS.map(|(kind, content)| (kind, content.to_vec()));
    let contents: Vec<Content<'_>> = contents
        .iter()
        .map(|(kind, content)| (*kind, content as &dyn Source))
        .collect();
    let mut bytes = Vec::new();
    container::write(&manifest(), &contents, &mut bytes).expect("a vector takes any bytes");
    bytes
}

/// The footer of a container.
pub(crate) fn footer(bytes: &[u8]) -> Footer {
    let last = bytes.last_chunk::<FOOTER_LEN>().expect("a footer");
    Footer::parse(last).expect("a footer")
}

/// The length of manifest and digest of a container without a base.
pub(crate) fn metadata_len(bytes: &[u8]) -> usize {
    usize::try_from(footer(bytes).metadata_length).expect("a small manifest")
}

/// The manifest of a container without a base.
pub(crate) fn manifest_of(bytes: &[u8]) -> Manifest {
    let encoded = &bytes[..metadata_len(bytes) - DIGEST_LEN];
    proto::decode(encoded, usize::MAX).expect("a valid container")
}

/// What lies between the digest and the footer.
pub(crate) fn body_of(bytes: &[u8]) -> &[u8] {
    &bytes[metadata_len(bytes)..bytes.len() - FOOTER_LEN]
}

/// The small container with a changed manifest, sealed.
pub(crate) fn resealed(change: impl FnOnce(&mut Manifest)) -> Vec<u8> {
    let bytes = small();
    let mut manifest = manifest_of(&bytes);
    change(&mut manifest);
    seal(&manifest.encode_to_vec(), body_of(&bytes))
}

/// The same with nothing behind the manifest, whose own length may change.
pub(crate) fn resealed_as_is(change: impl FnOnce(&mut Manifest)) -> Vec<u8> {
    let mut manifest = Manifest::from(&manifest());
    change(&mut manifest);
    seal(&manifest.encode_to_vec(), &[])
}

/// Opens and verifies a container, within the memory its size allows.
pub(crate) fn open(source: Arc<dyn Source>) -> anyhow::Result<Result<Payload, ContainerError>> {
    let length = usize::try_from(source.len()).unwrap_or(usize::MAX);
    let (opened, peak) = memory::peak(|| {
        let payload = Payload::open(source)?;
        payload.verify()?;
        Ok(payload)
    });
    ensure!(
        peak <= length.saturating_add(FIXED),
        "{peak} bytes allocated for a file of {length}"
    );
    Ok(opened)
}

/// The error of a container that must not open; it names section and offset.
pub(crate) fn refused(source: Arc<dyn Source>) -> anyhow::Result<ContainerError> {
    let Err(error) = open(source)? else {
        anyhow::bail!("it opened");
    };
    let message = error.to_string();
    let (section, place) = message.split_once(" at offset ").unwrap_or_default();
    let sections = [
        "footer",
        "load command",
        "manifest",
        "model_config",
        "tokenizer",
        "graph",
        "golden",
        "weights",
        "default_model",
    ];
    let known = sections.contains(&section) || section.starts_with("base ");
    ensure!(known, "no section in: {message}");
    ensure!(
        place.starts_with(|it: char| it.is_ascii_digit()),
        "no offset in: {message}"
    );
    ensure!(!message.contains('\n'), "more than one line: {message}");
    Ok(error)
}

/// Shorthand for bytes of which this test is the owner.
pub(crate) fn refused_bytes(bytes: &[u8]) -> anyhow::Result<ContainerError> {
    refused(Arc::new(bytes.to_vec()))
}
