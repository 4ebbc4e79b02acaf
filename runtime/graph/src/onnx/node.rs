//! A node of an ONNX graph: attributes by name and type, inputs by place.

use super::tensor::{datum_type, read_tensor};
use encoderfile_proto::onnx::attribute_proto::AttributeType;
use encoderfile_proto::onnx::{AttributeProto, NodeProto};
use tract_core::internal::*;

/// A node, in the operator set its graph was written for.
pub(crate) struct Node<'a> {
    pub(crate) proto: &'a NodeProto,
    pub(crate) opset: i64,
}

impl<'a> Node<'a> {
    /// The value of an attribute, if it is there.
    pub(crate) fn attribute<T: Attribute<'a>>(&self, name: &str) -> TractResult<Option<T>> {
        let Some(attribute) = attribute(self.proto, name) else {
            return Ok(None);
        };
        ensure!(
            attribute.r#type() == T::TYPE,
            "attribute `{name}` is a {:?}, not a {:?}",
            attribute.r#type(),
            T::TYPE
        );
        let value = T::read(attribute);
        value
            .with_context(|| format!("attribute `{name}`"))
            .map(Some)
    }

    /// The value of an attribute that has to be there.
    pub(crate) fn required<T: Attribute<'a>>(&self, name: &str) -> TractResult<T> {
        let value = self.attribute(name)?;
        value.with_context(|| format!("no attribute `{name}`"))
    }

    /// Where among those given the input at `place` is, if it is given.
    pub(crate) fn input(&self, place: usize) -> Option<usize> {
        slot(&self.proto.input, place)
    }

    /// Whether the output at `place` is used.
    pub(crate) fn has_output(&self, place: usize) -> bool {
        slot(&self.proto.output, place).is_some()
    }
}

/// The attribute of that name.
pub(crate) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|it| it.name == name)
}

/// Whether that is the default domain.
pub(crate) fn is_standard(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// What errors call a node.
pub(crate) fn node_name(node: &NodeProto) -> &str {
    match (node.name.as_str(), node.output.first()) {
        ("", Some(output)) => output,
        (name, _) => name,
    }
}

/// ONNX leaves out an optional value by an empty name; tract counts only what is there.
fn slot(names: &[String], place: usize) -> Option<usize> {
    let given = |name: &&String| !name.is_empty();
    names.get(place).filter(given)?;
    let before = names.iter().take(place);
    Some(before.filter(given).count())
}

/// A type that attributes have.
pub(crate) trait Attribute<'a>: Sized {
    const TYPE: AttributeType;
    fn read(attribute: &'a AttributeProto) -> TractResult<Self>;
}

macro_rules! attribute {
    ($rust:ty, $onnx:ident, $read:expr) => {
        impl<'a> Attribute<'a> for $rust {
            const TYPE: AttributeType = AttributeType::$onnx;
            fn read(attribute: &'a AttributeProto) -> TractResult<Self> {
                let read: fn(&'a AttributeProto) -> TractResult<Self> = $read;
                read(attribute)
            }
        }
    };
}

attribute!(i64, Int, |it| Ok(it.i));
attribute!(isize, Int, |it| Ok(it.i.try_into()?));
attribute!(usize, Int, |it| Ok(it.i.try_into()?));
attribute!(bool, Int, |it| Ok(it.i != 0));
attribute!(DatumType, Int, |it| datum_type(it.i.try_into()?));
attribute!(f32, Float, |it| Ok(it.f));
attribute!(&'a str, String, |it| Ok(std::str::from_utf8(&it.s)?));
attribute!(Vec<i64>, Ints, |it| Ok(it.ints.clone()));
attribute!(Vec<f32>, Floats, |it| Ok(it.floats.clone()));
attribute!(Vec<usize>, Ints, |it| {
    let values = it.ints.iter().map(|value| usize::try_from(*value));
    Ok(values.collect::<Result<_, _>>()?)
});
attribute!(TVec<usize>, Ints, |it| Ok(Vec::<usize>::read(it)?.into()));
attribute!(Tensor, Tensor, |it| {
    Ok(read_tensor(it.t.as_ref().context("no tensor")?)?)
});
