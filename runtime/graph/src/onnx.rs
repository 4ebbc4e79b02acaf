//! Reading an ONNX model: messages, tensors, and operators as those of tract-core.

pub(crate) mod decode;
#[cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]
pub(crate) mod external;
#[cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]
mod node;
pub(crate) mod operators;
#[cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]
pub(crate) mod reader;
#[cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]
mod tensor;

pub(crate) use node::is_standard;
