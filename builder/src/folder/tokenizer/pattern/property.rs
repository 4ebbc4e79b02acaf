//! Properties of characters by the names Oniguruma knows, `\p{…}`.
//!
//! All names that regex-syntax knows too are the same sets in both (Unicode 16); the
//! test `regex` of the `tests` package holds every code point of every name against the
//! `tokenizers` package.

use super::chars::{Chars, WORD, WORD_OUTSIDE};
use std::fmt::Write;

/// Every assigned character but spaces and controls.
pub(super) const GRAPH: &str = r"[^\s\p{Cc}\p{Cn}]";

/// The same with spaces.
pub(super) const PRINT: &str = r"[^\s\p{Cc}\p{Cn}]\p{Zs}";

/// No character.
pub(super) const NOTHING: &str = r"[a&&b]";

/// Unicode's blocks: see the file.
const BLOCKS: &str = include_str!("blocks.txt");

/// Where a property stands, which matters to one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    InClass,
    Outside,
}

/// The characters of the property that is `written`, if Oniguruma has one of that name.
pub(super) fn find(written: &str, place: Place) -> Option<Chars> {
    // Case and separators do not count.
    let name: String = written
        .chars()
        .filter(|character| !matches!(character, ' ' | '-' | '_'))
        .map(|character| character.to_ascii_lowercase())
        .collect();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let items = match name.as_str() {
        "alnum" => r"\p{Alphabetic}\p{Nd}",
        "blank" => r"\p{Zs}\t",
        // No text has any.
        "cs" | "surrogate" => NOTHING,
        "graph" => GRAPH,
        "newline" => r"\n",
        "posixpunct" => r"\p{P}\p{S}",
        "print" => PRINT,
        "unknown" | "zzzz" => r"\p{Cn}\p{Co}",
        "word" if place == Place::InClass => WORD,
        "word" => WORD_OUTSIDE,
        "xdigit" => "0-9A-Fa-f",
        // Names of regex-syntax that Oniguruma does not know.
        "bidim" | "bidimirrored" => return None,
        name if name.starts_with("is") => return None,
        name => {
            let known = Chars::of_items(&format!("\\p{{{written}}}"));
            return known.or_else(|| block(name.strip_prefix("in")?));
        }
    };
    Chars::of_items(items)
}

/// The characters of a block.
fn block(name: &str) -> Option<Chars> {
    let line = BLOCKS.lines().find_map(|line| {
        let ranges = line.strip_prefix(name)?;
        ranges.starts_with(' ').then_some(ranges)
    })?;
    let mut items = String::new();
    for range in line.split_whitespace() {
        let (first, last) = range.split_once('-')?;
        // A String takes whatever is written to it.
        let _ = write!(items, "\\x{{{first}}}-\\x{{{last}}}");
    }
    // Blocks of surrogates have no characters.
    Chars::of_items(if items.is_empty() { NOTHING } else { &items })
}
