//! The errors of graphs.

use crate::weights::WeightsError;
use tract_hir::internal::TractError;

/// A graph that cannot be served, and what tract says of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// Not an ONNX model.
    #[error("graph: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A model that takes far more memory than its bytes in the file.
    #[error("graph: more than {limit} entries")]
    Entries {
        /// Of nodes, names, attributes, tensors and everything else.
        limit: usize,
    },
    /// An ONNX model without a graph.
    #[error("graph: the ONNX model has no graph")]
    NoGraph,
    /// A version of the operators whose meaning is another, or none.
    #[error("graph: opset {got:?} is not supported; export the model with opset {min} or newer")]
    Opset {
        /// The version of the default domain, if the model says it.
        got: Option<i64>,
        /// The oldest that is served.
        min: i64,
    },
    /// An operator that is not served.
    #[error("graph: operator {op_type} of node `{node}` is not supported")]
    Operator {
        /// With its domain, where it has one.
        op_type: String,
        /// The node's name or first output.
        node: String,
    },
    /// A node whose attributes or inputs are not those of its operator.
    #[error("graph: node `{node}` ({op_type}): {problem}")]
    Node {
        /// The operator.
        op_type: String,
        /// The node's name or first output.
        node: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A value that is used but not defined before.
    #[error("graph: nothing defines `{value}`, which `{user}` needs")]
    Undefined {
        /// The name of the value.
        value: String,
        /// A node, or "the output".
        user: String,
    },
    /// An input or output of the pipeline that the graph has not.
    #[error("graph: no {what} named `{name}`")]
    NoSuchName {
        /// "input" or "output".
        what: &'static str,
        /// The name looked for.
        name: String,
    },
    /// An input that nothing in the pipeline provides.
    #[error("graph: nothing provides the input `{name}`")]
    UnboundInput {
        /// Its name.
        name: String,
    },
    /// A tensor that cannot be read.
    #[error("graph: {0}")]
    Weights(#[from] WeightsError),
    /// The graph does not type-check, or an operator failed.
    #[error("graph: {stage}: {message}")]
    Tract {
        /// What was being done.
        stage: &'static str,
        /// tract's chain of causes, on one line.
        message: String,
    },
    /// A result of another shape than the pipeline says.
    #[error("graph: output has shape {got:?}, expected {expected:?}")]
    OutputShape {
        /// The shape found.
        got: Vec<usize>,
        /// The shape the pipeline declares.
        expected: Vec<usize>,
    },
}

impl GraphError {
    pub(super) fn tract(stage: &'static str) -> impl Fn(TractError) -> Self {
        move |error| Self::Tract {
            stage,
            message: one_line(&error),
        }
    }
}

/// tract's chain of causes.
pub(super) fn one_line(error: &TractError) -> String {
    format!("{error:#}").replace('\n', " ")
}
