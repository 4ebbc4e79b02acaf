//! Which tokenizer class of transformers 5 reads a folder: what tokenizer_config.json and
//! config.json name, against what is registered for the model type.

use super::Class;
use super::names::{self, Known};
use crate::error::BuildError;
use serde_json::Value;
use std::path::Path;

/// The class that reads a folder, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::folder::tokenizer) struct Choice {
    pub(in crate::folder::tokenizer) class: Class,
    pub(in crate::folder::tokenizer) source: String,
}

/// What the files say of the class.
pub(in crate::folder::tokenizer) struct Said<'a> {
    /// tokenizer_config.json, and where it is.
    pub(in crate::folder::tokenizer) tokenizer_config: (&'a Path, &'a Value),
    /// config.json, and where it is.
    pub(in crate::folder::tokenizer) config: (&'a Path, &'a Value),
    /// Whether tokenizer.json has ByteLevel anywhere.
    pub(in crate::folder::tokenizer) is_byte_level: bool,
}

/// The name of a class, and which file has it.
#[derive(Clone, Copy)]
struct Stated<'a> {
    name: &'a str,
    source: &'static str,
}

impl<'a> Said<'a> {
    /// As `AutoTokenizer` of transformers 5.24 decides, step by step.
    pub(in crate::folder::tokenizer) fn choose(&self) -> Result<Choice, BuildError> {
        let in_tokenizer_config = stated(
            self.tokenizer_config,
            "tokenizer_config.json tokenizer_class",
        )?;
        let in_config = stated(self.config, "config.json tokenizer_class")?;
        let is_remote = remote_code(self.tokenizer_config.1).is_some();
        // Python's `or`, for which an empty name is none.
        let of_either = in_tokenizer_config
            .filter(|it| !it.name.is_empty())
            .or(in_config);
        if let Some(stated) = of_either.filter(|_| !is_remote)
            && let Some((known, source)) = self.against_model_type(stated)
        {
            return self.served(known, source);
        }
        let is_ours = |stated: Stated<'_>| !matches!(names::of_name(stated.name), Known::Nobodys);
        if is_remote
            && !names::is_not_believed(self.model_type())
            && !of_either.is_some_and(is_ours)
        {
            return Err(self.remote_code());
        }
        let of_stated = |stated: Stated<'_>| names::of_name(without_fast(stated.name));
        match (
            in_tokenizer_config,
            in_config.filter(|it| !it.name.is_empty()),
        ) {
            (Some(stated), _) => self.served(of_stated(stated), stated.source.into()),
            // Of config.json, transformers takes a name that it knows, or fails.
            (None, Some(stated)) if !is_ours(stated) => {
                Err(self.unsupported(stated.name, stated.source))
            }
            (None, Some(stated)) => self.served(of_stated(stated), stated.source.into()),
            (None, None) => self.served(
                names::of_model_type(self.model_type()),
                self.model_type_source(),
            ),
        }
    }

    /// What a stated class becomes beside the model type: nothing where they agree, or
    /// where the type has no class.
    fn against_model_type(&self, stated: Stated<'_>) -> Option<(Known, String)> {
        let config = self.config.1;
        let model_name = config["model_name"].as_str().unwrap_or_default();
        let is_believed =
            !names::is_not_believed(self.model_type()) && !names::is_not_believed(model_name);
        let short = without_fast(stated.name);
        if short == "LlamaTokenizer" && is_believed && self.is_byte_level {
            let source = "tokenizer.json is ByteLevel, which LlamaTokenizer is not";
            return Some((Known::Served(Class::Generic), source.into()));
        }
        let registered = names::registered(self.model_type())?;
        if registered == short {
            return None;
        }
        // A type of the generic class has it whatever its folder names.
        if registered == Class::Generic.name() || !is_believed {
            let source = if names::is_not_believed(model_name) {
                format!("config.json model_name {model_name}")
            } else {
                self.model_type_source()
            };
            return Some((names::of_name(registered), source));
        }
        Some((names::of_name(stated.name), stated.source.into()))
    }

    fn model_type(&self) -> &'a str {
        self.config.1["model_type"].as_str().unwrap_or_default()
    }

    fn model_type_source(&self) -> String {
        format!("config.json model_type {}", self.model_type())
    }

    fn served(&self, known: Known, source: String) -> Result<Choice, BuildError> {
        match known {
            Known::Served(class) => Ok(Choice { class, source }),
            Known::Nobodys => Ok(Choice {
                class: Class::Generic,
                source,
            }),
            Known::Unsupported(class) => Err(self.unsupported(class, source)),
        }
    }

    fn unsupported(&self, class: &str, source: impl Into<String>) -> BuildError {
        BuildError::TokenizerClass {
            path: self.tokenizer_config.0.to_owned(),
            class: class.into(),
            source_key: source.into(),
        }
    }

    fn remote_code(&self) -> BuildError {
        let (path, tokenizer_config) = self.tokenizer_config;
        BuildError::key(path, "auto_map", &tokenizer_config["auto_map"])
    }
}

fn stated<'a>(
    (path, file): (&Path, &'a Value),
    source: &'static str,
) -> Result<Option<Stated<'a>>, BuildError> {
    match &file["tokenizer_class"] {
        Value::Null => Ok(None),
        Value::String(name) => Ok(Some(Stated { name, source })),
        other => Err(BuildError::key(path, "tokenizer_class", other)),
    }
}

fn without_fast(name: &str) -> &str {
    name.strip_suffix("Fast").unwrap_or(name)
}

/// The class in somebody's own file of Python, where the folder names one.
fn remote_code(tokenizer_config: &Value) -> Option<&Value> {
    let map = &tokenizer_config["auto_map"];
    let entry = if map.is_array() {
        map
    } else {
        &map["AutoTokenizer"]
    };
    (!entry.is_null()).then_some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn choose(tokenizer_config: &Value, config: &Value, is_byte_level: bool) -> String {
        let said = Said {
            tokenizer_config: (Path::new("tokenizer_config.json"), tokenizer_config),
            config: (Path::new("config.json"), config),
            is_byte_level,
        };
        match said.choose() {
            Ok(choice) => choice.class.name().into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_class_is_the_one_that_auto_tokenizer_takes() {
        let bert = json!({"model_type": "bert"});
        let none = json!({});
        let named = |name: &str| json!({ "tokenizer_class": name });
        assert_eq!(choose(&none, &bert, false), "BertTokenizer");
        assert_eq!(choose(&Value::Null, &bert, false), "BertTokenizer");
        assert_eq!(
            choose(&named("ElectraTokenizerFast"), &bert, false),
            "BertTokenizer"
        );
        assert_eq!(
            choose(&named("PreTrainedTokenizerFast"), &bert, false),
            "TokenizersBackend"
        );
        assert_eq!(
            choose(&named("XLMRobertaTokenizer"), &bert, false),
            "XLMRobertaTokenizer"
        );
        assert_eq!(
            choose(&named("SomebodysTokenizer"), &bert, false),
            "TokenizersBackend"
        );
        assert_eq!(
            choose(&none, &named("RobertaTokenizer"), false),
            "RobertaTokenizer"
        );
        assert_eq!(
            choose(&none, &json!({"model_type": "new"}), false),
            "TokenizersBackend"
        );
        assert_eq!(
            choose(&none, &json!({"model_type": "nezha"}), false),
            "TokenizersBackend"
        );
        let modernbert = json!({"model_type": "modernbert"});
        assert_eq!(
            choose(&named("BertTokenizer"), &modernbert, false),
            "TokenizersBackend"
        );
        let named_so = json!({"model_type": "bert", "model_name": "camembertv2-base"});
        assert_eq!(
            choose(&named("RobertaTokenizer"), &named_so, false),
            "BertTokenizer"
        );
        let umt5 = json!({"model_type": "umt5"});
        assert_eq!(
            choose(&named("T5Tokenizer"), &umt5, false),
            "TokenizersBackend"
        );
        let dpr = "DPRContextEncoderTokenizerFast";
        assert_eq!(
            choose(&named(dpr), &bert, false),
            "DPRQuestionEncoderTokenizerFast"
        );
        assert_eq!(
            choose(&named(dpr), &none, false),
            "DPRQuestionEncoderTokenizer"
        );
        assert_eq!(
            choose(&named("LlamaTokenizer"), &bert, true),
            "TokenizersBackend"
        );
        assert_eq!(
            choose(&named("LlamaTokenizer"), &bert, false),
            "LlamaTokenizer"
        );
    }

    #[test]
    fn a_class_of_python_is_refused_by_name() {
        let config = json!({"model_type": "flaubert"});
        let error = choose(&json!({}), &config, false);
        assert!(
            error.contains("FlaubertTokenizer") && error.contains("model_type"),
            "{error}"
        );
        let error = choose(
            &json!({"tokenizer_class": "PhobertTokenizerFast"}),
            &config,
            false,
        );
        assert!(error.contains("PhobertTokenizer"), "{error}");
        let remote = json!({"auto_map": {"AutoTokenizer": ["tokenization.Mine", null]}});
        let error = choose(&remote, &config, false);
        assert!(error.contains("auto_map"), "{error}");
    }
}
