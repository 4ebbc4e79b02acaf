//! What a result is computed for, owned, and as JSON says it.
//!
//! **Invariant:** every shell reads `{"text", "text_pair"}` here.

use crate::Input;
use encoderfile_encoder::json;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// A text, a pair of texts, or the token ids of a text.
///
/// In JSON it is a string, or an object with `text` and perhaps `text_pair`.
///
/// ```
/// use encoderfile::Item;
///
/// let pair: Item = serde_json::from_str(r#"{"text": "a", "text_pair": "b"}"#)?;
/// assert_eq!(pair, Item::from(("a", "b")));
/// assert_eq!(serde_json::from_str::<Item>(r#""a""#)?, Item::from("a"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// One text.
    Text(String),
    /// Classification: two texts.
    Pair(String, String),
    /// Embeddings: the token ids of a text, with or without the special tokens
    /// around them.
    Ids(Vec<u32>),
}

impl Item {
    /// As the runtime takes it.
    pub fn input(&self) -> Input<'_> {
        match self {
            Self::Text(text) => Input::Text(text),
            Self::Pair(text, pair) => Input::Pair(text, pair),
            Self::Ids(ids) => Input::Ids(ids),
        }
    }

    /// From a line of JSON, an object with `text` and perhaps `text_pair`. Whatever
    /// else is in it is the caller's.
    ///
    /// # Errors
    /// Where it is no JSON, no object, or has no `text`.
    pub fn from_json_line(line: &str) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Line {
            text: String,
            text_pair: Option<String>,
        }

        // serde also takes a list for the fields of a struct.
        if !line.trim_start().starts_with('{') {
            return Err(serde_json::Error::custom("it is no object"));
        }
        let line: Line = json::read(line)?;
        Ok(Self::of(line.text, line.text_pair))
    }

    fn of(text: String, pair: Option<String>) -> Self {
        match pair {
            Some(pair) => Self::Pair(text, pair),
            None => Self::Text(text),
        }
    }
}

impl From<&str> for Item {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Item {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for Item {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl<A: Into<String>, B: Into<String>> From<(A, B)> for Item {
    fn from((text, pair): (A, B)) -> Self {
        Self::Pair(text.into(), pair.into())
    }
}

impl From<Vec<u32>> for Item {
    fn from(ids: Vec<u32>) -> Self {
        Self::Ids(ids)
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Text(text) => Self::Text(text),
            Written::Pair(Pair { text, text_pair }) => Self::of(text, text_pair),
        })
    }
}

/// A text, or a pair of texts.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(
    untagged,
    expecting = "a text, or an object with `text` and perhaps `text_pair`"
)]
enum Written {
    Text(String),
    Pair(#[serde(deserialize_with = "object")] Pair),
}

/// A text and perhaps the one it is to be compared with.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct Pair {
    text: String,
    text_pair: Option<String>,
}

/// What serde derives for a struct also takes a list of its fields' values.
fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pair, D::Error> {
    struct Object;

    impl<'de> Visitor<'de> for Object {
        type Value = Pair;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Pair, A::Error> {
            Pair::deserialize(MapAccessDeserializer::new(members))
        }
    }

    deserializer.deserialize_map(Object)
}

#[cfg(feature = "schema")]
impl utoipa::PartialSchema for Item {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        Written::schema()
    }
}

#[cfg(feature = "schema")]
impl utoipa::ToSchema for Item {
    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
        <Written as utoipa::ToSchema>::schemas(schemas);
    }
}

#[cfg(test)]
mod tests {
    use super::Item;

    #[test]
    fn json_says_a_text_or_a_pair() {
        let read = |json: &str| serde_json::from_str::<Item>(json).ok();
        assert_eq!(read(r#""a""#), Some("a".into()));
        assert_eq!(read(r#"{"text": "a"}"#), Some("a".into()));
        assert_eq!(
            read(r#"{"text_pair": "b", "text": "a"}"#),
            Some(("a", "b").into())
        );
        for wrong in [
            "7",
            "null",
            r#"["a", "b"]"#,
            r#"{"text_pair": "b"}"#,
            r#"{"text": "a", "x": 1}"#,
        ] {
            let error = serde_json::from_str::<Item>(wrong).unwrap_err().to_string();
            let expected = "a text, or an object with `text` and perhaps `text_pair`";
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_line_may_say_more() {
        let line = r#" {"id": 1, "text": "a", "text_pair": null}"#;
        assert_eq!(Item::from_json_line(line).unwrap(), "a".into());
        let line = r#"{"text": "a\ud800", "text_pair": "b"}"#;
        assert_eq!(
            Item::from_json_line(line).unwrap(),
            ("a\u{fffd}", "b").into()
        );
        for wrong in [r#"["a", "b"]"#, r#"{"text": null}"#, "{}", "a", ""] {
            assert!(Item::from_json_line(wrong).is_err(), "{wrong}");
        }
    }
}
