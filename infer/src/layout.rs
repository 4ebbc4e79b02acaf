//! What results are written as.
//!
//! A file is made of parts, each with some rows, that can be written at different times by different
//! runs: which rows are in which part is not seen in the file.

pub(crate) mod csv;
pub(crate) mod json;
pub(crate) mod npy;

use crate::cli::Format;
use crate::columnar::{self, Columnar};
use crate::rows::Id;
use anyhow::{Context, bail};
use encoderfile::precision::{Precision, Quantized};
use encoderfile::{Model, Options, Prediction, Values};
use serde::Serialize;
use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read, Write};
use std::path::PathBuf;

/// The columns of a file of results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Schema {
    /// `id`; `None` without it.
    pub ids: Option<Ids>,
    /// What the model computes.
    pub values: Kind,
    /// Of an embedding.
    pub precision: Precision,
}

/// What ids are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ids {
    /// Integers of 64 bits.
    Integers,
    /// Strings.
    Texts,
}

impl fmt::Display for Ids {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Integers => "integers",
            Self::Texts => "strings",
        })
    }
}

/// What a model computes, as columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `embedding`, and for int8 its `scale`.
    Embedding {
        /// How many numbers it has.
        dimensions: usize,
    },
    /// `label` and `score`.
    Label,
    /// `score`.
    Score,
    /// `result`, as JSON.
    Other,
}

impl Kind {
    /// What the model computes of a text with these options: it is tried.
    pub(crate) fn of(model: &Model, options: &Options) -> Self {
        match model.infer("a", options).map(|it| it.values) {
            Ok(Values::SentenceEmbedding { embedding }) => Self::Embedding {
                dimensions: embedding.len(),
            },
            Ok(Values::SequenceClassification { .. } | Values::ZeroShot { .. }) => Self::Label,
            Ok(Values::Score { .. }) => Self::Score,
            _ => Self::Other,
        }
    }
}

/// A result, and what belongs to it.
pub struct Output<'a> {
    /// Of its row.
    pub id: Option<&'a Id>,
    /// What was computed.
    pub prediction: &'a Prediction,
    /// A sentence embedding in the numbers that were asked for.
    pub vector: Option<Quantized<'a>>,
}

impl Output<'_> {
    /// The best label and its score.
    pub fn label(&self) -> Option<(&str, f32)> {
        match &self.prediction.values {
            Values::SequenceClassification {
                scores,
                predicted_index,
                predicted_label,
                ..
            } => Some((predicted_label, *scores.get(*predicted_index)?)),
            Values::ZeroShot { labels, scores } => Some((labels.first()?, *scores.first()?)),
            _ => None,
        }
    }

    /// How well the text answers a query.
    pub fn score(&self) -> Option<f32> {
        match self.prediction.values {
            Values::Score { score } => Some(score),
            _ => None,
        }
    }

    /// All that was computed, as JSON.
    ///
    /// # Errors
    /// None of a prediction.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&self.prediction.values)
    }
}

/// What results are written as.
pub trait Layout {
    /// Adds a result to a part; `index` is from 0, over all parts.
    ///
    /// # Errors
    /// Where the layout has no place for it.
    fn write(&mut self, output: &Output<'_>, index: u64, part: &mut Vec<u8>) -> anyhow::Result<()>;

    /// Bytes that are held back until the part ends.
    fn pending(&self) -> usize {
        0
    }

    /// Ends a part: nothing is held back.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn end_part(&mut self, _part: &mut Vec<u8>) -> anyhow::Result<()> {
        Ok(())
    }

    /// What is before all parts of so many rows.
    fn head(&self, _rows: u64) -> Vec<u8> {
        Vec::new()
    }

    /// What is after them.
    fn tail(&self) -> Vec<u8> {
        Vec::new()
    }

    /// The whole file.
    ///
    /// # Errors
    /// What the system says.
    fn assemble(
        &self,
        rows: u64,
        parts: &[Part],
        out: &mut (dyn Write + Send),
    ) -> anyhow::Result<()> {
        out.write_all(&self.head(rows))?;
        for part in parts {
            io::copy(&mut part.open()?, out)?;
        }
        out.write_all(&self.tail())?;
        Ok(())
    }
}

/// A part that is complete.
pub enum Part {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file.
    File(PathBuf),
}

impl Part {
    /// What is in it.
    ///
    /// # Errors
    /// What the system says, with the name of the file.
    pub fn open(&self) -> anyhow::Result<Box<dyn Read + Send + '_>> {
        Ok(match self {
            Self::Bytes(bytes) => Box::new(Cursor::new(bytes)),
            Self::File(path) => {
                let file = File::open(path).with_context(|| path.display().to_string())?;
                Box::new(file)
            }
        })
    }
}

/// The layout of a format.
pub(crate) fn of(
    format: Format,
    schema: &Schema,
    model_id: &str,
    columnar: Option<&dyn Columnar>,
) -> anyhow::Result<Box<dyn Layout>> {
    Ok(match format {
        Format::Json => Box::new(json::Document::new(model_id)),
        Format::Jsonl => Box::new(json::Lines),
        Format::Csv => Box::new(csv::Records::new(schema)),
        Format::Npy => match schema.values {
            Kind::Embedding { dimensions } => Box::new(npy::Array {
                dimensions,
                precision: schema.precision,
            }),
            _ => bail!("npy is for sentence embeddings alone: choose jsonl or csv"),
        },
        Format::Parquet | Format::Arrow => {
            let columnar = columnar.with_context(|| columnar::absent(format))?;
            columnar.layout(format, schema)
        }
    })
}
