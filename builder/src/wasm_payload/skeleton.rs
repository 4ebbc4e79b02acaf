//! What of a module can be parsed without reading a payload.

use super::{MAGIC, WasmError};
use encoderfile::Source;
use std::ops::Range;
use wasm_encoder::{Encode, SectionId};
use wasmparser::BinaryReader;

/// A module without its payload. Ours is 15 MiB; a larger one is no base, or a
/// payload that some other tool rewrote past recognition.
const BASE_LEN_MAX: u64 = 256 << 20;

/// The magic number and the version.
const HEADER_LEN: usize = 8;

/// A module cut off in its data section, after the number of segments: all of
/// it that can be parsed without reading a payload.
pub(super) struct Skeleton {
    pub(super) bytes: Vec<u8>,
    /// The segments, in the whole file.
    pub(super) segments: Range<u64>,
}

impl Skeleton {
    pub(super) fn read(module: &(impl Source + ?Sized)) -> Result<Self, WasmError> {
        check_header(module)?;
        let Some((start, body)) = data_section(module)? else {
            let bytes = read(module, 0..module.len())?;
            return Ok(Self {
                bytes,
                segments: 0..0,
            });
        };
        let (count, segments_start) = var_u32(module, body.start, body.end)?;
        let mut bytes = read(module, 0..start)?;
        let mut count_bytes = Vec::new();
        count.encode(&mut count_bytes);
        SectionId::Data.encode(&mut bytes);
        count_bytes.as_slice().encode(&mut bytes);
        Ok(Self {
            bytes,
            segments: segments_start..body.end,
        })
    }
}

fn check_header(module: &(impl Source + ?Sized)) -> Result<(), WasmError> {
    let mut header = [0; HEADER_LEN];
    if module.len() < header.len() as u64 {
        return Err(WasmError::NotAModule);
    }
    module
        .read_at(0, &mut header)
        .map_err(WasmError::ReadModule)?;
    match header.strip_prefix(&MAGIC) {
        Some([1, 0, 0, 0]) => Ok(()),
        _ => Err(WasmError::NotAModule),
    }
}

/// Where the data section begins, and its body.
fn data_section(module: &(impl Source + ?Sized)) -> Result<Option<(u64, Range<u64>)>, WasmError> {
    let mut data = None;
    for section in sections(module, module.len()) {
        let Section { offset, id, body } = section?;
        match id {
            id if id == u8::from(SectionId::Custom) => {}
            id if data.is_some() => return Err(WasmError::SectionAfterData { id, offset }),
            id if id == u8::from(SectionId::Data) => data = Some((offset, body)),
            _ => {}
        }
    }
    Ok(data)
}

/// A section of a module or of a component.
pub(super) struct Section {
    /// Where it begins.
    pub(super) offset: u64,
    pub(super) id: u8,
    /// What it is without its id and its length.
    pub(super) body: Range<u64>,
}

/// The sections before `end`, which must be the end of one. Their bodies are not read.
pub(super) fn sections(
    file: &(impl Source + ?Sized),
    end: u64,
) -> impl Iterator<Item = Result<Section, WasmError>> {
    let mut next = HEADER_LEN as u64;
    std::iter::from_fn(move || {
        let offset = (next < end).then_some(next)?;
        let section = section(file, offset, end);
        next = section.as_ref().map_or(end, |section| section.body.end);
        Some(section)
    })
}

fn section(file: &(impl Source + ?Sized), offset: u64, end: u64) -> Result<Section, WasmError> {
    let mut id = [0];
    file.read_at(offset, &mut id)
        .map_err(WasmError::ReadModule)?;
    let (length, start) = var_u32(file, offset + 1, end)?;
    let body = start..start + u64::from(length);
    if body.end > end {
        return Err(WasmError::Truncated { offset });
    }
    let [id] = id;
    Ok(Section { offset, id, body })
}

/// The LEB128 number at `offset`, and where it ends.
fn var_u32(
    module: &(impl Source + ?Sized),
    offset: u64,
    end: u64,
) -> Result<(u32, u64), WasmError> {
    let mut buffer = [0; 5];
    let available = usize::try_from(end - offset).unwrap_or(buffer.len());
    let bytes = &mut buffer[..available.min(5)];
    module
        .read_at(offset, bytes)
        .map_err(WasmError::ReadModule)?;
    // On a 32-bit machine the offset of an error may be wrong, the error is not.
    let mut reader = BinaryReader::new(bytes, usize::try_from(offset).unwrap_or(0));
    let value = reader.read_var_u32().map_err(WasmError::Malformed)?;
    Ok((value, offset + reader.current_position() as u64))
}

/// Bytes of the program, whose number is limited.
pub(super) fn read(
    module: &(impl Source + ?Sized),
    range: Range<u64>,
) -> Result<Vec<u8>, WasmError> {
    let length = range.end - range.start;
    let too_large = WasmError::BaseTooLarge {
        length,
        length_max: BASE_LEN_MAX,
    };
    let mut bytes = match usize::try_from(length) {
        Ok(len) if length <= BASE_LEN_MAX => vec![0; len],
        _ => return Err(too_large),
    };
    module
        .read_at(range.start, &mut bytes)
        .map_err(WasmError::ReadModule)?;
    Ok(bytes)
}
