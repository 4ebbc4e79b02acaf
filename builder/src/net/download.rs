//! Fetching a file: from where it was cut, to the length and hash it was announced with.

use super::client::{TRIES, pause_after};
use super::folder::create_folder_of;
use super::hash::Hash;
use crate::progress::Progress;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;

/// Read at once.
const CHUNK_LEN: usize = 1 << 18;

/// A connection that brought so much was a good one, whatever became of it.
const WORTH: u64 = 1 << 20;

/// A file to fetch.
pub(crate) struct Download<'a> {
    /// What people call it.
    pub(crate) name: &'a str,
    /// Where it is to be.
    pub(crate) path: &'a Path,
    /// How many bytes it has, if that is known.
    pub(crate) length: Option<u64>,
    /// How many it has at most.
    pub(crate) length_max: u64,
    pub(crate) hash: &'a Hash,
}

/// The bytes of a file from `start` on.
pub(crate) struct Opened {
    pub(crate) start: u64,
    pub(crate) body: Box<dyn Read>,
}

/// Why there is no file.
pub(crate) enum DownloadError<E> {
    /// Whoever has it does not give it.
    Source(E),
    /// It is not what was announced.
    Content(String),
    /// It was cut again and again.
    Cut {
        got: u64,
        expected: u64,
        problem: String,
    },
    /// It cannot be kept.
    File { path: PathBuf, source: io::Error },
}

/// How a connection ended.
enum End {
    /// With the file.
    Whole,
    /// Before that.
    Cut(io::Error),
}

/// Opens a file at an offset, or at its start.
type Open<'a, E> = &'a mut dyn FnMut(u64) -> Result<Opened, E>;

impl Download<'_> {
    /// Fetches it, and says how many bytes it has. Bytes that were cut off are kept beside it,
    /// for the next time.
    pub(crate) fn fetch<E>(&self, open: Open<'_, E>) -> Result<u64, DownloadError<E>> {
        let mut partial = Partial::open(self)?;
        let begun = partial.length;
        let wrong = self.complete(open, &mut partial)?;
        let wrong = match wrong {
            // The beginning was somebody else's, or of a file system that lost it.
            Some(_) if begun > 0 => {
                partial.restart()?;
                self.complete(open, &mut partial)?
            }
            wrong => wrong,
        };
        if let Some(problem) = wrong {
            partial.remove();
            return Err(DownloadError::Content(problem));
        }
        let fetched = partial.length;
        partial.keep()?;
        Ok(fetched)
    }

    /// Fetches what is missing, and says what is wrong with the whole.
    fn complete<E>(
        &self,
        open: Open<'_, E>,
        partial: &mut Partial<'_>,
    ) -> Result<Option<String>, DownloadError<E>> {
        let mut tries = 0;
        while !partial.is_whole() {
            let before = partial.length;
            let End::Cut(error) = self.transfer(open, partial)? else {
                break;
            };
            tries = if partial.length >= before + WORTH {
                1
            } else {
                tries + 1
            };
            if tries >= TRIES {
                return Err(DownloadError::Cut {
                    got: partial.length,
                    expected: self.limit(),
                    problem: error.to_string(),
                });
            }
            if partial.length == before {
                thread::sleep(pause_after(tries));
            }
        }
        partial.problem()
    }

    fn transfer<E>(
        &self,
        open: Open<'_, E>,
        partial: &mut Partial<'_>,
    ) -> Result<End, DownloadError<E>> {
        let mut opened = open(partial.length).map_err(DownloadError::Source)?;
        if opened.start != partial.length {
            // There is no such range: what was there is none of it.
            partial.restart()?;
        }
        let mut chunk = vec![0; CHUNK_LEN];
        loop {
            let length = match opened.body.read(&mut chunk) {
                Ok(0) => return Ok(End::Whole),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(End::Cut(error)),
            };
            let limit = self.limit();
            if partial.length + length as u64 > limit {
                partial.remove();
                let problem = format!("has more than the {limit} bytes announced");
                return Err(DownloadError::Content(problem));
            }
            partial.append(&chunk[..length])?;
        }
    }

    fn limit(&self) -> u64 {
        self.length.unwrap_or(self.length_max)
    }
}

/// A file on its way: `NAME.incomplete`, which a later build goes on with.
struct Partial<'a> {
    of: &'a Download<'a>,
    path: PathBuf,
    file: File,
    length: u64,
    progress: Progress,
}

impl<'a> Partial<'a> {
    fn open<E>(of: &'a Download<'a>) -> Result<Self, DownloadError<E>> {
        let mut path = of.path.as_os_str().to_owned();
        path.push(".incomplete");
        let path = PathBuf::from(path);
        let opened = create_folder_of(&path).and_then(|()| {
            let mut options = File::options();
            let file = options.read(true).append(true).create(true).open(&path)?;
            let length = file.metadata()?.len();
            Ok((file, length))
        });
        let (file, length) = opened.map_err(|source| of_file(&path, source))?;
        let mut partial = Self {
            of,
            path,
            file,
            length,
            progress: Progress::of_file(of.name, of.length, length),
        };
        if length > of.limit() {
            partial.restart()?;
        }
        Ok(partial)
    }

    /// Whether as much is there as was announced.
    fn is_whole(&self) -> bool {
        self.of.length == Some(self.length)
    }

    fn append<E>(&mut self, bytes: &[u8]) -> Result<(), DownloadError<E>> {
        let written = self.file.write_all(bytes);
        written.map_err(|source| of_file(&self.path, source))?;
        self.length += bytes.len() as u64;
        self.progress.set(self.length);
        Ok(())
    }

    fn restart<E>(&mut self) -> Result<(), DownloadError<E>> {
        let cleared = self.file.set_len(0);
        cleared.map_err(|source| of_file(&self.path, source))?;
        self.length = 0;
        self.progress.set(0);
        Ok(())
    }

    /// What of it is not as announced.
    fn problem<E>(&self) -> Result<Option<String>, DownloadError<E>> {
        if let Some(expected) = self.of.length.filter(|it| *it != self.length) {
            let got = self.length;
            return Ok(Some(format!("has {got} bytes, {expected} were announced")));
        }
        // What is on the disk: a part of it may be of an earlier build.
        let hash = self.of.hash;
        let computed = File::open(&self.path).and_then(|mut it| hash.compute(&mut it));
        let computed = computed.map_err(|source| of_file(&self.path, source))?;
        let is_right = computed == hash.name();
        Ok((!is_right).then(|| format!("is not the {hash} announced")))
    }

    /// Gives it its name.
    fn keep<E>(self) -> Result<(), DownloadError<E>> {
        self.progress.finish();
        // Else a machine that loses power may find the name without the content.
        let kept = self
            .file
            .sync_all()
            .and_then(|()| fs::rename(&self.path, self.of.path));
        kept.map_err(|source| of_file(self.of.path, source))
    }

    fn remove(&self) {
        // What remains is never taken for the file.
        let _ = fs::remove_file(&self.path);
    }
}

fn of_file<E>(path: &Path, source: io::Error) -> DownloadError<E> {
    DownloadError::File {
        path: path.to_owned(),
        source,
    }
}
