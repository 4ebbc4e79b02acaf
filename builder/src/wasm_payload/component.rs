//! A component with a payload: its sections as they are, but for the core module that carries the
//! payload, and behind them a custom section that says where the payload is.

use super::program::{Place, Program};
use super::skeleton::{Section, Skeleton, read, sections};
use super::{WasmError, copy, payload_len};
use encoderfile::Source;
use encoderfile::container::component::{LOCATOR_LEN, Locator, SECTION};
use encoderfile::source::{ReadError, checked_range};
use std::io::Write;
use std::ops::Range;
use wasm_encoder::{ComponentSectionId, Encode};
use wasmparser::{Validator, WasmFeatures};

/// A component, taken apart.
pub(super) struct Component<'a, S: ?Sized> {
    file: &'a S,
    /// All before the section of the module.
    before: Range<u64>,
    /// The module that carries the payload.
    module: Range<u64>,
    /// All sections behind it, without ours.
    after: Range<u64>,
}

/// A part of a file.
struct Part<'a, S: ?Sized> {
    file: &'a S,
    range: Range<u64>,
}

impl<S: Source + ?Sized> Source for Part<'_, S> {
    fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let range = checked_range(offset, buffer.len() as u64, self.len())?;
        self.file.read_at(self.range.start + range.start, buffer)
    }
}

impl<'a, S: Source + ?Sized> Component<'a, S> {
    /// Finds the first module in it that can carry a payload.
    pub(super) fn read(file: &'a S) -> Result<Self, WasmError> {
        let end = without_locator(file)?;
        let mut found = Err(WasmError::MissingExport {
            name: super::PAYLOAD,
        });
        let mut is_first = true;
        for section in sections(file, end) {
            let Section { offset, id, body } = section?;
            if found.is_ok() || id != u8::from(ComponentSectionId::CoreModule) {
                continue;
            }
            let component = Self {
                file,
                before: 0..offset,
                after: body.end..end,
                module: body,
            };
            match component.check() {
                Ok(()) => found = Ok(component),
                Err(problem) if is_first => found = Err(problem),
                Err(_) => {}
            }
            is_first = false;
        }
        found
    }

    /// Whether its module can carry a payload.
    fn check(&self) -> Result<(), WasmError> {
        let skeleton = self.skeleton()?;
        self.program(&skeleton).map(drop)
    }

    /// Where the payload is in the module's memory.
    pub(super) fn place(&self) -> Result<Option<Place>, WasmError> {
        self.program(&self.skeleton()?)?.place()
    }

    /// Whether the module has the memory of a loaded model.
    pub(super) fn is_snapshot(&self) -> Result<bool, WasmError> {
        Ok(self.program(&self.skeleton()?)?.loaded().is_some())
    }

    /// Writes it with another payload.
    pub(super) fn inject(
        &self,
        payload: &(impl Source + ?Sized),
        out: &mut dyn Write,
    ) -> Result<(), WasmError> {
        let length = payload_len(payload.len())?;
        let skeleton = self.skeleton()?;
        let program = self.program(&skeleton)?;
        let without_bytes = program.encode(Some(0))?;
        self.validate(&without_bytes)?;
        self.write(program.encode(Some(length))?, payload, out)
    }

    /// Writes a snapshot, as Wizer leaves it, with the payload that it was made of.
    pub(super) fn complete(
        &self,
        payload: &(impl Source + ?Sized),
        out: &mut dyn Write,
    ) -> Result<(), WasmError> {
        let skeleton = self.skeleton()?;
        let program = self.program(&skeleton)?;
        let place = program.loaded().ok_or(WasmError::PayloadSegment)?;
        if place.range().len() as u64 != payload.len() {
            return Err(WasmError::PayloadSegment);
        }
        self.write(program.encode_snapshot()?, payload, out)
    }

    /// Writes it with a module of which `head` is all before the payload.
    fn write(
        &self,
        head: Vec<u8>,
        payload: &(impl Source + ?Sized),
        out: &mut dyn Write,
    ) -> Result<(), WasmError> {
        let module_len = head.len() as u64 + payload.len();
        let module_len = u32::try_from(module_len).map_err(|_| WasmError::PayloadTooLarge {
            length: payload.len(),
            length_max: encoderfile::limits::WASM32_PAYLOAD_LEN_MAX,
        })?;
        let mut bytes = read(self.file, self.before.clone())?;
        ComponentSectionId::CoreModule.encode(&mut bytes);
        module_len.encode(&mut bytes);
        bytes.extend(head);
        let locator = Locator {
            offset: bytes.len() as u64,
            length: payload.len(),
        };
        out.write_all(&bytes)?;
        copy(payload, out)?;
        out.write_all(&read(self.file, self.after.clone())?)?;
        Ok(out.write_all(&locator_section(locator))?)
    }

    /// Without a payload.
    pub(super) fn base(&self) -> Result<Vec<u8>, WasmError> {
        let skeleton = self.skeleton()?;
        self.with_module(&self.program(&skeleton)?.encode(None)?)
    }

    fn with_module(&self, module: &[u8]) -> Result<Vec<u8>, WasmError> {
        let mut bytes = read(self.file, self.before.clone())?;
        ComponentSectionId::CoreModule.encode(&mut bytes);
        module.encode(&mut bytes);
        bytes.extend(read(self.file, self.after.clone())?);
        Ok(bytes)
    }

    /// Everything but the payload's own bytes, which no rule looks at.
    fn validate(&self, module: &[u8]) -> Result<(), WasmError> {
        let features = WasmFeatures::default() | WasmFeatures::COMPONENT_MODEL;
        Validator::new_with_features(features)
            .validate_all(&self.with_module(module)?)
            .map(drop)
            .map_err(WasmError::Invalid)
    }

    fn part(&self) -> Part<'_, S> {
        Part {
            file: self.file,
            range: self.module.clone(),
        }
    }

    fn skeleton(&self) -> Result<Skeleton, WasmError> {
        Skeleton::read(&self.part())
    }

    fn program<'s>(&self, skeleton: &'s Skeleton) -> Result<Program<'s>, WasmError> {
        Program::parse(&self.part(), skeleton)
    }
}

/// The custom section with which a component ends.
fn locator_section(locator: Locator) -> Vec<u8> {
    let mut body = Vec::new();
    SECTION.encode(&mut body);
    body.extend(locator.to_bytes());
    let mut section = Vec::new();
    ComponentSectionId::CoreCustom.encode(&mut section);
    body.as_slice().encode(&mut section);
    section
}

/// Where the sections end that are not ours.
fn without_locator(file: &(impl Source + ?Sized)) -> Result<u64, WasmError> {
    let place = Locator {
        offset: 0,
        length: 0,
    };
    let ours = locator_section(place);
    let Some(start) = file.len().checked_sub(ours.len() as u64) else {
        return Ok(file.len());
    };
    let mut found = vec![0; ours.len()];
    file.read_at(start, &mut found)
        .map_err(WasmError::ReadModule)?;
    let head = ours.len() - LOCATOR_LEN;
    let is_ours = found[..head] == ours[..head]
        && found[head..]
            .first_chunk()
            .is_some_and(|it| Locator::parse(it).is_some());
    Ok(if is_ours { start } else { file.len() })
}
