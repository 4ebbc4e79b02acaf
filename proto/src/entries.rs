//! Decoding messages that anybody may have written.
//!
//! An empty entry of a list takes two bytes in a message and a hundred in memory,
//! so a limit on the message's length alone does not bound what decoding
//! allocates. [`decode`] counts the entries first, by the schema that the
//! message was compiled from.
//!
//! **Invariant:** nothing in this project decodes a message of a file in another
//! way; clippy refuses `prost::Message::decode` (see clippy.toml).

use crate::{Golden, Manifest, onnx, sentencepiece};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost::{DecodeError, Message};

/// A message that cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It has more fields, entries of lists and messages in messages than `limit`.
    Entries {
        /// The largest number allowed.
        limit: usize,
    },
    /// It is no protobuf, or of another schema.
    Protobuf(DecodeError),
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Entries { limit } => write!(f, "more than {limit} entries"),
            Self::Protobuf(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Malformed {}

/// A message that a file begins with.
pub trait Root: Message + Default {
    /// Which of its fields hold entries.
    #[doc(hidden)]
    const SCHEMA: &'static Schema;
}

impl Root for Manifest {
    const SCHEMA: &'static Schema = &ENCODERFILE_MANIFEST;
}

impl Root for Golden {
    const SCHEMA: &'static Schema = &ENCODERFILE_GOLDEN;
}

impl Root for onnx::ModelProto {
    const SCHEMA: &'static Schema = &ONNX_MODELPROTO;
}

impl Root for sentencepiece::ModelProto {
    const SCHEMA: &'static Schema = &SENTENCEPIECE_MODELPROTO;
}

/// The fields of a message that hold more than one entry.
#[doc(hidden)]
pub struct Schema(&'static [(u32, Content)]);

/// What a field holds.
enum Content {
    Message(&'static Schema),
    /// Packed numbers of one byte or more, which take eight in memory.
    Varints,
}

include!(concat!(env!("OUT_DIR"), "/entries.rs"));

/// The message of these bytes, if it has at most `limit` entries: fields, at
/// whatever depth, and each number of a list of varying length.
///
/// # Errors
/// [`Malformed`], before anything of the message is allocated where it has too
/// many entries.
pub fn decode<M: Root>(bytes: impl AsRef<[u8]>, limit: usize) -> Result<M, Malformed> {
    let bytes = bytes.as_ref();
    if count(bytes, M::SCHEMA, limit).map_err(Malformed::Protobuf)? > limit {
        return Err(Malformed::Entries { limit });
    }
    #[allow(clippy::disallowed_methods, reason = "its entries have been counted")]
    M::decode(bytes).map_err(Malformed::Protobuf)
}

/// The number of entries of a message, as far as `limit` and a little beyond.
/// A message that this cannot read to its end, prost must not decode: it would
/// allocate for what was not counted before it comes upon the fault.
fn count(message: &[u8], schema: &'static Schema, limit: usize) -> Result<usize, DecodeError> {
    let mut entries: usize = 0;
    // Messages within messages are as deep as the file says, so not on the stack.
    let mut open = vec![(schema, message)];
    while let Some((schema, rest)) = open.last_mut() {
        if rest.is_empty() {
            open.pop();
            continue;
        }
        let (tag, field) = next_field(rest)?;
        entries = entries.saturating_add(1);
        if entries > limit {
            break;
        }
        let content = schema.0.iter().find(|(number, _)| *number == tag);
        match (content, field) {
            (Some((_, Content::Message(inner))), Some(bytes)) => open.push((inner, bytes)),
            (Some((_, Content::Varints)), Some(bytes)) => {
                let ends = bytes.iter().filter(|byte| **byte < 0x80).count();
                entries = entries.saturating_add(ends);
            }
            _ => {}
        }
    }
    Ok(entries)
}

/// The next field's tag, and its bytes where it has a length. A group, which no
/// schema here has, is skipped whole, as prost does.
fn next_field<'a>(message: &mut &'a [u8]) -> Result<(u32, Option<&'a [u8]>), DecodeError> {
    let (tag, wire_type) = decode_key(message)?;
    let begin = *message;
    skip_field(wire_type, tag, message, DecodeContext::default())?;
    if wire_type != WireType::LengthDelimited {
        return Ok((tag, None));
    }
    let length = begin.len().saturating_sub(message.len());
    let mut content = begin.get(..length).unwrap_or_default();
    decode_varint(&mut content)?;
    Ok((tag, Some(content)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
    use crate::{Base, Finding, GoldenCase, Pipeline, Provenance};

    const LIMIT: usize = 1000;

    fn refused<M: Root>(message: &M) -> bool {
        let decoded = decode::<M>(message.encode_to_vec(), LIMIT);
        decoded.err() == Some(Malformed::Entries { limit: LIMIT })
    }

    fn model(graph: GraphProto) -> ModelProto {
        let graph = Some(graph);
        ModelProto {
            graph,
            ..ModelProto::default()
        }
    }

    fn nodes(count: usize) -> GraphProto {
        GraphProto {
            node: vec![NodeProto::default(); count],
            ..GraphProto::default()
        }
    }

    #[test]
    fn many_empty_entries_are_refused_wherever_they_are() {
        assert!(!refused(&model(nodes(LIMIT - 1))));
        assert!(refused(&model(nodes(LIMIT))));
        let attribute = AttributeProto {
            g: Some(nodes(LIMIT)),
            ..AttributeProto::default()
        };
        let node = NodeProto {
            attribute: vec![attribute],
            ..NodeProto::default()
        };
        assert!(refused(&model(GraphProto {
            node: vec![node],
            ..GraphProto::default()
        })));
    }

    #[test]
    fn packed_numbers_count_each() {
        let tensor = TensorProto {
            dims: vec![300; LIMIT],
            ..TensorProto::default()
        };
        assert!(refused(&model(GraphProto {
            initializer: vec![tensor],
            ..GraphProto::default()
        })));
        let case = GoldenCase {
            input_ids: vec![7; LIMIT],
            ..GoldenCase::default()
        };
        assert!(refused(&Golden { cases: vec![case] }));
        let pipeline = Pipeline {
            pooling: vec![1; LIMIT],
            ..Pipeline::default()
        };
        assert!(refused(&Manifest {
            pipeline: Some(pipeline),
            ..Manifest::default()
        }));
    }

    #[test]
    fn lists_of_a_manifest_count_at_every_depth() {
        let bases = vec![Base::default(); LIMIT + 1];
        assert!(refused(&Manifest {
            bases,
            ..Manifest::default()
        }));
        let provenance = Provenance {
            findings: vec![Finding::default(); LIMIT],
            ..Provenance::default()
        };
        assert!(refused(&Manifest {
            provenance: Some(provenance),
            ..Manifest::default()
        }));
    }

    #[test]
    fn what_is_no_protobuf_is_said_to_be_none() {
        let decoded = decode::<Manifest>([0x12, 0xff, 0xff, 0x0f], LIMIT);
        assert!(matches!(decoded, Err(Malformed::Protobuf(_))));
    }

    /// What prost skips is counted and skipped, whatever stands behind it.
    #[test]
    fn unknown_fields_hide_no_entries() {
        const UNKNOWN: [(&str, &[u8]); 4] = [
            ("a group", &[0x7b, 0x7c]),
            ("a group in a group", &[0x7b, 0x83, 0x01, 0x84, 0x01, 0x7c]),
            ("a varint", &[0x78, 0x01]),
            ("bytes", &[0x7a, 0x02, 0x00, 0x00]),
        ];
        let graph = nodes(LIMIT).encode_to_vec();
        for (what, unknown) in UNKNOWN {
            let mut model = unknown.to_vec();
            model.extend([0x3a]); // ModelProto.graph
            let inner = [unknown, &graph].concat();
            prost::encoding::encode_varint(inner.len() as u64, &mut model);
            model.extend(inner);
            let decoded = decode::<ModelProto>(&model, LIMIT);
            assert_eq!(
                decoded.err(),
                Some(Malformed::Entries { limit: LIMIT }),
                "{what}"
            );
            assert!(decode::<ModelProto>(&model, 2 * LIMIT).is_ok(), "{what}");
        }
    }

    /// prost reads a field that is longer than the message it is in, from the bytes
    /// behind that message, before it refuses it.
    #[test]
    fn a_field_longer_than_its_message_is_refused_before_it_is_decoded() {
        let nodes = nodes(LIMIT).encode_to_vec();
        let mut graph = vec![0x3a]; // ModelProto.graph: of two bytes
        graph.extend([0x02, 0x0a]);
        prost::encoding::encode_varint(nodes.len() as u64, &mut graph);
        graph.extend(nodes);
        for bytes in [&graph[..], &[0x7c], &[0x7b], &[0x7b, 0x84, 0x01]] {
            let decoded = decode::<ModelProto>(bytes, LIMIT);
            assert!(matches!(decoded, Err(Malformed::Protobuf(_))), "{bytes:?}");
        }
    }
}
