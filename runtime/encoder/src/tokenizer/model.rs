//! The `model` of a tokenizer.json: what pieces of a text are tokens.
//!
//! It is read straight from the JSON. The tokenizers library makes a tree of values of it first,
//! which takes as long again, and as much memory (BENCHMARKS.md, "Start").

use super::unigram::Unigram;
use super::wordpiece::WordPiece;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use tokenizers::Token;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::BPE;
use tokenizers::models::wordlevel::WordLevel;

/// How a tokenizer makes tokens of pieces of a text.
pub(super) enum Model {
    /// The tokenizers library's own.
    Bpe(BPE),
    WordPiece(WordPiece),
    /// The tokenizers library's own.
    WordLevel(WordLevel),
    Unigram(Unigram),
}

/// An expression of whichever model it is.
macro_rules! of_any {
    ($wrapped:ident, $model:ident => $expression:expr) => {
        match $wrapped {
            Model::Bpe($model) => $expression,
            Model::WordPiece($model) => $expression,
            Model::WordLevel($model) => $expression,
            Model::Unigram($model) => $expression,
        }
    };
}

#[derive(Clone, Copy, Deserialize)]
enum Kind {
    #[serde(rename = "BPE")]
    Bpe,
    WordPiece,
    WordLevel,
    Unigram,
}

impl Kind {
    /// In the order in which the tokenizers library tries those that a file may mean that does
    /// not say which it has.
    const ALL: [Self; 4] = [Self::Bpe, Self::WordPiece, Self::WordLevel, Self::Unigram];

    fn read<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<Model, D::Error> {
        Ok(match self {
            Self::Bpe => Model::Bpe(BPE::deserialize(deserializer)?),
            Self::WordPiece => Model::WordPiece(WordPiece::deserialize(deserializer)?),
            Self::WordLevel => Model::WordLevel(WordLevel::deserialize(deserializer)?),
            Self::Unigram => Model::Unigram(Unigram::deserialize(deserializer)?),
        })
    }
}

impl<'de> Deserialize<'de> for Model {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Model;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a model of a tokenizer")
    }

    /// Its type comes first in all files that the tokenizers library has written.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Model, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "type" && fields.is_empty() {
                let kind: Kind = map.next_value()?;
                return kind.read(Known::of(map));
            }
            fields.insert(key, map.next_value()?);
        }
        of_any_order(fields).map_err(A::Error::custom)
    }
}

/// A model whose type is not the first that is said of it, or is not said.
fn of_any_order(mut fields: Map<String, Value>) -> Result<Model, serde_json::Error> {
    if let Some(kind) = fields.remove("type") {
        return Kind::deserialize(kind)?.read(Value::Object(fields));
    }
    let kinds = Kind::ALL.into_iter();
    let mut models = kinds.map(|kind| kind.read(Value::Object(fields.clone())));
    let model = models.find_map(Result::ok);
    model.ok_or_else(|| serde_json::Error::custom("a model of no known type"))
}

/// An object of which a struct gets the fields that it knows: the library's models do not step
/// over others.
struct Known<A> {
    map: A,
    fields: &'static [&'static str],
}

impl<'de, A: MapAccess<'de>> Known<A> {
    fn of(map: A) -> Self {
        Self { map, fields: &[] }
    }
}

impl<'de, A: MapAccess<'de>> Deserializer<'de> for Known<A> {
    type Error = A::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        MapAccessDeserializer::new(self.map).deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let map = self.map;
        visitor.visit_map(Known { map, fields })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Known<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<Cow<'de, str>>()? {
            if self.fields.contains(&&*key) {
                return seed.deserialize(key.into_deserializer()).map(Some);
            }
            self.map.next_value::<IgnoredAny>()?;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

impl tokenizers::Model for Model {
    type Trainer = TrainerWrapper;

    fn tokenize(&self, text: &str) -> tokenizers::Result<Vec<Token>> {
        of_any!(self, model => model.tokenize(text))
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        of_any!(self, model => model.token_to_id(token))
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        of_any!(self, model => model.id_to_token(id))
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        of_any!(self, model => model.get_vocab())
    }

    fn get_vocab_size(&self) -> usize {
        of_any!(self, model => model.get_vocab_size())
    }

    fn save(&self, folder: &Path, prefix: Option<&str>) -> tokenizers::Result<Vec<PathBuf>> {
        of_any!(self, model => model.save(folder, prefix))
    }

    fn get_trainer(&self) -> TrainerWrapper {
        of_any!(self, model => model.get_trainer().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokenizers::{Model as _, ModelWrapper};

    fn models() -> [Value; 4] {
        let vocabulary = json!({"a": 0, "b": 1, "ab": 2, "[UNK]": 3, "##b": 4});
        [
            json!({"type": "BPE", "vocab": vocabulary, "merges": [["a", "b"]], "unk_token": "[UNK]"}),
            json!({"type": "WordPiece", "vocab": vocabulary, "unk_token": "[UNK]",
                "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}),
            json!({"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}),
            json!({"type": "Unigram", "unk_id": 0, "byte_fallback": true,
                "vocab": [["<unk>", 0], ["a", -1.5], ["b", -2.25], ["ab", -2], ["<0x63>", -9]]}),
        ]
    }

    /// Both models' vocabularies and tokens must be the same.
    fn assert_same(json: &str) {
        let model: Model = serde_json::from_str(json).unwrap();
        let library: ModelWrapper = serde_json::from_str(json).unwrap();
        assert_eq!(model.get_vocab(), library.get_vocab(), "{json}");
        assert_eq!(model.get_vocab_size(), library.get_vocab_size(), "{json}");
        for text in ["", "a", "ab", "ba", "abc", "aab"] {
            let tokens = model.tokenize(text).unwrap();
            assert_eq!(
                tokens,
                library.tokenize(text).unwrap(),
                "{text:?} of {json}"
            );
        }
        for id in 0..6 {
            assert_eq!(model.id_to_token(id), library.id_to_token(id), "{json}");
        }
    }

    /// An object with its fields in an order of one's own.
    fn object<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
        let fields: Vec<_> = fields
            .map(|(key, value)| format!("{key:?}: {value}"))
            .collect();
        format!("{{{}}}", fields.join(", "))
    }

    #[test]
    fn models_are_those_of_the_library_wherever_their_type_stands() {
        for model in models() {
            let Value::Object(fields) = model else {
                unreachable!()
            };
            let (kind, others): (Vec<_>, Vec<_>) = fields.iter().partition(|it| it.0 == "type");
            let extra = [(String::from("more"), json!({"a": [1]}))];
            let extra = extra.iter().map(|(key, value)| (key, value));
            let kind = || kind.iter().copied();
            let others = || others.iter().copied();
            assert_same(&object(kind().chain(others())));
            assert_same(&object(others().chain(kind())));
            assert_same(&object(
                others().take(1).chain(kind()).chain(others().skip(1)),
            ));
            assert_same(&object(others()));
            assert_same(&object(kind().chain(extra).chain(others())));
        }
    }

    #[test]
    fn what_is_no_model_is_refused() {
        for json in [
            "{}",
            "[]",
            "null",
            r#"{"type": "Bigram", "vocab": {}}"#,
            r#"{"type": "WordPiece", "vocab": {}}"#,
            r#"{"type": "BPE", "vocab": {"a": 0}}"#,
            r#"{"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}"#,
            r#"{"type": "WordLevel", "unk_token": "a"}"#,
            r#"{"type": "Unigram"}"#,
            r#"{"type": "Unigram", "vocab": [["a", 0]], "unk_id": 1}"#,
            r#"{"type": "Unigram", "vocab": [], "unk_id": 0}"#,
            r#"{"type": "Unigram", "vocab": [["a"]], "unk_id": 0}"#,
            r#"{"type": "Unigram", "vocab": [["a", 0, 1]], "unk_id": 0}"#,
            r#"{"type": "Unigram", "vocab": {"a": 0}, "unk_id": 0}"#,
            r#"{"vocab": {"a": 0}, "type": "Unigram"}"#,
        ] {
            assert!(
                serde_json::from_str::<ModelWrapper>(json).is_err(),
                "{json}"
            );
            assert!(serde_json::from_str::<Model>(json).is_err(), "{json}");
        }
    }
}
