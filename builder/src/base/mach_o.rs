//! Mach-O base programs: the payload becomes a segment before the link-edit data, and the
//! whole is signed ad hoc, so that macOS runs it and `codesign` can sign it anew.
//!
//! Written as it is read: neither payload nor signature is in memory.

mod signature;
#[cfg(test)]
mod tests;

use super::{BESIDE, copy};
use anyhow::{Context, bail};
use encoderfile::container::PAYLOAD_ALIGNMENT;
use encoderfile::container::executable::{
    Command, LC_SEGMENT_64, SECTION, SECTION_LEN, SEGMENT, SEGMENT_LEN, load_commands,
};
use encoderfile::source::Source;
use signature::{Signed, signature_len};
use std::io::{self, Read, Write};

/// Pages of arm64; those of x86-64 are a quarter of it.
const PAGE_LEN: u64 = 16 << 10;

/// Where the code signature begins.
const SIGNATURE_ALIGNMENT: u64 = 16;

const LC_SYMTAB: u32 = 0x2;
const LC_DYSYMTAB: u32 = 0xb;
const LC_CODE_SIGNATURE: u32 = 0x1d;
const CODE_SIGNATURE_LEN: usize = 16;
const LC_DYLD_INFO: u32 = 0x22;
const LC_DYLD_INFO_ONLY: u32 = 0x8000_0022;
/// `linkedit_data_command`s other than the signature's: where function starts, data in code,
/// the tries and fixups of dyld, and hints to the linker are.
const LINKEDIT_DATA: [u32; 8] = [
    0x1e,        // LC_SEGMENT_SPLIT_INFO
    0x26,        // LC_FUNCTION_STARTS
    0x29,        // LC_DATA_IN_CODE
    0x2b,        // LC_DYLIB_CODE_SIGN_DRS
    0x2e,        // LC_LINKER_OPTIMIZATION_HINT
    0x36,        // LC_ATOM_INFO
    0x8000_0033, // LC_DYLD_EXPORTS_TRIE
    0x8000_0034, // LC_DYLD_CHAINED_FIXUPS
];

const LINKEDIT: [u8; 16] = *b"__LINKEDIT\0\0\0\0\0\0";
const TEXT: [u8; 16] = *b"__TEXT\0\0\0\0\0\0\0\0\0\0";

/// `VM_PROT_READ`.
const READ: u32 = 1;

/// A Mach-O program that a payload can be put into.
pub struct MachO {
    program: Vec<u8>,
    /// The file range of the link-edit data, without a signature.
    linkedit: Range,
    linkedit_address: u64,
    /// The range of the code, which the signature names.
    text: Range,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    start: u64,
    end: u64,
}

/// The places of what is written, from the start of the file.
#[derive(Clone, Copy, Debug)]
struct Layout {
    /// The length of the payload's segment, by which all link-edit data moves.
    moved: u64,
    payload: Range,
    /// The segment's end, and the start of the link-edit data.
    linkedit: u64,
    signature: u64,
    signature_len: u64,
}

impl MachO {
    /// Reads a program.
    ///
    /// # Errors
    /// A message alone, for what is no whole Mach-O program with room for one more segment.
    pub fn new(program: Vec<u8>) -> anyhow::Result<Self> {
        let commands = load_commands(&program).context("no whole Mach-O program")?;
        let segment = |name: [u8; 16]| {
            let found = commands.iter().find(|it| it.segment() == Some(name));
            found.with_context(|| format!("no segment {}", String::from_utf8_lossy(&name)))
        };
        let file_range = |command: &Command<'_>| -> anyhow::Result<Range> {
            let (start, length) = command.u64(40).zip(command.u64(48)).context("no segment")?;
            let end = start.checked_add(length);
            let end = end.filter(|it| *it <= program.len() as u64);
            let end = end.context("a segment is not within the file: it is cut short")?;
            Ok(Range { start, end })
        };
        if segment(SEGMENT).is_ok() {
            bail!("it has a payload already: it is no base program");
        }
        let last = segment(LINKEDIT)?;
        let is_last = |it: &&Command<'_>| it.kind == LC_SEGMENT_64;
        let mut linkedit = file_range(last)?;
        let at_end = commands.iter().rfind(is_last).map(|it| it.offset) == Some(last.offset)
            && linkedit.end == program.len() as u64;
        if !at_end {
            bail!("the segment __LINKEDIT is not its last, or the file does not end with it");
        }
        if let Some(signature) = commands.iter().find(|it| it.kind == LC_CODE_SIGNATURE) {
            let start = u64::from(signature.u32(8).context("no signature")?);
            if start < linkedit.start || start > linkedit.end {
                bail!("its signature is not within __LINKEDIT");
            }
            linkedit.end = start;
        }
        let text = file_range(segment(TEXT)?)?;
        let linkedit_address = last.u64(24).context("no segment")?;
        // No address of 4 GiB more overflows.
        if linkedit_address > u64::MAX >> 1 {
            bail!("the segment __LINKEDIT is at no address of a program");
        }
        let base = Self {
            linkedit,
            linkedit_address,
            text,
            program,
        };
        // That there is room, and that everything can be moved.
        base.header(&base.layout(0)?)?;
        Ok(base)
    }

    /// The program alone.
    pub fn bytes(&self) -> &[u8] {
        &self.program
    }

    /// The length of what [`MachO::write_with`] writes of so many bytes of payload.
    ///
    /// # Errors
    /// A message alone, for more than a Mach-O file can say.
    pub fn length_with(&self, payload: u64) -> anyhow::Result<u64> {
        let layout = self.layout(payload)?;
        Ok(layout.signature + layout.signature_len)
    }

    /// Writes the program with a payload in it, signed.
    ///
    /// # Errors
    /// Those of `out`, and a message alone for a payload of more than a Mach-O file can say.
    pub fn write_with(&self, payload: &dyn Source, out: &mut dyn Write) -> anyhow::Result<()> {
        let layout = self.layout(payload.len())?;
        let header = self.header(&layout)?;
        let mut out = Signed::new(out);
        out.write_all(&header)?;
        out.write_all(&self.program[header.len()..bounded(self.linkedit.start)])?;
        pad(&mut out, layout.payload.start - self.linkedit.start)?;
        copy(payload, &mut out)?;
        pad(&mut out, layout.linkedit - layout.payload.end)?;
        let linkedit = &self.program[bounded(self.linkedit.start)..bounded(self.linkedit.end)];
        out.write_all(linkedit)?;
        let end = self.linkedit.end + layout.moved;
        pad(&mut out, layout.signature - end)?;
        out.finish(layout.signature, (self.text.start, self.text.end))
    }

    fn layout(&self, payload: u64) -> anyhow::Result<Layout> {
        let layout = || {
            let start = self.linkedit.start;
            let begin = start.checked_next_multiple_of(PAYLOAD_ALIGNMENT)?;
            let end = begin.checked_add(payload)?;
            // As far from a page's start as before.
            let length = end.checked_sub(start)?.checked_next_multiple_of(PAGE_LEN)?;
            let signature = self.linkedit.end.checked_add(length)?;
            let signature = signature.checked_next_multiple_of(SIGNATURE_ALIGNMENT)?;
            let signature_len = signature_len(signature);
            // All that is said of them are 32 bits.
            u32::try_from(signature.checked_add(signature_len)?).ok()?;
            Some(Layout {
                moved: length,
                payload: Range { start: begin, end },
                linkedit: start + length,
                signature,
                signature_len,
            })
        };
        layout().with_context(|| {
            format!(
                "a payload of {payload} bytes does not fit a Mach-O file, which ends at 4 GiB: {BESIDE}"
            )
        })
    }

    /// The file's beginning: header and load commands, with the payload's segment.
    fn header(&self, layout: &Layout) -> anyhow::Result<Vec<u8>> {
        let commands = load_commands(&self.program).context("no whole Mach-O program")?;
        let is_signed = commands.iter().any(|it| it.kind == LC_CODE_SIGNATURE);
        let mut header = self.program[..32].to_vec();
        for command in &commands {
            if command.segment() == Some(LINKEDIT) {
                header.extend(self.segment(layout));
            }
            header.extend(self.moved(command, layout)?);
        }
        if !is_signed {
            header.extend(code_signature(layout));
        }
        let added = 1 + u32::from(!is_signed);
        put_u32(&mut header, 16, u32::try_from(commands.len())? + added);
        let length = u32::try_from(header.len() - 32)?;
        put_u32(&mut header, 20, length);
        let room = first_content(&commands).context("no section")?;
        let room = room.min(self.linkedit.start);
        // Of the room that is left, what was of the old commands must not stay.
        let old = 32 + usize::try_from(u32::from_le_bytes(four(&self.program, 20)))?;
        header.resize(header.len().max(old), 0);
        if header.len() as u64 > room {
            bail!(
                "no room for one more segment: the load commands would take {} bytes of {room}; link it with -headerpad",
                header.len()
            );
        }
        Ok(header)
    }

    /// The load command of the payload's segment.
    fn segment(&self, layout: &Layout) -> Vec<u8> {
        let mut command = vec![0; SEGMENT_LEN + SECTION_LEN];
        put_u32(&mut command, 0, LC_SEGMENT_64);
        put_u32(&mut command, 4, narrow((SEGMENT_LEN + SECTION_LEN) as u64));
        command[8..24].copy_from_slice(&SEGMENT);
        put_u64(&mut command, 24, self.linkedit_address);
        put_u64(&mut command, 32, layout.moved);
        put_u64(&mut command, 40, self.linkedit.start);
        put_u64(&mut command, 48, layout.moved);
        put_u32(&mut command, 56, READ);
        put_u32(&mut command, 60, READ);
        put_u32(&mut command, 64, 1);
        let section = &mut command[SEGMENT_LEN..];
        section[..16].copy_from_slice(&SECTION);
        section[16..32].copy_from_slice(&SEGMENT);
        let before = layout.payload.start - self.linkedit.start;
        put_u64(section, 32, self.linkedit_address + before);
        put_u64(section, 40, layout.payload.end - layout.payload.start);
        put_u32(section, 48, narrow(layout.payload.start));
        put_u32(section, 52, PAYLOAD_ALIGNMENT.trailing_zeros());
        command
    }

    /// A load command, with what it says of link-edit data true of where that is now.
    fn moved(&self, command: &Command<'_>, layout: &Layout) -> anyhow::Result<Vec<u8>> {
        let mut bytes = command.bytes.to_vec();
        if command.segment() == Some(LINKEDIT) {
            let end = layout.signature + layout.signature_len;
            let length = end - layout.linkedit;
            put_u64(&mut bytes, 24, self.linkedit_address + layout.moved);
            put_u64(&mut bytes, 32, length.next_multiple_of(PAGE_LEN));
            put_u64(&mut bytes, 40, layout.linkedit);
            put_u64(&mut bytes, 48, length);
        }
        if command.kind == LC_CODE_SIGNATURE {
            return Ok(code_signature(layout));
        }
        for &at in offsets(command.kind) {
            let offset = u64::from(command.u32(at).context("a load command is cut short")?);
            // Zero is nothing.
            if offset >= self.linkedit.start {
                put_u32(&mut bytes, at, narrow(offset + layout.moved));
            }
        }
        Ok(bytes)
    }
}

/// Where a load command has offsets into the link-edit data.
fn offsets(kind: u32) -> &'static [usize] {
    match kind {
        LC_SYMTAB => &[8, 16],
        LC_DYSYMTAB => &[32, 40, 48, 56, 64, 72],
        LC_DYLD_INFO | LC_DYLD_INFO_ONLY => &[8, 16, 24, 32, 40],
        kind if LINKEDIT_DATA.contains(&kind) => &[8],
        _ => &[],
    }
}

fn code_signature(layout: &Layout) -> Vec<u8> {
    let mut bytes = vec![0; CODE_SIGNATURE_LEN];
    put_u32(&mut bytes, 0, LC_CODE_SIGNATURE);
    put_u32(&mut bytes, 4, narrow(CODE_SIGNATURE_LEN as u64));
    put_u32(&mut bytes, 8, narrow(layout.signature));
    put_u32(&mut bytes, 12, narrow(layout.signature_len));
    bytes
}

/// The offset of the first section: load commands end before it.
fn first_content(commands: &[Command<'_>]) -> Option<u64> {
    let segments = commands.iter().filter(|it| it.segment().is_some());
    let sections = segments.flat_map(|it| it.bytes[SEGMENT_LEN..].chunks_exact(SECTION_LEN));
    let offsets = sections.map(|it| u32::from_le_bytes(four(it, 48)));
    // Sections of zeros alone have none.
    offsets.filter(|it| *it > 0).min().map(u64::from)
}

fn pad(out: &mut dyn Write, length: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(length), out).map(drop)
}

/// Of a place in a program that is in memory.
fn bounded(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// Of a place before the end of the file, which is one of 32 bits.
fn narrow(offset: u64) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

fn four(bytes: &[u8], at: usize) -> [u8; 4] {
    [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}
