//! What products are given, for rounding their matrices with compensation: pass after pass
//! over the calibration texts, each for some of the matrices, in the graph's order. So a later
//! one is rounded for what the earlier ones, rounded already, give it.

use super::compensation::Gram;
use super::quantize::Steps;
use super::storage::{Matrix, Storage};
use super::values::Floats;
use encoderfile::graph::Uses;
use encoderfile::onnx::GraphProto;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Memory for the Gram matrices of a pass, in values. A matrix that needs more alone, of more than
/// 11,585 rows, is rounded without compensation.
const VALUES_MAX: usize = 1 << 27;

/// How many groups a pass has, at most: about those of a layer, so that passes are as many as
/// layers.
const GROUPS_MAX: usize = 4;

/// Rows of products' inputs that are kept before they are multiplied.
const ROWS_MAX: usize = 1024;

/// Matrices that the same values are multiplied by.
#[derive(Debug)]
struct Group {
    depth: usize,
    matrices: Vec<String>,
    /// How often a text is multiplied by each.
    products: usize,
}

/// Matrices that are rounded after one pass over the texts.
#[derive(Debug)]
pub struct Pass {
    groups: Vec<Group>,
    grams: Vec<Gram>,
    /// The group whose Gram matrix a matrix's inputs are counted in: one for each.
    counted: HashMap<String, usize>,
    /// In the rows that are not multiplied yet.
    values: usize,
    /// Products of the text so far that are counted: in the rounded model, and in the exact one.
    seen: [usize; 2],
}

/// The passes for the matrices of a graph that are stored quantised.
pub(super) fn passes(graph: &GraphProto, storage: &Storage) -> Vec<Pass> {
    let mut passes: Vec<Vec<Group>> = Vec::new();
    let mut values = 0;
    for group in groups(graph, storage) {
        let squared = group.depth * group.depth;
        let is_full = |pass: &Vec<Group>| pass.len() >= GROUPS_MAX;
        match passes
            .last_mut()
            .filter(|pass| !is_full(pass) && values + squared <= VALUES_MAX)
        {
            Some(pass) => {
                values += squared;
                pass.push(group);
            }
            None => {
                values = squared;
                passes.push(vec![group]);
            }
        }
    }
    passes.into_iter().map(Pass::new).collect()
}

/// In the order in which the graph multiplies.
fn groups(graph: &GraphProto, storage: &Storage) -> Vec<Group> {
    let uses = Uses::of(graph);
    let matrices = Matrix::all(graph).into_iter();
    let fits = |depth: usize| depth > 0 && depth.saturating_mul(depth) <= VALUES_MAX;
    let matrices = matrices.filter(|it| {
        let is_rounded = Steps::of(storage.encoding(it)).is_some();
        it.is_multiplied && is_rounded && !storage.on_steps.contains(&it.name) && fits(it.shape.0)
    });
    let by_name: HashMap<String, Matrix> = matrices.map(|it| (it.name.clone(), it)).collect();
    let mut places: HashMap<Vec<&str>, usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for node in &graph.node {
        let Some(matrix) = node.input.get(1).and_then(|name| by_name.get(name)) else {
            continue;
        };
        if seen.contains(&matrix.name.as_str()) {
            continue;
        }
        seen.push(&matrix.name);
        let users = uses.nodes(&matrix.name);
        let inputs: Vec<&str> = users
            .iter()
            .filter_map(|it| Some(it.input.first()?.as_str()))
            .collect();
        let place = *places.entry(inputs).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Group {
                depth: matrix.shape.0,
                matrices: Vec::new(),
                products: users.len(),
            });
        }
        groups[place].matrices.push(matrix.name.clone());
    }
    groups
}

impl Pass {
    fn new(groups: Vec<Group>) -> Self {
        let grams = groups.iter().map(|it| Gram::new(it.depth));
        let first =
            |(place, group): (usize, &Group)| Some((group.matrices.first()?.clone(), place));
        Self {
            grams: grams.collect(),
            counted: groups.iter().enumerate().filter_map(first).collect(),
            groups,
            values: 0,
            seen: [0; 2],
        }
    }

    /// Adds rows of what is multiplied by a matrix, until the text has no more that count.
    pub fn add(&mut self, matrix: &str, rows: &[f32]) -> ControlFlow<()> {
        let Some(place) = self.counted.get(matrix) else {
            return ControlFlow::Continue(());
        };
        self.grams[*place].add(rows);
        self.values += rows.len();
        self.after(0)
    }

    /// Adds the same rows in a model that nothing is rounded in.
    pub fn add_exact(&mut self, matrix: &str, rows: &[f32]) -> ControlFlow<()> {
        let Some(place) = self.counted.get(matrix) else {
            return ControlFlow::Continue(());
        };
        self.grams[*place].add_exact(rows);
        self.after(1)
    }

    fn after(&mut self, model: usize) -> ControlFlow<()> {
        self.seen[model] += 1;
        let all: usize = self.groups.iter().map(|it| it.products).sum();
        match self.seen[model] < all {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }

    /// Between two texts: multiplies what was added, once it is enough.
    pub fn end_text(&mut self) {
        self.seen = [0; 2];
        let depths: usize = self.groups.iter().map(|it| it.depth).sum();
        if self.values >= ROWS_MAX * depths {
            self.multiply();
        }
    }

    fn multiply(&mut self) {
        self.values = 0;
        self.grams.iter_mut().for_each(Gram::fold);
    }

    /// Rounds the matrices of this pass.
    pub(super) fn finish(mut self, graph: &GraphProto, storage: &mut Storage) {
        self.multiply();
        let matrices = Matrix::all(graph);
        for (group, gram) in self.groups.iter().zip(&self.grams) {
            let Some(factor) = gram.factor() else {
                continue;
            };
            for name in &group.matrices {
                let tensor = graph.initializer.iter().find(|it| it.name == *name);
                let matrix = matrices.iter().find(|it| it.name == *name);
                let (Some(tensor), Some(matrix)) = (tensor, matrix) else {
                    continue;
                };
                let values = Floats::take(&mut tensor.clone()).to_vec();
                let (encoding, columns) = (storage.encoding(matrix), matrix.shape.1);
                // One that does not fit its inputs is rounded without compensation.
                if let Ok(panels) = gram.rounded(&factor, &values, columns, encoding) {
                    storage.compensated.insert(name.clone(), panels.into());
                }
            }
        }
    }
}
