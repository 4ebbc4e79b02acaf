//! WordPiece: the longest entry that a word begins with, then the longest that goes on with the rest, and
//! so on to its end.
//!
//! The tokenizers library has one too, over two hash maps of strings, which makes a string of each part
//! that may be an entry. What this one gives is the library's, token by token, which its tests compare.

use super::spellings::Spellings;
use super::trie::{Node, ROOT, Trie};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use tokenizers::Token;
use tokenizers::models::wordpiece::{Error, WordPieceTrainer};

/// A WordPiece model, read from the `model` of a tokenizer.json.
#[derive(Debug, Deserialize)]
#[serde(from = "Fields")]
pub(super) struct WordPiece {
    entries: Entries,
    /// Of the places of entries.
    trie: Trie,
    /// The places of entries in the order of their ids.
    by_id: Vec<u32>,
    /// Where those are that go on with a word; `None` where none does.
    continuing: Option<Node>,
    /// Whether those are spelt with a prefix: `##`.
    pub(super) marks_subwords: bool,
    /// What a word is that entries do not spell.
    unknown: String,
    /// In characters; longer words are unknown.
    longest_word: usize,
}

/// As it stands in tokenizer.json.
#[derive(Deserialize)]
struct Fields {
    vocab: Entries,
    unk_token: String,
    continuing_subword_prefix: String,
    max_input_chars_per_word: usize,
}

/// The vocabulary in the order of the file.
#[derive(Debug, Default)]
struct Entries {
    spellings: Spellings,
    ids: Vec<u32>,
}

impl Entries {
    fn id(&self, place: u32) -> Option<u32> {
        self.ids.get(place as usize).copied()
    }
}

impl WordPiece {
    /// The tokens of a word; `None` if entries do not spell it.
    fn pieces(&self, word: &str) -> Option<Vec<Token>> {
        let mut pieces = Vec::new();
        let mut start = 0;
        while start < word.len() {
            let node = if start == 0 {
                Some(ROOT)
            } else {
                self.continuing
            };
            let rest = word.get(start..)?;
            let (length, place) = self.trie.prefixes_after(node?, rest).last()?;
            let spelling = self.entries.spellings.get(place as usize)?;
            let end = start.checked_add(length)?;
            let id = self.entries.id(place)?;
            pieces.push(Token::new(id, spelling.to_owned(), (start, end)));
            start = end;
        }
        Some(pieces)
    }

    /// Whether an entry is not spelt again after it: then that one is meant.
    fn is_meant(&self, spelling: &str, place: u32) -> bool {
        self.trie.id(spelling) == Some(place)
    }
}

impl tokenizers::Model for WordPiece {
    type Trainer = WordPieceTrainer;

    /// The tokens of a word, with offsets in bytes.
    fn tokenize(&self, word: &str) -> tokenizers::Result<Vec<Token>> {
        let is_short = word.chars().nth(self.longest_word).is_none();
        if let Some(pieces) = is_short.then(|| self.pieces(word)).flatten() {
            return Ok(pieces);
        }
        let id = self.token_to_id(&self.unknown);
        let id = id.ok_or(Error::MissingUnkToken)?;
        let offsets = (0, word.len());
        Ok(vec![Token::new(id, self.unknown.clone(), offsets)])
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        self.entries.id(self.trie.id(token)?)
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        let id_of = |place: &u32| self.entries.id(*place);
        let first = self.by_id.partition_point(|place| id_of(place) < Some(id));
        let place = *self.by_id.get(first).filter(|it| id_of(it) == Some(id))?;
        let spelling = self.entries.spellings.get(place as usize);
        spelling.map(str::to_owned)
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        let meant = self.by_id.iter();
        let entry = |place: &u32| {
            let spelling = self.entries.spellings.get(*place as usize)?;
            Some((spelling.to_owned(), self.entries.id(*place)?))
        };
        meant.filter_map(entry).collect()
    }

    fn get_vocab_size(&self) -> usize {
        self.by_id.len()
    }

    fn save(&self, _folder: &Path, _prefix: Option<&str>) -> tokenizers::Result<Vec<PathBuf>> {
        Err("this model is only read".into())
    }

    fn get_trainer(&self) -> WordPieceTrainer {
        WordPieceTrainer::builder().build()
    }
}

impl From<Fields> for WordPiece {
    fn from(fields: Fields) -> Self {
        let trie = Trie::new(fields.vocab.spellings.iter());
        let mut model = Self {
            continuing: trie.node(&fields.continuing_subword_prefix),
            marks_subwords: !fields.continuing_subword_prefix.is_empty(),
            trie,
            by_id: Vec::new(),
            entries: fields.vocab,
            unknown: fields.unk_token,
            longest_word: fields.max_input_chars_per_word,
        };
        let is_each_meant = model.trie.len() == model.entries.spellings.len();
        let places = model.entries.spellings.iter();
        let meant =
            places.filter(|(spelling, place)| is_each_meant || model.is_meant(spelling, *place));
        let mut by_id: Vec<u32> = meant.map(|(_, place)| place).collect();
        by_id.sort_by_key(|place| model.entries.id(*place));
        model.by_id = by_id;
        model
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Ids)
    }
}

/// Reads an object of ids by their spellings, without a string for each.
struct Ids;

#[derive(Deserialize)]
struct Spelling<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Ids {
    type Value = Entries;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of tokens and their ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Entries::default();
        while let Some((Spelling(spelling), id)) = map.next_entry()? {
            let pushed = entries.spellings.push(&spelling);
            pushed.map_err(A::Error::custom)?;
            entries.ids.push(id);
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
    use tokenizers::models::wordpiece::WordPiece as Library;

    /// Of what words are made: characters of one to four bytes, and those of prefixes.
    const PIECES: [&str; 9] = ["a", "b", "c", "#", "##", "é", "東", "京", "😀"];

    const PREFIXES: [&str; 4] = ["##", "#", "", "a"];

    /// A vocabulary as JSON, in which entries may be spelt twice, with ids that have gaps, in any order.
    fn vocabulary(numbers: &mut Numbers, prefix: &str) -> String {
        let mut entries = Vec::new();
        let mut ids: Vec<usize> = (0..90).collect();
        for _ in 0..numbers.below(60) {
            let prefix = if numbers.below(2) == 0 { prefix } else { "" };
            let id = ids.swap_remove(numbers.below(ids.len()));
            entries.push(format!("\"{prefix}{}\": {id}", numbers.word(&PIECES, 4)));
        }
        if numbers.below(4) != 0 {
            entries.push(format!("\"[UNK]\": {}", ids[0]));
        }
        format!("{{{}}}", entries.join(", "))
    }

    #[test]
    fn tokens_are_those_of_the_library() {
        let mut numbers = Numbers(23);
        let (mut failures, mut known) = (0, 0);
        for round in 0..300 {
            let prefix = PREFIXES[round % PREFIXES.len()];
            let longest = [0, 3, 100][numbers.below(3)];
            let json = format!(
                r#"{{"vocab": {}, "unk_token": "[UNK]", "continuing_subword_prefix": "{prefix}",
                    "max_input_chars_per_word": {longest}}}"#,
                vocabulary(&mut numbers, prefix)
            );
            let ours: WordPiece = serde_json::from_str(&json).unwrap();
            let library: Library = serde_json::from_str(&json).unwrap();
            for _ in 0..25 {
                let word = numbers.word(&PIECES, 7);
                let expected = library.tokenize(&word).map_err(|error| error.to_string());
                failures += usize::from(expected.is_err());
                known += usize::from(expected.as_ref().is_ok_and(|it| it.len() > 1));
                let tokens = ours.tokenize(&word).map_err(|error| error.to_string());
                assert_eq!(tokens, expected, "{word:?} of {json}");
            }
            assert_eq!(ours.get_vocab(), library.get_vocab(), "{json}");
            assert_eq!(ours.get_vocab_size(), library.get_vocab_size(), "{json}");
            for id in 0..91 {
                let spelling = ours.id_to_token(id);
                assert_eq!(spelling, library.id_to_token(id), "{id} of {json}");
                let id_of = |it: &String| (ours.token_to_id(it), library.token_to_id(it));
                assert!(spelling.as_ref().map(id_of).is_none_or(|(a, b)| a == b));
            }
        }
        assert!(failures > 0, "no word was unknown without an unknown token");
        assert!(known > 100, "{known} words had several tokens");
    }

    #[test]
    fn of_two_entries_of_one_id_one_is_given() {
        let model = json!({"vocab": {"a": 0, "b": 0, "[UNK]": 1}, "unk_token": "[UNK]",
            "continuing_subword_prefix": "##", "max_input_chars_per_word": 100});
        let model: WordPiece = serde_json::from_value(model).unwrap();
        assert_eq!(model.get_vocab_size(), 3);
        assert_eq!(model.token_to_id("b"), Some(0));
        assert!(["a", "b"].contains(&&*model.id_to_token(0).unwrap()));
        assert_eq!(model.id_to_token(2), None);
    }
}
