//! Several sequences in one pass over the weights, none of them padded.
//!
//! Node after node is computed for every sequence, each with values of its own. A linear layer
//! is computed for all of them at once: its matrix is read, or decoded, once for their rows.
//!
//! **Invariant:** each result is what it is alone, to the bit.

use crate::ops::linear;
use tract_core::internal::*;
use tract_core::ops::konst::Const;

/// A plan's nodes in order.
pub(crate) struct Batched(Vec<Step>);

struct Step {
    node: usize,
    /// The nodes whose values it is the last to take.
    done: Vec<usize>,
}

impl Batched {
    /// `None` for a plan with a node that keeps a state, or that gives a length which the inputs
    /// do not say: only tract's own loop runs those.
    pub(crate) fn of(plan: &Arc<TypedSimplePlan>) -> Option<Self> {
        let state = plan.spawn().ok()?;
        let is_stateless = state.op_states.iter().all(Option::is_none);
        (is_stateless && inputs_say_every_length(plan.model())).then(|| Self(steps(plan)))
    }

    /// The first output for each of the inputs, which are as many as `states`.
    pub(crate) fn run(
        &self,
        states: &mut [TypedSimpleState],
        inputs: Vec<TVec<TValue>>,
    ) -> TractResult<Vec<TValue>> {
        for (state, inputs) in states.iter_mut().zip(inputs) {
            state.set_inputs(inputs)?;
        }
        for step in &self.0 {
            step.compute(states)?;
        }
        let mut outputs = Vec::with_capacity(states.len());
        for state in states {
            outputs.push(state.outputs()?.swap_remove(0));
            state.reset_turn()?;
        }
        Ok(outputs)
    }
}

impl Step {
    fn compute(&self, states: &mut [TypedSimpleState]) -> TractResult<()> {
        let Some(plan) = states.first().map(|state| Arc::clone(state.plan())) else {
            return Ok(());
        };
        let mut inputs = Vec::with_capacity(states.len());
        for state in &mut *states {
            inputs.push(state.prepare_inputs(self.node)?);
            // Before it is computed, so that an operator may write to what nobody else needs.
            for node in &self.done {
                state.turn_state.values[*node] = None;
            }
        }
        let node = plan.model().node(self.node);
        let layers = linear::layers(node);
        if layers.is_empty() {
            for (state, inputs) in states.iter_mut().zip(inputs) {
                state.compute_one_with_inputs(self.node, inputs)?;
            }
            return Ok(());
        }
        let inputs: Vec<TValue> = inputs.into_iter().flatten().collect();
        let outputs = linear::multiply(layers, &inputs);
        let outputs = outputs.with_context(|| format!("Evaluating {node}"))?;
        for (state, outputs) in states.iter_mut().zip(outputs) {
            state.set_values(self.node, outputs)?;
        }
        Ok(())
    }
}

/// Whether each symbol of a shape is that of an input's axis, so that it is known once the inputs are.
fn inputs_say_every_length(model: &TypedModel) -> bool {
    let mut known: Vec<Symbol> = Vec::new();
    for input in &model.inputs {
        let Ok(fact) = model.outlet_fact(*input) else {
            return false;
        };
        for dim in fact.shape.iter() {
            if let TDim::Sym(symbol) = dim {
                known.push(symbol.clone());
            }
        }
    }
    let outputs = model.nodes.iter().flat_map(|node| &node.outputs);
    let mut dims = outputs.flat_map(|output| output.fact.shape.iter());
    dims.all(|dim| dim.symbols().iter().all(|symbol| known.contains(symbol)))
}

fn steps(plan: &TypedSimplePlan) -> Vec<Step> {
    let model = plan.model();
    let is_kept = |node: usize| {
        let is_output = model.outputs.iter().any(|output| output.node == node);
        is_output || model.node(node).op_is::<Const>()
    };
    let order = plan.order_without_consts();
    let mut taken = vec![false; model.nodes.len()];
    let mut steps = Vec::with_capacity(order.len());
    for node in order.iter().rev() {
        let mut done = Vec::new();
        for input in &model.node(*node).inputs {
            if !std::mem::replace(&mut taken[input.node], true) && !is_kept(input.node) {
                done.push(input.node);
            }
        }
        steps.push(Step { node: *node, done });
    }
    steps.reverse();
    steps
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Batched;
    use crate::reset;
    use tract_core::internal::*;
    use tract_core::ops::array::Range;

    /// Of a plan, inputs and what it makes of each alone.
    pub(crate) fn several_are_each_what_it_is_alone(
        plan: &Arc<TypedSimplePlan>,
        mut all: Vec<(TVec<TValue>, TValue)>,
    ) {
        let batched = Batched::of(plan).unwrap();
        let mut states: Vec<_> = all.iter().map(|_| plan.spawn().unwrap()).collect();
        let mut run = |all: &[(TVec<TValue>, TValue)]| {
            let inputs = all.iter().map(|(inputs, _)| inputs.clone()).collect();
            let states = &mut states[..all.len()];
            let outputs = batched.run(states, inputs);
            if outputs.is_err() {
                reset(states).unwrap();
            }
            outputs.map(|outputs| {
                for (output, (_, alone)) in outputs.iter().zip(all) {
                    assert_eq!(**output, **alone);
                }
            })
        };
        for count in [2, all.len(), 3] {
            run(&all[..count]).unwrap();
            // Each state has a sequence of another length now.
            all.reverse();
        }
        // A mask of another text.
        let other = all[0].0[1].clone();
        let fits = std::mem::replace(&mut all[1].0[1], other);
        assert!(run(&all).is_err());
        all[1].0[1] = fits;
        run(&all).unwrap();
    }

    /// A length that only a node says, as of a range up to a number that is an input, is known to
    /// tract's own loop alone.
    #[test]
    fn a_plan_with_a_length_of_its_own_is_run_one_by_one() {
        let mut model = TypedModel::default();
        let count = model.symbols.sym("count").to_dim();
        let end = model.add_source("end", i64::fact([0usize; 0])).unwrap();
        let [start, step] = [0i64, 1].map(|it| {
            model
                .add_const(format!("number.{it}"), tensor0(it))
                .unwrap()
        });
        let range = Range::new(count);
        let range = model
            .wire_node("range", range, &[start, end, step])
            .unwrap();
        model.select_output_outlets(&range).unwrap();
        assert!(Batched::of(&model.into_runnable().unwrap()).is_none());
    }
}
