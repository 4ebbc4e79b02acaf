//! Writing files that are complete or absent.

use anyhow::Context;
use encoderfile::output_file::OutputFile;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Large enough that a 90 MB file takes about a hundred system calls.
const BUFFER_LEN: usize = 1 << 20;

/// What may be done with a written file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A document.
    Data,
    /// A program.
    Executable,
}

/// Lets `write` fill an [`OutputFile`].
///
/// # Errors
/// Those of `write` and of the system, which leave nothing behind.
pub fn write_file(
    path: &Path,
    mode: Mode,
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let name = path.display().to_string();
    let file = OutputFile::create(path).with_context(|| name.clone())?;
    let mut out = BufWriter::with_capacity(BUFFER_LEN, file);
    write(&mut out)
        .and_then(|()| Ok(out.flush()?))
        .with_context(|| format!("{name}: not written"))?;
    // Flushed: nothing is left in the buffer.
    let (file, _) = out.into_parts();
    let completed = match mode {
        Mode::Data => file.complete(),
        Mode::Executable => file.set_executable().and_then(|()| file.complete()),
    };
    completed.with_context(|| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_nothing_and_keeps_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        write_file(&path, Mode::Data, |out| Ok(out.write_all(b"old")?)).unwrap();
        let result = write_file(&path, Mode::Data, |out| {
            out.write_all(b"half")?;
            anyhow::bail!("disk full")
        });
        assert!(format!("{:#}", result.unwrap_err()).contains("disk full"));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
