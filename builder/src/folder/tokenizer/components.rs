//! What a tokenizer class of transformers 5 builds around a vocabulary, of tokenizer.json or
//! of older files: model, normalizer, pre-tokenizer, decoder and post-processor, in the
//! form that the file itself has for them.

use super::class::Class;
use super::parts::{
    SPACE, Separator, WithId, around, byte_level, isolated, replace, roberta, sequence, template,
};
use super::settings::Settings;
use super::vocabulary::Vocabulary;
use crate::error::BuildError;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Keys that ask for `bos_token` before and `eos_token` after each text.
const ADD_TOKENS: [&str; 2] = ["add_bos_token", "add_eos_token"];

/// A class that builds its own tokenizer, with what it builds it from.
pub(super) struct Components<'a> {
    pub(super) settings: &'a Settings<'a>,
    /// tokenizer.json, or what older files have of one.
    pub(super) file: &'a Value,
    /// Where that is.
    pub(super) path: &'a Path,
    /// Without tokenizer.json.
    pub(super) vocabulary: Option<&'a Vocabulary>,
    /// The spelling of a special token; `None` where a file says that there is none.
    pub(super) token: &'a dyn Fn(&str) -> Option<String>,
}

impl Components<'_> {
    /// The tokenizer without added tokens, and with the file's post-processor.
    pub(super) fn tokenizer(&self) -> Result<Value, BuildError> {
        Ok(json!({
            "version": "1.0",
            "truncation": self.file["truncation"],
            "padding": self.file["padding"],
            "added_tokens": [],
            "normalizer": self.normalizer()?,
            "pre_tokenizer": self.pre_tokenizer()?,
            "post_processor": self.file["post_processor"],
            "decoder": self.decoder()?,
            "model": self.model()?,
        }))
    }

    fn class(&self) -> Class {
        self.settings.class()
    }

    /// A key, where the class reads it.
    fn flag(&self, key: &str, default: bool) -> Result<bool, BuildError> {
        if !self.class().keys().contains(&key) {
            return Ok(default);
        }
        self.settings.flag(key, default)
    }

    fn model(&self) -> Result<Value, BuildError> {
        Ok(match self.class() {
            Class::Bert | Class::DistilBert | Class::Dpr | Class::Mpnet => json!({
                "type": "WordPiece",
                "unk_token": self.required("unk_token")?,
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": self.ids()?,
            }),
            Class::Esm => json!({
                "type": "WordLevel",
                "unk_token": self.required("unk_token")?,
                "vocab": self.ids()?,
            }),
            Class::Roberta | Class::Deberta | Class::Gpt2 => self.bpe(json!({
                "continuing_subword_prefix": "",
                "end_of_word_suffix": "",
                "fuse_unk": false,
            }))?,
            Class::Gemma => self.bpe(json!({
                "unk_token": self.required("unk_token")?,
                "fuse_unk": true,
                "byte_fallback": true,
            }))?,
            Class::Llama => self.bpe(json!({"fuse_unk": true, "byte_fallback": true}))?,
            Class::Albert => self.unigram(1)?,
            Class::RemBert | Class::T5 => self.unigram(2)?,
            Class::XlmRoberta => self.unigram(3)?,
            Class::BigBird => self.unigram(self.unknown_piece().unwrap_or(100))?,
            Class::DebertaV2 => {
                let of_model = self.vocabulary.and_then(Vocabulary::unknown_id);
                let stated = match of_model {
                    Some(id) => id,
                    None => self.settings.number("unk_id", 1)?,
                };
                self.unigram(self.unknown_piece().unwrap_or(stated))?
            }
            Class::Camembert => {
                let unknown = self.required("unk_token")?;
                let mut pieces = self.pieces()?.iter();
                self.unigram(pieces.position(|piece| piece[0] == unknown).unwrap_or(0))?
            }
            Class::ConvBert | Class::DprFast | Class::FNet | Class::Generic => {
                self.file["model"].clone()
            }
        })
    }

    /// The place of the unknown token, if its score is 0.
    fn unknown_piece(&self) -> Option<usize> {
        let unknown = (self.token)("unk_token")?;
        let mut pieces = self.pieces().ok()?.iter();
        pieces.position(|piece| piece[0] == unknown && piece[1].as_f64() == Some(0.0))
    }

    fn bpe(&self, settings: Value) -> Result<Value, BuildError> {
        let merges = match &self.file["model"]["merges"] {
            Value::Null => json!([]),
            merges => merges.clone(),
        };
        let mut model = json!({
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": false,
            "vocab": self.ids()?,
            "merges": merges,
        });
        for (key, value) in settings.as_object().into_iter().flatten() {
            model[key] = value.clone();
        }
        Ok(model)
    }

    fn unigram(&self, unknown: usize) -> Result<Value, BuildError> {
        let pieces = self.pieces()?;
        Ok(json!({
            "type": "Unigram",
            "unk_id": unknown,
            "vocab": pieces,
            "byte_fallback": false,
        }))
    }

    /// The vocabulary as a list of pieces with their scores.
    fn pieces(&self) -> Result<&Vec<Value>, BuildError> {
        let pieces = self.file["model"]["vocab"].as_array();
        pieces.ok_or_else(|| self.other_model("a Unigram model"))
    }

    /// The vocabulary as ids by spelling.
    fn ids(&self) -> Result<&Value, BuildError> {
        let vocabulary = &self.file["model"]["vocab"];
        if vocabulary.is_object() {
            return Ok(vocabulary);
        }
        Err(self.other_model("a vocabulary of ids"))
    }

    fn other_model(&self, expected: &'static str) -> BuildError {
        BuildError::TokenizerModel {
            path: self.path.to_owned(),
            class: self.class().name().into(),
            expected,
            found: self.file["model"]["type"].to_string(),
        }
    }

    fn normalizer(&self) -> Result<Value, BuildError> {
        Ok(match self.class() {
            Class::Bert | Class::DistilBert | Class::Dpr | Class::Mpnet => json!({
                "type": "BertNormalizer",
                "clean_text": true,
                "handle_chinese_chars": self.flag("tokenize_chinese_chars", true)?,
                "strip_accents": self.settings.optional_flag("strip_accents")?,
                "lowercase": self.flag("do_lower_case", true)?,
            }),
            Class::Albert => sequence("normalizers", self.of_quotes(&[], true)?),
            Class::RemBert => {
                let spaces = replace(&json!({"Regex": " {2,}"}), " ");
                sequence("normalizers", self.of_quotes(&[spaces], false)?)
            }
            Class::DebertaV2 => {
                let mut steps = Vec::new();
                if self.flag("do_lower_case", false)? {
                    steps.push(json!({"type": "Lowercase"}));
                }
                steps.push(replace(&json!({"Regex": r"\s{2,}|[\n\r\t]"}), " "));
                steps.push(json!({"type": "NFC"}));
                steps.push(json!({"type": "Strip", "strip_left": false, "strip_right": true}));
                sequence("normalizers", steps)
            }
            Class::BigBird => sequence(
                "normalizers",
                vec![
                    json!({"type": "Strip", "strip_left": false, "strip_right": false}),
                    replace(&json!({"Regex": " {2,}"}), SPACE),
                ],
            ),
            Class::XlmRoberta | Class::Camembert | Class::T5 => {
                self.precompiled().unwrap_or_default()
            }
            Class::Gemma => replace(&json!({"String": " "}), SPACE),
            Class::Esm | Class::Roberta | Class::Deberta | Class::Gpt2 | Class::Llama => {
                Value::Null
            }
            Class::ConvBert | Class::DprFast | Class::FNet | Class::Generic => {
                self.file["normalizer"].clone()
            }
        })
    }

    /// ALBERT's steps, with others after those for quotes.
    fn of_quotes(&self, others: &[Value], do_lower_case: bool) -> Result<Vec<Value>, BuildError> {
        let mut steps = vec![
            replace(&json!({"String": "``"}), "\""),
            replace(&json!({"String": "''"}), "\""),
        ];
        steps.extend_from_slice(others);
        // ALBERT lower-cases and strips accents by default, RemBERT does neither.
        if !self.flag("keep_accents", !do_lower_case)? {
            steps.push(json!({"type": "NFKD"}));
            steps.push(json!({"type": "StripAccents"}));
        }
        if self.flag("do_lower_case", do_lower_case)? {
            steps.push(json!({"type": "Lowercase"}));
        }
        steps.extend(self.precompiled());
        Ok(steps)
    }

    /// The character map that a SentencePiece model brought along.
    fn precompiled(&self) -> Option<Value> {
        let normalizer = &self.file["normalizer"];
        let steps = match normalizer["normalizers"].as_array() {
            Some(steps) if normalizer["type"] == "Sequence" => &steps[..],
            _ => std::slice::from_ref(normalizer),
        };
        steps
            .iter()
            .find(|step| step["type"] == "Precompiled")
            .cloned()
    }

    fn pre_tokenizer(&self) -> Result<Value, BuildError> {
        Ok(match self.class() {
            Class::Bert | Class::DistilBert | Class::Dpr | Class::Mpnet => {
                json!({"type": "BertPreTokenizer"})
            }
            Class::Roberta | Class::Deberta | Class::Gpt2 => {
                byte_level(self.flag("add_prefix_space", false)?)
            }
            Class::XlmRoberta | Class::Camembert | Class::Albert | Class::T5 => sequence(
                "pretokenizers",
                vec![json!({"type": "WhitespaceSplit"}), self.metaspace()?],
            ),
            Class::RemBert | Class::BigBird => self.metaspace()?,
            Class::DebertaV2 => {
                let mut steps = Vec::new();
                if self.flag("split_by_punct", false)? {
                    steps.push(json!({"type": "Punctuation", "behavior": "Isolated"}));
                }
                steps.push(self.metaspace()?);
                sequence("pretokenizers", steps)
            }
            // Every token of the vocabulary by itself, then words.
            Class::Esm => {
                let tokens = self.ids()?.as_object().into_iter().flat_map(Map::keys);
                let words = json!({"type": "WhitespaceSplit"});
                sequence(
                    "pretokenizers",
                    vec![isolated(tokens.map(String::as_str)), words],
                )
            }
            Class::Gemma => json!({
                "type": "Split",
                "pattern": {"String": " "},
                "behavior": "MergedWithPrevious",
                "invert": false,
            }),
            Class::Llama => {
                let mut metaspace = self.metaspace()?;
                metaspace["split"] = false.into();
                metaspace
            }
            Class::ConvBert | Class::DprFast | Class::FNet | Class::Generic => {
                self.file["pre_tokenizer"].clone()
            }
        })
    }

    fn metaspace(&self) -> Result<Value, BuildError> {
        let prefix = match self.class() {
            Class::T5 => true,
            Class::Llama => self
                .settings
                .optional_flag("add_prefix_space")?
                .unwrap_or(true),
            _ => self.flag("add_prefix_space", true)?,
        };
        let scheme = match self.class() {
            Class::DebertaV2 if !prefix => "first",
            Class::Llama if prefix && !self.flag("legacy", false)? => "first",
            _ if prefix => "always",
            _ => "never",
        };
        Ok(json!({
            "type": "Metaspace",
            "replacement": SPACE,
            "prepend_scheme": scheme,
            "split": true,
        }))
    }

    fn decoder(&self) -> Result<Value, BuildError> {
        Ok(match self.class() {
            Class::Bert | Class::DistilBert | Class::Dpr | Class::Mpnet => {
                json!({"type": "WordPiece", "prefix": "##", "cleanup": true})
            }
            Class::Roberta | Class::Deberta | Class::Gpt2 => byte_level(true),
            Class::Gemma | Class::Llama => {
                let mut steps = vec![
                    replace(&json!({"String": SPACE}), " "),
                    json!({"type": "ByteFallback"}),
                    json!({"type": "Fuse"}),
                ];
                let prefix = self.settings.optional_flag("add_prefix_space")?;
                if self.class() == Class::Llama && prefix.unwrap_or(true) {
                    steps.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
                }
                sequence("decoders", steps)
            }
            Class::Esm => Value::Null,
            Class::ConvBert | Class::DprFast | Class::FNet | Class::Generic => {
                self.file["decoder"].clone()
            }
            _ => self.metaspace()?,
        })
    }

    /// Refuses a vocabulary without tokens that the class needs before any are added.
    pub(super) fn check(&self, id: &dyn Fn(&str) -> Option<u32>) -> Result<(), BuildError> {
        let needed: &[&str] = match self.class() {
            Class::Albert => &["cls_token", "sep_token"],
            _ => &[],
        };
        for key in needed {
            self.with_id(key, id)?;
        }
        Ok(())
    }

    /// The post-processor that the class sets when its tokens have ids; `None` where it
    /// keeps the file's.
    pub(super) fn post_processor(
        &self,
        id: &dyn Fn(&str) -> Option<u32>,
    ) -> Result<Option<Value>, BuildError> {
        let token = |key: &str| self.with_id(key, id);
        let typed = [(0, 0), (1, 1)];
        let untyped = [(0, 0), (0, 0)];
        let has_none = self.file["post_processor"].is_null();
        Ok(match self.class() {
            // It makes a template of the file's, and there is none.
            Class::RemBert if has_none => Some(self.own_tokens(&token)?),
            Class::Bert
            | Class::ConvBert
            | Class::DistilBert
            | Class::Dpr
            | Class::DprFast
            | Class::DebertaV2
            | Class::RemBert
            | Class::BigBird => {
                let (cls, sep) = (token("cls_token")?, token("sep_token")?);
                Some(template(Some(&cls), &sep, Separator::Once, typed))
            }
            // Set before the file's, which therefore replaces it.
            Class::Albert if !has_none => None,
            Class::Albert if self.states_own_tokens() => Some(self.own_tokens(&token)?),
            Class::Albert => {
                let (cls, sep) = (token("cls_token")?.1, token("sep_token")?.1);
                let (cls, sep) = (("[CLS]".to_owned(), cls), ("[SEP]".to_owned(), sep));
                Some(template(Some(&cls), &sep, Separator::Once, typed))
            }
            Class::Deberta => {
                let (cls, sep) = (token("cls_token")?, token("sep_token")?);
                Some(template(Some(&cls), &sep, Separator::Twice, untyped))
            }
            Class::XlmRoberta | Class::Camembert => {
                let (bos, eos) = (token("bos_token")?, token("eos_token")?);
                Some(template(Some(&bos), &eos, Separator::Twice, untyped))
            }
            Class::T5 => {
                let eos = ("</s>".to_owned(), token("eos_token")?.1);
                Some(template(None, &eos, Separator::Once, untyped))
            }
            Class::Esm => {
                let (cls, eos) = (token("cls_token")?, token("eos_token")?);
                Some(template(Some(&cls), &eos, Separator::Once, typed))
            }
            Class::Roberta => {
                let trim_offsets = self.flag("trim_offsets", true)?;
                let add_prefix_space = self.flag("add_prefix_space", false)?;
                let (cls, sep) = (token("cls_token")?, token("sep_token")?);
                Some(roberta(cls, sep, trim_offsets, add_prefix_space))
            }
            Class::Mpnet => {
                let (cls, sep) = (token("cls_token")?, token("sep_token")?);
                Some(roberta(cls, sep, true, false))
            }
            Class::FNet | Class::Gemma | Class::Generic | Class::Gpt2 | Class::Llama => {
                let own = has_none.then(|| self.own_tokens(&token));
                own.transpose()?
            }
        })
    }

    /// Whether the files say that a text gets tokens at its ends: keys that are read
    /// where there is no tokenizer.json.
    fn states_own_tokens(&self) -> bool {
        let keys = self.settings.keys();
        self.vocabulary.is_some() && ADD_TOKENS.iter().any(|key| keys.contains_key(*key))
    }

    /// The texts with the tokens at their ends that the files ask for; by default none.
    fn own_tokens(
        &self,
        token: &dyn Fn(&str) -> Result<WithId, BuildError>,
    ) -> Result<Value, BuildError> {
        let mut ends = [None, None];
        if self.states_own_tokens() {
            let keys = ["bos_token", "eos_token"];
            for (end, (add, key)) in ends.iter_mut().zip(ADD_TOKENS.into_iter().zip(keys)) {
                if self.settings.flag(add, false)? && (self.token)(key).is_some() {
                    *end = Some(token(key)?);
                }
            }
        }
        let [begin, end] = ends;
        Ok(around(begin.as_ref(), end.as_ref()))
    }

    fn with_id(&self, key: &str, id: &dyn Fn(&str) -> Option<u32>) -> Result<WithId, BuildError> {
        let content = self.required(key)?;
        let id = id(&content).ok_or_else(|| BuildError::TokenWithoutId {
            path: self.path.to_owned(),
            key: key.into(),
            token: content.clone(),
        })?;
        Ok((content, id))
    }

    /// A special token that the class cannot do without.
    fn required(&self, key: &str) -> Result<String, BuildError> {
        let path = self.settings.path();
        (self.token)(key).ok_or_else(|| BuildError::key(path, key, &Value::Null))
    }
}
