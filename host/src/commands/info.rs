//! `info`: what a file contains.

use super::println;
use encoderfile::{Info, Payload};
use encoderfile_licenses::Notices;
use serde_json::Value;

pub(super) fn print(payload: &Payload, as_json: bool) -> anyhow::Result<()> {
    let info = Info::of(payload)?;
    if as_json {
        return println(&serde_json::to_string_pretty(&info)?);
    }
    let Value::Object(fields) = serde_json::to_value(info)? else {
        return Ok(());
    };
    for (name, value) in fields {
        println(&format!("{name:<20} {}", plain(&value)))?;
    }
    Ok(())
}

/// The model's licence, and the notices of what is linked into this program.
pub(super) fn print_licences(payload: &Payload, notices: &Notices) -> anyhow::Result<()> {
    let Info { name, license, .. } = Info::of(payload)?;
    println(&format!("The model {name}: licence {license}\n"))?;
    println(notices.text()?.trim_end())
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "none".into(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Null => "none".into(),
        Value::Object(fields) if fields.is_empty() => "none".into(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name} {}", plain(value)))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    }
}
