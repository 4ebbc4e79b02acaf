//! A module taken apart, and put together with another payload or none.

use super::outline::Outline;
use super::skeleton::{Skeleton, read};
use super::{PAYLOAD, WasmError};
use encoderfile::Source;
use encoderfile::limits::WASM32_PAYLOAD_LEN_MAX;
use std::ops::Range;
use wasm_encoder::{
    CodeSection, ConstExpr, DataCountSection, Encode, Function, MemorySection, Module, RawSection,
    SectionId,
};
use wasmparser::{BinaryReader, FunctionBody, MemoryType, Operator, ValType};

/// The flags of a data segment that the host puts into memory 0.
const ACTIVE: u8 = 0;

/// A page of memory, in bytes.
const PAGE: u64 = 64 << 10;

/// All pages of a memory with 32-bit addresses.
const PAGES_MAX: u64 = (4 << 30) / PAGE;

/// A module without custom sections and without a payload.
pub(super) struct Program<'a> {
    /// Id and body of all sections up to the number of segments, in order, without the memories.
    sections: Vec<(u8, &'a [u8])>,
    /// How many of them are before the memories.
    before_memories: usize,
    /// The first is the one that a payload is in.
    memories: Vec<MemoryType>,
    bodies: Vec<&'a [u8]>,
    /// The body of [`PAYLOAD`], as an index into `bodies`.
    payload: usize,
    /// The data section's segments, one after the other.
    segments: Vec<u8>,
    segment_count: u32,
    /// Of a snapshot: where the payload is. What is behind it in memory is of the model that was loaded
    /// from it, and no other payload can take its place.
    loaded: Option<Place>,
}

/// Where a payload is in memory 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    address: u32,
    length: u32,
}

impl Place {
    /// Its bytes in a memory.
    pub(crate) fn range(self) -> Range<usize> {
        let start = self.address as usize;
        start..start + self.length as usize
    }

    fn pages(self) -> u64 {
        u64::from(self.length).div_ceil(PAGE)
    }

    /// What [`PAYLOAD`] returns.
    fn to_value(self) -> i64 {
        (u64::from(self.address) << 32 | u64::from(self.length)).cast_signed()
    }

    /// The body of [`PAYLOAD`].
    pub(super) fn body(place: Option<Self>) -> Vec<u8> {
        let mut body = Function::new([]);
        let value = place.map_or(0, Self::to_value);
        body.instructions().i64_const(value).end();
        body.into_raw_body()
    }

    /// What precedes the payload's bytes in its segment.
    fn segment_header(self) -> Vec<u8> {
        let mut header = vec![ACTIVE];
        ConstExpr::i32_const(self.address.cast_signed()).encode(&mut header);
        self.length.encode(&mut header);
        header
    }
}

impl<'a> Program<'a> {
    /// All but the segments.
    fn outlined(skeleton: &'a Skeleton) -> Result<Self, WasmError> {
        let outline = Outline::parse(&skeleton.bytes).map_err(WasmError::Malformed)?;
        if outline.memory().is_none() {
            return Err(WasmError::NoMemory);
        }
        let payload = outline.function(PAYLOAD, "() -> i64", &[], &[ValType::I64])?;
        Ok(Self {
            sections: outline.sections,
            before_memories: outline.before_memories,
            memories: outline.memories,
            bodies: outline.bodies,
            payload,
            segments: Vec::new(),
            segment_count: outline.segment_count,
            loaded: None,
        })
    }

    pub(super) fn parse(
        module: &(impl Source + ?Sized),
        skeleton: &'a Skeleton,
    ) -> Result<Self, WasmError> {
        let mut program = Self::outlined(skeleton)?;
        let all = skeleton.segments.clone();
        let Some(place) = program.place()? else {
            program.segments = read(module, all)?;
            return Ok(program);
        };
        let pages = program.memories[0].initial.checked_sub(place.pages());
        let behind = pages.and_then(|pages| (pages * PAGE).checked_sub(place.address.into()));
        let (pages, behind) = pages.zip(behind).ok_or(WasmError::PayloadSegment)?;
        let before = segments_before(place, module, all.clone());
        match (behind, before) {
            (0, before) => {
                program.segments = before?;
                program.memories[0].initial = pages;
            }
            (_, Err(WasmError::PayloadSegment)) => {
                // As Wizer leaves it.
                program.segments = read(module, all)?;
                program.loaded = Some(place);
                return Ok(program);
            }
            (_, before) => {
                program.segments = before?;
                program.loaded = Some(place);
            }
        }
        let count = program.segment_count.checked_sub(1);
        program.segment_count = count.ok_or(WasmError::PayloadSegment)?;
        Ok(program)
    }

    /// Where the payload of a snapshot is.
    pub(super) fn loaded(&self) -> Option<Place> {
        self.loaded
    }

    /// Where the payload is that the last segment is; `None` without one.
    pub(super) fn place(&self) -> Result<Option<Place>, WasmError> {
        let body = FunctionBody::new(BinaryReader::new(self.bodies[self.payload], 0));
        let mut code = body.get_operators_reader().map_err(WasmError::Malformed)?;
        let Operator::I64Const { value } = code.read().map_err(WasmError::Malformed)? else {
            return Ok(None);
        };
        let value = value.cast_unsigned();
        let half = |value: u64| u32::try_from(value & u64::from(u32::MAX)).unwrap_or_default();
        let place = Place {
            address: half(value >> 32),
            length: half(value),
        };
        Ok((value != 0).then_some(place))
    }

    /// Where a payload of this length goes: behind all that the memory has.
    fn place_for(&self, length: u32) -> Result<Place, WasmError> {
        let pages = self.memories[0].initial;
        let pages_max = self.memories[0].maximum.unwrap_or(PAGES_MAX);
        let free = pages_max.min(PAGES_MAX).saturating_sub(pages);
        let place = u32::try_from(pages * PAGE).map(|address| Place { address, length });
        place
            .ok()
            .filter(|place| place.pages() <= free)
            .ok_or(WasmError::PayloadTooLarge {
                length: u64::from(length),
                length_max: WASM32_PAYLOAD_LEN_MAX.min(free * PAGE),
            })
    }

    /// The module up to a payload of this length, or all of it without one.
    pub(super) fn encode(&self, payload: Option<u32>) -> Result<Vec<u8>, WasmError> {
        if self.loaded.is_some() {
            return Err(WasmError::Snapshot);
        }
        let place = payload.map(|length| self.place_for(length)).transpose()?;
        self.encode_at(place, place.map_or(0, Place::pages))
    }

    /// A snapshot up to the payload that it was made of.
    pub(super) fn encode_snapshot(&self) -> Result<Vec<u8>, WasmError> {
        self.encode_at(self.loaded, 0)
    }

    /// With so many pages more for a payload in `place`.
    fn encode_at(&self, place: Option<Place>, pages: u64) -> Result<Vec<u8>, WasmError> {
        let mut module = Module::new();
        let (before, after) = self.sections.split_at(self.before_memories);
        for &(id, data) in before {
            module.section(&RawSection { id, data });
        }
        module.section(&self.memory_section(pages));
        for &(id, data) in after {
            module.section(&RawSection { id, data });
        }
        let count = self.segment_count + u32::from(place.is_some());
        module.section(&DataCountSection { count });
        module.section(&self.code(place));
        let mut data = Vec::new();
        count.encode(&mut data);
        data.extend_from_slice(&self.segments);
        data.extend(place.map(Place::segment_header).unwrap_or_default());
        let length = data.len() as u64 + u64::from(place.map_or(0, |it| it.length));
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

    /// The memories, the first of them with so many pages more.
    fn memory_section(&self, mut pages: u64) -> MemorySection {
        let mut section = MemorySection::new();
        for memory in &self.memories {
            section.memory(wasm_encoder::MemoryType {
                minimum: memory.initial + pages,
                maximum: memory.maximum,
                memory64: memory.memory64,
                shared: memory.shared,
                page_size_log2: memory.page_size_log2,
            });
            pages = 0;
        }
        section
    }

    fn code(&self, place: Option<Place>) -> CodeSection {
        let payload = Place::body(place);
        let mut code = CodeSection::new();
        for (index, body) in self.bodies.iter().enumerate() {
            match index == self.payload {
                true => code.raw(&payload),
                false => code.raw(body),
            };
        }
        code
    }
}

/// `segments` without the last one, which must be the payload's.
fn segments_before(
    place: Place,
    module: &(impl Source + ?Sized),
    segments: Range<u64>,
) -> Result<Vec<u8>, WasmError> {
    let end = segments.end.checked_sub(u64::from(place.length));
    let Some(end) = end.filter(|end| *end >= segments.start) else {
        return Err(WasmError::PayloadSegment);
    };
    let mut bytes = read(module, segments.start..end)?;
    let Some(rest) = bytes.strip_suffix(place.segment_header().as_slice()) else {
        return Err(WasmError::PayloadSegment);
    };
    bytes.truncate(rest.len());
    Ok(bytes)
}
