//! Text to tokens and back, with truncation as the pipeline says and nothing
//! else: truncation and padding in `tokenizer.json` itself are training
//! leftovers and are switched off.

mod model;
mod spellings;
mod template;
mod trie;
mod unigram;
mod wordpiece;
#[cfg(test)]
mod words;

use crate::error::{FileError, RequestError};
use crate::options::{Input, Side, TruncationStrategy};
use encoderfile_format::manifest::{Pipeline, TruncationSide};
use model::Model;
use std::ops::Range;
use tokenizers::normalizers::{Lowercase, NormalizerWrapper, Sequence};
use tokenizers::{
    Decoder, DecoderWrapper, Encoding, PostProcessor, PostProcessorWrapper, PreTokenizerWrapper,
    Token, TokenizerImpl,
};

/// The tokenizers library's, around a [`Model`] that is read and kept in less time and memory.
type Library = TokenizerImpl<
    Model,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// A tokenizer with the pipeline's limit.
///
/// A text is truncated before special tokens are put around it, as tokenizers does it: what is
/// put around it may also change it (byte-level offsets begin behind a space).
pub struct Tokenizer {
    /// Without a post-processor.
    inner: Library,
    /// What puts special tokens around texts.
    processor: Option<PostProcessorWrapper>,
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
    /// How many of the last tokens no token attends to; none but where a head adds them.
    pub hidden: usize,
    /// How many tokens there were before truncation.
    pub total: usize,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`FileError::Tokenizer`] where the tokenizers library does not take it or its
    /// post-processor is malformed, and [`FileError::NoRoom`] where the pipeline's limit is
    /// no more than the special tokens around a text.
    pub fn load(json: &[u8], pipeline: &Pipeline) -> Result<Self, FileError> {
        let mut inner = parse(json)?;
        let processor = inner.get_post_processor().cloned();
        if let Some(processor) = &processor {
            template::check(processor).map_err(|problem| FileError::Tokenizer { problem })?;
        }
        inner.with_post_processor(None::<PostProcessorWrapper>);
        let special_tokens = added_tokens(processor.as_ref(), false);
        let max_tokens = pipeline.max_tokens as usize;
        if max_tokens <= special_tokens {
            return Err(FileError::NoRoom {
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
            processor,
            max_tokens,
            side: match pipeline.truncation_side {
                TruncationSide::Left => Side::Left,
                TruncationSide::Right => Side::Right,
            },
        })
    }

    /// The maximum sequence length, special tokens included: the pipeline's limit, or the
    /// smaller one of a request.
    pub fn limit(&self, max_tokens: Option<usize>) -> usize {
        max_tokens.map_or(self.max_tokens, |limit| limit.min(self.max_tokens))
    }

    /// How many special tokens there are around one text.
    pub fn special_tokens(&self) -> usize {
        added_tokens(self.processor.as_ref(), false)
    }

    /// Tokenises a text or pair, special tokens included, truncated to the
    /// [limit](Self::limit).
    ///
    /// # Errors
    /// [`RequestError::Tokenizer`] for a text that the tokenizers library refuses,
    /// [`RequestError::UnknownId`] for an id that is not in the vocabulary,
    /// [`RequestError::NoRoom`] where special tokens fill the limit, and
    /// [`RequestError::PairTooLong`] where the one text that the strategy truncates has too
    /// few tokens for that.
    pub fn encode(
        &self,
        input: Input<'_>,
        truncation: TruncationStrategy,
        side: Option<Side>,
        max_tokens: Option<usize>,
    ) -> Result<Tokens, RequestError> {
        let content = self.content(input)?;
        let special_tokens = self.special_tokens_of(&content);
        let tokens_total = special_tokens.saturating_add(content.len());
        let max_tokens = self.limit(max_tokens);
        let excess = tokens_total.saturating_sub(max_tokens);
        if excess == 0 {
            return self.finish(content, tokens_total);
        }
        if special_tokens >= max_tokens {
            return Err(RequestError::NoRoom {
                max_tokens,
                special_tokens,
            });
        }
        let too_long = |truncation| RequestError::PairTooLong {
            tokens_total,
            max_tokens,
            truncation,
        };
        let second = content.second.as_ref().map_or(0, Encoding::len);
        let shares = shares(excess, content.first.len(), second, truncation);
        let [first_excess, second_excess] = shares.map_err(too_long)?;
        let side = side.unwrap_or(self.side);
        let cut =
            |encoding: &Encoding, excess| pick(encoding, &[kept(encoding.len(), excess, side)]);
        let content = Content {
            first: cut(&content.first, first_excess),
            second: content.second.map(|second| cut(&second, second_excess)),
        };
        self.finish(content, tokens_total)
    }

    /// Tokenises all of a text or pair, special tokens included.
    ///
    /// # Errors
    /// [`RequestError::Tokenizer`] and [`RequestError::UnknownId`], as of [`Self::encode`].
    pub fn encode_whole(&self, input: Input<'_>) -> Result<Tokens, RequestError> {
        let content = self.content(input)?;
        let special_tokens = self.special_tokens_of(&content);
        let total = special_tokens.saturating_add(content.len());
        self.finish(content, total)
    }

    /// Tokenises a text in windows of the [limit](Self::limit), in the text's order, of which
    /// neighbours share `stride` tokens.
    ///
    /// # Errors
    /// [`RequestError::Stride`] where `stride` is as long as a window or longer;
    /// [`RequestError::Tokenizer`] and [`RequestError::UnknownId`], as of [`Self::encode`].
    pub fn windows(
        &self,
        input: Input<'_>,
        stride: usize,
        side: Option<Side>,
        max_tokens: Option<usize>,
    ) -> Result<Vec<Tokens>, RequestError> {
        let text = self.content(input)?.first;
        let limit = self.limit(max_tokens);
        let room = limit.saturating_sub(self.special_tokens());
        if stride >= room {
            return Err(RequestError::Stride { stride, room });
        }
        let total = self.special_tokens().saturating_add(text.len());
        let ranges = overlapping(text.len(), room, stride, side.unwrap_or(self.side));
        let windows = ranges.into_iter().map(|range| pick(&text, &[range]));
        windows
            .map(|window| self.finish(Content::of(window), total))
            .collect()
    }

    /// Tokenises a text in as few windows as hold all of it, each with the
    /// prompt, its first `prompt_len` tokens, and about as much of the rest.
    ///
    /// # Errors
    /// [`RequestError::LongPrompt`] where prompt and special tokens fill the limit;
    /// [`RequestError::Tokenizer`] and [`RequestError::UnknownId`], as of [`Self::encode`].
    pub fn even_windows(
        &self,
        input: Input<'_>,
        prompt_len: usize,
        max_tokens: Option<usize>,
    ) -> Result<Vec<Tokens>, RequestError> {
        let text = self.content(input)?.first;
        let prompt = self.prompt_in(&text, prompt_len)?;
        let rest = text.len().saturating_sub(prompt);
        let fixed = self.special_tokens().saturating_add(prompt);
        let max_tokens = self.limit(max_tokens);
        let room = max_tokens.saturating_sub(fixed);
        if room == 0 && rest > 0 {
            return Err(RequestError::LongPrompt {
                max_tokens,
                prompt_tokens: fixed,
            });
        }
        let count = rest.div_ceil(room.max(1)).max(1);
        let end = |window| prompt.saturating_add(share(rest, window, count));
        let windows = (0..count).map(|window| end(window)..end(window.saturating_add(1)));
        let windows = windows.map(|range| pick(&text, &[0..prompt, range]));
        windows
            .map(|window| self.finish(Content::of(window), fixed.saturating_add(rest)))
            .collect()
    }

    /// How many tokens of a text are those of its prompt, which is `prompt_len` with the
    /// special tokens before it.
    fn prompt_in(&self, text: &Encoding, prompt_len: usize) -> Result<usize, RequestError> {
        if prompt_len == 0 || text.is_empty() {
            return Ok(0);
        }
        let whole = self.processed(Content::of(text.clone()))?;
        let special = whole.get_special_tokens_mask().iter();
        let before = special.take_while(|it| **it == 1).count();
        Ok(prompt_len.saturating_sub(before).min(text.len()))
    }

    /// How many tokens at the beginning of a sequence belong to a prompt, the
    /// special tokens before it included: sentence-transformers' `prompt_length`.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn prompt_len(
        &self,
        prompt: &str,
        max_tokens: Option<usize>,
    ) -> Result<usize, RequestError> {
        if prompt.is_empty() {
            return Ok(0);
        }
        let tokens = self.encode(
            prompt.into(),
            TruncationStrategy::LongestFirst,
            None,
            max_tokens,
        )?;
        let vocabulary = self.inner.get_added_vocabulary();
        let last = tokens.tokens.last();
        let ends_special = last.is_some_and(|token| vocabulary.is_special_token(token));
        Ok(tokens.ids.len().saturating_sub(usize::from(ends_special)))
    }

    /// Token ids to text.
    ///
    /// # Errors
    /// [`RequestError::UnknownId`] for an id that is not in the vocabulary, and
    /// [`RequestError::Tokenizer`] where the decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, RequestError> {
        // tokenizers leaves them out.
        if let Some(id) = ids.iter().find(|id| self.inner.id_to_token(**id).is_none()) {
            return Err(RequestError::UnknownId { id: *id });
        }
        let text = self.inner.decode(ids, skip_special);
        text.map_err(refused)
    }

    /// Tokens as the vocabulary spells them, to text.
    ///
    /// # Errors
    /// [`RequestError::Tokenizer`] where the decoder fails.
    pub fn join(&self, tokens: Vec<String>) -> Result<String, RequestError> {
        let Some(decoder) = self.inner.get_decoder() else {
            return Ok(tokens.join(" "));
        };
        let text = decoder.decode(tokens);
        text.map_err(refused)
    }

    /// Whether tokens that continue a word are spelt so: `##ing`.
    pub fn marks_subwords(&self) -> bool {
        match self.inner.get_model() {
            Model::WordPiece(model) => model.marks_subwords,
            Model::Bpe(model) => {
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

    /// A vocabulary entry as the vocabulary spells it.
    ///
    /// # Errors
    /// [`RequestError::UnknownId`] for an id that the vocabulary lacks.
    pub fn spelling(&self, id: u32) -> Result<String, RequestError> {
        let token = self.inner.id_to_token(id);
        token.ok_or(RequestError::UnknownId { id })
    }

    /// The first token of a text, without special tokens; `None` where there is no token.
    ///
    /// # Errors
    /// [`RequestError::Tokenizer`] for a text that the tokenizers library refuses.
    pub fn first_id(&self, text: &str) -> Result<Option<u32>, RequestError> {
        let encoding = self.inner.encode_char_offsets(text, false);
        let encoding = encoding.map_err(refused)?;
        Ok(encoding.get_ids().first().copied())
    }

    fn content(&self, input: Input<'_>) -> Result<Content, RequestError> {
        Ok(match input {
            Input::Text(text) => Content::of(self.tokens(text)?),
            Input::Pair(text, pair) => {
                let mut second = self.tokens(pair)?;
                second.set_type_ids(vec![1; second.len()]);
                Content {
                    first: self.tokens(text)?,
                    second: Some(second),
                }
            }
            Input::Ids(ids) => Content::of(self.unwrapped(ids)?),
        })
    }

    /// The tokens of one text.
    fn tokens(&self, text: &str) -> Result<Encoding, RequestError> {
        self.inner.encode_char_offsets(text, false).map_err(refused)
    }

    /// Token ids, without the special tokens that they may have around them already.
    fn unwrapped(&self, ids: &[u32]) -> Result<Encoding, RequestError> {
        let content = self.tokens_of(ids)?;
        let whole = self.processed(Content::of(content.clone()))?;
        let special = whole.get_special_tokens_mask();
        let before = special.iter().take_while(|it| **it == 1).count();
        let after = special.iter().rev().take_while(|it| **it == 1).count();
        let whole = whole.get_ids();
        let first = whole.get(..before).unwrap_or_default();
        let last = whole.get(whole.len().saturating_sub(after)..);
        let inside = ids.strip_prefix(first);
        let inside = inside.and_then(|it| it.strip_suffix(last.unwrap_or_default()));
        Ok(match inside {
            Some(inside) => {
                let range = before..before.saturating_add(inside.len());
                pick(&content, std::slice::from_ref(&range))
            }
            None => content,
        })
    }

    fn tokens_of(&self, ids: &[u32]) -> Result<Encoding, RequestError> {
        let token = |id: &u32| Ok(Token::new(*id, self.spelling(*id)?, (0, 0)));
        let tokens = ids.iter().map(token);
        let tokens = tokens.collect::<Result<_, RequestError>>()?;
        Ok(Encoding::from_tokens(tokens, 0))
    }

    fn special_tokens_of(&self, content: &Content) -> usize {
        added_tokens(self.processor.as_ref(), content.second.is_some())
    }

    /// The sequence that the model sees, where `total` tokens would be all of it.
    fn finish(&self, content: Content, total: usize) -> Result<Tokens, RequestError> {
        let encoding = self.processed(content)?;
        let special = encoding.get_special_tokens_mask().iter();
        Ok(Tokens {
            ids: encoding.get_ids().to_vec(),
            type_ids: encoding.get_type_ids().to_vec(),
            tokens: encoding.get_tokens().to_vec(),
            offsets: encoding.get_offsets().to_vec(),
            special: special.map(|mask| *mask == 1).collect(),
            hidden: 0,
            total,
        })
    }

    /// With the special tokens.
    fn processed(&self, Content { first, second }: Content) -> Result<Encoding, RequestError> {
        let processed = match &self.processor {
            Some(processor) => processor.process(first, second, true),
            None => self.inner.post_process(first, second, true),
        };
        processed.map_err(refused)
    }
}

fn added_tokens(processor: Option<&PostProcessorWrapper>, is_pair: bool) -> usize {
    processor.map_or(0, |processor| processor.added_tokens(is_pair))
}

/// The tokens of a text, or of both of a pair, without the special tokens around them.
///
/// All of them: tokenizers' own truncation stops tokenising once it has enough, and then
/// nobody knows how many tokens there would have been.
struct Content {
    first: Encoding,
    second: Option<Encoding>,
}

impl Content {
    fn of(text: Encoding) -> Self {
        Self {
            first: text,
            second: None,
        }
    }

    fn len(&self) -> usize {
        let second = self.second.as_ref().map_or(0, Encoding::len);
        self.first.len().saturating_add(second)
    }
}

/// The tokens in those ranges, one range after the other.
fn pick(encoding: &Encoding, ranges: &[Range<usize>]) -> Encoding {
    fn parts<T: Clone>(values: &[T], ranges: &[Range<usize>]) -> Vec<T> {
        let parts = ranges.iter().map(|range| values.get(range.clone()));
        parts
            .map(Option::unwrap_or_default)
            .collect::<Vec<_>>()
            .concat()
    }
    #[allow(
        clippy::default_trait_access,
        reason = "a map of a crate of tokenizers' own"
    )]
    let sequences = Default::default();
    Encoding::new(
        parts(encoding.get_ids(), ranges),
        parts(encoding.get_type_ids(), ranges),
        parts(encoding.get_tokens(), ranges),
        parts(encoding.get_word_ids(), ranges),
        parts(encoding.get_offsets(), ranges),
        parts(encoding.get_special_tokens_mask(), ranges),
        parts(encoding.get_attention_mask(), ranges),
        Vec::new(),
        sequences,
    )
}

/// `length · part / parts`, whose product may be more than 32 bits hold: in wasm, a text
/// of a million tokens in as many windows.
fn share(length: usize, part: usize, parts: usize) -> usize {
    let product = (length as u128).saturating_mul(part as u128);
    #[allow(
        clippy::cast_possible_truncation,
        reason = "no more than `length`, as `part` is no more than `parts`"
    )]
    let share = product.checked_div(parts as u128).unwrap_or_default() as usize;
    share
}

/// The tokens of a text that stay.
fn kept(length: usize, excess: usize, side: Side) -> Range<usize> {
    match side {
        Side::Right => 0..length.saturating_sub(excess),
        Side::Left => excess..length,
    }
}

/// How many tokens each text of a pair has to lose, as tokenizers shares them
/// out; the strategy's name where it leaves nothing to cut.
fn shares(
    excess: usize,
    first: usize,
    second: usize,
    truncation: TruncationStrategy,
) -> Result<[usize; 2], &'static str> {
    match truncation {
        TruncationStrategy::LongestFirst => {
            let room = first.saturating_add(second).saturating_sub(excess);
            let kept = longest_first(first, second, room);
            Ok([first.saturating_sub(kept.0), second.saturating_sub(kept.1)])
        }
        TruncationStrategy::OnlyFirst if excess < first => Ok([excess, 0]),
        TruncationStrategy::OnlyFirst => Err("only_first"),
        TruncationStrategy::OnlySecond if excess < second => Ok([0, excess]),
        TruncationStrategy::OnlySecond => Err("only_second"),
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
    let mut start: usize = 0;
    loop {
        let end = start.saturating_add(room).min(length);
        windows.push(match side {
            Side::Right => start..end,
            Side::Left => length.saturating_sub(end)..length.saturating_sub(start),
        });
        if end == length {
            return windows;
        }
        // At least one further: a stride as wide as the room has been refused.
        start = start.saturating_add(room.saturating_sub(stride).max(1));
    }
}

/// Lower-cases texts first, unless the tokenizer does it anyway: what
/// sentence-transformers does for `do_lower_case`.
fn lower_case(tokenizer: &mut Library) -> Result<(), FileError> {
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

fn parse(json: &[u8]) -> Result<Library, FileError> {
    Library::from_bytes(json).map_err(load_error)
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn load_error(error: tokenizers::Error) -> FileError {
    FileError::Tokenizer {
        problem: one_line(&error),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: tokenizers::Error) -> RequestError {
    RequestError::Tokenizer {
        problem: one_line(&error),
    }
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
    fn a_share_of_much_is_exact() {
        assert_eq!([0, 1, 2, 3].map(|part| share(10, part, 3)), [0, 3, 6, 10]);
        let most = usize::MAX;
        assert_eq!(share(most, most, most), most);
        assert_eq!(share(most - 1, most / 2, most - 1), most / 2);
    }

    #[test]
    fn a_cut_takes_the_end_or_the_beginning() {
        assert_eq!(kept(8, 3, Side::Right), 0..5);
        assert_eq!(kept(8, 3, Side::Left), 3..8);
    }
}
