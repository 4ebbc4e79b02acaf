//! Fused attention.

use super::{Numbers, Threads, U, assert_close, for_each};
use crate::{Attention, Bias, HeadStrides, HeadView, Isa, Undefined, Window, attention};

/// Heads inside tokens, or tokens inside heads.
fn strides([heads, tokens, width]: [usize; 3], heads_inside: bool) -> HeadStrides {
    let (head_stride, token_stride) = match heads_inside {
        true => (width, heads * width),
        false => (tokens * width, width),
    };
    HeadStrides {
        heads,
        tokens,
        width,
        offset: 0,
        head_stride,
        token_stride,
    }
}

/// What is drawn for a case.
#[derive(Debug)]
struct Case {
    /// Heads, queries, keys, their width and that of values.
    lengths: [usize; 5],
    heads_inside: bool,
    /// Which axes of the bias are whole; none without one.
    bias: Option<[bool; 3]>,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    added: Vec<f32>,
    scale: f32,
    undefined: Undefined,
    window: Option<Window>,
}

impl Case {
    fn new(lengths: [usize; 5], heads_inside: bool, bias: Option<[bool; 3]>, seed: u64) -> Self {
        let mut numbers = Numbers::of(seed);
        let [heads, queries, keys, width, value_width] = lengths;
        let mut case = Self {
            lengths,
            heads_inside,
            bias,
            queries: numbers.vec(heads * queries * width),
            keys: numbers.vec(heads * keys * width),
            values: numbers.vec(heads * keys * value_width),
            added: Vec::new(),
            scale: 0.37,
            undefined: Undefined::Nan,
            window: None,
        };
        case.added = numbers.vec(case.bias_shape().iter().product());
        case
    }

    fn bias_shape(&self) -> [usize; 3] {
        let [heads, queries, keys, ..] = self.lengths;
        let whole = self.bias.unwrap_or_default();
        let of = |axis: usize, length: usize| if whole[axis] { length } else { 1 };
        [of(0, heads), of(1, queries), of(2, keys)]
    }

    fn computed(&self, isa: Isa, parts: usize) -> Vec<f32> {
        let [heads, queries, keys, width, value_width] = self.lengths;
        let view = |values, shape| HeadView::new(values, strides(shape, self.heads_inside));
        let bias = Bias::new(&self.added, self.bias_shape()).unwrap();
        let operands = Attention {
            queries: view(&self.queries, [heads, queries, width]).unwrap(),
            keys: view(&self.keys, [heads, keys, width]).unwrap(),
            values: view(&self.values, [heads, keys, value_width]).unwrap(),
            scale: self.scale,
            bias: self.bias.map(|_| bias),
            undefined: self.undefined,
            window: self.window,
        };
        let to = strides([heads, queries, value_width], self.heads_inside);
        let mut output = vec![f32::NAN; heads * queries * value_width];
        attention(isa, &Threads(parts), &operands, to, &mut output).unwrap();
        output
    }

    fn at(&self, values: &[f32], [tokens, width]: [usize; 2], place: [usize; 3]) -> f64 {
        let strides = strides([self.lengths[0], tokens, width], self.heads_inside);
        f64::from(values[strides.start(place[0], place[1]) + place[2]])
    }

    /// The scores of a query, and how far float32 may be off.
    fn scores(&self, head: usize, query: usize) -> Vec<(f64, f64)> {
        let [_, queries, keys, width, _] = self.lengths;
        let [heads_whole, queries_whole, keys_whole] = self.bias.unwrap_or_default();
        let [_, bias_queries, bias_keys] = self.bias_shape();
        let score = |key: usize| {
            let terms = (0..width).map(|at| {
                let of_query = self.at(&self.queries, [queries, width], [head, query, at]);
                of_query * self.at(&self.keys, [keys, width], [head, key, at])
            });
            let place = [
                (heads_whole, head),
                (queries_whole, query),
                (keys_whole, key),
            ];
            let [head, query, key] = place.map(|(whole, at)| if whole { at } else { 0 });
            let place = (head * bias_queries + query) * bias_keys + key;
            let bias = self.bias.map_or(0.0, |_| f64::from(self.added[place]));
            let scale = f64::from(self.scale);
            let exact = scale * terms.clone().sum::<f64>() + bias;
            let magnitude = scale * terms.map(f64::abs).sum::<f64>() + bias.abs();
            (exact, (width as f64 + 4.0) * U * magnitude)
        };
        (0..keys).map(score).collect()
    }
}

/// With scores off by at most `δ = (width + 4) · u · (scale · Σ |q · k| + |bias|)`, the
/// result is by `(4 · δ + (2 · keys + 16 + 4 · d) · u) · max |value|`, where d is the
/// distance between the scores, which `exp` takes rounded.
#[test]
fn results_are_the_exact_ones() {
    let lengths = (1..4usize, 1..30usize, 1..50usize, 1..20usize, 1..20usize);
    let bias = proptest::option::of(proptest::array::uniform3(proptest::bool::ANY));
    let cases = (lengths, proptest::bool::ANY, bias, 0..u64::MAX);
    for_each(&cases, |(lengths, heads_inside, bias, seed)| {
        let (heads, queries, keys, width, value_width) = lengths;
        let lengths = [heads, queries, keys, width, value_width];
        let case = Case::new(lengths, heads_inside, bias, seed);
        let exact = exact(&case);
        for isa in Isa::all() {
            let output = case.computed(isa, 1);
            for parts in [2, 3] {
                assert_eq!(output, case.computed(isa, parts), "{isa:?}: {parts} parts");
            }
            for (value, (exact, bound)) in output.iter().zip(&exact) {
                assert_close(&|| format!("{isa:?} {lengths:?}"), *value, *exact, *bound);
            }
        }
    });
}

/// A softmax over several blocks of keys, of which one may be wholly masked.
#[test]
fn keys_of_several_blocks() {
    let lengths = (1..20usize, 200..1100usize);
    for_each(&(lengths, 0..u64::MAX), |((queries, keys), seed)| {
        if seed % 4 != 0 {
            return;
        }
        let mut case = Case::new(
            [1, queries, keys, 3, 5],
            true,
            Some([false, false, true]),
            seed,
        );
        let masked = [0..0, 0..256, 250..300, 256..keys][(seed / 4 % 4) as usize].clone();
        for key in masked {
            if let Some(added) = case.added.get_mut(key) {
                *added = f32::NEG_INFINITY;
            }
        }
        if case.added.iter().all(|added| added.is_infinite()) {
            case.added[0] = 0.0;
        }
        let exact = exact(&case);
        for isa in Isa::all() {
            for (value, (exact, bound)) in case.computed(isa, 1).iter().zip(&exact) {
                assert_close(&|| format!("{isa:?} {keys}"), *value, *exact, *bound);
            }
        }
    });
}

/// A sliding window is the mask that hides all else, whatever the number of parts.
#[test]
fn a_window_is_a_mask() {
    let lengths = (1..700usize, 0..70usize, 0..300usize);
    for_each(
        &(lengths, 0..u64::MAX),
        |((tokens, before, after), seed)| {
            if seed % 8 != 0 {
                return;
            }
            let heads_inside = seed % 16 == 0;
            let whole = Some([false, true, true]);
            let mut masked = Case::new([2, tokens, tokens, 3, 5], heads_inside, whole, seed);
            let mut case = Case::new([2, tokens, tokens, 3, 5], heads_inside, None, seed);
            case.window = Some(Window { before, after });
            for (place, added) in masked.added.iter_mut().enumerate() {
                let (query, key) = (place / tokens, place % tokens);
                let is_seen = key + before >= query && key <= query + after;
                *added = if is_seen { 0.0 } else { f32::NEG_INFINITY };
            }
            let exact = exact(&masked);
            for isa in Isa::all() {
                let computed = case.computed(isa, 1);
                for (value, (exact, bound)) in computed.iter().zip(&exact) {
                    assert_close(&|| format!("{isa:?} {tokens}"), *value, *exact, *bound);
                }
                assert_eq!(computed, case.computed(isa, 3), "{isa:?} {tokens}");
            }
        },
    );
}

#[test]
fn a_window_over_other_tokens_is_refused() {
    let case = Case::new([1, 4, 5, 3, 3], true, None, 1);
    let view = |values, shape| HeadView::new(values, strides(shape, true)).unwrap();
    let window = Some(Window {
        before: 1,
        after: 1,
    });
    let operands = Attention {
        queries: view(&case.queries, [1, 4, 3]),
        keys: view(&case.keys, [1, 5, 3]),
        values: view(&case.values, [1, 5, 3]),
        scale: 1.0,
        bias: None,
        undefined: Undefined::Nan,
        window,
    };
    let to = strides([1, 4, 3], true);
    let parallel = Threads(1);
    assert!(attention(Isa::in_use(), &parallel, &operands, to, &mut [0.0; 12]).is_err());
}

/// In the order of the output, with the bound of each.
fn exact(case: &Case) -> Vec<(f64, f64)> {
    let [heads, queries, keys, _, width] = case.lengths;
    let to = strides([heads, queries, width], case.heads_inside);
    let mut results = vec![(f64::NAN, 0.0); heads * queries * width];
    for head in 0..heads {
        for query in 0..queries {
            let scores = case.scores(head, query);
            let max = scores
                .iter()
                .fold(f64::NEG_INFINITY, |max, it| max.max(it.0));
            let finite = scores.iter().filter(|it| it.0.is_finite());
            let min = finite.fold(f64::INFINITY, |min, it| min.min(it.0));
            let seen = scores.iter().filter(|it| it.0.is_finite());
            let delta = seen.clone().fold(0.0f64, |delta, it| delta.max(it.1));
            let weights: Vec<f64> = scores.iter().map(|it| (it.0 - max).exp()).collect();
            let total: f64 = weights.iter().sum();
            let steps = 2.0 * keys as f64 + 16.0 + 4.0 * (max - min);
            for at in 0..width {
                let value = |key: usize| case.at(&case.values, [keys, width], [head, key, at]);
                let sum: f64 = (0..keys).map(|key| weights[key] * value(key)).sum();
                let largest = (0..keys).fold(0.0f64, |most, key| most.max(value(key).abs()));
                let bound = (4.0 * delta + steps * U) * largest;
                results[to.start(head, query) + at] = (sum / total, bound);
            }
        }
    }
    results
}

/// Its strides are the same whichever of heads and tokens are inside.
#[test]
fn one_token_of_several_heads() {
    for isa in Isa::all() {
        let results = [true, false].map(|heads_inside| {
            let case = Case::new([3, 1, 1, 4, 5], heads_inside, None, 1);
            [1, 2, 3].map(|parts| case.computed(isa, parts))
        });
        let [first, ..] = &results[0];
        assert!(results.as_flattened().iter().all(|result| result == first));
    }
}

/// Also where another query is NaN.
#[test]
fn a_query_depends_on_itself_alone() {
    let lengths = (2..30usize, 1..40usize, 1..12usize);
    for_each(&(lengths, 0..u64::MAX), |((queries, keys, width), seed)| {
        let mut case = Case::new([2, queries, keys, width, 5], true, None, seed);
        case.queries[0] = f32::NAN;
        for isa in Isa::all() {
            let all = case.computed(isa, 1);
            assert!(all[..5].iter().all(|value| value.is_nan()), "{isa:?}");
            for query in 1..queries {
                let mut alone = Case::new([2, 1, keys, width, 5], true, None, seed);
                (alone.keys, alone.values) = (case.keys.clone(), case.values.clone());
                alone.queries = case.queries[query * 2 * width..][..2 * width].to_vec();
                let together = &all[query * 10..][..10];
                assert_eq!(alone.computed(isa, 1), together, "{isa:?}: {query}");
            }
        }
    });
}

/// A query that sees no key has zeros if that is asked for, and changes no other.
#[test]
fn a_query_without_keys_may_have_zeros() {
    let lengths = (2..30usize, 1..40usize, 1..12usize);
    for_each(&(lengths, 0..u64::MAX), |((queries, keys, width), seed)| {
        let bias = Some([false, true, true]);
        let mut case = Case::new([2, queries, keys, width, 5], true, bias, seed);
        case.added[..keys].fill(f32::NEG_INFINITY);
        for isa in Isa::all() {
            case.undefined = Undefined::Nan;
            let alone = case.computed(isa, 1);
            assert!(alone[..10].iter().all(|value| value.is_nan()), "{isa:?}");
            case.undefined = Undefined::Zero;
            let zeroed = case.computed(isa, 1);
            assert_eq!(zeroed[..10], [0.0; 10], "{isa:?}");
            assert_eq!(zeroed[10..], alone[10..], "{isa:?}");
        }
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    assert!(Bias::new(&[0.0; 5], [1, 2, 3]).is_err());
    assert!(Bias::new(&[], [usize::MAX, 2, 3]).is_err());
    let of = |keys: [usize; 3], values: [usize; 3], bias: [usize; 3], to: [usize; 3]| {
        let memory = [0.0; 500];
        let view = |shape| HeadView::new(&memory, strides(shape, true)).unwrap();
        let bias = Bias::new(&memory[..bias.iter().product()], bias).unwrap();
        let operands = Attention {
            queries: view([2, 3, 4]),
            keys: view(keys),
            values: view(values),
            scale: 1.0,
            bias: Some(bias),
            undefined: Undefined::Nan,
            window: None,
        };
        let to = strides(to, true);
        attention(Isa::in_use(), &Threads(2), &operands, to, &mut [0.0; 42]).is_ok()
    };
    let (keys, values, bias, to) = ([2, 5, 4], [2, 5, 7], [1, 3, 5], [2, 3, 7]);
    assert!(of(keys, values, bias, to));
    assert!(!of([1, 5, 4], values, bias, to));
    assert!(!of([2, 5, 3], values, bias, to));
    assert!(!of(keys, [2, 4, 7], bias, to));
    assert!(!of(keys, values, [1, 2, 5], to));
    assert!(!of(keys, values, bias, [2, 4, 7]));
    assert!(!of(keys, [2, 5, 8], bias, [2, 3, 8]));
}
