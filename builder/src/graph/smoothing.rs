//! Smoothing of products that are computed in int8 (SmoothQuant): each column of a product's
//! input is multiplied by a factor before it is quantised, and the matrix's row divided by it.
//!
//! After a LayerNorm a few columns are far larger than all others; they alone say how large
//! the steps of a row are. A factor that makes a column's largest magnitude that of its row of
//! the matrix divides the loss between both. What the largest magnitudes are is measured, with
//! texts; of the products of one input, all are smoothed or none, whatever gives results
//! nearer to those in float32.
//!
//! Factors are powers of two, so that in float32 the graph computes the same to the bit,
//! whoever runs it, and so that a last bit on the machine that measured changes none of them.
//! In the graph they are a `Mul` before the product.

use super::dense::{product, times};
use super::tensors;
use super::values::Floats;
use encoderfile::graph::{Uses, is_computed_in_int8};
use encoderfile::onnx::{GraphProto, NodeProto, TensorProto, tensor_proto::DataType};
use encoderfile::{Executor, Threads};
use encoderfile_kernels::{Int8Matrix, Isa, Order, ShapeError, Weights};
use half::f16;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// A factor is at most 2 to this, or its inverse.
const EXPONENT_MAX: f32 = 12.0;

/// What is multiplied by each matrix, `[rows, depth]`, by the tensor's name.
#[derive(Debug, Default)]
pub struct ProductInputs(HashMap<String, Vec<f32>>);

impl ProductInputs {
    /// Adds rows of what is multiplied by a matrix.
    pub fn add(&mut self, weights: &str, rows: &[f32]) {
        match self.0.get_mut(weights) {
            Some(all) => all.extend_from_slice(rows),
            None => {
                self.0.insert(weights.into(), rows.to_vec());
            }
        }
    }
}

/// Writes smoothing into the graph where it makes int8 products more exact.
pub(super) fn smooth(graph: &mut GraphProto, inputs: &ProductInputs) {
    let groups = groups(graph);
    let found = Mutex::new(BTreeMap::new());
    Executor::AllCores.each(groups.len(), &|place| {
        if let Some(smoothed) = groups[place].smoothed(graph, inputs) {
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.insert(place, smoothed);
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (place, smoothed) in found {
        groups[place].write(graph, place, smoothed);
    }
}

/// Products that share an input, or a matrix: they have the same factors.
#[derive(Debug, Default, PartialEq)]
struct Group {
    inputs: Vec<String>,
    matrices: Vec<String>,
}

/// A group's factors, and its matrices with their rows divided by them.
struct Smoothed {
    factors: Vec<f32>,
    matrices: Vec<TensorProto>,
}

/// The products that are computed in int8.
fn groups(graph: &GraphProto) -> Vec<Group> {
    let uses = Uses::of(graph);
    let matrices = graph.initializer.iter().filter(|tensor| {
        let shape = shape(tensor);
        let is_int8 = shape.is_some_and(|(depth, columns)| is_computed_in_int8(depth, columns));
        is_int8 && tensors::is_float(tensor) && uses.is_matmul_weight(&tensor.name, &tensor.dims)
    });
    let mut groups: Vec<Group> = Vec::new();
    for matrix in matrices {
        let nodes = uses.nodes(&matrix.name).iter();
        let mut group = Group {
            inputs: nodes.map(|node| node.input[0].clone()).collect(),
            matrices: vec![matrix.name.clone()],
        };
        let shares = |other: &mut Group| other.inputs.iter().any(|it| group.inputs.contains(it));
        let shared: Vec<Group> = groups.extract_if(.., shares).collect();
        for other in shared {
            group.inputs.extend(other.inputs);
            group.matrices.extend(other.matrices);
        }
        group.inputs.sort_unstable();
        group.inputs.dedup();
        groups.push(group);
    }
    groups
}

impl Group {
    /// The factors, and the matrices with them, if their products are more exact.
    fn smoothed(&self, graph: &GraphProto, inputs: &ProductInputs) -> Option<Smoothed> {
        let tensors = graph.initializer.iter();
        let tensors = tensors.filter(|it| self.matrices.contains(&it.name));
        let tensors: Vec<TensorProto> = tensors.cloned().collect();
        let matrices: Vec<Matrix> = tensors.iter().map(Matrix::of).collect::<Option<_>>()?;
        let depth = matrices.first()?.depth;
        if matrices.iter().any(|it| it.depth != depth) {
            return None;
        }
        // Those of one matrix are those of all, but for a matrix that has some inputs alone.
        let rows = self.matrices.iter().filter_map(|it| inputs.0.get(it));
        let rows = rows.max_by_key(|rows| rows.len())?;
        let factors = factors(rows, &matrices);
        let divided: Vec<Matrix> = matrices.iter().map(|it| it.divided(&factors)).collect();
        let error = |matrices_of_int8: &[Matrix], factors: Option<&[f32]>| {
            let both = matrices.iter().zip(matrices_of_int8);
            let errors = both.map(|(exact, int8)| squared_error(rows, exact, int8, factors));
            errors.sum::<Result<f64, ShapeError>>().ok()
        };
        if error(&divided, Some(&factors))? >= error(&matrices, None)? {
            return None;
        }
        let tensors = tensors.iter().zip(&divided);
        let matrices = tensors.map(|(tensor, matrix)| matrix.to_tensor(tensor));
        Some(Smoothed {
            factors,
            matrices: matrices.collect::<Option<_>>()?,
        })
    }

    /// Puts the smoothed matrices into the graph, and the factors before their products.
    fn write(&self, graph: &mut GraphProto, place: usize, smoothed: Smoothed) {
        let mut matrices: HashMap<String, TensorProto> = smoothed
            .matrices
            .into_iter()
            .map(|it| (it.name.clone(), it))
            .collect();
        for tensor in &mut graph.initializer {
            if let Some(smoothed) = matrices.remove(&tensor.name) {
                *tensor = smoothed;
            }
        }
        let factors = unused(graph, &format!("smoothing.{place}"));
        let values = smoothed.factors.iter().flat_map(|it| it.to_le_bytes());
        graph.initializer.push(TensorProto {
            name: factors.clone(),
            data_type: DataType::Float.into(),
            dims: vec![i64::try_from(smoothed.factors.len()).unwrap_or(0)],
            raw_data: values.collect(),
            ..TensorProto::default()
        });
        for input in &self.inputs {
            let product = unused(graph, &format!("{input}/smoothed"));
            let is_smoothed = |node: &NodeProto| {
                let [first, second] = &*node.input else {
                    return false;
                };
                first == input && self.matrices.contains(second)
            };
            let Some(first) = graph.node.iter().position(is_smoothed) else {
                continue;
            };
            for node in graph.node.iter_mut().filter(|node| is_smoothed(node)) {
                node.input[0].clone_from(&product);
            }
            let node = NodeProto {
                op_type: "Mul".into(),
                name: product.clone(),
                input: vec![input.clone(), factors.clone()],
                output: vec![product],
                ..NodeProto::default()
            };
            graph.node.insert(first, node);
        }
    }
}

/// A name that nothing in the graph has.
fn unused(graph: &GraphProto, wanted: &str) -> String {
    let inputs = graph.input.iter().map(|it| &it.name);
    let tensors = graph.initializer.iter().map(|it| &it.name);
    let outputs = graph.node.iter().flat_map(|node| &node.output);
    let names: HashSet<&String> = inputs.chain(tensors).chain(outputs).collect();
    let mut name = wanted.to_owned();
    while names.contains(&name) {
        name.push('\'');
    }
    name
}

/// `[depth, columns]`.
struct Matrix {
    values: Vec<f32>,
    depth: usize,
    columns: usize,
}

fn shape(tensor: &TensorProto) -> Option<(usize, usize)> {
    let &[depth, columns] = &*tensor.dims else {
        return None;
    };
    Some((usize::try_from(depth).ok()?, usize::try_from(columns).ok()?))
}

impl Matrix {
    fn of(tensor: &TensorProto) -> Option<Self> {
        let (depth, columns) = shape(tensor)?;
        let values = Floats::take(&mut tensor.clone());
        let values: Vec<f32> = (0..values.len()).map(|index| values.value(index)).collect();
        (depth.checked_mul(columns) == Some(values.len()) && columns > 0).then_some(Self {
            values,
            depth,
            columns,
        })
    }

    fn divided(&self, factors: &[f32]) -> Self {
        let rows = self.values.chunks_exact(self.columns).zip(factors);
        let values = rows.flat_map(|(row, factor)| row.iter().map(move |it| it / factor));
        Self {
            values: values.collect(),
            ..*self
        }
    }

    /// As the tensor it is of, unless that cannot have these values.
    fn to_tensor(&self, like: &TensorProto) -> Option<TensorProto> {
        let mut tensor = TensorProto {
            raw_data: bytes::Bytes::new(),
            float_data: Vec::new(),
            int32_data: Vec::new(),
            ..like.clone()
        };
        let values = self.values.iter();
        tensor.raw_data = if like.data_type == DataType::Float16 as i32 {
            let halves: Vec<f16> = values.clone().map(|it| f16::from_f32(*it)).collect();
            let is_exact = values
                .zip(&halves)
                .all(|(value, half)| half.to_f32() == *value);
            is_exact.then(|| halves.iter().flat_map(|it| it.to_le_bytes()).collect())?
        } else {
            values.flat_map(|it| it.to_le_bytes()).collect()
        };
        Some(tensor)
    }
}

/// For each column of the rows and row of the matrices, the factor with which their largest
/// magnitudes become the same, as far as a power of two can.
fn factors(rows: &[f32], matrices: &[Matrix]) -> Vec<f32> {
    let depth = matrices.first().map_or(0, |it| it.depth);
    let mut of_columns = vec![0.0_f32; depth];
    for row in rows.chunks_exact(depth.max(1)) {
        for (largest, value) in of_columns.iter_mut().zip(row) {
            *largest = largest.max(value.abs());
        }
    }
    let of_row = |row: usize| {
        let rows = matrices.iter();
        let rows = rows.map(|it| &it.values[row * it.columns..][..it.columns]);
        rows.flatten()
            .fold(0.0_f32, |largest, it| largest.max(it.abs()))
    };
    let factor = |(row, of_column): (usize, &f32)| {
        let exponent = (of_row(row) / of_column).log2() / 2.0;
        match exponent.is_finite() {
            true => exponent.round().clamp(-EXPONENT_MAX, EXPONENT_MAX).exp2(),
            // A column or a row of zeros.
            false => 1.0,
        }
    };
    of_columns.iter().enumerate().map(factor).collect()
}

/// How far int8 products are from those in float32.
fn squared_error(
    rows: &[f32],
    exact: &Matrix,
    int8: &Matrix,
    factors: Option<&[f32]>,
) -> Result<f64, ShapeError> {
    let (count, shape) = (rows.len() / exact.depth, (exact.depth, exact.columns));
    let expected = product(rows, &exact.values, (count, shape.0, shape.1))?;
    let matrix = Int8Matrix::new(Isa::in_use(), &int8.values, shape, Order::Rows)?;
    let weights = Weights::Int8 {
        matrix: &matrix,
        smoothing: factors,
    };
    let products = times(rows, count, weights)?;
    let differences = expected.iter().zip(&products);
    Ok(differences
        .map(|(expected, product)| f64::from(expected - product).powi(2))
        .sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPTH: usize = 160;
    const COLUMNS: usize = 120;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        let number = |place: usize| ((place + seed) * 7919 % 2003) as f32 / 1001.0 - 1.0;
        (0..count).map(number).collect()
    }

    fn tensor(name: &str, seed: usize) -> TensorProto {
        TensorProto {
            name: name.into(),
            data_type: DataType::Float.into(),
            dims: vec![DEPTH as i64, COLUMNS as i64],
            float_data: numbers(DEPTH * COLUMNS, seed),
            ..TensorProto::default()
        }
    }

    fn matmul(input: &str, matrix: &str, output: &str) -> NodeProto {
        NodeProto {
            op_type: "MatMul".into(),
            name: output.into(),
            input: vec![input.into(), matrix.into()],
            output: vec![output.into()],
            ..NodeProto::default()
        }
    }

    fn graph(nodes: Vec<NodeProto>, matrices: &[&str]) -> GraphProto {
        let matrices = matrices.iter().enumerate();
        GraphProto {
            node: nodes,
            initializer: matrices
                .map(|(seed, name)| tensor(name, seed * 500))
                .collect(),
            ..GraphProto::default()
        }
    }

    /// Rows of which every sixteenth column is much larger than the others.
    fn rows_with_outliers() -> Vec<f32> {
        let mut rows = numbers(30 * DEPTH, 77);
        for row in rows.chunks_exact_mut(DEPTH) {
            for value in row.iter_mut().step_by(16) {
                *value *= 64.0;
            }
        }
        rows
    }

    fn inputs(of: &[(&str, &[f32])]) -> ProductInputs {
        let mut inputs = ProductInputs::default();
        for (matrix, rows) in of {
            inputs.add(matrix, rows);
        }
        inputs
    }

    fn operators(graph: &GraphProto) -> Vec<(&str, Vec<&str>)> {
        let nodes = graph.node.iter();
        nodes
            .map(|it| {
                let inputs = it.input.iter().map(String::as_str);
                (it.op_type.as_str(), inputs.collect())
            })
            .collect()
    }

    #[test]
    fn products_of_one_input_have_one_factor_for_each_column() {
        let nodes = vec![
            matmul("x", "q", "qx"),
            matmul("x", "k", "kx"),
            matmul("y", "o", "oy"),
        ];
        let mut graph = graph(nodes, &["q", "k", "o"]);
        let before = graph.clone();
        let (outliers, even) = (rows_with_outliers(), numbers(30 * DEPTH, 5));
        smooth(
            &mut graph,
            &inputs(&[("q", &outliers), ("k", &outliers), ("o", &even)]),
        );
        assert_eq!(
            operators(&graph),
            [
                ("Mul", vec!["x", "smoothing.0"]),
                ("MatMul", vec!["x/smoothed", "q"]),
                ("MatMul", vec!["x/smoothed", "k"]),
                ("MatMul", vec!["y", "o"]),
            ]
        );
        let factors = Floats::take(&mut graph.initializer[3].clone());
        assert_eq!(factors.len(), DEPTH);
        for index in 0..2 {
            let [mut old, mut new] = [&before, &graph].map(|it| it.initializer[index].clone());
            let (old, new) = (Floats::take(&mut old), Floats::take(&mut new));
            for place in 0..DEPTH * COLUMNS {
                let factor = factors.value(place / COLUMNS);
                assert_eq!(factor.log2().fract(), 0.0, "no power of two");
                assert_eq!(new.value(place) * factor, old.value(place));
            }
        }
        assert!(factors.value(0) < factors.value(1), "{}", factors.value(0));
    }

    #[test]
    fn matrices_that_several_inputs_share_have_one_factor_for_each_column() {
        let nodes = vec![
            matmul("x", "w", "y"),
            matmul("y", "v", "yv"),
            matmul("y", "w", "z"),
        ];
        let mut graph = graph(nodes, &["w", "v"]);
        let rows = rows_with_outliers();
        let mut inputs = inputs(&[("w", &rows), ("v", &rows)]);
        inputs.add("w", &rows);
        smooth(&mut graph, &inputs);
        assert_eq!(
            operators(&graph),
            [
                ("Mul", vec!["x", "smoothing.0"]),
                ("MatMul", vec!["x/smoothed", "w"]),
                ("Mul", vec!["y", "smoothing.0"]),
                ("MatMul", vec!["y/smoothed", "v"]),
                ("MatMul", vec!["y/smoothed", "w"]),
            ]
        );
    }

    #[test]
    fn what_gains_nothing_or_was_not_measured_stays() {
        let nodes = vec![matmul("x", "w", "y"), matmul("z", "v", "zv")];
        let mut smoothed = graph(nodes, &["w", "v"]);
        let before = smoothed.clone();
        let even = vec![1.0; 30 * DEPTH];
        smooth(&mut smoothed, &inputs(&[("w", &even)]));
        assert!(smoothed == before);
    }

    #[test]
    fn a_float16_matrix_stays_one_or_is_not_smoothed() {
        let halves = |largest: f32| {
            let mut graph = graph(vec![matmul("x", "w", "y")], &["w"]);
            let tensor = &mut graph.initializer[0];
            let values = std::mem::take(&mut tensor.float_data);
            let halves = values.iter().map(|it| f16::from_f32(it * largest));
            tensor.raw_data = halves.flat_map(f16::to_le_bytes).collect();
            tensor.data_type = DataType::Float16.into();
            graph
        };
        let rows = rows_with_outliers();
        let mut graph = halves(1.0);
        smooth(&mut graph, &inputs(&[("w", &rows)]));
        assert_eq!(graph.node.len(), 2);
        assert_eq!(graph.initializer[0].data_type, DataType::Float16 as i32);
        // Divided by a factor below 1 they would be infinite.
        let mut graph = halves(60_000.0);
        smooth(
            &mut graph,
            &inputs(&[("w", &rows.iter().map(|it| it * 1e9).collect::<Vec<_>>())]),
        );
        assert_eq!(graph.node.len(), 1);
    }
}
