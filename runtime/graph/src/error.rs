//! The errors of graphs.

use encoderfile_format::weights::WeightsError;
use tract_core::internal::TractError;

/// A graph that cannot be served, and what tract says of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// Not an ONNX model.
    #[error("graph: not an ONNX model, or one that was cut short")]
    Decode {
        /// What protobuf says: [`GraphError::detail`].
        detail: String,
    },
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
    #[error(
        "graph: {} is not supported; export the model with opset {min} or newer",
        .got.map_or_else(|| "a model without an opset".into(), |got| format!("opset {got}"))
    )]
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
    #[error("graph: {}", .stage.problem())]
    Engine {
        /// What was being done.
        stage: Stage,
        /// The engine's own words, on one line: [`GraphError::detail`].
        detail: String,
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

/// What the engine was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Reading nodes, tensors, inputs and outputs.
    Reading,
    /// Finding the shape and type of every value, for any length.
    Typing,
    /// Simplifying and planning a graph whose shapes are known.
    Planning,
    /// Computing a text.
    Computing,
}

impl Stage {
    /// What that means to whoever has the model.
    pub fn problem(self) -> &'static str {
        match self {
            Self::Reading => "a tensor or node in it is not valid ONNX",
            Self::Typing => {
                "its operators do not fit together for one text of any length; it may have been exported for one shape only: export it again with dynamic axes"
            }
            Self::Planning => "no plan can be made of its operators",
            Self::Computing => "an operator failed while a text was computed",
        }
    }
}

impl From<prost::DecodeError> for GraphError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Decode {
            detail: error.to_string(),
        }
    }
}

impl GraphError {
    pub(super) fn engine(stage: Stage) -> impl Fn(TractError) -> Self {
        move |error| Self::Engine {
            stage,
            detail: one_line(&error),
        }
    }

    /// The inference engine's own words, for whoever wants to know more than
    /// the message says.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Engine { detail, .. } | Self::Decode { detail } => Some(detail),
            _ => None,
        }
    }
}

/// tract's chain of causes.
pub(super) fn one_line(error: &TractError) -> String {
    format!("{error:#}").replace('\n', " ")
}
