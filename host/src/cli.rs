//! The command line: what was typed.

use clap::{Args, Parser, Subcommand};
use encoderfile_infer::{Flags, Infer, Texts};
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
    Infer {
        #[command(flatten)]
        arguments: Box<Infer>,
        #[command(flatten)]
        onnx_runtime: OnnxRuntime,
    },
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
