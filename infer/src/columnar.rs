//! Formats whose code is larger than a base program, which a program may have beside those here.

use crate::cli::{Format, InputFormat};
use crate::layout::{Layout, Schema};
use crate::rows::{Columns, Source};
use std::fmt::Display;
use std::path::Path;

/// Parquet and Arrow.
pub trait Columnar: Sync {
    /// The rows of a file.
    ///
    /// # Errors
    /// What the system says; that it is no such file, or lacks a column.
    fn open(
        &self,
        path: &Path,
        format: InputFormat,
        columns: &Columns,
    ) -> anyhow::Result<Box<dyn Source>>;

    /// What results are written as.
    fn layout(&self, format: Format, schema: &Schema) -> Box<dyn Layout>;
}

/// That a program has no such format, and which has.
pub(crate) fn absent(format: impl Display) -> String {
    format!("{format} is read and written by the tool alone: encoderfile infer FILE.encoderfile …")
}
