//! The container: `[ base ][ manifest ][ digest ][ artifacts… ][ footer ]`.
//!
//! One layout for native executables, `.ef.wasm` modules and bundles. All
//! offsets count from the end of the file or from the manifest, so the bytes
//! from the manifest to the footer (the *payload*) are the same whatever they
//! are appended to. Artifacts follow one another in a fixed order, each at the
//! next multiple of its alignment: there is exactly one valid place for each,
//! so gaps, overlaps and trailing bytes cannot be expressed. What ends the file in the formats
//! of executables that must end otherwise is said in [`executable`].
//!
//! The reader and the writer share [`layout`].

pub mod archive;
pub mod component;
mod error;
pub mod executable;
mod hash;
mod reader;
pub mod wheel;
mod writer;

use crate::limits::{GOLDEN_LEN_MAX, GRAPH_LEN_MAX, MODEL_CONFIG_LEN_MAX, TOKENIZER_LEN_MAX};
use encoderfile_proto::{Artifact, Manifest};
use std::fmt;

pub use error::ContainerError;
pub use reader::{Payload, find_footer};
pub use writer::{Content, compose, compose_with, write};

/// The first eight bytes of the footer, as in upstream's format 1.
pub const MAGIC: [u8; 8] = *b"ENCFILE\0";

/// The format this crate writes and reads.
pub const FORMAT_VERSION: u32 = 2;

/// What a base program has in it, followed by the version of the format that it reads, in
/// decimal, and a line feed: a payload of another version would not start.
pub const BASE_MARK: &str = "encoderfile base program of format ";

/// The footer is the last 32 bytes of every payload.
pub const FOOTER_LEN: usize = 32;

/// A payload begins at a multiple of this, so that weights can be mapped:
/// the largest page size in use (arm64 Linux).
pub const PAYLOAD_ALIGNMENT: u64 = 64 << 10;

/// BLAKE3 over manifest and footer, written right after the manifest.
const DIGEST_LEN: usize = blake3::OUT_LEN;

/// Bit 0 of the footer's flags: the manifest is protobuf. No other is defined.
const FLAGS: u32 = 1;

/// The last 32 bytes, little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// 1 for upstream's files, 2 for ours.
    pub format_version: u32,
    /// Format 1: of the manifest, from the start of the file. Format 2: from its end backwards.
    pub metadata_offset: u64,
    /// Format 2: the digest included.
    pub metadata_length: u64,
    /// See the format's description of flags.
    pub flags: u32,
}

impl Footer {
    /// Reads a footer, of any version; `None` if the magic is not there.
    pub fn parse(bytes: &[u8; FOOTER_LEN]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (format_version, rest) = rest.split_first_chunk::<4>()?;
        let (metadata_offset, rest) = rest.split_first_chunk::<8>()?;
        let (metadata_length, rest) = rest.split_first_chunk::<8>()?;
        let flags = rest.first_chunk::<4>()?;
        (*magic == MAGIC).then(|| Self {
            format_version: u32::from_le_bytes(*format_version),
            metadata_offset: u64::from_le_bytes(*metadata_offset),
            metadata_length: u64::from_le_bytes(*metadata_length),
            flags: u32::from_le_bytes(*flags),
        })
    }

    /// The 32 bytes that [`Footer::parse`] reads.
    pub fn to_bytes(self) -> [u8; FOOTER_LEN] {
        let mut bytes = [0; FOOTER_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.format_version.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.metadata_offset.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.metadata_length.to_le_bytes());
        bytes[28..].copy_from_slice(&self.flags.to_le_bytes());
        bytes
    }
}

/// What an artifact is. The order is the order in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ArtifactKind {
    /// The folder's config.json.
    ModelConfig,
    /// tokenizer.json.
    Tokenizer,
    /// The ONNX model without its large tensors.
    Graph,
    /// Reference results for `self-test`.
    Golden,
    /// The `n`th graph beside the first.
    NamedGraph(usize),
    /// The `n`th base program.
    Base(usize),
    /// A complete payload inside this one.
    DefaultModel,
    /// The large tensors.
    Weights,
}

impl ArtifactKind {
    /// Tensors are read in place by 64-byte vectors; mapped ones need whole pages.
    const fn alignment(self) -> u64 {
        match self {
            Self::Weights => PAYLOAD_ALIGNMENT,
            _ => 64,
        }
    }

    /// How many bytes the readers of this kind take: see [`crate::limits`].
    const fn length_max(self) -> u64 {
        match self {
            Self::ModelConfig => MODEL_CONFIG_LEN_MAX,
            Self::Tokenizer => TOKENIZER_LEN_MAX,
            Self::Graph | Self::NamedGraph(_) => GRAPH_LEN_MAX,
            Self::Golden => GOLDEN_LEN_MAX,
            Self::Base(_) | Self::DefaultModel | Self::Weights => u64::MAX,
        }
    }

    /// The manifest's entry for this kind, created if there is none.
    fn entry(self, manifest: &mut Manifest) -> Option<&mut Artifact> {
        let slot = match self {
            Self::ModelConfig => &mut manifest.model_config,
            Self::Tokenizer => &mut manifest.tokenizer,
            Self::Graph => &mut manifest.graph,
            Self::Golden => &mut manifest.golden,
            Self::NamedGraph(index) => &mut manifest.graphs.get_mut(index)?.model,
            Self::Base(index) => &mut manifest.bases.get_mut(index)?.program,
            Self::DefaultModel => &mut manifest.default_model,
            Self::Weights => &mut manifest.weights,
        };
        Some(slot.get_or_insert_default())
    }
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ModelConfig => f.write_str("model_config"),
            Self::Tokenizer => f.write_str("tokenizer"),
            Self::Graph => f.write_str("graph"),
            Self::Golden => f.write_str("golden"),
            Self::NamedGraph(index) => write!(f, "graph {index}"),
            Self::Base(index) => write!(f, "base {index}"),
            Self::DefaultModel => f.write_str("default_model"),
            Self::Weights => f.write_str("weights"),
        }
    }
}

/// Every artifact a manifest names, in file order.
fn artifacts(manifest: &Manifest) -> Vec<(ArtifactKind, &Artifact)> {
    let graphs = manifest.graphs.iter().enumerate();
    let bases = manifest.bases.iter().enumerate();
    [
        (ArtifactKind::ModelConfig, manifest.model_config.as_ref()),
        (ArtifactKind::Tokenizer, manifest.tokenizer.as_ref()),
        (ArtifactKind::Graph, manifest.graph.as_ref()),
        (ArtifactKind::Golden, manifest.golden.as_ref()),
    ]
    .into_iter()
    .chain(graphs.map(|(index, graph)| (ArtifactKind::NamedGraph(index), graph.model.as_ref())))
    .chain(bases.map(|(index, base)| (ArtifactKind::Base(index), base.program.as_ref())))
    .chain([
        (ArtifactKind::DefaultModel, manifest.default_model.as_ref()),
        (ArtifactKind::Weights, manifest.weights.as_ref()),
    ])
    .filter_map(|(kind, artifact)| Some((kind, artifact?)))
    .collect()
}

/// Where each artifact must be, from the manifest's first byte, and the end of
/// the last one; `None` where that exceeds 64 bits.
fn layout(
    metadata_length: u64,
    artifacts: impl IntoIterator<Item = (ArtifactKind, u64)>,
) -> Option<(Vec<u64>, u64)> {
    let mut end = metadata_length;
    let mut offsets = Vec::new();
    for (kind, length) in artifacts {
        let offset = end.checked_next_multiple_of(kind.alignment())?;
        offsets.push(offset);
        end = offset.checked_add(length)?;
    }
    Some((offsets, end))
}

fn digest(manifest: &[u8], footer: &[u8; FOOTER_LEN]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(manifest);
    hasher.update(footer);
    hasher.finalize()
}
