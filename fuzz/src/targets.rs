//! One file a target: what it calls, what it holds that to, and its seeds.

pub(crate) mod capi;
pub(crate) mod checkpoint;
pub(crate) mod container;
pub(crate) mod graph;
pub(crate) mod model;
pub(crate) mod precompiled;
pub(crate) mod request;
pub(crate) mod server;
pub(crate) mod tokenizer;
pub(crate) mod upstream;
pub(crate) mod vocabulary;

/// The text that models compute.
pub(crate) const TEXT: &str = "Zoë flew to 東京 😀, twice.";
