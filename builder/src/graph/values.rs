//! A tensor's values as float32, whatever the source file has.

use bytes::Bytes;
use encoderfile::onnx::{TensorProto, tensor_proto::DataType};
use encoderfile::source::{ReadError, Source, checked_range};
use half::f16;

/// The little-endian values of a float tensor.
pub(super) enum Floats {
    F32(Bytes),
    F16(Bytes),
}

impl Floats {
    /// Takes the values out of a float32 or float16 tensor.
    pub(super) fn take(tensor: &mut TensorProto) -> Self {
        let raw = std::mem::take(&mut tensor.raw_data);
        if tensor.data_type == DataType::Float16 as i32 {
            let bits = std::mem::take(&mut tensor.int32_data);
            let bits = bits.iter().flat_map(|it| {
                let [low, high, ..] = it.to_le_bytes();
                [low, high]
            });
            return Self::F16(if raw.is_empty() { bits.collect() } else { raw });
        }
        let values = std::mem::take(&mut tensor.float_data);
        let values = values.iter().flat_map(|it| it.to_le_bytes());
        Self::F32(if raw.is_empty() {
            values.collect()
        } else {
            raw
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::F32(bytes) => bytes.len() / 4,
            Self::F16(bytes) => bytes.len() / 2,
        }
    }

    /// The value at `index`, which is below [`Self::len`].
    pub(super) fn value(&self, index: usize) -> f32 {
        match self {
            Self::F32(bytes) => {
                let (values, _) = bytes.as_chunks();
                f32::from_le_bytes(values[index])
            }
            Self::F16(bytes) => {
                let (values, _) = bytes.as_chunks();
                f16::from_le_bytes(values[index]).to_f32()
            }
        }
    }

    /// Fills `out` with the bytes of as many float32 values, from `first` on.
    pub(super) fn copy_f32(&self, first: usize, out: &mut [u8]) {
        match self {
            Self::F32(bytes) => out.copy_from_slice(&bytes[first * 4..][..out.len()]),
            Self::F16(_) => copy_elements(first * 4, out, |index| self.value(index).to_le_bytes()),
        }
    }

    /// Fills `out` with as many values, from `first` on.
    pub(super) fn copy_values(&self, first: usize, out: &mut [f32]) {
        for (index, out) in out.iter_mut().enumerate() {
            *out = self.value(first + index);
        }
    }

    /// All of them.
    pub(super) fn to_vec(&self) -> Vec<f32> {
        (0..self.len()).map(|index| self.value(index)).collect()
    }

    /// As float32.
    pub(super) fn into_f32(self) -> impl Source {
        Widened(self)
    }
}

/// Values as float32, each made when it is read.
struct Widened(Floats);

impl Source for Widened {
    fn len(&self) -> u64 {
        (self.0.len() * size_of::<f32>()) as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let range = checked_range(offset, buffer.len() as u64, Source::len(self))?;
        let start = usize::try_from(range.start)?;
        copy_elements(start, buffer, |index| self.0.value(index).to_le_bytes());
        Ok(())
    }
}

/// Fills `out` with the bytes from `start` of elements of `N` bytes each.
fn copy_elements<const N: usize>(
    start: usize,
    mut out: &mut [u8],
    element: impl Fn(usize) -> [u8; N],
) {
    let mut position = start;
    while !out.is_empty() {
        let bytes = element(position / N);
        let bytes = &bytes[position % N..];
        let (now, rest) = out.split_at_mut(bytes.len().min(out.len()));
        now.copy_from_slice(&bytes[..now.len()]);
        position += now.len();
        out = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_is_read_as_of_the_whole() {
        let halves = [1.5_f32, -2.25, 0.1, 60_000.0].map(f16::from_f32);
        let whole: Vec<u8> = halves
            .iter()
            .flat_map(|it| it.to_f32().to_le_bytes())
            .collect();
        let halves = halves.iter().flat_map(|it| it.to_le_bytes());
        let widened = Floats::F16(halves.collect()).into_f32();
        assert_eq!(widened.len(), 16);
        for start in 0..16 {
            for end in start..=16 {
                let mut part = vec![9; end - start];
                widened.read_at(start as u64, &mut part).unwrap();
                assert_eq!(part, whole[start..end]);
            }
        }
        assert!(widened.read_at(15, &mut [0; 2]).is_err());
    }

    #[test]
    fn float16_is_read_from_either_field() {
        let bits = f16::from_f32(-0.5).to_bits();
        let mut numbers = TensorProto {
            data_type: DataType::Float16 as i32,
            int32_data: vec![bits.into()],
            ..TensorProto::default()
        };
        let mut raw = TensorProto {
            data_type: DataType::Float16 as i32,
            raw_data: bits.to_le_bytes().to_vec().into(),
            ..TensorProto::default()
        };
        for tensor in [&mut numbers, &mut raw] {
            let floats = Floats::take(tensor);
            assert_eq!((floats.len(), floats.value(0)), (1, -0.5));
        }
    }
}
