//! How much a request asks for, before anything of it is tokenised.
//!
//! Options make work too: each label is a pair with the whole text, and windows
//! that share most of their tokens read a text many times over.

use crate::failure::{Failure, Kind};
use crate::limits::Limits;
use encoderfile::{Encoder, Item, Options, Overflow};

/// Refuses too much of anything; says how many characters the texts have.
pub(super) fn check(
    texts: &[Item],
    options: Option<&Options>,
    limits: &Limits,
    encoder: &Encoder,
) -> Result<usize, Failure> {
    if texts.is_empty() {
        return Err(Failure::new(
            Kind::Empty,
            "nothing to compute: the list of texts is empty",
        ));
    }
    check_count(texts.len(), "texts", limits)?;
    let read = options.map_or_else(Read::default, |options| Read::with(options, encoder));
    for (count, what) in options.into_iter().flat_map(lists) {
        check_count(count, what, limits)?;
    }
    let mut all = 0;
    for (index, text) in texts.iter().enumerate() {
        let characters = characters(text);
        let length = match text {
            Item::Ids(ids) => ids.len().saturating_mul(CHARACTERS_A_TOKEN),
            Item::Text(_) | Item::Pair(..) => characters,
        };
        read.check(length, limits)
            .map_err(|failure| failure.of_text(index))?;
        all += characters;
    }
    Ok(all)
}

/// How many code points a text has, to be counted where it was decoded anyway.
fn characters(text: &Item) -> usize {
    match text {
        Item::Text(text) => text.chars().count(),
        Item::Pair(text, pair) => text.chars().count() + pair.chars().count(),
        Item::Ids(_) => 0,
    }
}

/// So many characters of English are one token.
const CHARACTERS_A_TOKEN: usize = 4;

fn check_count(count: usize, what: &str, limits: &Limits) -> Result<(), Failure> {
    let limit = limits.max_client_batch_size;
    if count <= limit {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Limit,
        format!("{count} {what} in one request, limit {limit} (--max-client-batch-size)"),
    ))
}

/// The lists of a request, beside its texts.
fn lists(options: &Options) -> [(usize, &'static str); 3] {
    let count = |list: &Option<Vec<String>>| list.as_ref().map_or(0, Vec::len);
    [
        (count(&options.labels), "`labels`"),
        (count(&options.targets), "`targets`"),
        (count(&options.ignore_labels), "`ignore_labels`"),
    ]
}

/// What is read for each text.
struct Read {
    /// Characters that stand beside it: a query, a prompt, a label's sentence.
    beside: usize,
    /// How often: once for each label.
    times: usize,
    /// Of how many tokens a window is, and how many of them are not in the window
    /// before it too.
    window: (usize, usize),
}

impl Default for Read {
    fn default() -> Self {
        Self {
            beside: 0,
            times: 1,
            window: (1, 1),
        }
    }
}

impl Read {
    fn with(options: &Options, encoder: &Encoder) -> Self {
        let length = |text: &String| text.chars().count();
        let beside = [&options.query, &options.prompt, &options.template];
        let beside: usize = beside.into_iter().flatten().map(length).sum();
        let label = options.labels.iter().flatten().map(length).max();
        Self {
            beside: beside + label.unwrap_or(0),
            times: options.labels.as_ref().map_or(1, Vec::len).max(1),
            window: window(options, encoder),
        }
    }

    fn check(&self, characters: usize, limits: &Limits) -> Result<(), Failure> {
        let limit = limits.max_input_chars;
        let all = characters.saturating_add(self.beside);
        let (window, fresh) = self.window;
        let read = (all as u128 * self.times as u128 * window as u128).div_ceil(fresh as u128);
        if read <= limit as u128 {
            return Ok(());
        }
        let mut message = format!("{characters} characters");
        if self.beside > 0 {
            message += &format!(" and {} beside them", self.beside);
        }
        let times = (self.times * window).div_ceil(fresh);
        if times > 1 {
            message += &format!(", read {times} times");
        }
        message += &format!(", limit {limit} (--max-input-chars)");
        Err(Failure::new(Kind::Limit, message))
    }
}

/// How many tokens a window has, and how many of them are new in it: not the special
/// tokens, the prompt and those that it shares with the window before it.
fn window(options: &Options, encoder: &Encoder) -> (usize, usize) {
    let repeated = match (options.stride, options.overflow) {
        (Some(stride), _) => stride,
        // A token of a prompt is a character at least, nearly always.
        (None, Overflow::Mean) => options.prompt(encoder.pipeline()).chars().count(),
        (None, Overflow::Truncate | Overflow::Error) => return (1, 1),
    };
    let tokenizer = encoder.tokenizer();
    let window = tokenizer.limit(options.max_tokens);
    let repeated = repeated.saturating_add(tokenizer.special_tokens());
    (window, window.saturating_sub(repeated).max(1))
}

#[cfg(test)]
mod tests {
    use super::window;
    use crate::testing::embeddings;
    use encoderfile::{Options, Overflow};

    #[test]
    fn windows_are_of_special_tokens_prompts_and_strides_too() {
        let encoder = embeddings().encoder();
        let model = encoder.tokenizer().limit(None);
        let options = |stride, overflow, max_tokens, prompt: &str| Options {
            stride,
            overflow,
            max_tokens,
            prompt: Some(prompt.into()),
            ..Options::default()
        };
        for (options, expected) in [
            (options(None, Overflow::Truncate, None, ""), (1, 1)),
            (options(None, Overflow::Mean, None, ""), (model, model - 2)),
            (options(None, Overflow::Mean, Some(3), ""), (3, 1)),
            (
                options(None, Overflow::Mean, Some(40), "a prompt of 22 letters"),
                (40, 16),
            ),
            (
                options(None, Overflow::Mean, Some(10), "a prompt of 22 letters"),
                (10, 1),
            ),
            (options(Some(5), Overflow::Truncate, Some(10), ""), (10, 3)),
            (options(Some(5), Overflow::Truncate, Some(5), ""), (5, 1)),
        ] {
            assert_eq!(window(&options, &encoder), expected, "{options:?}");
        }
    }
}
