//! The format of PyTorch before 1.6, which transformers' older checkpoints have: pickles after
//! one another, then the storages.
//!
//! The pickles are a magic number, a version, a dict about the machine, the tensors, and the
//! keys of the storages in their order; each storage is a count of 64 bits and its values.

use super::cursor::Cursor;
use super::machine::{self, Objects, Value};
use super::{ENTRIES_MAX, PickleError, shown};
use bytes::Bytes;
use safetensors::Dtype;
use std::collections::HashMap;

/// The number of the first pickle, as `LONG1` has it.
const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// The number of the second.
const VERSION: i64 = 1001;

/// A file of that format, up to its tensors.
pub(super) struct Stream<'a> {
    file: &'a Bytes,
    pub(super) objects: Objects<'a>,
    /// Where the storages' keys begin.
    rest: usize,
}

/// Whether that is such a file. A frame may stand between the protocol and the magic.
pub(super) fn is_stream(file: &[u8]) -> bool {
    let start = file.get(..32).unwrap_or(file);
    start.windows(MAGIC.len()).any(|it| it == MAGIC)
}

impl<'a> Stream<'a> {
    pub(super) fn open(file: &'a Bytes) -> Result<Self, PickleError> {
        let mut at = 0;
        let mut next = || -> Result<Objects<'a>, PickleError> {
            let (objects, length) = machine::run_first(file, at)?;
            at = length;
            Ok(objects)
        };
        next()?;
        let version = next()?;
        if !matches!(version.get(version.top), Value::Int(VERSION)) {
            return Err(PickleError::Version);
        }
        check_byte_order(&next()?)?;
        let objects = next()?;
        Ok(Self {
            file,
            objects,
            rest: at,
        })
    }

    /// The bytes of each storage by its key.
    pub(super) fn storages(&self) -> Result<HashMap<String, Bytes>, PickleError> {
        let widths = self.widths();
        let (keys, at) = machine::run_first(self.file, self.rest)?;
        let bytes = self.file.get(at..).unwrap_or_default();
        let mut cursor = Cursor::new(bytes);
        let mut storages = HashMap::new();
        for key in texts(&keys).ok_or(PickleError::Keys)? {
            let width = widths.get(key).ok_or_else(|| missing(key))?;
            let values = cursor.number(8).and_then(|count| {
                let length = usize::try_from(count).ok()?.checked_mul(*width)?;
                cursor.take(length)
            });
            let values = values.ok_or_else(|| PickleError::Cut { key: shown(key) })?;
            if storages
                .insert(key.to_owned(), self.file.slice_ref(values))
                .is_some()
            {
                return Err(PickleError::Twice { name: shown(key) });
            }
        }
        match cursor.is_at_end() {
            true => Ok(storages),
            false => Err(PickleError::Malformed {
                at: at.saturating_add(cursor.at()),
                problem: "bytes after the last storage",
            }),
        }
    }

    /// The bytes of a value of each storage that the tensors name.
    fn widths(&self) -> HashMap<&'a str, usize> {
        let storages = self.objects.storages();
        let width = |dtype: Dtype| dtype.bitsize().div_ceil(8);
        storages.map(|it| (it.key, width(it.dtype))).collect()
    }
}

fn missing(key: &str) -> PickleError {
    PickleError::Missing { name: shown(key) }
}

/// Refuses what a big-endian machine wrote.
fn check_byte_order(system: &Objects<'_>) -> Result<(), PickleError> {
    let Value::Dict { items, .. } = system.get(system.top) else {
        return Err(PickleError::Version);
    };
    let is = |[key, value]: &[machine::Id; 2]| {
        matches!(system.get(*key), Value::Text("little_endian"))
            && matches!(system.get(*value), Value::Bool(true))
    };
    match items.iter().any(is) {
        true => Ok(()),
        false => Err(PickleError::ByteOrder { got: "big".into() }),
    }
}

/// The texts of a list.
fn texts<'o>(objects: &'o Objects<'_>) -> Option<Vec<&'o str>> {
    let Value::List(items) = objects.get(objects.top) else {
        return None;
    };
    if u64::try_from(items.len()).ok()? > ENTRIES_MAX {
        return None;
    }
    let text = |id: &machine::Id| match objects.get(*id) {
        Value::Text(text) => Some(*text),
        _ => None,
    };
    items.iter().map(text).collect()
}
