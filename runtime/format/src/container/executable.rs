//! Where a payload ends: at the end of the file, but before what the format of an executable
//! has to have there, and in a Mach-O file where its segment says.
//!
//! A Mach-O file is valid only if its link-edit data, with the code signature, are its end; the
//! payload is the section `__payload` of the segment `__ENCODERFILE` before them, so that the
//! signature covers it. A PE file may get an Authenticode signature later: the certificate
//! table at its end, which covers all before it. ELF files and wasm modules end where the
//! payload ends; a component says at its end where it is, and so does the ELF file that wasmtime makes of a
//! component or a module ([`component`]). The archive of a container image has it in its last layer ([`archive`]), and a
//! Python wheel as a file of its own ([`wheel`]).

use super::{ContainerError, FOOTER_LEN, Footer, archive, component, wheel};
use crate::source::{Source, checked_range};
use std::ops::Range;

/// `MH_MAGIC_64`, little endian.
const MACH_O: [u8; 4] = [0xcf, 0xfa, 0xed, 0xfe];
const MACH_O_HEADER_LEN: usize = 32;

/// `LC_SEGMENT_64`: the command, its length, and the segment's name begin it.
pub const LC_SEGMENT_64: u32 = 0x19;
/// The bytes of `LC_SEGMENT_64` before its sections.
pub const SEGMENT_LEN: usize = 72;
/// The bytes of one section of `LC_SEGMENT_64`.
pub const SECTION_LEN: usize = 80;

/// The segment of a Mach-O file that holds the payload alone.
pub const SEGMENT: [u8; 16] = *b"__ENCODERFILE\0\0\0";
/// Its section, which says where the payload begins and how long it is.
pub const SECTION: [u8; 16] = *b"__payload\0\0\0\0\0\0\0";

/// Load commands of more bytes than any real file has are not read.
const COMMANDS_LEN_MAX: usize = 32 << 10;

/// `IMAGE_DIRECTORY_ENTRY_SECURITY`: the certificate table.
const SECURITY: u64 = 4;
const PE32_PLUS: u16 = 0x20b;
/// Certificates begin at a multiple of this, after zeros.
const CERTIFICATE_ALIGNMENT: u64 = 8;

/// What of a file is a payload, or ends with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Where the payload must begin, if the executable says so.
    pub(super) start: Option<u64>,
    /// The offset after the payload's last byte.
    pub(super) end: u64,
}

/// Where the payload of a file is. A file that is no executable, or a damaged one, has it at
/// its end, where it will not be found.
pub(super) fn extent(source: &dyn Source) -> Result<Extent, ContainerError> {
    let at_end = Extent {
        start: None,
        end: source.len(),
    };
    if bytes_at(source, 0) == Some(component::COMPONENT) {
        return Ok(within(source, component::payload).unwrap_or(at_end));
    }
    match bytes_at(source, 0) {
        Some(MACH_O) => Ok(mach_o(source)?.unwrap_or(at_end)),
        Some([b'M', b'Z', ..]) => Ok(before_certificates(source).unwrap_or(at_end)),
        // One that wasmtime has compiled is not to be changed, and says it behind its end.
        Some([0x7f, b'E', b'L', b'F']) => Ok(within(source, component::payload).unwrap_or(at_end)),
        Some([b'P', b'K', ..]) => Ok(within(source, wheel::payload).unwrap_or(at_end)),
        _ => Ok(within(source, archive::payload).unwrap_or(at_end)),
    }
}

/// In an archive, if what is found there is a payload.
fn within(source: &dyn Source, find: impl Fn(&dyn Source) -> Option<Range<u64>>) -> Option<Extent> {
    let Range { start, end } = find(source)?;
    let start = Some(start);
    let footer = bytes_at::<FOOTER_LEN>(source, end.checked_sub(FOOTER_LEN as u64)?)?;
    Footer::parse(&footer).map(|_| Extent { start, end })
}

pub(super) fn bytes_at<const LEN: usize>(source: &dyn Source, offset: u64) -> Option<[u8; LEN]> {
    let mut bytes = [0; LEN];
    source.read_at(offset, &mut bytes).ok()?;
    Some(bytes)
}

/// A load command of a Mach-O file.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    /// `LC_…`.
    pub kind: u32,
    /// From the start of the file.
    pub offset: usize,
    /// All of it, the eight bytes of kind and length first.
    pub bytes: &'a [u8],
}

impl Command<'_> {
    /// The number at a byte offset into it.
    pub fn u32(&self, at: usize) -> Option<u32> {
        u32_at(self.bytes, at)
    }

    /// The number at a byte offset into it.
    pub fn u64(&self, at: usize) -> Option<u64> {
        u64_at(self.bytes, at)
    }

    /// The name of a segment.
    pub fn segment(&self) -> Option<[u8; 16]> {
        let name = self.bytes.get(8..)?.first_chunk::<16>()?;
        (self.kind == LC_SEGMENT_64 && self.bytes.len() >= SEGMENT_LEN).then_some(*name)
    }
}

/// Whether a file begins as 64-bit Mach-O files do.
pub fn is_mach_o(bytes: &[u8]) -> bool {
    bytes.starts_with(&MACH_O)
}

/// The load commands of a Mach-O file, of which `bytes` are at least the first, up to the
/// end of the commands; `None` if they are not what the header says.
pub fn load_commands(bytes: &[u8]) -> Option<Vec<Command<'_>>> {
    let (count, length) = (u32_at(bytes, 16)?, u32_at(bytes, 20)?);
    let length = usize::try_from(length).ok()?;
    let length = Some(length).filter(|it| *it <= COMMANDS_LEN_MAX)?;
    let mut rest = bytes.get(MACH_O_HEADER_LEN..)?.get(..length)?;
    let mut commands = Vec::new();
    let mut offset = MACH_O_HEADER_LEN;
    for _ in 0..count {
        let (kind, length) = (u32_at(rest, 0)?, u32_at(rest, 4)?);
        let length = usize::try_from(length).ok().filter(|it| *it >= 8)?;
        let (bytes, others) = rest.split_at_checked(length)?;
        commands.push(Command {
            kind,
            offset,
            bytes,
        });
        rest = others;
        offset = offset.checked_add(length)?;
    }
    Some(commands)
}

/// The payload's section, if there is its segment.
fn mach_o(source: &dyn Source) -> Result<Option<Extent>, ContainerError> {
    let header = header(source);
    let Some(commands) = header.as_deref().and_then(load_commands) else {
        return Err(ContainerError::Segment {
            offset: MACH_O_HEADER_LEN as u64,
            problem: "the load commands are not as many, or as long, as the header says",
        });
    };
    let mut segments = commands.iter();
    let Some(segment) = segments.find(|it| it.segment() == Some(SEGMENT)) else {
        return Ok(None);
    };
    let fail = |problem: &'static str| ContainerError::Segment {
        offset: segment.offset as u64,
        problem,
    };
    let section = segment.bytes.get(SEGMENT_LEN..).unwrap_or_default();
    let is_alone = segment.u32(64) == Some(1) && section.len() == SECTION_LEN;
    if !is_alone || section.first_chunk() != Some(&SECTION) {
        return Err(fail("it does not have the one section `__payload`"));
    }
    let place = u32_at(section, 48).zip(u64_at(section, 40));
    let within = place
        .and_then(|(offset, length)| checked_range(u64::from(offset), length, source.len()).ok());
    let within = within.ok_or_else(|| fail("the section `__payload` is not within the file"))?;
    Ok(Some(Extent {
        start: Some(within.start),
        end: within.end,
    }))
}

/// The header of a Mach-O file with its load commands, if they can be read.
fn header(source: &dyn Source) -> Option<Vec<u8>> {
    let header: [u8; MACH_O_HEADER_LEN] = bytes_at(source, 0)?;
    let length = usize::try_from(u32_at(&header, 20)?).ok()?;
    let length = length.min(COMMANDS_LEN_MAX).checked_add(header.len())?;
    let mut bytes = vec![0; length];
    source.read_at(0, &mut bytes).ok()?;
    Some(bytes)
}

/// Before the certificate table, if it is the end of a PE file: signing adds it, and zeros
/// before it.
fn before_certificates(source: &dyn Source) -> Option<Extent> {
    let certificates = certificates(source)?;
    let footer_len = FOOTER_LEN as u64;
    (0..CERTIFICATE_ALIGNMENT).find_map(|zeros| {
        let end = certificates.checked_sub(zeros)?;
        let footer = bytes_at::<FOOTER_LEN>(source, end.checked_sub(footer_len)?)?;
        Footer::parse(&footer).map(|_| Extent { start: None, end })
    })
}

/// The offset of the certificate table, if it ends where the file ends.
fn certificates(source: &dyn Source) -> Option<u64> {
    let signature = u64::from(u32::from_le_bytes(bytes_at(source, 0x3c)?));
    let is_pe = bytes_at(source, signature)? == *b"PE\0\0";
    // After the signature, and the COFF header of 20 bytes.
    let optional = signature.checked_add(24)?;
    let magic = u16::from_le_bytes(bytes_at(source, optional)?);
    let count = u32::from_le_bytes(bytes_at(source, optional.checked_add(108)?)?);
    if !is_pe || magic != PE32_PLUS || u64::from(count) <= SECURITY {
        return None;
    }
    let entry: [u8; 8] = bytes_at(source, optional.checked_add(112 + 8 * SECURITY)?)?;
    let (offset, length) = (u32_at(&entry, 0)?, u32_at(&entry, 4)?);
    let end = u64::from(offset).checked_add(u64::from(length))?;
    (length > 0 && end == source.len()).then_some(u64::from(offset))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}
