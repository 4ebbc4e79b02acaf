//! A model: texts in, values out.
//!
//! [`Encoder::load`] makes a model of a checked payload, and a [`Session`] turns
//! texts into [`Prediction`]s. There are no files, threads, clocks, environment
//! variables or sockets in this crate, which is why the same code runs natively,
//! under WASI and in a browser.
#![forbid(unsafe_code)]

mod encoder;
mod error;
mod finite;
pub mod golden;
mod heads;
mod info;
#[cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]
pub mod json;
mod options;
pub mod output;
pub mod pooling;
pub mod precision;
mod processor;
mod repool;
mod session;
mod shared;
#[cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]
pub mod tokenizer;

pub use encoder::{Encoder, LoadTask};
pub use encoderfile_graph::BATCH_TOKENS;
pub use error::{
    Bug, Error, FileError, LimitedBy, OptionsError, PoolingProblem, RequestError, TaskProblem,
    detail, one_line,
};
pub use heads::Capability;
pub use info::Info;
pub use options::{
    Aggregation, Input, OPTIONS, OptionKind, OptionRow, Options, Overflow, Role, Side, Surface,
    TruncationStrategy, Vectors,
};
pub use output::{Prediction, TokenUsage, Values};
pub use repool::PoolingChoice;
pub use session::{Session, Work};
pub use shared::SharedOptions;
pub use tokenizer::{Tokenizer, Tokens};
