//! Recognises the mask of a sliding window: one in which it matters how far a query is from a
//! key, and nothing else.
//!
//! Exporters write it in many ways (`abs(i - j) <= w`, `(i - w < j) & (j < i + w)`, with the
//! choice either way round). So what is recognised is that a mask is computed of a difference of
//! places, or comparisons of them, one value at a time. Then a vector, the mask of each distance
//! that there can be, says what the matrix would.

use crate::ops::range::Indices;
use encoderfile_kernels::Window;
use tract_core::internal::*;
use tract_core::ops::array::MultiBroadcastTo;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cast::Cast;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::logic::{CompGT, CompGTE, CompLT, CompLTE, Iff};
use tract_core::ops::math::{Add, Sub};

/// What is added to the score of a key that is hidden, at most: float16's least number, with
/// which no score's exponential is above 0.
const HIDDEN: f32 = -65_504.0;

/// Places begin at 0, or somewhere near.
const START_MAX: u64 = 1 << 32;

/// Masks that take more nodes are left as they are.
const NODES_MAX: usize = 64;

/// The window that a mask `[…, queries, keys]` lets through, if it is one.
pub(super) fn of(model: &TypedModel, mask: OutletId) -> TractResult<Option<Window>> {
    let fact = model.outlet_fact(mask)?;
    if !is_square(fact) {
        return Ok(None);
    }
    let tokens = fact.shape[fact.rank() - 1].high_inclusive_bound();
    // At most what a manifest may say.
    let Some(tokens) = tokens.filter(|tokens| *tokens > 0) else {
        return Ok(None);
    };
    let mut reader = Reader {
        model,
        tokens,
        nodes_left: NODES_MAX,
    };
    // What cannot be computed so is another mask.
    let Some(values) = reader.of_distance(mask) else {
        return Ok(None);
    };
    if values.datum_type() != f32::datum_type() {
        return Ok(None);
    }
    let plain = values.try_as_plain_ram()?;
    Ok(window(plain.as_slice()?))
}

/// Whether a tensor is one matrix, with as many rows as columns.
fn is_square(fact: &TypedFact) -> bool {
    let Some((others, [rows, columns])) = fact.shape.dims().split_last_chunk() else {
        return false;
    };
    rows == columns && others.iter().all(|length| length.is_one())
}

/// Of the mask of each distance, of a query from a key before it last.
fn window(mask: &[f32]) -> Option<Window> {
    // Its own key is in the middle.
    let (after, before) = mask.split_at_checked(mask.len() / 2)?;
    let is_seen = |it: &&f32| **it == 0.0;
    let seen = before.iter().take_while(is_seen).count();
    let window = Window {
        before: seen.checked_sub(1)?,
        after: after.iter().rev().take_while(is_seen).count(),
    };
    let hidden = mask.iter().filter(|it| **it <= HIDDEN).count();
    (mask.len() > 1 && seen + window.after + hidden == mask.len()).then_some(window)
}

/// Which tokens an index is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Queries,
    Keys,
}

struct Reader<'a> {
    model: &'a TypedModel,
    /// The most there can be.
    tokens: i64,
    nodes_left: usize,
}

impl<'a> Reader<'a> {
    /// What a tensor is for each distance of a query from a key, from the most negative one
    /// on; of one value, if it is always the same.
    fn of_distance(&mut self, outlet: OutletId) -> Option<TValue> {
        if let Some(constant) = self.constant(outlet) {
            return Some(constant);
        }
        let node = self.node(outlet)?;
        if is_layout(node) {
            return self.of_distance(*node.inputs.first()?);
        }
        let of_single_values = node.op_is::<TypedBinOp>()
            || node.op_is::<ElementWiseOp>()
            || node.op_is::<Cast>()
            || node.op_is::<Iff>();
        if !of_single_values {
            return None;
        }
        let inputs = match self.difference(node) {
            Some(indices) => indices,
            None => {
                let inputs = node.inputs.iter();
                inputs
                    .map(|it| self.of_distance(*it))
                    .collect::<Option<_>>()?
            }
        };
        let value = evaluate(node, inputs)?;
        (value.len() == 1 || is_square(&node.outputs[0].fact)).then_some(value)
    }

    /// The inputs of a node that tells of two indices how far they are apart, or which is
    /// greater, as if the key were the first.
    fn difference(&mut self, node: &TypedNode) -> Option<TVec<TValue>> {
        let op = &node.op_as::<TypedBinOp>()?.0;
        let of_difference = op.is::<Sub>()
            || op.is::<CompLT>()
            || op.is::<CompLTE>()
            || op.is::<CompGT>()
            || op.is::<CompGTE>();
        let [first, second] = *node.inputs else {
            return None;
        };
        let axes = [self.axis(first)?, self.axis(second)?];
        if !of_difference || axes[0] == axes[1] {
            return None;
        }
        Some(tvec!(
            self.index(first, axes[0])?,
            self.index(second, axes[1])?
        ))
    }

    /// Along which axis alone a tensor varies, if it does.
    fn axis(&self, outlet: OutletId) -> Option<Axis> {
        let shape = self.model.outlet_fact(outlet).ok()?.shape.dims();
        let (others, [rows, columns]) = shape.split_last_chunk()?;
        let others_are_one = others.iter().all(|length| length.is_one());
        match (rows.is_one(), columns.is_one()) {
            (true, false) if others_are_one => Some(Axis::Keys),
            (false, true) if others_are_one => Some(Axis::Queries),
            _ => None,
        }
    }

    /// An index with something added to it: of the first key, or of queries at each distance
    /// from that.
    fn index(&mut self, outlet: OutletId, axis: Axis) -> Option<TValue> {
        let node = self.node(outlet)?;
        let first = *node.inputs.first()?;
        if node.op_is::<AxisOp>() {
            return self.index(first, axis);
        }
        if node.op_is::<Cast>() {
            let index = self.index(first, axis)?;
            return evaluate(node, tvec!(index));
        }
        if node.op_is::<Indices>() {
            return self.range(node, axis);
        }
        let op = &node.op_as::<TypedBinOp>()?.0;
        let second = *node.inputs.get(1)?;
        let inputs = match (self.constant(first), self.constant(second)) {
            (None, Some(added)) if op.is::<Add>() || op.is::<Sub>() => {
                tvec!(self.index(first, axis)?, added)
            }
            (Some(added), None) if op.is::<Add>() => tvec!(added, self.index(second, axis)?),
            _ => return None,
        };
        evaluate(node, inputs)
    }

    fn range(&self, node: &TypedNode, axis: Axis) -> Option<TValue> {
        let [start, _, step] = *node.inputs else {
            return None;
        };
        let number = |outlet| self.constant(outlet)?.cast_to_scalar::<i64>().ok();
        let (start, step) = (number(start)?, number(step)?);
        if step != 1 || start.unsigned_abs() > START_MAX {
            return None;
        }
        let values: Vec<i64> = match axis {
            Axis::Keys => vec![start],
            Axis::Queries => (start + 1 - self.tokens..start + self.tokens).collect(),
        };
        let values = tensor1(&values);
        let index = values.cast_to_dt(node.outputs[0].fact.datum_type).ok()?;
        Some(index.into_owned().into_tvalue())
    }

    /// The one value that a known tensor has.
    fn constant(&self, outlet: OutletId) -> Option<TValue> {
        let fact = self.model.outlet_fact(outlet).ok()?;
        let value = match (&fact.uniform, &fact.konst) {
            (Some(uniform), _) => (**uniform).clone(),
            (None, Some(constant)) => constant.as_uniform()?,
            (None, None) => return None,
        };
        Some(value.into_shape(&[1]).ok()?.into_tvalue())
    }

    fn node(&mut self, outlet: OutletId) -> Option<&'a TypedNode> {
        self.nodes_left = self.nodes_left.checked_sub(1)?;
        Some(self.model.node(outlet.node))
    }
}

/// Whether a node leaves values as they are, and the last two axes in their order: nothing else
/// keeps a matrix one, or adds axes to what is the same everywhere.
fn is_layout(node: &TypedNode) -> bool {
    let added = matches!(node.op_as::<AxisOp>(), Some(AxisOp::Add(_) | AxisOp::Rm(_)));
    added || node.op_is::<MultiBroadcastTo>()
}

fn evaluate(node: &TypedNode, inputs: TVec<TValue>) -> Option<TValue> {
    let outputs = node.op.eval(&EvalContext::out_of_plan(), inputs);
    outputs.ok()?.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::{HIDDEN, window};

    #[test]
    fn a_window_is_zeros_around_the_middle() {
        let hidden = f32::MIN;
        let of = |mask: &[f32]| window(mask).map(|it| [it.before, it.after]);
        assert_eq!(of(&[hidden, 0.0, 0.0, 0.0, hidden]), Some([1, 1]));
        assert_eq!(of(&[HIDDEN, HIDDEN, 0.0, 0.0, 0.0]), Some([2, 0]));
        assert_eq!(of(&[0.0, 0.0, 0.0]), Some([1, 1]));
        // Not the own key; one beside the window; a penalty; nothing known of distances.
        assert_eq!(of(&[0.0, 0.0, hidden, hidden, hidden]), None);
        assert_eq!(of(&[0.0, hidden, 0.0, hidden, hidden]), None);
        assert_eq!(of(&[-1.0, 0.0, -1.0]), None);
        assert_eq!(of(&[0.0]), None);
    }
}
