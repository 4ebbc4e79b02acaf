//! What was typed.

use crate::options::Flags;
use crate::rows::TEXT;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use encoderfile::precision::Precision;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Texts: arguments or files.
#[derive(Args)]
pub struct Texts {
    /// The texts
    #[arg(value_name = "TEXT")]
    pub texts: Vec<String>,

    /// Read rows from FILEs, or from standard input with `-`: a text a line, JSON lines, CSV, and
    /// with the tool `encoderfile` also Parquet and Arrow
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "texts")]
    pub input: Vec<PathBuf>,

    /// How FILE is read [default: as its name ends; lines are JSON if its name ends in .jsonl,
    /// .ndjson or .json, or the first that is not blank is a JSON object]
    // With texts, clap would not ask for the file, which conflicts with them.
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        requires = "input",
        conflicts_with = "texts"
    )]
    pub input_format: Option<InputFormat>,

    /// The column of the texts
    #[arg(long, value_name = "NAME", default_value = TEXT, requires = "input")]
    pub column: String,

    /// The column of the second texts of pairs [default: `text_pair`, where there is one]
    #[arg(long, value_name = "NAME", requires = "input")]
    pub pair_column: Option<String>,

    /// Write to FILE instead of standard output; it appears when it is complete
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// The second text of the pair that each text is the first of; given once, for all texts, or
    /// once for each
    #[arg(long, value_name = "TEXT", conflicts_with = "input")]
    pub pair: Vec<String>,
}

/// What rows are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InputFormat {
    /// A text a line; an empty line is an empty text
    Text,
    /// A JSON object a line
    Jsonl,
    /// Comma-separated values, with a header
    Csv,
    /// Tab-separated values, with a header
    Tsv,
    /// Parquet: the tool alone, `encoderfile infer`
    Parquet,
    /// Arrow's file or stream format (IPC, Feather 2): the tool alone, `encoderfile infer`
    Arrow,
}

impl InputFormat {
    /// What a file's name says of it.
    pub(crate) fn of_name(path: &Path) -> Option<Self> {
        Some(match &*ending(path)? {
            "jsonl" | "ndjson" | "json" => Self::Jsonl,
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            "parquet" => Self::Parquet,
            "arrow" | "arrows" | "feather" | "ipc" => Self::Arrow,
            _ => return None,
        })
    }
}

impl fmt::Display for InputFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Text => "text",
            Self::Jsonl => "JSON lines",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Parquet => "Parquet",
            Self::Arrow => "Arrow",
        })
    }
}

/// In lower case, without its full stop.
fn ending(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

/// The command `infer`.
#[derive(Args)]
pub struct Infer {
    /// What it is computed for.
    #[command(flatten)]
    pub texts: Texts,

    /// The column of what rows are known by, which their results get as `id`
    #[arg(long, value_name = "NAME", requires = "input")]
    pub id_column: Option<String>,

    /// How results are written [default: as the name of the output ends; else json]
    #[arg(short, long, value_enum)]
    pub format: Option<Format>,

    /// The numbers of sentence embeddings
    #[arg(long, default_value_t, value_parser = precisions())]
    pub precision: Precision,

    /// Go on with the run that did not finish this output, whose results are in FILE.unfinished
    #[arg(long, requires = "input", requires = "output")]
    pub resume: bool,

    /// Write rows that have no result to FILE, as JSON lines, and go on; else the first ends the run
    #[arg(long, value_name = "FILE", requires = "input", requires = "output")]
    pub errors: Option<PathBuf>,

    /// How many texts to compute at once; one alone is computed on as many cores [default: one
    /// for each core]
    #[arg(long, value_name = "N")]
    #[cfg_attr(target_family = "wasm", arg(hide = true))]
    pub threads: Option<NonZeroUsize>,

    /// Of the model.
    #[command(flatten)]
    pub options: Flags<false>,
}

/// What results are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// `{"results": […], "model_id": …}`
    Json,
    /// One result a line, as soon as it is computed (with --query: at the end)
    Jsonl,
    /// Comma-separated values: an embedding is a JSON list in its field
    Csv,
    /// NumPy's array `[rows, dimensions]`, of sentence embeddings alone
    Npy,
    /// Parquet, an embedding as a list of fixed size: the tool alone, `encoderfile infer`
    Parquet,
    /// Arrow's file format (IPC, Feather 2): the tool alone, `encoderfile infer`
    Arrow,
}

impl Format {
    /// What was asked for, or what the output's name says.
    pub(crate) fn of(arguments: &Infer) -> Self {
        let of_name = |path: &PathBuf| {
            Some(match &*ending(path)? {
                "jsonl" | "ndjson" => Self::Jsonl,
                "csv" => Self::Csv,
                "npy" => Self::Npy,
                "parquet" => Self::Parquet,
                "arrow" | "feather" | "ipc" => Self::Arrow,
                _ => return None,
            })
        };
        let output = arguments.texts.output.as_ref();
        let format = arguments.format.or_else(|| output.and_then(of_name));
        format.unwrap_or(Self::Json)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        formatter.write_str(value.as_ref().map_or("", |it| it.get_name()))
    }
}

/// By its name, with what it is in `--help`.
fn precisions() -> impl TypedValueParser<Value = Precision> {
    let values = Precision::ALL.map(|(it, about)| PossibleValue::new(it.name()).help(about));
    PossibleValuesParser::new(values).try_map(|name| name.parse::<Precision>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_file_is() {
        let of = |name: &str| InputFormat::of_name(name.as_ref());
        for name in ["a.jsonl", "b/a.NDJSON", "a.txt.json"] {
            assert_eq!(of(name), Some(InputFormat::Jsonl), "{name}");
        }
        assert_eq!(of("a.CSV"), Some(InputFormat::Csv));
        assert_eq!(of("a.feather"), Some(InputFormat::Arrow));
        for name in ["a.txt", "jsonl", "a.jsonl.txt", "-"] {
            assert_eq!(of(name), None, "{name}");
        }
    }
}
