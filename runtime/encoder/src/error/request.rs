//! What can be wrong with a request: its text, or the options beside it.

/// A text or its options that this model gives no result for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The options make no sense, whatever the text is, or not for this model.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// It is not the JSON that is read here.
    #[error("{problem}")]
    Json {
        /// What, and where in it.
        problem: String,
    },
    /// A text beyond [`encoderfile_format::limits::TEXT_LEN_MAX`].
    #[error("the text has {length} bytes, limit {limit}")]
    TextLength {
        /// In bytes.
        length: usize,
        /// In bytes.
        limit: usize,
    },
    /// A text that does not fit, where the request says not to truncate it.
    #[error("the text has {tokens_total} tokens, {limited_by} {max_tokens}")]
    TooManyTokens {
        /// Special tokens included.
        tokens_total: usize,
        /// Special tokens included.
        max_tokens: usize,
        /// Whose limit it is.
        limited_by: LimitedBy,
    },
    /// A limit that leaves no room for text beside the special tokens.
    #[error("at most {max_tokens} tokens a sequence, but {special_tokens} of them are special")]
    NoRoom {
        /// The request's limit or the model's.
        max_tokens: usize,
        /// What the tokenizer adds to every such text.
        special_tokens: usize,
    },
    /// A prompt that leaves no room for text.
    #[error("at most {max_tokens} tokens a sequence, but the prompt takes {prompt_tokens} of them")]
    LongPrompt {
        /// The request's limit or the model's.
        max_tokens: usize,
        /// Special tokens included.
        prompt_tokens: usize,
    },
    /// A pair whose other text alone is too long.
    #[error(
        "the pair has {tokens_total} tokens, the model takes {max_tokens}, and `{truncation}` leaves nothing to cut"
    )]
    PairTooLong {
        /// Special tokens included.
        tokens_total: usize,
        /// The request's limit or the model's.
        max_tokens: usize,
        /// The truncation strategy.
        truncation: &'static str,
    },
    /// Windows that share all their tokens never end.
    #[error("`stride` is {stride}, but a window holds only {room} tokens of the text")]
    Stride {
        /// Tokens shared by neighbouring windows.
        stride: usize,
        /// Tokens of the text in a window.
        room: usize,
    },
    /// A token that the model has no embedding for.
    #[error("token id {id} is not within the model's vocabulary of {vocabulary_size}")]
    TokenId {
        /// The id the tokenizer gave.
        id: u32,
        /// Rows of the model's token embedding.
        vocabulary_size: u32,
    },
    /// A token id that the tokenizer's vocabulary lacks.
    #[error("token id {id} is not in the tokenizer's vocabulary")]
    UnknownId {
        /// The id.
        id: u32,
    },
    /// A text that the tokenizer refuses, in the words of the tokenizers library.
    #[error("tokenizer: {problem}")]
    Tokenizer {
        /// Why, on one line.
        problem: String,
    },
    /// A problem of the query that the texts are ranked by, and of none of them.
    #[error("the query: {0}")]
    Query(Box<RequestError>),
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
}

/// Options that make no sense together, or not for this model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// One for something that the task does not have.
    #[error("`{option}` does not apply to {task}")]
    Inapplicable {
        /// The option, or the form of the text.
        option: &'static str,
        /// The task's name.
        task: &'static str,
    },
    /// A kind of result that the model does not give.
    #[error("`{capability}` is nothing that this model gives: it is for {task}, and gives {}", given.join(", "))]
    NotGiven {
        /// The kind, as `/info` lists it.
        capability: &'static str,
        /// The task's name.
        task: &'static str,
        /// Those that it gives.
        given: Vec<&'static str>,
    },
    /// Several of which one is enough.
    #[error("give one of {}", alternatives(.options))]
    Exclusive {
        /// Their names.
        options: &'static [&'static str],
    },
    /// One without another that it says more about.
    #[error("`{option}` needs {needs}")]
    Needs {
        /// The one that was given.
        option: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// No prompt has this name.
    #[error("no prompt named `{name}`: {}", prompts(.known))]
    NoSuchPrompt {
        /// The name that was given.
        name: String,
        /// Those that the model has.
        known: Vec<String>,
    },
    /// Token vectors of a model whose graph gives only one vector a text.
    #[error("`unpooled`: this model pools in its graph")]
    PooledInGraph,
    /// A count that has to be at least one.
    #[error("`{option}` is 0")]
    Zero {
        /// Which.
        option: &'static str,
    },
    /// A list that has to have something in it.
    #[error("`{option}` is empty")]
    Empty {
        /// Which.
        option: &'static str,
    },
    /// Special tokens are in no span.
    #[error("`special_tokens` does not apply to spans")]
    SpecialTokensOfSpans,
    /// A template that does not say where the label goes, or says it twice.
    #[error("`template` {template:?} does not have exactly one `{{}}`, where the label goes")]
    Template {
        /// As it was given.
        template: String,
    },
    /// A query for a model that gives no single score.
    #[error("`query` needs a model with one logit, this one has {logits}")]
    NoScore {
        /// How many logits it has.
        logits: usize,
    },
    /// A length that no part of the embedding has.
    #[error("`dimensions` is {dimensions}; the model has 1 to {width}")]
    Dimensions {
        /// What was asked for.
        dimensions: usize,
        /// How many values the embedding has.
        width: usize,
    },
    /// A query or labels beside a pair.
    #[error("`query` and `labels` make the pair themselves: give texts alone")]
    PairOfPairs,
    /// A word to fill in that the vocabulary has no token for.
    #[error("target {target:?} has no token")]
    Target {
        /// The word.
        target: String,
    },
    /// A result of fill-mask that is too long.
    #[error(
        "`top_k`: {words} words for each of {masks} masks in a text of {tokens} tokens are \
         results of more than {limit} tokens"
    )]
    Fillings {
        /// Candidates for each mask.
        words: usize,
        /// Masks of the text.
        masks: usize,
        /// Tokens of the text.
        tokens: usize,
        /// The most tokens of the results' texts together.
        limit: usize,
    },
    /// A pooling that the model cannot have.
    #[error("pooling {pooling}: {problem}")]
    Pooling {
        /// Its name.
        pooling: &'static str,
        /// Why not.
        problem: PoolingProblem,
    },
}

/// Whose limit a text is beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitedBy {
    /// The model takes no more.
    Model,
    /// The request's `max_tokens`.
    Request,
}

impl std::fmt::Display for LimitedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Model => "the model takes",
            Self::Request => "`max_tokens` is",
        })
    }
}

/// Why a model cannot have a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolingProblem {
    /// SPLADE is made of the logits of a masked language model.
    #[error("the model has no vocabulary logits")]
    NoLogits,
    /// There are no token vectors to pool.
    #[error("the model pools in its graph")]
    InGraph,
    /// The modules after it take what several poolings give together.
    #[error("the modules after it take a wider vector")]
    Width,
    /// The task has no pooling.
    #[error("it does not apply to {0}")]
    Task(&'static str),
}

impl From<serde_json::Error> for RequestError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json {
            problem: error.to_string(),
        }
    }
}

impl RequestError {
    /// The same, of a query.
    pub(crate) fn in_query(self) -> Self {
        Self::Query(Box::new(self))
    }

    /// The option at fault, where it is one: the name that the message begins with.
    pub fn option(&self) -> Option<&'static str> {
        match self {
            Self::Options(error) => error.option(),
            Self::Stride { .. } => Some("stride"),
            _ => None,
        }
    }
}

impl OptionsError {
    /// The option at fault, where it is one: the name that the message begins with.
    pub fn option(&self) -> Option<&'static str> {
        match self {
            Self::Inapplicable { option, .. }
            | Self::Needs { option, .. }
            | Self::Zero { option }
            | Self::Empty { option } => Some(option),
            Self::PooledInGraph => Some("unpooled"),
            Self::SpecialTokensOfSpans => Some("special_tokens"),
            Self::Template { .. } => Some("template"),
            Self::NoScore { .. } | Self::PairOfPairs => Some("query"),
            Self::Dimensions { .. } => Some("dimensions"),
            Self::Fillings { .. } => Some("top_k"),
            _ => None,
        }
    }
}

/// `a`, `b` and `c`.
fn alternatives(options: &[&str]) -> String {
    let quoted: Vec<String> = options.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn prompts(known: &[String]) -> String {
    match known {
        [] => "the model has none".into(),
        names => format!("it has {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{OptionsError, RequestError};

    #[test]
    fn alternatives_are_listed_in_words() {
        let exclusive = |options| OptionsError::Exclusive { options }.to_string();
        assert_eq!(
            exclusive(&["labels", "query"]),
            "give one of `labels` and `query`"
        );
        assert_eq!(
            exclusive(&["prompt", "prompt_name", "role"]),
            "give one of `prompt`, `prompt_name` and `role`"
        );
    }

    /// Whoever shows a message beside a field must not show it beside another.
    #[test]
    fn the_option_at_fault_is_the_one_that_the_message_begins_with() {
        let task = "fill_mask";
        let options = [
            OptionsError::Inapplicable {
                option: "stride",
                task,
            },
            OptionsError::Exclusive {
                options: &["labels", "query"],
            },
            OptionsError::Needs {
                option: "template",
                needs: "`labels`",
            },
            OptionsError::NoSuchPrompt {
                name: "q".into(),
                known: vec!["a".into(), "b".into()],
            },
            OptionsError::PooledInGraph,
            OptionsError::Zero { option: "top_k" },
            OptionsError::Empty { option: "targets" },
            OptionsError::SpecialTokensOfSpans,
            OptionsError::Template {
                template: "x".into(),
            },
            OptionsError::NoScore { logits: 2 },
            OptionsError::Dimensions {
                dimensions: 0,
                width: 4,
            },
            OptionsError::PairOfPairs,
            OptionsError::Target { target: "x".into() },
            OptionsError::Fillings {
                words: 1,
                masks: 1,
                tokens: 1,
                limit: 0,
            },
        ];
        let stride = RequestError::Stride { stride: 9, room: 8 };
        let errors = options.into_iter().map(RequestError::from).chain([stride]);
        for error in errors {
            let message = error.to_string();
            let begins = message.strip_prefix('`').and_then(|it| it.split_once('`'));
            assert_eq!(error.option(), begins.map(|(name, _)| name), "{message}");
        }
    }
}
