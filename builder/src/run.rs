//! stub
#![allow(missing_docs)]
use std::ffi::OsString; use std::path::{Path, PathBuf}; use std::process::ExitCode;
pub fn run(_f: &Path, _b: Option<Vec<u8>>, _d: &[PathBuf], _a: &[OsString]) -> anyhow::Result<ExitCode> { anyhow::bail!("stub") }
