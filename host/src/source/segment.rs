//! The module's own payload segment.
//!
//! A guest cannot read its own module, but it can copy out of a passive data
//! segment. Which one it is, only the builder knows: this base exports two
//! functions with a body for "no payload", and the builder replaces the bodies
//! with "the payload's length" and "`memory.init` of the last segment".

use anyhow::ensure;
use encoderfile::source::{ReadError, Source, checked_range};
use std::hint::black_box;

/// The payload's length in bytes; 0 without one. Replaced by the builder.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn encoderfile_payload_len() -> u32 {
    // Opaque, so that no caller is compiled on the strength of it.
    black_box(0)
}

/// Copies `len` bytes of the payload from `offset` to `destination`. Replaced
/// by the builder.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn encoderfile_payload_read(destination: *mut u8, offset: u32, len: u32) {
    black_box((destination, offset, len));
}

/// The payload segment of this module.
pub(super) fn own() -> anyhow::Result<Segment> {
    let length = black_box(encoderfile_payload_len as extern "C" fn() -> u32)();
    ensure!(
        length > 0,
        "it carries no model; build one onto it, or use --payload FILE"
    );
    Ok(Segment { length })
}

pub(super) struct Segment {
    length: u32,
}

impl Source for Segment {
    fn len(&self) -> u64 {
        u64::from(self.length)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let range = checked_range(offset, buffer.len() as u64, self.len())?;
        let read = black_box(encoderfile_payload_read as extern "C" fn(*mut u8, u32, u32));
        read(
            buffer.as_mut_ptr(),
            u32::try_from(range.start)?,
            u32::try_from(buffer.len())?,
        );
        Ok(())
    }
}
