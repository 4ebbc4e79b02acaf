//! Convolutions, as products: of the positions that a kernel sees, side by side, with the
//! kernel as a matrix. So they are linear layers as all others, with the same kernels.

use super::Wire;
use super::arithmetic::wire_mat_mul;
use super::reshaping::wire_axes;
use super::slicing::Part;
use crate::onnx::node::Node;
use std::ops::Range;
use tract_core::internal::*;
use tract_core::ops::array::{Pad, PadMode, Slice, TypedConcat};
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cast::wire_cast;
use tract_core::ops::math;

pub(super) fn conv(node: &Node) -> TractResult<Wire> {
    let convolution = Convolution {
        dilations: node.attribute("dilations")?,
        kernel_shape: node.attribute("kernel_shape")?,
        padding: Padding::of(node)?,
        strides: node.attribute("strides")?,
        group: node.attribute("group")?.unwrap_or(1),
    };
    Ok(Box::new(move |name, model, inputs| {
        convolution.wire(name, model, inputs)
    }))
}

/// The greatest stride, dilation and padding, and what a window reaches at most: offsets fit 32 bits.
const LENGTH_MAX: usize = i32::MAX as usize;

/// How many nodes a convolution is wired of at most: each position of a kernel, for each group.
const TAPS_MAX: usize = 4096;

/// What is added before and after each axis of space.
enum Padding {
    /// All befores, then all afters.
    Explicit(Vec<usize>),
    /// As much as gives a position for each, or each `stride`-th, of the input; the odd one is last.
    SameUpper,
    /// The same, the odd one first.
    SameLower,
}

impl Padding {
    fn of(node: &Node) -> TractResult<Self> {
        if let Some(pads) = node.attribute("pads")? {
            return Ok(Self::Explicit(pads));
        }
        Ok(match node.attribute("auto_pad")?.unwrap_or("NOTSET") {
            "NOTSET" | "VALID" => Self::Explicit(vec![]),
            "SAME_UPPER" => Self::SameUpper,
            "SAME_LOWER" => Self::SameLower,
            other => bail!("auto_pad {other}"),
        })
    }

    /// Before and after the axis of space at `place`, of some length.
    fn of_axis(&self, place: usize, axis: &Window, length: &TDim) -> TractResult<(usize, usize)> {
        if let Self::Explicit(pads) = self {
            let of = |place: usize| pads.get(place).copied().unwrap_or(0);
            return Ok((of(place), of(place + pads.len() / 2)));
        }
        let all = if axis.stride == 1 {
            axis.reach()
        } else {
            let length = length.to_usize();
            let length = length.context("auto_pad by a stride over the text's length")?;
            let last = (length.div_ceil(axis.stride)).saturating_sub(1) * axis.stride;
            (last + axis.reach() + 1).saturating_sub(length)
        };
        let half = all / 2;
        Ok(match self {
            Self::SameLower => (all - half, half),
            _ => (half, all - half),
        })
    }
}

/// What a kernel sees of an axis of space.
#[derive(Clone, Copy)]
struct Window {
    length: usize,
    dilation: usize,
    stride: usize,
}

impl Window {
    /// From the first position to the last, which [`Convolution::check`] has seen to.
    fn reach(&self) -> usize {
        (self.length - 1) * self.dilation
    }

    /// What the kernel's position `tap` sees, of an axis of `length`.
    fn seen_by(&self, tap: usize, length: &TDim) -> TractResult<Part> {
        let start = tap * self.dilation;
        Ok(Part {
            start: start.to_dim(),
            end: length.clone() - self.reach() + start,
            step: self.stride.try_into()?,
        })
    }
}

/// Of `[batch, channels, …]` with kernels of `[channels out, channels / group, …]`.
struct Convolution {
    dilations: Option<Vec<usize>>,
    kernel_shape: Option<Vec<usize>>,
    padding: Padding,
    strides: Option<Vec<usize>>,
    group: usize,
}

/// The model that a convolution is wired in, and what its nodes' names begin with.
struct Wiring<'a> {
    name: &'a str,
    model: &'a mut TypedModel,
}

impl Wiring<'_> {
    fn add(
        &mut self,
        name: &str,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> TractResult<OutletId> {
        let name = format!("{}.{name}", self.name);
        Ok(self.model.wire_node(name, op, inputs)?[0])
    }

    /// What of the last axis is in a range.
    fn columns(
        &mut self,
        name: &str,
        outlet: OutletId,
        range: Range<usize>,
    ) -> TractResult<OutletId> {
        let axis = self.model.outlet_fact(outlet)?.rank() - 1;
        let name = format!("{}.{name}", self.name);
        let part = Part {
            start: range.start.to_dim(),
            end: range.end.to_dim(),
            step: 1,
        };
        part.wire(&name, self.model, outlet, axis)
    }

    /// Side by side along the last axis.
    fn concat(&mut self, name: &str, outlets: &[OutletId]) -> TractResult<OutletId> {
        if let [only] = outlets {
            return Ok(*only);
        }
        let axis = self.model.outlet_fact(outlets[0])?.rank() - 1;
        self.add(name, TypedConcat::new(axis), outlets)
    }

    /// A kernel of `[channels out, channels in, …]` as `[positions × channels in, channels out]`.
    fn matrix(&mut self, kernel: OutletId, shape: &[usize]) -> TractResult<OutletId> {
        let last = shape.len() - 1;
        let rows: TVec<TDim> = shape[2..]
            .iter()
            .chain(&shape[1..2])
            .map(ToDim::to_dim)
            .collect();
        let all = tvec!(rows.iter().product::<TDim>());
        let ops = [
            AxisOp::Move(0, last),
            AxisOp::Move(0, last - 1),
            AxisOp::Reshape(0, rows, all),
        ];
        let name = format!("{}.matrix", self.name);
        Ok(wire_axes(&name, self.model, kernel, ops)?[0])
    }

    /// Each group of channels out, of its channels in.
    fn by_group(
        &mut self,
        taps: &[OutletId],
        matrix: OutletId,
        (group, inputs, outputs): (usize, usize, usize),
    ) -> TractResult<OutletId> {
        let outputs = outputs / group;
        let mut groups = Vec::new();
        for place in 0..group {
            let mut seen = Vec::new();
            for (tap, outlet) in taps.iter().enumerate() {
                let name = format!("group.{place}.tap.{tap}");
                seen.push(self.columns(&name, *outlet, of_group(place, inputs))?);
            }
            let seen = self.concat(&format!("group.{place}.seen"), &seen)?;
            let name = format!("group.{place}.matrix");
            let matrix = self.columns(&name, matrix, of_group(place, outputs))?;
            let name = format!("{}.group.{place}", self.name);
            groups.push(wire_mat_mul(&name, self.model, &[seen, matrix])?[0]);
        }
        self.concat("groups", &groups)
    }

    /// Where each channel out is of one channel in: `channels` of those, each with as many channels
    /// out.
    fn depthwise(
        &mut self,
        taps: &[OutletId],
        matrix: OutletId,
        (channels, outputs): (usize, usize),
    ) -> TractResult<OutletId> {
        let rank = self.model.outlet_fact(taps[0])?.rank();
        let each: TVec<TDim> = tvec!(channels.to_dim(), (outputs / channels).to_dim());
        let mut sum = None;
        for (tap, outlet) in taps.iter().enumerate() {
            let row = format!("tap.{tap}.row");
            let row = self.add(&row, Slice::new(0, tap, tap + 1), &[matrix])?;
            let split = AxisOp::Reshape(0, tvec!(1.to_dim(), outputs.to_dim()), each.clone());
            let row = self.add(&format!("tap.{tap}.weights"), split, &[row])?;
            let seen = format!("tap.{tap}.channels");
            let seen = self.add(&seen, AxisOp::Add(rank), &[*outlet])?;
            let product = self.broadcast(&format!("tap.{tap}.product"), math::mul(), seen, row)?;
            sum = Some(match sum {
                Some(sum) => self.add(&format!("tap.{tap}.sum"), math::add(), &[sum, product])?,
                None => product,
            });
        }
        let joined = AxisOp::Reshape(rank - 1, each, tvec!(outputs.to_dim()));
        self.add(
            "outputs",
            joined,
            &[sum.context("a kernel of no position")?],
        )
    }

    fn broadcast(
        &mut self,
        name: &str,
        op: TypedBinOp,
        a: OutletId,
        b: OutletId,
    ) -> TractResult<OutletId> {
        let name = format!("{}.{name}", self.name);
        Ok(wire_with_rank_broadcast(name, self.model, op, &[a, b])?[0])
    }
}

/// The channels of a group, of which each has so many.
fn of_group(place: usize, channels: usize) -> Range<usize> {
    place * channels..(place + 1) * channels
}

impl Convolution {
    /// Whether it is one of a tensor with a kernel of these shapes.
    fn check(&self, shape: &[TDim], kernel: &[usize]) -> TractResult<()> {
        let rank = shape.len();
        ensure!(
            kernel.len() == rank && rank > 2 && kernel.iter().all(|it| *it > 0),
            "a kernel of shape {kernel:?} for a tensor of rank {rank}"
        );
        let Self { group, .. } = *self;
        ensure!(
            group > 0
                && kernel[0].is_multiple_of(group)
                && kernel[1]
                    .checked_mul(group)
                    .is_some_and(|it| shape[1] == it.to_dim()),
            "{} channels in {group} groups for a kernel of shape {kernel:?}",
            shape[1]
        );
        let space = rank - 2;
        let given = [&self.kernel_shape, &self.strides, &self.dilations];
        for lengths in given.into_iter().flatten() {
            ensure!(
                lengths.len() == space && lengths.iter().all(|it| (1..=LENGTH_MAX).contains(it)),
                "{lengths:?} for {space} axes"
            );
        }
        for window in self.windows(kernel) {
            let reach = (window.length - 1).checked_mul(window.dilation);
            ensure!(
                reach.is_some_and(|it| it <= LENGTH_MAX),
                "a kernel of {} positions, {} apart",
                window.length,
                window.dilation
            );
        }
        // Groups of one channel are computed together.
        let groups = if kernel[1] == 1 { 1 } else { group };
        let taps = kernel[2..].iter().copied();
        let taps = taps.fold(groups, usize::saturating_mul);
        ensure!(
            taps <= TAPS_MAX,
            "{taps} positions in all groups, and at most {TAPS_MAX} are computed"
        );
        if let Padding::Explicit(pads) = &self.padding {
            ensure!(
                (pads.is_empty() || pads.len() == 2 * space)
                    && pads.iter().all(|it| *it <= LENGTH_MAX),
                "paddings {pads:?} for {space} axes"
            );
        }
        Ok(())
    }

    fn windows(&self, kernel: &[usize]) -> Vec<Window> {
        let of = |values: &Option<Vec<usize>>, place: usize| {
            values.as_ref().map_or(1, |values| values[place])
        };
        let windows = kernel[2..].iter().enumerate();
        let windows = windows.map(|(place, length)| Window {
            length: *length,
            dilation: of(&self.dilations, place),
            stride: of(&self.strides, place),
        });
        windows.collect()
    }

    fn wire(
        &self,
        name: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let facts = (model.outlet_fact(inputs[0])?, model.outlet_fact(inputs[1])?);
        let kernel = facts.1.shape.as_concrete();
        let kernel: TVec<usize> = kernel.context("a kernel of no certain shape")?.into();
        self.check(&facts.0.shape, &kernel)?;
        let datum_type = facts.0.datum_type;
        ensure!(
            facts.1.datum_type == datum_type,
            "a kernel of {:?} for {datum_type:?}",
            facts.1.datum_type
        );
        let mut wiring = Wiring { name, model };
        let windows = self.windows(&kernel);
        let taps = self.taps(&mut wiring, inputs[0], &windows)?;
        let matrix = wiring.matrix(inputs[1], &kernel)?;
        let mut wire = if kernel[1] == 1 {
            wiring.depthwise(&taps, matrix, (self.group, kernel[0]))?
        } else {
            wiring.by_group(&taps, matrix, (self.group, kernel[1], kernel[0]))?
        };
        if let Some(bias) = inputs.get(2) {
            let fact = wiring.model.outlet_fact(*bias)?;
            ensure!(*fact.shape == [kernel[0].to_dim()], "a bias of {fact:?}");
            let bias = wire_cast(name, wiring.model, &[*bias], datum_type)?[0];
            wire = wiring.broadcast("bias", math::add(), wire, bias)?;
        }
        let second = AxisOp::Move(kernel.len() - 1, 1);
        Ok(tvec!(wiring.add("channels_first", second, &[wire])?))
    }

    /// What each position of a kernel sees: `[batch, …, channels]`, all of the same shape, in the
    /// order of the kernel's positions.
    fn taps(
        &self,
        wiring: &mut Wiring<'_>,
        input: OutletId,
        windows: &[Window],
    ) -> TractResult<Vec<OutletId>> {
        let padded = self.padded(wiring, input, windows)?;
        let last = AxisOp::Move(1, windows.len() + 1);
        let mut taps = vec![wiring.add("channels_last", last, &[padded])?];
        for (place, window) in windows.iter().enumerate() {
            let axis = place + 1;
            let length = wiring.model.outlet_fact(padded)?.shape[axis + 1].clone();
            let mut seen = Vec::new();
            for (number, of) in taps.into_iter().enumerate() {
                for tap in 0..window.length {
                    let name = format!("{}.tap.{place}.{number}.{tap}", wiring.name);
                    let part = window.seen_by(tap, &length)?;
                    seen.push(part.wire(&name, wiring.model, of, axis)?);
                }
            }
            taps = seen;
        }
        Ok(taps)
    }

    fn padded(
        &self,
        wiring: &mut Wiring<'_>,
        input: OutletId,
        windows: &[Window],
    ) -> TractResult<OutletId> {
        let fact = wiring.model.outlet_fact(input)?;
        let mut pads = vec![(0, 0); 2];
        for (place, window) in windows.iter().enumerate() {
            pads.push((self.padding).of_axis(place, window, &fact.shape[place + 2])?);
        }
        if pads.iter().all(|it| *it == (0, 0)) {
            return Ok(input);
        }
        let zero = tensor0(0f32).cast_to_dt(fact.datum_type)?.into_owned();
        let mode = PadMode::Constant(zero.into());
        wiring.add("padded", Pad { pads, mode }, &[input])
    }
}
