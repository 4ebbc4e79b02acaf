//! tokenizer_config.json, with what special_tokens_map.json and added_tokens.json add
//! to it: every key is understood, known to mean nothing here, or refused.

use super::added::{Special, Token};
use super::class::Class;
use crate::error::BuildError;
use encoderfile::manifest::TruncationSide;
use serde_json::{Map, Value};
use std::path::Path;

/// Keys that any class reads.
const COMMON: [&str; 13] = [
    "added_tokens_decoder",
    "additional_special_tokens",
    "auto_map",
    "clean_up_tokenization_spaces",
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
    "extra_special_tokens",
    "max_len",
    "model_input_names",
    "model_max_length",
    "split_special_tokens",
    "tokenizer_class",
    "truncation_side",
    "model_specific_special_tokens",
];

/// Keys of single classes; to the others they mean nothing, which is worth knowing.
const OF_CLASSES: [&str; 13] = [
    "add_bos_token",
    "add_eos_token",
    "add_prefix_space",
    "clean_text",
    "do_lower_case",
    "extra_ids",
    "keep_accents",
    "legacy",
    "split_by_punct",
    "strip_accents",
    "tokenize_chinese_chars",
    "trim_offsets",
    "unk_id",
];

/// Keys that change no token of a text: where the files are, how they are loaded, how
/// batches are padded, how chats are written, and leftovers of older versions that no
/// tokenizer of the tokenizers library has ever read.
const WITHOUT_MEANING: [&str; 73] = [
    "__version__",
    "_commit_hash",
    "_from_auto",
    "_name_or_path",
    "add_special_tokens",
    "backend",
    "cache_dir",
    "chat_control_tokens",
    "chat_template",
    "cls_token_box",
    "cls_token_id",
    "cls_token_segment_id",
    "device",
    "device_map",
    "do_basic_tokenize",
    "do_word_tokenize",
    "bos_token_id",
    "eos_token_id",
    "errors",
    "from_slow",
    "full_tokenizer_file",
    "init_inputs",
    "is_fast",
    "is_local",
    "is_split_into_words",
    "local_files_only",
    "lowercase",
    "mask_token_id",
    "max_length",
    "max_model_input_sizes",
    "max_seq_length",
    "merges_file",
    "name_or_path",
    "never_split",
    "only_label_first_subword",
    "pad_to_max_length",
    "pad_to_multiple_of",
    "pad_token_id",
    "pad_token_label",
    "pad_token_segment_id",
    "pad_token_type_id",
    "padding",
    "padding_side",
    "pretrained_model_name_or_path",
    "processor_class",
    "remove_space",
    "response_schema",
    "response_template",
    "return_attention_mask",
    "return_tensors",
    "return_token_type_ids",
    "revision",
    "sep_token_box",
    "sep_token_id",
    "sequence_segment_id",
    "sp_model_kwargs",
    "spaces_between_special_tokens",
    "special_tokens_map_file",
    "stride",
    "subfolder",
    "tokenizer_file",
    "torch_dtype",
    "truncation",
    "truncation_strategy",
    "trust_remote_code",
    "unk_token_id",
    "use_auth_token",
    "use_default_system_prompt",
    "use_fast",
    "verbose",
    "vocab_file",
    "vocab_type",
    "wordpieces_prefix",
];

/// T5 has 100 of them; each becomes a token.
const EXTRA_IDS_MAX: usize = 1 << 16;

/// Special tokens that every class knows, in the order in which they are added.
pub(super) const NAMED: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// The keys of a class's own, as it takes them.
pub(super) struct Settings<'a> {
    path: &'a Path,
    keys: Map<String, Value>,
    class: Class,
}

impl<'a> Settings<'a> {
    /// Refuses keys that nobody knows.
    pub(super) fn read(path: &'a Path, config: &Value, class: Class) -> Result<Self, BuildError> {
        let keys = match config {
            Value::Null => Map::new(),
            Value::Object(keys) => keys.clone(),
            other => return Err(BuildError::key(path, "", other)),
        };
        for (key, value) in &keys {
            let is_known = [&COMMON[..], &OF_CLASSES, &WITHOUT_MEANING, &NAMED]
                .iter()
                .any(|known| known.contains(&key.as_str()));
            // Tokens of a model's own have any name that ends so.
            let is_token = key.ends_with("_token") && (value.is_string() || value.is_object());
            let is_versions = key == "fast_tokenizer_files" && is_only_this_file(value);
            if !(is_known || is_token || is_versions) {
                return Err(BuildError::key(path, key, value));
            }
        }
        let settings = Self { path, keys, class };
        settings.refuse_inputs()?;
        Ok(settings)
    }

    /// Positional arguments, which could be anything.
    fn refuse_inputs(&self) -> Result<(), BuildError> {
        match self.keys.get("init_inputs") {
            None | Some(Value::Null) => Ok(()),
            Some(Value::Array(inputs)) if inputs.is_empty() => Ok(()),
            Some(other) => Err(BuildError::key(self.path, "init_inputs", other)),
        }
    }

    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    pub(super) fn class(&self) -> Class {
        self.class
    }

    /// All keys, for who reads tokens out of them.
    pub(super) fn keys(&self) -> &Map<String, Value> {
        &self.keys
    }

    /// A key that is true or false; absent is the default, and `null` is refused.
    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, BuildError> {
        match self.keys.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(BuildError::key(self.path, key, other)),
        }
    }

    /// The same where `null` is absent too.
    pub(super) fn optional_flag(&self, key: &str) -> Result<Option<bool>, BuildError> {
        match self.keys.get(key) {
            Some(Value::Null) | None => Ok(None),
            Some(_) => self.flag(key, false).map(Some),
        }
    }

    /// A whole number, `default` where there is none.
    pub(super) fn number(&self, key: &str, default: usize) -> Result<usize, BuildError> {
        match self.keys.get(key) {
            None => Ok(default),
            Some(value) => {
                let number = value.as_u64().and_then(|it| usize::try_from(it).ok());
                number.ok_or_else(|| BuildError::key(self.path, key, value))
            }
        }
    }

    /// How many sentinel tokens T5's class has.
    pub(super) fn extra_ids(&self) -> Result<usize, BuildError> {
        let key = "extra_ids";
        match self.number(key, 100)? {
            ids if ids <= EXTRA_IDS_MAX => Ok(ids),
            _ => Err(BuildError::key(self.path, key, &self.keys[key])),
        }
    }

    /// The truncation side: tokenizer_config.json, or else the truncation
    /// that is saved in tokenizer.json.
    pub(super) fn truncation_side(
        &self,
        tokenizer: &Value,
    ) -> Result<Option<(TruncationSide, &'static str)>, BuildError> {
        let saved = &tokenizer["truncation"]["direction"];
        let (value, source) = match self.keys.get("truncation_side") {
            Some(value) => (value, "tokenizer_config.json truncation_side"),
            None => (saved, "tokenizer.json truncation.direction"),
        };
        match value.as_str() {
            Some("right" | "Right") => Ok(Some((TruncationSide::Right, source))),
            Some("left" | "Left") => Ok(Some((TruncationSide::Left, source))),
            None if value.is_null() && !self.keys.contains_key("truncation_side") => Ok(None),
            _ => Err(BuildError::key(self.path, "truncation_side", value)),
        }
    }

    /// Whether the tokenizer gives segment ids; without, they are 0 throughout.
    pub(super) fn makes_type_ids(&self) -> Result<(bool, &'static str), BuildError> {
        let Some(value) = self.keys.get("model_input_names") else {
            let source = "no model_input_names, so as the tokenizer class has them";
            return Ok((self.class.makes_type_ids(), source));
        };
        let names = value.as_array();
        let names = names.filter(|names| names.iter().all(Value::is_string));
        let names = names.ok_or_else(|| BuildError::key(self.path, "model_input_names", value))?;
        let source = "tokenizer_config.json model_input_names";
        Ok((names.iter().any(|name| name == "token_type_ids"), source))
    }

    /// Keys that other classes read and this one does not.
    pub(super) fn passed_over(&self) -> impl Iterator<Item = (&str, &Value)> {
        let read = self.class.keys();
        let keys = self.keys.iter().map(|(key, value)| (key.as_str(), value));
        keys.filter(move |(key, value)| {
            OF_CLASSES.contains(key) && !read.contains(key) && !value.is_null()
        })
    }

    /// A special token as a file writes it.
    pub(super) fn special(&self, key: &str, value: &Value) -> Result<Option<Special>, BuildError> {
        match value {
            Value::Null => Ok(None),
            Value::String(content) => Ok(Some(Special::Text(content.clone()))),
            Value::Object(token) if token.get("__type").is_some_and(|it| it == "AddedToken") => {
                Token::read(self.path, key, value).map(|token| Some(Special::Token(token)))
            }
            other => Err(BuildError::key(self.path, key, other)),
        }
    }
}

/// A list of tokenizer files by version, that leaves no choice.
fn is_only_this_file(files: &Value) -> bool {
    let files = files.as_array().into_iter().flatten();
    files.into_iter().all(|file| file == "tokenizer.json")
}
