//! The command line: what was typed.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// The exit code for a command line that makes no sense.
pub(crate) const USAGE_ERROR: u8 = 2;

/// An encoder model and everything that runs it, in one file.
#[derive(Parser)]
#[command(name = "encoderfile", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Use the model in FILE (any encoderfile) instead of the one in this program
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) payload: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Compute the model's results for texts and print them as JSON
    Infer(Infer),
    /// Show what this file contains: model, task, limits, labels, licence, ids and sizes
    Info {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Recompute the reference results stored at build time and print the largest difference
    SelfTest,
    /// Show the tokens of texts, as the model sees them
    Tokenize(Texts),
}

#[derive(Args)]
pub(crate) struct Texts {
    /// The texts
    #[arg(value_name = "TEXT")]
    pub(crate) texts: Vec<String>,

    /// Read texts from FILE, or from standard input with `-`: one a line, or JSON lines with a `text`
    #[arg(long, value_name = "FILE", conflicts_with = "texts")]
    pub(crate) input: Option<PathBuf>,

    /// Write to FILE instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// What to do with a text of more tokens than the model takes
    #[arg(long, value_enum, default_value_t = Truncate::Cut)]
    pub(crate) truncate: Truncate,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Truncate {
    /// Cut it as the model says, and report it
    Cut,
    /// Refuse it
    Error,
}

#[derive(Args)]
pub(crate) struct Infer {
    #[command(flatten)]
    pub(crate) texts: Texts,

    /// One JSON document, or one result a line as it is ready
    #[arg(short, long, value_enum, default_value_t = Format::Json)]
    pub(crate) format: Format,

    /// Divide embeddings by their L2 norm, or not [default: what the model says]
    #[arg(long, value_name = "BOOL")]
    pub(crate) normalize: Option<bool>,

    /// Also give the tokens that are not in the text ([CLS] and the like)
    #[arg(long)]
    pub(crate) special_tokens: bool,

    /// How many texts to compute at once [default: one for each core]
    #[arg(long, value_name = "N")]
    #[cfg_attr(target_family = "wasm", arg(hide = true))]
    pub(crate) threads: Option<std::num::NonZeroUsize>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// `{"results": […], "model_id": …}`
    Json,
    /// One result a line
    Jsonl,
}
