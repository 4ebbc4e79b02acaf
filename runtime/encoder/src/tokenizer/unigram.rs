//! SentencePiece's Unigram model: the segmentation of a text into entries of the vocabulary
//! whose log probabilities have the largest sum.
//!
//! The tokenizers library has one too, whose trie of hash maps takes 370 MB for the 250,000 entries of
//! a vocabulary like XLM-RoBERTa's, and five to ten times as long to be made (BENCHMARKS.md, "Start").
//! What this one gives is the library's, token by token, which its tests compare.

use super::spellings::Spellings;
use super::trie::Trie;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use tokenizers::Token;
use tokenizers::models::unigram::{UnigramError, UnigramTrainer};

/// How much less probable than the least probable entry a character is that no entry spells.
const UNKNOWN_PENALTY: f64 = 10.0;

/// A Unigram model, read from the `model` of a tokenizer.json.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
pub(super) struct Unigram {
    entries: Entries,
    trie: Trie,
    /// The score of a character that no entry spells.
    unknown_score: f64,
    unknown_id: Option<u32>,
    /// Whether such a character becomes the entries `<0x00>` to `<0xFF>` of its bytes.
    byte_fallback: bool,
}

/// As it stands in tokenizer.json.
#[derive(Deserialize)]
struct Fields {
    vocab: Entries,
    #[serde(default)]
    unk_id: Option<usize>,
    #[serde(default)]
    byte_fallback: bool,
}

/// The vocabulary in the order of its ids.
#[derive(Debug, Default)]
struct Entries {
    spellings: Spellings,
    /// Their log probabilities.
    scores: Vec<f64>,
}

/// The best segmentation of a text up to a place in it.
#[derive(Clone, Copy)]
struct Best {
    score: f64,
    /// Where its last segment starts.
    start: usize,
    id: u32,
}

/// What is a token, or several where it is unknown.
#[derive(Debug, PartialEq)]
struct Segment {
    range: Range<usize>,
    /// `None` for characters that no entry spells.
    id: Option<u32>,
}

impl Unigram {
    /// Viterbi's algorithm. Of segmentations that are as probable as one another, the one whose
    /// last segment is longest is taken.
    fn segments(&self, text: &str) -> Result<Vec<Segment>, UnigramError> {
        let mut best: Vec<Option<Best>> = vec![None; text.len().saturating_add(1)];
        for (start, character) in text.char_indices() {
            let rest = text.get(start..).unwrap_or_default();
            let so_far = best.get(start).copied().flatten();
            let so_far = so_far.map_or(0.0, |best| best.score);
            let character_len = character.len_utf8();
            let mut is_known = false;
            for (length, id) in self.trie.prefixes(rest) {
                is_known |= length == character_len;
                let score = so_far + self.entries.score(id);
                if let Some(end) = improved(&mut best, start.saturating_add(length), score) {
                    *end = Some(Best { score, start, id });
                }
            }
            let score = so_far + self.unknown_score;
            let end = start.saturating_add(character_len);
            if !is_known && let Some(end) = improved(&mut best, end, score) {
                let id = self.unknown_id.ok_or(UnigramError::MissingUnkId)?;
                *end = Some(Best { score, start, id });
            }
        }
        Ok(self.backtrack(&best))
    }

    /// The segments of the best way to the end; neighbours that are unknown are one.
    fn backtrack(&self, best: &[Option<Best>]) -> Vec<Segment> {
        let mut segments: Vec<Segment> = Vec::new();
        let mut end = best.len().saturating_sub(1);
        while let Some(Best { start, id, .. }) = best.get(end).copied().flatten() {
            let id = Some(id).filter(|id| Some(*id) != self.unknown_id);
            match segments.last_mut() {
                Some(next) if id.is_none() && next.id.is_none() => next.range.start = start,
                _ => segments.push(Segment {
                    range: start..end,
                    id,
                }),
            }
            end = start;
        }
        segments.reverse();
        segments
    }

    /// The entries of the bytes of unknown characters, each with the offsets of all of them.
    fn bytes_of(&self, spelling: &str, offsets: (usize, usize)) -> Option<Vec<Token>> {
        let token = |byte| {
            let entry = format!("<0x{byte:02X}>");
            Some(Token::new(self.trie.id(&entry)?, entry, offsets))
        };
        let tokens = || spelling.bytes().map(token).collect();
        self.byte_fallback.then(tokens).flatten()
    }
}

impl tokenizers::Model for Unigram {
    type Trainer = UnigramTrainer;

    /// The tokens of a text, with offsets in bytes.
    fn tokenize(&self, text: &str) -> tokenizers::Result<Vec<Token>> {
        let mut tokens = Vec::new();
        for Segment { range, id } in self.segments(text)? {
            let spelling = text.get(range.clone()).unwrap_or_default();
            let offsets = (range.start, range.end);
            // Unknown characters may be an entry together.
            if let Some(id) = id.or_else(|| self.trie.id(spelling)) {
                tokens.push(Token::new(id, spelling.to_owned(), offsets));
            } else if let Some(bytes) = self.bytes_of(spelling, offsets) {
                tokens.extend(bytes);
            } else {
                let id = self.unknown_id.ok_or(UnigramError::MissingUnkId)?;
                tokens.push(Token::new(id, spelling.to_owned(), offsets));
            }
        }
        Ok(tokens)
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        self.trie.id(token)
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        self.entries.spellings.get(id as usize).map(str::to_owned)
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        let entries = self.entries.spellings.iter();
        entries.map(|(entry, id)| (entry.to_owned(), id)).collect()
    }

    fn get_vocab_size(&self) -> usize {
        self.entries.spellings.len()
    }

    fn save(&self, _folder: &Path, _prefix: Option<&str>) -> tokenizers::Result<Vec<PathBuf>> {
        Err("this model is only read".into())
    }

    fn get_trainer(&self) -> UnigramTrainer {
        UnigramTrainer::default()
    }
}

/// What is known of the place `end`, where `score` is better than that.
fn improved(best: &mut [Option<Best>], end: usize, score: f64) -> Option<&mut Option<Best>> {
    let known = best.get_mut(end)?;
    known
        .is_none_or(|known| score > known.score)
        .then_some(known)
}

impl TryFrom<Fields> for Unigram {
    type Error = UnigramError;

    fn try_from(fields: Fields) -> Result<Self, UnigramError> {
        let Fields {
            vocab: entries,
            unk_id,
            byte_fallback,
        } = fields;
        let count = entries.spellings.len();
        let unknown_id = match unk_id {
            Some(_) if count == 0 => return Err(UnigramError::EmptyVocabulary),
            Some(id) if id >= count => return Err(UnigramError::UnkIdNotInVocabulary),
            Some(id) => u32::try_from(id).ok(),
            None => None,
        };
        let scores = entries.scores.iter().copied();
        Ok(Self {
            trie: Trie::new(entries.spellings.iter()),
            unknown_score: scores.fold(f64::INFINITY, f64::min) - UNKNOWN_PENALTY,
            entries,
            unknown_id,
            byte_fallback,
        })
    }
}

impl Entries {
    fn score(&self, id: u32) -> f64 {
        self.scores.get(id as usize).copied().unwrap_or(0.0)
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Pairs)
    }
}

/// Reads pairs of a spelling and a score, without a string for each.
struct Pairs;

#[derive(Deserialize)]
struct Spelling<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Pairs {
    type Value = Entries;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of pairs of a token and its score")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Entries, A::Error> {
        let mut entries = Entries::default();
        while let Some((Spelling(spelling), score)) = pairs.next_element()? {
            let pushed = entries.spellings.push(&spelling);
            pushed.map_err(A::Error::custom)?;
            entries.scores.push(score);
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::Numbers;
    use super::*;
    use serde_json::json;
    use tokenizers::Model as _;
    use tokenizers::models::unigram::Unigram as Library;

    /// Of what words are made: characters of one to four bytes, and those of byte entries.
    const PIECES: [&str; 10] = ["a", "b", "▁", "é", "東", "京", "😀", "<", "0x61", ">"];

    /// With spellings that are there twice, one that is empty, and scores that are equal.
    fn vocabulary(numbers: &mut Numbers) -> Vec<(String, f64)> {
        let mut entries = vec![("<unk>".to_owned(), 0.0)];
        for _ in 0..numbers.below(40) {
            let score = f64::from(u32::try_from(numbers.below(8)).unwrap()) - 6.0;
            entries.push((numbers.word(&PIECES, 5), score));
        }
        if numbers.below(2) == 0 {
            entries.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>"), -20.0)));
        }
        entries
    }

    fn unigram(vocabulary: &[(String, f64)], unknown: Option<usize>, bytes: bool) -> Unigram {
        let json = json!({"vocab": vocabulary, "unk_id": unknown, "byte_fallback": bytes});
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn tokens_are_those_of_the_library() {
        let mut numbers = Numbers(17);
        let mut failures = 0;
        for _ in 0..120 {
            let vocabulary = vocabulary(&mut numbers);
            let bytes = numbers.below(2) == 0;
            let unknown = Some(numbers.below(vocabulary.len())).filter(|id| id % 5 != 4);
            let ours = unigram(&vocabulary, unknown, bytes);
            let library = Library::from(vocabulary.clone(), unknown, bytes).unwrap();
            for _ in 0..25 {
                let text = numbers.word(&PIECES, 24);
                let shown = format!("{text:?} of {vocabulary:?}, {unknown:?}, {bytes}");
                let expected = library.tokenize(&text).map_err(|error| error.to_string());
                failures += usize::from(expected.is_err());
                let tokens = ours.tokenize(&text).map_err(|error| error.to_string());
                assert_eq!(tokens, expected, "{shown}");
            }
            assert_eq!(ours.get_vocab(), library.get_vocab());
            for id in 0..u32::try_from(vocabulary.len()).unwrap() + 1 {
                let spelling = ours.id_to_token(id);
                assert_eq!(spelling, library.id_to_token(id));
                let id_of = spelling.map(|it| (ours.token_to_id(&it), library.token_to_id(&it)));
                assert!(id_of.is_none_or(|(ours, library)| ours == library), "{id}");
            }
        }
        assert!(
            failures > 0,
            "no text had an unknown character without `unk_id`"
        );
    }

    #[test]
    fn of_equal_segmentations_the_one_with_the_longest_end_is_taken() {
        let entry = |(spelling, score): (&str, f64)| (spelling.to_owned(), score);
        let entries = [("<unk>", 0.0), ("a", -1.0), ("aa", -2.0)].map(entry);
        let model = unigram(&entries, Some(0), false);
        let tokens = model.tokenize("aaa").unwrap();
        assert_eq!(tokens.iter().map(|it| it.id).collect::<Vec<_>>(), [1, 2]);
    }
}
