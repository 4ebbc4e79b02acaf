//! Decoding an ONNX model without letting it take memory at will.
//!
//! An empty node takes two bytes in the file and two hundred in memory, so the
//! entries are counted before anything is decoded.

use crate::GraphError;
use encoderfile_format::container::entries::fields;
use encoderfile_format::limits::GRAPH_ENTRIES_MAX;
use encoderfile_proto::onnx::ModelProto;
use prost::Message;

/// Decodes the graph of an encoderfile.
pub(crate) fn decode(model: &[u8]) -> Result<ModelProto, GraphError> {
    check_entries(model)?;
    Ok(ModelProto::decode(model)?)
}

/// The messages of onnx.proto that have messages in them; `Leaf` is any other.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Leaf,
}

impl Kind {
    /// What the field with this number holds, if that is a message.
    fn inner(self, tag: u32) -> Option<Self> {
        Some(match (self, tag) {
            (Self::Model, 7) => Self::Graph,
            (Self::Model, 8) => Self::Leaf,
            (Self::Graph, 1) => Self::Node,
            (Self::Graph, 5) => Self::Tensor,
            (Self::Graph, 11..=13) => Self::ValueInfo,
            (Self::Node, 5) => Self::Attribute,
            (Self::Attribute, 5) => Self::Tensor,
            (Self::Attribute, 6) => Self::Graph,
            (Self::Tensor, 13) => Self::Leaf,
            (Self::ValueInfo, 2) => Self::Type,
            (Self::Type, 1) => Self::TensorType,
            (Self::TensorType, 2) => Self::Shape,
            (Self::Shape, 1) => Self::Leaf,
            _ => return None,
        })
    }
}

fn check_entries(model: &[u8]) -> Result<(), GraphError> {
    let mut entries = 0;
    let mut messages = vec![(Kind::Model, fields(model))];
    while let Some((kind, rest)) = messages.last_mut() {
        let Some((tag, content)) = rest.next() else {
            messages.pop();
            continue;
        };
        entries += 1;
        if entries > GRAPH_ENTRIES_MAX {
            return Err(GraphError::Entries {
                limit: GRAPH_ENTRIES_MAX,
            });
        }
        let inner = kind.inner(tag).map(|inner| (inner, fields(content)));
        messages.extend(inner);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoderfile_proto::onnx::{AttributeProto, GraphProto, NodeProto};

    fn encoded(graph: GraphProto) -> Vec<u8> {
        let graph = Some(graph);
        let model = ModelProto {
            graph,
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }

    fn refused(graph: GraphProto) -> bool {
        matches!(decode(&encoded(graph)), Err(GraphError::Entries { .. }))
    }

    #[test]
    fn many_empty_entries_are_refused_wherever_they_are() {
        let nodes = |count| vec![NodeProto::default(); count];
        let graph = |count| GraphProto {
            node: nodes(count),
            ..GraphProto::default()
        };
        assert!(!refused(graph(1000)));
        assert!(refused(graph(GRAPH_ENTRIES_MAX)));
        let attribute = AttributeProto {
            g: Some(graph(GRAPH_ENTRIES_MAX)),
            ..AttributeProto::default()
        };
        let node = NodeProto {
            attribute: vec![attribute],
            ..NodeProto::default()
        };
        let outer = GraphProto {
            node: vec![node],
            ..GraphProto::default()
        };
        assert!(refused(outer));
    }
}
