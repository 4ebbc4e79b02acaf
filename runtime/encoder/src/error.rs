//! The runtime's one error type.

use crate::tokenizer::TokenizerError;
use encoderfile_format::container::ContainerError;
use encoderfile_format::manifest::ManifestError;
use encoderfile_graph::GraphError;
use encoderfile_proto::Malformed;

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
        source: Malformed,
    },
    /// The pipeline says what no builder writes.
    #[error("manifest: {0}")]
    Pipeline(#[from] ManifestError),
    /// The manifest leaves out what its task needs.
    #[error("manifest: {0}")]
    Manifest(&'static str),
    /// The tokenizer cannot be read, or refuses a text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The graph cannot be served, or failed.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A text beyond [`encoderfile_format::limits::TEXT_LEN_MAX`].
    #[error("the text has {length} bytes, limit {limit}")]
    TextLength {
        /// In bytes.
        length: usize,
        /// In bytes.
        limit: usize,
    },
    /// A text that does not fit, where the request says not to cut it.
    #[error("the text has {tokens_total} tokens, {limited_by} {max_tokens}")]
    TooManyTokens {
        /// Special tokens included.
        tokens_total: usize,
        /// Special tokens included.
        max_tokens: usize,
        /// "the model takes" or "`max_tokens` is".
        limited_by: &'static str,
    },
    /// A token that the model has no embedding for.
    #[error("token id {id} is not within the model's vocabulary of {vocabulary_size}")]
    TokenId {
        /// The id the tokenizer gave.
        id: u32,
        /// Rows of the model's token embedding.
        vocabulary_size: u32,
    },
    /// A result that is no number.
    #[error("the model computes numbers that are not finite for this text ({found} in {place})")]
    NotFinite {
        /// "NaN" or "infinity".
        found: &'static str,
        /// The graph's output, or what was made of it.
        place: String,
    },
    /// Nothing to fill in.
    #[error(
        "no mask token {mask} in the text{}",
        if *.truncated { ", or only where it was cut" } else { "" }
    )]
    NoMask {
        /// As the text has to spell it.
        mask: String,
        /// Whether the text was cut.
        truncated: bool,
    },
    /// An item of no sequence at all.
    #[error("the item makes no sequence to compute")]
    NoSequence,
    /// Options that make no sense, or not for this model.
    #[error("{0}")]
    Request(String),
    /// A request for something the task does not have.
    #[error("`{option}` does not apply to {task}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// The task's name.
        task: &'static str,
    },
}

/// An error and its causes on one line. Causes that a message already quotes
/// are not repeated.
pub fn one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !line.contains(&message) {
            line.push_str(": ");
            line.push_str(&message);
        }
        cause = error.source();
    }
    line.replace('\n', " ")
}

/// The inference engine's own words about an error or one of its causes, which
/// messages leave out.
pub fn detail<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a str> {
    let mut next = Some(error);
    while let Some(error) = next {
        let graph = match error.downcast_ref::<Error>() {
            Some(Error::Graph(graph)) => Some(graph),
            _ => error.downcast_ref::<GraphError>(),
        };
        if let Some(detail) = graph.and_then(GraphError::detail) {
            return Some(detail);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Error, one_line};
    use encoderfile_format::container::ContainerError;

    #[test]
    fn a_quoted_cause_is_said_once() {
        let read = ContainerError::Read {
            offset: 7,
            length: 3,
            source: "gone\nfor good".into(),
        };
        assert_eq!(
            one_line(&Error::from(read)),
            "3 bytes at offset 7: gone for good"
        );
    }
}
