//! The runtime's one error type.

use crate::container::ContainerError;
use crate::graph::GraphError;
use crate::tokenizer::TokenizerError;

/// Anything that can go wrong between bytes and values.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is no valid container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// A section decodes to something that is not what it should be.
    #[error("{section}: {source}")]
    Section {
        /// Its name.
        section: &'static str,
        /// What protobuf says.
        source: prost::DecodeError,
    },
    /// The manifest leaves out what its task needs.
    #[error("manifest: {0}")]
    Manifest(&'static str),
    /// The tokenizer cannot be read, or refuses a text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The graph cannot be served, or failed.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A text beyond [`crate::limits::TEXT_LEN_MAX`].
    #[error("the text has {length} bytes, limit {limit}")]
    TextLength {
        /// In bytes.
        length: usize,
        /// In bytes.
        limit: usize,
    },
    /// A text that does not fit, where the request says not to cut it.
    #[error("the text has {tokens_total} tokens, the model takes {max_tokens}")]
    TooManyTokens {
        /// Special tokens included.
        tokens_total: usize,
        /// Special tokens included.
        max_tokens: usize,
    },
    /// A token that the model has no embedding for.
    #[error("token id {id} is not within the model's vocabulary of {vocabulary_size}")]
    TokenId {
        /// The id the tokenizer gave.
        id: u32,
        /// Rows of the model's token embedding.
        vocabulary_size: u32,
    },
    /// A request for something the task does not have.
    #[error("`{option}` does not apply to {task}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// The task's name.
        task: &'static str,
    },
}
