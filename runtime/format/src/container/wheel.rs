//! Where the payload of a wheel is: in the file `model.ef` of a package in a zip archive, where it is
//! stored as it is. Archives of 4 GB and more have other fields, which are not read.

use super::executable::bytes_at;
use crate::source::{Source, checked_range};
use std::ops::Range;

/// How a file begins that is an archive, and within it the header of each file.
const LOCAL: [u8; 4] = *b"PK\x03\x04";
const LOCAL_LEN: usize = 30;

/// What ends an archive without a comment, and says where the list of its files is.
const END: [u8; 4] = *b"PK\x05\x06";
const END_LEN: usize = 22;

/// Of a file in the list, before its name.
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const ENTRY_LEN: usize = 46;

/// A wheel of ours has six files.
const ENTRIES_MAX: u64 = 64;

const NAME: [u8; 9] = *b"/model.ef";

/// Whether a file begins as zip archives do.
pub fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(&LOCAL)
}

/// The first file of that name.
pub(super) fn payload(source: &dyn Source) -> Option<Range<u64>> {
    let end: [u8; END_LEN] = bytes_at(source, source.len().checked_sub(END_LEN as u64)?)?;
    if !end.starts_with(&END) {
        return None;
    }
    let mut offset = number::<4>(&end, 16)?;
    for _ in 0..number::<2>(&end, 10)?.min(ENTRIES_MAX) {
        let entry: [u8; ENTRY_LEN] = bytes_at(source, offset)?;
        if !entry.starts_with(&ENTRY) {
            return None;
        }
        let name_end = sum([offset, ENTRY_LEN as u64, number::<2>(&entry, 28)?])?;
        let ending = name_end.checked_sub(NAME.len() as u64)?;
        if bytes_at(source, ending)? == NAME {
            return content(source, &entry);
        }
        offset = sum([name_end, number::<2>(&entry, 30)?, number::<2>(&entry, 32)?])?;
    }
    None
}

/// What is stored of an entry, if it is stored as it is.
fn content(source: &dyn Source, entry: &[u8; ENTRY_LEN]) -> Option<Range<u64>> {
    let is_stored = number::<2>(entry, 10)? == 0;
    let offset = number::<4>(entry, 42)?;
    let local: [u8; LOCAL_LEN] = bytes_at(source, offset)?;
    if !is_stored || !local.starts_with(&LOCAL) {
        return None;
    }
    let names = [number::<2>(&local, 26)?, number::<2>(&local, 28)?];
    let start = sum([offset, LOCAL_LEN as u64, sum(names)?])?;
    checked_range(start, number::<4>(entry, 24)?, source.len()).ok()
}

fn sum<const N: usize>(numbers: [u64; N]) -> Option<u64> {
    numbers.into_iter().try_fold(0, u64::checked_add)
}

/// `LEN` bytes at an offset, little endian.
fn number<const LEN: usize>(bytes: &[u8], offset: usize) -> Option<u64> {
    let field = bytes.get(offset..)?.first_chunk::<LEN>()?;
    let digits = field.iter().rev();
    Some(digits.fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
