//! Manifests that lie about their artifacts, with a digest that agrees.

use crate::forge::{self, body_of, manifest_of, refused_bytes, resealed, seal};
use anyhow::{Context, ensure};
use encoderfile::Payload;
use encoderfile::container::{self, ArtifactKind, ContainerError, Content};
use encoderfile::limits::GRAPH_LEN_MAX;
use encoderfile::proto::{Artifact, Manifest};
use encoderfile::source::{ReadError, Source};
use prost::Message;
use std::sync::Arc;

/// Every artifact of the small container, in file order.
fn entries(manifest: &mut Manifest) -> [(ArtifactKind, &mut Artifact); 4] {
    [
        (
            ArtifactKind::ModelConfig,
            manifest.model_config.get_or_insert_default(),
        ),
        (
            ArtifactKind::Tokenizer,
            manifest.tokenizer.get_or_insert_default(),
        ),
        (ArtifactKind::Graph, manifest.graph.get_or_insert_default()),
        (
            ArtifactKind::Weights,
            manifest.weights.get_or_insert_default(),
        ),
    ]
}

#[test]
fn an_artifact_anywhere_else_is_refused() -> anyhow::Result<()> {
    let valid = manifest_of(&forge::small());
    for index in 0..4 {
        let honest = entries(&mut valid.clone())[index].1.offset;
        let others = [
            // Unaligned, overlapping, beyond the file, and sums that wrap around.
            honest + 1,
            honest - 64,
            honest + 64,
            1,
            1 << 31,
            1 << 32,
            (1 << 32) + honest,
            1 << 63,
            u64::MAX - 200,
            u64::MAX,
        ];
        for offset in others {
            let mut named = None;
            let bytes = resealed(|manifest| {
                let (kind, artifact) = &mut entries(manifest)[index];
                artifact.offset = offset;
                named = Some(*kind);
            });
            let error = refused_bytes(&bytes).with_context(|| format!("{named:?} at {offset}"))?;
            let expected = matches!(error, ContainerError::Misplaced { artifact, got, expected }
                if Some(artifact) == named && got == offset && expected == honest);
            ensure!(expected, "{named:?} at {offset}: {error:?}");
        }
    }
    Ok(())
}

#[test]
fn an_offset_of_zero_is_refused() -> anyhow::Result<()> {
    // Protobuf leaves a zero out, which makes the manifest shorter.
    let bytes = resealed(|manifest| entries(manifest)[0].1.offset = 0);
    let error = refused_bytes(&bytes)?;
    let expected = matches!(
        error,
        ContainerError::Length { .. } | ContainerError::Misplaced { .. }
    );
    ensure!(expected, "{error:?}");
    Ok(())
}

#[test]
fn unsorted_artifacts_are_refused() -> anyhow::Result<()> {
    let bytes = resealed(|manifest| {
        std::mem::swap(&mut manifest.tokenizer, &mut manifest.graph);
    });
    // Of other lengths they are also at other places.
    let error = refused_bytes(&bytes)?;
    let expected = matches!(
        error,
        ContainerError::Misplaced {
            artifact: ArtifactKind::Tokenizer,
            ..
        }
    );
    ensure!(expected, "{error:?}");

    let same_length = resealed(|manifest| {
        let [_, (_, tokenizer), (_, graph), _] = entries(manifest);
        std::mem::swap(&mut tokenizer.offset, &mut graph.offset);
    });
    let error = refused_bytes(&same_length)?;
    let expected = matches!(
        error,
        ContainerError::Misplaced {
            artifact: ArtifactKind::Tokenizer,
            ..
        }
    );
    ensure!(expected, "{error:?}");
    Ok(())
}

#[test]
fn artifacts_that_share_bytes_are_refused() -> anyhow::Result<()> {
    let bytes = resealed(|manifest| {
        let shared = manifest.tokenizer.clone();
        manifest.graph = shared;
    });
    let error = refused_bytes(&bytes)?;
    let expected = matches!(
        error,
        ContainerError::Misplaced {
            artifact: ArtifactKind::Graph,
            ..
        } | ContainerError::Length { .. }
    );
    ensure!(expected, "{error:?}");
    Ok(())
}

#[test]
fn lengths_that_do_not_add_up_are_refused() -> anyhow::Result<()> {
    let lengths = [
        0,
        1,
        1 << 20,
        1 << 31,
        1 << 32,
        (1 << 32) + 23,
        1 << 63,
        u64::MAX - 63,
        u64::MAX,
    ];
    for index in 0..4 {
        for length in lengths {
            let bytes = resealed(|manifest| entries(manifest)[index].1.length = length);
            let at = || format!("artifact {index} of {length} bytes");
            let error = refused_bytes(&bytes).with_context(at)?;
            // A small difference before the weights is lost in their alignment,
            // but moves what comes between, or the hash.
            let expected = match &error {
                ContainerError::Length { end, .. } => {
                    length < 1 << 63 || end.is_none_or(|it| it > 1 << 62)
                }
                ContainerError::Misplaced { .. }
                | ContainerError::Hash { .. }
                | ContainerError::Padding { .. } => length <= 1,
                _ => false,
            };
            ensure!(expected, "{}: {error:?}", at());
        }
    }
    Ok(())
}

#[test]
fn a_gap_and_trailing_bytes_are_refused() -> anyhow::Result<()> {
    let bytes = forge::small();
    let manifest = manifest_of(&bytes).encode_to_vec();
    for extra in [1, 64, 4096] {
        let trailing = [body_of(&bytes), &vec![0; extra]].concat();
        let error = refused_bytes(&seal(&manifest, &trailing))?;
        ensure!(
            matches!(error, ContainerError::Length { .. }),
            "{extra} trailing: {error:?}"
        );
        let leading = [&vec![0; extra], body_of(&bytes)].concat();
        let error = refused_bytes(&seal(&manifest, &leading))?;
        ensure!(
            matches!(error, ContainerError::Length { .. }),
            "{extra} leading: {error:?}"
        );
    }
    let short = &body_of(&bytes)[1..];
    let error = refused_bytes(&seal(&manifest, short))?;
    ensure!(
        matches!(error, ContainerError::Length { .. }),
        "one byte short: {error:?}"
    );
    Ok(())
}

#[test]
fn an_artifact_without_a_hash_is_never_read() -> anyhow::Result<()> {
    for hash in [vec![], vec![0; 32], vec![0; 31], vec![0xff; 64]] {
        let bytes = resealed(|manifest| {
            let honest = manifest.encoded_len();
            entries(manifest)[2].1.blake3.clone_from(&hash);
            // As long as before, so that everything stays in its place.
            let missing = honest.saturating_sub(manifest.encoded_len());
            manifest.name.push_str(&"x".repeat(missing));
        });
        if hash.len() > 32 {
            refused_bytes(&bytes)?;
            continue;
        }
        let payload = Payload::open(Arc::new(bytes))?;
        let error = payload
            .read(ArtifactKind::Graph, 1 << 20)
            .err()
            .context("it was read")?;
        let expected = matches!(
            error,
            ContainerError::Hash {
                artifact: ArtifactKind::Graph,
                ..
            }
        );
        ensure!(expected, "{hash:?}: {error:?}");
    }
    Ok(())
}

#[test]
fn what_is_no_manifest_is_refused() -> anyhow::Result<()> {
    let nested = [0x83, 0x7d].repeat(100_000);
    let endless_varint = vec![0xff; 1000];
    let cut_short = vec![0x12, 0xff, 0xff, 0xff, 0xff, 0x0f];
    for manifest in [nested, endless_varint, cut_short] {
        let error = refused_bytes(&seal(&manifest, &[]))?;
        ensure!(
            matches!(error, ContainerError::ManifestDecode { offset: 0, .. }),
            "{error:?}"
        );
    }
    Ok(())
}

#[test]
fn many_empty_entries_take_no_more_memory_than_the_file() -> anyhow::Result<()> {
    /// Field 160, `bases`: an empty message.
    const BASE: [u8; 3] = [0x82, 0x0a, 0x00];
    /// Field 9 of a pipeline, `labels`: an empty string.
    const LABEL: [u8; 2] = [0x4a, 0x00];
    let bases = BASE.repeat(200_000);
    let labels = LABEL.repeat(300_000);
    let mut pipeline = vec![0x52];
    prost::encoding::encode_varint(labels.len() as u64, &mut pipeline);
    pipeline.extend(labels);
    // Field 6 of a provenance, `findings`, and packed numbers: `pooling`.
    let nested = |field: u8, content: Vec<u8>| {
        let mut bytes = vec![field];
        prost::encoding::encode_varint(content.len() as u64, &mut bytes);
        [bytes, content].concat()
    };
    let findings = nested(0x5a, [0x32, 0x00].repeat(300_000));
    let pooling = nested(0x52, nested(0x3a, vec![1; 4 << 20]));
    for (name, manifest) in [
        ("bases", bases),
        ("labels", pipeline),
        ("findings", findings),
        ("pooling", pooling),
    ] {
        // Whether it is refused or not, it must not cost more than it weighs.
        let opened = forge::open(Arc::new(seal(&manifest, &[])));
        opened.with_context(|| name.to_owned())?.ok();
    }
    Ok(())
}

#[test]
fn a_graph_beside_the_first_is_an_artifact_like_any_other() -> anyhow::Result<()> {
    let mut manifest = forge::manifest();
    manifest.graphs = vec!["vision".into()];
    let content = b"another graph".to_vec();
    let contents: [Content<'_>; 1] = [(ArtifactKind::NamedGraph(0), &content)];
    let mut bytes = Vec::new();
    container::write(&manifest, &contents, &mut bytes)?;
    let payload = Payload::open(Arc::new(bytes))?;
    payload.verify()?;
    ensure!(payload.manifest().graphs == ["vision"]);
    ensure!(payload.read(ArtifactKind::NamedGraph(0), 1 << 10)? == content);
    let unnamed = [(ArtifactKind::NamedGraph(1), contents[0].1)];
    let refused = container::write(&manifest, &unnamed, &mut Vec::new());
    ensure!(refused.is_err_and(|error| error.to_string().contains("graph 1")));
    Ok(())
}

#[test]
fn a_graph_that_no_reader_would_take_is_not_written() -> anyhow::Result<()> {
    /// As long as it says, and never read.
    struct Long(u64);
    impl Source for Long {
        fn len(&self) -> u64 {
            self.0
        }
        fn read_at(&self, _offset: u64, _buffer: &mut [u8]) -> Result<(), ReadError> {
            unreachable!("it is refused by its length");
        }
    }
    let mut manifest = forge::manifest();
    manifest.graphs = vec!["vision".into()];
    for kind in [ArtifactKind::Graph, ArtifactKind::NamedGraph(0)] {
        let content = Long(GRAPH_LEN_MAX + 1);
        let contents: [Content<'_>; 1] = [(kind, &content)];
        let refused = container::compose(&manifest, &contents).err();
        let refused = refused.context("it was written")?.to_string();
        ensure!(
            refused == format!("{kind}: 67108865 bytes, and readers take at most 67108864"),
            "{refused}"
        );
    }
    Ok(())
}

#[test]
fn what_is_missing_or_too_large_is_named() -> anyhow::Result<()> {
    let payload = Payload::open(Arc::new(forge::small()))?;
    let error = payload
        .read(ArtifactKind::Golden, 1 << 20)
        .err()
        .context("it was read")?;
    let expected = matches!(
        error,
        ContainerError::Missing {
            artifact: ArtifactKind::Golden,
            ..
        }
    );
    ensure!(expected, "{error:?}");
    let error = payload
        .read(ArtifactKind::Weights, 199)
        .err()
        .context("it was read")?;
    let expected = matches!(
        error,
        ContainerError::TooLarge {
            artifact: ArtifactKind::Weights,
            length: 200,
            limit: 199,
            ..
        }
    );
    ensure!(expected, "{error:?}");
    Ok(())
}
