//! Which of a pickle's tensors are the model's: those of its dict, or of one that lies in it
//! beside what a training run keeps.

use super::machine::{Id, Objects, Tensor, Value};
use super::{PickleError, shown};
use std::collections::HashSet;

/// The keys that training programs give the model's dict.
const WRAPPERS: [&str; 2] = ["state_dict", "model"];

/// How many dicts an error names.
const NAMES_MAX: usize = 4;

/// The tensors of a model and their names, in the order of the file.
pub(super) fn find<'o>(
    objects: &'o Objects<'_>,
) -> Result<Vec<(&'o str, &'o Tensor<'o>)>, PickleError> {
    let mut seen = HashSet::new();
    let mut names = HashSet::new();
    let mut tensors = Vec::new();
    for [key, value] in choose(objects)? {
        let Value::Tensor(tensor) = objects.get(*value) else {
            if is_plain(objects, *value, &mut seen) {
                continue;
            }
            let name = text(objects, *key).map_or_else(|| "?".to_owned(), shown);
            return Err(PickleError::NotPlain { name });
        };
        let name = text(objects, *key).ok_or(PickleError::NoName)?;
        if !names.insert(name) {
            let name = shown(name);
            return Err(PickleError::SameName { name });
        }
        tensors.push((name, tensor));
    }
    Ok(tensors)
}

/// The items of the model's dict.
fn choose<'o>(objects: &'o Objects<'_>) -> Result<&'o [[Id; 2]], PickleError> {
    let top = items(objects, objects.top).ok_or(PickleError::NoTensors)?;
    let mut nested = nested(objects, top);
    if nested.iter().any(|(key, _)| WRAPPERS.contains(key)) {
        nested.retain(|(key, _)| WRAPPERS.contains(key));
    } else if has_tensor(objects, top) {
        return Ok(top);
    }
    match &*nested {
        [] => Err(PickleError::NoTensors),
        [(_, items)] => Ok(items),
        several => {
            let names = several.iter().take(NAMES_MAX).map(|(key, _)| shown(key));
            Err(PickleError::Several {
                names: names.collect(),
            })
        }
    }
}

/// The dicts in a dict that have tensors. One that is there twice is looked through once.
fn nested<'o>(objects: &'o Objects<'_>, top: &[[Id; 2]]) -> Vec<(&'o str, &'o [[Id; 2]])> {
    let mut seen = HashSet::new();
    top.iter()
        .filter(|[_, value]| seen.insert(*value))
        .filter_map(|[key, value]| Some((text(objects, *key)?, items(objects, *value)?)))
        .filter(|(_, items)| has_tensor(objects, items))
        .collect()
}

fn has_tensor(objects: &Objects<'_>, items: &[[Id; 2]]) -> bool {
    items
        .iter()
        .any(|[_, value]| matches!(objects.get(*value), Value::Tensor(_)))
}

fn items<'o>(objects: &'o Objects<'_>, id: Id) -> Option<&'o [[Id; 2]]> {
    match objects.get(id) {
        Value::Dict { items, .. } => Some(items),
        _ => None,
    }
}

fn text<'o>(objects: &'o Objects<'_>, id: Id) -> Option<&'o str> {
    match objects.get(id) {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// Whether numbers, text and what holds them are all that a value is. What was `seen` already
/// is plain, or the file is refused.
fn is_plain(objects: &Objects<'_>, value: Id, seen: &mut HashSet<Id>) -> bool {
    let mut open = vec![value];
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        match objects.get(id) {
            Value::Plain | Value::Bool(_) | Value::Int(_) | Value::Text(_) => {}
            Value::Tuple(items) | Value::List(items) => open.extend(items),
            Value::Dict { items, .. } => open.extend(items.as_flattened()),
            Value::Global(_) | Value::Storage(_) | Value::Tensor(_) => return false,
        }
    }
    true
}
