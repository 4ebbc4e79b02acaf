//! Files of a cache that several programs share.

use encoderfile::output_file::OutputFile;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::Path;

/// The folder that a file is to be in.
pub(crate) fn create_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Writes a file that is there when it is complete.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    create_folder_of(path)?;
    let mut file = OutputFile::create(path)?;
    file.write_all(content)?;
    file.complete()
}

/// Waits until nobody else fetches `name`; it is ours as long as the file is open.
pub(crate) fn lock(path: &Path, name: &str) -> io::Result<File> {
    create_folder_of(path)?;
    loop {
        let file = open_lock(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("{name}: waiting for another program that fetches it");
                file.lock()?;
            }
            // Not every network file system has locks. What is fetched is checked whole.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever held it may have removed it: then others hold another.
        if is_still_there(&file, path) {
            return Ok(file);
        }
    }
}

#[cfg(unix)]
fn open_lock(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    let mut options = File::options();
    // For those who share the folder, as `huggingface_hub` does it.
    options
        .read(true)
        .write(true)
        .create(true)
        .mode(0o664)
        .open(path)
}

#[cfg(not(unix))]
fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

#[cfg(unix)]
fn is_still_there(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let place = |it: fs::Metadata| (it.dev(), it.ino());
    let (ours, there) = (file.metadata().map(place), fs::metadata(path).map(place));
    matches!((ours, there), (Ok(ours), Ok(there)) if ours == there)
}

#[cfg(not(unix))]
fn is_still_there(_: &File, path: &Path) -> bool {
    path.exists()
}
