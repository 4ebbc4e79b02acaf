//! The Pooling and `SpladePooling` modules.

use super::{Head, Listed, Sentence, read_config};
use crate::error::BuildError;
use encoderfile::manifest::{Pooling, Splade};
use serde_json::Value;
use std::path::Path;

/// A mode: its old key, its new name, itself, and what it is.
type Mode = (&'static str, &'static str, Pooling, &'static str);

/// In the order in which several modes are concatenated where a config has the
/// old keys; new ones say the order themselves.
const MODES: [Mode; 6] = [
    (
        "pooling_mode_cls_token",
        "cls",
        Pooling::Cls,
        "the first token",
    ),
    (
        "pooling_mode_max_tokens",
        "max",
        Pooling::Max,
        "the maximum over all tokens",
    ),
    (
        "pooling_mode_mean_tokens",
        "mean",
        Pooling::Mean,
        "the mean over all tokens",
    ),
    (
        "pooling_mode_mean_sqrt_len_tokens",
        "mean_sqrt_len_tokens",
        Pooling::MeanSqrtLen,
        "the sum over all tokens divided by the root of their number",
    ),
    (
        "pooling_mode_weightedmean_tokens",
        "weightedmean",
        Pooling::WeightedMean,
        "the mean over all tokens weighted by position",
    ),
    (
        "pooling_mode_lasttoken",
        "lasttoken",
        Pooling::LastToken,
        "the last token",
    ),
];

impl Sentence {
    pub(super) fn read_pooling(
        &mut self,
        folder: &Path,
        listed: &Listed<'_>,
    ) -> Result<(), BuildError> {
        let path = folder.join(listed.file("config.json"));
        let mut known = vec![
            "word_embedding_dimension",
            "embedding_dimension",
            "include_prompt",
            "pooling_mode",
        ];
        known.extend(MODES.iter().map(|(old, ..)| *old));
        let config = read_config(&path, &known)?;
        let modes = modes(&path, &config)?;
        let source = listed.file("config.json");
        let meanings: Vec<&str> = modes.iter().map(|(.., meaning)| *meaning).collect();
        self.findings
            .note("pooling", meanings.join(", then "), source.clone());
        self.exclude_prompt = match &config["include_prompt"] {
            Value::Null | Value::Bool(true) => false,
            Value::Bool(false) => {
                let meaning = "its tokens are left out of pooling";
                self.findings.note("prompt", meaning, source);
                true
            }
            other => return Err(BuildError::key(&path, "include_prompt", other)),
        };
        self.head = Head::Pooling(modes.iter().map(|(_, _, mode, _)| *mode).collect());
        Ok(())
    }

    pub(super) fn read_splade(
        &mut self,
        folder: &Path,
        listed: &Listed<'_>,
    ) -> Result<(), BuildError> {
        let path = folder.join(listed.file("config.json"));
        let known = [
            "pooling_strategy",
            "activation_function",
            "word_embedding_dimension",
            "embedding_dimension",
            // How much memory it takes.
            "chunk_size",
        ];
        let config = read_config(&path, &known)?;
        let choice = |key: &str, first: &str, second: &str| match &config[key] {
            Value::Null => Ok(false),
            Value::String(name) if name == first => Ok(false),
            Value::String(name) if name == second => Ok(true),
            other => Err(BuildError::key(&path, key, other)),
        };
        let splade = Splade {
            sum: choice("pooling_strategy", "max", "sum")?,
            twice: choice("activation_function", "relu", "log1p_relu")?,
        };
        let over = if splade.sum { "sum" } else { "maximum" };
        let function = if splade.twice {
            "log(1 + log(1 + relu(logit)))"
        } else {
            "log(1 + relu(logit))"
        };
        let meaning = format!("the {over} over all tokens of {function}");
        self.findings
            .note("pooling", meaning, listed.file("config.json"));
        self.head = Head::Splade(splade);
        Ok(())
    }
}

/// Either six booleans, or `pooling_mode` as a name or a list of names.
fn modes(path: &Path, config: &Value) -> Result<Vec<Mode>, BuildError> {
    let names: Vec<&Value> = match &config["pooling_mode"] {
        Value::Null => return old_modes(path, config),
        Value::Array(names) => names.iter().collect(),
        name => vec![name],
    };
    let modes = names.into_iter().map(|name| {
        let spelled = match name.as_str() {
            Some("mean_sqrt_len") => Some("mean_sqrt_len_tokens"),
            other => other,
        };
        let known = MODES.iter().find(|(_, new, ..)| Some(*new) == spelled);
        known.ok_or_else(|| BuildError::key(path, "pooling_mode", name))
    });
    let modes: Vec<Mode> = modes.map(|mode| mode.copied()).collect::<Result<_, _>>()?;
    if modes.is_empty() {
        return Err(BuildError::key(
            path,
            "pooling_mode",
            &config["pooling_mode"],
        ));
    }
    Ok(modes)
}

fn old_modes(path: &Path, config: &Value) -> Result<Vec<Mode>, BuildError> {
    let mut modes = Vec::new();
    for mode in MODES {
        match &config[mode.0] {
            Value::Null | Value::Bool(false) => {}
            Value::Bool(true) => modes.push(mode),
            other => return Err(BuildError::key(path, mode.0, other)),
        }
    }
    if modes.is_empty() {
        // What sentence-transformers does with a config that chooses none.
        modes.push(MODES[2]);
    }
    Ok(modes)
}
