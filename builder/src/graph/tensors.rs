//! Taking the large tensors out of a graph.

use super::quantize;
use crate::error::BuildError;
use encoderfile_runtime::onnx::{
    GraphProto, NodeProto, TensorProto, tensor_proto::DataLocation, tensor_proto::DataType,
};
use encoderfile_runtime::proto::WeightsEncoding;
use encoderfile_runtime::source::{ReadError, Source, checked_range};
use encoderfile_runtime::weights::{Encoding, External, GroupAxis};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Tensors of fewer bytes stay in the graph.
const LARGE_LEN: usize = 4096;

/// Matrices of fewer values are stored as float32 whatever the encoding:
/// biases, type embeddings and small heads cost accuracy and save nothing.
const QUANTISED_LEN: usize = 1 << 14;

/// Tensors are read in place by 64-byte vectors.
const ALIGNMENT: u64 = 64;

/// The weights artifact: stored tensors, one after the other, each aligned.
#[derive(Default)]
pub struct Weights {
    /// Sorted by offset.
    pieces: Vec<(u64, Vec<u8>)>,
    length: u64,
}

impl Weights {
    /// Adds a tensor, and says where it is.
    pub(crate) fn push(&mut self, bytes: Vec<u8>) -> u64 {
        let offset = self.length.next_multiple_of(ALIGNMENT);
        self.length = offset + bytes.len() as u64;
        self.pieces.push((offset, bytes));
        offset
    }
}

impl Weights {
    /// Each tensor's bytes.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(|(_, bytes)| bytes.as_slice())
    }
}

impl Source for Weights {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let range = checked_range(offset, buffer.len() as u64, self.length)?;
        // Whatever no piece covers is padding.
        buffer.fill(0);
        let after = self.pieces.partition_point(|(start, _)| *start <= offset);
        for (start, bytes) in &self.pieces[after.saturating_sub(1)..] {
            if *start >= range.end {
                break;
            }
            let first = range.start.max(*start);
            let end = range.end.min(start + bytes.len() as u64);
            if first < end {
                let source = usize::try_from(first - start)?..usize::try_from(end - start)?;
                let target =
                    usize::try_from(first - range.start)?..usize::try_from(end - range.start)?;
                buffer[target].copy_from_slice(&bytes[source]);
            }
        }
        Ok(())
    }
}

/// Reads tensors that the ONNX file keeps in files beside it.
pub(super) fn load_external(path: &Path, graph: &mut GraphProto) -> Result<(), BuildError> {
    for tensor in &mut graph.initializer {
        if tensor.data_location() == DataLocation::External {
            let bytes = read_external(path, tensor).map_err(|why| BuildError::Onnx {
                path: path.to_owned(),
                problem: format!("tensor `{}`: {why}", tensor.name),
            })?;
            tensor.raw_data = bytes.into();
            tensor.set_data_location(DataLocation::Default);
            tensor.external_data.clear();
        }
    }
    Ok(())
}

fn read_external(path: &Path, tensor: &TensorProto) -> Result<Vec<u8>, String> {
    let entry = |key: &str| {
        let mut entries = tensor.external_data.iter();
        entries.find(|it| it.key == key).map(|it| it.value.as_str())
    };
    let number = |key: &str| match entry(key) {
        None => Ok(None),
        Some(text) => text
            .parse::<u64>()
            .map(Some)
            .map_err(|_| format!("bad {key} {text:?}")),
    };
    let location = Path::new(entry("location").ok_or("no location")?);
    if !location
        .components()
        .all(|it| matches!(it, std::path::Component::Normal(_)))
    {
        return Err(format!("location {location:?} is not beside the model"));
    }
    let file = path.with_file_name(location);
    let fail = |error: std::io::Error| format!("{}: {error}", file.display());
    let mut open = File::open(&file).map_err(fail)?;
    let total = open.metadata().map_err(fail)?.len();
    let offset = number("offset")?.unwrap_or(0);
    let length = number("length")?.unwrap_or(total.saturating_sub(offset));
    checked_range(offset, length, total).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut bytes = vec![0; usize::try_from(length).map_err(|error| error.to_string())?];
    open.seek(SeekFrom::Start(offset)).map_err(fail)?;
    open.read_exact(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

/// Moves every large float32 tensor out of the graph, stored as `encoding` where it pays.
pub(super) fn split(graph: &mut GraphProto, encoding: WeightsEncoding) -> Weights {
    let mut weights = Weights::default();
    let mut tensors = std::mem::take(&mut graph.initializer);
    for tensor in &mut tensors {
        if tensor.data_type != DataType::Float as i32 || value_count(tensor) * 4 < LARGE_LEN {
            continue;
        }
        let bytes = take_bytes(tensor);
        let encoding = encoding_for(graph, tensor, encoding);
        let stored = match encoding {
            Encoding::Plain => bytes,
            Encoding::F16 => quantize::to_f16(&bytes),
            Encoding::Int8 { group_axis } => {
                let columns = usize::try_from(tensor.dims[1]).unwrap_or(1);
                quantize::to_int8(&bytes, columns, group_axis)
            }
        };
        let place = External {
            length: stored.len() as u64,
            offset: weights.push(stored),
            encoding,
        };
        tensor.set_data_location(DataLocation::External);
        tensor.external_data = place.to_entries();
    }
    graph.initializer = tensors;
    weights
}

fn value_count(tensor: &TensorProto) -> usize {
    let dims = tensor
        .dims
        .iter()
        .map(|dim| usize::try_from(*dim).unwrap_or(0));
    dims.product()
}

fn take_bytes(tensor: &mut TensorProto) -> Vec<u8> {
    if tensor.raw_data.is_empty() {
        let values = std::mem::take(&mut tensor.float_data);
        return values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
    }
    std::mem::take(&mut tensor.raw_data).into()
}

fn encoding_for(graph: &GraphProto, tensor: &TensorProto, wanted: WeightsEncoding) -> Encoding {
    if tensor.dims.len() != 2 || value_count(tensor) < QUANTISED_LEN {
        return Encoding::Plain;
    }
    match wanted {
        WeightsEncoding::F32 => Encoding::Plain,
        WeightsEncoding::F16 => Encoding::F16,
        WeightsEncoding::Int8 => Encoding::Int8 {
            group_axis: input_axis(graph, &tensor.name),
        },
    }
}

/// The axis over which the operator that uses a matrix sums: its input dimension.
fn input_axis(graph: &GraphProto, name: &str) -> GroupAxis {
    let user = graph
        .node
        .iter()
        .find(|node| node.input.iter().any(|it| it == name));
    let Some(user) = user else {
        return GroupAxis::Columns;
    };
    let is_right = user.input.get(1).is_some_and(|it| it == name);
    match user.op_type.as_str() {
        "MatMul" if is_right => GroupAxis::Rows,
        "Gemm" if is_right && !is_transposed(user) => GroupAxis::Rows,
        _ => GroupAxis::Columns,
    }
}

fn is_transposed(gemm: &NodeProto) -> bool {
    let transposed = gemm.attribute.iter().find(|it| it.name == "transB");
    transposed.is_some_and(|it| it.i != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_with_their_padding() {
        let mut weights = Weights::default();
        assert_eq!(weights.push(vec![1; 3]), 0);
        assert_eq!(weights.push(vec![2; 70]), 64);
        assert_eq!(weights.push(vec![3; 2]), 192);
        let mut all = vec![9; usize::try_from(weights.len()).unwrap()];
        weights.read_at(0, &mut all).unwrap();
        let mut expected = vec![0; 194];
        expected[..3].fill(1);
        expected[64..134].fill(2);
        expected[192..].fill(3);
        assert_eq!(all, expected);
        for start in 0..all.len() {
            let mut part = vec![9; (all.len() - start).min(80)];
            weights.read_at(start as u64, &mut part).unwrap();
            assert_eq!(part, expected[start..start + part.len()]);
        }
        assert!(weights.read_at(190, &mut [0; 5]).is_err());
    }
}
