//! Parquet and Arrow, which `encoderfile infer` reads and writes.
//!
//! Rows of results are kept as Arrow's stream format while a file is unfinished; the file is made of
//! them with batches and row groups of fixed sizes, so that its bytes do not depend on how often a run
//! was ended.

mod columns;
mod source;
mod table;

use anyhow::Context;
use encoderfile_infer::{Columnar, Columns, Format, InputFormat, Layout, Schema, Source};
use source::Batches;
use std::fs::File;
use std::path::Path;
use table::Table;

/// Both formats.
pub struct ParquetAndArrow;

impl Columnar for ParquetAndArrow {
    fn open(
        &self,
        path: &Path,
        format: InputFormat,
        columns: &Columns,
    ) -> anyhow::Result<Box<dyn Source>> {
        let file = File::open(path)?;
        let batches = Batches::open(file, format, columns);
        Ok(Box::new(batches.with_context(|| format!("as {format}"))?))
    }

    fn layout(&self, format: Format, schema: &Schema) -> Box<dyn Layout> {
        Box::new(Table::new(format, schema))
    }
}
