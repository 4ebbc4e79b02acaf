//! Writing files that are complete or absent.

use anyhow::Context;
use std::fs::File;
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

/// Lets `write` fill a file that takes the name `path` only when it is complete:
/// it is written beside it and renamed.
pub fn write_file(
    path: &Path,
    mode: Mode,
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let name = path.display().to_string();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let temporary = tempfile::Builder::new()
        .prefix(".encoderfile-")
        .suffix(".part")
        .tempfile_in(folder)
        .with_context(|| name.clone())?;
    let mut out = BufWriter::with_capacity(BUFFER_LEN, temporary.as_file());
    write(&mut out)
        .and_then(|()| Ok(out.flush()?))
        .with_context(|| format!("{name}: not written"))?;
    drop(out);
    set_mode(temporary.as_file(), mode).with_context(|| name.clone())?;
    temporary
        .persist(path)
        .map_err(|error| error.error)
        .with_context(|| name)?;
    Ok(())
}

#[cfg(unix)]
fn set_mode(file: &File, mode: Mode) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let bits = match mode {
        Mode::Data => 0o644,
        Mode::Executable => 0o755,
    };
    file.set_permissions(std::fs::Permissions::from_mode(bits))
}

#[cfg(not(unix))]
fn set_mode(_file: &File, _mode: Mode) -> std::io::Result<()> {
    Ok(())
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
