//! float16 graphs as float32 graphs.
//!
//! Few processors compute in float16, and none of them loses by computing more
//! exactly. Large tensors keep their two bytes a value until they are loaded:
//! in a checked graph, a float16 initializer stands for its float32 values.

use super::tensors::is_large;
use super::values::Floats;
use encoderfile::onnx::{
    AttributeProto, GraphProto, TensorProto, tensor_proto::DataType, type_proto,
};
use encoderfile::source::Source;

const F16: i32 = DataType::Float16 as i32;
const F32: i32 = DataType::Float as i32;

/// The attributes that name an element type.
const TYPE_ATTRIBUTES: [&str; 3] = ["dtype", "stash_type", "to"];

/// Lets everything that computes in float16 compute in float32.
pub(super) fn compute(graph: &mut GraphProto) {
    for tensor in &mut graph.initializer {
        if !is_large(tensor) {
            widen(tensor);
        }
    }
    for value in graph.output.iter_mut().chain(&mut graph.value_info) {
        let of = value.r#type.as_mut().and_then(|it| it.value.as_mut());
        if let Some(type_proto::Value::TensorType(tensor)) = of
            && tensor.elem_type == F16
        {
            tensor.elem_type = F32;
        }
    }
    for attribute in graph.node.iter_mut().flat_map(|it| &mut it.attribute) {
        widen_attribute(attribute);
    }
}

fn widen_attribute(attribute: &mut AttributeProto) {
    if TYPE_ATTRIBUTES.contains(&attribute.name.as_str()) && attribute.i == i64::from(F16) {
        attribute.i = i64::from(F32);
    }
    if let Some(tensor) = &mut attribute.t {
        widen(tensor);
    }
    if let Some(body) = &mut attribute.g {
        compute(body);
    }
}

/// The same values as float32, if they are float16.
pub(super) fn widen(tensor: &mut TensorProto) {
    if tensor.data_type != F16 {
        return;
    }
    let values = Floats::take(tensor);
    let wide = values.into_f32();
    let mut bytes = vec![0; usize::try_from(wide.len()).unwrap_or(0)];
    // All of a source that is as long as the buffer.
    let read = wide.read_at(0, &mut bytes);
    debug_assert!(read.is_ok());
    tensor.raw_data = bytes.into();
    tensor.data_type = F32;
}
