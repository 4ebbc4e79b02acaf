//! Containers that are cut, flipped, or lie about lengths in the footer.

use crate::forge::{self, CONTENTS, DIGEST_LEN, refused, refused_bytes};
use anyhow::{Context, ensure};
use encoderfile::container::{ArtifactKind, ContainerError, FOOTER_LEN, Footer};
use encoderfile::source::{ReadError, Section, checked_range};
use encoderfile::{Encoder, Error, FileError, Payload, Source};
use encoderfile_tests::fixture;
use encoderfile_tests::process;
use encoderfile_tests::programs::Program;
use std::fs;
use std::process::Command;
use std::sync::Arc;

/// Ways to change a byte: the lowest bit, the highest, all.
const MASKS: [u8; 3] = [0x01, 0x80, 0xff];

/// A fixture as `encoderfile` builds it.
fn bundle() -> anyhow::Result<Option<Vec<u8>>> {
    let Some(encoderfile) = Program::Encoderfile.find()? else {
        return Ok(None);
    };
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.ef");
    let mut build = Command::new(encoderfile);
    build.args(["build", "--target", "bundle", "--model"]);
    build
        .arg(fixture::folder("bert-embedding"))
        .arg("-o")
        .arg(&path);
    process::succeed(&mut build)?;
    Ok(Some(fs::read(path)?))
}

#[test]
fn the_small_container_is_valid() -> anyhow::Result<()> {
    let bytes = forge::small();
    let payload = forge::open(Arc::new(bytes.clone()))?.context("the container")?;
    for (kind, content) in CONTENTS {
        assert_eq!(payload.read(kind, 1 << 20)?, content);
    }
    // What is sealed by hand is what the writer writes.
    let manifest = &bytes[..forge::metadata_len(&bytes) - DIGEST_LEN];
    assert_eq!(forge::seal(manifest, forge::body_of(&bytes)), bytes);
    Ok(())
}

#[test]
fn a_container_cut_at_any_byte_is_refused() -> anyhow::Result<()> {
    let bytes: Arc<dyn Source> = Arc::new(forge::small());
    let length = bytes.len();
    for end in 0..length {
        let cut = Section::new(Arc::clone(&bytes), 0, end)?;
        let error = refused(Arc::new(cut)).with_context(|| format!("cut to {end}"))?;
        let expected = if end < FOOTER_LEN as u64 {
            matches!(error, ContainerError::TooShort { length } if length == end)
        } else {
            matches!(error, ContainerError::Magic { offset } if offset == end - FOOTER_LEN as u64)
        };
        ensure!(expected, "cut to {end}: {error:?}");
    }
    for start in 1..length {
        let cut = Section::new(Arc::clone(&bytes), start, length - start)?;
        let error = refused(Arc::new(cut)).with_context(|| format!("cut from {start}"))?;
        let expected = matches!(error, ContainerError::ManifestBounds { .. })
            || length - start < FOOTER_LEN as u64
                && matches!(error, ContainerError::TooShort { .. });
        ensure!(expected, "cut from {start}: {error:?}");
    }
    Ok(())
}

#[test]
fn bytes_missing_in_the_middle_are_noticed() -> anyhow::Result<()> {
    let bytes = forge::small();
    for missing in (0..bytes.len() - FOOTER_LEN).step_by(61) {
        let mut shorter = bytes.clone();
        shorter.remove(missing);
        let error = refused_bytes(&shorter).with_context(|| format!("without byte {missing}"))?;
        ensure!(
            matches!(error, ContainerError::ManifestBounds { .. }),
            "{missing}: {error:?}"
        );
    }
    Ok(())
}

/// Which errors a changed byte may give, by where it is.
fn is_expected(error: &ContainerError, bytes: &[u8], position: usize) -> bool {
    let footer_offset = bytes.len() - FOOTER_LEN;
    let Some(in_footer) = position.checked_sub(footer_offset) else {
        return matches!(error, ContainerError::ManifestDigest { offset: 0 });
    };
    match in_footer {
        0..8 => {
            matches!(error, ContainerError::Magic { offset } if *offset == footer_offset as u64)
        }
        8..12 => matches!(error, ContainerError::Version { .. }),
        28.. => matches!(error, ContainerError::Flags { .. }),
        _ => matches!(
            error,
            ContainerError::ManifestBounds { .. } | ContainerError::ManifestDigest { .. }
        ),
    }
}

fn flip_metadata(bytes: &[u8]) -> anyhow::Result<()> {
    let footer_offset = bytes.len() - FOOTER_LEN;
    for position in (0..forge::metadata_len(bytes)).chain(footer_offset..bytes.len()) {
        for mask in MASKS {
            let mut flipped = bytes.to_vec();
            flipped[position] ^= mask;
            let at = || format!("byte {position} ^ {mask:#x}");
            let error = refused_bytes(&flipped).with_context(at)?;
            ensure!(is_expected(&error, bytes, position), "{}: {error:?}", at());
        }
    }
    Ok(())
}

#[test]
fn every_flip_in_manifest_digest_and_footer_is_noticed() -> anyhow::Result<()> {
    flip_metadata(&forge::small())
}

#[test]
fn every_flip_in_the_metadata_of_a_built_file_is_noticed() -> anyhow::Result<()> {
    match bundle()? {
        Some(bytes) => flip_metadata(&bytes),
        None => Ok(()),
    }
}

#[test]
fn every_flip_between_digest_and_footer_is_noticed() -> anyhow::Result<()> {
    let bytes = forge::small();
    let payload = forge::open(Arc::new(bytes.clone()))?.context("the container")?;
    let artifacts: Vec<_> = payload.artifacts().collect();
    let contents = forge::metadata_len(&bytes)..bytes.len() - FOOTER_LEN;
    for position in contents {
        let mut flipped = bytes.clone();
        flipped[position] ^= 0x10;
        let error = refused_bytes(&flipped).with_context(|| format!("byte {position}"))?;
        let at = position as u64;
        let holder = artifacts
            .iter()
            .find(|(_, offset, length)| (*offset..offset + length).contains(&at));
        let next = artifacts.iter().find(|(_, offset, _)| *offset > at);
        let expected = match (error, holder, next) {
            (
                ContainerError::Hash {
                    artifact,
                    offset,
                    length,
                },
                Some(holder),
                _,
            ) => (artifact, offset, length) == *holder,
            (ContainerError::Padding { artifact, offset }, None, Some(next)) => {
                (artifact, offset) == (next.0, next.1)
            }
            _ => false,
        };
        ensure!(expected, "byte {position}: {holder:?}, before {next:?}");
    }
    Ok(())
}

#[test]
fn flipped_content_of_a_built_file_is_never_read() -> anyhow::Result<()> {
    let Some(bytes) = bundle()? else {
        return Ok(());
    };
    let payload = Payload::open(Arc::new(bytes.clone()))?;
    for (kind, offset, length) in payload.artifacts() {
        for position in [offset, offset + length / 2, offset + length - 1] {
            let mut flipped = bytes.clone();
            flipped[usize::try_from(position)?] ^= 0x01;
            let payload = Payload::open(Arc::new(flipped))?;
            let is_it = |error: &ContainerError| {
                matches!(error, ContainerError::Hash { artifact, offset: at, .. }
                    if *artifact == kind && *at == offset)
            };
            let read = payload.read(kind, length).err().context("it was read")?;
            ensure!(is_it(&read), "{kind}: {read:?}");
            let verified = payload.verify().err().context("it was verified")?;
            ensure!(is_it(&verified), "{kind}: {verified:?}");
            if matches!(kind, ArtifactKind::Tokenizer | ArtifactKind::Graph) {
                let loaded = Encoder::load(&payload).err().context("it was loaded")?;
                ensure!(
                    matches!(&loaded, Error::File(FileError::Container(error)) if is_it(error)),
                    "{loaded:?}"
                );
            }
        }
    }
    Ok(())
}

/// Numbers that readers get wrong, for a file of `length` bytes.
fn extremes(length: u64) -> Vec<u64> {
    let around = |it: u64| [it.wrapping_sub(1), it, it.wrapping_add(1)];
    let mut numbers: Vec<u64> = [
        0,
        32,
        length / 2,
        length - 32,
        length,
        16 << 20,
        1 << 31,
        1 << 32,
        1 << 63,
    ]
    .into_iter()
    .flat_map(around)
    .collect();
    // Sums with these wrap around to something small.
    numbers.extend([u64::MAX - length, u64::MAX - 32, u64::MAX - 31]);
    numbers
}

#[test]
fn a_footer_may_name_any_offset_and_length() -> anyhow::Result<()> {
    let bytes = forge::small();
    let valid = forge::footer(&bytes);
    let numbers = extremes(bytes.len() as u64);
    for metadata_offset in numbers.iter().copied().chain([valid.metadata_offset]) {
        for metadata_length in numbers.iter().copied().chain([valid.metadata_length]) {
            let footer = Footer {
                metadata_offset,
                metadata_length,
                ..valid
            };
            if footer == valid {
                continue;
            }
            let mut forged = bytes.clone();
            let start = bytes.len() - FOOTER_LEN;
            forged[start..].copy_from_slice(&footer.to_bytes());
            let at = || format!("{footer:?}");
            let error = refused_bytes(&forged).with_context(at)?;
            let expected = matches!(
                error,
                ContainerError::ManifestBounds { .. } | ContainerError::ManifestDigest { .. }
            );
            ensure!(expected, "{}: {error:?}", at());
        }
    }
    Ok(())
}

/// A file of any size that is all zeros before its footer.
struct Endless {
    length: u64,
    footer: [u8; FOOTER_LEN],
}

impl Source for Endless {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        checked_range(offset, buffer.len() as u64, self.length)?;
        let footer_offset = self.length - FOOTER_LEN as u64;
        if offset == footer_offset {
            buffer.copy_from_slice(&self.footer[..buffer.len()]);
        } else {
            buffer.fill(0);
        }
        Ok(())
    }
}

#[test]
fn a_manifest_beyond_the_limit_is_not_read() -> anyhow::Result<()> {
    for length in [1 << 30, 1 << 32, (1 << 32) + 100, 1 << 63, u64::MAX] {
        for metadata_length in [(16 << 20) + 1, 1 << 29] {
            let valid = forge::footer(&forge::small());
            let footer = Footer {
                metadata_offset: length,
                metadata_length,
                ..valid
            }
            .to_bytes();
            let error = refused(Arc::new(Endless { length, footer }))?;
            let expected = matches!(error, ContainerError::ManifestLength { offset: 0, length, .. }
                if length == metadata_length);
            ensure!(expected, "{length}: {error:?}");
        }
    }
    Ok(())
}

#[test]
fn another_version_or_flag_is_refused() -> anyhow::Result<()> {
    let bytes = forge::small();
    let valid = forge::footer(&bytes);
    let manifest = &bytes[..forge::metadata_len(&bytes) - DIGEST_LEN];
    for version in [0, 1, 3, u32::MAX] {
        let footer = Footer {
            format_version: version,
            ..valid
        };
        let error = refused_bytes(&forge::seal_with(manifest, forge::body_of(&bytes), footer))?;
        ensure!(
            matches!(error, ContainerError::Version { got, .. } if got == version),
            "{error:?}"
        );
    }
    for flags in [0, 2, 3, u32::MAX] {
        let footer = Footer { flags, ..valid };
        let error = refused_bytes(&forge::seal_with(manifest, forge::body_of(&bytes), footer))?;
        ensure!(
            matches!(error, ContainerError::Flags { got, .. } if got == flags),
            "{error:?}"
        );
    }
    Ok(())
}
