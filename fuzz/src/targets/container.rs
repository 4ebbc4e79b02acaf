//! Files, as they are and with the digest that agrees with their manifest and footer.

use crate::models;
use encoderfile::container::{FOOTER_LEN, Footer};
use encoderfile::{Info, Payload};
use encoderfile_tests::seal::{DIGEST_LEN, seal_with};
use std::sync::Arc;

/// No artifact is longer.
const LIMIT: u64 = 1 << 30;

pub(crate) fn run(data: &[u8]) {
    read(data.to_vec());
    if let Some(sealed) = sealed(data) {
        read(sealed);
    }
}

/// Everything that is read of a file before its model is loaded.
fn read(bytes: Vec<u8>) {
    let Ok(payload) = Payload::open(Arc::new(bytes)) else {
        return;
    };
    let _ = payload.verify();
    let _ = Info::of(&payload);
    for (kind, _, length) in payload.artifacts() {
        let content = payload.read(kind, LIMIT);
        assert!(content.is_err() || content.is_ok_and(|it| it.len() as u64 == length));
    }
}

/// The same manifest, body and footer, with their digest.
pub(crate) fn sealed(data: &[u8]) -> Option<Vec<u8>> {
    let (rest, footer) = data.split_last_chunk::<FOOTER_LEN>()?;
    let footer = Footer::parse(footer)?;
    let metadata = usize::try_from(footer.metadata_length).ok()?;
    let (metadata, body) = rest.split_at_checked(metadata)?;
    let (manifest, _) = metadata.split_last_chunk::<DIGEST_LEN>()?;
    Some(seal_with(manifest, body, footer))
}

pub(crate) fn seeds() -> anyhow::Result<Vec<Vec<u8>>> {
    let payloads = models::NAMES.iter().map(|name| models::payload(name));
    payloads.collect()
}
