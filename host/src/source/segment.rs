//! The module's own payload segment.
//!
//! A guest cannot read its own module, but the host puts the module's active data segments into
//! its memory. Where that of the payload is, only the builder knows: this base exports a function
//! with a body for "no payload", and the builder replaces the body with the address and the
//! length.

use anyhow::ensure;
use encoderfile::source::{ReadError, Source, checked_range};
use std::hint::black_box;
use std::slice;

/// Where the payload is: its address in the upper half, its length in bytes in the lower one; 0
/// without one. Replaced by the builder.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn encoderfile_payload() -> u64 {
    // Opaque, so that no caller is compiled on the strength of it.
    black_box(0)
}

/// The payload segment of this module.
pub(super) fn own() -> anyhow::Result<Segment> {
    let place = black_box(encoderfile_payload as extern "C" fn() -> u64)();
    let length = usize::try_from(place & u64::from(u32::MAX))?;
    let address = usize::try_from(place >> 32)?;
    ensure!(
        length > 0,
        "it carries no model; build one onto it, or use --payload FILE"
    );
    // SAFETY: the builder has made the memory larger by these pages than the program was linked
    // for, so that neither stack nor statics are there, and the heap grows behind them. Nobody
    // writes to them.
    let bytes = unsafe { slice::from_raw_parts(address as *const u8, length) };
    Ok(Segment(bytes))
}

pub(super) struct Segment(&'static [u8]);

impl Source for Segment {
    fn len(&self) -> u64 {
        Source::len(self.0)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.0.read_at(offset, buffer)
    }

    fn mapped(&self, offset: u64, length: u64) -> Option<&[u8]> {
        let range = checked_range(offset, length, Source::len(self.0)).ok()?;
        self.0
            .get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
    }
}
