//! The tensors of a PyTorch checkpoint: pytorch_model.bin, the zip archive that `torch.save`
//! has written since 1.6, or the stream of pickles before that.
//!
//! A pickle is a program for Python's pickle machine. [`machine`] knows the opcodes and
//! the thirteen globals that tensors are written with, builds values of its own for them
//! and refuses all else by name; nothing in a file is ever run. Every value is a number in
//! one table and nothing recurses through them, so neither depth nor sharing costs more than
//! the length of the file.

mod archive;
mod cursor;
mod layout;
mod machine;
mod opcode;
mod state_dict;
mod stream;
#[cfg(test)]
mod tests;

use archive::Archive;
use bytes::Bytes;
use machine::Objects;
use safetensors::Dtype;
use stream::Stream;

/// Entries of an archive: there is one a tensor, and no encoder has a tenth of this.
const ENTRIES_MAX: u64 = 1 << 16;

/// The name of an entry: that of the saved file, and `/data/` and a number.
const NAME_LEN_MAX: usize = 1024;

/// Opcodes of a pickle. A tensor takes about 33, so this is 30,000 tensors. An opcode makes at
/// most one value, one memo entry and one place on the stack: it bounds them all, together to
/// less than 256 MB.
const OPCODES_MAX: usize = 1 << 20;

/// Dimensions of a tensor: weights have up to five.
const RANK_MAX: usize = 8;

/// What tensors that are not contiguous may take as copies, in lengths of the file. Each
/// storage once would be less than one.
const COPIES_MAX: usize = 2;

/// A tensor of an archive: which bytes of the file it is.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// The values in row-major order, little-endian.
    pub(super) bytes: Bytes,
}

/// The tensors of a checkpoint, in its order. `file` is the whole file; tensors are slices of
/// it, and only those that are not contiguous are copied.
pub(super) fn read(file: &Bytes) -> Result<Vec<Stored>, PickleError> {
    if stream::is_stream(file) {
        let stream = Stream::open(file)?;
        let storages = stream.storages()?;
        let storage = |key: &str| {
            let storage = storages.get(key).cloned();
            storage.ok_or_else(|| PickleError::Missing { name: shown(key) })
        };
        return tensors(file, &stream.objects, &storage);
    }
    let archive = Archive::open(file)?;
    archive.check_byte_order()?;
    let pickle = archive.entry("data.pkl")?;
    let storage = |key: &str| archive.entry(&format!("data/{key}"));
    tensors(file, &machine::run(&pickle)?, &storage)
}

fn tensors(
    file: &Bytes,
    objects: &Objects<'_>,
    storage: &dyn Fn(&str) -> Result<Bytes, PickleError>,
) -> Result<Vec<Stored>, PickleError> {
    let mut copies = layout::Copies::of(file);
    state_dict::find(objects)?
        .into_iter()
        .map(|(name, tensor)| layout::stored(storage, name, tensor, &mut copies))
        .collect()
}

/// An archive that is not read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickleError {
    /// Another file.
    #[error("not a zip archive as `torch.save` writes it")]
    NotZip,
    /// The format of PyTorch before 1.6, in a version that is not known.
    #[error("a stream of PyTorch before 1.6, and not of version 1001; save as safetensors")]
    Version,
    /// Such a stream without a list of its storages.
    #[error("a stream of PyTorch before 1.6 without the keys of its storages, or with too many")]
    Keys,
    /// Such a stream that ends too early.
    #[error("a stream of PyTorch before 1.6 that ends within storage `{key}`")]
    Cut {
        /// Of the storage.
        key: String,
    },
    /// A zip archive that is damaged or cut short.
    #[error("zip archive at byte {at}: {problem}")]
    Zip {
        /// In the file.
        at: usize,
        /// What is there.
        problem: &'static str,
    },
    /// An archive with too many entries.
    #[error("zip archive with {got} entries, limit {ENTRIES_MAX}")]
    Entries {
        /// How many.
        got: u64,
    },
    /// Two entries of one name.
    #[error("zip archive with two entries `{name}`")]
    Twice {
        /// Of both.
        name: String,
    },
    /// An entry that should be there.
    #[error("zip archive without an entry `{name}`")]
    Missing {
        /// Of the entry.
        name: String,
    },
    /// An entry that is compressed or encrypted, as `torch.save` does not write it.
    #[error("entry `{name}` is compressed or encrypted; `torch.save` stores entries as they are")]
    Compressed {
        /// Of the entry.
        name: String,
    },
    /// Tensors of a big-endian machine.
    #[error("byte order `{got}`, expected `little`")]
    ByteOrder {
        /// What the archive says.
        got: String,
    },
    /// A global that is no part of a tensor.
    #[error(
        "pickle at byte {at}: names `{name}`, which is not a tensor: this is code, and is not run"
    )]
    Global {
        /// In data.pkl, or in the file.
        at: usize,
        /// Module and name.
        name: String,
    },
    /// A storage whose type is not read.
    #[error("pickle at byte {at}: tensors of `{name}`, a type that is not read")]
    Storage {
        /// In data.pkl, or in the file.
        at: usize,
        /// Module and name.
        name: String,
    },
    /// An opcode that tensors are not written with.
    #[error("pickle at byte {at}: opcode {name}, which tensors are not written with")]
    Opcode {
        /// In data.pkl, or in the file.
        at: usize,
        /// As Python's `pickletools` calls it.
        name: String,
    },
    /// A pickle that Python would not read either, or would not have written.
    #[error("pickle at byte {at}: {problem}")]
    Malformed {
        /// In data.pkl, or in the file.
        at: usize,
        /// What is there.
        problem: &'static str,
    },
    /// A known function with arguments that PyTorch does not write.
    #[error(
        "pickle at byte {at}: arguments of `{function}` that are not read, expected {expected}"
    )]
    Arguments {
        /// In data.pkl, or in the file.
        at: usize,
        /// Which function.
        function: &'static str,
        /// Its arguments.
        expected: &'static str,
    },
    /// A pickle with too many opcodes.
    #[error("pickle with more than {OPCODES_MAX} opcodes")]
    TooMany,
    /// A pickle without a dict of tensors.
    #[error("the pickle has no dict of tensors, at its top or one level below")]
    NoTensors,
    /// Several dicts of tensors.
    #[error("the pickle has several dicts of tensors: {}", .names.join(", "))]
    Several {
        /// Their keys.
        names: Vec<String>,
    },
    /// Something beside the tensors that is not plain data, and so would be lost.
    #[error("the pickle: `{name}` beside the tensors is neither a tensor nor plain data")]
    NotPlain {
        /// Its key.
        name: String,
    },
    /// A tensor whose key is no text.
    #[error("the pickle: a tensor without a name")]
    NoName,
    /// Two tensors of one name.
    #[error("the pickle: two tensors `{name}`")]
    SameName {
        /// Of both.
        name: String,
    },
    /// An entry that is longer or shorter than its storage.
    #[error("tensor `{name}`: its storage has {got} bytes, expected {count} of {dtype:?}")]
    StorageLength {
        /// Of the tensor.
        name: String,
        /// Bytes of the entry.
        got: usize,
        /// Values that the pickle states.
        count: usize,
        /// Their type.
        dtype: Dtype,
    },
    /// A tensor that is not within its storage.
    #[error(
        "tensor `{name}`: shape {shape:?} at {offset} is outside its storage of {count} values"
    )]
    Outside {
        /// Of the tensor.
        name: String,
        /// Of the tensor.
        shape: Vec<usize>,
        /// Its first value in the storage.
        offset: usize,
        /// Values of the storage.
        count: usize,
    },
    /// Copies that are larger than the file explains.
    #[error(
        "tensor `{name}`: not contiguous, and copies of such tensors take more than {COPIES_MAX} times the file"
    )]
    Copies {
        /// Of the tensor.
        name: String,
    },
}

/// A name of the file for an error: its first characters, without control characters.
fn shown(name: &str) -> String {
    const LENGTH_MAX: usize = 80;
    let mut chars = name.chars();
    let start = chars.by_ref().take(LENGTH_MAX);
    let mut shown: String = start.flat_map(char::escape_debug).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}
