//! Whole blocks of encoders: what is fused computes the same, and only what is fused.

use super::{declutter, fuse};
use crate::batch::tests::several_are_each_what_it_is_alone;
use crate::ops::Backend;
use crate::ops::attention::Attention;
use crate::ops::linear::Linear;
use crate::ops::range::Indices;
use encoderfile_format::manifest::Compute;
use encoderfile_kernels::Undefined;
use tract_core::internal::wire_with_rank_broadcast;
use tract_core::internal::*;
use tract_core::ops::array::{Range, Slice, TypedConcat};
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::einsum::EinSum;
use tract_core::ops::logic::{self, Iff};
use tract_core::ops::math;
use tract_core::ops::nn::gelu_exact::gelu_exact;
use tract_core::ops::nn::{Reduce, Reducer, RmsNorm, Softmax, SoftmaxKind};

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

    fn linear(&mut self, axes: &str, input: OutletId, shape: &[usize], bias: &[usize]) -> OutletId {
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

    fn zero_where_nan(&mut self, input: OutletId) -> OutletId {
        let nan = self.wire(math::is_nan(), &[input]);
        let zero = Tensor::zero::<f32>(&[1, 1, 1, 1]).unwrap();
        let zero = self.model.add_const("zero", zero).unwrap();
        self.wire(Iff, &[nan, zero, input])
    }

    fn attention(&mut self, input: OutletId, mask: OutletId, undefined: Undefined) -> OutletId {
        let queries = self.head(input);
        let queries = self.with_number(math::mul().into(), queries, 0.7);
        let (keys, values) = (self.head(input), self.head(input));
        let scores = self.product("mbk,nbk->abmn", &[queries, keys]);
        let scores = self.with_number(math::mul().into(), scores, 3.0);
        let scores = self.wire(math::add(), &[scores, mask]);
        let softmax = Softmax::new(tvec!(3), None, SoftmaxKind::Softmax);
        let weights = self.wire(softmax, &[scores]);
        let weights = match undefined {
            Undefined::Nan => weights,
            Undefined::Zero => self.zero_where_nan(weights),
        };
        let result = self.product("abmk,kbn->mbn", &[weights, values]);
        let shape = [HEADS, WIDTH / HEADS, WIDTH];
        self.linear("mbk,bkn->amn", result, &shape, &[1, 1, WIDTH])
    }
}

/// `[1, S, WIDTH]` and a mask of `[1, 1, S, S]` → `[1, S, WIDTH]`.
fn block(undefined: Undefined) -> TypedModel {
    let mut block = Block {
        model: TypedModel::default(),
        seed: 0,
    };
    let length = block.model.symbols.sym("S").to_dim();
    let shape = dims!(1, length.clone(), WIDTH);
    let input = block.model.add_source("input", f32::fact(shape)).unwrap();
    let shape = dims!(1, 1, length.clone(), length);
    let mask = block.model.add_source("mask", f32::fact(shape)).unwrap();
    let attended = block.attention(input, mask, undefined);
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
    for undefined in [Undefined::Nan, Undefined::Zero] {
        a_block_computes_the_same(undefined);
    }
}

fn a_block_computes_the_same(undefined: Undefined) {
    let plain = block(undefined);
    let mut fused = plain.clone();
    fuse(&mut fused, &Backend::of_tests()).unwrap();
    let mut count = HashMap::<String, usize>::new();
    for node in &fused.nodes {
        *count.entry(node.op.name().into_owned()).or_default() += 1;
    }
    let fused_count = ["Linear", "Attention", "LayerNorm"].map(|name| count.get(name).copied());
    // Queries, keys and values are one.
    assert_eq!(fused_count, [Some(4), Some(1), Some(2)], "{count:?}");
    for left in [
        "EinSum",
        "Softmax",
        "RmsNorm",
        "GeluExact",
        "Reshape",
        "Iff",
    ] {
        assert_eq!(count.get(left), None, "{count:?}");
    }

    let (plain, fused) = (
        plain.into_runnable().unwrap(),
        fused.into_runnable().unwrap(),
    );
    let mut all = Vec::new();
    for length in [1, 3, 4, 9, 70] {
        let input = values(&[1, length, WIDTH], 5);
        let mut mask = vec![0.0f32; length * length];
        for place in (0..length * length).filter(|place| place / length < place % length) {
            mask[place] = f32::MIN;
        }
        if undefined == Undefined::Zero {
            // The first sees nothing.
            mask[..length].fill(f32::NEG_INFINITY);
        }
        let mask = tensor1(&mask).into_shape(&[1, 1, length, length]).unwrap();
        let inputs = tvec!(input.into_tvalue(), mask.into_tvalue());
        let expected = plain.run(inputs.clone()).unwrap();
        let result = fused.run(inputs.clone()).unwrap().remove(0);
        let close = Approximation::SuperApproximate;
        let close = result.close_enough(&expected[0], close);
        close.unwrap_or_else(|error| panic!("{length} tokens: {error:?}"));
        all.push((inputs, result));
    }
    several_are_each_what_it_is_alone(&fused, all);
}

/// What a part of ModernBERT's block is instead.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Other {
    Nothing,
    HalvesInOrder,
    FirstHalfNegated,
    PartsOfOtherLengths,
    Difference,
    SinesOfEachHead,
    SinesNeededTwice,
    GateOfTokens,
    GateOfAnother,
}

impl Block {
    fn part(&mut self, input: OutletId, axis: usize, part: [usize; 2]) -> OutletId {
        self.wire(Slice::new(axis, part[0], part[1]), &[input])
    }

    fn negated(&mut self, input: OutletId) -> OutletId {
        self.wire(math::neg(), &[input])
    }

    fn rotary(&mut self, input: OutletId, [cos, sin]: [OutletId; 2], other: Other) -> OutletId {
        let middle = match other {
            Other::PartsOfOtherLengths => 4,
            _ => 3,
        };
        let first = self.part(input, 3, [0, middle]);
        let second = self.part(input, 3, [middle, 6]);
        let halves = match other {
            Other::HalvesInOrder => [self.negated(first), second],
            Other::FirstHalfNegated => [second, self.negated(first)],
            _ => [self.negated(second), first],
        };
        let turned = self.wire(TypedConcat { axis: 3 }, &halves);
        let with_sin = self.wire(math::mul(), &[turned, sin]);
        let with_cos = self.wire(math::mul(), &[input, cos]);
        let sum = match other {
            Other::Difference => math::sub(),
            _ => math::add(),
        };
        let sum = self.wire(sum, &[with_cos, with_sin]);
        match other {
            Other::SinesNeededTwice => self.wire(math::sub(), &[sum, with_sin]),
            _ => sum,
        }
    }

    /// `[1, S, 36]` → `[1, S, 18]`
    fn gate(&mut self, input: OutletId, other: Other) -> OutletId {
        let activated = self.part(input, 2, [0, 18]);
        let activated = self.wire(gelu_exact(), &[activated]);
        let of = match other {
            Other::GateOfAnother => self.wire(math::add(), &[input, input]),
            _ => input,
        };
        let factor = match other {
            Other::GateOfTokens => {
                let first = self.part(of, 1, [0, 1]);
                self.part(first, 2, [18, 36])
            }
            _ => self.part(of, 2, [18, 36]),
        };
        self.wire(math::mul(), &[factor, activated])
    }
}

/// Attention of three heads, 6 values each, and an MLP: `[1, S, 54]`, which are
/// queries, keys and values, and two of `[1, 1, S, 6]` → `[1, S, 18]`.
fn modern_block(other: Other) -> TypedModel {
    let mut block = Block {
        model: TypedModel::default(),
        seed: 0,
    };
    let length = block.model.symbols.sym("S").to_dim();
    let mut source =
        |name: &str, shape: &[TDim]| block.model.add_source(name, f32::fact(shape)).unwrap();
    let input = source("input", &dims!(1, length.clone(), 54));
    let heads = if other == Other::SinesOfEachHead {
        3
    } else {
        1
    };
    let angles = ["cos", "sin"].map(|name| source(name, &dims!(1, heads, length.clone(), 6)));
    let to = tvec!(3.to_dim(), 3.to_dim(), 6.to_dim());
    let split = AxisOp::Reshape(2, tvec!(54.to_dim()), to);
    let split = block.wire(split, &[input]);
    let [queries, keys, values] = [0, 1, 2].map(|at| block.part(split, 2, [at, at + 1]));
    let [queries, keys] = [queries, keys].map(|part| {
        let moved = block.wire(AxisOp::Move(3, 1), &[part]);
        let heads = block.wire(AxisOp::Rm(3), &[moved]);
        block.rotary(heads, angles, other)
    });
    let scores = block.product("abmk,abnk->abmn", &[queries, keys]);
    let softmax = Softmax::new(tvec!(3), None, SoftmaxKind::Softmax);
    let weights = block.wire(softmax, &[scores]);
    let attended = block.product("abmk,akcbn->ambn", &[weights, values]);
    let from = tvec!(3.to_dim(), 6.to_dim());
    let joined = AxisOp::Reshape(2, from, tvec!(18.to_dim()));
    let joined = block.wire(joined, &[attended]);
    let inner = block.linear("amk,kn->amn", joined, &[18, 36], &[1, 1, 36]);
    let gated = block.gate(inner, other);
    block.model.select_output_outlets(&[gated]).unwrap();
    block.model
}

/// How many nodes there are of each of some operators.
fn counts<const N: usize>(model: &TypedModel, names: [&str; N]) -> [usize; N] {
    let is = |name: &str, node: &&TypedNode| node.op.name() == name;
    names.map(|name| model.nodes.iter().filter(|node| is(name, node)).count())
}

#[test]
fn rotary_embeddings_and_gates_compute_the_same() {
    let names = ["RoPE", "GeGLU", "Attention"];
    for (other, expected) in [
        (Other::Nothing, [2, 1, 1]),
        (Other::HalvesInOrder, [0, 1, 1]),
        (Other::FirstHalfNegated, [0, 1, 1]),
        (Other::PartsOfOtherLengths, [0, 1, 1]),
        (Other::Difference, [0, 1, 1]),
        (Other::SinesOfEachHead, [0, 1, 1]),
        (Other::SinesNeededTwice, [0, 1, 1]),
        (Other::GateOfTokens, [2, 0, 1]),
        (Other::GateOfAnother, [2, 0, 1]),
    ] {
        let plain = modern_block(other);
        let mut fused = plain.clone();
        fuse(&mut fused, &Backend::of_tests()).unwrap();
        assert_eq!(counts(&fused, names), expected, "{other:?}");
        if other == Other::Nothing {
            let left = counts(&fused, ["Slice", "MoveAxis", "Concat", "GeluExact", "Mul"]);
            assert_eq!(left, [0; 5]);
            // That of the input, which is no product.
            assert_eq!(counts(&fused, ["Reshape"]), [1]);
        }
        same_results(plain, fused, other);
    }
}

fn same_results(plain: TypedModel, fused: TypedModel, other: Other) {
    let (plain, fused) = (
        plain.into_runnable().unwrap(),
        fused.into_runnable().unwrap(),
    );
    let heads = if other == Other::SinesOfEachHead {
        3
    } else {
        1
    };
    for length in [1, 3, 4, 9, 70] {
        let angles = [1, heads, length, 6];
        let inputs = [
            values(&[1, length, 54], 5),
            values(&angles, 7),
            values(&angles, 11),
        ];
        let inputs: TVec<TValue> = inputs.into_iter().map(Tensor::into_tvalue).collect();
        let expected = plain.run(inputs.clone()).unwrap();
        let result = fused.run(inputs).unwrap();
        let close = Approximation::Custom(1e-6, 1e-6, 0.0);
        let close = result[0].close_enough(&expected[0], close);
        close.unwrap_or_else(|error| panic!("{other:?}, {length} tokens: {error:?}"));
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
    fuse(&mut model, &Backend::of_tests()).unwrap();
    let linear = |node: &TypedNode| node.op_as::<Linear>().cloned();
    let found: Vec<_> = model.nodes.iter().filter_map(linear).collect();
    assert_eq!(found.len(), 2);
    assert!(Arc::ptr_eq(&found[0].weights, &found[1].weights));
    assert!(
        model
            .nodes
            .iter()
            .all(|node| node.outputs[0].fact.konst.is_none())
    );
}

/// A product of what is multiplied by a factor for each column, and by one for all.
fn smoothed(compute: Compute, factors: &[usize]) -> [TypedModel; 2] {
    const DEPTH: usize = 128;
    let mut block = Block {
        model: TypedModel::default(),
        seed: 0,
    };
    let length = block.model.symbols.sym("S").to_dim();
    let source = f32::fact(dims!(length, DEPTH));
    let input = block.model.add_source("input", source).unwrap();
    let factors = block.constant(factors);
    let input = block.wire(math::mul(), &[input, factors]);
    let output = block.linear("mk,kn->mn", input, &[DEPTH, DEPTH], &[1, DEPTH]);
    block.model.select_output_outlets(&[output]).unwrap();
    let backend = Backend {
        compute,
        ..Backend::of_tests()
    };
    let mut fused = block.model.clone();
    fuse(&mut fused, &backend).unwrap();
    // The product alone, which is then computed with the same arithmetic.
    let mut plain = block.model;
    let mut cache = super::linear::WeightCache::new(&backend);
    for id in 0..plain.nodes.len() {
        if let Some(product) = super::linear::Match::at(&plain, id).unwrap() {
            product.replace(&mut plain, &mut cache).unwrap();
        }
    }
    [plain, fused]
}

#[test]
fn smoothing_is_part_of_int8_products_alone() {
    let has_factors = |model: &TypedModel| {
        let mut linear = model.nodes.iter().filter_map(|it| it.op_as::<Linear>());
        linear.any(|it| it.smoothing.is_some())
    };
    let [plain, fused] = smoothed(Compute::Int8, &[1, 128]);
    assert_eq!(counts(&fused, ["Linear", "Mul"]), [1, 0]);
    assert!(has_factors(&fused));
    let input = || tvec!(values(&[7, 128], 3).into_tvalue());
    let [plain, fused] = [plain, fused].map(|model| {
        let plan = model.into_optimized().unwrap().into_runnable().unwrap();
        plan.run(input()).unwrap().remove(0)
    });
    assert_eq!(*plain, *fused);

    for (compute, factors) in [(Compute::F32, [1, 128]), (Compute::Int8, [1, 1])] {
        let [_, fused] = smoothed(compute, &factors);
        assert_eq!(counts(&fused, ["Linear", "Mul"]), [1, 1], "{compute:?}");
        assert!(!has_factors(&fused));
    }
}

/// How a mask is computed of the places of queries and keys.
#[derive(Clone, Copy, Debug)]
enum Mask {
    /// `|i − j| ≤ 4`
    Near,
    /// The same, where what is not so is hidden.
    NotFar,
    /// `(i − 5 < j) & (j < i + 5)`
    Between,
    /// `(j ≤ i) & (i − j < 3)`
    Behind,
    /// `|i − j| ≥ 2`
    ButItsOwn,
    /// Near, and all others less.
    Penalty,
    /// `j < 4`
    FirstKeys,
    /// `2 · i − j ≤ 4`
    Slanted,
}

impl Block {
    fn number(&mut self, value: Tensor) -> OutletId {
        self.seed += 31;
        let name = format!("constant.{}", self.seed);
        let value = value.broadcast_into_rank(4).unwrap();
        self.model.add_const(name, value).unwrap()
    }

    /// `[1, 1, S, 1]` and `[1, 1, 1, S]`.
    fn places(&mut self, length: &TDim) -> [OutletId; 2] {
        let bounds = [0.to_dim(), length.clone(), 1.to_dim()];
        let bounds = bounds.map(|bound| {
            self.seed += 31;
            let name = format!("constant.{}", self.seed);
            self.model.add_const(name, tensor0(bound)).unwrap()
        });
        let range = self.wire(Indices(Range::new(length.clone())), &bounds);
        [1, 0].map(|after| {
            let mut place = range;
            for axis in [0, 0, if after == 1 { 3 } else { 0 }] {
                place = self.wire(AxisOp::Add(axis), &[place]);
            }
            place
        })
    }

    fn mask(&mut self, length: &TDim, mask: Mask) -> OutletId {
        let [queries, keys] = self.places(length);
        let number = |block: &mut Self, value: i64| block.number(tensor0(value));
        let binary = |block: &mut Self, op: TypedBinOp, a, b| block.wire(op, &[a, b]);
        let distance = binary(self, math::sub(), queries, keys);
        let far = self.wire(math::abs(), &[distance]);
        let seen = match mask {
            Mask::Near | Mask::NotFar | Mask::Penalty => {
                let most = number(self, 4);
                binary(self, TypedBinOp(logic::comp_lte(), None), far, most)
            }
            Mask::Between => {
                let five = number(self, 5);
                let least = binary(self, math::sub(), queries, five);
                let most = binary(self, math::add(), queries, five);
                let least = binary(self, TypedBinOp(logic::comp_lt(), None), least, keys);
                let most = binary(self, TypedBinOp(logic::comp_lt(), None), keys, most);
                binary(self, logic::and(), least, most)
            }
            Mask::Behind => {
                let three = number(self, 3);
                let before = binary(self, TypedBinOp(logic::comp_lte(), None), keys, queries);
                let near = binary(self, TypedBinOp(logic::comp_lt(), None), distance, three);
                binary(self, logic::and(), before, near)
            }
            Mask::ButItsOwn => {
                let least = number(self, 2);
                binary(self, TypedBinOp(logic::comp_gte(), None), far, least)
            }
            Mask::FirstKeys => {
                let end = number(self, 4);
                let zero = number(self, 0);
                let nothing = binary(self, math::mul(), distance, zero);
                let keys = binary(self, math::add(), keys, nothing);
                binary(self, TypedBinOp(logic::comp_lt(), None), keys, end)
            }
            Mask::Slanted => {
                let two = number(self, 2);
                let most = number(self, 4);
                let doubled = binary(self, math::mul(), queries, two);
                let distance = binary(self, math::sub(), doubled, keys);
                binary(self, TypedBinOp(logic::comp_lte(), None), distance, most)
            }
        };
        let zero = self.number(tensor0(0f32));
        let hidden = if matches!(mask, Mask::Penalty) {
            -2.0
        } else {
            f32::MIN
        };
        let hidden = self.number(tensor0(hidden));
        if matches!(mask, Mask::NotFar) {
            let not = self.wire(logic::not(), &[seen]);
            return self.wire(Iff, &[not, hidden, zero]);
        }
        self.wire(Iff, &[seen, zero, hidden])
    }
}

#[test]
fn windows_of_any_form_are_no_matrix() {
    for (mask, expected) in [
        (Mask::Near, Some([4, 4])),
        (Mask::NotFar, Some([4, 4])),
        (Mask::Between, Some([4, 4])),
        (Mask::Behind, Some([2, 0])),
        (Mask::ButItsOwn, None),
        (Mask::Penalty, None),
        (Mask::FirstKeys, None),
        (Mask::Slanted, None),
    ] {
        let mut block = Block {
            model: TypedModel::default(),
            seed: 0,
        };
        block.model.symbols.add_assertion("S>=1").unwrap();
        block.model.symbols.add_assertion("S<=400").unwrap();
        let length = block.model.symbols.sym("S").to_dim();
        let shape = dims!(1, length.clone(), WIDTH);
        let input = block.model.add_source("input", f32::fact(shape)).unwrap();
        let hidden = block.mask(&length, mask);
        let attended = block.attention(input, hidden, Undefined::Nan);
        block.model.select_output_outlets(&[attended]).unwrap();
        let plain = block.model;
        let mut fused = plain.clone();
        fuse(&mut fused, &Backend::of_tests()).unwrap();
        let op = |node: &TypedNode| node.op_as::<Attention>().cloned();
        let attention = fused.nodes.iter().find_map(op).unwrap();
        let window = attention.window.map(|it| [it.before, it.after]);
        assert_eq!(window, expected, "{mask:?}");
        let left = counts(&fused, ["Indices", "Iff"]);
        assert_eq!(left == [0; 2], expected.is_some(), "{mask:?}: {left:?}");

        let [plain, fused] = [plain, fused].map(|it| it.into_runnable().unwrap());
        for length in [1, 3, 9, 70, 300] {
            let input = values(&[1, length, WIDTH], 5).into_tvalue();
            let expected = plain.run(tvec!(input.clone())).unwrap();
            let result = fused.run(tvec!(input)).unwrap();
            let close = Approximation::Custom(1e-5, 1e-5, 0.0);
            let close = result[0].close_enough(&expected[0], close);
            close.unwrap_or_else(|error| panic!("{mask:?}, {length} tokens: {error:?}"));
        }
    }
}

/// [`block`], of which nothing is simplified yet: with numbers that do nothing, in another order, twice.
fn redundant_block() -> TypedModel {
    let mut block = Block {
        model: TypedModel::default(),
        seed: 0,
    };
    let length = block.model.symbols.sym("S").to_dim();
    let shape = dims!(1, length.clone(), WIDTH);
    let input = block.model.add_source("input", f32::fact(shape)).unwrap();
    let mut last = input;
    for layer in 0..3 {
        let bias = block.constant(&[1, 1, WIDTH]);
        let biased = block.wire(math::add(), &[bias, last]);
        let same = block.with_number(math::mul().into(), biased, 1.0);
        let same = block.with_number(math::add().into(), same, 0.0);
        let half = block.with_number(math::div().into(), same, 2.0);
        let moved = block.wire(AxisOp::Move(1, 2), &[half]);
        let back = block.wire(AxisOp::Move(2, 1), &[moved]);
        let twice: [OutletId; 2] = [0, 1].map(|_| block.wire(math::tanh(), &[back]));
        let sum = block.wire(math::add(), &twice);
        let part = block.wire(Slice::new(2, 0, WIDTH), &[sum]);
        let weights = block.constant(&[WIDTH, WIDTH]);
        last = block.product("amk,kn->amn", &[part, weights]);
        if layer == 1 {
            last = block.norm(last);
        }
    }
    block.model.select_output_outlets(&[last]).unwrap();
    block.model
}

#[test]
fn a_decluttered_model_is_what_tract_makes_of_it() {
    let nodes = |model: &TypedModel| -> Vec<String> {
        let nodes = model.nodes.iter();
        nodes
            .map(|node| format!("{} {:?} {:?}", node.name, node.op, node.inputs))
            .collect()
    };
    let modern = [Other::Nothing, Other::SinesOfEachHead, Other::GateOfAnother].map(modern_block);
    let others = [block(Undefined::Zero), redundant_block()];
    for plain in modern.into_iter().chain(others) {
        let expected = plain.clone().into_decluttered().unwrap();
        let mut model = plain.clone();
        declutter::declutter(&mut model).unwrap();
        assert_eq!(nodes(&model), nodes(&expected));
    }
    let mut model = redundant_block();
    assert_eq!(counts(&model, ["Slice", "MoveAxis", "Tanh"]), [3, 6, 6]);
    declutter::declutter(&mut model).unwrap();
    assert_eq!(counts(&model, ["Slice", "MoveAxis", "Tanh"]), [0, 0, 3]);
}
