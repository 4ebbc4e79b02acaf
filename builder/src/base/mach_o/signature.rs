//! Ad-hoc code signatures: a superblob with a code directory alone, as linkers write it. Its
//! numbers are big endian.

use sha2::{Digest, Sha256};
use std::io::{self, Write};

const EMBEDDED_SIGNATURE: u32 = 0xfade_0cc0;
const CODE_DIRECTORY: u32 = 0xfade_0c02;
/// With the code segment's place.
const VERSION: u32 = 0x2_0400;
/// `CS_ADHOC | CS_LINKER_SIGNED`: `codesign` replaces it unasked.
const FLAGS: u32 = 0x2_0002;
/// `CS_EXECSEG_MAIN_BINARY`.
const MAIN_BINARY: u64 = 1;
const SHA256: u8 = 2;
const HASH_LEN: u8 = 32;
/// The logarithm of the bytes that have a hash together.
const PAGE_BITS: u8 = 12;
const PAGE_LEN: usize = 1 << PAGE_BITS;

/// Of superblob, its one entry, and the code directory before its hashes.
const SUPERBLOB_LEN: u32 = 20;
const DIRECTORY_LEN: u32 = 88;
const IDENTIFIER: [u8; 12] = *b"encoderfile\0";
/// From the code directory's start.
const HASHES: u32 = DIRECTORY_LEN + 12;

/// How long the signature of so many bytes is.
pub(super) fn signature_len(signed: u64) -> u64 {
    let hashes = signed.div_ceil(PAGE_LEN as u64) * u64::from(HASH_LEN);
    u64::from(SUPERBLOB_LEN + HASHES) + hashes
}

/// Passes on what is written, and hashes its pages.
pub(super) struct Signed<'a> {
    out: &'a mut dyn Write,
    page: Sha256,
    /// How much of a page has been written.
    filled: usize,
    hashes: Vec<u8>,
}

impl<'a> Signed<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self {
            out,
            page: Sha256::new(),
            filled: 0,
            hashes: Vec::new(),
        }
    }

    fn end_page(&mut self) {
        self.hashes.extend(self.page.finalize_reset());
        self.filled = 0;
    }

    /// Writes the signature of all that was written: `signed` bytes, with the code segment from
    /// one byte to another.
    pub(super) fn finish(mut self, signed: u64, text: (u64, u64)) -> anyhow::Result<()> {
        if self.filled > 0 {
            self.end_page();
        }
        let hashes = self.hashes.len() / usize::from(HASH_LEN);
        let length = u32::try_from(signature_len(signed))?;
        let mut blob = Vec::new();
        put(&mut blob, &[EMBEDDED_SIGNATURE, length, 1]);
        // The entry: of kind 0, a code directory, after this.
        put(&mut blob, &[0, SUPERBLOB_LEN]);
        let length = length - SUPERBLOB_LEN;
        put(&mut blob, &[CODE_DIRECTORY, length, VERSION, FLAGS]);
        put(&mut blob, &[HASHES, DIRECTORY_LEN, 0]);
        put(&mut blob, &[u32::try_from(hashes)?, u32::try_from(signed)?]);
        blob.extend([HASH_LEN, SHA256, 0, PAGE_BITS]);
        // Reserved, no scatter vector, no team, reserved; the limit in 64 bits, which the
        // one in 32 makes needless.
        put(&mut blob, &[0, 0, 0, 0, 0, 0]);
        for number in [text.0, text.1 - text.0, MAIN_BINARY] {
            blob.extend(number.to_be_bytes());
        }
        blob.extend(IDENTIFIER);
        self.out.write_all(&blob)?;
        Ok(self.out.write_all(&self.hashes)?)
    }
}

impl Write for Signed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = bytes.len().min(PAGE_LEN - self.filled);
        let part = &bytes[..written];
        self.out.write_all(part)?;
        self.page.update(part);
        self.filled += written;
        if self.filled == PAGE_LEN {
            self.end_page();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn put(blob: &mut Vec<u8>, numbers: &[u32]) {
    blob.extend(numbers.iter().flat_map(|it| it.to_be_bytes()));
}
