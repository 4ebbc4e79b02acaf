//! Parts of a tokenizer.json, in the form that the file has for them.

use serde_json::{Map, Value, json};
use std::cmp::Reverse;

/// What stands for a space in SentencePiece vocabularies.
pub(super) const SPACE: &str = "\u{2581}";

/// Characters that mean something in a regular expression.
const META: &str = "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}";

/// A special token with its id, for post-processors.
pub(super) type WithId = (String, u32);

/// What stands between the texts of a pair.
#[derive(Clone, Copy)]
pub(super) enum Separator {
    Once,
    Twice,
}

/// A template with an end after each text. `types` are the segment ids of each text
/// and of the token after it.
pub(super) fn template(
    begin: Option<&WithId>,
    end: &WithId,
    separator: Separator,
    types: [(u32, u32); 2],
) -> Value {
    let special =
        |token: &WithId, type_id: u32| json!({"SpecialToken": {"id": token.0, "type_id": type_id}});
    let text = |id: &str, type_id: u32| json!({"Sequence": {"id": id, "type_id": type_id}});
    let [first, second] = types;
    let begin_piece = begin.map(|token| special(token, 0));
    let single: Vec<Value> = begin_piece
        .into_iter()
        .chain([text("A", first.0), special(end, first.1)])
        .collect();
    let mut pair = single.clone();
    if matches!(separator, Separator::Twice) {
        pair.push(special(end, first.1));
    }
    pair.extend([text("B", second.0), special(end, second.1)]);
    json!({
        "type": "TemplateProcessing",
        "single": single,
        "pair": pair,
        "special_tokens": with_ids(begin.into_iter().chain([end])),
    })
}

/// Each text by itself, between these.
pub(super) fn around(begin: Option<&WithId>, end: Option<&WithId>) -> Value {
    let special = |token: Option<&WithId>, type_id: u32| {
        token.map(|token| json!({"SpecialToken": {"id": token.0, "type_id": type_id}}))
    };
    let text = |id: &str, type_id: u32| -> Vec<Value> {
        let text = Some(json!({"Sequence": {"id": id, "type_id": type_id}}));
        let pieces = [special(begin, type_id), text, special(end, type_id)];
        pieces.into_iter().flatten().collect()
    };
    let (first, second) = (text("A", 0), text("B", 1));
    let both: Vec<&Value> = first.iter().chain(&second).collect();
    json!({
        "type": "TemplateProcessing",
        "single": first,
        "pair": both,
        "special_tokens": with_ids(begin.into_iter().chain(end)),
    })
}

/// Special tokens as a template lists them.
fn with_ids<'a>(tokens: impl Iterator<Item = &'a WithId>) -> Value {
    let entry = |(token, id): &WithId| {
        let entry = json!({"id": token, "ids": [id], "tokens": [token]});
        (token.clone(), entry)
    };
    tokens.map(entry).collect::<Map<_, _>>().into()
}

pub(super) fn roberta(
    cls: WithId,
    sep: WithId,
    trim_offsets: bool,
    add_prefix_space: bool,
) -> Value {
    json!({
        "type": "RobertaProcessing",
        "sep": [sep.0, sep.1],
        "cls": [cls.0, cls.1],
        "trim_offsets": trim_offsets,
        "add_prefix_space": add_prefix_space,
    })
}

pub(super) fn byte_level(add_prefix_space: bool) -> Value {
    json!({
        "type": "ByteLevel",
        "add_prefix_space": add_prefix_space,
        "trim_offsets": true,
        "use_regex": true,
    })
}

pub(super) fn replace(pattern: &Value, content: &str) -> Value {
    json!({"type": "Replace", "pattern": pattern, "content": content})
}

/// Splits at any of these, the longest first, each by itself.
pub(super) fn isolated<'a>(spellings: impl Iterator<Item = &'a str>) -> Value {
    let mut spellings: Vec<&str> = spellings.filter(|it| !it.is_empty()).collect();
    spellings.sort_by_key(|it| Reverse(it.chars().count()));
    let pattern: Vec<String> = spellings.into_iter().map(escaped).collect();
    json!({
        "type": "Split",
        "pattern": {"Regex": pattern.join("|")},
        "behavior": "Isolated",
        "invert": false,
    })
}

/// A spelling as a regular expression.
fn escaped(spelling: &str) -> String {
    let mut pattern = String::new();
    for character in spelling.chars() {
        if META.contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

pub(super) fn sequence(of: &str, steps: Vec<Value>) -> Value {
    json!({"type": "Sequence", of: steps})
}
