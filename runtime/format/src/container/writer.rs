//! Writing a payload: what the reader checks, the writer makes so.

use super::hash::hash;
use super::{
    ArtifactKind, DIGEST_LEN, FLAGS, FOOTER_LEN, FORMAT_VERSION, Footer, artifacts, digest, layout,
};
use crate::manifest::Manifest;
use crate::source::{Source, Spliced, next_chunk};
use crate::threads::{OneThread, Threads};
use encoderfile_proto::{self as proto, Artifact};
use prost::Message;
use std::io::{self, Write};

/// How much is copied at a time.
const CHUNK_LEN: usize = 1 << 20;

/// An artifact and its bytes.
pub type Content<'a> = (ArtifactKind, &'a dyn Source);

/// A payload, from manifest to footer. Nothing of `contents` is copied.
///
/// `manifest` says everything but the artifacts, which are filled in from
/// `contents`; base programs must already be named there. The same arguments
/// give the same bytes.
///
/// # Errors
/// Of kind `InvalidInput` for a manifest or an artifact that no reader would take, for contents
/// that the manifest does not name, and for names without content; what the system says of reading the
/// contents, which are hashed here.
pub fn compose<'a>(manifest: &Manifest, contents: &[Content<'a>]) -> io::Result<Spliced<'a>> {
    compose_with(manifest, contents, &OneThread)
}

/// As [`compose`]; the contents are hashed by several threads.
///
/// # Errors
/// The same.
pub fn compose_with<'a>(
    manifest: &Manifest,
    contents: &[Content<'a>],
    threads: &dyn Threads,
) -> io::Result<Spliced<'a>> {
    manifest
        .check()
        .map_err(|error| invalid(format!("manifest: {error}")))?;
    let mut manifest = proto::Manifest::from(manifest);
    for (kind, content) in contents {
        let (length, limit) = (content.len(), kind.length_max());
        if length > limit {
            return Err(invalid(format!(
                "{kind}: {length} bytes, and readers take at most {limit}"
            )));
        }
        let hash = hash(*content, 0, content.len(), threads).map_err(io::Error::other)?;
        let entry = kind
            .entry(&mut manifest)
            .ok_or_else(|| invalid(format!("{kind} is not named in the manifest")))?;
        *entry = Artifact {
            // Any other than zero: the encoded length must not depend on it.
            offset: 1,
            length: content.len(),
            sha256: Vec::new(),
            blake3: hash.as_bytes().to_vec(),
        };
    }

    let (metadata_length, payload_length) = place(&mut manifest)?;
    let footer = Footer {
        format_version: FORMAT_VERSION,
        metadata_offset: payload_length,
        metadata_length,
        flags: FLAGS,
    }
    .to_bytes();
    let mut metadata = manifest.encode_to_vec();
    metadata.extend(digest(&metadata, &footer).as_bytes());
    let mut payload = Spliced::default();
    payload.push(metadata, 1);
    for (kind, artifact) in artifacts(&manifest) {
        let content = contents.iter().find(|(other, _)| *other == kind);
        let (_, content) =
            content.ok_or_else(|| invalid(format!("{kind} has no content to write")))?;
        let offset = payload.push(*content, kind.alignment());
        debug_assert_eq!(offset, artifact.offset);
    }
    payload.push(footer.to_vec(), 1);
    Ok(payload)
}

/// Writes what [`compose`] makes of the same arguments.
///
/// # Errors
/// As [`compose`], and what the system says of reading the contents and writing to `out`.
pub fn write(manifest: &Manifest, contents: &[Content<'_>], out: &mut dyn Write) -> io::Result<()> {
    let payload = compose(manifest, contents)?;
    let mut chunk = vec![0; CHUNK_LEN];
    for_each_chunk(&payload, &mut chunk, |bytes| out.write_all(bytes))
}

/// Sets every artifact's offset; returns the length of manifest and digest, and of the payload.
fn place(manifest: &mut proto::Manifest) -> io::Result<(u64, u64)> {
    let length =
        |manifest: &proto::Manifest| manifest.encoded_len().saturating_add(DIGEST_LEN) as u64;
    let metadata_length = length(manifest);
    let lengths: Vec<_> = artifacts(manifest)
        .into_iter()
        .map(|(kind, artifact)| (kind, artifact.length))
        .collect();
    let kinds: Vec<ArtifactKind> = lengths.iter().map(|(kind, _)| *kind).collect();
    let (offsets, end) = layout(metadata_length, lengths)
        .ok_or_else(|| invalid("the artifacts exceed 64 bits".into()))?;
    for (kind, offset) in kinds.into_iter().zip(offsets) {
        if let Some(entry) = kind.entry(manifest) {
            entry.offset = offset;
        }
    }
    debug_assert_eq!(metadata_length, length(manifest));
    Ok((metadata_length, end.saturating_add(FOOTER_LEN as u64)))
}

fn for_each_chunk(
    content: &dyn Source,
    chunk: &mut [u8],
    mut visit: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut offset: u64 = 0;
    while let Some(bytes) = next_chunk(chunk, content.len().saturating_sub(offset)) {
        content.read_at(offset, bytes).map_err(io::Error::other)?;
        visit(bytes)?;
        offset = offset.saturating_add(bytes.len() as u64);
    }
    Ok(())
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
