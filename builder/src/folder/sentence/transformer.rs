//! The Transformer module: sentence_bert_config.json and its older names.

use super::{Listed, Sentence, refuse_unknown, unsigned};
use crate::error::BuildError;
use crate::folder::limit::Limit;
use crate::folder::read_json_if_there;
use serde_json::{Map, Value};
use std::path::Path;

/// The file's name has changed over time.
const NAMES: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

const KNOWN: [&str; 13] = [
    "max_seq_length",
    "do_lower_case",
    "transformer_task",
    "modality_config",
    "module_output_name",
    "unpad_inputs",
    "processing_kwargs",
    "model_args",
    "model_kwargs",
    "tokenizer_args",
    "processor_kwargs",
    "config_args",
    "config_kwargs",
];

/// Loading options that leave the numbers as they are.
const HARMLESS: [&str; 6] = [
    "trust_remote_code",
    "torch_dtype",
    "dtype",
    "attn_implementation",
    "use_memory_efficient_attention",
    "unpad_inputs",
];

impl Sentence {
    /// Its file, which may have `more` keys for the caller to read; `Null` if there is none.
    pub(super) fn read_transformer(
        &mut self,
        folder: &Path,
        listed: &Listed<'_>,
        more: &[&str],
    ) -> Result<Value, BuildError> {
        for name in NAMES {
            let path = folder.join(listed.file(name));
            if let Some(config) = read_json_if_there(&path)? {
                refuse_unknown(&path, &config, &[&KNOWN, more].concat())?;
                self.read_transformer_config(&path, &config, &listed.file(name))?;
                return Ok(config);
            }
        }
        Ok(Value::Null)
    }

    fn read_transformer_config(
        &mut self,
        path: &Path,
        config: &Value,
        source: &str,
    ) -> Result<(), BuildError> {
        refuse_arguments(path, config)?;
        refuse_other_modalities(path, config)?;
        self.limit = match &config["max_seq_length"] {
            Value::Null => None,
            value => Some(Limit {
                max_tokens: unsigned(value, path, "max_seq_length")?,
                source: "sentence_bert_config.json max_seq_length".into(),
            }),
        };
        self.lower_case = match &config["do_lower_case"] {
            Value::Null | Value::Bool(false) => false,
            Value::Bool(true) => {
                self.findings.note("case", "texts are lower-cased", source);
                true
            }
            other => return Err(BuildError::key(path, "do_lower_case", other)),
        };
        Ok(())
    }
}

/// Arguments for transformers that may change results.
fn refuse_arguments(path: &Path, config: &Value) -> Result<(), BuildError> {
    for key in KNOWN.iter().filter(|key| key.ends_with("args")) {
        let arguments = match &config[*key] {
            Value::Null => continue,
            Value::Object(arguments) => arguments,
            other => return Err(BuildError::key(path, key, other)),
        };
        let says_nothing = |value: &Value| value.as_object().is_some_and(Map::is_empty);
        let changing = arguments
            .iter()
            .find(|(name, value)| !HARMLESS.contains(&name.as_str()) && !says_nothing(value));
        if let Some((name, value)) = changing {
            return Err(BuildError::key(path, &format!("{key}.{name}"), value));
        }
    }
    Ok(())
}

/// Anything but plain text in, and hidden states or logits out.
fn refuse_other_modalities(path: &Path, config: &Value) -> Result<(), BuildError> {
    let task = &config["transformer_task"];
    let output = match task.as_str() {
        // What sentence-transformers takes where nothing is said.
        None if task.is_null() => "last_hidden_state",
        Some("feature-extraction") => "last_hidden_state",
        Some("fill-mask" | "sequence-classification") => "logits",
        _ => return Err(BuildError::key(path, "transformer_task", task)),
    };
    let modalities = match &config["modality_config"] {
        Value::Null => return Ok(()),
        Value::Object(modalities) => modalities,
        other => return Err(BuildError::key(path, "modality_config", other)),
    };
    for (modality, how) in modalities {
        let key = format!("modality_config.{modality}");
        let is_known = how["method"] == "forward" && how["method_output_name"] == output;
        if modality != "text" || !is_known {
            return Err(BuildError::key(path, &key, how));
        }
    }
    Ok(())
}
