//! One encoder model in one file: open it, and get embeddings, labels and scores.
//!
//! ```
//! use encoderfile::{Model, Options};
//!
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/all-MiniLM-L6-v2.ef");
//! let model = Model::open(path)?;
//! let texts = ["How do I reset my password?", "Our office is in Berlin."];
//! let alike = model.similarity("I forgot my login", texts, &Options::default())?;
//! assert!(alike[0] > alike[1]);
//! # Ok::<(), encoderfile::Error>(())
//! ```
//!
//! [`Model`] is what programs use: `Send`, `Sync`, and a clone of it is the same model.
//! [`Item`] is what a result is computed for, [`Options`] says how, a [`Prediction`] is
//! the result, and [`Error`] says who is at fault. An [`Executor`] is the threads that a
//! model has.
//!
//! This is where files, threads and panics are dealt with, once for every frontend. The
//! crates below, `format`, `graph` and `encoder`, turn bytes and texts into values and
//! nothing else; what frontends need of them is here too.

mod executor;
#[cfg(not(target_os = "unknown"))]
pub mod file;
mod item;
mod model;
#[cfg(not(target_os = "unknown"))]
pub mod output_file;
pub mod panics;
mod parallel;
mod request;

pub use executor::Executor;
pub use item::Item;
pub use model::{Model, load};

pub use encoderfile_encoder::{
    Aggregation, BATCH_TOKENS, Bug, Capability, Encoder, Error, FileError, Info, Input, LimitedBy,
    LoadTask, OPTIONS, OptionKind, OptionRow, Options, OptionsError, Overflow, PoolingChoice,
    PoolingProblem, Prediction, RequestError, Role, Session, SharedOptions, Side, Surface,
    TaskProblem, TokenUsage, Tokenizer, Tokens, TruncationStrategy, Values, Vectors, Work, detail,
    golden, json, one_line, output, pooling, precision, tokenizer,
};
pub use encoderfile_format::{
    Payload, Source, Threads, container, limits, manifest, source, weights,
};
pub use encoderfile_graph as graph;
pub use encoderfile_graph::GraphError;
pub use encoderfile_proto as proto;
pub use encoderfile_proto::onnx;
