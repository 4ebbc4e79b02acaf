//! Where the payload of a container image is: the last file of its last layer, which is the last
//! file of a tar archive.

use super::executable::bytes_at;
use crate::source::{Source, checked_range};
use std::ops::Range;

const BLOCK_LEN: usize = 512;

/// The archive of an image has eight entries, and a layer of ours one.
const ENTRIES_MAX: usize = 64;

/// Whether a file begins as tar archives do.
pub fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(257..).is_some_and(|it| it.starts_with(b"ustar"))
}

/// The last file of the archive that is an archive's last file.
pub(super) fn payload(source: &dyn Source) -> Option<Range<u64>> {
    let layer = last_file(source, 0..source.len())?;
    last_file(source, layer)
}

fn last_file(source: &dyn Source, archive: Range<u64>) -> Option<Range<u64>> {
    let mut last = None;
    let mut offset = archive.start;
    for _ in 0..ENTRIES_MAX {
        let content = checked_range(offset, BLOCK_LEN as u64, archive.end)
            .ok()?
            .end;
        let header: [u8; BLOCK_LEN] = bytes_at(source, offset)?;
        if header == [0; BLOCK_LEN] {
            return last;
        }
        let length = size(&header).filter(|_| is_tar(&header))?;
        let content = checked_range(content, length, archive.end).ok()?;
        offset = content.end.checked_next_multiple_of(BLOCK_LEN as u64)?;
        if matches!(header.get(156), Some(b'0' | 0)) {
            last = Some(content);
        }
    }
    None
}

/// The size of an entry: octal digits, or of large files a number of 95 bits, of which 64 are read.
fn size(header: &[u8; BLOCK_LEN]) -> Option<u64> {
    let field: &[u8; 12] = header.get(124..)?.first_chunk()?;
    if let [0x80, 0, 0, 0, number @ ..] = field {
        return Some(u64::from_be_bytes(*number));
    }
    let digits = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(digits.trim_matches([' ', '\0']), 8).ok()
}
