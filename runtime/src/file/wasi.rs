//! A file in a folder that the host has opened: WASI maps none.

use crate::source::{ReadError, Source};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Hosts bound what one call may move: wasmtime refuses more than 128 MiB.
const CALL_LEN_MAX: usize = 64 << 20;

pub(super) struct ReadFile {
    file: Mutex<File>,
    length: u64,
}

impl ReadFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let file = Mutex::new(file);
        Ok(Self { file, length })
    }
}

impl Source for ReadFile {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        for part in buffer.chunks_mut(CALL_LEN_MAX) {
            file.read_exact(part)?;
        }
        Ok(())
    }
}
