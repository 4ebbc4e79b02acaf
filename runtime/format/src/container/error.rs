//! What can be wrong with a container. Each error names the section and the
//! offset from the start of the file.

use super::{ArtifactKind, FOOTER_LEN, FORMAT_VERSION};
use crate::manifest::ManifestError;
use crate::source::ReadFailure;
use encoderfile_proto::Malformed;

/// A file that is no valid encoderfile, and where.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// Too short to hold a footer.
    #[error(
        "footer at offset 0: the file has {length} bytes, fewer than the footer's {FOOTER_LEN}"
    )]
    TooShort {
        /// Of the file.
        length: u64,
    },
    /// Not an encoderfile, or cut at the end.
    #[error("footer at offset {offset}: no encoderfile magic; not an encoderfile, or cut short")]
    Magic {
        /// Of the footer.
        offset: u64,
    },
    /// A Mach-O file whose segment for the payload is none.
    #[error("load command at offset {offset} of a Mach-O file: {problem}")]
    Segment {
        /// Of the load command.
        offset: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A Mach-O file whose payload does not begin where its section does, or an image whose file
    /// does not begin with it.
    #[error(
        "manifest at offset {offset}: the section or file that holds the payload begins at {expected}"
    )]
    Start {
        /// Of the manifest.
        offset: u64,
        /// Of the section or file.
        expected: u64,
    },
    /// Another format.
    #[error("footer at offset {offset}: format version {got}, expected {FORMAT_VERSION}")]
    Version {
        /// Of the footer.
        offset: u64,
        /// The version found.
        got: u32,
    },
    /// Undefined flags.
    #[error("footer at offset {offset}: flags {got:#x}, expected 0x1")]
    Flags {
        /// Of the footer.
        offset: u64,
        /// The flags found.
        got: u32,
    },
    /// The manifest is not within the file.
    #[error(
        "footer at offset {offset}: a manifest of {length} bytes, {distance} bytes before the end, does not fit the file"
    )]
    ManifestBounds {
        /// Of the footer.
        offset: u64,
        /// From the manifest's start to the end of the file.
        distance: u64,
        /// Of manifest and digest.
        length: u64,
    },
    /// The manifest is larger than any real one.
    #[error("manifest at offset {offset}: {length} bytes, limit {limit}")]
    ManifestLength {
        /// Of the manifest.
        offset: u64,
        /// Of manifest and digest.
        length: u64,
        /// See [`crate::limits::MANIFEST_LEN_MAX`].
        limit: u64,
    },
    /// Manifest or footer were changed.
    #[error("manifest at offset {offset}: manifest and footer do not match their digest")]
    ManifestDigest {
        /// Of the manifest.
        offset: u64,
    },
    /// The manifest is no protobuf, or has more entries than any real one.
    #[error("manifest at offset {offset}: {source}")]
    ManifestDecode {
        /// Of the manifest.
        offset: u64,
        /// What is wrong with it.
        source: Malformed,
    },
    /// The manifest says what no builder writes.
    #[error("manifest at offset {offset}: {source}")]
    Manifest {
        /// Of the manifest.
        offset: u64,
        /// What it says.
        source: ManifestError,
    },
    /// A file without a model, as the tool itself.
    #[error("manifest at offset {offset}: it holds no model")]
    NoModel {
        /// Of the manifest.
        offset: u64,
    },
    /// Sizes add up to more than 64 bits, or not to the size of the file.
    #[error(
        "manifest at offset {offset}: its artifacts end at {end:?}, the footer begins at {footer}"
    )]
    Length {
        /// Of the manifest.
        offset: u64,
        /// Where the last artifact would end; `None` beyond 64 bits.
        end: Option<u64>,
        /// The offset of the footer.
        footer: u64,
    },
    /// An artifact that overlaps another, leaves a gap or is out of order.
    #[error(
        "{artifact} at offset {got}: expected at {expected}, right after the section before it"
    )]
    Misplaced {
        /// Which.
        artifact: ArtifactKind,
        /// Where the manifest puts it.
        got: u64,
        /// Where the layout puts it.
        expected: u64,
    },
    /// Bytes between sections that are not zero.
    #[error("{artifact} at offset {offset}: the padding before it is not zero")]
    Padding {
        /// The section after the padding.
        artifact: ArtifactKind,
        /// Of that section.
        offset: u64,
    },
    /// The content was changed.
    #[error("{artifact} at offset {offset}: its {length} bytes do not match their hash")]
    Hash {
        /// Which.
        artifact: ArtifactKind,
        /// Of the artifact.
        offset: u64,
        /// Of the artifact.
        length: u64,
    },
    /// A section that must be there is not.
    #[error("manifest at offset {offset}: no {artifact}")]
    Missing {
        /// Which.
        artifact: ArtifactKind,
        /// Of the manifest.
        offset: u64,
    },
    /// A section larger than any real one, or than this machine can address.
    #[error("{artifact} at offset {offset}: {length} bytes, limit {limit}")]
    TooLarge {
        /// Which.
        artifact: ArtifactKind,
        /// Of the artifact.
        offset: u64,
        /// Of the artifact.
        length: u64,
        /// See [`crate::limits`].
        limit: u64,
    },
    /// The bytes cannot be had.
    #[error("{length} bytes at offset {offset}: {source}")]
    Read {
        /// From the start of the file.
        offset: u64,
        /// How many.
        length: u64,
        /// What their owner says.
        source: ReadFailure,
    },
}
