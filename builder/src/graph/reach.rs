//! The position limit of a graph: how long a sequence its position tables allow.
//!
//! A position table (`Gather` or `Slice`) sets a limit where an index reaches its last row.
//! What the index is, exporters write in many ways: a range, a slice of a buffer, a sum
//! over what is no padding (RoBERTa, ESM, LUKE), an input; and a clamped one (T5,
//! `DeBERTa`) sets none. So nothing is recognised here: the part of the graph
//! that computes the index is computed, for sequences of one length and another.

use super::conditionals::without_values;
use super::remove_unused;
use crate::folder::{Limit, Tables};
use encoderfile::graph::{InputFact, Tokens, read};
use encoderfile::onnx::{
    GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, tensor_proto::DataType,
};
use std::collections::{HashMap, HashSet};
use tract_core::internal::*;

/// The shortest sequence that is tried: longer than any model's special tokens.
const SHORT: u32 = 8;

/// An index for each pair of tokens (relative positions) is computed for
/// sequences up to this length: it takes memory in the square of it.
const PAIRS_LENGTH_MAX: u32 = 1024;

/// Ids that a sequence is tried with, all of its tokens the same: at most one
/// of them is the padding's, which has no position in some models.
const IDS: [i64; 2] = [0, 1];

/// A node that takes rows from a table, or the beginning of one.
#[derive(Clone, Debug)]
struct Lookup {
    /// The table's name.
    table: String,
    /// Its length along the axis that is indexed.
    rows: i64,
    /// The value that says which.
    index: String,
    what: Index,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Index {
    /// `Gather`: each is a row.
    Rows,
    /// `Slice`: this one of them is one past the last row.
    End(usize),
}

/// What the tables of `graph` hold, of sequences of up to `at_most` tokens.
/// `first_position` is what an input of position ids begins with.
pub(super) fn tables(
    proto: &ModelProto,
    graph: &GraphProto,
    at_most: u32,
    first_position: u32,
) -> Tables {
    let lookups = lookups(graph);
    let probe = |lookups: Vec<Lookup>| Probe::new(proto, graph, lookups, first_position);
    let (computed, others) = apart(lookups, probe);
    let mut result = if others {
        Tables::Unknown
    } else {
        Tables::Unbounded
    };
    let (pairs, single): (Vec<_>, Vec<_>) = computed
        .into_iter()
        .partition(|(_, is_for_pairs)| *is_for_pairs);
    for (group, at_most) in [(single, at_most), (pairs, at_most.min(PAIRS_LENGTH_MAX))] {
        let lookups: Vec<Lookup> = group.into_iter().map(|(lookup, _)| lookup).collect();
        if lookups.is_empty() {
            continue;
        }
        if let Some(limit) = probe(lookups).limit(at_most) {
            result = match result {
                Tables::Bounded(other) if other.max_tokens <= limit.max_tokens => {
                    Tables::Bounded(other)
                }
                _ => Tables::Bounded(limit),
            };
        }
    }
    result
}

/// The lookups whose index can be computed, each with whether it has one for
/// each pair of tokens; and whether there are others.
fn apart(
    lookups: Vec<Lookup>,
    probe: impl Fn(Vec<Lookup>) -> Probe,
) -> (Vec<(Lookup, bool)>, bool) {
    let of_pairs = |length: usize| length >= (SHORT * SHORT) as usize;
    let mut computed = Vec::new();
    let mut others = false;
    // Most often all can, and then at once.
    let together = probe(lookups.clone());
    if let Ok(values) = together.indices(SHORT, IDS[0]) {
        let lengths = together.lookups.iter().map(|it| values[&it.index].len());
        let pairs: Vec<bool> = lengths.map(of_pairs).collect();
        return (lookups.into_iter().zip(pairs).collect(), false);
    }
    for lookup in lookups {
        match probe(vec![lookup.clone()]).indices(SHORT, IDS[0]) {
            Ok(values) => computed.push((lookup.clone(), of_pairs(values[&lookup.index].len()))),
            Err(_) => others = true,
        }
    }
    (computed, others)
}

/// Every lookup in a table whose index depends on the text or its length.
fn lookups(graph: &GraphProto) -> Vec<Lookup> {
    let tables = Constants::of(graph);
    let nodes = graph.node.iter();
    nodes
        .filter_map(|node| tables.lookup(node))
        .filter(|lookup| lookup.rows > 0)
        .collect()
}

/// The values that are the same for every text, and where their numbers are from.
struct Constants<'a> {
    tensors: HashMap<&'a str, &'a TensorProto>,
    /// By name of a value: the tensor that has its shape.
    shapes: HashMap<&'a str, &'a TensorProto>,
    /// Values that no text changes.
    same: HashSet<&'a str>,
}

impl<'a> Constants<'a> {
    fn of(graph: &'a GraphProto) -> Self {
        let tensors: HashMap<&str, &TensorProto> = graph
            .initializer
            .iter()
            .map(|it| (it.name.as_str(), it))
            .collect();
        let mut constants = Self {
            shapes: tensors.clone(),
            same: tensors.keys().copied().collect(),
            tensors,
        };
        constants.same.insert("");
        for node in &graph.node {
            if !node
                .input
                .iter()
                .all(|it| constants.same.contains(it.as_str()))
                || node.attribute.iter().any(|it| it.g.is_some())
            {
                continue;
            }
            constants
                .same
                .extend(node.output.iter().map(String::as_str));
            // What is computed of a table value by value is a table of that shape.
            let keeps = ["Cast", "DequantizeLinear", "Identity", "Mul", "Sub"];
            if let (Some(first), [output]) = (node.input.first(), &*node.output)
                && keeps.contains(&node.op_type.as_str())
                && let Some(shape) = constants.shapes.get(first.as_str())
            {
                constants.shapes.insert(output, *shape);
            }
        }
        constants
    }

    fn lookup(&self, node: &NodeProto) -> Option<Lookup> {
        let table = self.shapes.get(node.input.first()?.as_str())?;
        let changes = |name: &&String| !name.is_empty() && !self.same.contains(name.as_str());
        let (index, axis, what) = match node.op_type.as_str() {
            "Gather" | "GatherElements" => {
                let axis = node.attribute.iter().find(|it| it.name == "axis");
                let axis = axis.map_or(0, |it| it.i);
                (node.input.get(1).filter(changes)?, axis, Index::Rows)
            }
            "Slice" => {
                let ends = node.input.get(2).filter(changes)?;
                let axes = match node.input.get(3).filter(|it| !it.is_empty()) {
                    Some(axes) => integers(self.tensors.get(axes.as_str())?),
                    None => vec![0],
                };
                // One axis is what exporters cut at a time.
                let [axis] = *axes else {
                    return None;
                };
                (ends, axis, Index::End(0))
            }
            _ => return None,
        };
        let rank = i64::try_from(table.dims.len()).ok()?;
        let axis = if axis < 0 { axis + rank } else { axis };
        Some(Lookup {
            table: table.name.clone(),
            rows: *table.dims.get(usize::try_from(axis).ok()?)?,
            index: index.clone(),
            what,
        })
    }
}

fn integers(tensor: &TensorProto) -> Vec<i64> {
    if !tensor.int64_data.is_empty() {
        return tensor.int64_data.clone();
    }
    let (values, _) = tensor.raw_data.as_chunks::<8>();
    let is_int64 = tensor.data_type == DataType::Int64 as i32;
    let values = values.iter().map(|it| i64::from_le_bytes(*it));
    values.filter(|_| is_int64).collect()
}

/// The part of a graph that computes the indices of lookups.
struct Probe {
    proto: ModelProto,
    lookups: Vec<Lookup>,
    /// By place of the output.
    names: Vec<String>,
    /// By place: the names of the inputs that a text gives.
    inputs: Vec<String>,
    /// Of those, and of the inputs after them, which stand for large tensors.
    facts: Vec<InputFact>,
    first_position: u32,
}

impl Probe {
    fn new(
        proto: &ModelProto,
        graph: &GraphProto,
        lookups: Vec<Lookup>,
        first_position: u32,
    ) -> Self {
        let mut names: Vec<String> = lookups.iter().map(|it| it.index.clone()).collect();
        names.sort();
        names.dedup();
        let mut part = GraphProto {
            node: graph.node.clone(),
            initializer: graph.initializer.clone(),
            input: graph.input.clone(),
            ..GraphProto::default()
        };
        let outputs = names.iter().map(|name| ValueInfoProto {
            name: name.clone(),
            ..ValueInfoProto::default()
        });
        part.output = outputs.collect();
        remove_unused(&mut part);
        let inputs = part.input.iter().map(|it| it.name.clone()).collect();
        let facts = without_values(&mut part);
        Self {
            proto: ModelProto {
                graph: Some(part),
                ..proto.clone()
            },
            lookups,
            names,
            inputs,
            facts,
            first_position,
        }
    }

    /// The longest sequence of up to `at_most` tokens for which every index is
    /// within its table; `None` if that is `at_most`.
    fn limit(&self, at_most: u32) -> Option<Limit> {
        let beyond = |length| self.beyond(length);
        beyond(at_most)?;
        let (mut fits, mut fails) = (0, at_most);
        // Indices most often grow by one with each token.
        if let Some(guess) = self.guess().filter(|guess| *guess < at_most) {
            if beyond(guess).is_some() {
                fails = guess;
            } else {
                fits = guess;
                if beyond(guess + 1).is_some() {
                    fails = guess + 1;
                }
            }
        }
        while fits + 1 < fails {
            let middle = fits + (fails - fits) / 2;
            if beyond(middle).is_some() {
                fails = middle;
            } else {
                fits = middle;
            }
        }
        // Tables that hold nothing are not what was looked for.
        (fits > 0).then(|| Limit {
            max_tokens: fits,
            source: self.describe(beyond(fails).flatten(), fits),
        })
    }

    fn describe(&self, table: Option<&Lookup>, max_tokens: u32) -> String {
        let Some(Lookup {
            table, rows, what, ..
        }) = table
        else {
            return "the graph, which holds no more".into();
        };
        match (what, rows - i64::from(max_tokens)) {
            // A buffer, which exporters give no name that anybody knows.
            (Index::End(_), _) => format!("the {rows} positions in the graph"),
            (Index::Rows, 0) => format!("the {rows} rows of `{table}`"),
            (Index::Rows, less) => format!("the {rows} rows of `{table}` less {less}"),
        }
    }

    /// The position limit of the first table if its index is one more for each token.
    fn guess(&self) -> Option<u32> {
        let indices = self.indices(SHORT, IDS[0]).ok()?;
        let other = self.indices(SHORT, IDS[1]).ok()?;
        let guesses = self.lookups.iter().filter_map(|lookup| {
            let values = indices[&lookup.index].iter().chain(&other[&lookup.index]);
            let largest = *values.max()?;
            let spare = match lookup.what {
                Index::Rows => lookup.rows - 1 - largest,
                Index::End(_) => lookup.rows - largest,
            };
            u32::try_from(spare + i64::from(SHORT)).ok()
        });
        guesses.min()
    }

    /// Whether an index is beyond its table for a sequence of that length, and
    /// which, if that is what is wrong.
    fn beyond(&self, length: u32) -> Option<Option<&Lookup>> {
        for id in IDS {
            let Ok(indices) = self.indices(length, id) else {
                return Some(None);
            };
            let mut lookups = self.lookups.iter();
            let beyond = lookups.find(|lookup| {
                let indices = &indices[&lookup.index];
                match lookup.what {
                    Index::Rows => indices
                        .iter()
                        .any(|it| !(-lookup.rows..lookup.rows).contains(it)),
                    Index::End(place) => indices.get(place).is_some_and(|end| *end > lookup.rows),
                }
            });
            if beyond.is_some() {
                return Some(beyond);
            }
        }
        None
    }

    /// By name: every index for a sequence of `length` tokens that are all `id`.
    fn indices(&self, length: u32, id: i64) -> TractResult<HashMap<String, Vec<i64>>> {
        // An operator of the engine may panic at what is out of its bounds.
        let computed = encoderfile::panics::catch(|| self.compute(length, id));
        computed.unwrap_or_else(|bug| bail!("{}", bug.detail().unwrap_or_default()))
    }

    fn compute(&self, length: u32, id: i64) -> TractResult<HashMap<String, Vec<i64>>> {
        let model = read(&self.proto, Tokens::Exactly(length), &self.facts)?.model;
        let mut model = model.into_decluttered()?;
        let length = i64::from(length);
        // What only gave its shape is no input any more.
        let sources = model.input_outlets()?.to_vec();
        let (mut used, mut values) = (Vec::new(), tvec!());
        for (place, source) in sources.into_iter().enumerate() {
            let node = model.node(source.node);
            if node.outputs[source.slot].successors.is_empty()
                && !model.output_outlets()?.contains(&source)
            {
                continue;
            }
            let name = self.inputs.get(place);
            let name = name.context("an index that is computed from weights")?;
            let datum_type = node.outputs[source.slot].fact.datum_type;
            let value = self.input(name, length, id)?;
            values.push(value.cast_to_dt(datum_type)?.into_owned().into_tvalue());
            used.push(source);
        }
        model.set_input_outlets(&used)?;
        let outputs = model.into_runnable()?.run(values)?;
        let names = self.names.iter().cloned();
        let outputs = outputs.iter().map(|output| {
            let output = output.cast_to::<i64>()?;
            let plain = output.try_as_plain_ram()?;
            Ok(plain.as_slice::<i64>()?.to_vec())
        });
        let outputs: TractResult<Vec<Vec<i64>>> = outputs.collect();
        Ok(names.zip(outputs?).collect())
    }

    fn input(&self, name: &str, length: i64, id: i64) -> TractResult<Tensor> {
        let first = i64::from(self.first_position);
        let values: Vec<i64> = match name {
            "position_ids" => (first..first + length).collect(),
            "attention_mask" => vec![1; usize::try_from(length)?],
            "token_type_ids" => vec![0; usize::try_from(length)?],
            _ => vec![id; usize::try_from(length)?],
        };
        tensor1(&values).into_shape(&[1, values.len()])
    }
}
