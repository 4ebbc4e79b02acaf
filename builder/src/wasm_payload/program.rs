//! A module taken apart, and put together with another payload or none.

use super::outline::Outline;
use super::skeleton::{Skeleton, read};
use super::{PAYLOAD_LEN, PAYLOAD_READ, WasmError};
use encoderfile::Source;
use encoderfile::limits::WASM32_PAYLOAD_LEN_MAX;
use std::ops::Range;
use wasm_encoder::{
    CodeSection, DataCountSection, Encode, Function, Module, RawSection, SectionId,
};
use wasmparser::{BinaryReader, FunctionBody, Operator, ValType};

/// The flags of a data segment that is copied only by `memory.init`.
const PASSIVE: u8 = 1;

/// A module without custom sections and without a payload.
pub(super) struct Program<'a> {
    /// Id and body of all sections up to the number of segments, in order.
    sections: Vec<(u8, &'a [u8])>,
    bodies: Vec<&'a [u8]>,
    /// Indices into `bodies`.
    payload_len: usize,
    payload_read: usize,
    /// The data section's segments, one after the other.
    segments: Vec<u8>,
    segment_count: u32,
}

impl<'a> Program<'a> {
    pub(super) fn parse(
        module: &(impl Source + ?Sized),
        skeleton: &'a Skeleton,
    ) -> Result<Self, WasmError> {
        let outline = Outline::parse(&skeleton.bytes).map_err(WasmError::Malformed)?;
        if !matches!(outline.memories.first(), Some(memory) if !memory.memory64) {
            return Err(WasmError::NoMemory);
        }
        let payload_len = outline.function(PAYLOAD_LEN, "() -> i32", &[], &[ValType::I32])?;
        let payload_read =
            outline.function(PAYLOAD_READ, "(i32, i32, i32)", &[ValType::I32; 3], &[])?;
        let mut program = Self {
            sections: outline.sections,
            bodies: outline.bodies,
            payload_len,
            payload_read,
            segments: Vec::new(),
            segment_count: outline.segment_count,
        };
        program.segments = match program.payload()? {
            None => read(module, skeleton.segments.clone())?,
            Some(length) => {
                program.segment_count -= 1;
                segments_before(length, module, skeleton.segments.clone())?
            }
        };
        Ok(program)
    }

    /// The length of the payload that the last segment is; `None` without one.
    fn payload(&self) -> Result<Option<u32>, WasmError> {
        let Some(last) = self.segment_count.checked_sub(1) else {
            return Ok(None);
        };
        if self.bodies[self.payload_read] != read_body(Some(last)) {
            return Ok(None);
        }
        let body = FunctionBody::new(BinaryReader::new(self.bodies[self.payload_len], 0));
        let first = body.get_operators_reader().and_then(|mut it| it.read());
        match first.map_err(WasmError::Malformed)? {
            Operator::I32Const { value } => Ok(Some(value.cast_unsigned())),
            _ => Err(WasmError::PayloadSegment),
        }
    }

    /// The module up to a payload of this length, or all of it without one.
    pub(super) fn encode(&self, payload: Option<u32>) -> Result<Vec<u8>, WasmError> {
        let mut module = Module::new();
        for &(id, data) in &self.sections {
            module.section(&RawSection { id, data });
        }
        let count = self.segment_count + u32::from(payload.is_some());
        module.section(&DataCountSection { count });
        module.section(&self.code(payload));
        let mut data = Vec::new();
        count.encode(&mut data);
        data.extend_from_slice(&self.segments);
        if let Some(length) = payload {
            data.extend(segment_header(length));
        }
        let length = data.len() as u64 + u64::from(payload.unwrap_or(0));
        let Ok(length) = u32::try_from(length) else {
            return Err(WasmError::PayloadTooLarge {
                length,
                length_max: WASM32_PAYLOAD_LEN_MAX,
            });
        };
        let mut bytes = module.finish();
        SectionId::Data.encode(&mut bytes);
        length.encode(&mut bytes);
        bytes.append(&mut data);
        Ok(bytes)
    }

    fn code(&self, payload: Option<u32>) -> CodeSection {
        let len_body = len_body(payload.unwrap_or(0));
        // The payload's segment follows those of the program.
        let read_body = read_body(payload.map(|_| self.segment_count));
        let mut code = CodeSection::new();
        for (index, body) in self.bodies.iter().enumerate() {
            match index {
                _ if index == self.payload_len => code.raw(&len_body),
                _ if index == self.payload_read => code.raw(&read_body),
                _ => code.raw(body),
            };
        }
        code
    }
}

/// `segments` without the last one, which must be passive and of this length.
fn segments_before(
    length: u32,
    module: &(impl Source + ?Sized),
    segments: Range<u64>,
) -> Result<Vec<u8>, WasmError> {
    let end = segments.end.checked_sub(u64::from(length));
    let Some(end) = end.filter(|end| *end >= segments.start) else {
        return Err(WasmError::PayloadSegment);
    };
    let mut bytes = read(module, segments.start..end)?;
    let Some(rest) = bytes.strip_suffix(segment_header(length).as_slice()) else {
        return Err(WasmError::PayloadSegment);
    };
    bytes.truncate(rest.len());
    Ok(bytes)
}

/// What precedes the payload's bytes in its segment.
fn segment_header(length: u32) -> Vec<u8> {
    let mut header = vec![PASSIVE];
    length.encode(&mut header);
    header
}

/// The body of [`PAYLOAD_LEN`].
pub(super) fn len_body(length: u32) -> Vec<u8> {
    let mut body = Function::new([]);
    body.instructions().i32_const(length.cast_signed()).end();
    body.into_raw_body()
}

/// The body of [`PAYLOAD_READ`], for a payload in this segment.
pub(super) fn read_body(segment: Option<u32>) -> Vec<u8> {
    let mut body = Function::new([]);
    let mut code = body.instructions();
    if let Some(segment) = segment {
        code.local_get(0).local_get(1).local_get(2);
        code.memory_init(0, segment);
    }
    code.end();
    body.into_raw_body()
}
