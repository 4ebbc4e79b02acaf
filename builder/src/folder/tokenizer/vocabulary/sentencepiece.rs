//! SentencePiece models: the vocabulary that a tokenizer class takes out of one, and the
//! tokenizer that one is by itself.

mod processor;

use crate::error::BuildError;
use crate::folder::read_file;
use crate::folder::tokenizer::added::Tokens;
use crate::folder::tokenizer::class::Class;
use crate::folder::tokenizer::settings::Settings;
use crate::folder::tokenizer::unusable;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use encoderfile::proto;
use encoderfile::proto::sentencepiece::piece::Type;
use encoderfile::proto::sentencepiece::trainer_spec::ModelType;
use encoderfile::proto::sentencepiece::{ModelProto, NormalizerSpec, Piece, TrainerSpec};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The most fields of a model: five for each piece of the largest vocabularies there are.
const ENTRIES_MAX: usize = 5 << 20;

/// The most merges for each piece, of the whole vocabulary. Those of Llama 2 and Gemma have two
/// or three; pieces made of one another could have as many as they have characters.
const MERGES_PER_PIECE_MAX: usize = 8;

/// So many a small vocabulary may have.
const MERGES_MIN: usize = 1 << 12;

/// The longest piece in characters; each place in a piece may be a merge.
const PIECE_CHARS_MAX: usize = 1024;

/// A model as it is in the file.
pub(super) struct SentencePiece {
    path: PathBuf,
    pieces: Vec<Piece>,
    trainer: TrainerSpec,
    normalizer: NormalizerSpec,
}

impl SentencePiece {
    pub(super) fn read(path: &Path) -> Result<Self, BuildError> {
        let model: ModelProto = proto::decode(read_file(path)?, ENTRIES_MAX)
            .map_err(|error| unusable(path, &format!("no SentencePiece model: {error}").into()))?;
        let model = Self {
            path: path.to_owned(),
            pieces: model.pieces,
            trainer: model.trainer_spec.unwrap_or_default(),
            normalizer: model.normalizer_spec.unwrap_or_default(),
        };
        model.check()?;
        Ok(model)
    }

    fn check(&self) -> Result<(), BuildError> {
        let is_long = |piece: &&Piece| piece.piece().chars().count() > PIECE_CHARS_MAX;
        let is_odd = |piece: &&Piece| !piece.score().is_finite();
        let problem = if self.pieces.is_empty() {
            "no SentencePiece model: it has no pieces".into()
        } else if let Some(long) = self.pieces.iter().find(is_long) {
            let begin: String = long.piece().chars().take(20).collect();
            format!(
                "the piece that begins with {begin:?} has more than {PIECE_CHARS_MAX} characters"
            )
        } else if let Some(odd) = self.pieces.iter().find(is_odd) {
            format!("the score of {:?} is {}", odd.piece(), odd.score())
        } else if usize::try_from(self.trainer.unk_id()).map_or(true, |id| id >= self.pieces.len())
        {
            format!("unk_id {} is no piece", self.trainer.unk_id())
        } else {
            return Ok(());
        };
        Err(unusable(&self.path, &problem.into()))
    }

    /// Refuses a model of another algorithm.
    fn other_model(&self, class: Class, expected: &'static str) -> BuildError {
        BuildError::TokenizerModel {
            path: self.path.clone(),
            class: class.name().into(),
            expected,
            found: format!("{:?}", self.trainer.model_type()),
        }
    }

    pub(super) fn unknown_id(&self) -> usize {
        usize::try_from(self.trainer.unk_id()).unwrap_or(0)
    }

    fn of_type(&self, of: Type) -> impl Iterator<Item = (usize, &Piece)> {
        let pieces = self.pieces.iter().enumerate();
        pieces.filter(move |(_, piece)| piece.r#type() == of)
    }

    /// Control pieces are special tokens, user-defined ones are tokens; the generic class
    /// leaves the latter to its pre-tokenizer.
    pub(super) fn additional_tokens(&self, class: Class) -> Value {
        let pieces = self.pieces.iter().filter(|piece| match piece.r#type() {
            Type::Control => true,
            Type::UserDefined => !class.keeps_file(),
            _ => false,
        });
        let token = |piece: &Piece| {
            json!({
                "__type": "AddedToken",
                "content": piece.piece(),
                "normalized": false,
                "special": piece.r#type() == Type::Control,
            })
        };
        pieces.map(token).collect()
    }

    /// The names of special tokens that the model has itself.
    pub(super) fn complete(&self, tokens: &mut Tokens) {
        let trainer = &self.trainer;
        let named = [
            ("bos_token", trainer.bos_id(), trainer.bos_piece()),
            ("eos_token", trainer.eos_id(), trainer.eos_piece()),
            ("unk_token", trainer.unk_id(), trainer.unk_piece()),
        ];
        for (key, id, piece) in named {
            if id >= 0 {
                tokens.set_default(key, piece);
            }
        }
        if self.normalizer.add_dummy_prefix() {
            for token in tokens.by_id.values_mut() {
                token.set_normalized(false);
            }
        }
    }

    /// The parts of a tokenizer.json that a class with a tokenizer of its own takes.
    pub(super) fn vocabulary(
        &self,
        settings: &Settings<'_>,
        tokens: &Tokens,
    ) -> Result<Value, BuildError> {
        let class = settings.class();
        let model = match class {
            Class::Roberta | Class::Deberta | Class::Gpt2 | Class::Gemma | Class::Llama => {
                let merges = self.merges_by_id()?;
                json!({"type": "BPE", "vocab": self.ids(), "merges": merges})
            }
            Class::Camembert if self.trainer.model_type() != ModelType::Unigram => {
                return Err(self.other_model(class, "a Unigram model"));
            }
            _ => json!({"type": "Unigram", "vocab": self.scored(settings, tokens)?}),
        };
        Ok(json!({"model": model, "normalizer": self.charsmap()}))
    }

    /// Ids by spelling.
    fn ids(&self) -> Map<String, Value> {
        let pieces = self.pieces.iter().enumerate();
        let id = |(id, piece): (usize, &Piece)| (piece.piece().to_owned(), id.into());
        pieces.map(id).collect()
    }

    /// In the order of what they become, then of the length of the first.
    fn merges_by_id(&self) -> Result<Vec<[&str; 2]>, BuildError> {
        let pieces = self.pieces.iter().enumerate();
        let ids = pieces.map(|(id, piece)| (piece.piece(), id)).collect();
        let mut merges = merges(&self.path, &ids)?;
        merges.sort_by_key(|(id, [left, _])| (*id, left.chars().count()));
        Ok(merges.into_iter().map(|(_, merge)| merge).collect())
    }

    /// Pieces with their scores in the class's order of ids: fairseq's vocabularies begin
    /// with special tokens of their own.
    fn scored(&self, settings: &Settings<'_>, tokens: &Tokens) -> Result<Vec<Value>, BuildError> {
        let pieces = |from: usize| {
            let pieces = self.pieces.iter().skip(from);
            pieces.map(|piece| json!([piece.piece(), piece.score()]))
        };
        let special = |key: &str, default: &'static str| json!([stated(tokens, key, default), 0.0]);
        Ok(match settings.class() {
            Class::XlmRoberta => [
                special("bos_token", "<s>"),
                special("pad_token", "<pad>"),
                special("eos_token", "</s>"),
                special("unk_token", "<unk>"),
            ]
            .into_iter()
            .chain(pieces(3))
            .chain([special("mask_token", "<mask>")])
            .collect(),
            Class::Camembert => [
                json!(["<s>NOTUSED", 0.0]),
                special("pad_token", "<pad>"),
                json!(["</s>NOTUSED", 0.0]),
                special("unk_token", "<unk>"),
                json!(["<unk>NOTUSED", -100.0]),
            ]
            .into_iter()
            .chain(pieces(1))
            .chain([special("mask_token", "<mask>")])
            .collect(),
            Class::T5 => {
                let extra_ids = settings.extra_ids()?;
                let extra = (0..extra_ids).rev();
                let extra = extra.map(|id| json!([format!("<extra_id_{id}>"), 0.0]));
                pieces(0).chain(extra).collect()
            }
            _ => pieces(0).collect(),
        })
    }

    /// The normalizer that the model brought along.
    fn charsmap(&self) -> Value {
        let charsmap = self.normalizer.precompiled_charsmap();
        if charsmap.is_empty() {
            return Value::Null;
        }
        let charsmap = BASE64_STANDARD.encode(charsmap);
        json!({"type": "Precompiled", "precompiled_charsmap": charsmap})
    }
}

/// A special token's spelling as the files have it; Python's word where they say `null`.
fn stated(tokens: &Tokens, key: &str, default: &'static str) -> String {
    let named = tokens.named.iter().find(|(known, _)| known == key);
    match named {
        None => default.into(),
        Some((_, None)) => "None".into(),
        Some((_, Some(special))) => special.content().to_owned(),
    }
}

/// Every pair of pieces that is a piece, with the rank of what it becomes.
fn merges<'a, R: Copy>(
    path: &Path,
    ranks: &HashMap<&'a str, R>,
) -> Result<Vec<(R, [&'a str; 2])>, BuildError> {
    let most = ranks.len().saturating_mul(MERGES_PER_PIECE_MAX);
    let most = most.saturating_add(MERGES_MIN);
    let mut merges = Vec::new();
    for (piece, rank) in ranks {
        let is_merge = |parts: &[&str; 2]| parts.iter().all(|part| ranks.contains_key(part));
        merges.extend(splits(piece).filter(is_merge).map(|parts| (*rank, parts)));
        if merges.len() > most {
            let problem = format!("its {} pieces have more than {most} merges", ranks.len());
            return Err(unusable(path, &problem.into()));
        }
    }
    Ok(merges)
}

/// A piece as every two parts.
fn splits(piece: &str) -> impl Iterator<Item = [&str; 2]> {
    let places = piece.char_indices().skip(1);
    places.map(|(place, _)| {
        let (left, right) = piece.split_at(place);
        [left, right]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoderfile::proto::sentencepiece::trainer_spec::ModelType;
    use prost::Message;

    fn write(pieces: Vec<Piece>) -> Result<SentencePiece, BuildError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.model");
        let trainer_spec = TrainerSpec {
            model_type: Some(ModelType::Bpe.into()),
            ..TrainerSpec::default()
        };
        let model = ModelProto {
            pieces,
            trainer_spec: Some(trainer_spec),
            normalizer_spec: None,
        };
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        SentencePiece::read(&path)
    }

    fn piece(piece: impl Into<String>, score: f32) -> Piece {
        Piece {
            piece: Some(piece.into()),
            score: Some(score),
            r#type: None,
        }
    }

    #[test]
    fn pieces_of_one_another_do_not_make_more_merges_than_a_vocabulary_has() {
        let runs = |longest: usize| (1..=longest).map(|length| piece("a".repeat(length), 0.0));
        let some = write(runs(32).collect()).unwrap();
        assert_eq!(some.merges_by_id().unwrap().len(), 32 * 31 / 2);
        let many = write(runs(PIECE_CHARS_MAX).collect()).unwrap();
        let error = many.merges_by_id().unwrap_err().to_string();
        assert!(error.contains("merges"), "{error}");
    }

    #[test]
    fn what_is_no_vocabulary_is_refused() {
        let long = "a".repeat(PIECE_CHARS_MAX + 1);
        for (pieces, problem) in [
            (vec![], "no pieces"),
            (vec![piece(long, 0.0)], "characters"),
            (vec![piece("a", f32::NAN)], "score"),
        ] {
            let error = write(pieces).err().map(|it| it.to_string());
            assert!(error.is_some_and(|it| it.contains(problem)), "{problem}");
        }
    }
}
