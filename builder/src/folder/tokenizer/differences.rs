//! Where a folder's tokenizer files contradict one another: findings that say which of
//! them decides.

use super::added::Tokens;
use super::class::{Choice, Class};
use super::settings::{NAMED, Settings};
use crate::error::BuildError;
use crate::folder::findings::Findings;
use serde_json::Value;
use std::ffi::OsStr;

/// Parts of a tokenizer that a class may build itself.
const SECTIONS: [&str; 4] = ["normalizer", "pre_tokenizer", "post_processor", "model"];

/// The most differences that one finding lists.
const LISTED_MAX: usize = 4;

/// The longest value that a finding shows.
const SHOWN_MAX: usize = 40;

/// Everything that is compared.
pub(super) struct Contradictions<'a> {
    pub(super) choice: &'a Choice,
    /// The file of the vocabulary, where there is no tokenizer.json.
    pub(super) vocabulary: Option<&'a OsStr>,
    pub(super) settings: &'a Settings<'a>,
    pub(super) special_tokens_map: &'a Value,
    /// tokenizer.json, as the tokenizers library writes it.
    pub(super) original: &'a Value,
    /// The resolved tokenizer, written likewise.
    pub(super) resolved: &'a Value,
    pub(super) tokens: &'a Tokens,
    /// How many kinds of segments the model tells apart, as far as config.json says.
    pub(super) type_vocab_size: u32,
    /// Whether it adds something for the first segment too.
    pub(super) adds_segments: bool,
}

impl Contradictions<'_> {
    pub(super) fn note(&self, findings: &mut Findings) -> Result<(), BuildError> {
        let class = self.choice.class;
        if class != Class::Generic || self.vocabulary.is_some() {
            let mut meaning = format!("built as {} of transformers 5 does", class.name());
            if let Some(file) = self.vocabulary {
                meaning += &format!(", from {}", file.to_string_lossy());
            }
            findings.note("tokenizer", meaning, self.choice.source.clone());
        }
        let unlike_4 = class.unlike_4_without_file();
        if let (Some(file), Some(meaning)) = (self.vocabulary, unlike_4) {
            findings.note("tokenizer", meaning, file.to_string_lossy());
        }
        for section in SECTIONS {
            self.note_section(section, findings)?;
        }
        self.note_added_tokens(findings);
        self.note_special_tokens_map(findings);
        for (key, value) in self.settings.passed_over() {
            let mut meaning = format!("{key} {value} means nothing to {}", class.name());
            if class.drops_since_5(key) {
                meaning += "; transformers 4 reads it";
            }
            findings.note("tokenizer", meaning, format!("tokenizer_config.json {key}"));
        }
        self.note_type_ids(findings)
    }

    /// What of a section is not as tokenizer.json has it.
    fn note_section(&self, section: &str, findings: &mut Findings) -> Result<(), BuildError> {
        let (file, resolved) = (&self.original[section], &self.resolved[section]);
        let mut differences = Vec::new();
        collect(section, file, resolved, &mut differences);
        if differences.is_empty() {
            return Ok(());
        }
        let more = differences.len().saturating_sub(LISTED_MAX);
        differences.truncate(LISTED_MAX);
        let mut meaning = differences.join(", ");
        if more > 0 {
            meaning += &format!(" and {more} more");
        }
        let mut unlike_4 = Vec::new();
        collect(
            section,
            &self.of_transformers_4(section)?,
            resolved,
            &mut unlike_4,
        );
        if !unlike_4.is_empty() {
            meaning += "; transformers 4 differs";
        }
        let name = self.choice.class.name();
        findings.note("tokenizer", meaning, format!("{name} of transformers 5"));
        Ok(())
    }

    /// A section as transformers 4 has it: the file's, with the keys of
    /// tokenizer_config.json that it lays over it.
    fn of_transformers_4(&self, section: &str) -> Result<Value, BuildError> {
        let mut value = self.original[section].clone();
        let mut set = |key: &str, new: Value| {
            if value.get(key).is_some() {
                value[key] = new;
            }
        };
        let settings = self.settings;
        let prefix = settings.optional_flag("add_prefix_space")?.unwrap_or(false);
        match (self.choice.class, section) {
            (
                Class::Bert
                | Class::ConvBert
                | Class::DistilBert
                | Class::Dpr
                | Class::DprFast
                | Class::Mpnet,
                "normalizer",
            ) => {
                set("lowercase", settings.flag("do_lower_case", true)?.into());
                set(
                    "strip_accents",
                    settings.optional_flag("strip_accents")?.into(),
                );
                if self.choice.class != Class::Mpnet {
                    let chinese = settings.flag("tokenize_chinese_chars", true)?;
                    set("handle_chinese_chars", chinese.into());
                }
            }
            (Class::Roberta, "post_processor") => {
                set("trim_offsets", settings.flag("trim_offsets", true)?.into());
                set("add_prefix_space", prefix.into());
            }
            (_, "pre_tokenizer") => set("add_prefix_space", prefix.into()),
            _ => {}
        }
        Ok(value)
    }

    /// Tokens whose flags, or whose being there at all, two files disagree about.
    fn note_added_tokens(&self, findings: &mut Findings) {
        let tokens = |tokenizer: &Value| -> Vec<Value> {
            let list = tokenizer["added_tokens"].as_array();
            list.cloned().unwrap_or_default()
        };
        let (file, resolved) = (tokens(self.original), tokens(self.resolved));
        let find = |list: &[Value], content: &Value| {
            list.iter()
                .find(|token| token["content"] == *content)
                .cloned()
        };
        for token in &resolved {
            let content = &token["content"];
            let Some(before) = find(&file, content) else {
                let meaning = format!("{content} is one token, id {}", token["id"]);
                findings.note("added token", meaning, self.source_of(content));
                continue;
            };
            let mut differences = Vec::new();
            collect("", &before, token, &mut differences);
            if !differences.is_empty() {
                let meaning = format!("{content}: {}", differences.join(", "));
                findings.note("added token", meaning, self.source_of(content));
            }
        }
        for token in file
            .iter()
            .filter(|it| find(&resolved, &it["content"]).is_none())
        {
            let meaning = format!("{} of tokenizer.json is not one token", token["content"]);
            let source = "tokenizer_config.json added_tokens_decoder lacks it";
            findings.note("added token", meaning, source);
        }
    }

    fn source_of(&self, content: &Value) -> String {
        let spelled = |spelling: &str| content == spelling;
        let named = self.tokens.named.iter();
        let mut named =
            named.filter(|(_, special)| special.as_ref().is_some_and(|it| spelled(it.content())));
        if self
            .tokens
            .by_id
            .values()
            .any(|token| spelled(&token.content))
        {
            return "tokenizer_config.json added_tokens_decoder".into();
        }
        match named.next() {
            Some((key, _)) if self.settings.keys().contains_key(key) => {
                format!("tokenizer_config.json {key}")
            }
            Some((key, _)) => format!("{key} of {}", self.choice.class.name()),
            None => "tokenizer_config.json extra_special_tokens".into(),
        }
    }

    /// Special tokens that one of two files spells otherwise than they are.
    fn note_special_tokens_map(&self, findings: &mut Findings) {
        let map = self.special_tokens_map.as_object();
        let config = Some(self.settings.keys());
        let files = [
            (map, "special_tokens_map.json", "tokenizer_config.json"),
            (config, "tokenizer_config.json", "special_tokens_map.json"),
        ];
        for (file, name, other) in files {
            for (key, value) in file.into_iter().flatten() {
                let said = value.as_str().or(value["content"].as_str());
                let Some(said) = said.filter(|_| NAMED.contains(&key.as_str())) else {
                    continue;
                };
                let used = self.tokens.get(key).map_or("none", |it| it.content());
                if used != said {
                    let meaning = format!("{key} is {used:?} ({name}: {said:?})");
                    findings.note("special token", meaning, format!("{other} {key}"));
                }
            }
        }
    }

    fn note_type_ids(&self, findings: &mut Findings) -> Result<(), BuildError> {
        let (makes_type_ids, source) = self.settings.makes_type_ids()?;
        if makes_type_ids {
            return Ok(());
        }
        let is_unsaid = !self.settings.keys().contains_key("model_input_names");
        let were_made = is_unsaid && self.choice.class.made_type_ids_before_5();
        if self.adds_segments {
            if were_made {
                let meaning = "no segment ids, for which the model would add the embeddings of \
                               tokens 0 and 1; transformers 4 makes them";
                findings.note("tokenizer", meaning, source);
            }
        } else if self.type_vocab_size > 1 {
            let mut meaning = "the segment ids of a pair's second text are 0 as well".to_owned();
            if were_made {
                meaning += "; transformers 4 makes it 1";
            }
            findings.note("tokenizer", meaning, source);
        }
        Ok(())
    }
}

/// The leaves in which two values differ, as `path: new (tokenizer.json: old)`.
fn collect(path: &str, before: &Value, after: &Value, differences: &mut Vec<String>) {
    if before == after || (is_nothing(before) && is_nothing(after)) {
        return;
    }
    let join = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    match (before, after) {
        (Value::Object(old), Value::Object(new)) if old.get("type") == new.get("type") => {
            let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            // A vocabulary is the same or too large to be shown.
            for key in keys
                .into_iter()
                .filter(|key| *key != "vocab" && *key != "merges")
            {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned();
                let (old, new) = (of(old).unwrap_or_default(), of(new).unwrap_or_default());
                collect(&join(key), &old, &new, differences);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (place, (old, new)) in old.iter().zip(new).enumerate() {
                collect(&join(&place.to_string()), old, new, differences);
            }
        }
        _ => {
            let (after, before) = (shown(after), shown(before));
            differences.push(format!("{path}: {after} (tokenizer.json: {before})"));
        }
    }
}

/// An affix that is not there, or empty.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value == ""
}

/// A value in few characters: of a component its type.
fn shown(value: &Value) -> String {
    if let Some(kind) = value.get("type").and_then(Value::as_str) {
        return kind.to_owned();
    }
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
