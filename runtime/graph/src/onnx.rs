//! Reading an ONNX model: messages, tensors, and operators as those of tract.

pub(crate) mod decode;
pub(crate) mod external;
mod node;
pub(crate) mod operators;
pub(crate) mod reader;
mod tensor;

pub(crate) use node::is_standard;
