//! Files of upstream's format 1, as they are and with the hashes that agree with them.

use encoderfile::container::{FOOTER_LEN, Footer};
use encoderfile::limits::MANIFEST_ENTRIES_MAX;
use encoderfile::proto::{self, Manifest, Task};
use encoderfile_builder::upstream::{self, Upstream};
use encoderfile_tests::format_1::format_1;
use prost::Message;
use sha2::{Digest, Sha256};

pub(crate) fn run(data: &[u8]) {
    let _ = upstream::manifest(data);
    let _ = Upstream::read(data);
    if let Some(rehashed) = rehashed(data) {
        let _ = Upstream::read(&rehashed);
    }
}

/// The same file with the hash of each artifact, where the manifest keeps its length.
fn rehashed(data: &[u8]) -> Option<Vec<u8>> {
    let footer = Footer::parse(data.last_chunk::<FOOTER_LEN>()?)?;
    let start = usize::try_from(footer.metadata_offset).ok()?;
    let length = usize::try_from(footer.metadata_length).ok()?;
    let place = start..start.checked_add(length)?;
    let mut manifest: Manifest =
        proto::decode(data.get(place.clone())?, MANIFEST_ENTRIES_MAX).ok()?;
    let artifacts = [
        &mut manifest.weights,
        &mut manifest.model_config,
        &mut manifest.tokenizer,
    ];
    for artifact in artifacts.into_iter().flatten() {
        let begin = start.checked_add(usize::try_from(artifact.offset).ok()?)?;
        let end = begin.checked_add(usize::try_from(artifact.length).ok()?)?;
        artifact.sha256 = Sha256::digest(data.get(begin..end)?).to_vec();
    }
    let encoded = manifest.encode_to_vec();
    let mut bytes = data.to_vec();
    bytes
        .get_mut(place)
        .filter(|it| it.len() == encoded.len())?
        .copy_from_slice(&encoded);
    Some(bytes)
}

pub(crate) fn seeds() -> anyhow::Result<Vec<Vec<u8>>> {
    Ok(vec![
        format_1("bert-embedding", Task::Embedding, 64)?,
        format_1("bert-token_classification", Task::TokenClassification, 8)?,
    ])
}
