//! Payloads whose hashes agree with whatever is in them.

use super::{TEXT, container};
use crate::models;
use encoderfile::container::{FOOTER_LEN, Footer};
use encoderfile::limits::MANIFEST_ENTRIES_MAX;
use encoderfile::proto::{self, Artifact, Manifest};
use encoderfile::{Encoder, Options, Payload};
use encoderfile_tests::seal::{DIGEST_LEN, seal};
use prost::Message;
use std::sync::Arc;

pub(crate) fn run(data: &[u8]) {
    let sealed = resealed(data).or_else(|| container::sealed(data));
    let Some(payload) = sealed.and_then(|it| Payload::open(Arc::new(it)).ok()) else {
        return;
    };
    let Ok(encoder) = Encoder::load(&payload) else {
        return;
    };
    if let Ok(mut session) = encoder.session() {
        let _ = session.infer(TEXT, &Options::default());
    }
}

/// The same container with the hash of each artifact.
fn resealed(data: &[u8]) -> Option<Vec<u8>> {
    let (rest, footer) = data.split_last_chunk::<FOOTER_LEN>()?;
    let metadata = usize::try_from(Footer::parse(footer)?.metadata_length).ok()?;
    let (metadata, body) = rest.split_at_checked(metadata)?;
    let (encoded, _) = metadata.split_last_chunk::<DIGEST_LEN>()?;
    let mut manifest: Manifest = proto::decode(encoded, MANIFEST_ENTRIES_MAX).ok()?;
    for artifact in artifacts(&mut manifest).into_iter().flatten() {
        let start = usize::try_from(artifact.offset).ok()?;
        let length = usize::try_from(artifact.length).ok()?;
        let content = data.get(start..start.checked_add(length)?)?;
        artifact.blake3 = blake3::hash(content).as_bytes().to_vec();
    }
    let encoded = manifest.encode_to_vec();
    // Offsets count from the manifest: what is in them holds while its length does.
    Some(seal(&encoded, body))
}

fn artifacts(manifest: &mut Manifest) -> [Option<&mut Artifact>; 5] {
    [
        manifest.model_config.as_mut(),
        manifest.tokenizer.as_mut(),
        manifest.graph.as_mut(),
        manifest.golden.as_mut(),
        manifest.weights.as_mut(),
    ]
}

pub(crate) fn seeds() -> anyhow::Result<Vec<Vec<u8>>> {
    let payloads = models::NAMES.iter().map(|name| models::payload(name));
    payloads.collect()
}
