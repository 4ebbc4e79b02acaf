//! Results on their way out as they come: to standard output, or to a file that appears under its
//! name when it is complete.

use crate::cli::Format;
use crate::layout::{Layout, Output, json};
use anyhow::Context;
use encoderfile::output_file::OutputFile;
use serde::Serialize;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Where results go.
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

/// A file, or standard output, that results are written to one by one.
pub(crate) struct Stream {
    out: BufWriter<Out>,
    /// For messages.
    name: String,
    layout: Box<dyn Layout>,
    /// Every line is whole, also before an error, and nobody waits for it.
    by_line: bool,
    count: u64,
    buffer: Vec<u8>,
}

impl Stream {
    pub(crate) fn open(
        path: Option<&Path>,
        layout: Box<dyn Layout>,
        by_line: bool,
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
            name,
            layout,
            by_line,
            count: 0,
            buffer: Vec::new(),
        })
    }

    pub(crate) fn push(&mut self, output: &Output<'_>) -> anyhow::Result<()> {
        self.layout.write(output, self.count, &mut self.buffer)?;
        self.write_buffer()
    }

    fn write_buffer(&mut self) -> anyhow::Result<()> {
        let head = match self.count {
            0 => self.layout.head(0),
            _ => Vec::new(),
        };
        self.count += 1;
        let written = self.out.write_all(&head);
        let written = written.and_then(|()| self.out.write_all(&self.buffer));
        self.buffer.clear();
        let written = written.and_then(|()| match self.by_line {
            true => self.out.flush(),
            false => Ok(()),
        });
        written.with_context(|| self.name.clone())
    }

    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        let tail = self.layout.tail();
        let head = match self.count {
            0 => self.layout.head(0),
            _ => Vec::new(),
        };
        let written = self.out.write_all(&[head, tail].concat());
        let written = written.and_then(|()| self.out.flush()).and_then(|()| {
            // Flushed: nothing is left in the buffer.
            match self.out.into_parts().0 {
                Out::Standard(_) => Ok(()),
                Out::File(file) => file.complete(),
            }
        });
        written.context(self.name)
    }
}

/// Whatever it is, in JSON: a document, or one a line.
pub(crate) struct Answers {
    stream: Stream,
    is_document: bool,
}

impl Answers {
    /// To `path`, or to standard output.
    pub(crate) fn open(
        path: Option<&Path>,
        format: Format,
        model_id: &str,
    ) -> anyhow::Result<Self> {
        let is_document = format == Format::Json;
        let layout: Box<dyn Layout> = match is_document {
            true => Box::new(json::Document::new(model_id)),
            false => Box::new(json::Lines),
        };
        let stream = Stream::open(path, layout, !is_document)?;
        Ok(Self {
            stream,
            is_document,
        })
    }

    /// Adds one.
    pub(crate) fn push(&mut self, answer: &impl Serialize) -> anyhow::Result<()> {
        let Stream { buffer, count, .. } = &mut self.stream;
        match self.is_document {
            true => json::add(answer, *count, buffer)?,
            false => json::add_line(answer, buffer)?,
        }
        self.stream.write_buffer()
    }

    /// The last one was added.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.stream.finish()
    }
}
