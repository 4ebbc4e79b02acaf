//! The tensors of a PyTorch checkpoint: pytorch_model.bin, the zip archive that `torch.save`
//! has written since 1.6.
//!
//! Its data.pkl is a program for Python's pickle machine. [`machine`] knows the opcodes and
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
#[cfg(test)]
mod tests;

use archive::Archive;
use bytes::Bytes;
use safetensors::Dtype;

/// Entries of an archive: there is one a tensor, and no encoder has a tenth of this.
const ENTRIES_MAX: u64 = 1 << 16;

/// The name of an entry: that of the saved file, and `/data/` and a number.
const NAME_LEN_MAX: usize = 1024;

/// Opcodes of data.pkl. A tensor takes about 33, so this is 30,000 tensors. An opcode makes at
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

/// The tensors of an archive, in its order. `file` is the whole file; tensors are slices of it,
/// and only those that are not contiguous are copied.
pub(super) fn read(file: &Bytes) -> Result<Vec<Stored>, PickleError> {
    let archive = Archive::open(file)?;
    archive.check_byte_order()?;
    let pickle = archive.entry("data.pkl")?;
    let objects = machine::run(&pickle)?;
    let mut copies = layout::Copies::of(file);
    state_dict::find(&objects)?
        .into_iter()
        .map(|(name, tensor)| layout::stored(&archive, name, tensor, &mut copies))
        .collect()
}

/// An archive that is not read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickleError {
    /// Another file.
    #[error("not a zip archive as `torch.save` writes it")]
    NotZip,
    /// The format of PyTorch before 1.6.
    #[error("saved by a PyTorch older than 1.6; load and save it again, or save as safetensors")]
    Old,
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
        "data.pkl at byte {at}: names `{name}`, which is not a tensor: this is code, and is not run"
    )]
    Global {
        /// In data.pkl.
        at: usize,
        /// Module and name.
        name: String,
    },
    /// A storage whose type is not read.
    #[error("data.pkl at byte {at}: tensors of `{name}`, a type that is not read")]
    Storage {
        /// In data.pkl.
        at: usize,
        /// Module and name.
        name: String,
    },
    /// An opcode that tensors are not written with.
    #[error("data.pkl at byte {at}: opcode {name}, which tensors are not written with")]
    Opcode {
        /// In data.pkl.
        at: usize,
        /// As Python's `pickletools` calls it.
        name: String,
    },
    /// A pickle that Python would not read either, or would not have written.
    #[error("data.pkl at byte {at}: {problem}")]
    Malformed {
        /// In data.pkl.
        at: usize,
        /// What is there.
        problem: &'static str,
    },
    /// A known function with arguments that PyTorch does not write.
    #[error(
        "data.pkl at byte {at}: arguments of `{function}` that are not read, expected {expected}"
    )]
    Arguments {
        /// In data.pkl.
        at: usize,
        /// Which function.
        function: &'static str,
        /// Its arguments.
        expected: &'static str,
    },
    /// A pickle with too many opcodes.
    #[error("data.pkl with more than {OPCODES_MAX} opcodes")]
    TooMany,
    /// A pickle without a dict of tensors.
    #[error("data.pkl has no dict of tensors, at its top or one level below")]
    NoTensors,
    /// Several dicts of tensors.
    #[error("data.pkl has several dicts of tensors: {}", .names.join(", "))]
    Several {
        /// Their keys.
        names: Vec<String>,
    },
    /// Something beside the tensors that is not plain data, and so would be lost.
    #[error("data.pkl: `{name}` beside the tensors is neither a tensor nor plain data")]
    NotPlain {
        /// Its key.
        name: String,
    },
    /// A tensor whose key is no text.
    #[error("data.pkl: a tensor without a name")]
    NoName,
    /// Two tensors of one name.
    #[error("data.pkl: two tensors `{name}`")]
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
        /// Values that data.pkl states.
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
