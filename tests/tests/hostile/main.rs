//! Files made to do harm. Each gives a typed error that names the section and
//! the offset: never a panic, and never more memory than the file has bytes and 512 KiB;
//! of graphs, than an honest one takes and the file has bytes.

#![allow(clippy::expect_used, reason = "what fails here is a failed test")]

mod bounds;
mod components;
mod container;
mod executables;
mod forge;
mod graph;
mod manifest;
mod memory;
