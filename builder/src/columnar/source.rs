//! Reading rows.

use super::columns::{Integers, Texts};
use anyhow::bail;
use arrow_array::RecordBatch;
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, Schema};
use encoderfile::{Bug, panics};
use encoderfile_infer::{Columns, Id, Ids, InputFormat, Places, Row, Source};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::io::{BufReader, Read, Seek};

/// What begins Arrow's file format, and not its stream format.
const ARROW_FILE: [u8; 6] = *b"ARROW1";

type Reader = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// A file's batches, and the row that is next.
pub(super) struct Batches {
    reader: Reader,
    columns: Columns,
    ids: Option<Ids>,
    batch: Option<Batch>,
    /// Within the batch.
    next: usize,
    /// Rows read.
    rows: u64,
    /// Rows of the file, where it says so.
    total: Option<u64>,
}

/// The columns that are read of a batch.
struct Batch {
    rows: usize,
    text: Texts,
    pair: Option<Texts>,
    id: Option<IdColumn>,
}

enum IdColumn {
    Integers(Integers),
    Texts(Texts),
}

impl Batches {
    /// The file, as its magic says: Arrow's is either a file or a stream.
    ///
    /// A damaged one makes the libraries fail, or panic.
    pub(super) fn open(file: File, format: InputFormat, columns: &Columns) -> anyhow::Result<Self> {
        of_library(|| match format {
            InputFormat::Parquet => Self::of_parquet(file, columns),
            _ => Self::of_arrow(file, columns),
        })
    }

    fn of_parquet(file: File, columns: &Columns) -> anyhow::Result<Self> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
        let places = places(builder.schema(), columns)?;
        let metadata = builder.metadata().file_metadata();
        let total = u64::try_from(metadata.num_rows()).ok();
        let roots = [Some(places.text), places.pair, places.id];
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots.into_iter().flatten());
        let schema = builder.schema().clone();
        let reader = builder.with_projection(mask).build()?;
        let mut batches = Self::new(Box::new(reader), &schema, columns, places)?;
        batches.total = total;
        Ok(batches)
    }

    fn of_arrow(mut file: File, columns: &Columns) -> anyhow::Result<Self> {
        let mut magic = [0; ARROW_FILE.len()];
        let is_file = file.read_exact(&mut magic).is_ok() && magic == ARROW_FILE;
        file.rewind()?;
        if is_file {
            let reader = FileReader::try_new_buffered(file, None)?;
            let schema = reader.schema();
            let places = places(&schema, columns)?;
            return Self::new(Box::new(reader), &schema, columns, places);
        }
        let reader = StreamReader::try_new(BufReader::new(file), None)?;
        let schema = reader.schema();
        let places = places(&schema, columns)?;
        Self::new(Box::new(reader), &schema, columns, places)
    }

    fn new(
        reader: Reader,
        schema: &Schema,
        columns: &Columns,
        places: Places,
    ) -> anyhow::Result<Self> {
        let field = |place: usize| schema.field(place);
        for place in [Some(places.text), places.pair].into_iter().flatten() {
            if !Texts::has(field(place).data_type()) {
                let (name, kind) = (field(place).name(), field(place).data_type());
                bail!("the column `{name}` has no strings but {kind}");
            }
        }
        let ids = match places.id.map(field) {
            None => None,
            Some(field) if Integers::has(field.data_type()) => Some(Ids::Integers),
            Some(field) if Texts::has(field.data_type()) => Some(Ids::Texts),
            Some(field) => bail!(
                "the column `{}` has neither integers nor strings but {}",
                field.name(),
                field.data_type()
            ),
        };
        Ok(Self {
            reader,
            columns: columns.clone(),
            ids,
            batch: None,
            next: 0,
            rows: 0,
            total: None,
        })
    }

    /// The columns of a batch by their names: Parquet's has no others.
    fn read_batch(&self, batch: &RecordBatch) -> anyhow::Result<Batch> {
        let schema = batch.schema();
        let Places { text, pair, id } = places(&schema, &self.columns)?;
        let texts = |place: usize| Texts::of(batch.column(place));
        let ids = |place: usize| {
            let column = batch.column(place);
            Ok::<_, anyhow::Error>(match self.ids {
                Some(Ids::Integers) => IdColumn::Integers(Integers::of(column)?),
                _ => IdColumn::Texts(Texts::of(column)?),
            })
        };
        Ok(Batch {
            rows: batch.num_rows(),
            text: texts(text)?,
            pair: pair.map(texts).transpose()?,
            id: id.map(ids).transpose()?,
        })
    }
}

/// What a library makes of a file; where it panics, the file is none that it expects.
fn of_library<T>(read: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    match panics::catch(read) {
        Ok(result) => result,
        Err(Bug::Panic { message }) => bail!("damaged: {message}"),
        Err(bug) => Err(bug.into()),
    }
}

fn places(schema: &Schema, columns: &Columns) -> anyhow::Result<Places> {
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|it| it.name().as_str())
        .collect();
    columns.find(&names)
}

impl Batch {
    fn row(&self, place: usize, number: u64, columns: &Columns) -> Row {
        let name = |name: &Option<String>, default: &str| {
            name.clone().unwrap_or_else(|| default.to_owned())
        };
        let id = match &self.id {
            None => Ok(None),
            Some(IdColumn::Integers(ids)) => ids.get(place).map(|id| Some(Id::Integer(id))),
            Some(IdColumn::Texts(ids)) => ids.get(place).map(|id| Some(Id::Text(id.to_owned()))),
        };
        let id = id.map_err(|problem| format!("`{}` {problem}", name(&columns.id, "id")));
        let first = self.text.get(place);
        let first = first.map_err(|problem| format!("`{}` {problem}", columns.text));
        let second = self.pair.as_ref().map(|pair| pair.get(place)).transpose();
        let second =
            second.map_err(|problem| format!("`{}` {problem}", name(&columns.pair, "text_pair")));
        let item = match (&id, first, second) {
            (Err(problem), ..) => Err(problem.clone()),
            (_, Err(problem), _) | (_, _, Err(problem)) => Err(problem),
            (_, Ok(first), Ok(Some(second))) => Ok((first, second).into()),
            (_, Ok(first), Ok(None)) => Ok(first.into()),
        };
        Row {
            number,
            id: id.unwrap_or_default(),
            item,
        }
    }
}

impl Source for Batches {
    fn read(&mut self) -> anyhow::Result<Option<Row>> {
        loop {
            if let Some(batch) = self.batch.as_ref().filter(|it| self.next < it.rows) {
                self.rows += 1;
                let row = batch.row(self.next, self.rows, &self.columns);
                self.next += 1;
                return Ok(Some(row));
            }
            let reader = &mut self.reader;
            match of_library(|| Ok(reader.next().transpose()?))? {
                None => return Ok(None),
                Some(batch) => self.batch = Some(self.read_batch(&batch)?),
            }
            self.next = 0;
        }
    }

    fn ids(&self) -> Option<Ids> {
        self.ids
    }

    fn unit(&self) -> &'static str {
        "row"
    }

    fn fraction(&self) -> Option<f64> {
        Some(self.rows as f64 / self.total.filter(|it| *it > 0)? as f64)
    }
}
