//! Puts a payload into a wasm base module and takes it out again.
//!
//! A wasm guest cannot read its own file, but it can copy out of a passive data
//! segment. The base exports [`PAYLOAD_LEN`] and [`PAYLOAD_READ`] with bodies
//! that mean "no payload"; [`inject`] replaces them and appends the payload as
//! the last segment of the last section, so that a module ends in the payload's
//! footer as every encoderfile does.
//!
//! Invariant: [`inject`] and [`base_of`] write through the same function, which
//! takes nothing from a payload but its length. So one base gives one module
//! per payload and, whatever was injected into it, one base back.

use encoderfile_runtime::Source;
use encoderfile_runtime::limits::WASM32_PAYLOAD_LEN_MAX;
use encoderfile_runtime::source::ReadError;
use std::io::Write;
use std::ops::Range;
use wasm_encoder::{
    CodeSection, DataCountSection, Encode, Function, Module, RawSection, SectionId,
};
use wasmparser::{
    BinaryReader, BinaryReaderError, Export, ExternalKind, FuncType, FunctionBody, MemoryType,
    Operator, Parser, Payload, TypeRef, ValType, Validator,
};

/// The export `() -> i32` that returns the payload's length in bytes.
pub const PAYLOAD_LEN: &str = "encoderfile_payload_len";

/// The export `(destination, offset, len: i32)` that copies payload bytes into
/// memory 0.
pub const PAYLOAD_READ: &str = "encoderfile_payload_read";

/// The first bytes of every wasm binary.
pub const MAGIC: [u8; 4] = *b"\0asm";

/// A module without its payload. Ours is 15 MiB; a larger one is no base, or a
/// payload that some other tool rewrote past recognition.
const BASE_LEN_MAX: u64 = 256 << 20;

/// How much of a payload is in memory while it is copied.
const COPY_LEN: usize = 1 << 20;

/// The flags of a data segment that is copied only by `memory.init`.
const PASSIVE: u8 = 1;

/// Why a module cannot carry a payload.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WasmError {
    /// The file does not begin as a wasm binary does.
    #[error("not a wasm module: it does not begin with \\0asm and version 1")]
    NotAModule,
    /// Components have no data segments of their own.
    #[error("a wasm component, not a module: build the base for wasm32-wasip1")]
    Component,
    /// A section cannot be read.
    #[error("malformed wasm module: {0}")]
    Malformed(#[source] BinaryReaderError),
    /// A section's length exceeds the file.
    #[error("truncated wasm module: the section at byte {offset} ends after the file does")]
    Truncated {
        /// Where the section begins.
        offset: u64,
    },
    /// The data section is the last one but for custom sections.
    #[error("malformed wasm module: section {id} at byte {offset} follows the data section")]
    SectionAfterData {
        /// The section's id.
        id: u8,
        /// Where it begins.
        offset: u64,
    },
    /// It was not built from this project's base program.
    #[error("no export `{name}`: not an encoderfile, nor a base to build one on")]
    MissingExport {
        /// The export.
        name: &'static str,
    },
    /// The export is no function of this module of the expected type.
    #[error("export `{name}` is not a function {expected} defined in the module")]
    ExportSignature {
        /// The export.
        name: &'static str,
        /// Its type.
        expected: &'static str,
    },
    /// A payload is copied to memory 0 at 32-bit addresses.
    #[error("no 32-bit memory 0: build the base for wasm32-wasip1")]
    NoMemory,
    /// The module without its payload is too large.
    #[error("{length} bytes of program, more than the {length_max} of any base")]
    BaseTooLarge {
        /// Of everything that is not payload.
        length: u64,
        /// The limit.
        length_max: u64,
    },
    /// wasm32 cannot address it.
    #[error(
        "a payload of {length} bytes, more than the {length_max} that wasm can hold; \
         build a native file or a bundle, or a smaller data type"
    )]
    PayloadTooLarge {
        /// The payload's length.
        length: u64,
        /// The limit.
        length_max: u64,
    },
    /// The two bodies and the last segment contradict each other.
    #[error("the last data segment is not the payload that `{PAYLOAD_LEN}` announces")]
    PayloadSegment,
    /// The result would not load.
    #[error("the base does not validate: {0}")]
    Invalid(#[source] BinaryReaderError),
    /// The module could not be read.
    #[error("cannot read the wasm module: {0}")]
    ReadModule(#[source] ReadError),
    /// The payload could not be read.
    #[error("cannot read the payload: {0}")]
    ReadPayload(#[source] ReadError),
    /// The result could not be written.
    #[error("cannot write the wasm module: {0}")]
    Write(#[from] std::io::Error),
}

/// Writes `base` with `payload` in it to `out`. A payload that `base` already
/// has is replaced.
///
/// The bytes written depend on the two inputs only; `payload` is copied in
/// pieces and never held in memory.
pub fn inject(
    base: &(impl Source + ?Sized),
    payload: &(impl Source + ?Sized),
    out: &mut dyn Write,
) -> Result<(), WasmError> {
    let length = payload_len(payload.len())?;
    let skeleton = Skeleton::read(base)?;
    let program = Program::parse(base, &skeleton)?;
    // Everything is validated but the payload's own bytes, which no rule looks
    // at: this module differs in the value of three lengths, and in nothing else.
    let without_bytes = program.encode(Some(0))?;
    Validator::new()
        .validate_all(&without_bytes)
        .map_err(WasmError::Invalid)?;
    out.write_all(&program.encode(Some(length))?)?;
    copy(payload, out)
}

/// The module without its payload, to be run with `--payload FILE`.
///
/// The bytes depend only on the base that the payload was injected into, so
/// that all models on one base share one compiled program. A module without a
/// payload is brought into the same form. Payload bytes are not read.
pub fn base_of(module: &(impl Source + ?Sized)) -> Result<Vec<u8>, WasmError> {
    let skeleton = Skeleton::read(module)?;
    Program::parse(module, &skeleton)?.encode(None)
}

fn payload_len(length: u64) -> Result<u32, WasmError> {
    let too_large = WasmError::PayloadTooLarge {
        length,
        length_max: WASM32_PAYLOAD_LEN_MAX,
    };
    match u32::try_from(length) {
        Ok(len) if length <= WASM32_PAYLOAD_LEN_MAX => Ok(len),
        _ => Err(too_large),
    }
}

fn copy(payload: &(impl Source + ?Sized), out: &mut dyn Write) -> Result<(), WasmError> {
    let mut buffer = vec![0; COPY_LEN];
    let mut offset = 0;
    while offset < payload.len() {
        let rest = usize::try_from(payload.len() - offset).unwrap_or(COPY_LEN);
        let piece = &mut buffer[..rest.min(COPY_LEN)];
        payload
            .read_at(offset, piece)
            .map_err(WasmError::ReadPayload)?;
        out.write_all(piece)?;
        offset += piece.len() as u64;
    }
    Ok(())
}

/// A module cut off in its data section, after the number of segments: all of
/// it that can be parsed without reading a payload.
struct Skeleton {
    bytes: Vec<u8>,
    /// The segments, in the whole file.
    segments: Range<u64>,
}

impl Skeleton {
    fn read(module: &(impl Source + ?Sized)) -> Result<Self, WasmError> {
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
    let mut header = [0; 8];
    if module.len() < header.len() as u64 {
        return Err(WasmError::NotAModule);
    }
    module
        .read_at(0, &mut header)
        .map_err(WasmError::ReadModule)?;
    match header.strip_prefix(&MAGIC) {
        Some([1, 0, 0, 0]) => Ok(()),
        Some([_, _, 1, 0]) => Err(WasmError::Component),
        _ => Err(WasmError::NotAModule),
    }
}

/// Where the data section begins, and its body.
fn data_section(module: &(impl Source + ?Sized)) -> Result<Option<(u64, Range<u64>)>, WasmError> {
    let mut data = None;
    let mut offset = 8;
    while offset < module.len() {
        let mut id = [0];
        module
            .read_at(offset, &mut id)
            .map_err(WasmError::ReadModule)?;
        let (length, start) = var_u32(module, offset + 1, module.len())?;
        let end = start + u64::from(length);
        if end > module.len() {
            return Err(WasmError::Truncated { offset });
        }
        match id[0] {
            id if id == u8::from(SectionId::Custom) => {}
            id if data.is_some() => return Err(WasmError::SectionAfterData { id, offset }),
            id if id == u8::from(SectionId::Data) => data = Some((offset, start..end)),
            _ => {}
        }
        offset = end;
    }
    Ok(data)
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
fn read(module: &(impl Source + ?Sized), range: Range<u64>) -> Result<Vec<u8>, WasmError> {
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

/// A module without custom sections and without a payload.
struct Program<'a> {
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
    fn parse(module: &(impl Source + ?Sized), skeleton: &'a Skeleton) -> Result<Self, WasmError> {
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
    fn encode(&self, payload: Option<u32>) -> Result<Vec<u8>, WasmError> {
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
fn len_body(length: u32) -> Vec<u8> {
    let mut body = Function::new([]);
    body.instructions().i32_const(length.cast_signed()).end();
    body.into_raw_body()
}

/// The body of [`PAYLOAD_READ`], for a payload in this segment.
fn read_body(segment: Option<u32>) -> Vec<u8> {
    let mut body = Function::new([]);
    let mut code = body.instructions();
    if let Some(segment) = segment {
        code.local_get(0).local_get(1).local_get(2);
        code.memory_init(0, segment);
    }
    code.end();
    body.into_raw_body()
}

/// What a module's sections say, as far as it is needed here.
#[derive(Default)]
struct Outline<'a> {
    sections: Vec<(u8, &'a [u8])>,
    types: Vec<FuncType>,
    /// The types of all functions, first those of the imported ones.
    functions: Vec<u32>,
    imported_functions: usize,
    memories: Vec<MemoryType>,
    exports: Vec<Export<'a>>,
    bodies: Vec<&'a [u8]>,
    segment_count: u32,
}

impl<'a> Outline<'a> {
    fn parse(module: &'a [u8]) -> Result<Self, BinaryReaderError> {
        let mut outline = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload?;
            let rewritten = matches!(
                payload,
                Payload::CustomSection(_)
                    | Payload::DataCountSection { .. }
                    | Payload::CodeSectionStart { .. }
                    | Payload::DataSection(_)
            );
            if let Some((id, range)) = payload.as_section().filter(|_| !rewritten) {
                outline.sections.push((id, &module[range]));
            }
            outline.add(payload)?;
        }
        Ok(outline)
    }

    fn add(&mut self, section: Payload<'a>) -> Result<(), BinaryReaderError> {
        match section {
            Payload::TypeSection(types) => {
                let types = types.into_iter_err_on_gc_types();
                self.types = types.collect::<Result<_, _>>()?;
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    match import?.ty {
                        TypeRef::Func(of) | TypeRef::FuncExact(of) => self.functions.push(of),
                        TypeRef::Memory(memory) => self.memories.push(memory),
                        TypeRef::Table(_) | TypeRef::Global(_) | TypeRef::Tag(_) => {}
                    }
                }
                self.imported_functions = self.functions.len();
            }
            Payload::FunctionSection(types) => {
                for of in types {
                    self.functions.push(of?);
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    self.memories.push(memory?);
                }
            }
            Payload::ExportSection(exports) => {
                self.exports = exports.into_iter().collect::<Result<_, _>>()?;
            }
            Payload::CodeSectionEntry(body) => self.bodies.push(body.as_bytes()),
            Payload::DataSection(segments) => self.segment_count = segments.count(),
            _ => {}
        }
        Ok(())
    }

    /// The body of the exported function of this type.
    fn function(
        &self,
        name: &'static str,
        expected: &'static str,
        params: &[ValType],
        results: &[ValType],
    ) -> Result<usize, WasmError> {
        let Some(export) = self.exports.iter().find(|export| export.name == name) else {
            return Err(WasmError::MissingExport { name });
        };
        self.defined(export)
            .filter(|(ty, _)| ty.params() == params && ty.results() == results)
            .map(|(_, body)| body)
            .ok_or(WasmError::ExportSignature { name, expected })
    }

    fn defined(&self, export: &Export<'_>) -> Option<(&FuncType, usize)> {
        let index = usize::try_from(export.index).ok()?;
        let body = index.checked_sub(self.imported_functions)?;
        if export.kind != ExternalKind::Func || body >= self.bodies.len() {
            return None;
        }
        let of = usize::try_from(*self.functions.get(index)?).ok()?;
        Some((self.types.get(of)?, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{
        ConstExpr, CustomSection, DataSection, EntityType, ExportKind, ExportSection,
        FunctionSection, ImportSection, MemorySection, TypeSection,
    };
    use wasmtime::{Engine, Instance, Linker, Memory, Store, TypedFunc};

    /// A module like the base, with what the tests change.
    struct Parts {
        len_export: &'static str,
        len_type: u32,
        memory: Option<bool>,
        data: bool,
        custom: &'static [u8],
    }

    const BASE: Parts = Parts {
        len_export: PAYLOAD_LEN,
        len_type: 0,
        memory: Some(false),
        data: true,
        custom: b"anything",
    };

    impl Parts {
        fn module(&self) -> Vec<u8> {
            let mut types = TypeSection::new();
            types.ty().function([], [wasm_encoder::ValType::I32]);
            types.ty().function([wasm_encoder::ValType::I32; 3], []);
            types.ty().function([wasm_encoder::ValType::I32], []);
            let mut imports = ImportSection::new();
            let exit = EntityType::Function(2);
            imports.import("wasi_snapshot_preview1", "proc_exit", exit);
            let mut functions = FunctionSection::new();
            functions.function(0).function(1).function(self.len_type);
            let mut exports = ExportSection::new();
            // The imported function is number 0, another one number 1.
            exports.export(PAYLOAD_READ, ExportKind::Func, 2);
            exports.export(self.len_export, ExportKind::Func, 3);
            let mut code = CodeSection::new();
            code.raw(&len_body(7)).raw(&read_body(None));
            code.raw(&if self.len_type == 0 {
                len_body(0)
            } else {
                read_body(None)
            });

            let custom = CustomSection {
                name: "name".into(),
                data: self.custom.into(),
            };
            let mut module = Module::new();
            module.section(&custom);
            module.section(&types).section(&imports).section(&functions);
            if let Some(memory64) = self.memory {
                let mut memories = MemorySection::new();
                memories.memory(wasm_encoder::MemoryType {
                    minimum: 1,
                    maximum: None,
                    memory64,
                    shared: false,
                    page_size_log2: None,
                });
                exports.export("memory", ExportKind::Memory, 0);
                module.section(&memories);
            }
            module.section(&exports).section(&code);
            if self.data {
                let mut data = DataSection::new();
                data.active(0, &ConstExpr::i32_const(16), *b"hello");
                data.passive(*b"unused");
                module.section(&data).section(&custom);
            }
            module.finish()
        }
    }

    fn injected(base: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        inject(base, payload, &mut out).unwrap();
        out
    }

    fn payload(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i % 251).to_le_bytes()[0]).collect()
    }

    #[test]
    fn every_payload_gives_the_same_base_back() {
        for data in [true, false] {
            let base = Parts { data, ..BASE }.module();
            let stripped = base_of(base.as_slice()).unwrap();
            Validator::new().validate_all(&stripped).unwrap();
            assert_eq!(base_of(&stripped).unwrap(), stripped);
            for length in [0, 1, 127, 128, 70_000, 3 << 20] {
                let payload = payload(length);
                let module = injected(&base, &payload);
                assert_eq!(base_of(&module).unwrap(), stripped, "{length}");
                assert_eq!(injected(&stripped, &payload), module, "{length}");
                // The payload that is there is replaced.
                assert_eq!(injected(&injected(&base, b"other"), &payload), module);
            }
        }
    }

    #[test]
    fn custom_sections_change_nothing() {
        let other = Parts {
            custom: b"else",
            ..BASE
        }
        .module();
        let [one, two] = [BASE.module(), other].map(|base| injected(&base, b"payload"));
        assert_eq!(one, two);
    }

    #[test]
    fn the_module_validates_and_ends_in_the_payload() {
        let payload = payload(70_000);
        let module = injected(&BASE.module(), &payload);
        Validator::new().validate_all(&module).unwrap();
        assert!(module.ends_with(&payload));
    }

    struct Guest {
        store: Store<()>,
        instance: Instance,
        memory: Memory,
    }

    impl Guest {
        fn start(module: &[u8]) -> Self {
            let engine = Engine::default();
            let module = wasmtime::Module::new(&engine, module).unwrap();
            let mut store = Store::new(&engine, ());
            let mut linker = Linker::new(&engine);
            linker.define_unknown_imports_as_traps(&module).unwrap();
            let instance = linker.instantiate(&mut store, &module).unwrap();
            let memory = instance.get_memory(&mut store, "memory").unwrap();
            Self {
                store,
                instance,
                memory,
            }
        }

        fn len(&mut self) -> u32 {
            let len = self.instance.get_typed_func(&mut self.store, PAYLOAD_LEN);
            let len: TypedFunc<(), u32> = len.unwrap();
            len.call(&mut self.store, ()).unwrap()
        }

        fn read(&mut self, offset: u32, length: u32) -> wasmtime::Result<Vec<u8>> {
            let read = self.instance.get_typed_func(&mut self.store, PAYLOAD_READ);
            let read: TypedFunc<(u32, u32, u32), ()> = read.unwrap();
            read.call(&mut self.store, (1024, offset, length))?;
            let mut bytes = vec![0; usize::try_from(length)?];
            self.memory.read(&self.store, 1024, &mut bytes)?;
            Ok(bytes)
        }
    }

    #[test]
    fn the_exports_read_the_payload() {
        for data in [true, false] {
            let payload = payload(50_000);
            let base = Parts { data, ..BASE }.module();
            let mut guest = Guest::start(&injected(&base, &payload));
            assert_eq!(guest.len(), 50_000);
            assert_eq!(guest.read(0, 50_000).unwrap(), payload);
            assert_eq!(guest.read(333, 4_000).unwrap(), payload[333..4_333]);
            assert!(guest.read(49_999, 2).is_err());
            let hello = &guest.memory.data(&guest.store)[16..21];
            assert_eq!(hello, if data { b"hello" } else { &[0; 5] });
        }
    }

    #[test]
    fn the_base_has_no_payload() {
        let module = injected(&BASE.module(), &payload(50_000));
        let mut guest = Guest::start(&base_of(&module).unwrap());
        assert_eq!(guest.len(), 0);
        assert_eq!(guest.read(0, 100).unwrap(), [0; 100]);
    }

    /// A module of which only the first bytes can be read.
    struct Unreadable {
        start: Vec<u8>,
        length: u64,
    }

    impl Source for Unreadable {
        fn len(&self) -> u64 {
            self.length
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
            self.start.read_at(offset, buffer)
        }
    }

    #[test]
    fn the_payload_is_not_read_to_find_the_base() {
        let base = BASE.module();
        let skeleton = Skeleton::read(base.as_slice()).unwrap();
        let program = Program::parse(base.as_slice(), &skeleton).unwrap();
        // The last two are negative as i32.
        for length in [1 << 20, u32::MAX / 2 + 1, 4_227_858_432] {
            let start = program.encode(Some(length)).unwrap();
            let length = start.len() as u64 + u64::from(length);
            let module = Unreadable { start, length };
            assert_eq!(base_of(&module).unwrap(), base_of(&base).unwrap());
        }
    }

    #[test]
    fn a_payload_that_wasm_cannot_address_is_refused() {
        let length = WASM32_PAYLOAD_LEN_MAX + 1;
        let start = Vec::new();
        let payload = Unreadable { start, length };
        let error = inject(BASE.module().as_slice(), &payload, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, WasmError::PayloadTooLarge { .. }));
        let message = error.to_string();
        assert!(message.contains(&length.to_string()), "{message}");
        assert!(
            message.contains(&WASM32_PAYLOAD_LEN_MAX.to_string()),
            "{message}"
        );
    }

    fn error(module: &[u8]) -> WasmError {
        let error = inject(module, &[][..], &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), base_of(module).unwrap_err().to_string());
        error
    }

    #[test]
    fn a_module_that_is_no_base_is_refused() {
        use WasmError as E;
        assert!(matches!(error(b""), E::NotAModule));
        assert!(matches!(error(b"\x7fELF\x02\x01\x01\0"), E::NotAModule));
        assert!(matches!(error(b"\0asm\x0d\0\x01\0"), E::Component));
        assert!(matches!(error(b"\0asm\x01\0\0\0"), E::NoMemory));
        for memory in [None, Some(true)] {
            let data = false;
            let module = Parts {
                memory,
                data,
                ..BASE
            }
            .module();
            assert!(matches!(error(&module), E::NoMemory));
        }
        let len_export = "other";
        let module = Parts { len_export, ..BASE }.module();
        assert!(matches!(error(&module), E::MissingExport { name } if name == PAYLOAD_LEN));
        let module = Parts {
            len_type: 1,
            ..BASE
        }
        .module();
        assert!(matches!(error(&module), E::ExportSignature { name, .. } if name == PAYLOAD_LEN));
    }

    #[test]
    fn an_invalid_base_is_refused() {
        let mut module = BASE.module();
        let call_missing = [0, 0x10, 0x63, 0x0b];
        let body = [0, 0x41, 7, 0x0b];
        let at = module.windows(4).position(|bytes| bytes == body).unwrap();
        module[at..at + 4].copy_from_slice(&call_missing);
        let error = inject(module.as_slice(), &[][..], &mut Vec::new()).unwrap_err();
        assert!(matches!(error, WasmError::Invalid(_)), "{error}");
    }

    #[test]
    fn a_cut_module_is_refused() {
        let module = injected(&BASE.module(), b"payload");
        for length in 0..module.len() {
            base_of(&module[..length]).expect_err("it is cut");
        }
    }

    #[test]
    fn a_damaged_module_never_panics() {
        let module = injected(&BASE.module(), b"payload");
        for index in 0..module.len() {
            for bit in 0..8 {
                let mut damaged = module.clone();
                damaged[index] ^= 1 << bit;
                let _ = base_of(&damaged);
                let _ = inject(&damaged, b"another".as_slice(), &mut Vec::new());
            }
        }
    }

    #[test]
    fn another_length_than_that_of_the_segment_is_refused() {
        let mut module = injected(&BASE.module(), b"payload");
        let body = len_body(7);
        let mut at = module.windows(body.len()).enumerate();
        // The first is that of the other function.
        let at = at.rfind(|(_, bytes)| *bytes == body).unwrap().0;
        module[at + 2] = 6;
        assert!(matches!(base_of(&module), Err(WasmError::PayloadSegment)));
    }
}
