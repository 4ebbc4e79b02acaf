//! stub
#![allow(missing_docs)]
use encoderfile_runtime::source::Source;
use std::io::Write;
pub fn inject(_b: &[u8], _p: &dyn Source, _o: &mut dyn Write) -> std::io::Result<()> { Err(std::io::Error::other("stub")) }
