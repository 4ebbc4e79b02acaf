//! Why a model of the hub cannot be had, in one line that says what to do.

use super::Reference;
use crate::error::BuildError;
use crate::net::NetError;
use std::io;
use std::path::PathBuf;

/// A model that the hub does not give, or that cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// Neither a folder nor an id.
    #[error(
        "{}: no such folder, and no model of the hub either, which is NAME or ORG/NAME, perhaps with @REVISION",
        .name.display()
    )]
    Neither {
        /// What was given.
        name: PathBuf,
    },
    /// An environment variable that makes no sense.
    #[error("{variable}: {problem}")]
    Variable {
        /// Which.
        variable: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// No folder to keep files in.
    #[error("no folder to keep models of the hub in: set HF_HOME, or HOME")]
    NoHome,
    /// No such model, or none that this user may see: the hub does not tell them apart.
    #[error(
        "{reference}: no such folder, and {endpoint} has no such model, or it is private: {}",
        advice(*.with_token)
    )]
    NoModel {
        /// What was asked for.
        reference: Reference,
        /// Who was asked.
        endpoint: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// A model without that branch, tag or commit.
    #[error("{reference}: {} has no branch, tag or commit {:?}", .reference.id(), .reference.revision())]
    NoRevision {
        /// What was asked for.
        reference: Reference,
    },
    /// A model without that file.
    #[error("{reference}: {file} is not in it")]
    NoFile {
        /// What was asked for.
        reference: Reference,
        /// The file.
        file: String,
    },
    /// A model whose terms have to be accepted.
    #[error(
        "{reference}: its terms have to be accepted first, at {endpoint}/{}; then {}",
        .reference.id(),
        advice(*.with_token)
    )]
    Gated {
        /// What was asked for.
        reference: Reference,
        /// Who was asked.
        endpoint: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// A token that the hub does not know.
    #[error(
        "{reference}: {endpoint} does not accept the token of {token_source}; `hf auth login` writes a new one"
    )]
    Token {
        /// What was asked for.
        reference: Reference,
        /// Who was asked.
        endpoint: String,
        /// Where the token is from.
        token_source: String,
    },
    /// More requests than the hub allows.
    #[error("{url}: too many requests{}; a token (HF_TOKEN) allows for more", after(*.seconds))]
    RateLimit {
        /// What was asked for.
        url: String,
        /// When to come again.
        seconds: Option<u64>,
    },
    /// Any other refusal.
    #[error("{url}: status {status}{}", said(.message))]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
        /// What the server said of it.
        message: String,
    },
    /// No answer.
    #[error(
        "{reference}: no such folder, and {url} cannot be asked: {problem}; with --no-download the model is taken from the cache alone"
    )]
    Unreachable {
        /// What was asked for.
        reference: Reference,
        /// Who was asked.
        url: String,
        /// What became of it.
        problem: String,
    },
    /// An answer that no hub gives.
    #[error("{url}: {problem}; is HF_ENDPOINT a hub, and is there a proxy that asks for a login?")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// A redirection that is not followed.
    #[error("{url}: {problem}")]
    Redirect {
        /// Who redirects.
        url: String,
        /// Where to, and why it is not followed.
        problem: String,
    },
    /// A file whose name would be outside of the model's folder.
    #[error("{reference}: a file of it is called {name:?}, which is no name in a folder")]
    FileName {
        /// What was asked for.
        reference: Reference,
        /// The name.
        name: String,
    },
    /// A file that is not what it was announced to be.
    #[error("{reference}: {file}: {problem}; nothing of it was kept")]
    Content {
        /// What was asked for.
        reference: Reference,
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A download that was cut again and again.
    #[error(
        "{reference}: {file}: {got} bytes came, of {expected}, then {problem}; the next build goes on from there"
    )]
    Cut {
        /// What was asked for.
        reference: Reference,
        /// The file.
        file: String,
        /// How many bytes are there.
        got: u64,
        /// How many it has.
        expected: u64,
        /// What became of the connection.
        problem: String,
    },
    /// What is not in the cache, where nothing is to be downloaded.
    #[error("{reference}: {missing} is not in {}, and nothing is downloaded: {why}", .cache.display())]
    Offline {
        /// What was asked for.
        reference: Reference,
        /// Which file, or the revision.
        missing: String,
        /// Where models are kept.
        cache: PathBuf,
        /// Who says so.
        why: &'static str,
    },
    /// A cached model that may lack a file that changes its results.
    #[error(
        "{reference}: {} may not be all of it: nothing there says whether it has {file}, and nothing is downloaded: {why}; if it is all, give that folder as --model",
        .folder.display()
    )]
    Unknown {
        /// What was asked for.
        reference: Reference,
        /// The cached folder.
        folder: PathBuf,
        /// The file.
        file: &'static str,
        /// Who says so.
        why: &'static str,
    },
    /// A file of the cache that cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What is wrong with the model's files.
    #[error(transparent)]
    Model(Box<BuildError>),
    /// The same of files that were read in a temporary folder, which the message leaves out.
    #[error("{0}")]
    Surveyed(String),
}

impl HubError {
    /// Of a request for that model.
    pub(super) fn of_net(error: NetError, reference: &Reference) -> Self {
        match error {
            NetError::Variable { variable, problem } => Self::Variable { variable, problem },
            NetError::Redirect { url, problem } => Self::Redirect { url, problem },
            NetError::Unreachable { url, problem } => Self::Unreachable {
                reference: reference.clone(),
                url,
                problem,
            },
        }
    }
}

impl From<BuildError> for HubError {
    fn from(error: BuildError) -> Self {
        Self::Model(Box::new(error))
    }
}

/// What to do about a model that cannot be seen.
fn advice(with_token: bool) -> &'static str {
    match with_token {
        true => "use a token that may read it (HF_TOKEN)",
        false => "set HF_TOKEN to a token that may read it, or use `hf auth login`",
    }
}

fn after(seconds: Option<u64>) -> String {
    seconds.map_or(String::new(), |it| format!(", the next one in {it} s"))
}

fn said(message: &str) -> String {
    match message {
        "" => String::new(),
        message => format!(" ({message})"),
    }
}
