//! Places in JSON documents: JSON Pointer, in which `nodes[op_type=Gather]` is the
//! first of `nodes` whose `op_type` is `Gather`, or has it among others.

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Puts a value there. An array takes one more at `-`.
pub(crate) fn set(document: &mut Value, path: &str, value: Value) -> anyhow::Result<()> {
    let (parent, last) = parent(document, path)?;
    match parent {
        Value::Array(values) if last == "-" => values.push(value),
        Value::Object(fields) if !last.contains('[') => {
            fields.insert(last.into(), value);
        }
        parent => *step(parent, last).with_context(|| format!("no {path}"))? = value,
    }
    Ok(())
}

/// Takes a value away.
pub(crate) fn unset(document: &mut Value, path: &str) -> anyhow::Result<()> {
    let (parent, last) = parent(document, path)?;
    if let Some((list, _)) = last.split_once('[') {
        let found = step(parent, last).map(|it| it.clone());
        let list = parent.get_mut(list).and_then(Value::as_array_mut);
        let (list, found) = list.zip(found).with_context(|| format!("no {path}"))?;
        list.retain(|it| *it != found);
        return Ok(());
    }
    let fields = parent.as_object_mut();
    let removed = fields.and_then(|fields| fields.remove(last));
    removed.map(drop).with_context(|| format!("no {path}"))
}

/// Renames every string that is `from`; gives their number.
pub(crate) fn rename(document: &mut Value, from: &str, to: &str) -> usize {
    match document {
        Value::String(text) if text == from => {
            *text = to.into();
            1
        }
        Value::Array(values) => values.iter_mut().map(|it| rename(it, from, to)).sum(),
        Value::Object(fields) => fields.values_mut().map(|it| rename(it, from, to)).sum(),
        _ => 0,
    }
}

/// Makes a number the last of the float32 in Base64 there.
pub(crate) fn set_last_f32(document: &mut Value, path: &str, number: f32) -> anyhow::Result<()> {
    let place = place(document, path).with_context(|| format!("no {path}"))?;
    let mut bytes = STANDARD.decode(place.as_str().context("no text")?)?;
    ensure!(bytes.len() >= 4, "no number in {path}");
    bytes.truncate(bytes.len() - 4);
    bytes.extend(number.to_le_bytes());
    *place = STANDARD.encode(bytes).into();
    Ok(())
}

/// What a path is in, and its last step.
fn parent<'a, 'p>(
    document: &'a mut Value,
    path: &'p str,
) -> anyhow::Result<(&'a mut Value, &'p str)> {
    let (parent, last) = path
        .rsplit_once('/')
        .with_context(|| format!("{path}: no `/`"))?;
    let parent = place(document, parent).with_context(|| format!("no {parent}"))?;
    Ok((parent, last))
}

fn place<'a>(document: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    let mut steps = path.split('/').skip(1);
    steps.try_fold(document, |value, name| step(value, name))
}

fn step<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    let Some((name, selector)) = name.split_once('[') else {
        return match value {
            Value::Array(values) => values.get_mut(name.parse::<usize>().ok()?),
            value => value.get_mut(name),
        };
    };
    let (field, wanted) = selector.strip_suffix(']')?.split_once('=')?;
    let values = value.get_mut(name)?.as_array_mut()?;
    values.iter_mut().find(|it| match &it[field] {
        Value::Array(values) => values.iter().any(|it| it == wanted),
        value => value == wanted,
    })
}
