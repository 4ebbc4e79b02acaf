//! `QuantizeLinear` and `DequantizeLinear`, of weights and of activations.
//!
//! Weights in 8 bits with one scale for all or one for each channel stay as they are, and the
//! runtime dequantises them when it loads them; all others are dequantised here. Activations that
//! a graph quantises statically are rounded when they are computed, as the operators say.

use super::block_quantised::{Blocks, Dequantised};
use super::constants::{constant, expect, optional, resolve, same_type, sizes};
use super::{Fused, Rewritten};
use crate::graph::dequantise::{Integers, Quantities, ZeroPoints, floats, matrix};
use crate::graph::emit::{Emitter, int};
use encoderfile::onnx::{TensorProto, tensor_proto::DataType};

/// The first opset in which `QuantizeLinear` has 16 bits.
const OPSET_OF_16_BITS: i64 = 21;

/// By what a value is quantised or dequantised: one scale and zero point for all, or one of each
/// for each place along an axis.
pub(super) struct Steps<'a> {
    /// The operator that has them.
    pub(super) operator: &'a str,
    pub(super) scale: &'a str,
    pub(super) zero_point: Option<&'a str>,
    pub(super) axis: i64,
}

impl<'a> Steps<'a> {
    /// Those of a node's inputs at `scale` and after it.
    pub(super) fn of(node: &Fused<'a>, scale: usize, axis: i64) -> Result<Self, String> {
        Self::with(node, scale, scale + 1, axis)
    }

    /// Those of a node's inputs at two places.
    pub(super) fn with(
        node: &Fused<'a>,
        scale: usize,
        zero_point: usize,
        axis: i64,
    ) -> Result<Self, String> {
        Ok(Self {
            operator: &node.proto.op_type,
            scale: node.required(scale)?,
            zero_point: node.input(zero_point),
            axis,
        })
    }

    /// Writes what `value` stands for.
    pub(super) fn dequantise(
        &self,
        emitter: &mut Emitter<'_>,
        value: &str,
    ) -> Result<String, String> {
        let result = emitter.fresh("DequantizeLinear");
        self.dequantise_to(emitter, value, &result)?;
        Ok(result)
    }

    /// The same under a name.
    pub(super) fn dequantise_to(
        &self,
        emitter: &mut Emitter<'_>,
        value: &str,
        result: &str,
    ) -> Rewritten {
        self.note(emitter, value)?;
        let mut inputs = vec![value, self.scale];
        inputs.extend(self.zero_point);
        let attributes = vec![int("axis", self.axis)];
        emitter.node_to("DequantizeLinear", &inputs, attributes, result);
        Ok(())
    }

    /// Checks and notes how a tensor is quantised, if it and these are constants.
    pub(super) fn note(&self, emitter: &mut Emitter<'_>, value: &str) -> Rewritten {
        let tensor = emitter.initializer(value);
        let (Some(tensor), Some(scales)) = (tensor, emitter.initializer(self.scale)) else {
            return Ok(());
        };
        let zero_points = self.zero_point.and_then(|it| emitter.initializer(it));
        let channels = Channels::of(self.axis, scales, &sizes(tensor)?)?;
        let quantities = channels.quantities(tensor, scales, zero_points)?;
        let how = quantities.describe(self.operator, channels.axis, None);
        emitter.note_quantised(value, how);
        Ok(())
    }

    /// Writes `value` in these steps; of that type where no zero point says it.
    pub(super) fn quantise_to(
        &self,
        emitter: &mut Emitter<'_>,
        value: &str,
        data_type: DataType,
        result: &str,
    ) -> Rewritten {
        self.quantise_by(emitter, self.scale, value, data_type, result)
    }

    /// The same by another scale, which was written for this one.
    pub(super) fn quantise_by(
        &self,
        emitter: &mut Emitter<'_>,
        scale: &str,
        value: &str,
        data_type: DataType,
        result: &str,
    ) -> Rewritten {
        let initializer = |name: &str| {
            let tensor = emitter.initializer(name);
            tensor.ok_or_else(|| format!("its input `{name}` is not constant"))
        };
        let tensor = initializer(self.scale)?;
        let scales = floats(tensor)?;
        if (0..scales.len()).any(|index| scales.value(index) == 0.0) {
            return Err(format!("`{}` holds 0", tensor.name));
        }
        let zero_point = self.zero_point.map(initializer).transpose()?;
        if let Some(zero_point) = zero_point {
            Integers::of(zero_point)?;
            match scales.len() {
                1 => expect(zero_point, &[&[], &[1]])?,
                length => expect(zero_point, &[&[length]])?,
            }
        }
        let given = zero_point.map(|it| DataType::try_from(it.data_type));
        check_type(emitter, given.unwrap_or(Ok(data_type)).unwrap_or_default())?;
        let zero_point = match self.zero_point {
            Some(name) => name.to_owned(),
            None => {
                let name = emitter.fresh("zero_point");
                // At most two bytes each.
                let zeros = vec![0_u8; scales.len() * width(data_type)];
                emitter.tensor(data_type, tensor.dims.clone(), zeros, &name);
                name
            }
        };
        let inputs = [value, scale, zero_point.as_str()];
        let attributes = vec![int("axis", self.axis)];
        emitter.node_to("QuantizeLinear", &inputs, attributes, result);
        Ok(())
    }
}

/// The bytes of a type that values are quantised to.
fn width(data_type: DataType) -> usize {
    match data_type {
        DataType::Uint16 | DataType::Int16 => 2,
        _ => 1,
    }
}

/// Refuses what activations are not quantised to.
fn check_type(emitter: &Emitter<'_>, data_type: DataType) -> Rewritten {
    match data_type {
        DataType::Uint8 | DataType::Int8 => Ok(()),
        DataType::Uint16 | DataType::Int16 if emitter.opset >= OPSET_OF_16_BITS => Ok(()),
        DataType::Uint16 | DataType::Int16 => Err(format!(
            "activations of {data_type:?} are supported from opset {OPSET_OF_16_BITS} on, and this is {}",
            emitter.opset
        )),
        other => Err(format!("activations of {other:?} are not supported")),
    }
}

/// Activations rounded with scales that somebody measured.
pub(super) fn quantize_linear(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    node.without_flags(&["block_size"])?;
    let steps = Steps::of(node, 1, node.integer("axis", 1))?;
    let data_type = match node.integer("output_dtype", 0) {
        0 => Ok(DataType::Uint8),
        other => i32::try_from(other).map(|it| DataType::try_from(it).unwrap_or_default()),
    };
    let data_type = data_type.unwrap_or_default();
    steps.quantise_to(emitter, node.required(0)?, data_type, node.result()?)
}

pub(super) fn dequantize_linear(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let (values, result) = (node.required(0)?, node.result()?);
    let steps = Steps::of(node, 1, node.integer("axis", 1))?;
    if emitter.unquantised.contains(values) {
        emitter.node_to("Mul", &[values, steps.scale], vec![], result);
        return Ok(());
    }
    let is_blocked = node.integer("block_size", 0) != 0;
    match emitter.initializer(values) {
        Some(tensor) if is_blocked || !is_of_8_bits(tensor) => {
            let values = exact(node, emitter, tensor)?;
            emitter.tensor(DataType::Float, values.dims, values.bytes, result);
            emitter.note_quantised(result, values.how);
            return Ok(());
        }
        None if is_blocked => return Err("activations in blocks are not supported".into()),
        None => note_table(emitter, &steps, values)?,
        Some(_) => {}
    }
    steps.dequantise_to(emitter, values, result)
}

fn is_of_8_bits(tensor: &TensorProto) -> bool {
    let data_type = DataType::try_from(tensor.data_type);
    matches!(data_type, Ok(DataType::Int8 | DataType::Uint8))
}

/// Of rows of a table that have one scale, notes the table's.
fn note_table(emitter: &mut Emitter<'_>, steps: &Steps<'_>, rows: &str) -> Rewritten {
    let node = emitter.producer(rows);
    let table = node.filter(|it| it.op_type == "Gather");
    match table.and_then(|it| it.input.first()) {
        Some(table) if is_one(emitter, steps.scale) => steps.note(emitter, table),
        _ => Ok(()),
    }
}

/// Whether a constant is one number.
fn is_one(emitter: &Emitter<'_>, value: &str) -> bool {
    matches!(emitter.dims(value), Some([] | [1]))
}

/// Rows of a table that is dequantised as a whole, in one scale: they are, after they are
/// gathered.
pub(super) fn gather(node: &Fused<'_>, emitter: &mut Emitter<'_>) -> Rewritten {
    let table = node.input(0).and_then(|table| emitter.producer(table));
    let table = table.filter(|it| it.op_type == "DequantizeLinear");
    let table = table.map(|proto| Fused { proto }).filter(|table| {
        let values = table.input(0).and_then(|it| emitter.initializer(it));
        let scale = table.input(1).is_some_and(|it| is_one(emitter, it));
        values.is_some_and(is_of_8_bits) && scale && table.integer("block_size", 0) == 0
    });
    let Some(table) = table else {
        emitter.keep(node.proto);
        return Ok(());
    };
    let inputs = [table.required(0)?, node.required(1)?];
    let rows = emitter.node_with("Gather", &inputs, node.proto.attribute.clone());
    Steps::of(&table, 1, 0)?.dequantise_to(emitter, &rows, node.result()?)
}

/// What a tensor stands for.
fn exact(
    node: &Fused<'_>,
    emitter: &Emitter<'_>,
    tensor: &TensorProto,
) -> Result<Dequantised, String> {
    let scales = constant(node, emitter, 1)?;
    let zero_points = optional(node, emitter, 2)?;
    same_type(tensor, zero_points)?;
    let (operator, dims) = (node.proto.op_type.as_str(), sizes(tensor)?);
    let axis = node.integer("axis", 1);
    let block_size = node.integer("block_size", 0);
    if block_size != 0 {
        let size = usize::try_from(block_size);
        let blocks = Blocks {
            axis: resolve(axis, dims.len())?,
            size: size.map_err(|_| format!("attribute `block_size` is {block_size}"))?,
            dims,
        };
        let integers = Integers::of(tensor)?;
        return blocks.dequantise(operator, integers, (scales, zero_points), 0);
    }
    let channels = Channels::of(axis, scales, &dims)?;
    let quantities = channels.quantities(tensor, scales, zero_points)?;
    let Channels { length, inner, .. } = channels;
    let rows = dims.iter().product::<usize>() / inner;
    let value = |row: usize, column: usize| quantities.value(row * inner + column, row % length);
    Ok(Dequantised {
        bytes: matrix(rows, inner, value)?,
        how: quantities.describe(operator, channels.axis, None),
        dims: tensor.dims.clone(),
    })
}

/// Which values of a tensor have the same scale.
struct Channels {
    /// `None` where one is for all.
    axis: Option<usize>,
    /// How many scales there are.
    length: usize,
    /// How many values in a row have the same.
    inner: usize,
}

impl Channels {
    fn of(axis: i64, scales: &TensorProto, dims: &[usize]) -> Result<Self, String> {
        if let [] | [1] = *scales.dims {
            return Ok(Self {
                axis: None,
                length: 1,
                inner: dims.iter().product(),
            });
        }
        let axis = resolve(axis, dims.len())?;
        Ok(Self {
            axis: Some(axis),
            length: dims[axis],
            inner: dims[axis + 1..].iter().product(),
        })
    }

    fn quantities(
        &self,
        values: &TensorProto,
        scales: &TensorProto,
        zero_points: Option<&TensorProto>,
    ) -> Result<Quantities, String> {
        let shapes: &[&[usize]] = match self.axis {
            None => &[&[], &[1]],
            Some(_) => &[&[self.length]],
        };
        expect(scales, shapes)?;
        let zero_points = match zero_points {
            None => ZeroPoints::One(0),
            Some(tensor) => {
                expect(tensor, shapes)?;
                ZeroPoints::Integers {
                    values: Integers::of(tensor)?,
                    row: 1,
                    stride: 1,
                }
            }
        };
        Ok(Quantities {
            integers: Integers::of(values)?,
            scales: floats(scales)?,
            zero_points,
        })
    }
}
