//! Printing results: `{"results": […], "model_id": …}`, or one a line.

use crate::cli::Format;
use anyhow::Context;
use encoderfile::output_file::OutputFile;
use serde::Serialize;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Results on their way out. A file appears under its name only when complete.
pub(super) struct Results {
    out: BufWriter<Out>,
    format: Format,
    model_id: String,
    count: usize,
    /// For messages.
    name: String,
}

enum Out {
    Standard(io::Stdout),
    File(OutputFile),
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(out) => out.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(out) => out.flush(),
            Self::File(file) => file.flush(),
        }
    }
}

impl Results {
    pub(super) fn open(
        path: Option<&Path>,
        format: Format,
        model_id: &str,
    ) -> anyhow::Result<Self> {
        let (out, name) = match path {
            None => (Out::Standard(io::stdout()), "standard output".into()),
            Some(path) => {
                let name = path.display().to_string();
                let file = OutputFile::create(path).with_context(|| name.clone())?;
                (Out::File(file), name)
            }
        };
        Ok(Self {
            out: BufWriter::new(out),
            format,
            model_id: model_id.into(),
            count: 0,
            name,
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
        let written = self.write_end().and_then(|()| {
            // Flushed: nothing is left in the buffer.
            match self.out.into_parts().0 {
                Out::Standard(_) => Ok(()),
                Out::File(file) => file.complete(),
            }
        });
        written.context(self.name)
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
