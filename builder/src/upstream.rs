//! Reading upstream's format 1, to inspect it and to re-target it.
//!
//! Format 1 has absolute offsets, the whole ONNX file as one artifact, and
//! SHA-256 hashes that upstream itself never checks. They are checked here.

use crate::folder::Overrides;
use anyhow::{Context, bail, ensure};
use encoderfile::container::{FOOTER_LEN, Footer};
use encoderfile::limits::{MANIFEST_ENTRIES_MAX, MANIFEST_LEN_MAX};
use encoderfile::manifest::{Task, TruncationSide};
use encoderfile::proto::{self, Artifact, Manifest};
use encoderfile::source::checked_range;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The version in upstream's footer.
const FORMAT_VERSION: u32 = 1;

/// A format 1 file, checked.
pub struct Upstream {
    /// What it says of itself.
    pub manifest: Manifest,
    /// The ONNX file.
    pub weights: Vec<u8>,
    /// config.json.
    pub config_json: Vec<u8>,
    /// tokenizer.json.
    pub tokenizer_json: Vec<u8>,
    /// What upstream's own tokenizer settings say.
    pub overrides: Overrides,
}

#[derive(Deserialize)]
struct TokenizerArtifact {
    tokenizer: Value,
    #[serde(default)]
    config: TokenizerSettings,
}

#[derive(Default, Deserialize)]
struct TokenizerSettings {
    truncation: Option<Truncation>,
}

#[derive(Deserialize)]
struct Truncation {
    max_length: Option<u32>,
    #[serde(alias = "side")]
    direction: Option<String>,
}

/// Upstream's `model_type` of image classification.
const IMAGE_CLASSIFICATION: i32 = 21;

/// Whether a format 1 file is a model of images: by its type, or by the artifact
/// that has the number of format 2's graph.
pub fn is_of_images(manifest: &Manifest) -> bool {
    manifest.task == IMAGE_CLASSIFICATION || manifest.graph.is_some()
}

/// Whether a file ends with a footer of format 1.
pub fn is_format_1(file: &[u8]) -> bool {
    footer(file).is_some_and(|it| it.format_version == FORMAT_VERSION)
}

fn footer(file: &[u8]) -> Option<Footer> {
    Footer::parse(file.last_chunk::<FOOTER_LEN>()?)
}

/// The manifest of a format 1 file, and its offset in bytes from the start of `file`.
///
/// # Errors
/// A message, with the section and its offset, where there is no footer, the manifest is not
/// within the file or too long, or it cannot be decoded.
pub fn manifest(file: &[u8]) -> anyhow::Result<(Manifest, u64)> {
    let footer = footer(file).context("no encoderfile footer")?;
    let total = file.len() as u64 - FOOTER_LEN as u64;
    let (offset, length) = (footer.metadata_offset, footer.metadata_length);
    checked_range(offset, length, total).context("footer: manifest")?;
    ensure!(
        length <= MANIFEST_LEN_MAX,
        "manifest at offset {offset}: {length} bytes, limit {MANIFEST_LEN_MAX}"
    );
    let bytes = slice(file, offset, length)?;
    let manifest = proto::decode(bytes, MANIFEST_ENTRIES_MAX)
        .with_context(|| format!("manifest at offset {offset}"))?;
    Ok((manifest, offset))
}

impl Upstream {
    /// Reads a format 1 file and checks its hashes.
    ///
    /// # Errors
    /// As [`manifest()`]; a message with the artifact's name for one that is missing,
    /// malformed or does not match its hash, and for a model of images or with a Lua script.
    pub fn read(file: &[u8]) -> anyhow::Result<Self> {
        let (manifest, start) = manifest(file)?;
        if is_of_images(&manifest) {
            bail!(
                "an image classification model (model_type {IMAGE_CLASSIFICATION}, artifact 140: its image preprocessor); only encoders of texts are supported"
            );
        }
        if manifest.transform.is_some() {
            bail!(
                "transform: the file post-processes its results with a Lua script, which is not supported"
            );
        }
        let read = |name, artifact: &Option<Artifact>| {
            let artifact = artifact.as_ref().with_context(|| format!("no {name}"))?;
            read_artifact(file, start, artifact).context(name)
        };
        let tokenizer = read("tokenizer", &manifest.tokenizer)?;
        let tokenizer: TokenizerArtifact =
            serde_json::from_slice(tokenizer).context("tokenizer")?;
        Ok(Self {
            weights: read("weights", &manifest.weights)?.to_vec(),
            config_json: read("model_config", &manifest.model_config)?.to_vec(),
            tokenizer_json: serde_json::to_vec(&tokenizer.tokenizer)?,
            overrides: overrides(&manifest, &tokenizer.config)?,
            manifest,
        })
    }
}

fn overrides(manifest: &Manifest, settings: &TokenizerSettings) -> anyhow::Result<Overrides> {
    let task = match manifest.task() {
        proto::Task::Embedding => Task::Embedding,
        proto::Task::SentenceEmbedding => Task::SentenceEmbedding,
        proto::Task::SequenceClassification => Task::SequenceClassification,
        proto::Task::TokenClassification => Task::TokenClassification,
        _ => bail!("manifest: unknown model_type {}", manifest.task),
    };
    let truncation = settings.truncation.as_ref();
    let side = truncation.and_then(|it| it.direction.as_deref());
    let truncation_side = match side.map(str::to_lowercase).as_deref() {
        None => None,
        Some("right") => Some(TruncationSide::Right),
        Some("left") => Some(TruncationSide::Left),
        Some(other) => bail!("tokenizer: truncation direction {other:?} is not supported"),
    };
    Ok(Overrides {
        task: Some(task),
        max_length: truncation.and_then(|it| it.max_length),
        truncation_side,
        ..Overrides::default()
    })
}

fn read_artifact<'a>(file: &'a [u8], start: u64, artifact: &Artifact) -> anyhow::Result<&'a [u8]> {
    let offset = start
        .checked_add(artifact.offset)
        .context("offset exceeds 64 bits")?;
    let bytes = slice(file, offset, artifact.length)?;
    ensure!(
        Sha256::digest(bytes).as_slice() == artifact.sha256,
        "{} bytes at offset {offset} do not match their SHA-256",
        artifact.length
    );
    Ok(bytes)
}

fn slice(file: &[u8], offset: u64, length: u64) -> anyhow::Result<&[u8]> {
    let range = checked_range(offset, length, file.len() as u64)?;
    Ok(&file[usize::try_from(range.start)?..usize::try_from(range.end)?])
}
