//! `serve` and `mcp`: one model, every dialect, one process.
//!
//! [`service`] is what the dialects call, [`engine`] what computes. The
//! dialects are in [`http`], [`grpc`] and [`mcp`]; each turns its requests into
//! texts and `Options`, and predictions into its answers, and nothing else.
#![forbid(unsafe_code)]

mod dialects;
mod engine;
mod failure;
mod fields;
mod grpc;
mod http;
mod json;
mod keys;
mod listen;
mod mcp;
mod metrics;
mod origins;
mod run;
mod service;
mod settings;
mod telemetry;

pub use run::{mcp, serve};
pub use settings::{Mcp, Serve};
