//! Injecting into modules that are made here: what is refused, and what a guest then reads.

use super::program::Place;
use super::*;
use encoderfile::container::component::Locator;
use std::ops::Range;
use wasm_encoder::{
    CodeSection, ComponentSectionId, ConstExpr, CustomSection, DataSection, EntityType, ExportKind,
    ExportSection, Function, FunctionSection, ImportSection, MemorySection, Module, TypeSection,
};
use wasmparser::Parser;
use wasmtime::{Engine, Instance, Linker, Memory, Store, TypedFunc};

/// A module like the base, with what the tests change.
struct Parts {
    export: &'static str,
    /// Of the export.
    of: u32,
    memory: Option<bool>,
    data: bool,
    custom: &'static [u8],
}

const BASE: Parts = Parts {
    export: PAYLOAD,
    of: 0,
    memory: Some(false),
    data: true,
    custom: b"anything",
};

impl Parts {
    fn module(&self) -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([], [wasm_encoder::ValType::I64]);
        types.ty().function([wasm_encoder::ValType::I32; 3], []);
        types.ty().function([wasm_encoder::ValType::I32], []);
        let mut imports = ImportSection::new();
        let exit = EntityType::Function(2);
        imports.import("wasi_snapshot_preview1", "proc_exit", exit);
        let mut functions = FunctionSection::new();
        functions.function(0).function(1).function(self.of);
        let mut exports = ExportSection::new();
        // The imported function is number 0, others are number 1 and 2.
        exports.export(self.export, ExportKind::Func, 3);
        let mut code = CodeSection::new();
        let mut nothing = Function::new([]);
        nothing.instructions().end();
        let [none, nothing] = [Place::body(None), nothing.into_raw_body()];
        code.raw(&none).raw(&nothing);
        code.raw(if self.of == 0 { &none } else { &nothing });

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

/// A component like the base: the module, and behind it another one that can carry no payload.
fn component_of(module: &[u8]) -> Vec<u8> {
    let mut component = wasm_encoder::Component::new();
    let other = Parts {
        export: "other",
        ..BASE
    }
    .module();
    for data in [module, &other] {
        component.section(&wasm_encoder::RawSection {
            id: ComponentSectionId::CoreModule.into(),
            data,
        });
    }
    component.finish()
}

/// A base of each kind.
fn bases(parts: &Parts) -> [Vec<u8>; 2] {
    let module = parts.module();
    let component = component_of(&module);
    [module, component]
}

fn validate(file: &[u8]) {
    let features = wasmparser::WasmFeatures::default() | wasmparser::WasmFeatures::COMPONENT_MODEL;
    let mut validator = Validator::new_with_features(features);
    validator.validate_all(file).unwrap();
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
        for base in bases(&Parts { data, ..BASE }) {
            let stripped = base_of(base.as_slice()).unwrap();
            validate(&stripped);
            assert_eq!(base_of(&stripped).unwrap(), stripped);
            for length in [0, 1, 127, 128, 70_000, 3 << 20] {
                let payload = payload(length);
                let file = injected(&base, &payload);
                assert_eq!(base_of(&file).unwrap(), stripped, "{length}");
                assert_eq!(injected(&stripped, &payload), file, "{length}");
                // The payload that is there is replaced.
                assert_eq!(injected(&injected(&base, b"other"), &payload), file);
            }
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
    validate(&module);
    assert!(module.ends_with(&payload));
}

#[test]
fn a_component_validates_and_its_end_says_where_the_payload_is() {
    let payload = payload(70_000);
    let [_, base] = bases(&BASE);
    let component = injected(&base, &payload);
    validate(&component);
    let (_, end) = component.split_last_chunk().unwrap();
    let Locator { offset, length } = Locator::parse(end).unwrap();
    let place = usize::try_from(offset).unwrap()..usize::try_from(offset + length).unwrap();
    assert!(component[place] == payload);
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

    /// Where its payload is.
    fn place(&mut self) -> Range<usize> {
        let place = self.instance.get_typed_func(&mut self.store, PAYLOAD);
        let place: TypedFunc<(), u64> = place.unwrap();
        let place = place.call(&mut self.store, ()).unwrap();
        let (address, length) = (place >> 32, place & 0xFFFF_FFFF);
        usize::try_from(address).unwrap()..usize::try_from(address + length).unwrap()
    }

    fn payload(&mut self) -> &[u8] {
        let place = self.place();
        &self.memory.data(&self.store)[place]
    }
}

#[test]
fn the_payload_is_in_memory_on_pages_of_its_own() {
    for data in [true, false] {
        for length in [1, 50_000, 65_536, 65_537] {
            let payload = payload(length);
            let base = Parts { data, ..BASE }.module();
            let mut guest = Guest::start(&injected(&base, &payload));
            assert_eq!(guest.payload(), payload);
            assert_eq!(guest.place().start, 65_536);
            let memory = guest.memory.data(&guest.store);
            assert_eq!(memory.len(), 65_536 + length.next_multiple_of(65_536));
            assert_eq!(&memory[16..21], if data { b"hello" } else { &[0; 5] });
        }
    }
}

#[test]
fn the_base_has_no_payload() {
    let module = injected(&BASE.module(), &payload(50_000));
    let mut guest = Guest::start(&base_of(&module).unwrap());
    assert_eq!(guest.place(), 0..0);
    assert_eq!(guest.memory.data(&guest.store).len(), 65_536);
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
    for base in bases(&BASE) {
        let mut out = Vec::new();
        let error = inject(base.as_slice(), &payload, &mut out).unwrap_err();
        assert!(matches!(error, WasmError::PayloadTooLarge { .. }));
        assert!(out.is_empty());
        let message = error.to_string();
        assert!(message.contains(&length.to_string()), "{message}");
        assert!(
            message.contains(&WASM32_PAYLOAD_LEN_MAX.to_string()),
            "{message}"
        );
    }
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
    assert!(matches!(
        error(b"\0asm\x0d\0\x01\0"),
        E::MissingExport { name: PAYLOAD }
    ));
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
    let export = "other";
    let module = Parts { export, ..BASE }.module();
    assert!(matches!(error(&module), E::MissingExport { name } if name == PAYLOAD));
    let module = Parts { of: 1, ..BASE }.module();
    assert!(matches!(error(&module), E::ExportSignature { name, .. } if name == PAYLOAD));
}

#[test]
fn an_invalid_base_is_refused() {
    let mut module = BASE.module();
    let call_missing = [0, 0x10, 0x63, 0x0b];
    // That of the function that has nothing to do with the payload.
    let body = [0, 0x42, 0, 0x0b];
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

/// Anywhere but between two of its sections: it has no end of its own, but the locator that a reader
/// of payloads needs.
#[test]
fn a_cut_component_is_refused() {
    let [_, base] = bases(&BASE);
    let component = injected(&base, b"payload");
    let whole: Vec<usize> = (0..component.len())
        .filter(|length| base_of(&component[..*length]).is_ok())
        .collect();
    let modules: Vec<usize> = Parser::new(0)
        .parse_all(&component)
        .filter_map(|section| match section.unwrap() {
            wasmparser::Payload::ModuleSection {
                unchecked_range, ..
            } => Some(unchecked_range.end),
            _ => None,
        })
        .collect();
    assert_eq!(whole, modules);
}

#[test]
fn a_damaged_file_never_panics() {
    for base in bases(&BASE) {
        let file = injected(&base, b"payload");
        for index in 0..file.len() {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[index] ^= 1 << bit;
                let _ = base_of(&damaged);
                let _ = is_snapshot(&damaged);
                let _ = place_in(&damaged);
                let _ = inject(&damaged, b"another".as_slice(), &mut Vec::new());
            }
        }
    }
}

#[test]
fn another_length_than_that_of_the_segment_is_refused() {
    let mut module = injected(&BASE.module(), b"payload");
    let mut guest = Guest::start(&module);
    let place = guest.place();
    assert_eq!(place.len(), 7);
    let number = (u64::try_from(place.start).unwrap() << 32) | 7;
    let mut body = Function::new([]);
    body.instructions().i64_const(number.cast_signed());
    let body = body.into_raw_body();
    let at = module.windows(body.len()).position(|bytes| bytes == body);
    // The length is in the lowest bits.
    module[at.unwrap() + 2] = 0x80 | 6;
    assert!(matches!(base_of(&module), Err(WasmError::PayloadSegment)));
}
