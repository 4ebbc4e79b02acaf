//! Regular expressions of tokenizer.json, which are written for Oniguruma, translated
//! for fancy-regex, which reads them in the finished file: natively, in wasm and in a
//! browser.
//!
//! A translation finds the same matches in every text, or there is none and the pattern
//! is refused by the name of what has none. A pattern that both read alike stays
//! as it is, byte by byte.
//!
//! Of what the `tokenizers` crate matches besides, nothing needs translation: the
//! pattern of `ByteLevel` is one that both read alike, and `Whitespace` and the added
//! tokens are matched by the `regex` crate in either build.

mod chars;
mod check;
mod class;
mod cursor;
mod escape;
mod fold;
mod group;
mod node;
mod parse;
mod property;
mod quantifier;
mod segment;
#[cfg(test)]
mod tests;

use fancy_regex::Regex;
use serde_json::Value;
use std::fmt;

/// The parts of tokenizer.json that have patterns.
const PARTS: [&str; 3] = ["normalizer", "pre_tokenizer", "decoder"];

/// A pattern that was translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Translation {
    /// Where it is in tokenizer.json, as `pre_tokenizer.pretokenizers[0].pattern.Regex`.
    pub(super) place: String,
    /// As it was written.
    pub(super) from: String,
    /// As it is stored.
    pub(super) to: String,
}

/// A pattern that cannot be translated, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{place}`: {source}")]
pub(super) struct Refused {
    /// Where it is in tokenizer.json.
    pub(super) place: String,
    /// What of it.
    pub(super) source: Unsupported,
}

/// What of a pattern cannot be translated, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// Bytes before it; then characters.
    at: usize,
    /// As it is written.
    construct: String,
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    /// Oniguruma refuses it too.
    Unread(&'static str),
    /// What to write instead.
    Untranslated(&'static str),
    /// fancy-regex refuses the translation.
    NotCompiled,
}

impl Unsupported {
    fn unread(at: usize, construct: impl Into<String>, problem: &'static str) -> Self {
        Self {
            at,
            construct: construct.into(),
            reason: Reason::Unread(problem),
        }
    }

    fn untranslated(at: usize, construct: impl Into<String>, instead: &'static str) -> Self {
        Self {
            at,
            construct: construct.into(),
            reason: Reason::Untranslated(instead),
        }
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, construct, .. } = self;
        match self.reason {
            Reason::Unread(problem) => write!(
                f,
                "`{construct}` at character {at} of the regular expression is nothing that transformers reads: {problem}"
            ),
            Reason::Untranslated(instead) => write!(
                f,
                "`{construct}` at character {at} of the regular expression: {instead}"
            ),
            Reason::NotCompiled => write!(
                f,
                "the regular expression {construct:?} is too large; write a simpler one"
            ),
        }
    }
}

impl std::error::Error for Unsupported {}

/// Translates every pattern of a tokenizer.json. Returns those that changed.
pub(super) fn translate_all(tokenizer: &mut Value) -> Result<Vec<Translation>, Refused> {
    let mut translations = Vec::new();
    for part in PARTS {
        if let Some(value) = tokenizer.get_mut(part) {
            translate_in(value, part, &mut translations)?;
        }
    }
    Ok(translations)
}

/// Patterns stand in objects as `"pattern": {"Regex": "…"}`, at any depth.
fn translate_in(
    value: &mut Value,
    place: &str,
    translations: &mut Vec<Translation>,
) -> Result<(), Refused> {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                translate_in(item, &format!("{place}[{index}]"), translations)?;
            }
        }
        Value::Object(object) => {
            for (key, item) in object.iter_mut() {
                let place = format!("{place}.{key}");
                if key != "pattern" {
                    translate_in(item, &place, translations)?;
                } else if let Some(Value::String(pattern)) = item.get_mut("Regex") {
                    let place = format!("{place}.Regex");
                    translate_at(pattern, place, translations)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn translate_at(
    pattern: &mut String,
    place: String,
    translations: &mut Vec<Translation>,
) -> Result<(), Refused> {
    match translate(pattern) {
        Ok(to) if to == *pattern => Ok(()),
        Ok(to) => {
            let from = std::mem::replace(pattern, to.clone());
            translations.push(Translation { place, from, to });
            Ok(())
        }
        Err(source) => Err(Refused { place, source }),
    }
}

/// The pattern that finds in every text what Oniguruma finds by `pattern`.
///
/// # Errors
/// [`Unsupported`], with the part that has no translation and its place in characters,
/// counted from 1.
pub fn translate(pattern: &str) -> Result<String, Unsupported> {
    let translate = || {
        let translation = parse::parse(pattern)?.to_pattern();
        match Regex::new(&translation) {
            Ok(_) => Ok(translation),
            Err(_) => Err(Unsupported {
                at: 0,
                construct: pattern.to_owned(),
                reason: Reason::NotCompiled,
            }),
        }
    };
    translate().map_err(|unsupported: Unsupported| Unsupported {
        at: pattern[..unsupported.at].chars().count() + 1,
        ..unsupported
    })
}
