//! The command line: what was typed.

use crate::options::Flags;
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

    /// After an error, also print what the inference engine says of it
    #[arg(long, global = true)]
    pub(crate) verbose: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Compute the model's results for texts and print them as JSON
    Infer(Box<Infer>),
    /// Show what this file contains: model, task, limits, labels, licence, ids and sizes
    Info {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Print the model's licence, and that of all software in this program
        #[arg(long, conflicts_with = "json")]
        licenses: bool,
    },
    /// Recompute the reference results stored at build time and print the largest difference
    SelfTest,
    /// Show the tokens of texts, as the model sees them
    Tokenize {
        #[command(flatten)]
        texts: Box<Texts>,
        #[command(flatten)]
        options: Flags<true>,
    },
    /// Answer requests over HTTP and gRPC
    #[cfg(not(target_family = "wasm"))]
    Serve {
        #[command(flatten)]
        settings: Box<encoderfile_server::Serve>,
        #[command(flatten)]
        onnx_runtime: OnnxRuntime,
    },
    /// Ask a `serve` on this machine whether it is ready
    ///
    /// The exit code is 0 if it is; if not it is 1, and the reason is said. The flags and environment
    /// variables are those by which `serve` knows where to listen.
    #[cfg(not(target_family = "wasm"))]
    Health {
        #[command(flatten)]
        settings: Box<encoderfile_server::Health>,
    },
    /// Run as an MCP (Model Context Protocol) server: over stdio, or over streamable HTTP where an
    /// address, a port or a certificate is given
    #[cfg(not(target_family = "wasm"))]
    Mcp {
        #[command(flatten)]
        settings: Box<encoderfile_server::Mcp>,
        #[command(flatten)]
        onnx_runtime: OnnxRuntime,
    },
}

/// Upstream's flags for ONNX Runtime, which is not what computes here.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct OnnxRuntime {
    #[arg(long, value_name = "NAME", hide = true)]
    pub(crate) execution_provider: Vec<String>,
    #[arg(long, value_name = "LEVEL", hide = true)]
    pub(crate) graph_optimization_level: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) disable_cpu_fallback: bool,
    #[arg(long, hide = true)]
    pub(crate) with_arena_allocator: bool,
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) device_id: Option<String>,
    #[arg(long, value_name = "UNITS", hide = true)]
    pub(crate) compute_units: Option<String>,
}

impl OnnxRuntime {
    /// Warns of those that were given; refuses to compute where somebody wanted
    /// anything but the CPU and nothing else.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let providers = self.execution_provider.iter();
        let mut elsewhere = providers.filter(|name| !name.to_ascii_lowercase().starts_with("cpu"));
        if let Some(name) = elsewhere.next().filter(|_| self.disable_cpu_fallback) {
            anyhow::bail!(
                "--execution-provider {name} --disable-cpu-fallback: this program computes on the CPU alone; leave both out"
            );
        }
        let flags = [
            ("--execution-provider", !self.execution_provider.is_empty()),
            (
                "--graph-optimization-level",
                self.graph_optimization_level.is_some(),
            ),
            ("--disable-cpu-fallback", self.disable_cpu_fallback),
            ("--with-arena-allocator", self.with_arena_allocator),
            ("--device-id", self.device_id.is_some()),
            ("--compute-units", self.compute_units.is_some()),
        ];
        let given = flags.into_iter().filter(|(_, is_given)| *is_given);
        let names: Vec<&str> = given.map(|(name, _)| name).collect();
        if !names.is_empty() {
            let (names, verb) = (
                names.join(", "),
                if names.len() == 1 { "has" } else { "have" },
            );
            eprintln!(
                "warning: {names} {verb} no effect: this program computes on the CPU, without ONNX Runtime"
            );
        }
        Ok(())
    }
}

#[derive(Args)]
pub(crate) struct Texts {
    /// The texts
    #[arg(value_name = "TEXT")]
    pub(crate) texts: Vec<String>,

    /// Read texts from FILE, or from standard input with `-`: one a line, or JSON lines with a
    /// `text` and perhaps a `text_pair`
    #[arg(long, value_name = "FILE", conflicts_with = "texts")]
    pub(crate) input: Option<PathBuf>,

    /// How FILE is read [default: as JSON lines if its name ends in .jsonl, .ndjson or .json, or its
    /// first line that is not blank is a JSON object]
    // With texts, clap would not ask for the file, which conflicts with them.
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        requires = "input",
        conflicts_with = "texts"
    )]
    pub(crate) input_format: Option<InputFormat>,

    /// Write to FILE instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// The second text of the pair that each text is the first of; given once, for all texts, or
    /// once for each
    #[arg(long, value_name = "TEXT", conflicts_with = "input")]
    pub(crate) pair: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    /// A text a line; an empty line is an empty text
    Text,
    /// A JSON object a line, with a `text` and perhaps a `text_pair`
    Jsonl,
}

#[derive(Args)]
pub(crate) struct Infer {
    #[command(flatten)]
    pub(crate) texts: Texts,

    /// One JSON document, or one result a line as soon as it is computed (with --query: at the
    /// end)
    #[arg(short, long, value_enum, default_value_t = Format::Json)]
    pub(crate) format: Format,

    /// How many texts to compute at once; one alone is computed on as many cores [default: one
    /// for each core]
    #[arg(long, value_name = "N")]
    #[cfg_attr(target_family = "wasm", arg(hide = true))]
    pub(crate) threads: Option<std::num::NonZeroUsize>,

    #[command(flatten)]
    pub(crate) options: Flags<false>,

    #[command(flatten)]
    pub(crate) onnx_runtime: OnnxRuntime,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// `{"results": […], "model_id": …}`
    Json,
    /// One result a line
    Jsonl,
}
