//! A layer of one file, and what hashes say of blobs.

use encoderfile::source::Source;
use sha2::{Digest, Sha256};
use std::io::{self, BufReader, Read};
use tar::{EntryType, Header};

/// Of which a tar archive is made.
const BLOCK_LEN: u64 = 512;
/// Two blocks of zeros.
const END_LEN: u64 = 2 * BLOCK_LEN;

/// How much of a source is read at once.
const CHUNK_LEN: usize = 1 << 20;

/// A layer with one file: a tar archive, of which nothing but the header is in memory.
pub(super) struct Layer<'a> {
    header: Header,
    content: &'a dyn Source,
}

impl<'a> Layer<'a> {
    pub(super) fn new(name: &str, mode: u32, content: &'a dyn Source) -> io::Result<Self> {
        let header = header(name, EntryType::Regular, mode, content.len())?;
        Ok(Self { header, content })
    }

    /// The archive.
    pub(super) fn read(&self) -> impl Read + '_ {
        let length = self.content.len();
        let zeros = length.next_multiple_of(BLOCK_LEN) - length + END_LEN;
        let content = Content {
            source: self.content,
            offset: 0,
        };
        self.header
            .as_bytes()
            .chain(BufReader::with_capacity(CHUNK_LEN, content))
            .chain(io::repeat(0).take(zeros))
    }

    /// Hash and length of the archive, which is read for it.
    pub(super) fn describe(&self) -> io::Result<Descriptor> {
        let mut hasher = Sha256::new();
        let mut archive = self.read();
        let mut chunk = vec![0; CHUNK_LEN];
        let mut length = 0;
        loop {
            let read = archive.read(&mut chunk)?;
            let Some(bytes) = chunk.get(..read).filter(|it| !it.is_empty()) else {
                break;
            };
            hasher.update(bytes);
            length += read as u64;
        }
        Ok(Descriptor {
            sha256: hex(&hasher.finalize()),
            length,
        })
    }
}

/// What names a blob.
pub(super) struct Descriptor {
    /// In hexadecimal.
    pub(super) sha256: String,
    /// In bytes.
    pub(super) length: u64,
}

impl Descriptor {
    pub(super) fn of(content: &[u8]) -> Self {
        Self {
            sha256: hex(&Sha256::digest(content)),
            length: content.len() as u64,
        }
    }

    /// `sha256:…`
    pub(super) fn digest(&self) -> String {
        format!("sha256:{}", self.sha256)
    }

    /// Where it is in an image layout.
    pub(super) fn path(&self) -> String {
        format!("blobs/sha256/{}", self.sha256)
    }
}

/// An entry of root's, of no time. A size above 8 GiB is written in base 256.
pub(super) fn header(name: &str, kind: EntryType, mode: u32, size: u64) -> io::Result<Header> {
    let mut header = Header::new_gnu();
    header.set_path(name)?;
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}

/// A source from its start to its end.
struct Content<'a> {
    source: &'a dyn Source,
    offset: u64,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let remaining = self.source.len().saturating_sub(self.offset);
        let step = usize::try_from(remaining).map_or(buffer.len(), |it| it.min(buffer.len()));
        let (bytes, _) = buffer.split_at_mut(step);
        let read = self.source.read_at(self.offset, bytes);
        read.map_err(io::Error::other)?;
        self.offset += step as u64;
        Ok(step)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
