//! The bytes of a tensor: those of its storage as they lie, or a copy in row-major order.

use super::machine::Tensor;
use super::{COPIES_MAX, PickleError, Stored, shown};
use bytes::Bytes;

/// How many bytes may still be copied.
pub(super) struct Copies(usize);

impl Copies {
    pub(super) fn of(file: &Bytes) -> Self {
        Self(file.len().saturating_mul(COPIES_MAX))
    }

    /// Memory for so many of them.
    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        self.0 = self.0.checked_sub(length)?;
        Some(Vec::with_capacity(length))
    }
}

/// Finds a tensor in the storage of its key.
pub(super) fn stored(
    storages: &dyn Fn(&str) -> Result<Bytes, PickleError>,
    name: &str,
    tensor: &Tensor<'_>,
    copies: &mut Copies,
) -> Result<Stored, PickleError> {
    let storage = tensor.storage;
    let entry = storages(storage.key)?;
    let width = storage.dtype.bitsize().div_ceil(8);
    if storage.count.checked_mul(width) != Some(entry.len()) {
        return Err(PickleError::StorageLength {
            name: shown(name),
            got: entry.len(),
            count: storage.count,
            dtype: storage.dtype,
        });
    }
    Ok(Stored {
        name: name.to_owned(),
        dtype: storage.dtype,
        shape: tensor.shape(),
        bytes: bytes(&entry, name, tensor, width, copies)?,
    })
}

/// The bytes of a tensor in those of its storage, whose values have `width` each.
fn bytes(
    storage: &Bytes,
    name: &str,
    tensor: &Tensor<'_>,
    width: usize,
    copies: &mut Copies,
) -> Result<Bytes, PickleError> {
    let outside = || PickleError::Outside {
        name: shown(name),
        shape: tensor.shape(),
        offset: tensor.offset,
        count: tensor.storage.count,
    };
    let length = length(&tensor.shape(), width).ok_or_else(outside)?;
    if length == 0 {
        return Ok(Bytes::new());
    }
    let start = tensor.offset.checked_mul(width);
    let values = start.and_then(|it| storage.get(it..)).ok_or_else(outside)?;
    if is_row_major(&tensor.dims) {
        let values = values.get(..length).ok_or_else(outside)?;
        return Ok(storage.slice_ref(values));
    }
    let too_large = || PickleError::Copies { name: shown(name) };
    let mut copy = copies.take(length).ok_or_else(too_large)?;
    gather(values, &tensor.dims, width, &mut copy).ok_or_else(outside)?;
    Ok(copy.into())
}

/// The bytes of a shape, of which also the dimensions beside one of size zero must be possible.
fn length(shape: &[usize], width: usize) -> Option<usize> {
    let sizes = shape.iter().map(|size| (*size).max(1));
    let length = sizes.into_iter().try_fold(width, usize::checked_mul)?;
    Some(if shape.contains(&0) { 0 } else { length })
}

/// Whether a tensor's values follow one another. The stride of a dimension of size one is any.
fn is_row_major(dims: &[(usize, usize)]) -> bool {
    let mut expected = 1_usize;
    dims.iter().rev().all(|(size, stride)| {
        let is_expected = *size == 1 || *stride == expected;
        expected = expected.saturating_mul(*size);
        is_expected
    })
}

/// Copies values of `width` bytes in row-major order, if all are there. It recurses once a
/// dimension.
fn gather(values: &[u8], dims: &[(usize, usize)], width: usize, copy: &mut Vec<u8>) -> Option<()> {
    let Some(((size, stride), inner)) = dims.split_first() else {
        copy.extend_from_slice(values.get(..width)?);
        return Some(());
    };
    for index in 0..*size {
        let start = index.checked_mul(*stride)?.checked_mul(width)?;
        gather(values.get(start..)?, inner, width, copy)?;
    }
    Some(())
}
