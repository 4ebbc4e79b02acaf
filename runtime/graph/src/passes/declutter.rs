//! tract's declutter, in which an operator's own rules are asked about a node once, and again only
//! where something beside it has changed.
//!
//! tract asks them about every node after each change anywhere, until nothing changes. That was a third
//! of what a start of a small model computes, half of it proofs about numbers of tokens.
//!
//! **Invariant:** what comes out is decluttered: in the end the rules have nothing to say of any node.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex, PoisonError};
use tract_core::internal::*;
use tract_core::ops::dummy::Dummy;
use tract_core::optim::{Optimizer, OptimizerSession, TypedPass};

/// What tract calls the pass that asks the rules of operators.
const RULES: &str = "declutter";

/// Removes what is dead or redundant.
pub(crate) fn declutter(model: &mut TypedModel) -> TractResult<()> {
    let _proofs = model.symbols.proof_cache_session();
    let mut optimizer = Optimizer::declutter();
    let rules = Rules::default();
    for pass in &mut optimizer.passes {
        if format!("{pass:?}") == RULES {
            *pass = Box::new(rules.clone());
        }
    }
    let mut session = optimizer.session();
    loop {
        session.optimize(model)?;
        let mut of_all = Rules::default();
        session.run_one_pass_outer(0, &mut of_all, model)?;
        if !of_all.has_changed {
            return Ok(());
        }
        model.compact()?;
    }
}

/// A pass of the rules over those nodes of which they have not said yet that there is nothing to do.
#[derive(Clone, Default)]
struct Rules {
    /// The node to begin with.
    next: usize,
    has_changed: bool,
    /// Of nodes of which there is nothing to say, what is beside them. tract clones its passes.
    settled: Arc<Mutex<HashSet<u64>>>,
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(RULES)
    }
}

impl TypedPass for Rules {
    fn reset(&mut self) -> TractResult<()> {
        self.next = 0;
        Ok(())
    }

    fn next(
        &mut self,
        session: &mut OptimizerSession,
        model: &TypedModel,
    ) -> TractResult<Option<TypedModelPatch>> {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        for node in model.nodes.iter().skip(self.next) {
            let surroundings = surroundings(model, node);
            if node.op_is::<Dummy>() || settled.contains(&surroundings) {
                continue;
            }
            let patch = node.op.declutter_with_session(session, model, node);
            match patch.with_context(|| format!("{self:?} node {node}"))? {
                Some(patch) => {
                    self.next = node.id + usize::from(patch.dont_apply_twice.is_some());
                    self.has_changed = true;
                    return Ok(Some(patch));
                }
                None => {
                    settled.insert(surroundings);
                }
            }
        }
        Ok(None)
    }
}

/// A node, and what gives its inputs and takes its outputs.
fn surroundings(model: &TypedModel, node: &TypedNode) -> u64 {
    let named = |id: usize| (&model.node(id).name, model.node(id).op.name());
    let inputs: Vec<_> = node
        .inputs
        .iter()
        .map(|outlet| (named(outlet.node), outlet.slot))
        .collect();
    let outputs = node.outputs.iter();
    let takers: Vec<_> = outputs
        .flat_map(|output| &output.successors)
        .map(|inlet| (named(inlet.node), inlet.slot))
        .collect();
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    hasher.hash_one((named(node.id), inputs, takers))
}
