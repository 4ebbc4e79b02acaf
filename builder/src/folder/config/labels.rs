//! The labels of a classifier, as transformers 5 makes them of config.json.
//!
//! `id2label` names them. `num_labels` counts them, and where the two contradict
//! each other it wins: the labels are then `LABEL_0`, `LABEL_1`, … Where neither
//! is there, there are two. `label2id` names none, and says only which of them
//! means entailment.

use super::Config;
use crate::error::BuildError;
use crate::folder::findings::Findings;
use serde_json::{Map, Value};

/// What `num_labels` is where nobody says it.
const DEFAULT: usize = 2;

/// No head is wider: more than this is a mistake, not a number of labels.
const LABELS_MAX: u64 = 1 << 20;

/// Who says how many labels there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelsSource {
    /// `id2label`.
    Names,
    /// `num_labels`.
    Count,
    /// `num_labels`, and `id2label` names another number of them.
    CountAgainstNames,
    /// Nobody, which means two.
    Default,
}

/// One name for each logit.
pub(in crate::folder) struct Labels {
    pub(in crate::folder) names: Vec<String>,
    pub(in crate::folder) source: LabelsSource,
}

impl Labels {
    /// Notes what is not simply `id2label`.
    pub(in crate::folder) fn note(&self, findings: &mut Findings) {
        let source = match self.source {
            LabelsSource::Names => return,
            LabelsSource::Count => "config.json num_labels",
            LabelsSource::CountAgainstNames => {
                "config.json num_labels, which id2label contradicts; as transformers 5 does"
            }
            LabelsSource::Default => "config.json has no id2label and no num_labels",
        };
        let meaning = match &*self.names {
            [only] => only.clone(),
            names => format!("{} to {}", names[0], names[names.len() - 1]),
        };
        findings.note("labels", meaning, source);
    }
}

impl Config {
    /// The labels in the order of their ids: at least one.
    pub(in crate::folder) fn labels(&self) -> Result<Labels, BuildError> {
        let names = self.label_names()?;
        let count = self.label_count()?;
        let (names, source) = match (names, count) {
            (Some(names), None) => (names, LabelsSource::Names),
            (Some(names), Some(count)) if names.len() == count => (names, LabelsSource::Names),
            (Some(_), Some(count)) => (numbered(count), LabelsSource::CountAgainstNames),
            (None, Some(count)) => (numbered(count), LabelsSource::Count),
            (None, None) => (numbered(DEFAULT), LabelsSource::Default),
        };
        Ok(Labels { names, source })
    }

    /// The label that means entailment, and the key that says so: transformers'
    /// zero-shot pipeline looks into `label2id`.
    pub(in crate::folder) fn entailment(
        &self,
        labels: &[String],
    ) -> Result<Option<(usize, &'static str)>, BuildError> {
        let entails = |label: &str| label.to_lowercase().starts_with("entail");
        let by_name = self.json["label2id"].as_object();
        let by_name = by_name.and_then(|ids| ids.iter().find(|(label, _)| entails(label)));
        if let Some((label, id)) = by_name {
            let index = id.as_u64().and_then(|id| usize::try_from(id).ok());
            let index = index.filter(|index| *index < labels.len());
            let index = index
                .ok_or_else(|| BuildError::key(&self.path, &format!("label2id.{label}"), id))?;
            return Ok(Some((index, "label2id")));
        }
        let index = labels.iter().position(|label| entails(label));
        Ok(index.map(|index| (index, "id2label")))
    }

    /// `id2label` by its ids.
    fn label_names(&self) -> Result<Option<Vec<String>>, BuildError> {
        let found = &self.json["id2label"];
        let refuse = || BuildError::key(&self.path, "id2label", found);
        let map = match found {
            Value::Null => return Ok(None),
            Value::Object(map) if !map.is_empty() => map,
            _ => return Err(refuse()),
        };
        let names = by_id(map).ok_or_else(refuse)?;
        Ok(Some(names))
    }

    fn label_count(&self) -> Result<Option<usize>, BuildError> {
        let found = &self.json["num_labels"];
        if found.is_null() {
            return Ok(None);
        }
        let count = found
            .as_u64()
            .filter(|count| (1..=LABELS_MAX).contains(count));
        let count = count.and_then(|count| usize::try_from(count).ok());
        let count = count.ok_or_else(|| BuildError::key(&self.path, "num_labels", found))?;
        Ok(Some(count))
    }
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|id| format!("LABEL_{id}")).collect()
}

/// One name for each id from 0 on; `None` where one is missing, twice there, or
/// no name.
fn by_id(map: &Map<String, Value>) -> Option<Vec<String>> {
    let mut names = vec![None; map.len()];
    for (id, name) in map {
        let slot = names.get_mut(as_integer(id)?)?;
        if slot.replace(as_text(name)?).is_some() {
            return None;
        }
    }
    names.into_iter().collect()
}

/// As Python's `int` reads a string.
fn as_integer(text: &str) -> Option<usize> {
    let digits = text.trim();
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    if digits.starts_with('+') {
        return None;
    }
    digits.parse().ok()
}

/// As Python's `str` writes a value: transformers takes any for a label.
fn as_text(value: &Value) -> Option<String> {
    Some(match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Null => "None".into(),
        Value::Array(_) | Value::Object(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn config(json: &str) -> Config {
        Config::parse(Path::new("config.json"), json.as_bytes()).unwrap()
    }

    fn names(json: &str) -> Vec<String> {
        config(json).labels().unwrap().names
    }

    /// What `BertConfig(**json)` of transformers 5.24 makes of the same.
    #[test]
    fn labels_are_those_of_transformers() {
        let cases: [(&str, &[&str]); 11] = [
            ("{}", &["LABEL_0", "LABEL_1"]),
            (r#"{"id2label": null}"#, &["LABEL_0", "LABEL_1"]),
            (r#"{"num_labels": 1}"#, &["LABEL_0"]),
            (r#"{"num_labels": 3}"#, &["LABEL_0", "LABEL_1", "LABEL_2"]),
            (r#"{"id2label": {"0": 0, "1": 1}}"#, &["0", "1"]),
            (r#"{"id2label": {"0": 1.5, "1": true}}"#, &["1.5", "True"]),
            (r#"{"id2label": {" 1": "a", "00": "b"}}"#, &["b", "a"]),
            (r#"{"id2label": {"0": "a", "1": "a"}}"#, &["a", "a"]),
            (r#"{"id2label": {"0": "a"}, "num_labels": 1}"#, &["a"]),
            (
                r#"{"id2label": {"0": "a"}, "num_labels": 2}"#,
                &["LABEL_0", "LABEL_1"],
            ),
            (
                r#"{"label2id": {"a": 0, "b": 1, "c": 2}}"#,
                &["LABEL_0", "LABEL_1"],
            ),
        ];
        for (json, expected) in cases {
            assert_eq!(names(json), expected, "{json}");
        }
    }

    #[test]
    fn what_is_no_label_of_each_logit_is_refused_by_its_key() {
        let cases = [
            (r#"{"id2label": ["a", "b"]}"#, "id2label"),
            (r#"{"id2label": "a"}"#, "id2label"),
            (r#"{"id2label": {}}"#, "id2label"),
            (r#"{"id2label": {"0": "a", "2": "b"}}"#, "id2label"),
            (r#"{"id2label": {"1": "a", "2": "b"}}"#, "id2label"),
            (r#"{"id2label": {"-1": "a", "0": "b"}}"#, "id2label"),
            (r#"{"id2label": {"0": "a", "00": "b"}}"#, "id2label"),
            (r#"{"id2label": {"zero": "a"}}"#, "id2label"),
            (r#"{"id2label": {"0": ["a"]}}"#, "id2label"),
            (r#"{"num_labels": 0}"#, "num_labels"),
            (r#"{"num_labels": "3"}"#, "num_labels"),
            (r#"{"num_labels": 2.0}"#, "num_labels"),
            (r#"{"num_labels": true}"#, "num_labels"),
        ];
        for (json, key) in cases {
            let error = config(json).labels().err().unwrap().to_string();
            assert!(error.contains(&format!("config.json: `{key}`")), "{error}");
        }
    }

    #[test]
    fn entailment_is_where_label2id_says() {
        let labels = ["contradiction", "entailment", "neutral"].map(String::from);
        let of = |json: &str| config(json).entailment(&labels);
        assert_eq!(of("{}").unwrap(), Some((1, "id2label")));
        let elsewhere = r#"{"label2id": {"neutral": 0, "ENTAILMENT": 2}}"#;
        assert_eq!(of(elsewhere).unwrap(), Some((2, "label2id")));
        assert!(of(r#"{"label2id": {"entailment": 3}}"#).is_err());
    }
}
