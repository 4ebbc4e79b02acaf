//! Writing results.

use anyhow::Context;
use arrow_array::builder::{Float32Builder, Int32Builder, Int64Builder, StringBuilder};
use arrow_array::types::{Float16Type, Float32Type, Int8Type, UInt8Type};
use arrow_array::{ArrayRef, FixedSizeListArray, PrimitiveArray, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};
use arrow_select::coalesce::BatchCoalescer;
use encoderfile::precision::{Precision, Quantized};
use encoderfile_infer::{Format, Id, Ids, Kind, Layout, Output, Part, Schema};
use half::f16;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::io::{BufReader, Write};
use std::sync::Arc;

/// Rows of a batch in an unfinished part.
const PART_BATCH: usize = 1024;
/// Rows of a batch in the file.
const BATCH: usize = 4096;
/// Rows of a row group: a writer holds one in memory.
const ROW_GROUP: usize = 4 * BATCH;

const EMBEDDING: &str = "embedding";
/// Of a list.
const ITEM: &str = "item";

/// Columns of results.
pub(super) struct Table {
    format: Format,
    schema: SchemaRef,
    columns: Vec<Column>,
    /// In the columns.
    rows: usize,
    batches: Vec<RecordBatch>,
    /// About how many bytes the batches and columns have.
    pending: usize,
}

/// A column that grows.
enum Column {
    IntegerIds(Int64Builder),
    TextIds(StringBuilder),
    Vectors {
        numbers: Numbers,
        width: usize,
    },
    Scales(Float32Builder),
    Labels(StringBuilder),
    /// Of the best label, or of a pair.
    Scores(Float32Builder),
    Results(StringBuilder),
    TokensTotal(Int32Builder),
    TokensUsed(Int32Builder),
}

/// The numbers of all embeddings, one after another.
enum Numbers {
    Float32(Vec<f32>),
    Float16(Vec<f16>),
    Int8(Vec<i8>),
    UInt8(Vec<u8>),
}

impl Table {
    pub(super) fn new(format: Format, schema: &Schema) -> Self {
        let columns = columns(schema);
        let fields: Vec<Field> = columns.iter().map(Column::field).collect();
        Self {
            format,
            schema: Arc::new(arrow_schema::Schema::new(fields)),
            columns,
            rows: 0,
            batches: Vec::new(),
            pending: 0,
        }
    }

    fn end_batch(&mut self) -> anyhow::Result<()> {
        if self.rows > 0 {
            let columns: Result<_, _> = self.columns.iter_mut().map(Column::finish).collect();
            let batch = RecordBatch::try_new(self.schema.clone(), columns?)?;
            self.batches.push(batch);
            self.rows = 0;
        }
        Ok(())
    }

    /// Hands on all rows of the parts in batches of the same size, but for the last.
    fn batches(
        &self,
        parts: &[Part],
        mut hand_on: impl FnMut(RecordBatch) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut all = BatchCoalescer::new(self.schema.clone(), BATCH);
        for part in parts {
            let reader = StreamReader::try_new(BufReader::new(part.open()?), None)?;
            for batch in reader {
                all.push_batch(batch?)?;
                while let Some(batch) = all.next_completed_batch() {
                    hand_on(batch)?;
                }
            }
        }
        all.finish_buffered_batch()?;
        all.next_completed_batch().map_or(Ok(()), hand_on)
    }

    /// Of Parquet: embeddings do not get smaller by what makes other columns smaller.
    fn properties() -> WriterProperties {
        let embedding = ColumnPath::new([EMBEDDING, "list", ITEM].map(str::to_owned).to_vec());
        WriterProperties::builder()
            .set_created_by(concat!("encoderfile ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .set_compression(Compression::SNAPPY)
            .set_column_compression(embedding.clone(), Compression::UNCOMPRESSED)
            .set_column_dictionary_enabled(embedding.clone(), false)
            .set_column_statistics_enabled(embedding, EnabledStatistics::None)
            .build()
    }
}

fn columns(schema: &Schema) -> Vec<Column> {
    let mut columns = Vec::new();
    columns.extend(schema.ids.map(|ids| match ids {
        Ids::Integers => Column::IntegerIds(Int64Builder::new()),
        Ids::Texts => Column::TextIds(StringBuilder::new()),
    }));
    match schema.values {
        Kind::Embedding { dimensions } => {
            let width = schema.precision.width(dimensions);
            let numbers = Numbers::new(schema.precision);
            columns.push(Column::Vectors { numbers, width });
        }
        Kind::Label => {
            columns.push(Column::Labels(StringBuilder::new()));
            columns.push(Column::Scores(Float32Builder::new()));
        }
        Kind::Score => columns.push(Column::Scores(Float32Builder::new())),
        Kind::Other => columns.push(Column::Results(StringBuilder::new())),
    }
    if schema.precision.has_scale() {
        columns.push(Column::Scales(Float32Builder::new()));
    }
    columns.push(Column::TokensTotal(Int32Builder::new()));
    columns.push(Column::TokensUsed(Int32Builder::new()));
    columns
}

impl Column {
    fn field(&self) -> Field {
        let field = |name, kind| Field::new(name, kind, false);
        match self {
            Self::IntegerIds(_) => field("id", DataType::Int64),
            Self::TextIds(_) => field("id", DataType::Utf8),
            Self::Vectors { numbers, width } => {
                let item = Arc::new(numbers.field());
                field(EMBEDDING, DataType::FixedSizeList(item, length(*width)))
            }
            Self::Scales(_) => field("scale", DataType::Float32),
            Self::Labels(_) => field("label", DataType::Utf8),
            Self::Scores(_) => field("score", DataType::Float32),
            Self::Results(_) => field("result", DataType::Utf8),
            Self::TokensTotal(_) => Field::new("tokens_total", DataType::Int32, true),
            Self::TokensUsed(_) => Field::new("tokens_used", DataType::Int32, true),
        }
    }

    /// Adds the value of a row, and gives about how many bytes that is.
    fn push(&mut self, output: &Output<'_>) -> anyhow::Result<usize> {
        let usage = output.prediction.usage;
        let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let label = || output.label().context("no label");
        Ok(match self {
            Self::IntegerIds(ids) => {
                ids.append_value(match output.id {
                    Some(Id::Integer(id)) => *id,
                    other => anyhow::bail!("an id that is no integer: {other:?}"),
                });
                size_of::<i64>()
            }
            Self::TextIds(ids) => {
                let id = output.id.map(ToString::to_string).context("no id")?;
                ids.append_value(&id);
                id.len()
            }
            Self::Vectors { numbers, .. } => {
                numbers.push(output.vector.as_ref().context("no embedding")?)?
            }
            Self::Scales(scales) => {
                let vector = output.vector.as_ref();
                scales.append_value(vector.and_then(Quantized::scale).context("no scale")?);
                size_of::<f32>()
            }
            Self::Labels(labels) => {
                let (label, _) = label()?;
                labels.append_value(label);
                label.len()
            }
            Self::Scores(scores) => {
                let score = output.score().map_or_else(|| Ok(label()?.1), anyhow::Ok);
                scores.append_value(score?);
                size_of::<f32>()
            }
            Self::Results(results) => {
                let json = output.json()?;
                results.append_value(&json);
                json.len()
            }
            Self::TokensTotal(counts) => {
                counts.append_option(usage.map(|it| count(it.tokens_total)));
                size_of::<i32>()
            }
            Self::TokensUsed(counts) => {
                counts.append_option(usage.map(|it| count(it.tokens_used)));
                size_of::<i32>()
            }
        })
    }

    /// What there is, which leaves it empty.
    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::IntegerIds(ids) => Arc::new(ids.finish()),
            Self::TextIds(texts) | Self::Labels(texts) | Self::Results(texts) => {
                Arc::new(texts.finish())
            }
            Self::Vectors { numbers, width } => {
                let (item, values) = (Arc::new(numbers.field()), numbers.take());
                let lists = FixedSizeListArray::try_new(item, length(*width), values, None)?;
                Arc::new(lists)
            }
            Self::Scales(floats) | Self::Scores(floats) => Arc::new(floats.finish()),
            Self::TokensTotal(counts) | Self::TokensUsed(counts) => Arc::new(counts.finish()),
        })
    }
}

/// Of a list of fixed size; no embedding has so many numbers that this is another.
fn length(width: usize) -> i32 {
    i32::try_from(width).unwrap_or(i32::MAX)
}

impl Numbers {
    fn new(precision: Precision) -> Self {
        match precision {
            Precision::Float32 => Self::Float32(Vec::new()),
            Precision::Float16 => Self::Float16(Vec::new()),
            Precision::Int8 | Precision::Binary => Self::Int8(Vec::new()),
            Precision::Uint8 | Precision::Ubinary => Self::UInt8(Vec::new()),
        }
    }

    fn field(&self) -> Field {
        let kind = match self {
            Self::Float32(_) => DataType::Float32,
            Self::Float16(_) => DataType::Float16,
            Self::Int8(_) => DataType::Int8,
            Self::UInt8(_) => DataType::UInt8,
        };
        Field::new(ITEM, kind, false)
    }

    fn push(&mut self, vector: &Quantized<'_>) -> anyhow::Result<usize> {
        Ok(match (self, vector) {
            (Self::Float32(all), Quantized::Float32(values)) => {
                all.extend_from_slice(values);
                size_of_val(&**values)
            }
            (Self::Float16(all), Quantized::Float16(values)) => {
                all.extend_from_slice(values);
                size_of_val(&**values)
            }
            (Self::Int8(all), Quantized::Int8 { values, .. } | Quantized::Binary(values)) => {
                all.extend_from_slice(values);
                values.len()
            }
            (Self::UInt8(all), Quantized::Uint8 { values, .. } | Quantized::Ubinary(values)) => {
                all.extend_from_slice(values);
                values.len()
            }
            _ => anyhow::bail!("an embedding in other numbers"),
        })
    }

    fn take(&mut self) -> ArrayRef {
        match self {
            Self::Float32(values) => {
                Arc::new(PrimitiveArray::<Float32Type>::from(std::mem::take(values)))
            }
            Self::Float16(values) => {
                let values = std::mem::take(values).into_iter();
                Arc::new(PrimitiveArray::<Float16Type>::from_iter_values(values))
            }
            Self::Int8(values) => {
                Arc::new(PrimitiveArray::<Int8Type>::from(std::mem::take(values)))
            }
            Self::UInt8(values) => {
                Arc::new(PrimitiveArray::<UInt8Type>::from(std::mem::take(values)))
            }
        }
    }
}

impl Layout for Table {
    fn write(&mut self, output: &Output<'_>, _: u64, _: &mut Vec<u8>) -> anyhow::Result<()> {
        for column in &mut self.columns {
            self.pending += column.push(output)?;
        }
        self.rows += 1;
        match self.rows < PART_BATCH {
            true => Ok(()),
            false => self.end_batch(),
        }
    }

    fn pending(&self) -> usize {
        self.pending
    }

    fn end_part(&mut self, part: &mut Vec<u8>) -> anyhow::Result<()> {
        self.end_batch()?;
        let mut writer = StreamWriter::try_new(part, &self.schema)?;
        for batch in self.batches.drain(..) {
            writer.write(&batch)?;
        }
        self.pending = 0;
        Ok(writer.finish()?)
    }

    fn assemble(
        &self,
        _rows: u64,
        parts: &[Part],
        out: &mut (dyn Write + Send),
    ) -> anyhow::Result<()> {
        match self.format {
            Format::Parquet => {
                let properties = Some(Self::properties());
                let mut writer = ArrowWriter::try_new(out, self.schema.clone(), properties)?;
                self.batches(parts, |batch| Ok(writer.write(&batch)?))?;
                writer.close()?;
            }
            _ => {
                let mut writer = FileWriter::try_new(out, &self.schema)?;
                self.batches(parts, |batch| Ok(writer.write(&batch)?))?;
                writer.finish()?;
            }
        }
        Ok(())
    }
}
