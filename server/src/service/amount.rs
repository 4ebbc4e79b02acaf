//! How much a request asks for, before anything of it is tokenised.
//!
//! Options make work too: each label is a pair with the whole text, and windows
//! that share most of their tokens read a text many times over.

use crate::failure::{Failure, Kind};
use crate::settings::Limits;
use encoderfile::Item;
use encoderfile::Options;

/// Refuses too much of anything; says how many characters the texts have.
pub(super) fn check(
    texts: &[Item],
    options: Option<&Options>,
    limits: &Limits,
    max_tokens: usize,
) -> Result<usize, Failure> {
    if texts.is_empty() {
        return Err(Failure::new(
            Kind::Empty,
            "nothing to compute: the list of texts is empty",
        ));
    }
    check_count(texts.len(), "texts", limits)?;
    let read = options.map_or_else(Read::default, |options| Read::with(options, max_tokens));
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
    /// How often.
    times: usize,
}

impl Default for Read {
    fn default() -> Self {
        Self {
            beside: 0,
            times: 1,
        }
    }
}

impl Read {
    fn with(options: &Options, max_tokens: usize) -> Self {
        let length = |text: &String| text.chars().count();
        let beside = [&options.query, &options.prompt, &options.template];
        let beside: usize = beside.into_iter().flatten().map(length).sum();
        let label = options.labels.iter().flatten().map(length).max();
        // Each window is new but for the tokens that it shares.
        let fresh = max_tokens.saturating_sub(options.stride.unwrap_or(0));
        let windows = max_tokens.div_ceil(fresh.max(1)).max(1);
        Self {
            beside: beside + label.unwrap_or(0),
            times: options.labels.as_ref().map_or(1, Vec::len).max(1) * windows,
        }
    }

    fn check(&self, characters: usize, limits: &Limits) -> Result<(), Failure> {
        let limit = limits.max_input_chars;
        let all = characters.saturating_add(self.beside);
        if all.saturating_mul(self.times) <= limit {
            return Ok(());
        }
        let mut message = format!("{characters} characters");
        if self.beside > 0 {
            message += &format!(" and {} beside them", self.beside);
        }
        if self.times > 1 {
            message += &format!(", read {} times", self.times);
        }
        message += &format!(", limit {limit} (--max-input-chars)");
        Err(Failure::new(Kind::Limit, message))
    }
}
