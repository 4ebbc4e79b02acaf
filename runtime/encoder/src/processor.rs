//! From an item to the sequences of tokens that a graph takes: prompt, limit and
//! truncation, as the pipeline and the request say.

use crate::error::{LimitedBy, RequestError};
use crate::options::{Input, Options, Overflow, TruncationStrategy};
use crate::tokenizer::{Tokenizer, Tokens};
use encoderfile_format::limits::TEXT_LEN_MAX;
use encoderfile_format::manifest::Pipeline;

/// What makes sequences of texts.
#[derive(Clone, Copy)]
pub(crate) struct Processor<'a> {
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) pipeline: &'a Pipeline,
}

/// A text or pair with a prompt in front of it.
struct Prompted<'a> {
    text: String,
    pair: Option<&'a str>,
}

impl Prompted<'_> {
    fn input(&self) -> Input<'_> {
        match self.pair {
            Some(pair) => Input::Pair(&self.text, pair),
            None => Input::Text(&self.text),
        }
    }
}

impl<'a> Processor<'a> {
    /// The one sequence of a text or pair, prompt included, cut to the limit or
    /// refused.
    pub(crate) fn sequence(
        self,
        input: Input<'_>,
        options: &Options,
    ) -> Result<Tokens, RequestError> {
        check_length(input)?;
        let prompted = self.prompted(input, options.prompt(self.pipeline))?;
        let input = prompted.as_ref().map_or(input, Prompted::input);
        // A text alone is always its pair's first, and only that can be cut.
        let truncation = match input {
            Input::Pair(..) => options.truncation_strategy(self.pipeline),
            _ => TruncationStrategy::LongestFirst,
        };
        let tokens = self.tokenizer.encode(
            input,
            truncation,
            options.truncation_side,
            options.max_tokens,
        )?;
        if options.overflow == Overflow::Error && tokens.total > tokens.ids.len() {
            let max_tokens = self.tokenizer.limit(options.max_tokens);
            let is_requests = options.max_tokens == Some(max_tokens);
            return Err(RequestError::TooManyTokens {
                tokens_total: tokens.total,
                max_tokens,
                limited_by: if is_requests {
                    LimitedBy::Request
                } else {
                    LimitedBy::Model
                },
            });
        }
        self.check_ids(&tokens)?;
        Ok(tokens)
    }

    /// All tokens of a text, prompt included, however many the model takes.
    pub(crate) fn whole(self, input: Input<'_>, options: &Options) -> Result<Tokens, RequestError> {
        check_length(input)?;
        let prompted = self.prompted(input, options.prompt(self.pipeline))?;
        let input = prompted.as_ref().map_or(input, Prompted::input);
        self.tokenizer.encode_whole(input)
    }

    /// Windows of about the same length that cover all of a text, each with the
    /// prompt in front.
    pub(crate) fn even_windows(
        self,
        input: Input<'_>,
        options: &Options,
    ) -> Result<Vec<Tokens>, RequestError> {
        check_length(input)?;
        let prompt = options.prompt(self.pipeline);
        let limit = options.max_tokens;
        let prompt_len = self.tokenizer.prompt_len(prompt, limit)?;
        let prompted = self.prompted(input, prompt)?;
        let input = prompted.as_ref().map_or(input, Prompted::input);
        self.tokenizer.even_windows(input, prompt_len, limit)
    }

    /// Windows that share `stride` tokens.
    pub(crate) fn overlapping_windows(
        self,
        input: Input<'_>,
        stride: usize,
        options: &Options,
    ) -> Result<Vec<Tokens>, RequestError> {
        check_length(input)?;
        let (side, limit) = (options.truncation_side, options.max_tokens);
        self.tokenizer.windows(input, stride, side, limit)
    }

    /// How many tokens of a sequence the request's prompt has, special tokens in
    /// front of it included.
    pub(crate) fn prompt_len(self, options: &Options) -> Result<usize, RequestError> {
        let prompt = options.prompt(self.pipeline);
        self.tokenizer.prompt_len(prompt, options.max_tokens)
    }

    /// Refuses token ids that the model has no embedding for.
    pub(crate) fn check_ids(self, tokens: &Tokens) -> Result<(), RequestError> {
        let vocabulary_size = self.pipeline.vocabulary_size;
        match tokens.ids.iter().find(|id| **id >= vocabulary_size) {
            Some(id) => Err(RequestError::TokenId {
                id: *id,
                vocabulary_size,
            }),
            None => Ok(()),
        }
    }

    /// The prompt and the first text together, where there is a prompt.
    fn prompted<'t>(
        self,
        input: Input<'t>,
        prompt: &str,
    ) -> Result<Option<Prompted<'t>>, RequestError> {
        if prompt.is_empty() {
            return Ok(None);
        }
        let (text, pair) = match input {
            Input::Text(text) => (format!("{prompt}{text}"), None),
            // How the last token of a prompt joins a text is the tokenizer's to say.
            Input::Ids(ids) => (
                format!("{prompt}{}", self.tokenizer.decode(ids, true)?),
                None,
            ),
            Input::Pair(text, pair) => (format!("{prompt}{text}"), Some(pair)),
        };
        Ok(Some(Prompted { text, pair }))
    }
}

/// Refuses a text that is too long, before anything of its length is allocated.
pub(crate) fn check_length(input: Input<'_>) -> Result<(), RequestError> {
    let length = match input {
        Input::Text(text) => text.len(),
        Input::Pair(text, pair) => text.len().saturating_add(pair.len()),
        Input::Ids(ids) => size_of_val(ids),
    };
    if length > TEXT_LEN_MAX {
        return Err(RequestError::TextLength {
            length,
            limit: TEXT_LEN_MAX,
        });
    }
    Ok(())
}
