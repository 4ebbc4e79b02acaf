//! The command `infer`, of every encoderfile and of the tool: rows in, results out.
//!
//! `rows` are read from files or arguments, the crate `encoderfile` computes them, and a
//! [`Layout`] says how results are written: as they come (`stream`), or to a file whose parts are
//! kept until all are there (`unfinished`). Parquet and Arrow are [`Columnar`], which a program
//! brings along.

mod cli;
mod columnar;
mod command;
mod layout;
mod opened;
mod options;
mod progress;
mod rows;
mod stream;
mod tally;
mod unfinished;

pub use cli::{Format, Infer, InputFormat, Texts};
pub use columnar::Columnar;
pub use command::{run, tokenize};
pub use layout::{Ids, Kind, Layout, Output, Part, Schema};
pub use opened::Opened;
pub use options::Flags;
pub use rows::{Columns, Id, Places, Row, Source};

/// Whoever read our output has seen enough (`… | head`).
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let cause = cause.downcast_ref::<std::io::Error>();
        cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
