//! Opening a container. A [`Payload`] is structurally valid; the content of an
//! artifact is checked against its hash when it is read.

use super::executable::{Extent, extent};
use super::hash::hash;
use super::{
    ArtifactKind, ContainerError, DIGEST_LEN, FLAGS, FOOTER_LEN, FORMAT_VERSION, Footer, artifacts,
    digest, layout,
};
use crate::limits::{MANIFEST_ENTRIES_MAX, MANIFEST_LEN_MAX};
use crate::manifest::{Manifest, Model};
use crate::source::{ReadError, Section, Source, next_chunk};
use crate::threads::{OneThread, Threads};
use encoderfile_proto as proto;
use std::sync::Arc;

/// A container whose structure has been checked: version, digest, and the
/// place of every artifact.
pub struct Payload {
    source: Arc<dyn Source>,
    start: u64,
    end: u64,
    manifest: Manifest,
    digest: blake3::Hash,
    artifacts: Vec<PlacedArtifact>,
}

struct PlacedArtifact {
    kind: ArtifactKind,
    /// From the start of the source.
    offset: u64,
    length: u64,
    blake3: Vec<u8>,
}

impl Payload {
    /// Reads footer and manifest from the end of `source`, or from where the format of an
    /// executable has the payload: see [`super::executable`].
    ///
    /// Allocates what the manifest takes in the file, and at most
    /// [`MANIFEST_ENTRIES_MAX`] entries of it.
    ///
    /// # Errors
    /// [`ContainerError`], which names the section and its offset.
    pub fn open(source: Arc<dyn Source>) -> Result<Self, ContainerError> {
        let extent = extent(&*source)?;
        let (footer, footer_offset) = read_footer(&*source, extent)?;
        let (start, metadata_length) = locate_manifest(&footer, footer_offset)?;
        check_start(start, extent)?;

        let mut metadata = vec![0; metadata_length];
        read(&*source, start, &mut metadata)?;
        let (manifest, digest) = match metadata.split_last_chunk::<DIGEST_LEN>() {
            Some((manifest, stored)) => (manifest, check_digest(manifest, &footer, stored)),
            None => (&*metadata, None),
        };
        let digest = digest.ok_or(ContainerError::ManifestDigest { offset: start })?;
        let offset = start;
        let wire: proto::Manifest = proto::decode(manifest, MANIFEST_ENTRIES_MAX)
            .map_err(|source| ContainerError::ManifestDecode { offset, source })?;
        let manifest = Manifest::try_from(&wire)
            .map_err(|source| ContainerError::Manifest { offset, source })?;
        let artifacts = place(&wire, start, metadata_length as u64, footer_offset)?;
        let payload = Self {
            source,
            start,
            end: extent.end,
            manifest,
            digest,
            artifacts,
        };
        payload.check_padding(metadata_length as u64)?;
        Ok(payload)
    }

    /// What the file says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The model.
    ///
    /// # Errors
    /// [`ContainerError::NoModel`] for a file that holds none, as the tool itself.
    pub fn model(&self) -> Result<&Model, ContainerError> {
        let model = self.manifest.model.as_ref();
        let offset = self.start;
        model.ok_or(ContainerError::NoModel { offset })
    }

    /// The digest of the manifest, and through its hashes of the whole payload.
    pub fn digest(&self) -> [u8; DIGEST_LEN] {
        *self.digest.as_bytes()
    }

    /// Where the payload begins in its source: the length of the base and its padding.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The bytes from the manifest to the end of the footer.
    ///
    /// # Errors
    /// [`ContainerError::Read`] where the source has become shorter.
    pub fn bytes(&self) -> Result<Section, ContainerError> {
        self.section(self.start, self.end.saturating_sub(self.start))
    }

    /// Every artifact with its offset from the start of the source and its length, in file order.
    pub fn artifacts(&self) -> impl Iterator<Item = (ArtifactKind, u64, u64)> + '_ {
        self.artifacts
            .iter()
            .map(|artifact| (artifact.kind, artifact.offset, artifact.length))
    }

    /// The content of an artifact, checked against its hash.
    ///
    /// `length_max` is the limit of [`crate::limits`] for this kind, in bytes.
    ///
    /// # Errors
    /// [`ContainerError::Missing`], [`ContainerError::TooLarge`] before anything is
    /// allocated, [`ContainerError::Read`], and [`ContainerError::Hash`].
    pub fn read(&self, kind: ArtifactKind, length_max: u64) -> Result<Vec<u8>, ContainerError> {
        let artifact = self.find(kind)?;
        let length = usize::try_from(artifact.length)
            .ok()
            .filter(|_| artifact.length <= length_max)
            .ok_or(ContainerError::TooLarge {
                artifact: kind,
                offset: artifact.offset,
                length: artifact.length,
                limit: length_max.min(usize::MAX as u64),
            })?;
        let mut content = vec![0; length];
        read(&*self.source, artifact.offset, &mut content)?;
        artifact.check(blake3::hash(&content))?;
        Ok(content)
    }

    /// An artifact as a source of its own. Its hash is *not* checked: call
    /// [`Payload::verify`] before its content decides anything.
    ///
    /// # Errors
    /// [`ContainerError::Missing`], and [`ContainerError::Read`] where the source has become
    /// shorter.
    pub fn artifact(&self, kind: ArtifactKind) -> Result<Section, ContainerError> {
        let artifact = self.find(kind)?;
        self.section(artifact.offset, artifact.length)
    }

    /// Says that neither the base nor the artifacts that `is_read` names will be
    /// read again.
    pub fn release(&self, is_read: impl Fn(ArtifactKind) -> bool) {
        self.source.release(0, self.start);
        for (kind, offset, length) in self.artifacts() {
            if is_read(kind) {
                self.source.release(offset, length);
            }
        }
    }

    /// Checks every artifact against its hash.
    ///
    /// # Errors
    /// [`ContainerError::Hash`] for the first that does not match, and
    /// [`ContainerError::Read`].
    pub fn verify(&self) -> Result<(), ContainerError> {
        self.verify_with(&OneThread)
    }

    /// As [`Payload::verify`], by several threads.
    ///
    /// # Errors
    /// The same.
    pub fn verify_with(&self, threads: &dyn Threads) -> Result<(), ContainerError> {
        for artifact in &self.artifacts {
            let (offset, length) = (artifact.offset, artifact.length);
            artifact.check(hash(&*self.source, offset, length, threads)?)?;
        }
        Ok(())
    }

    fn find(&self, kind: ArtifactKind) -> Result<&PlacedArtifact, ContainerError> {
        let mut all = self.artifacts.iter();
        all.find(|artifact| artifact.kind == kind)
            .ok_or(ContainerError::Missing {
                artifact: kind,
                offset: self.start,
            })
    }

    fn section(&self, offset: u64, length: u64) -> Result<Section, ContainerError> {
        Section::new(Arc::clone(&self.source), offset, length).map_err(|error| {
            ContainerError::Read {
                offset,
                length,
                source: ReadError::from(error).into(),
            }
        })
    }

    fn check_padding(&self, metadata_length: u64) -> Result<(), ContainerError> {
        let mut chunk = vec![0; 64 << 10];
        let mut end = self.start.saturating_add(metadata_length);
        for artifact in &self.artifacts {
            let padding = artifact.offset.saturating_sub(end);
            for_each_chunk(&*self.source, end, padding, &mut chunk, |bytes| {
                if bytes.iter().all(|byte| *byte == 0) {
                    return Ok(());
                }
                Err(ContainerError::Padding {
                    artifact: artifact.kind,
                    offset: artifact.offset,
                })
            })?;
            end = artifact.offset.saturating_add(artifact.length);
        }
        Ok(())
    }
}

impl PlacedArtifact {
    fn check(&self, hash: blake3::Hash) -> Result<(), ContainerError> {
        if hash.as_bytes() == self.blake3.as_slice() {
            return Ok(());
        }
        Err(ContainerError::Hash {
            artifact: self.kind,
            offset: self.offset,
            length: self.length,
        })
    }
}

/// The digest of manifest and footer, if it is the stored one.
fn check_digest(manifest: &[u8], footer: &Footer, stored: &[u8]) -> Option<blake3::Hash> {
    let digest = digest(manifest, &footer.to_bytes());
    (digest.as_bytes() == stored).then_some(digest)
}

/// The executable and the footer must not disagree.
fn check_start(start: u64, extent: Extent) -> Result<(), ContainerError> {
    match extent.start {
        Some(expected) if expected != start => Err(ContainerError::Start {
            offset: start,
            expected,
        }),
        _ => Ok(()),
    }
}

/// The footer of a file, of any version and wherever the file's format has it.
pub fn find_footer(source: &dyn Source) -> Option<Footer> {
    let end = extent(source).ok()?.end;
    let mut bytes = [0; FOOTER_LEN];
    source
        .read_at(end.checked_sub(FOOTER_LEN as u64)?, &mut bytes)
        .ok()?;
    Footer::parse(&bytes)
}

fn read_footer(source: &dyn Source, extent: Extent) -> Result<(Footer, u64), ContainerError> {
    let length = extent.end;
    let offset = length
        .checked_sub(FOOTER_LEN as u64)
        .ok_or(ContainerError::TooShort { length })?;
    let mut bytes = [0; FOOTER_LEN];
    read(source, offset, &mut bytes)?;
    let footer = Footer::parse(&bytes).ok_or(ContainerError::Magic { offset })?;
    if footer.format_version != FORMAT_VERSION {
        let got = footer.format_version;
        return Err(ContainerError::Version { offset, got });
    }
    if footer.flags != FLAGS {
        let got = footer.flags;
        return Err(ContainerError::Flags { offset, got });
    }
    Ok((footer, offset))
}

/// The manifest's offset from the start of the source, and its length with the digest.
fn locate_manifest(footer: &Footer, footer_offset: u64) -> Result<(u64, usize), ContainerError> {
    let (distance, length) = (footer.metadata_offset, footer.metadata_length);
    let bounds = ContainerError::ManifestBounds {
        offset: footer_offset,
        distance,
        length,
    };
    let file_length = footer_offset.saturating_add(FOOTER_LEN as u64);
    let Some(start) = file_length.checked_sub(distance) else {
        return Err(bounds);
    };
    let fits = start
        .checked_add(length)
        .is_some_and(|end| end <= footer_offset);
    if !fits || length < DIGEST_LEN as u64 {
        return Err(bounds);
    }
    match usize::try_from(length) {
        Ok(length_usize) if length <= MANIFEST_LEN_MAX => Ok((start, length_usize)),
        _ => Err(ContainerError::ManifestLength {
            offset: start,
            length,
            limit: MANIFEST_LEN_MAX,
        }),
    }
}

fn place(
    manifest: &proto::Manifest,
    start: u64,
    metadata_length: u64,
    footer_offset: u64,
) -> Result<Vec<PlacedArtifact>, ContainerError> {
    let named = artifacts(manifest);
    let lengths = named
        .iter()
        .map(|(kind, artifact)| (*kind, artifact.length));
    let laid_out = layout(metadata_length, lengths);
    let end = laid_out
        .as_ref()
        .and_then(|(_, end)| start.checked_add(*end));
    let (Some((offsets, _)), true) = (laid_out, end == Some(footer_offset)) else {
        return Err(ContainerError::Length {
            offset: start,
            end,
            footer: footer_offset,
        });
    };
    let placed = named.into_iter().zip(offsets);
    placed
        .map(|((kind, artifact), expected)| {
            let (distance, expected) = (expected, start.saturating_add(expected));
            if artifact.offset != distance {
                return Err(ContainerError::Misplaced {
                    artifact: kind,
                    got: start.saturating_add(artifact.offset),
                    expected,
                });
            }
            Ok(PlacedArtifact {
                kind,
                offset: expected,
                length: artifact.length,
                blake3: artifact.blake3.clone(),
            })
        })
        .collect()
}

fn read(source: &dyn Source, offset: u64, buffer: &mut [u8]) -> Result<(), ContainerError> {
    source
        .read_at(offset, buffer)
        .map_err(|error| ContainerError::Read {
            offset,
            length: buffer.len() as u64,
            source: error.into(),
        })
}

pub(super) fn for_each_chunk(
    source: &dyn Source,
    offset: u64,
    length: u64,
    chunk: &mut [u8],
    mut visit: impl FnMut(&[u8]) -> Result<(), ContainerError>,
) -> Result<(), ContainerError> {
    let mut done: u64 = 0;
    while let Some(bytes) = next_chunk(chunk, length.saturating_sub(done)) {
        read(source, offset.saturating_add(done), bytes)?;
        visit(bytes)?;
        done = done.saturating_add(bytes.len() as u64);
    }
    Ok(())
}
