//! Operators that do several of tract's in one pass over the data.
//!
//! Whatever is not recognised runs as tract computes it.
//!
//! What recognises runs once a model, and is `#[cold]`: in a crate that is made
//! for speed, that keeps it small.
//!
//! **Invariant:** an operator computes what it replaces, in the same order of
//! roundings wherever that has one and the kernel of a tile leaves it.

mod activation;
mod attention;
mod buffer;
mod heads;
mod int8;
mod lanes;
mod layer_norm;
mod linear;
mod product;
mod relative;
mod softmax;
mod weights;

use crate::cores::Cores;
use encoderfile_proto::Compute;
#[cfg(not(target_arch = "aarch64"))]
pub use lanes::{TileKernel, use_tile_kernel};
pub(super) use linear::Factor;
use tract_hir::internal::*;
use tract_hir::tract_core::ops::binary::TypedBinOp;
use tract_hir::tract_core::ops::math::Mul;

/// How operators compute.
#[derive(Clone, Debug)]
pub(super) struct Computing {
    /// Of products with large matrices.
    pub(super) compute: Compute,
    pub(super) cores: Arc<Cores>,
}

/// Replaces what is recognised in a simplified model.
#[cold]
pub(super) fn fuse(model: &mut TypedModel, computing: &Computing) -> TractResult<()> {
    let mut shared = linear::Shared::new(computing);
    for id in 0..model.nodes.len() {
        if let Some(found) = linear::Found::at(model, id)? {
            found.replace(model, &mut shared)?;
        }
    }
    for id in 0..model.nodes.len() {
        if let Some(tail) = linear::Tail::of(model, id) {
            tail.replace(model)?;
        } else if let Some(found) = layer_norm::Found::at(model, id)? {
            found.replace(model)?;
        } else if let Some(found) = relative::Found::at(model, id, computing)? {
            found.replace(model)?;
        } else if let Some(found) = attention::Found::at(model, id, computing)? {
            found.replace(model)?;
        }
    }
    model.compact()
}

/// The only successor of a node's only output, unless that is also the model's.
#[cold]
fn only_successor(model: &TypedModel, id: usize) -> Option<&TypedNode> {
    let [output] = &*model.node(id).outputs else {
        return None;
    };
    let [successor] = &*output.successors else {
        return None;
    };
    let is_output = model.outputs.contains(&id.into());
    (!is_output).then(|| model.node(successor.node))
}

/// The constant input of a node of two, and the place of the other one.
#[cold]
fn constant_input(model: &TypedModel, id: usize) -> Option<(Arc<Tensor>, usize)> {
    let [first, second] = &*model.node(id).inputs else {
        return None;
    };
    let constant = |outlet: &OutletId| model.outlet_fact(*outlet).ok()?.konst.clone();
    match (constant(first), constant(second)) {
        (None, Some(tensor)) => Some((tensor, 0)),
        (Some(tensor), None) => Some((tensor, 1)),
        _ => None,
    }
}

/// What a node multiplies by a number, and that number.
#[cold]
fn scalar_factor(model: &TypedModel, id: usize) -> Option<(OutletId, f32)> {
    let node = model.node(id);
    let op = node.op_as::<TypedBinOp>()?;
    let (factor, data) = constant_input(model, id).filter(|_| op.0.is::<Mul>())?;
    let is_number = factor.len() == 1 && factor.datum_type() == f32::datum_type();
    let factor = is_number.then(|| factor.cast_to_scalar().ok())?;
    Some((node.inputs[data], factor?))
}

#[cfg(test)]
impl Computing {
    /// In float32, on one core.
    fn plain() -> Self {
        Self {
            compute: Compute::F32,
            cores: Arc::new(Cores::one()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_hir::ops::logic::wire_with_rank_broadcast;
    use tract_hir::ops::math;
    use tract_hir::tract_core::ops::einsum::EinSum;
    use tract_hir::tract_core::ops::nn::gelu_exact::gelu_exact;
    use tract_hir::tract_core::ops::nn::{Reduce, Reducer, RmsNorm, Softmax, SoftmaxKind};

    const HEADS: usize = 3;
    const WIDTH: usize = 15;
    const INNER: usize = 22;

    /// Values between -1 and 1, not all sums of few bits.
    fn values(shape: &[usize], seed: usize) -> Tensor {
        let count = shape.iter().product::<usize>();
        let value = |place: usize| ((place + seed) * 7919 % 2003) as f32 / 1001.0 - 1.0;
        let values: Vec<f32> = (0..count).map(value).collect();
        tensor1(&values).into_shape(shape).unwrap()
    }

    /// A block of an encoder as tract has it when it is simplified.
    struct Block {
        model: TypedModel,
        seed: usize,
    }

    impl Block {
        fn wire(&mut self, op: impl Into<Box<dyn TypedOp>>, inputs: &[OutletId]) -> OutletId {
            let name = format!("node.{}", self.model.nodes.len());
            self.model.wire_node(name, op, inputs).unwrap()[0]
        }

        fn constant(&mut self, shape: &[usize]) -> OutletId {
            self.seed += 31;
            let name = format!("constant.{}", self.seed);
            self.model
                .add_const(name, values(shape, self.seed))
                .unwrap()
        }

        fn product(&mut self, axes: &str, inputs: &[OutletId]) -> OutletId {
            let op = EinSum::new(axes.parse().unwrap(), f32::datum_type());
            self.wire(op, inputs)
        }

        fn linear(
            &mut self,
            axes: &str,
            input: OutletId,
            shape: &[usize],
            bias: &[usize],
        ) -> OutletId {
            let weights = self.constant(shape);
            let product = self.product(axes, &[input, weights]);
            let bias = self.constant(bias);
            self.wire(math::add(), &[bias, product])
        }

        fn with_number(&mut self, op: Box<dyn TypedOp>, input: OutletId, number: f32) -> OutletId {
            let name = format!("number.{}", self.model.nodes.len());
            let number = self.model.add_const(&name, tensor0(number)).unwrap();
            let name = format!("{name}.op");
            wire_with_rank_broadcast(name, &mut self.model, op, &[input, number]).unwrap()[0]
        }

        fn norm(&mut self, input: OutletId) -> OutletId {
            let sum = self.wire(Reduce::new(tvec!(2), Reducer::Sum), &[input]);
            let mean = self.with_number(math::mul().into(), sum, 1.0 / WIDTH as f32);
            let deviation = self.wire(math::sub(), &[input, mean]);
            let eps = tensor0(1e-12f32).into_arc_tensor();
            let norm = self.wire(RmsNorm { axis: 2, eps }, &[deviation]);
            let scale = self.constant(&[1, 1, WIDTH]);
            let scaled = self.wire(math::mul(), &[norm, scale]);
            let bias = self.constant(&[1, 1, WIDTH]);
            self.wire(math::add(), &[scaled, bias])
        }

        fn head(&mut self, input: OutletId) -> OutletId {
            let linear = self.linear("amk,kn->mn", input, &[WIDTH, WIDTH], &[1, WIDTH]);
            let to = tvec!(HEADS.to_dim(), (WIDTH / HEADS).to_dim());
            self.wire(AxisOp::Reshape(1, tvec!(WIDTH.to_dim()), to), &[linear])
        }

        fn attention(&mut self, input: OutletId, mask: OutletId) -> OutletId {
            let queries = self.head(input);
            let queries = self.with_number(math::mul().into(), queries, 0.7);
            let (keys, values) = (self.head(input), self.head(input));
            let scores = self.product("mbk,nbk->abmn", &[queries, keys]);
            let scores = self.with_number(math::mul().into(), scores, 3.0);
            let scores = self.wire(math::add(), &[scores, mask]);
            let softmax = Softmax::new(tvec!(3), None, SoftmaxKind::Softmax);
            let weights = self.wire(softmax, &[scores]);
            let result = self.product("abmk,kbn->mbn", &[weights, values]);
            let shape = [HEADS, WIDTH / HEADS, WIDTH];
            self.linear("mbk,bkn->amn", result, &shape, &[1, 1, WIDTH])
        }
    }

    /// `[1, S, WIDTH]` and a mask of `[1, 1, S, S]` → `[1, S, WIDTH]`.
    fn block() -> TypedModel {
        let mut block = Block {
            model: TypedModel::default(),
            seed: 0,
        };
        let length = block.model.symbols.sym("S").to_dim();
        let shape = dims!(1, length.clone(), WIDTH);
        let input = block.model.add_source("input", f32::fact(shape)).unwrap();
        let shape = dims!(1, 1, length.clone(), length);
        let mask = block.model.add_source("mask", f32::fact(shape)).unwrap();
        let attended = block.attention(input, mask);
        let sum = block.wire(math::add(), &[attended, input]);
        let norm = block.norm(sum);
        let inner = block.linear("amk,kn->mn", norm, &[WIDTH, INNER], &[1, INNER]);
        let inner = block.wire(gelu_exact(), &[inner]);
        let outer = block.linear("mk,nk->amn", inner, &[WIDTH, INNER], &[1, 1, WIDTH]);
        let sum = block.wire(math::add(), &[outer, norm]);
        let norm = block.norm(sum);
        block.model.select_output_outlets(&[norm]).unwrap();
        block.model
    }

    #[test]
    fn an_encoder_block_computes_the_same() {
        let plain = block();
        let mut fused = plain.clone();
        fuse(&mut fused, &Computing::plain()).unwrap();
        let mut count = HashMap::<String, usize>::new();
        for node in &fused.nodes {
            *count.entry(node.op.name().into_owned()).or_default() += 1;
        }
        let fused_count = ["Linear", "Attention", "LayerNorm"].map(|name| count.get(name).copied());
        assert_eq!(fused_count, [Some(6), Some(1), Some(2)], "{count:?}");
        for left in ["EinSum", "Softmax", "RmsNorm", "GeluExact"] {
            assert_eq!(count.get(left), None, "{count:?}");
        }

        let (plain, fused) = (
            plain.into_runnable().unwrap(),
            fused.into_runnable().unwrap(),
        );
        for length in [1, 3, 4, 9, 70] {
            let input = values(&[1, length, WIDTH], 5);
            let mut mask = vec![0.0f32; length * length];
            for place in (0..length * length).filter(|place| place / length < place % length) {
                mask[place] = f32::MIN;
            }
            let mask = tensor1(&mask).into_shape(&[1, 1, length, length]).unwrap();
            let inputs = tvec!(input.into_tvalue(), mask.into_tvalue());
            let expected = plain.run(inputs.clone()).unwrap();
            let result = fused.run(inputs).unwrap();
            let close = Approximation::SuperApproximate;
            let close = result[0].close_enough(&expected[0], close);
            close.unwrap_or_else(|error| panic!("{length} tokens: {error:?}"));
        }
    }

    /// ALBERT's layers have the same weights.
    #[test]
    fn a_constant_of_two_products_is_packed_once_and_gone() {
        let mut block = Block {
            model: TypedModel::default(),
            seed: 0,
        };
        let length = block.model.symbols.sym("S").to_dim();
        let source = f32::fact(dims!(length, WIDTH));
        let input = block.model.add_source("input", source).unwrap();
        let weights = block.constant(&[WIDTH, WIDTH]);
        let once = block.product("mk,kn->mn", &[input, weights]);
        let twice = block.product("mk,kn->mn", &[once, weights]);
        block.model.select_output_outlets(&[twice]).unwrap();
        let mut model = block.model;
        fuse(&mut model, &Computing::plain()).unwrap();
        let linear = |node: &TypedNode| node.op_as::<linear::Linear>().cloned();
        let found: Vec<_> = model.nodes.iter().filter_map(linear).collect();
        assert_eq!(found.len(), 2);
        assert!(found[0].has_weights_of(&found[1]));
        assert!(
            model
                .nodes
                .iter()
                .all(|node| node.outputs[0].fact.konst.is_none())
        );
    }
}
