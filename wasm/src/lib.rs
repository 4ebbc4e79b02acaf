//! The runtime for JavaScript: one model in one WebAssembly instance.
//!
//! `npm/` beside this is the package around it, which fetches the bytes, keeps
//! instances in workers, and is what people call. An instance holds one model
//! and lives as long as it, so that what a model allocates is gone with it.
//!
//! **Invariant:** a JavaScript exception may leave any function here half-way,
//! with nothing dropped (see [`allocator`]). So nothing is borrowed or locked
//! across a computation; what it needs is taken out of [`model`] and put back.
#![cfg(target_family = "wasm")]

mod allocator;
mod bytes;
mod failure;
pub mod model;
pub mod tile;
