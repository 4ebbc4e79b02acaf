//! `serve` and `mcp`: one model, every dialect, one process; and `health`, which asks it.
//!
//! [`engine`] is what computes. HTTP's dialects are the crate `encoderfile_dialects`, which [`http`]
//! serves; the others are [`grpc`] and [`mcp`]. Each turns its requests into texts and `Options`, and
//! predictions into its answers, and nothing else.
#![forbid(unsafe_code)]

mod engine;
mod grpc;
mod health;
mod http;
#[doc(hidden)]
pub mod in_process;
mod keys;
mod listen;
mod mcp;
mod metrics;
#[cfg(test)]
mod options;
mod run;
mod settings;
mod stop;
mod telemetry;

pub use health::health;
pub use run::{mcp, serve};
pub use settings::{Health, Mcp, Serve};
