//! The vocabulary of a folder without tokenizer.json: the files that its tokenizer class has
//! kept it in, read into the parts of a tokenizer.json that the class builds on.
//!
//! As `from_pretrained` of transformers 5.24 does, with one difference: a class whose file is
//! missing is built there with its special tokens alone, and refused here.

mod sentencepiece;

use super::added::Tokens;
use super::class::Class;
use super::settings::Settings;
use crate::error::BuildError;
use crate::folder::{parse_json, read_file};
use sentencepiece::SentencePiece;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The SentencePiece model that every class reads where it is there.
const OF_ANY_CLASS: &str = "tokenizer.model";

/// Files that tokenizers have kept their vocabulary in.
pub(crate) const FILES: [&str; 11] = [
    "bpe.codes",
    "merges.txt",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "spiece.model",
    "spm.model",
    "tekken.json",
    "tiktoken.model",
    OF_ANY_CLASS,
    "vocab.json",
    "vocab.txt",
];

/// A vocabulary and where it is.
pub(super) struct Vocabulary {
    pub(super) path: PathBuf,
    form: Form,
}

enum Form {
    /// vocab.txt: ids by spelling.
    Lines(Map<String, Value>),
    /// vocab.json and merges.txt.
    Merges {
        ids: Value,
        merges: Vec<[String; 2]>,
    },
    SentencePiece(SentencePiece),
}

/// Which files a class keeps its vocabulary in.
#[derive(Clone, Copy)]
enum Kept {
    /// vocab.txt.
    Lines,
    /// vocab.json and merges.txt.
    Merges,
    /// A model of that name.
    SentencePiece(&'static str),
}

impl Kept {
    fn of(class: Class) -> Self {
        match class {
            Class::Bert
            | Class::ConvBert
            | Class::DistilBert
            | Class::Dpr
            | Class::DprFast
            | Class::Esm
            | Class::Mpnet => Self::Lines,
            Class::Deberta | Class::Gpt2 | Class::Roberta => Self::Merges,
            Class::Albert | Class::BigBird | Class::FNet | Class::T5 => {
                Self::SentencePiece("spiece.model")
            }
            Class::Camembert | Class::XlmRoberta => Self::SentencePiece("sentencepiece.bpe.model"),
            Class::DebertaV2 => Self::SentencePiece("spm.model"),
            Class::RemBert => Self::SentencePiece("sentencepiece.model"),
            Class::Gemma | Class::Generic | Class::Llama => Self::SentencePiece(OF_ANY_CLASS),
        }
    }

    /// The first names the vocabulary in messages.
    fn names(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Lines => ("vocab.txt", None),
            Self::Merges => ("vocab.json", Some("merges.txt")),
            Self::SentencePiece(name) => (name, None),
        }
    }
}

impl Vocabulary {
    /// Reads the vocabulary of a folder whose tokenizer.json would be at `tokenizer`.
    pub(super) fn read(tokenizer: &Path, class: Class) -> Result<Self, BuildError> {
        let at = |name: &str| tokenizer.with_file_name(name);
        let is_there = |name: &&str| at(name).is_file();
        let kept = match is_there(&OF_ANY_CLASS) {
            true => Kept::SentencePiece(OF_ANY_CLASS),
            false => Kept::of(class),
        };
        let (name, other) = kept.names();
        if !is_there(&name) || other.is_some_and(|it| !is_there(&it)) {
            let files = match other {
                Some(other) => format!("{name} and {other}"),
                None => name.into(),
            };
            return Err(BuildError::NoTokenizer {
                folder: tokenizer.parent().unwrap_or(tokenizer).to_owned(),
                class: class.name().into(),
                files: match class.passes_over_file() {
                    true => format!("no {files}"),
                    false => format!("neither tokenizer.json nor {files}"),
                },
                found: FILES.into_iter().filter(is_there).collect(),
            });
        }
        let path = at(name);
        let form = match kept {
            Kept::Lines => Form::Lines(read_lines(&path, class)?),
            Kept::Merges => Form::Merges {
                ids: read_ids(&path)?,
                merges: read_merges(&at(other.unwrap_or_default()))?,
            },
            Kept::SentencePiece(_) => Form::SentencePiece(SentencePiece::read(&path)?),
        };
        Ok(Self { path, form })
    }

    /// The pieces that the class gets as its `additional_special_tokens`.
    pub(super) fn additional_tokens(&self, class: Class) -> Option<Value> {
        match &self.form {
            Form::SentencePiece(model) => Some(model.additional_tokens(class)),
            Form::Lines(_) | Form::Merges { .. } => None,
        }
    }

    /// Gives the tokens what a model of the generic class says of them.
    pub(super) fn complete(&self, class: Class, tokens: &mut Tokens) {
        if let (Form::SentencePiece(model), true) = (&self.form, class.keeps_file()) {
            model.complete(tokens);
        }
    }

    /// The id of the unknown piece, which goes before the setting `unk_id`.
    pub(super) fn unknown_id(&self) -> Option<usize> {
        match &self.form {
            Form::SentencePiece(model) => Some(model.unknown_id()),
            Form::Lines(_) | Form::Merges { .. } => None,
        }
    }

    /// What stands for tokenizer.json: the vocabulary, and for a class that keeps its file
    /// all else too. `tokens` are without the class's defaults.
    pub(super) fn tokenizer(
        &self,
        settings: &Settings<'_>,
        tokens: &Tokens,
    ) -> Result<Value, BuildError> {
        match &self.form {
            Form::Lines(ids) => Ok(json!({"model": {"type": "WordPiece", "vocab": ids}})),
            Form::Merges { ids, merges } => {
                Ok(json!({"model": {"type": "BPE", "vocab": ids, "merges": merges}}))
            }
            Form::SentencePiece(model) if settings.class().keeps_file() => {
                model.processor(settings, tokens)
            }
            Form::SentencePiece(model) => model.vocabulary(settings, tokens),
        }
    }
}

/// vocab.txt: a token on each line.
fn read_lines(path: &Path, class: Class) -> Result<Map<String, Value>, BuildError> {
    let text = String::from_utf8(read_file(path)?);
    let text = text.map_err(|error| super::unusable(path, &error.into()))?;
    let token = |(id, line): (usize, &str)| {
        let token = match class {
            Class::Esm => line.trim(),
            _ => line.trim_end(),
        };
        (token.to_owned(), id.into())
    };
    Ok(text.lines().enumerate().map(token).collect())
}

/// vocab.json: ids by spelling.
fn read_ids(path: &Path) -> Result<Value, BuildError> {
    let ids = parse_json(path, &read_file(path)?)?;
    let Some(entries) = ids.as_object() else {
        return Err(BuildError::key(path, "", &ids));
    };
    let is_id = |id: &Value| id.as_u64().is_some_and(|id| u32::try_from(id).is_ok());
    match entries.iter().find(|(_, id)| !is_id(id)) {
        Some((token, id)) => Err(BuildError::key(path, token, id)),
        None => Ok(ids),
    }
}

/// merges.txt: on each line two tokens that become one.
fn read_merges(path: &Path) -> Result<Vec<[String; 2]>, BuildError> {
    let text = String::from_utf8(read_file(path)?);
    let text = text.map_err(|error| super::unusable(path, &error.into()))?;
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.starts_with("#version"));
    let merge = |(place, line): (usize, &str)| match line.split(' ').collect::<Vec<_>>()[..] {
        [left, right] => Ok([left.to_owned(), right.to_owned()]),
        _ => Err(BuildError::Tokenizer {
            path: path.to_owned(),
            problem: format!("line {} is not two tokens: {line:?}", place + 1),
        }),
    };
    lines.map(merge).collect()
}
