//! The end of a WebAssembly component. A component's last sections connect its core modules, so that
//! the module that carries the payload cannot be its end; a custom section behind all others says
//! where in the file the payload is. What wasmtime compiles ahead, a component or a module, has the
//! payload among its data too, and the same bytes behind it.

use super::executable::bytes_at;
use crate::source::{Source, checked_range};
use std::ops::Range;

/// The first bytes of every component: `\0asm`, version 13, layer 1.
pub const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// The name of the custom section, whose content is a [`Locator`].
pub const SECTION: &str = "encoderfile";

/// The bytes of a locator, with which a component ends.
pub const LOCATOR_LEN: usize = 32;

/// What begins a locator.
const MAGIC: [u8; 8] = *b"ENCPLACE";

/// The version of the locator.
const VERSION: u64 = 1;

/// Where the payload is: the last 32 bytes of a component, or of what was compiled ahead, little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locator {
    /// Of its first byte, from the start of the file.
    pub offset: u64,
    /// In bytes, its footer included.
    pub length: u64,
}

impl Locator {
    /// As it is written.
    pub fn to_bytes(self) -> [u8; LOCATOR_LEN] {
        let mut bytes = [0; LOCATOR_LEN];
        let numbers = [VERSION, self.offset, self.length].map(u64::to_le_bytes);
        let all = MAGIC.iter().chain(numbers.iter().flatten());
        for (byte, value) in bytes.iter_mut().zip(all) {
            *byte = *value;
        }
        bytes
    }

    /// Reads a locator; `None` for other bytes, and of another version.
    pub fn parse(bytes: &[u8; LOCATOR_LEN]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk::<8>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let length = rest.first_chunk::<8>()?;
        let is_known = *magic == MAGIC && u64::from_le_bytes(*version) == VERSION;
        is_known.then(|| Self {
            offset: u64::from_le_bytes(*offset),
            length: u64::from_le_bytes(*length),
        })
    }
}

/// Where the payload of such a file is; `None` where it does not say so, or a place that is not within
/// it.
pub fn payload(source: &dyn Source) -> Option<Range<u64>> {
    let end = source.len().checked_sub(LOCATOR_LEN as u64)?;
    let locator = Locator::parse(&bytes_at(source, end)?)?;
    checked_range(locator.offset, locator.length, end).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locator_is_read_as_it_was_written() {
        let locator = Locator {
            offset: 7,
            length: 1 << 33,
        };
        let mut bytes = locator.to_bytes();
        assert_eq!(Locator::parse(&bytes), Some(locator));
        bytes[8] = 2;
        assert_eq!(Locator::parse(&bytes), None);
    }

    #[test]
    fn a_place_outside_the_file_is_none() {
        for (offset, length, found) in [
            (8, 4, Some(8..12)),
            (8, 0, Some(8..8)),
            (8, 5, None),
            (13, 0, None),
            (u64::MAX, 8, None),
        ] {
            let mut file = COMPONENT.to_vec();
            file.extend([0; 4]);
            file.extend(Locator { offset, length }.to_bytes());
            assert_eq!(payload(&file), found, "{offset}, {length}");
        }
    }
}
