//! A wasm base program, and how a payload gets into it.

use crate::snapshot::{self, SnapshotError};
use crate::wasm_payload;
use encoderfile::Source;
use encoderfile::container::component::COMPONENT;
use std::io::Write;

/// A module or a component with room for a payload segment.
pub struct WasmBase {
    program: Vec<u8>,
    is_snapshot: bool,
}

impl From<Vec<u8>> for WasmBase {
    fn from(program: Vec<u8>) -> Self {
        let is_snapshot = false;
        Self {
            program,
            is_snapshot,
        }
    }
}

impl WasmBase {
    /// The same, whose files have the memory of the loaded model.
    ///
    /// # Errors
    /// [`SnapshotError::NotComponent`] for a module.
    pub fn snapshot(self) -> Result<Self, SnapshotError> {
        match self.program.starts_with(&COMPONENT) {
            true => Ok(Self {
                is_snapshot: true,
                ..self
            }),
            false => Err(SnapshotError::NotComponent),
        }
    }

    /// The program without a payload.
    pub fn program(&self) -> &[u8] {
        &self.program
    }

    /// Writes it with a payload.
    ///
    /// # Errors
    /// [`SnapshotError`], which is [`SnapshotError::Wasm`] of all that a base cannot carry.
    pub fn write_with(
        &self,
        payload: &dyn Source,
        out: &mut dyn Write,
    ) -> Result<(), SnapshotError> {
        match self.is_snapshot {
            true => snapshot::write_with(&self.program, payload, out),
            false => Ok(wasm_payload::inject(&self.program, payload, out)?),
        }
    }
}
