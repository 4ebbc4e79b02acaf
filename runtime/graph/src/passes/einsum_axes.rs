//! Which axes of an einsum of heads are what.

use super::pattern::single;
use tract_core::internal::*;

/// Whether the last axis of the second factor is summed over.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Role {
    Summed,
    Kept,
}

/// The axes of two factors and their product: heads, the first one's tokens, and
/// one more of each: for a [`Role::Summed`] product of queries and keys that is
/// `[heads, queries, width]`, `[heads, keys, width]`, `[heads, queries, keys]`, and
/// for weights and values `[heads, queries, keys]`, `[heads, keys, width]`,
/// `[heads, queries, width]`.
pub(super) fn places(
    axes: &AxesMapping,
    slots: [usize; 2],
    facts: &[&TypedFact],
    role: Role,
) -> Option<[[usize; 3]; 3]> {
    let (mut heads, mut first, mut second, mut summed) = (None, None, None, None);
    for axis in axes.iter_all_axes() {
        let [left, right] = slots.map(|slot| {
            let place = single(&axis.inputs[slot])?;
            Some(place.filter(|place| !facts[slot].shape[*place].is_one()))
        });
        let output = single(&axis.outputs[0])?;
        let (slot, found) = match (left?, right?, output) {
            (Some(left), Some(right), Some(output)) => (&mut heads, [left, right, output]),
            (Some(left), None, Some(output)) => (&mut first, [left, 0, output]),
            (None, Some(right), Some(output)) => (&mut second, [0, right, output]),
            (Some(left), Some(right), None) => (&mut summed, [left, right, 0]),
            (None, None, _) => continue,
            _ => return None,
        };
        if slot.replace(found).is_some() {
            return None;
        }
    }
    let (heads, first, second, summed) = (heads?, first?, second?, summed?);
    let left = [heads[0], first[0], summed[0]];
    let right = match role {
        Role::Summed => [heads[1], second[1], summed[1]],
        Role::Kept => [heads[1], summed[1], second[1]],
    };
    Some([left, right, [heads[2], first[2], second[2]]])
}
