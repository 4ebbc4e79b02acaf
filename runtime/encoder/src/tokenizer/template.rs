//! Templates of special tokens around texts, as somebody may have written them.
//!
//! tokenizers checks those that are made in a program, not those that it reads: a text
//! that stands in a template twice makes sequences beyond the limit, and a special token
//! that is not described is a panic.

use serde::Deserialize;
use std::collections::HashMap;
use tokenizers::PostProcessorWrapper;

#[derive(Deserialize)]
struct Template {
    single: Vec<Piece>,
    pair: Vec<Piece>,
    special_tokens: HashMap<String, SpecialToken>,
}

#[derive(Deserialize)]
enum Piece {
    Sequence { id: Text },
    SpecialToken { id: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
enum Text {
    A,
    B,
}

/// It may stand for several tokens.
#[derive(Deserialize)]
struct SpecialToken {
    ids: Vec<u32>,
    tokens: Vec<String>,
}

/// Says what is wrong with a post-processor.
pub(super) fn check(processor: &PostProcessorWrapper) -> Result<(), String> {
    match processor {
        PostProcessorWrapper::Sequence(sequence) => sequence.as_ref().iter().try_for_each(check),
        PostProcessorWrapper::Template(template) => {
            // What it is made of is to be had only as the JSON that it was read from.
            let template = serde_json::to_value(template).and_then(Template::deserialize);
            template.map_err(|error| error.to_string())?.check()
        }
        _ => Ok(()),
    }
}

impl Template {
    fn check(&self) -> Result<(), String> {
        for (name, token) in &self.special_tokens {
            let (ids, tokens) = (token.ids.len(), token.tokens.len());
            if ids != tokens {
                return Err(format!(
                    "post-processor: special token {name:?} has {ids} ids, but {tokens} tokens"
                ));
            }
        }
        self.check_pieces(&self.single, &[(Text::A, 1), (Text::B, 0)])?;
        self.check_pieces(&self.pair, &[(Text::A, 1), (Text::B, 1)])
    }

    fn check_pieces(&self, pieces: &[Piece], most: &[(Text, usize)]) -> Result<(), String> {
        for piece in pieces {
            if let Piece::SpecialToken { id } = piece
                && !self.special_tokens.contains_key(id)
            {
                return Err(format!(
                    "post-processor: the template has {id:?}, which is none of its special tokens"
                ));
            }
        }
        for &(text, most) in most {
            let is_it = |piece: &&Piece| matches!(piece, Piece::Sequence { id } if *id == text);
            let times = pieces.iter().filter(is_it).count();
            if times > most {
                return Err(format!(
                    "post-processor: the template has text {text:?} {times} times, at most {most}"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use serde_json::{Value, json};

    fn problem(post_processor: Value) -> Option<String> {
        check(&serde_json::from_value(post_processor).unwrap()).err()
    }

    fn template(single: &[Value], pair: &[Value], special_tokens: Value) -> Value {
        json!({
            "type": "TemplateProcessing", "single": single, "pair": pair,
            "special_tokens": special_tokens
        })
    }

    fn text(id: &str) -> Value {
        json!({"Sequence": {"id": id, "type_id": 0}})
    }

    fn special(id: &str) -> Value {
        json!({"SpecialToken": {"id": id, "type_id": 0}})
    }

    #[test]
    fn templates_that_make_no_sequence_are_refused() {
        let (a, b, cls) = (text("A"), text("B"), special("[CLS]"));
        let known = json!({"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]}});
        let none = json!({});
        let short = json!({"[CLS]": {"id": "[CLS]", "ids": [1, 2], "tokens": ["[CLS]"]}});
        let pair = [a.clone(), b.clone()];
        let good = template(&[cls.clone(), a.clone(), cls.clone()], &pair, known.clone());
        assert_eq!(problem(good.clone()), None);
        for (bad, says) in [
            (
                template(&[a.clone(), a.clone()], &pair, none.clone()),
                "the template has text A 2 times, at most 1",
            ),
            (
                template(&pair, &pair, none.clone()),
                "the template has text B 1 times, at most 0",
            ),
            (
                template(&[], &[b.clone(), b], none.clone()),
                "the template has text B 2 times, at most 1",
            ),
            (
                template(&[cls.clone(), a.clone()], &pair, none),
                "the template has \"[CLS]\", which is none of its special tokens",
            ),
            (
                template(&[a], &pair, short),
                "special token \"[CLS]\" has 2 ids, but 1 tokens",
            ),
        ] {
            let says = Some(format!("post-processor: {says}"));
            assert_eq!(problem(bad.clone()), says);
            let sequence = json!({"type": "Sequence", "processors": [good, bad]});
            assert_eq!(problem(sequence), says);
        }
    }
}
