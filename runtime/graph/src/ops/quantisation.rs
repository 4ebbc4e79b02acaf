//! Activations that a statically quantised graph rounds: to 8 or 16 bits, back, and both in one.

use encoderfile_kernels as kernels;
use tract_core::internal::*;

/// Scales and zero points of what is computed: one for all, or one for each place along an axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameters {
    pub(crate) pairs: Vec<(f32, f32)>,
    /// Where there are several pairs.
    pub(crate) axis: usize,
}

impl Eq for Parameters {}

impl Parameters {
    /// How many values of a tensor of that shape share a pair.
    fn inner(&self, shape: &[usize]) -> TractResult<usize> {
        if let [_] = *self.pairs {
            return Ok(shape.iter().product::<usize>().max(1));
        }
        let (length, inner) = match shape.get(self.axis..) {
            Some([length, inner @ ..]) => (*length, inner.iter().product()),
            _ => bail!("axis {} of {shape:?}", self.axis),
        };
        let pairs = self.pairs.len();
        ensure!(length == pairs, "{pairs} scales for an axis of {length}");
        Ok(inner)
    }
}

/// The range of a type that values are quantised to.
fn range(datum_type: DatumType) -> TractResult<(f32, f32)> {
    Ok(match datum_type {
        DatumType::U8 => (u8::MIN.into(), u8::MAX.into()),
        DatumType::I8 => (i8::MIN.into(), i8::MAX.into()),
        DatumType::U16 => (u16::MIN.into(), u16::MAX.into()),
        DatumType::I16 => (i16::MIN.into(), i16::MAX.into()),
        other => bail!("quantised to {other:?}"),
    })
}

/// float32 as integers of a type.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Quantize {
    pub(crate) parameters: Parameters,
    pub(crate) datum_type: DatumType,
}

impl Op for Quantize {
    fn name(&self) -> StaticName {
        "QuantizeLinear".into()
    }

    op_as_typed_op!();
}

impl TypedOp for Quantize {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(self.datum_type.fact(inputs[0].shape.clone())))
    }

    as_op!();
}

impl EvalOp for Quantize {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let steps = kernels::Steps {
            parameters: &self.parameters.pairs,
            inner: self.parameters.inner(input.shape())?,
            range: range(self.datum_type)?,
        };
        let mut output = Tensor::zero_dt(self.datum_type, input.shape())?;
        {
            let input = input.try_as_plain_ram()?;
            let values = input.as_slice()?;
            let mut plain = output.try_as_plain_ram_mut()?;
            // Within the type's range, and whole.
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "rounded and saturated"
            )]
            match self.datum_type {
                DatumType::U8 => steps.quantise(values, |it| it as u8, plain.as_slice_mut()?)?,
                DatumType::I8 => steps.quantise(values, |it| it as i8, plain.as_slice_mut()?)?,
                DatumType::U16 => steps.quantise(values, |it| it as u16, plain.as_slice_mut()?)?,
                _ => steps.quantise(values, |it| it as i16, plain.as_slice_mut()?)?,
            }
        }
        Ok(tvec!(output.into_tvalue()))
    }
}

/// Integers as float32.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Dequantize {
    pub(crate) parameters: Parameters,
}

impl Op for Dequantize {
    fn name(&self) -> StaticName {
        "DequantizeLinear".into()
    }

    op_as_typed_op!();
}

impl TypedOp for Dequantize {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }

    as_op!();
}

impl EvalOp for Dequantize {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let output = dequantise(&input, &self.parameters)?;
        Ok(tvec!(output.into_tvalue()))
    }
}

/// `(value − zero point) · scale` of each value.
pub(crate) fn dequantise(values: &Tensor, parameters: &Parameters) -> TractResult<Tensor> {
    let inner = parameters.inner(values.shape())?;
    let mut result = Tensor::zero::<f32>(values.shape())?;
    {
        let mut plain = result.try_as_plain_ram_mut()?;
        let floats = match values.datum_type() {
            DatumType::U8 | DatumType::I8 => None,
            _ => Some(values.cast_to::<f32>()?),
        };
        let source = floats.as_deref().unwrap_or(values).try_as_plain_ram()?;
        let values = match values.datum_type() {
            DatumType::U8 => kernels::Quantised::U8(source.as_slice()?),
            DatumType::I8 => kernels::Quantised::I8(source.as_slice()?),
            _ => kernels::Quantised::F32(source.as_slice()?),
        };
        kernels::dequantise(values, &parameters.pairs, inner, plain.as_slice_mut()?)?;
    }
    Ok(result)
}

/// Quantised and dequantised again: float32 rounded to the steps of a type.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RoundToSteps(pub(crate) Quantize);

impl Op for RoundToSteps {
    fn name(&self) -> StaticName {
        "RoundToSteps".into()
    }

    op_as_typed_op!();
}

impl TypedOp for RoundToSteps {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }

    as_op!();
}

impl EvalOp for RoundToSteps {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let Quantize {
            parameters,
            datum_type,
        } = &self.0;
        let steps = kernels::Steps {
            parameters: &parameters.pairs,
            inner: parameters.inner(input.shape())?,
            range: range(*datum_type)?,
        };
        let mut output = Tensor::zero::<f32>(input.shape())?;
        {
            let input = input.try_as_plain_ram()?;
            let mut plain = output.try_as_plain_ram_mut()?;
            steps.round(input.as_slice()?, plain.as_slice_mut()?)?;
        }
        Ok(tvec!(output.into_tvalue()))
    }
}
