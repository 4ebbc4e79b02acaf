//! `serve` and `mcp`: one model, every dialect, one process; and `health`, which asks it.
//!
//! [`service`] is what the dialects call, [`engine`] what computes. HTTP's dialects are in
//! [`dialects`], which [`http`] serves; the others are [`grpc`] and [`mcp`]. Each turns its
//! requests into texts and `Options`, and predictions into its answers, and nothing else.
#![forbid(unsafe_code)]

mod dialects;
mod engine;
mod failure;
mod fields;
mod grpc;
mod health;
mod http;
#[doc(hidden)]
pub mod in_process;
mod json;
mod keys;
mod listen;
mod mcp;
mod metrics;
#[cfg(test)]
mod options;
mod origins;
mod run;
mod service;
mod settings;
mod stop;
mod telemetry;

pub use health::health;
pub use run::{mcp, serve};
pub use settings::{Health, Mcp, Serve};
