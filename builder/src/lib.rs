//! The library behind the `encoderfile` command: model folder in, one file out.
//!
//! [`build()`], [`inspect()`], [`extract()`], [`test()`] and [`run::run`] are its calls; the
//! command turns what was typed into their arguments, and prints what they give.
//!
//! [`folder`] reads the many dialects of model folders into one form, [`graph`]
//! splits the ONNX model, [`hub`] fetches a folder from the Hugging Face Hub, [`assemble`] checks
//! that the result runs and makes a payload of it, [`base`] knows the programs a payload can be
//! appended to, [`runtimes`] has or fetches them for each [`target`] from a [`release`], [`oci`] makes container
//! images of them, [`snapshot`] puts the memory of a loaded
//! model into a component, [`precompiled`] compiles modules for wasmtime, and [`output`] writes files. [`models_file`] lists many models, and [`fingerprint`] says which of
//! their files are up to date.

mod architecture;
pub mod assemble;
pub mod base;
pub mod build;
pub mod carried;
pub mod checkpoint;
pub mod columnar;
pub mod config_file;
pub mod error;
pub mod extract;
pub mod fingerprint;
pub mod folder;
pub mod graph;
pub mod hub;
pub mod inputs;
pub mod inspect;
pub mod models_file;
mod modules;
mod net;
pub mod oci;
pub mod output;
pub mod precision;
pub mod precompiled;
mod progress;
pub mod release;
pub mod run;
pub mod runtimes;
pub mod schema;
pub mod snapshot;
pub mod target;
pub mod test;
mod trial;
pub mod upstream;
pub mod wasm_payload;
pub mod wheel;

pub use build::build;
pub use error::BuildError;
pub use extract::extract;
pub use inspect::inspect;
pub use test::test;
