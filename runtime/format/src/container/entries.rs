//! Counting the entries of a message before it is decoded.
//!
//! An empty entry takes two bytes in the file and a hundred in memory, so a
//! limit on the file's length alone would not bound what decoding allocates.

use prost::encoding::{WireType, decode_key, decode_varint};

/// The fields of an encoded message: tag, and the content where it has a
/// length. Ends early where the message is malformed; decoding then says how.
pub fn fields(mut message: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, wire_type) = decode_key(&mut message).ok()?;
        let length = match wire_type {
            WireType::LengthDelimited => usize::try_from(decode_varint(&mut message).ok()?).ok()?,
            WireType::Varint => {
                decode_varint(&mut message).ok()?;
                0
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        let (content, rest) = message.split_at_checked(length)?;
        message = rest;
        Some((tag, content))
    })
}

/// The number of fields of a message.
pub fn count(message: &[u8]) -> usize {
    fields(message).count()
}

/// The content of each field with this tag.
pub(super) fn contents(message: &[u8], tag: u32) -> impl Iterator<Item = &[u8]> {
    fields(message).filter_map(move |(it, content)| (it == tag).then_some(content))
}
