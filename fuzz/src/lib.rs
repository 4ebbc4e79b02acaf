//! Fuzz targets: one for each reader of bytes that are somebody else's.
//!
//! A target takes any bytes and gives nothing. It fails by a panic in code of this
//! workspace, or where what it calls breaks a promise. A panic in a dependency is none:
//! the frontends answer it as an error (see `encoderfile::panics`).
//!
//! `cargo xtask fuzz` runs them under libFuzzer; `tests/corpus.rs` runs what was found and
//! kept in `corpus/`, and the seeds, as an ordinary test.

mod models;
mod targets;

use std::panic::{self, AssertUnwindSafe, Location, catch_unwind};
use std::process;
use std::sync::Once;

/// Something that reads bytes.
pub struct Target {
    /// As `cargo xtask fuzz` takes it; also the folder of its corpus.
    pub name: &'static str,
    /// What it reads.
    pub about: &'static str,
    run: fn(&[u8]),
    seeds: fn() -> anyhow::Result<Vec<Vec<u8>>>,
}

/// All of them.
pub const TARGETS: [Target; 11] = [
    Target {
        name: "checkpoint",
        about: "PyTorch's archives and safetensors files",
        run: targets::checkpoint::run,
        seeds: targets::checkpoint::seeds,
    },
    Target {
        name: "container",
        about: "files: footer, manifest, digest and places of artifacts",
        run: targets::container::run,
        seeds: targets::container::seeds,
    },
    Target {
        name: "model",
        about: "payloads whose hashes agree: loaded, and a text computed",
        run: targets::model::run,
        seeds: targets::model::seeds,
    },
    Target {
        name: "graph",
        about: "graphs, with the other parts of a model: loaded, and a text computed",
        run: targets::graph::run,
        seeds: targets::graph::seeds,
    },
    Target {
        name: "tokenizer",
        about: "tokenizer.json: loaded, and texts tokenised",
        run: targets::tokenizer::run,
        seeds: targets::tokenizer::seeds,
    },
    Target {
        name: "vocabulary",
        about: "vocab.txt, vocab.json and SentencePiece models of a folder, and texts tokenised",
        run: targets::vocabulary::run,
        seeds: targets::vocabulary::seeds,
    },
    Target {
        name: "upstream",
        about: "files of upstream's format 1",
        run: targets::upstream::run,
        seeds: targets::upstream::seeds,
    },
    Target {
        name: "precompiled",
        about: "what a file that was compiled ahead says of wasmtime and the processor",
        run: targets::precompiled::run,
        seeds: targets::precompiled::seeds,
    },
    Target {
        name: "request",
        about: "the JSON that the npm package and `infer_json` take",
        run: targets::request::run,
        seeds: targets::request::seeds,
    },
    Target {
        name: "capi",
        about: "what a C program passes to the library: files, texts, options, requests",
        run: targets::capi::run,
        seeds: targets::capi::seeds,
    },
    Target {
        name: "server",
        about: "bodies of every route of HTTP, of MCP and of gRPC",
        run: targets::server::run,
        seeds: targets::server::seeds,
    },
];

impl Target {
    /// The target of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Reads `data`. A panic in code of this workspace ends the process.
    pub fn run(&self, data: &[u8]) {
        watch();
        // What a dependency panicked over has been seen by the hook.
        let _ = catch_unwind(AssertUnwindSafe(|| (self.run)(data)));
    }

    /// Inputs to begin with, made of the models of the conformance suite.
    ///
    /// # Errors
    /// Where such a model cannot be built.
    pub fn seeds(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        (self.seeds)()
    }
}

/// Ends the process at a panic of our own, which whoever catches it cannot prevent.
fn watch() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if panic.location().is_none_or(is_ours) {
                print(panic);
                process::abort();
            }
        }));
    });
}

/// Whether a place is in this workspace, whose files are named from its root, as those of
/// dependencies and of the standard library are not.
fn is_ours(place: &Location<'_>) -> bool {
    !place.file().starts_with('/')
}
