//! Tensors inside the ONNX graph.

use encoderfile_format::weights::{WeightsError, dims};
use encoderfile_proto::onnx::{TensorProto, tensor_proto::DataType};
use tract_core::internal::*;

/// tract's name for an ONNX element type.
pub(crate) fn datum_type(data_type: i32) -> TractResult<DatumType> {
    Ok(match DataType::try_from(data_type) {
        Ok(DataType::Bool) => DatumType::Bool,
        Ok(DataType::Uint8) => DatumType::U8,
        Ok(DataType::Int8) => DatumType::I8,
        Ok(DataType::Uint16) => DatumType::U16,
        Ok(DataType::Int16) => DatumType::I16,
        Ok(DataType::Int32) => DatumType::I32,
        Ok(DataType::Int64) => DatumType::I64,
        Ok(DataType::Float16) => DatumType::F16,
        Ok(DataType::Float) => DatumType::F32,
        Ok(DataType::Double) => DatumType::F64,
        Ok(other) => bail!("elements of type {other:?} are not supported"),
        Err(_) => bail!("elements of the unknown type {data_type}"),
    })
}

/// The tensor, whose values are little-endian bytes or in the field of their type.
pub(crate) fn read_tensor(proto: &TensorProto) -> Result<Tensor, WeightsError> {
    let shape = dims(proto)?;
    // Kernels divide by the width of what they are given. Shapes may be empty lists.
    let is_float = matches!(
        DataType::try_from(proto.data_type),
        Ok(DataType::Float | DataType::Float16 | DataType::Double)
    );
    if is_float && shape.contains(&0) {
        let problem = format!("its shape is {shape:?}, which holds no value");
        return Err(WeightsError::new(&proto.name, problem));
    }
    let values = read_values(proto).and_then(|values| values.into_shape(&shape));
    values.map_err(|error| WeightsError::new(&proto.name, format!("{error:#}")))
}

fn read_values(proto: &TensorProto) -> TractResult<Tensor> {
    let raw: &[u8] = &proto.raw_data;
    let narrow = &proto.int32_data;
    let datum_type = datum_type(proto.data_type)?;
    if !raw.is_empty() {
        return match datum_type {
            DatumType::Bool => from_bytes(raw, |[byte]| byte != 0),
            DatumType::U8 => from_bytes(raw, u8::from_le_bytes),
            DatumType::I8 => from_bytes(raw, i8::from_le_bytes),
            DatumType::U16 => from_bytes(raw, u16::from_le_bytes),
            DatumType::I16 => from_bytes(raw, i16::from_le_bytes),
            DatumType::I32 => from_bytes(raw, i32::from_le_bytes),
            DatumType::I64 => from_bytes(raw, i64::from_le_bytes),
            DatumType::F16 => from_bytes(raw, f16::from_le_bytes),
            DatumType::F64 => from_bytes(raw, f64::from_le_bytes),
            _ => from_bytes(raw, f32::from_le_bytes),
        };
    }
    match datum_type {
        DatumType::Bool => narrowed(narrow, |it| Ok(it != 0)),
        DatumType::U8 => narrowed(narrow, |it| Ok(u8::try_from(it)?)),
        DatumType::I8 => narrowed(narrow, |it| Ok(i8::try_from(it)?)),
        DatumType::U16 => narrowed(narrow, |it| Ok(u16::try_from(it)?)),
        DatumType::I16 => narrowed(narrow, |it| Ok(i16::try_from(it)?)),
        DatumType::F16 => narrowed(narrow, |it| Ok(f16::from_bits(u16::try_from(it)?))),
        DatumType::I32 => Ok(tensor1(narrow)),
        DatumType::I64 => Ok(tensor1(&proto.int64_data)),
        DatumType::F64 => Ok(tensor1(&proto.double_data)),
        _ => Ok(tensor1(&proto.float_data)),
    }
}

fn from_bytes<T: Datum, const N: usize>(
    bytes: &[u8],
    from_le_bytes: fn([u8; N]) -> T,
) -> TractResult<Tensor> {
    let (values, rest) = bytes.as_chunks::<N>();
    let length = bytes.len();
    ensure!(rest.is_empty(), "{length} bytes of {N}-byte elements");
    let values: Vec<T> = values.iter().map(|it| from_le_bytes(*it)).collect();
    Ok(tensor1(&values))
}

fn narrowed<T: Datum>(values: &[i32], narrow: fn(i32) -> TractResult<T>) -> TractResult<Tensor> {
    let values: TractResult<Vec<T>> = values.iter().map(|it| narrow(*it)).collect();
    Ok(tensor1(&values?))
}
