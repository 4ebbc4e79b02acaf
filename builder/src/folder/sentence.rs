//! The files of sentence-transformers: modules.json, the pooling folder,
//! sentence_bert_config.json, config_sentence_transformers.json.

use super::read_json_if_there;
use crate::error::BuildError;
use encoderfile_runtime::proto::Pooling;
use serde_json::Value;
use std::path::Path;

/// Old names of sentence_bert_config.json.
const TRANSFORMER_CONFIGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// In the order in which several modes are concatenated.
const POOLING_MODES: [(&str, &str, Pooling); 6] = [
    ("pooling_mode_cls_token", "cls", Pooling::Cls),
    ("pooling_mode_max_tokens", "max", Pooling::Max),
    ("pooling_mode_mean_tokens", "mean", Pooling::Mean),
    (
        "pooling_mode_mean_sqrt_len_tokens",
        "mean_sqrt_len",
        Pooling::MeanSqrtLen,
    ),
    (
        "pooling_mode_weightedmean_tokens",
        "weightedmean",
        Pooling::WeightedMean,
    ),
    ("pooling_mode_lasttoken", "lasttoken", Pooling::LastToken),
];

/// What those files say.
#[derive(Debug, Default)]
pub(super) struct Sentence {
    pub(super) pooling: Vec<Pooling>,
    pub(super) normalize: bool,
    pub(super) max_seq_length: Option<u32>,
    pub(super) lower_case: bool,
}

/// `None` if there is no modules.json.
pub(super) fn read(folder: &Path) -> Result<Option<Sentence>, BuildError> {
    let path = folder.join("modules.json");
    let Some(modules) = read_json_if_there(&path)? else {
        return Ok(None);
    };
    let Some(modules) = modules.as_array() else {
        return Err(BuildError::key(&path, "", &modules));
    };
    refuse_unserved(folder)?;
    let mut sentence = Sentence::default();
    for module in modules {
        let full_type = module["type"].as_str().unwrap_or_default();
        let place = folder.join(module["path"].as_str().unwrap_or_default());
        // The packages in front of the name have changed over time.
        match full_type.rsplit('.').next() {
            Some("Transformer") => read_transformer(&place, &mut sentence)?,
            Some("Pooling") => sentence.pooling = read_pooling(&place)?,
            Some("Normalize") => sentence.normalize = true,
            _ => return Err(BuildError::key(&path, "type", &module["type"])),
        }
    }
    if sentence.pooling.is_empty() {
        return Err(BuildError::key(&path, "type", &"no Pooling module".into()));
    }
    Ok(Some(sentence))
}

fn read_transformer(folder: &Path, sentence: &mut Sentence) -> Result<(), BuildError> {
    for name in TRANSFORMER_CONFIGS {
        let path = folder.join(name);
        let Some(config) = read_json_if_there(&path)? else {
            continue;
        };
        sentence.max_seq_length = match &config["max_seq_length"] {
            Value::Null => None,
            value => Some(unsigned(value, &path, "max_seq_length")?),
        };
        sentence.lower_case = config["do_lower_case"] == true;
        return Ok(());
    }
    Ok(())
}

/// Either six booleans, or `pooling_mode` as a name or a list of names.
fn read_pooling(folder: &Path) -> Result<Vec<Pooling>, BuildError> {
    let path = folder.join("config.json");
    let Some(config) = read_json_if_there(&path)? else {
        return Err(BuildError::Read {
            path,
            source: std::io::ErrorKind::NotFound.into(),
        });
    };
    let Some(keys) = config.as_object() else {
        return Err(BuildError::key(&path, "", &config));
    };
    let known = [
        "word_embedding_dimension",
        "embedding_dimension",
        "include_prompt",
        "pooling_mode",
    ];
    for (key, value) in keys {
        let is_mode = POOLING_MODES.iter().any(|(old, ..)| old == key);
        if !is_mode && !known.contains(&key.as_str()) {
            return Err(BuildError::key(&path, key, value));
        }
    }
    let names: Vec<&str> = match &config["pooling_mode"] {
        Value::Null => {
            let modes = POOLING_MODES.iter();
            let set = modes.filter(|(old, ..)| config[old] == true);
            return Ok(set.map(|(.., mode)| *mode).collect());
        }
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        other => return Err(BuildError::key(&path, "pooling_mode", other)),
    };
    // "mean_sqrt_len" is also written with "_tokens".
    let is_name = |new: &str, name: &str| name.strip_suffix("_tokens").unwrap_or(name) == new;
    for name in &names {
        if !POOLING_MODES.iter().any(|(_, new, _)| is_name(new, name)) {
            return Err(BuildError::key(&path, "pooling_mode", &(*name).into()));
        }
    }
    let modes = POOLING_MODES.iter();
    let set = modes.filter(|(_, new, _)| names.iter().any(|name| is_name(new, name)));
    Ok(set.map(|(.., mode)| *mode).collect())
}

/// Keys that change results and are not served yet.
fn refuse_unserved(folder: &Path) -> Result<(), BuildError> {
    let path = folder.join("config_sentence_transformers.json");
    let Some(config) = read_json_if_there(&path)? else {
        return Ok(());
    };
    for key in ["default_prompt_name", "truncate_dim"] {
        if !config[key].is_null() {
            return Err(BuildError::key(&path, key, &config[key]));
        }
    }
    Ok(())
}

fn unsigned(value: &Value, path: &Path, key: &str) -> Result<u32, BuildError> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number
        .filter(|number| *number > 0)
        .ok_or_else(|| BuildError::key(path, key, value))
}
