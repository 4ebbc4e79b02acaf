//! What the test programs share: the fixtures with their reference results
//! ([`fixture`]), a [`workbench`] with the real programs, the ways to run a built
//! model ([`target`]), also as a server ([`server`]), as a component in a program's own
//! process ([`component_host`]) and as one that wasmtime serves ([`component_service`]), and the comparison of results ([`compare`]).
//!
//! The suites are data-driven: a new model is a new folder in `models/`, a new
//! way to run one is a new [`target::Target`].
#![forbid(unsafe_code)]

pub mod browser;
pub mod compare;
pub mod component_host;
pub mod component_rows;
pub mod component_service;
pub mod fixture;
pub mod format_1;
pub mod model_folder;
pub mod process;
pub mod programs;
pub mod report;
pub mod request;
pub mod rows;
pub mod seal;
#[cfg(unix)]
pub mod server;
pub mod target;
pub mod workbench;
