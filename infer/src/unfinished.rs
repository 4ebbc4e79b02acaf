//! A file that takes hours: its parts are kept, as they are complete, in a folder beside it, so that a
//! run that was ended goes on with the next row. When all are there they become the file.
//!
//! **Invariant:** `NNNNNNNN.json` is written last of a part, and renamed to that name: it says how many
//! rows the parts up to it are of, and whatever is there without it is not looked at. So every row is
//! in one part, whenever the run ends.

use crate::layout::{Layout, Part};
use crate::tally::Tally;
use anyhow::{Context, bail};
use encoderfile::output_file::OutputFile;
use serde_json::{Map, Value};
use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What a run is: another cannot go on with it.
pub(crate) type Identity = Map<String, Value>;

/// The output, and the folder of its parts.
pub(crate) struct Unfinished {
    output: PathBuf,
    folder: PathBuf,
    identity: Identity,
    /// `None` before the first part.
    lock: Option<File>,
    /// How many parts are complete.
    parts: usize,
    tally: Tally,
}

/// What is there of an output.
pub(crate) enum Found {
    /// It is complete, and nothing else is there.
    Complete,
    /// What is not in the parts has to be computed.
    Unfinished(Unfinished),
}

/// What a part is written as.
struct Names {
    rows: PathBuf,
    errors: PathBuf,
    tally: PathBuf,
}

impl Unfinished {
    /// Looks for what an earlier run left.
    pub(crate) fn find(output: &Path, identity: Identity, resume: bool) -> anyhow::Result<Found> {
        let mut name = output.file_name().unwrap_or_default().to_os_string();
        name.push(".unfinished");
        let mut found = Self {
            folder: output.with_file_name(name),
            output: output.to_owned(),
            identity,
            lock: None,
            parts: 0,
            tally: Tally::default(),
        };
        match (found.folder.exists(), resume) {
            (false, true) if output.exists() => return Ok(Found::Complete),
            (false, _) => {}
            (true, false) => bail!(
                "{} is of a run that did not finish: --resume goes on with it; else remove it",
                found.folder.display()
            ),
            (true, true) => {
                let name = found.folder.display().to_string();
                found.read().context(name)?;
            }
        }
        Ok(Found::Unfinished(found))
    }

    /// What is done.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Whether what is done survives this run.
    pub(crate) fn is_kept(&self) -> bool {
        self.lock.is_some()
    }

    /// Where what is done is kept.
    pub(crate) fn description(&self) -> String {
        let (rows, folder) = (self.tally.rows, self.folder.display());
        format!("{rows} rows are kept in {folder}: --resume goes on with them")
    }

    fn read(&mut self) -> anyhow::Result<()> {
        self.lock = Some(lock(&self.folder)?);
        let begun: Identity = match fs::read(self.folder.join(IDENTITY)) {
            Ok(json) => serde_json::from_slice(&json).context(IDENTITY)?,
            // It was ended before there was a part, or while the folder was being removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.clear()?;
                return self.write_identity();
            }
            Err(error) => return Err(error).context(IDENTITY),
        };
        for (key, value) in &self.identity {
            let before = begun.get(key).unwrap_or(&Value::Null);
            if before != value {
                bail!(
                    "begun with another {key}: {before}, not {value}. Go on as it was begun, or remove it and begin again"
                );
            }
        }
        while let Ok(json) = fs::read(self.names(self.parts).tally) {
            self.tally = serde_json::from_slice(&json)?;
            self.parts += 1;
        }
        Ok(())
    }

    /// Removes parts that are of nobody knows what run.
    fn clear(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name != LOCK) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn write_identity(&self) -> anyhow::Result<()> {
        write(
            &self.folder.join(IDENTITY),
            &serde_json::to_vec(&self.identity)?,
        )
    }

    fn names(&self, part: usize) -> Names {
        let name = |ending: &str| self.folder.join(format!("{part:08}.{ending}"));
        Names {
            rows: name("rows"),
            errors: name("errors"),
            tally: name("json"),
        }
    }

    /// Keeps a part, and what is done with it.
    pub(crate) fn keep(&mut self, part: &[u8], errors: &[u8], tally: &Tally) -> anyhow::Result<()> {
        if self.lock.is_none() {
            let name = || self.folder.display().to_string();
            fs::create_dir(&self.folder).with_context(name)?;
            self.lock = Some(lock(&self.folder).with_context(name)?);
            self.write_identity()?;
        }
        let names = self.names(self.parts);
        write_durably(&names.rows, part)?;
        write_durably(&names.errors, errors)?;
        write(&names.tally, &serde_json::to_vec(tally)?)?;
        self.parts += 1;
        self.tally = tally.clone();
        Ok(())
    }

    /// Makes the file of all parts and of the last rows; and that of the rows without a result.
    pub(crate) fn finish(
        mut self,
        layout: &dyn Layout,
        (last, last_errors): (Vec<u8>, Vec<u8>),
        errors: Option<&Path>,
        tally: &Tally,
    ) -> anyhow::Result<()> {
        // Where the file finds no room, nothing has to be computed again.
        let (last, last_errors) = match self.is_kept() {
            true => {
                self.keep(&last, &last_errors, tally)?;
                (None, None)
            }
            false => (Some(Part::Bytes(last)), Some(Part::Bytes(last_errors))),
        };
        let files = |name: fn(Names) -> PathBuf, last: Option<Part>| -> Vec<Part> {
            let kept = (0..self.parts).map(|part| Part::File(name(self.names(part))));
            kept.chain(last).collect()
        };
        if let Some(path) = errors {
            let parts = files(|names| names.errors, last_errors);
            assemble(path, |out| {
                for part in &parts {
                    io::copy(&mut part.open()?, out)?;
                }
                Ok(())
            })?;
        }
        let parts = files(|names| names.rows, last);
        assemble(&self.output, |out| {
            layout.assemble(tally.written, &parts, out)
        })?;
        if self.is_kept() {
            // What the parts are of goes first: some of them alone are no run to go on with.
            let removed = fs::remove_file(self.folder.join(IDENTITY));
            let removed = removed.and_then(|()| fs::remove_dir_all(&self.folder));
            removed.with_context(|| self.folder.display().to_string())?;
        }
        Ok(())
    }
}

/// Of the folder: what the run is.
const IDENTITY: &str = "run.json";

/// Of the folder: what a run holds.
const LOCK: &str = "lock";

/// Fails while another run has it. Where the system has no locks, nobody is kept out.
fn lock(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join(LOCK);
    let file = File::options().create(true).append(true).open(path)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => bail!("another run is writing it"),
        Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => {
            Err(error.into())
        }
        _ => Ok(file),
    }
}

fn write_durably(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let write = || -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(content)?;
        file.sync_data()
    };
    write().with_context(|| path.display().to_string())
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    assemble(path, |out| Ok(out.write_all(content)?))
}

/// A file that is complete or absent.
fn assemble(
    path: &Path,
    content: impl FnOnce(&mut (dyn Write + Send)) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let write = || -> anyhow::Result<()> {
        let mut out = BufWriter::new(OutputFile::create(path)?);
        content(&mut out)?;
        out.flush()?;
        Ok(out.into_parts().0.complete()?)
    };
    write().with_context(|| path.display().to_string())
}
