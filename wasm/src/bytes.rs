//! The payload, which JavaScript holds: it arrives in chunks, and a copy of it
//! in here would stay for good, since WebAssembly memory never shrinks.

use encoderfile::source::{ReadError, Source};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// `bytes.ts`.
    pub type Bytes;

    /// The number of bytes.
    #[wasm_bindgen(method, getter)]
    fn length(this: &Bytes) -> f64;

    /// Fills `into` with the bytes from `offset`.
    #[wasm_bindgen(method, catch)]
    fn read(this: &Bytes, offset: f64, into: &mut [u8]) -> Result<(), JsValue>;

    /// Says that these bytes will not be read again.
    #[wasm_bindgen(method)]
    fn release(this: &Bytes, offset: f64, length: f64);
}

/// [`Bytes`] as the runtime reads them.
pub(crate) struct Payload {
    bytes: Bytes,
    length: u64,
}

// SAFETY: this target has one thread.
unsafe impl Send for Payload {}
// SAFETY: as above.
unsafe impl Sync for Payload {}

impl Payload {
    pub(crate) fn new(bytes: Bytes) -> Self {
        // A length in JavaScript is a whole number below 2^53.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a length"
        )]
        let length = bytes.length() as u64;
        Self { bytes, length }
    }
}

impl Source for Payload {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let read = self.bytes.read(offset as f64, buffer);
        read.map_err(|error| crate::failure::words(&error).into())
    }

    fn release(&self, offset: u64, length: u64) {
        self.bytes.release(offset as f64, length as f64);
    }
}
