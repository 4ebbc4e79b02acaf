//! What the sections of a module say.

use super::WasmError;
use wasmparser::{
    BinaryReaderError, Export, ExternalKind, FuncType, MemoryType, Parser, Payload, TypeRef,
    ValType,
};

/// What a module's sections say, as far as it is needed here.
#[derive(Default)]
pub(super) struct Outline<'a> {
    pub(super) sections: Vec<(u8, &'a [u8])>,
    types: Vec<FuncType>,
    /// The types of all functions, first those of the imported ones.
    functions: Vec<u32>,
    imported_functions: usize,
    has_imported_memory: bool,
    /// Those that are defined.
    pub(super) memories: Vec<MemoryType>,
    /// How many sections are before the memories.
    pub(super) before_memories: usize,
    exports: Vec<Export<'a>>,
    pub(super) bodies: Vec<&'a [u8]>,
    pub(super) segment_count: u32,
}

impl<'a> Outline<'a> {
    pub(super) fn parse(module: &'a [u8]) -> Result<Self, BinaryReaderError> {
        let mut outline = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload?;
            let rewritten = matches!(
                payload,
                Payload::CustomSection(_)
                    | Payload::DataCountSection { .. }
                    | Payload::MemorySection(_)
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
                        TypeRef::Memory(_) => self.has_imported_memory = true,
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
                self.before_memories = self.sections.len();
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

    /// Memory 0, if it is this module's own and has 32-bit addresses and pages of 64 KiB.
    pub(super) fn memory(&self) -> Option<MemoryType> {
        let first = self
            .memories
            .first()
            .filter(|_| !self.has_imported_memory)?;
        (!first.memory64 && !first.shared && first.page_size_log2.is_none()).then_some(*first)
    }

    /// The body of the exported function of this type.
    pub(super) fn function(
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
