//! Printing results: `{"results": […], "model_id": …}`, or one a line.

use crate::cli::Format;
use anyhow::Context;
use serde::Serialize;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Results on their way out. A file appears under its name only when complete.
pub(super) struct Results {
    out: BufWriter<Box<dyn Write>>,
    format: Format,
    model_id: String,
    count: usize,
    /// For messages.
    name: String,
    file: Option<Unfinished>,
}

/// A file that is removed unless it was renamed to what it should be.
struct Unfinished {
    temporary: PathBuf,
    path: PathBuf,
}

impl Results {
    pub(super) fn open(
        path: Option<&Path>,
        format: Format,
        model_id: &str,
    ) -> anyhow::Result<Self> {
        let (out, file): (Box<dyn Write>, _) = match path {
            None => (Box::new(io::stdout()), None),
            // A pipe or a device cannot be replaced by a file.
            Some(path) if path.exists() && !path.is_file() => {
                let out = File::options().write(true).open(path);
                (
                    Box::new(out.with_context(|| path.display().to_string())?),
                    None,
                )
            }
            Some(path) => {
                let (out, file) = Unfinished::create(path)?;
                (Box::new(out), Some(file))
            }
        };
        Ok(Self {
            out: BufWriter::new(out),
            format,
            model_id: model_id.into(),
            count: 0,
            name: path.map_or("standard output".into(), |path| path.display().to_string()),
            file,
        })
    }

    pub(super) fn push(&mut self, result: &impl Serialize) -> anyhow::Result<()> {
        self.write(result).with_context(|| self.name.clone())
    }

    fn write(&mut self, result: &impl Serialize) -> io::Result<()> {
        let separator: &[u8] = match (self.format, self.count) {
            (Format::Json, 0) => b"{\"results\":[\n",
            (Format::Json, _) => b",\n",
            (Format::Jsonl, _) => b"",
        };
        self.out.write_all(separator)?;
        serde_json::to_writer(&mut self.out, result).map_err(io::Error::from)?;
        if self.format == Format::Jsonl {
            // Every line is whole, also before an error, and nobody waits for it.
            self.out.write_all(b"\n")?;
            self.out.flush()?;
        }
        self.count += 1;
        Ok(())
    }

    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.write_end().with_context(|| self.name.clone())?;
        match self.file {
            Some(file) => file.complete(),
            None => Ok(()),
        }
    }

    fn write_end(&mut self) -> io::Result<()> {
        if self.format == Format::Json {
            self.out.write_all(b"\n],\"model_id\":")?;
            serde_json::to_writer(&mut self.out, &self.model_id).map_err(io::Error::from)?;
            self.out.write_all(b"}\n")?;
        }
        self.out.flush()
    }
}

impl Unfinished {
    /// A new file beside `path`, whatever else is there.
    fn create(path: &Path) -> anyhow::Result<(File, Self)> {
        /// So many runs at once, or killed ones, may have left theirs.
        const TRIES: usize = 100;

        let mut tries = 0;
        loop {
            let mut name = path.file_name().unwrap_or_default().to_os_string();
            name.push(".part");
            if tries > 0 {
                name.push(tries.to_string());
            }
            let temporary = path.with_file_name(name);
            let file = File::options()
                .write(true)
                .create_new(true)
                .open(&temporary);
            let exists = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
            if file.as_ref().is_err_and(exists) && tries < TRIES {
                tries += 1;
                continue;
            }
            let file = file.with_context(|| temporary.display().to_string())?;
            let path = path.to_owned();
            return Ok((file, Self { temporary, path }));
        }
    }

    fn complete(self) -> anyhow::Result<()> {
        fs::rename(&self.temporary, &self.path).with_context(|| self.path.display().to_string())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Gone already if it was renamed.
        let _ = fs::remove_file(&self.temporary);
    }
}
