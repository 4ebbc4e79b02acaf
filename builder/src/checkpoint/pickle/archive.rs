//! The entries of a zip archive, from its central directory: which bytes of the file each is.
//!
//! `torch.save` stores them uncompressed, so that an entry is a slice. The `zip` crate without
//! its features is 27,000 lines and three more crates, for streams that are not needed here.
//! Checksums are not compared: PyTorch can be told not to write them, and a model is checked by
//! its golden cases.

use super::cursor::Cursor;
use super::{ENTRIES_MAX, NAME_LEN_MAX, PickleError, shown};
use bytes::Bytes;
use std::collections::HashMap;

/// Starts the file, as the header of its first entry.
const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const ZIP64_END: &[u8] = b"PK\x06\x06";
const ZIP64_LOCATOR: &[u8] = b"PK\x06\x07";

/// The end of the directory without its comment, which has up to 65,535 bytes.
const END_LEN: usize = 22;
const COMMENT_LEN_MAX: usize = 0xffff;
const ZIP64_LOCATOR_LEN: usize = 20;

/// The extra field with what does not fit into 32 bits.
const ZIP64_EXTRA: u64 = 1;

/// Stands for a number that is in a field of 64 bits.
const IN_ZIP64: u64 = 0xffff_ffff;
const ENTRIES_IN_ZIP64: u64 = 0xffff;

/// The entries of a file.
pub(super) struct Archive<'a> {
    file: &'a Bytes,
    /// Which all names of PyTorch start with: that of the file it was saved as.
    folder: &'a str,
    entries: HashMap<&'a str, Entry>,
}

/// What the directory says of an entry.
struct Entry {
    /// Neither compressed nor encrypted.
    is_plain: bool,
    /// Of its header in the file.
    header: u64,
    length: u64,
}

/// What the end of the directory says of it.
struct Directory {
    entries: u64,
    length: u64,
    start: u64,
}

fn broken(at: usize, problem: &'static str) -> PickleError {
    PickleError::Zip { at, problem }
}

impl<'a> Archive<'a> {
    pub(super) fn open(file: &'a Bytes) -> Result<Self, PickleError> {
        if !file.starts_with(LOCAL) {
            return Err(PickleError::NotZip);
        }
        let directory = Directory::find(file)?;
        if directory.entries > ENTRIES_MAX {
            let got = directory.entries;
            return Err(PickleError::Entries { got });
        }
        let bytes = slice(file, directory.start, directory.length)
            .ok_or_else(|| broken(file.len(), "a directory that is not in the file"))?;
        let mut cursor = Cursor::new(bytes);
        let mut archive = Self {
            file,
            folder: "",
            entries: HashMap::new(),
        };
        for index in 0..directory.entries {
            let at = offset(directory.start, cursor.at());
            let (name, entry) =
                entry(&mut cursor).ok_or_else(|| broken(at, "a directory that is malformed"))?;
            if index == 0 {
                archive.folder = name.split_once('/').map_or("", |(folder, _)| folder);
            }
            if archive.entries.insert(name, entry).is_some() {
                let name = shown(name);
                return Err(PickleError::Twice { name });
            }
        }
        if cursor.is_at_end() {
            return Ok(archive);
        }
        let at = offset(directory.start, cursor.at());
        Err(broken(at, "a directory that is longer than its entries"))
    }

    /// The bytes of an entry of PyTorch: `data.pkl`, or `data/0`.
    pub(super) fn entry(&self, name: &str) -> Result<Bytes, PickleError> {
        let name = format!("{}/{name}", self.folder);
        self.find(&name)?
            .ok_or_else(|| PickleError::Missing { name: shown(&name) })
    }

    /// Refuses what a big-endian machine wrote. PyTorch before 2.1 says nothing of it.
    pub(super) fn check_byte_order(&self) -> Result<(), PickleError> {
        match self.find(&format!("{}/byteorder", self.folder))? {
            Some(order) if &*order != b"little" => Err(PickleError::ByteOrder {
                got: shown(&String::from_utf8_lossy(&order)),
            }),
            _ => Ok(()),
        }
    }

    fn find(&self, name: &str) -> Result<Option<Bytes>, PickleError> {
        let Some(entry) = self.entries.get(name) else {
            return Ok(None);
        };
        if !entry.is_plain {
            let name = shown(name);
            return Err(PickleError::Compressed { name });
        }
        let bytes = entry.bytes(name, self.file).ok_or_else(|| {
            let at = offset(entry.header, 0);
            broken(at, "an entry that is not as the directory says")
        })?;
        Ok(Some(self.file.slice_ref(bytes)))
    }
}

impl Entry {
    /// Its bytes, which follow a header that has the name again.
    fn bytes<'a>(&self, name: &str, file: &'a [u8]) -> Option<&'a [u8]> {
        let start = usize::try_from(self.header).ok()?;
        let mut cursor = Cursor::new(file.get(start..)?);
        let signature = cursor.take(LOCAL.len())?;
        cursor.take(22)?;
        let name_length = usize::try_from(cursor.number(2)?).ok()?;
        let extra_length = usize::try_from(cursor.number(2)?).ok()?;
        let is_same = signature == LOCAL && cursor.take(name_length)? == name.as_bytes();
        cursor.take(extra_length)?;
        cursor
            .take(usize::try_from(self.length).ok()?)
            .filter(|_| is_same)
    }
}

impl Directory {
    /// Reads the end of the directory, which is the end of the file.
    fn find(file: &[u8]) -> Result<Self, PickleError> {
        let missing = || broken(file.len(), "no end of the directory: the file is cut short");
        let end = find_end(file).ok_or_else(missing)?;
        let directory = file.get(end..).and_then(Self::read).ok_or_else(missing)?;
        let is_zip64 = directory.entries == ENTRIES_IN_ZIP64
            || directory.length == IN_ZIP64
            || directory.start == IN_ZIP64;
        if !is_zip64 {
            return Ok(directory);
        }
        let wide = file.get(..end).and_then(Self::read_zip64);
        wide.ok_or_else(|| broken(end, "no zip64 end of the directory"))
    }

    fn read(end: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(end);
        cursor.take(10)?;
        Some(Self {
            entries: cursor.number(2)?,
            length: cursor.number(4)?,
            start: cursor.number(4)?,
        })
    }

    /// What the locator at the end of these bytes leads to.
    fn read_zip64(file: &[u8]) -> Option<Self> {
        let locator = file.len().checked_sub(ZIP64_LOCATOR_LEN)?;
        let mut cursor = Cursor::new(file.get(locator..)?);
        if cursor.take(ZIP64_LOCATOR.len())? != ZIP64_LOCATOR {
            return None;
        }
        cursor.take(4)?;
        let end = usize::try_from(cursor.number(8)?).ok()?;
        let mut cursor = Cursor::new(file.get(end..locator)?);
        if cursor.take(ZIP64_END.len())? != ZIP64_END {
            return None;
        }
        cursor.take(28)?;
        Some(Self {
            entries: cursor.number(8)?,
            length: cursor.number(8)?,
            start: cursor.number(8)?,
        })
    }
}

/// Where the directory's end starts, whose comment is the rest of the file.
fn find_end(file: &[u8]) -> Option<usize> {
    let last = file.len().checked_sub(END_LEN)?;
    let first = last.saturating_sub(COMMENT_LEN_MAX);
    (first..=last).rev().find(|start| {
        let mut cursor = Cursor::new(file.get(*start..).unwrap_or_default());
        cursor.take(END.len()) == Some(END)
            && cursor.take(16).is_some()
            && cursor.counted(2).is_some()
            && cursor.is_at_end()
    })
}

/// Reads an entry of the directory.
fn entry<'a>(cursor: &mut Cursor<'a>) -> Option<(&'a str, Entry)> {
    if cursor.take(CENTRAL.len())? != CENTRAL {
        return None;
    }
    cursor.take(4)?;
    let flags = cursor.number(2)?;
    let method = cursor.number(2)?;
    cursor.take(8)?;
    let packed = cursor.number(4)?;
    let length = cursor.number(4)?;
    let name_length = usize::try_from(cursor.number(2)?).ok()?;
    let extra_length = usize::try_from(cursor.number(2)?).ok()?;
    let comment_length = usize::try_from(cursor.number(2)?).ok()?;
    cursor.take(8)?;
    let header = cursor.number(4)?;
    if name_length > NAME_LEN_MAX {
        return None;
    }
    let name = str::from_utf8(cursor.take(name_length)?).ok()?;
    let mut extra = zip64(cursor.take(extra_length)?);
    cursor.take(comment_length)?;
    // Those that do not fit are in the extra field in this order.
    let mut wide = |number| match number {
        IN_ZIP64 => extra.number(8),
        number => Some(number),
    };
    let (length, packed, header) = (wide(length)?, wide(packed)?, wide(header)?);
    let is_encrypted = flags & 1 == 1;
    let entry = Entry {
        is_plain: method == 0 && !is_encrypted && packed == length,
        header,
        length,
    };
    Some((name, entry))
}

/// The part of an extra field that is of zip64, or nothing.
fn zip64(extra: &[u8]) -> Cursor<'_> {
    let mut cursor = Cursor::new(extra);
    while let (Some(kind), Some(part)) = (cursor.number(2), cursor.counted(2)) {
        if kind == ZIP64_EXTRA {
            return Cursor::new(part);
        }
    }
    Cursor::new(&[])
}

fn slice(file: &[u8], start: u64, length: u64) -> Option<&[u8]> {
    let start = usize::try_from(start).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    file.get(start..end)
}

/// A place in the file, for an error.
fn offset(start: u64, within: usize) -> usize {
    usize::try_from(start)
        .unwrap_or(usize::MAX)
        .saturating_add(within)
}
