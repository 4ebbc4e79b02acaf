//! The tokenizer that a SentencePiece model is by itself, with its own normalizer, merges
//! and user-defined pieces: what the generic class of transformers 5.24 makes of one.

use super::{SentencePiece, merges};
use crate::error::BuildError;
use crate::folder::tokenizer::added::Tokens;
use crate::folder::tokenizer::class::Class;
use crate::folder::tokenizer::parts::{SPACE, isolated, replace, sequence};
use crate::folder::tokenizer::settings::Settings;
use encoderfile::proto::sentencepiece::piece::Type;
use encoderfile::proto::sentencepiece::trainer_spec::ModelType;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The spelling of each id: that of the added token that has it, or else the piece's.
type Names<'a> = BTreeMap<usize, &'a str>;

impl SentencePiece {
    /// All of a tokenizer.json but its added tokens.
    pub(in crate::folder::tokenizer::vocabulary) fn processor(
        &self,
        settings: &Settings<'_>,
        tokens: &Tokens,
    ) -> Result<Value, BuildError> {
        let class = settings.class();
        let pieces = self.pieces.iter().enumerate();
        let mut names: Names<'_> = pieces.map(|(id, piece)| (id, piece.piece())).collect();
        let model = match self.trainer.model_type() {
            // FNet's class is one of Unigram models whatever the file is.
            _ if class == Class::FNet => self.unigram(),
            ModelType::Unigram => self.unigram(),
            ModelType::Bpe => {
                names = self.names(tokens);
                self.bpe(&names)?
            }
            ModelType::Word | ModelType::Char => {
                return Err(self.other_model(class, "a Unigram or BPE model"));
            }
        };
        let legacy = settings.flag("legacy", true)?;
        Ok(json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [],
            "normalizer": self.own_normalizer(legacy),
            "pre_tokenizer": self.own_pre_tokenizer(legacy, &names),
            "post_processor": null,
            "decoder": self.own_decoder(),
            "model": model,
        }))
    }

    fn unigram(&self) -> Value {
        let pieces = self.pieces.iter();
        let pieces = pieces.map(|piece| json!([piece.piece(), piece.score()]));
        json!({
            "type": "Unigram",
            "unk_id": self.unknown_id(),
            "vocab": pieces.collect::<Vec<_>>(),
            "byte_fallback": self.trainer.byte_fallback(),
        })
    }

    fn bpe(&self, names: &Names<'_>) -> Result<Value, BuildError> {
        let ids = names.iter();
        let ids = ids.map(|(id, name)| ((*name).to_owned(), (*id).into()));
        Ok(json!({
            "type": "BPE",
            "dropout": null,
            "unk_token": self.trainer.unk_piece(),
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": true,
            "byte_fallback": self.trainer.byte_fallback(),
            "ignore_merges": self.of_type(Type::UserDefined).next().is_some(),
            "vocab": ids.collect::<Map<_, _>>(),
            "merges": self.merges_by_score(names)?,
        }))
    }

    /// Added tokens name their ids, unless another piece is spelled so; of two pieces with
    /// one spelling the last counts.
    fn names<'a>(&'a self, tokens: &'a Tokens) -> Names<'a> {
        let ids = self.pieces.iter().enumerate();
        let ids: HashMap<&str, usize> = ids.map(|(id, piece)| (piece.piece(), id)).collect();
        let added = |id: usize| {
            let token = tokens.by_id.get(&u32::try_from(id).ok()?)?;
            Some(token.content.as_str())
        };
        let kept = ids.iter().filter(|(_, id)| added(**id).is_none());
        let kept: HashSet<&str> = kept.map(|(piece, _)| *piece).collect();
        let name = |(piece, id): (&&'a str, &usize)| {
            let name = added(*id).filter(|name| !kept.contains(name));
            (*id, name.unwrap_or(piece))
        };
        ids.iter().map(name).collect()
    }

    /// Pairs of normal pieces that are one, best score first.
    fn merges_by_score<'a>(&self, names: &Names<'a>) -> Result<Vec<[&'a str; 2]>, BuildError> {
        let normal = self.of_type(Type::Normal);
        // 0 and -0 are one score.
        let normal =
            normal.filter_map(|(id, piece)| Some((*names.get(&id)?, (piece.score() + 0.0, id))));
        let normal: HashMap<&'a str, (f32, usize)> = normal.collect();
        let mut merges = merges(&self.path, &normal)?;
        merges.sort_by(|((a, of_a), left), ((b, of_b), right)| {
            b.total_cmp(a)
                .then_with(|| (of_a, left).cmp(&(of_b, right)))
        });
        Ok(merges.into_iter().map(|(_, merge)| merge).collect())
    }

    /// In SentencePiece's order.
    fn own_normalizer(&self, legacy: bool) -> Value {
        let spec = &self.normalizer;
        let mut steps = Vec::new();
        let charsmap = self.charsmap();
        if !charsmap.is_null() {
            steps.push(charsmap);
        }
        if spec.remove_extra_whitespaces() {
            steps.push(replace(&json!({"Regex": r"\A +| +\z"}), ""));
            steps.push(replace(&json!({"Regex": " {2,}"}), " "));
        }
        if spec.escape_whitespaces() {
            steps.push(replace(&json!({"String": " "}), SPACE));
        }
        // Metaspace puts no prefix before a text that begins with U+2581.
        if spec.add_dummy_prefix() && legacy {
            let begin = json!({"Regex": format!(r"\A{SPACE}")});
            steps.push(replace(&begin, &SPACE.repeat(2)));
        }
        sequence("normalizers", steps)
    }

    /// The prefix, then user-defined pieces by themselves.
    fn own_pre_tokenizer(&self, legacy: bool, names: &Names<'_>) -> Value {
        let mut steps = Vec::new();
        if self.normalizer.add_dummy_prefix() {
            steps.push(json!({
                "type": "Metaspace",
                "replacement": SPACE,
                "prepend_scheme": if legacy { "always" } else { "first" },
                "split": false,
            }));
        }
        let user_defined = self.of_type(Type::UserDefined);
        let user_defined = user_defined.filter_map(|(id, _)| names.get(&id).copied());
        let mut user_defined = user_defined.peekable();
        if user_defined.peek().is_some() {
            steps.push(isolated(user_defined));
        }
        match steps.is_empty() {
            true => Value::Null,
            false => sequence("pretokenizers", steps),
        }
    }

    fn own_decoder(&self) -> Value {
        let has_prefix = self.normalizer.add_dummy_prefix();
        let has_bytes = self.trainer.byte_fallback();
        let mut steps = vec![replace(&json!({"String": SPACE}), " ")];
        if has_bytes {
            steps.push(json!({"type": "ByteFallback"}));
        }
        if has_prefix || has_bytes {
            steps.push(json!({"type": "Fuse"}));
        }
        if has_prefix {
            steps.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        sequence("decoders", steps)
    }
}
