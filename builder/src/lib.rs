//! The library behind the `encoderfile` command: model folder in, one file out.
//!
//! [`folder`] reads the many dialects of model folders into one form, [`graph`]
//! splits the ONNX model, [`assemble`] checks that the result runs and makes a
//! payload of it, [`base`] knows the programs a payload can be appended to, and
//! [`output`] writes files that are complete or absent.

pub mod assemble;
pub mod base;
pub mod config_file;
pub mod error;
pub mod extract;
pub mod file;
pub mod folder;
pub mod graph;
pub mod inspect;
pub mod output;
mod panics;
pub mod run;
pub mod upstream;
pub mod wasm_payload;

pub use error::BuildError;
