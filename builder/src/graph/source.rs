//! Reading an ONNX file and the files beside it that hold its tensors, without
//! holding what is in them: tensors are parts of mapped files.

use crate::error::BuildError;
use bytes::Bytes;
use encoderfile::file::MappedFile;
use encoderfile::onnx::{
    GraphProto, ModelProto, TensorProto, ValueInfoProto, tensor_proto::DataLocation,
    tensor_proto::DataType,
};
use encoderfile::source::checked_range;
use prost::Message;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// A model with all its tensors, and the SHA-256 of the files it is in.
pub(super) fn read(path: &Path) -> Result<(ModelProto, [u8; 32]), BuildError> {
    let mut files = Files {
        path,
        open: vec![(path.to_owned(), map(path)?)],
    };
    let mut model = decode(path, files.open[0].1.clone())?;
    if let Some(graph) = &mut model.graph {
        files.load_tensors(graph)?;
    }
    let mut hasher = Sha256::new();
    for (_, bytes) in &files.open {
        hasher.update(bytes);
    }
    Ok((model, hasher.finalize().into()))
}

/// What a model declares of its outputs.
pub(super) fn outputs(path: &Path) -> Result<Vec<ValueInfoProto>, BuildError> {
    let model = decode(path, map(path)?)?;
    Ok(model.graph.unwrap_or_default().output)
}

/// The names of the files beside a model that its tensors are in. What is no such name is
/// refused when the model is read.
pub(super) fn external_files(path: &Path) -> Result<BTreeSet<String>, BuildError> {
    let model = decode(path, map(path)?)?;
    let mut names = BTreeSet::new();
    if let Some(graph) = &model.graph {
        collect_locations(graph, &mut names);
    }
    Ok(names)
}

fn collect_locations(graph: &GraphProto, names: &mut BTreeSet<String>) {
    let attributes = graph.node.iter().flat_map(|it| &it.attribute);
    let constants = attributes.clone().filter_map(|it| it.t.as_ref());
    for tensor in graph.initializer.iter().chain(constants) {
        let mut entries = tensor.external_data.iter();
        let location = entries.find(|it| it.key == "location");
        let is_external = tensor.data_location() == DataLocation::External;
        if let Some(location) = location.map(|it| Path::new(&it.value))
            && is_external
            && is_beside(location)
        {
            let parts = location.components().filter_map(|it| match it {
                Component::Normal(part) => Some(part.to_string_lossy()),
                _ => None,
            });
            names.insert(parts.collect::<Vec<_>>().join("/"));
        }
    }
    for body in attributes.filter_map(|it| it.g.as_ref()) {
        collect_locations(body, names);
    }
}

/// Whether a location of tensors is in the model's folder.
fn is_beside(location: &Path) -> bool {
    let beside = |it: Component<'_>| matches!(it, Component::Normal(_) | Component::CurDir);
    location.components().all(beside)
}

fn decode(path: &Path, onnx: Bytes) -> Result<ModelProto, BuildError> {
    #[allow(
        clippy::disallowed_methods,
        reason = "the author's own file, which may hold any number of values as lists"
    )]
    let model = ModelProto::decode(onnx);
    model.map_err(|error| BuildError::Graph {
        path: path.to_owned(),
        source: error.into(),
    })
}

fn map(path: &Path) -> Result<Bytes, BuildError> {
    let file = MappedFile::open(path).map_err(|source| BuildError::Read {
        path: path.to_owned(),
        source,
    });
    Ok(Bytes::from_owner(file?))
}

/// The ONNX file first, then those it names, in the order in which it does.
struct Files<'a> {
    path: &'a Path,
    open: Vec<(PathBuf, Bytes)>,
}

impl Files<'_> {
    fn load_tensors(&mut self, graph: &mut GraphProto) -> Result<(), BuildError> {
        for tensor in &mut graph.initializer {
            self.load(tensor)?;
        }
        for attribute in graph.node.iter_mut().flat_map(|it| &mut it.attribute) {
            if let Some(tensor) = &mut attribute.t {
                self.load(tensor)?;
            }
            if let Some(body) = &mut attribute.g {
                self.load_tensors(body)?;
            }
        }
        Ok(())
    }

    fn load(&mut self, tensor: &mut TensorProto) -> Result<(), BuildError> {
        if tensor.data_location() == DataLocation::External {
            tensor.raw_data = self.external(tensor)?;
            tensor.set_data_location(DataLocation::Default);
            tensor.external_data.clear();
        }
        check_length(tensor).map_err(|problem| self.problem(tensor, &problem))
    }

    fn external(&mut self, tensor: &TensorProto) -> Result<Bytes, BuildError> {
        let fail = |problem: &str| Err(self.problem(tensor, problem));
        let entry = |key: &str| {
            let mut entries = tensor.external_data.iter();
            entries.find(|it| it.key == key).map(|it| it.value.as_str())
        };
        let number = |key: &str| entry(key).map(str::parse::<u64>).transpose();
        let (Ok(offset), Ok(length)) = (number("offset"), number("length")) else {
            return fail("its external_data has an offset or length that is no number");
        };
        let Some(location) = entry("location").map(Path::new) else {
            return fail("its external_data has no location");
        };
        if !is_beside(location) {
            return fail(&format!("{} is not beside the model", location.display()));
        }
        let file = self.path.with_file_name(location);
        let bytes = self.open(&file).map_err(|error| match error {
            BuildError::Read { path, source } => {
                let path = path.display();
                self.problem(tensor, &format!("{path}: {source}; export the model again"))
            }
            error => error,
        })?;
        let total = bytes.len() as u64;
        let offset = offset.unwrap_or(0);
        let length = length.unwrap_or(total.saturating_sub(offset));
        let range = checked_range(offset, length, total)
            .map_err(|error| self.problem(tensor, &format!("{}: {error}", file.display())))?;
        // Within a mapped file, so both ends fit.
        #[allow(clippy::cast_possible_truncation, reason = "within a slice")]
        Ok(bytes.slice(range.start as usize..range.end as usize))
    }

    fn open(&mut self, path: &Path) -> Result<Bytes, BuildError> {
        if let Some((_, bytes)) = self.open.iter().find(|(open, _)| open == path) {
            return Ok(bytes.clone());
        }
        let bytes = map(path)?;
        self.open.push((path.to_owned(), bytes.clone()));
        Ok(bytes)
    }

    fn problem(&self, tensor: &TensorProto, problem: &str) -> BuildError {
        BuildError::Onnx {
            path: self.path.to_owned(),
            problem: format!("tensor `{}`: {problem}", tensor.name),
        }
    }
}

fn check_length(tensor: &TensorProto) -> Result<(), String> {
    let size: usize = match DataType::try_from(tensor.data_type) {
        _ if tensor.raw_data.is_empty() => return Ok(()),
        Ok(DataType::Float | DataType::Int32) => 4,
        Ok(DataType::Float16 | DataType::Int16 | DataType::Uint16) => 2,
        Ok(DataType::Int64 | DataType::Double) => 8,
        Ok(DataType::Int8 | DataType::Uint8 | DataType::Bool) => 1,
        _ => return Ok(()),
    };
    let mut dims = tensor.dims.iter().map(|dim| usize::try_from(*dim).ok());
    let expected = dims.try_fold(size, |product, dim| product.checked_mul(dim?));
    let length = tensor.raw_data.len();
    if expected == Some(length) {
        return Ok(());
    }
    Err(format!("{length} bytes for the shape {:?}", tensor.dims))
}
