//! The portable core of encoderfile: bytes in, values out.
//!
//! [`Payload::open`] checks a container, [`Encoder::load`] makes a model of it,
//! and a [`Session`] turns texts into [`Prediction`]s. There are no files,
//! threads, clocks, environment variables or sockets in this crate, which is
//! why the same code runs natively, under WASI and in a browser; bytes arrive
//! through the [`Source`] trait.

pub mod container;
mod cores;
mod encoder;
mod error;
pub mod golden;
pub mod graph;
mod info;
pub mod json;
pub mod limits;
mod modules;
pub mod output;
pub mod pooling;
mod request;
pub mod source;
pub mod tokenizer;
pub mod weights;

pub use container::Payload;
pub use encoder::{Encoder, Half, PoolingChoice, Session, Work};
pub use encoderfile_proto as proto;
pub use encoderfile_proto::onnx;
pub use error::{Error, detail, one_line};
pub use graph::GraphError;
pub use info::Info;
pub use output::{Prediction, TokenUsage, Values};
pub use request::{Aggregation, Input, Long, Options, Role, Side, Truncation};
pub use source::Source;
pub use tokenizer::{Tokenizer, Tokens};
