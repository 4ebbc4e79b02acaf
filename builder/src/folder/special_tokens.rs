//! Tokens that a task is about: the mask, the unknown word, the padding.

use encoderfile_runtime::tokenizer::Vocabulary;
use serde_json::Value;

/// The files that name them, first come first served.
pub(super) struct SpecialTokens<'a> {
    /// tokenizer_config.json.
    pub(super) tokenizer_config: &'a Value,
    /// special_tokens_map.json, where older folders keep them.
    pub(super) map: &'a Value,
    pub(super) vocabulary: &'a Vocabulary,
}

impl SpecialTokens<'_> {
    /// The id of the token that `key` names. A folder that names none has one
    /// of the `usual` spellings, or none.
    pub(super) fn id(&self, key: &str, usual: &[&str]) -> Option<u32> {
        let named = [self.tokenizer_config, self.map]
            .into_iter()
            .find_map(|file| spelling(&file[key]));
        match named {
            Some(token) => self.vocabulary.id(token),
            None => usual.iter().find_map(|token| self.vocabulary.id(token)),
        }
    }
}

/// A token is written as a string, or as an object with its `content`.
fn spelling(value: &Value) -> Option<&str> {
    value.as_str().or(value["content"].as_str())
}
