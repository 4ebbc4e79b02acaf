//! Decoding messages that anybody may have written.
//!
//! An empty entry of a list takes two bytes in a message and a hundred in memory,
//! so a limit on the message's length alone does not bound what decoding
//! allocates. [`decode`] counts the entries first, by the schema that the
//! message was compiled from.
//!
//! **Invariant:** nothing in this project decodes a message of a file in another
//! way; clippy refuses `prost::Message::decode` (see clippy.toml).

use crate::{Golden, Manifest, onnx::ModelProto};
use prost::encoding::{WireType, decode_key, decode_varint};
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

impl Root for ModelProto {
    const SCHEMA: &'static Schema = &ONNX_MODELPROTO;
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
    if count(bytes, M::SCHEMA, limit) > limit {
        return Err(Malformed::Entries { limit });
    }
    #[allow(clippy::disallowed_methods, reason = "its entries have been counted")]
    M::decode(bytes).map_err(Malformed::Protobuf)
}

/// The number of entries of a message, as far as `limit` and a little beyond.
fn count(message: &[u8], schema: &'static Schema, limit: usize) -> usize {
    let mut entries: usize = 0;
    // Messages within messages are as deep as the file says, so not on the stack.
    let mut open = vec![(schema, message)];
    while let Some((schema, rest)) = open.last_mut() {
        let Some((tag, field)) = next_field(rest) else {
            open.pop();
            continue;
        };
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
    entries
}

/// The next field's tag, and its bytes where it has a length. `None` at the end,
/// or where the message is malformed; decoding then says how.
fn next_field<'a>(message: &mut &'a [u8]) -> Option<(u32, Option<&'a [u8]>)> {
    let (tag, wire_type) = decode_key(message).ok()?;
    let (length, is_delimited) = match wire_type {
        WireType::LengthDelimited => (usize::try_from(decode_varint(message).ok()?).ok()?, true),
        WireType::Varint => {
            decode_varint(message).ok()?;
            (0, false)
        }
        WireType::SixtyFourBit => (8, false),
        WireType::ThirtyTwoBit => (4, false),
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    let (content, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some((tag, is_delimited.then_some(content)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{AttributeProto, GraphProto, NodeProto, TensorProto};
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
}
