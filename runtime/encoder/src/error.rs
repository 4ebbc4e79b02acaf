//! What can go wrong between bytes and values, by who can do something about it:
//! whoever has the file, whoever asks, or whoever maintains this program.
//!
//! **Invariant:** a caller never has to read a message. Each failure that somebody
//! could act on is a variant with its data; the messages are for people.

mod request;

pub use request::{LimitedBy, OptionsError, PoolingProblem, RequestError};

use encoderfile_format::container::ContainerError;
use encoderfile_format::manifest::ManifestError;
use encoderfile_format::source::ReadFailure;
use encoderfile_graph::{GraphError, Stage};
use encoderfile_proto::Malformed;
use std::fmt::Display;

/// A file without a model, or a request without a result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is at fault: no other request does better.
    #[error(transparent)]
    File(#[from] FileError),
    /// The request is at fault: the same model answers others.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// This program is, or a library in it.
    #[error(transparent)]
    Bug(#[from] Bug),
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It is not there, or may not be read.
    #[error("{path}: {source}")]
    Open {
        /// As it was given.
        path: String,
        /// What the system says.
        source: ReadFailure,
    },
    /// What is wrong with the file of that name: of a model that was opened by its path.
    #[error("{path}: {problem}")]
    In {
        /// As it was given.
        path: String,
        /// What is wrong.
        #[source]
        problem: Box<FileError>,
    },
    /// It is no valid container, or cannot be read.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// A section decodes to something that is not what it should be.
    #[error("{section}: {source}")]
    Section {
        /// The name of the section.
        section: &'static str,
        /// What protobuf says.
        source: Malformed,
    },
    /// The pipeline says what no builder writes.
    #[error("manifest: {0}")]
    Manifest(#[from] ManifestError),
    /// The pipeline lacks what its task needs.
    #[error("manifest: {0}")]
    Task(#[from] TaskProblem),
    /// tokenizer.json cannot be read, in the words of the tokenizers library.
    #[error("tokenizer.json: {problem}")]
    Tokenizer {
        /// What is wrong with it, on one line.
        problem: String,
    },
    /// The model takes no more tokens than the special ones around a text.
    #[error("at most {max_tokens} tokens a sequence, but {special_tokens} of them are special")]
    NoRoom {
        /// The pipeline's limit.
        max_tokens: usize,
        /// What the tokenizer adds to every text.
        special_tokens: usize,
    },
    /// The graph cannot be served, or gives something other than the pipeline says.
    #[error(transparent)]
    Graph(GraphError),
    /// A result that is no number: a weight is damaged, or sums overflow.
    #[error("the model computes numbers that are not finite for this text ({found} in {place})")]
    NotFinite {
        /// "NaN" or "infinity".
        found: &'static str,
        /// The graph's output, or what was made of it.
        place: String,
    },
}

impl Error {
    /// Of a file that somebody gave by its name.
    #[must_use]
    pub fn in_file(self, path: impl Display) -> Self {
        match self {
            Self::File(problem) => Self::File(problem.in_file(path)),
            other => other,
        }
    }
}

impl FileError {
    fn in_file(self, path: impl Display) -> Self {
        match self {
            named @ (Self::Open { .. } | Self::In { .. }) => named,
            problem => Self::In {
                path: path.to_string(),
                problem: problem.into(),
            },
        }
    }
}

/// What of a pipeline does not fit its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskProblem {
    /// Labels and logits differ in number.
    #[error("not one label for each logit")]
    Labels,
    /// One row where there should be one a token, or the other way round.
    #[error("output rank does not fit the task")]
    OutputRank,
    /// The label of entailment is none of the labels.
    #[error("no such entailment label")]
    EntailmentLabel,
    /// Fill-mask without a mask token.
    #[error("no mask token")]
    MaskToken,
    /// Late interaction without what makes a query and a document.
    #[error("no settings of late interaction")]
    Roles,
    /// A module after the pooling whose weights the file does not hold.
    #[error("a module whose weights are not in the file")]
    ModuleBounds,
    /// A module after the pooling whose weights cannot be read.
    #[error("a module whose weights cannot be read")]
    ModuleRead,
}

/// What only a change of this program can repair. Its words are for a report.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Bug {
    /// The inference engine failed over a text, though it had taken the graph.
    #[error(transparent)]
    Engine(GraphError),
    /// An item that a head made no sequence of.
    #[error("the item makes no sequence to compute")]
    NoSequence,
    /// A panic: the inference engine's, the tokenizer's or our own.
    #[error("the computation failed unexpectedly")]
    Panic {
        /// What the panic said, on one line: [`detail`].
        message: String,
    },
}

impl Bug {
    /// The words of the inference engine or of the panic, on one line.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Engine(graph) => graph.detail(),
            Self::Panic { message } => Some(message),
            Self::NoSequence => None,
        }
    }
}

impl From<ContainerError> for Error {
    fn from(error: ContainerError) -> Self {
        Self::File(error.into())
    }
}

impl From<ManifestError> for Error {
    fn from(error: ManifestError) -> Self {
        Self::File(error.into())
    }
}

impl From<TaskProblem> for Error {
    fn from(problem: TaskProblem) -> Self {
        Self::File(problem.into())
    }
}

impl From<OptionsError> for Error {
    fn from(error: OptionsError) -> Self {
        Self::Request(error.into())
    }
}

impl From<GraphError> for Error {
    fn from(error: GraphError) -> Self {
        match error {
            GraphError::Engine {
                stage: Stage::Computing,
                ..
            } => Self::Bug(Bug::Engine(error)),
            _ => Self::File(FileError::Graph(error)),
        }
    }
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

/// The words of the inference engine, or of a panic, about an error or one of its
/// causes, which messages leave out.
pub fn detail<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a str> {
    let mut next = Some(error);
    while let Some(error) = next {
        // Transparent variants are not among the causes.
        let detail = match error.downcast_ref::<Error>() {
            Some(Error::File(error)) => of_file(error),
            Some(Error::Bug(bug)) => bug.detail(),
            Some(Error::Request(_)) => None,
            None => error
                .downcast_ref::<FileError>()
                .and_then(of_file)
                .or_else(|| error.downcast_ref::<Bug>().and_then(Bug::detail))
                .or_else(|| error.downcast_ref::<GraphError>()?.detail()),
        };
        if detail.is_some() {
            return detail;
        }
        next = error.source();
    }
    None
}

fn of_file(error: &FileError) -> Option<&str> {
    match error {
        FileError::Graph(graph) => graph.detail(),
        FileError::In { problem, .. } => of_file(problem),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Bug, Error, FileError, detail, one_line};
    use encoderfile_format::container::ContainerError;
    use encoderfile_format::source::ReadError;
    use encoderfile_graph::{GraphError, Stage};

    #[test]
    fn a_quoted_cause_is_said_once() {
        let read = ContainerError::Read {
            offset: 7,
            length: 3,
            source: ReadError::from("gone\nfor good").into(),
        };
        assert_eq!(
            one_line(&Error::from(read)),
            "3 bytes at offset 7: gone for good"
        );
    }

    #[test]
    fn only_what_fails_over_a_text_is_a_bug_of_the_engine() {
        let engine = |stage| GraphError::Engine {
            stage,
            detail: "tract says".into(),
        };
        let (typing, computing) = (engine(Stage::Typing), engine(Stage::Computing));
        let file = Error::from(typing.clone());
        assert_eq!(file, Error::File(FileError::Graph(typing)));
        let bug = Error::from(computing.clone());
        assert_eq!(bug, Error::Bug(Bug::Engine(computing)));
        for error in [file, bug] {
            assert_eq!(detail(&error), Some("tract says"));
        }
        let message = "index out of bounds".to_owned();
        let panic = Bug::Panic { message };
        assert_eq!(detail(&Error::from(panic)), Some("index out of bounds"));
    }
}
