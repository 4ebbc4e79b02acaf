//! Text to tokens and back, with truncation as the pipeline says and nothing
//! else: truncation and padding in `tokenizer.json` itself are training
//! leftovers and are switched off.

use crate::request::{Input, Side, Truncation};
use encoderfile_proto::{Pipeline, TruncationSide};
use std::ops::Range;
use tokenizers::normalizers::{Lowercase, NormalizerWrapper, Sequence};
use tokenizers::{Decoder, Encoding, ModelWrapper, PostProcessor, Token};

/// A tokenizer that cannot be read, or a text it refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// Not a tokenizer this program can read.
    #[error("tokenizer.json: {0}")]
    Load(String),
    /// A limit that leaves no room for text beside the special tokens.
    #[error("at most {max_tokens} tokens a sequence, but {special_tokens} of them are special")]
    NoRoom {
        /// The pipeline's limit.
        max_tokens: usize,
        /// What the tokenizer adds to every text.
        special_tokens: usize,
    },
    /// A prompt that leaves no room for text.
    #[error("at most {max_tokens} tokens a sequence, but the prompt takes {prompt_tokens} of them")]
    LongPrompt {
        /// The pipeline's limit.
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
        /// The pipeline's limit.
        max_tokens: usize,
        /// The strategy.
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
    /// A token id that the vocabulary lacks.
    #[error("token id {id} is not in the tokenizer's vocabulary")]
    UnknownId {
        /// The id.
        id: u32,
    },
    /// A text that cannot be tokenised.
    #[error("tokenizer: {0}")]
    Encode(String),
    /// Tokens that cannot be put together again.
    #[error("tokenizer: {0}")]
    Decode(String),
}

/// A tokenizer with the pipeline's limit.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// More than the special tokens alone.
    max_tokens: usize,
    side: Side,
}

/// One tokenised text or pair, or a part of one. The vectors have one entry a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Indices into the vocabulary.
    pub ids: Vec<u32>,
    /// Segment ids: 0, or 1 for the second text of a pair where the model tells them apart.
    pub type_ids: Vec<u32>,
    /// As the vocabulary spells them.
    pub tokens: Vec<String>,
    /// Start and end in the text, in code points; `(0, 0)` for special tokens.
    pub offsets: Vec<(usize, usize)>,
    /// Whether the tokenizer added the token, rather than finding it in the text.
    pub special: Vec<bool>,
    /// How many tokens there were before truncation.
    pub total: usize,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    pub fn load(json: &[u8], pipeline: &Pipeline) -> Result<Self, TokenizerError> {
        let mut inner = parse(json)?;
        let processor = inner.get_post_processor();
        let special_tokens = processor.map_or(0, |processor| processor.added_tokens(false));
        let max_tokens = pipeline.max_tokens as usize;
        if max_tokens <= special_tokens {
            return Err(TokenizerError::NoRoom {
                max_tokens,
                special_tokens,
            });
        }
        inner.with_padding(None);
        inner.with_truncation(None).map_err(load_error)?;
        inner.set_encode_special_tokens(pipeline.split_special_tokens);
        if pipeline.lower_case {
            lower_case(&mut inner)?;
        }
        Ok(Self {
            inner,
            max_tokens,
            side: match pipeline.truncation_side() {
                TruncationSide::Left => Side::Left,
                TruncationSide::Right => Side::Right,
            },
        })
    }

    /// The most tokens of a sequence, special tokens included: the pipeline's
    /// limit, or the smaller one of a request.
    pub fn limit(&self, max_tokens: Option<usize>) -> usize {
        max_tokens.map_or(self.max_tokens, |limit| limit.min(self.max_tokens))
    }

    /// How many special tokens there are around one text.
    pub fn special_tokens(&self) -> usize {
        let processor = self.inner.get_post_processor();
        processor.map_or(0, |processor| processor.added_tokens(false))
    }

    /// Tokenises a text or pair, special tokens included, cut to the [limit](Self::limit).
    pub fn encode(
        &self,
        input: Input<'_>,
        truncation: Truncation,
        side: Option<Side>,
        max_tokens: Option<usize>,
    ) -> Result<Tokens, TokenizerError> {
        let all = self.encode_all(input)?;
        let max_tokens = self.limit(max_tokens);
        let excess = all.len().saturating_sub(max_tokens);
        if excess == 0 {
            return Ok(all.whole());
        }
        let side = side.unwrap_or(self.side);
        let [first, second] = [all.sequence(0), all.sequence(1)];
        let special_tokens = all.len() - first.len() - second.len();
        if special_tokens >= max_tokens {
            return Err(TokenizerError::NoRoom {
                max_tokens,
                special_tokens,
            });
        }
        let too_long = |truncation| TokenizerError::PairTooLong {
            tokens_total: all.len(),
            max_tokens,
            truncation,
        };
        let shares = shares(excess, first.len(), second.len(), truncation);
        let [first_excess, second_excess] = shares.map_err(too_long)?;
        let first = cut(&first, first_excess, side);
        let second = cut(&second, second_excess, side);
        Ok(all.pick(&[
            0..first.start,
            first.end..second.start,
            second.end..all.len(),
        ]))
    }

    /// Tokenises all of a text or pair, special tokens included.
    pub fn encode_whole(&self, input: Input<'_>) -> Result<Tokens, TokenizerError> {
        Ok(self.encode_all(input)?.whole())
    }

    /// Tokenises a text in windows of the [limit](Self::limit), of which
    /// neighbours share `stride` tokens.
    pub fn windows(
        &self,
        input: Input<'_>,
        stride: usize,
        side: Option<Side>,
        max_tokens: Option<usize>,
    ) -> Result<Vec<Tokens>, TokenizerError> {
        let all = self.encode_all(input)?;
        let content = all.sequence(0);
        let limit = self.limit(max_tokens);
        let room = limit.saturating_sub(all.len() - content.len());
        if stride >= room {
            return Err(TokenizerError::Stride { stride, room });
        }
        let ranges = overlapping(content.len(), room, stride, side.unwrap_or(self.side));
        Ok(all.split(&content, ranges))
    }

    /// Tokenises a text in as few windows as hold all of it, each with the
    /// prompt, its first `prompt_len` tokens, and about as much of the rest.
    pub fn even_windows(
        &self,
        input: Input<'_>,
        prompt_len: usize,
        max_tokens: Option<usize>,
    ) -> Result<Vec<Tokens>, TokenizerError> {
        let all = self.encode_all(input)?;
        let mut content = all.sequence(0);
        content.start = prompt_len.clamp(content.start, content.end);
        let fixed = all.len() - content.len();
        let max_tokens = self.limit(max_tokens);
        let room = max_tokens.saturating_sub(fixed);
        if room == 0 && !content.is_empty() {
            return Err(TokenizerError::LongPrompt {
                max_tokens,
                prompt_tokens: fixed,
            });
        }
        let windows = content.len().div_ceil(room.max(1)).max(1);
        let ends = (0..=windows).map(|window| content.len() * window / windows);
        let ends: Vec<usize> = ends.collect();
        let ranges = ends.windows(2).map(|pair| pair[0]..pair[1]);
        Ok(all.split(&content, ranges.collect()))
    }

    /// How many tokens at the beginning of a sequence belong to a prompt, the
    /// special tokens before it included: sentence-transformers' `prompt_length`.
    pub fn prompt_len(
        &self,
        prompt: &str,
        max_tokens: Option<usize>,
    ) -> Result<usize, TokenizerError> {
        if prompt.is_empty() {
            return Ok(0);
        }
        let tokens = self.encode(prompt.into(), Truncation::default(), None, max_tokens)?;
        let vocabulary = self.inner.get_added_vocabulary();
        let last = tokens.tokens.last();
        let ends_special = last.is_some_and(|token| vocabulary.is_special_token(token));
        Ok(tokens.ids.len() - usize::from(ends_special))
    }

    /// Token ids to text.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, TokenizerError> {
        // tokenizers leaves them out.
        if let Some(id) = ids.iter().find(|id| self.inner.id_to_token(**id).is_none()) {
            return Err(TokenizerError::UnknownId { id: *id });
        }
        let text = self.inner.decode(ids, skip_special);
        text.map_err(|error| TokenizerError::Decode(one_line(&error)))
    }

    /// Tokens as the vocabulary spells them, to text.
    pub fn join(&self, tokens: Vec<String>) -> Result<String, TokenizerError> {
        let Some(decoder) = self.inner.get_decoder() else {
            return Ok(tokens.join(" "));
        };
        let text = decoder.decode(tokens);
        text.map_err(|error| TokenizerError::Decode(one_line(&error)))
    }

    /// Whether tokens that continue a word are spelt so: `##ing`.
    pub fn marks_subwords(&self) -> bool {
        match self.inner.get_model() {
            ModelWrapper::WordPiece(model) => !model.continuing_subword_prefix.is_empty(),
            ModelWrapper::BPE(model) => {
                let prefix = model.continuing_subword_prefix.as_deref();
                prefix.is_some_and(|prefix| !prefix.is_empty())
            }
            _ => false,
        }
    }

    /// The id of a vocabulary entry.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The first token of a text, without special tokens.
    pub fn first_id(&self, text: &str) -> Result<Option<u32>, TokenizerError> {
        let encoding = self.inner.encode_char_offsets(text, false);
        let encoding = encoding.map_err(|error| TokenizerError::Encode(one_line(&error)))?;
        Ok(encoding.get_ids().first().copied())
    }

    fn encode_all(&self, input: Input<'_>) -> Result<Untruncated, TokenizerError> {
        let encoding = match input {
            Input::Text(text) => self.inner.encode_char_offsets(text, true),
            Input::Pair(text, pair) => self.inner.encode_char_offsets((text, pair), true),
            Input::Ids(ids) => return self.wrap(ids),
        };
        let encoding = encoding.map_err(|error| TokenizerError::Encode(one_line(&error)))?;
        Ok(Untruncated(encoding))
    }

    /// Token ids with the special tokens of one text around them, which they
    /// may have already.
    fn wrap(&self, ids: &[u32]) -> Result<Untruncated, TokenizerError> {
        let whole = self.with_special_tokens(ids)?;
        let special = whole.get_special_tokens_mask();
        let before = special.iter().take_while(|it| **it == 1).count();
        let after = special.iter().rev().take_while(|it| **it == 1).count();
        let (first, last) = (&whole.get_ids()[..before], whole.get_ids());
        let last = &last[last.len() - after..];
        let wrapped = ids.len() >= before + after && ids.starts_with(first) && ids.ends_with(last);
        if !wrapped {
            return Ok(Untruncated(whole));
        }
        let content = &ids[before..ids.len() - after];
        self.with_special_tokens(content).map(Untruncated)
    }

    fn with_special_tokens(&self, ids: &[u32]) -> Result<Encoding, TokenizerError> {
        let token = |id: &u32| {
            let value = self.inner.id_to_token(*id);
            let value = value.ok_or(TokenizerError::UnknownId { id: *id })?;
            Ok(Token::new(*id, value, (0, 0)))
        };
        let tokens = ids
            .iter()
            .map(token)
            .collect::<Result<_, TokenizerError>>()?;
        let encoding = Encoding::from_tokens(tokens, 0);
        let encoding = self.inner.post_process(encoding, None, true);
        encoding.map_err(|error| TokenizerError::Encode(one_line(&error)))
    }
}

/// A text or pair with all its tokens.
///
/// tokenizers' own truncation stops tokenising once it has enough, and then
/// nobody knows how many tokens there would have been.
struct Untruncated(Encoding);

impl Untruncated {
    fn len(&self) -> usize {
        self.0.len()
    }

    /// Where the tokens of the first or second text are, without special
    /// tokens; empty and at the end if there is no such text.
    fn sequence(&self, index: usize) -> Range<usize> {
        let ids = self.0.get_sequence_ids();
        let special = self.0.get_special_tokens_mask();
        // Without a post-processor nothing is told apart, and nothing is special.
        let belongs = |at: &usize| ids[*at] == Some(index) && special[*at] == 0;
        let start = (0..ids.len()).find(belongs);
        let end = (0..ids.len()).rev().find(belongs);
        match (start, end) {
            (Some(start), Some(end)) => start..end + 1,
            _ => self.len()..self.len(),
        }
    }

    fn whole(&self) -> Tokens {
        self.pick(std::slice::from_ref(&(0..self.len())))
    }

    fn pick(&self, ranges: &[Range<usize>]) -> Tokens {
        let encoding = &self.0;
        let special = pick(encoding.get_special_tokens_mask(), ranges);
        Tokens {
            ids: pick(encoding.get_ids(), ranges),
            type_ids: pick(encoding.get_type_ids(), ranges),
            tokens: pick(encoding.get_tokens(), ranges),
            offsets: pick(encoding.get_offsets(), ranges),
            special: special.iter().map(|mask| *mask == 1).collect(),
            total: self.len(),
        }
    }

    /// Each range of `content`, with everything that is not content around it.
    fn split(&self, content: &Range<usize>, ranges: Vec<Range<usize>>) -> Vec<Tokens> {
        let windows = ranges.into_iter().map(|range| {
            let range = content.start + range.start..content.start + range.end;
            self.pick(&[0..content.start, range, content.end..self.len()])
        });
        windows.collect()
    }
}

fn pick<T: Clone>(values: &[T], ranges: &[Range<usize>]) -> Vec<T> {
    let parts: Vec<&[T]> = ranges.iter().map(|range| &values[range.clone()]).collect();
    parts.concat()
}

/// The tokens that a range loses.
fn cut(range: &Range<usize>, excess: usize, side: Side) -> Range<usize> {
    match side {
        Side::Right => range.end - excess..range.end,
        Side::Left => range.start..range.start + excess,
    }
}

/// How many tokens each text of a pair has to lose, as tokenizers shares them
/// out; the strategy's name where it leaves nothing to cut.
fn shares(
    excess: usize,
    first: usize,
    second: usize,
    truncation: Truncation,
) -> Result<[usize; 2], &'static str> {
    match truncation {
        Truncation::LongestFirst => {
            let kept = longest_first(first, second, first + second - excess);
            Ok([first - kept.0, second - kept.1])
        }
        Truncation::OnlyFirst if excess < first => Ok([excess, 0]),
        Truncation::OnlyFirst => Err("only_first"),
        Truncation::OnlySecond if excess < second => Ok([0, excess]),
        Truncation::OnlySecond => Err("only_second"),
    }
}

/// How many tokens of each text stay where `room` of them do.
fn longest_first(first: usize, second: usize, room: usize) -> (usize, usize) {
    let shorter = first.min(second);
    let longer = room.saturating_sub(shorter);
    let (shorter, longer) = if longer >= shorter {
        (shorter, longer)
    } else {
        (room / 2, room.div_ceil(2))
    };
    if first <= second {
        (shorter, longer)
    } else {
        (longer, shorter)
    }
}

/// Windows of `room` over `length` tokens, sharing `stride`; the last is shorter.
fn overlapping(length: usize, room: usize, stride: usize, side: Side) -> Vec<Range<usize>> {
    let mut windows = Vec::new();
    let mut start = 0;
    loop {
        let end = (start + room).min(length);
        windows.push(match side {
            Side::Right => start..end,
            Side::Left => length - end..length - start,
        });
        if end == length {
            return windows;
        }
        start += room - stride;
    }
}

/// Lower-cases texts first, unless the tokenizer does it anyway: what
/// sentence-transformers does for `do_lower_case`.
fn lower_case(tokenizer: &mut tokenizers::Tokenizer) -> Result<(), TokenizerError> {
    let is_lowercase = |it: &NormalizerWrapper| matches!(it, NormalizerWrapper::Lowercase(_));
    let mut steps = vec![NormalizerWrapper::Lowercase(Lowercase)];
    match tokenizer.get_normalizer() {
        Some(normalizer) if is_lowercase(normalizer) => return Ok(()),
        Some(NormalizerWrapper::Sequence(sequence)) => {
            if sequence.as_ref().iter().any(is_lowercase) {
                return Ok(());
            }
            steps.extend_from_slice(sequence.as_ref());
        }
        Some(normalizer) => steps.push(normalizer.clone()),
        None => {}
    }
    let set = tokenizer.with_normalizer(Some(Sequence::new(steps)));
    set.map_err(load_error)?;
    Ok(())
}

fn parse(json: &[u8]) -> Result<tokenizers::Tokenizer, TokenizerError> {
    tokenizers::Tokenizer::from_bytes(json).map_err(load_error)
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn load_error(error: tokenizers::Error) -> TokenizerError {
    TokenizerError::Load(one_line(&error))
}

fn one_line(error: &tokenizers::Error) -> String {
    error.to_string().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_text_loses_first_and_then_both() {
        assert_eq!(longest_first(3, 10, 8), (3, 5));
        assert_eq!(longest_first(10, 3, 8), (5, 3));
        assert_eq!(longest_first(10, 9, 8), (4, 4));
        assert_eq!(longest_first(10, 9, 7), (4, 3));
        assert_eq!(longest_first(9, 10, 7), (3, 4));
        assert_eq!(longest_first(10, 0, 7), (7, 0));
        assert_eq!(longest_first(0, 10, 7), (0, 7));
    }

    #[test]
    fn longest_first_shares_as_tokenizers_does() {
        use tokenizers::TruncationParams;
        use tokenizers::utils::truncation::truncate_encodings;
        let encoding = |tokens: usize| {
            let token = |id| Token::new(id, "a".into(), (0, 1));
            let tokens = (0..u32::try_from(tokens).unwrap()).map(token);
            Encoding::from_tokens(tokens.collect(), 0)
        };
        for first in 0..12 {
            for second in 0..12 {
                for room in 1..first + second {
                    let params = TruncationParams {
                        max_length: room,
                        ..TruncationParams::default()
                    };
                    let pair = Some(encoding(second));
                    let (a, b) = truncate_encodings(encoding(first), pair, &params).unwrap();
                    assert_eq!(
                        longest_first(first, second, room),
                        (a.len(), b.unwrap().len()),
                        "{first} and {second} into {room}"
                    );
                }
            }
        }
    }

    #[test]
    fn windows_overlap_and_reach_the_end() {
        assert_eq!(overlapping(0, 4, 1, Side::Right).first(), Some(&(0..0)));
        assert_eq!(overlapping(4, 4, 1, Side::Right).last(), Some(&(0..4)));
        assert_eq!(overlapping(8, 4, 1, Side::Right), [0..4, 3..7, 6..8]);
        assert_eq!(overlapping(8, 4, 1, Side::Left), [4..8, 1..5, 0..2]);
    }

    #[test]
    fn a_cut_takes_the_end_or_the_beginning() {
        assert_eq!(cut(&(1..9), 3, Side::Right), 6..9);
        assert_eq!(cut(&(1..9), 3, Side::Left), 1..4);
    }
}
