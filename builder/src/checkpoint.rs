//! The tensors of a checkpoint as it lies on the hub: model.safetensors, or pytorch_model.bin, or
//! the shards that an index names. They are parts of mapped files.

#[cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]
mod pickle;
pub(crate) mod spool;

use crate::error::BuildError;
use bytes::Bytes;
use encoderfile::file::MappedFile;
use encoderfile::onnx::{TensorProto, tensor_proto::DataType};
pub use pickle::PickleError;
use pickle::Stored;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

/// What a checkpoint is called, best first.
pub(crate) const NAMES: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// Whether a file is a checkpoint by its name, or the index of one.
pub(crate) fn is_one(path: &Path) -> bool {
    let name = path.file_name().and_then(|it| it.to_str());
    let name = name.map(|it| it.strip_suffix(".index.json").unwrap_or(it));
    name.is_some_and(|it| it.ends_with(".safetensors") || it.ends_with(".bin"))
}

/// The format of a file of weights, by its name.
pub(crate) fn format(path: &Path) -> &'static str {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match name.strip_suffix(".index.json").unwrap_or(&name) {
        name if name.ends_with(".safetensors") => "safetensors",
        name if name.ends_with(".bin") => "pytorch",
        _ => "onnx",
    }
}

/// The tensors of one or several files.
#[derive(Debug)]
pub struct Checkpoint {
    /// The file, or the index.
    pub(crate) path: PathBuf,
    tensors: BTreeMap<String, Tensor>,
    files: Vec<Bytes>,
}

/// A tensor in a file.
#[derive(Debug)]
pub(crate) struct Tensor {
    /// Which file.
    path: PathBuf,
    dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    bytes: Bytes,
}

/// The index of shards.
#[derive(Deserialize)]
struct Index {
    /// The shard of each tensor.
    weight_map: BTreeMap<String, String>,
}

impl Index {
    fn read(path: &Path) -> Result<Self, BuildError> {
        let index: Self =
            serde_json::from_slice(&map(path)?).map_err(|source| BuildError::Json {
                path: path.to_owned(),
                source,
            })?;
        let mut shards = index.weight_map.iter();
        match shards.find(|(_, shard)| !is_file_name(shard)) {
            Some((name, shard)) => Err(BuildError::Tensor {
                path: path.to_owned(),
                name: name.clone(),
                problem: format!("is in {shard:?}, which is no file beside it"),
            }),
            None => Ok(index),
        }
    }
}

/// The names of the shards, if the file is the index of any.
pub(crate) fn shards(path: &Path) -> Result<BTreeSet<String>, BuildError> {
    if path.extension().is_none_or(|it| it != "json") {
        return Ok(BTreeSet::new());
    }
    Ok(Index::read(path)?.weight_map.into_values().collect())
}

impl Checkpoint {
    /// Opens a file, or all that an index names.
    ///
    /// # Errors
    /// [`BuildError`] with the file, and the tensor where one is at fault, for what cannot be
    /// read, is cut or malformed, holds more than tensors, or is not what an index says.
    pub fn open(path: &Path) -> Result<Self, BuildError> {
        let mut checkpoint = Self::empty(path);
        if path.extension().is_some_and(|it| it == "json") {
            checkpoint.read_shards(path)?;
        } else {
            checkpoint.read(path, map(path)?, |_| Ok(()))?;
        }
        Ok(checkpoint)
    }

    /// The tensors in the bytes of one file, whose name says its format: `*.bin`, `*.pt` or
    /// `*.safetensors`.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn of_bytes(path: &Path, file: Bytes) -> Result<Self, BuildError> {
        let mut checkpoint = Self::empty(path);
        checkpoint.read(path, file, |_| Ok(()))?;
        Ok(checkpoint)
    }

    fn empty(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            tensors: BTreeMap::new(),
            files: Vec::new(),
        }
    }

    fn read_shards(&mut self, path: &Path) -> Result<(), BuildError> {
        let Index { weight_map } = Index::read(path)?;
        let lies = |name: &str, problem: String| BuildError::Tensor {
            path: path.to_owned(),
            name: name.to_owned(),
            problem,
        };
        let shards: BTreeSet<&String> = weight_map.values().collect();
        for shard in shards {
            let file = path.with_file_name(shard);
            self.read(&file, map(&file)?, |name| match weight_map.get(name) {
                Some(stated) if stated == shard => Ok(()),
                Some(stated) => Err(lies(name, format!("is in {shard}, not in {stated}"))),
                None => Err(lies(name, format!("is in {shard}, and not listed"))),
            })?;
        }
        match weight_map
            .iter()
            .find(|(name, _)| !self.tensors.contains_key(*name))
        {
            Some((name, shard)) => Err(lies(name, format!("is not in {shard}"))),
            None => Ok(()),
        }
    }

    /// Adds the tensors of a file, whose names `check` may refuse.
    fn read(
        &mut self,
        path: &Path,
        file: Bytes,
        check: impl Fn(&str) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        let is_pickle = path.extension().is_some_and(|it| it == "bin" || it == "pt");
        let tensors = match is_pickle {
            true => pickle::read(&file).map_err(|source| BuildError::Archive {
                path: path.to_owned(),
                source,
            })?,
            false => safetensors(path, &file)?,
        };
        for Stored {
            name,
            dtype,
            shape,
            bytes,
        } in tensors
        {
            check(&name)?;
            let tensor = Tensor {
                path: path.to_owned(),
                dtype,
                shape,
                bytes,
            };
            self.tensors.insert(name, tensor);
        }
        self.files.push(file);
        Ok(())
    }

    /// The SHA-256 of `config`, which says what the tensors are for, and of the files.
    pub(crate) fn sha256(&self, config: &[u8]) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(config);
        for file in &self.files {
            hasher.update(file);
        }
        hasher.finalize().into()
    }

    /// Their names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// What is wrong with a tensor.
    pub(crate) fn problem(&self, name: &str, problem: impl Into<String>) -> BuildError {
        let path = self.get(name).map_or(&self.path, |it| &it.path);
        BuildError::Tensor {
            path: path.clone(),
            name: name.to_owned(),
            problem: problem.into(),
        }
    }
}

/// How a tensor lies in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// As it does in the file.
    Stored,
    /// The other way round: a matrix `[outputs, inputs]` is the `[inputs, outputs]` of a
    /// `MatMul`.
    Transposed,
}

impl Tensor {
    /// Some of the rows of a matrix, which are the rows of several matrices after one another.
    pub(crate) fn rows(&self, rows: Range<usize>) -> Self {
        let row = self.bytes.len() / self.shape[0];
        Self {
            path: self.path.clone(),
            dtype: self.dtype,
            shape: vec![rows.len(), self.shape[1]],
            bytes: self.bytes.slice(rows.start * row..rows.end * row),
        }
    }

    fn stored(&self, name: &str) -> Result<spool::Values<'_>, BuildError> {
        match self.dtype {
            Dtype::F32 => Ok(spool::Values::F32(&self.bytes)),
            Dtype::F16 => Ok(spool::Values::F16(&self.bytes)),
            Dtype::BF16 => Ok(spool::Values::Bf16(&self.bytes)),
            other => Err(BuildError::Tensor {
                path: self.path.clone(),
                name: name.to_owned(),
                problem: format!("has type {other:?}, expected F32, F16 or BF16"),
            }),
        }
    }

    /// Whether another tensor has the same values, for a message about this one.
    pub(crate) fn equals(&self, other: &Self, name: &str) -> Result<bool, BuildError> {
        if self.shape != other.shape {
            return Ok(false);
        }
        match self.dtype == other.dtype {
            true => Ok(self.bytes == other.bytes),
            false => Ok(self.values(name)? == other.values(name)?),
        }
    }

    /// The values as float32, for a tensor of that name.
    pub(crate) fn values(&self, name: &str) -> Result<Vec<f32>, BuildError> {
        Ok(self.stored(name)?.to_vec())
    }

    /// The same values as an initializer.
    pub(crate) fn to_onnx(&self, name: &str, layout: Layout) -> Result<TensorProto, BuildError> {
        let fail = |problem: String| BuildError::Tensor {
            path: self.path.clone(),
            name: name.to_owned(),
            problem,
        };
        let stored = self.stored(name)?;
        let mut dims = self.shape.clone();
        let raw_data = match (layout, &*self.shape) {
            (Layout::Stored, _) => stored.in_place(&self.bytes),
            (Layout::Transposed, [rows, columns]) => {
                dims.reverse();
                stored.transposed(*rows, *columns)
            }
            (Layout::Transposed, shape) => {
                return Err(fail(format!("has shape {shape:?}, expected a matrix")));
            }
        };
        let data_type = match self.dtype {
            Dtype::F16 => DataType::Float16,
            _ => DataType::Float,
        };
        let dims = dims.into_iter().map(i64::try_from);
        Ok(TensorProto {
            name: name.to_owned(),
            data_type: data_type.into(),
            dims: dims
                .collect::<Result<_, _>>()
                .map_err(|error| fail(error.to_string()))?,
            raw_data: raw_data.map_err(|error| fail(format!("a temporary file of it: {error}")))?,
            ..TensorProto::default()
        })
    }
}

fn safetensors(path: &Path, file: &Bytes) -> Result<Vec<Stored>, BuildError> {
    let tensors = SafeTensors::deserialize(file).map_err(|source| BuildError::Safetensors {
        path: path.to_owned(),
        source,
    })?;
    let tensors = tensors.iter().map(|(name, view)| Stored {
        name: name.to_owned(),
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: file.slice_ref(view.data()),
    });
    Ok(tensors.collect())
}

fn map(path: &Path) -> Result<Bytes, BuildError> {
    let file = MappedFile::open(path).map_err(|source| BuildError::Read {
        path: path.to_owned(),
        source,
    });
    Ok(Bytes::from_owner(file?))
}

fn is_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none()
}
