//! Files that are complete or absent.
//!
//! **Invariant:** nobody finds half of a file under the name it was to have, and what
//! was there before stays until the new one is whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file on its way: written beside its name, and renamed when it is complete. Dropped
/// before that, it is removed.
///
/// A symbolic link is followed; a pipe or a device is written to, as nothing may take
/// its place.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("vectors.json");
/// use encoderfile::output_file::OutputFile;
/// use std::io::Write;
///
/// let mut file = OutputFile::create(&path)?;
/// file.write_all(b"[0.5]")?;
/// assert!(!path.exists());
/// file.complete()?;
/// assert_eq!(std::fs::read(&path)?, b"[0.5]");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct OutputFile {
    file: File,
    /// `None` where the file itself is written to.
    unfinished: Option<Unfinished>,
}

#[derive(Debug)]
struct Unfinished {
    temporary: PathBuf,
    path: PathBuf,
}

impl OutputFile {
    /// Begins a file that is to be `path`.
    ///
    /// # Errors
    /// What the system says: no such folder, no permission, nothing left.
    pub fn create(path: &Path) -> io::Result<Self> {
        if path.exists() && !path.is_file() {
            return Ok(Self {
                file: File::options().write(true).open(path)?,
                unfinished: None,
            });
        }
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (temporary, file) = beside(&path)?;
        #[cfg(target_os = "wasi")]
        lock().push(temporary.clone());
        Ok(Self {
            file,
            unfinished: Some(Unfinished { temporary, path }),
        })
    }

    /// Lets everybody run it as a program.
    ///
    /// # Errors
    /// What the system says.
    #[cfg(unix)]
    pub fn set_executable(&self) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        if self.unfinished.is_none() {
            return Ok(());
        }
        self.file.set_permissions(fs::Permissions::from_mode(0o755))
    }

    /// There is nothing to allow here.
    ///
    /// # Errors
    /// None.
    #[cfg(not(unix))]
    pub fn set_executable(&self) -> io::Result<()> {
        Ok(())
    }

    /// Gives the file its name. Whatever had it before is gone.
    ///
    /// # Errors
    /// What the system says.
    pub fn complete(mut self) -> io::Result<()> {
        self.file.flush()?;
        match &self.unfinished {
            Some(unfinished) => fs::rename(&unfinished.temporary, &unfinished.path),
            None => Ok(()),
        }
    }
}

/// Those that are not complete, for [`remove_unfinished`].
#[cfg(target_os = "wasi")]
static UNFINISHED: std::sync::Mutex<Vec<PathBuf>> = std::sync::Mutex::new(Vec::new());

#[cfg(target_os = "wasi")]
fn lock() -> std::sync::MutexGuard<'static, Vec<PathBuf>> {
    let unfinished = UNFINISHED.lock();
    unfinished.unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Removes every file that is not complete, before the program ends without unwinding:
/// in the hook for panics under WASI.
#[cfg(target_os = "wasi")]
pub fn remove_unfinished() {
    for temporary in lock().drain(..) {
        let _ = fs::remove_file(temporary);
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        #[cfg(target_os = "wasi")]
        lock().retain(|other| *other != self.temporary);
        // Gone already if it was renamed.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// A new file beside `path`, whatever else is there.
fn beside(path: &Path) -> io::Result<(PathBuf, File)> {
    /// So many writers at once, or killed ones, may have left theirs.
    const TRIES: usize = 100;

    let mut tries = 0;
    loop {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".part");
        if tries > 0 {
            name.push(tries.to_string());
        }
        let temporary = path.with_file_name(name);
        match File::options()
            .write(true)
            .create_new(true)
            .open(&temporary)
        {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < TRIES => {
                tries += 1;
            }
            Err(error) => return Err(error),
            Ok(file) => return Ok((temporary, file)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_leaves_nothing_and_keeps_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let write = |content: &[u8]| {
            let mut file = OutputFile::create(&path).unwrap();
            file.write_all(content).unwrap();
            file
        };
        write(b"old").complete().unwrap();
        let (one, other) = (write(b"half"), write(b"half"));
        drop((one, other));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// As root, writing to /dev/null would else leave a file there for every program.
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
            move || fs::read(pipe).unwrap()
        });
        let write = |path: &Path| {
            let mut file = OutputFile::create(path).unwrap();
            file.write_all(b"new").unwrap();
            file.set_executable().unwrap();
            file.complete().unwrap();
        };
        write(&pipe);
        assert_eq!(reader.join().unwrap(), b"new");
        assert!(pipe.metadata().unwrap().file_type().is_fifo());

        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link);
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(link.is_symlink());
    }
}
