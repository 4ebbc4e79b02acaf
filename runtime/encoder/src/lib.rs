//! A model: texts in, values out.
//!
//! [`Encoder::load`] makes a model of a checked payload, and a [`Session`] turns
//! texts into [`Prediction`]s. There are no files, threads, clocks, environment
//! variables or sockets in this crate, which is why the same code runs natively,
//! under WASI and in a browser.
#![forbid(unsafe_code)]

mod encoder;
mod error;
pub mod golden;
mod info;
#[cfg_attr(not(test), warn(clippy::indexing_slicing))]
pub mod json;
mod modules;
pub mod output;
pub mod pooling;
mod request;
#[cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]
pub mod tokenizer;

pub use encoder::{Encoder, Half, PoolingChoice, Session, Work};
pub use error::{
    Bug, Error, FileError, LimitedBy, OptionsError, PoolingProblem, RequestError, TaskProblem,
    detail, one_line,
};
pub use info::Info;
pub use output::{Prediction, TokenUsage, Values};
pub use request::{Aggregation, Input, Long, Options, Role, Side, Truncation};
pub use tokenizer::{Tokenizer, Tokens};
