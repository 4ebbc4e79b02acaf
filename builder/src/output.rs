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
/// it is written beside it and renamed. A symbolic link is followed; a pipe or a
/// device is written to, as nothing may take its place.
pub fn write_file(
    path: &Path,
    mode: Mode,
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let name = path.display().to_string();
    if path.exists() && !path.is_file() {
        let device = File::options().write(true).open(path);
        return fill(&device.with_context(|| name.clone())?, &name, write);
    }
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let temporary = tempfile::Builder::new()
        .prefix(".encoderfile-")
        .suffix(".part")
        .tempfile_in(folder)
        .with_context(|| name.clone())?;
    fill(temporary.as_file(), &name, write)?;
    set_mode(temporary.as_file(), mode).with_context(|| name.clone())?;
    temporary
        .persist(path)
        .map_err(|error| error.error)
        .with_context(|| name)?;
    Ok(())
}

fn fill(
    file: &File,
    name: &str,
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER_LEN, file);
    write(&mut out)
        .and_then(|()| Ok(out.flush()?))
        .with_context(|| format!("{name}: not written"))
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
    /// As root, a build to /dev/null would else leave a file there for every program.
    #[test]
    #[cfg(unix)]
    fn a_pipe_is_written_to_and_a_link_followed() {
        use std::os::unix::fs::FileTypeExt;

        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read(pipe).unwrap()
        });
        write_file(&pipe, Mode::Executable, |out| Ok(out.write_all(b"new")?)).unwrap();
        assert_eq!(reader.join().unwrap(), b"new");
        assert!(pipe.metadata().unwrap().file_type().is_fifo());

        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_file(&link, Mode::Data, |out| Ok(out.write_all(b"new")?)).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert!(link.is_symlink());
    }
}
