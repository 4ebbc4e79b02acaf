//! What products are given, for rounding their matrices with compensation: pass after pass
//! over the calibration texts, each for some of the matrices, in the graph's order. So a later
//! one is rounded for what the earlier ones, rounded already, give it.

use super::compensation::Gram;
use super::quantize::{Steps, column_scales, encode_panels};
use super::storage::{Matrix, Storage};
use super::values::Floats;
use encoderfile::graph::Uses;
use encoderfile::onnx::GraphProto;
use encoderfile::{Executor, Threads};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Memory for the Gram matrices of a pass, in values.
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
}

/// Matrices that are rounded after one pass over the texts.
#[derive(Debug)]
pub struct Pass {
    groups: Vec<Group>,
    grams: Vec<Mutex<Gram>>,
    /// The group whose Gram matrix a matrix's inputs are counted in: one for each.
    counted: HashMap<String, usize>,
    /// In the rows that are not multiplied yet.
    values: usize,
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
    let matrices = matrices.filter(|it| {
        it.is_multiplied && Steps::of(storage.encoding(it)).is_some() && it.shape.0 > 0
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
        let users = uses.nodes(&matrix.name).iter();
        let inputs: Vec<&str> = users
            .filter_map(|it| Some(it.input.first()?.as_str()))
            .collect();
        let place = *places.entry(inputs).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Group {
                depth: matrix.shape.0,
                matrices: Vec::new(),
            });
        }
        groups[place].matrices.push(matrix.name.clone());
    }
    groups
}

impl Pass {
    fn new(groups: Vec<Group>) -> Self {
        let grams = groups.iter().map(|it| Mutex::new(Gram::new(it.depth)));
        let first =
            |(place, group): (usize, &Group)| Some((group.matrices.first()?.clone(), place));
        Self {
            grams: grams.collect(),
            counted: groups.iter().enumerate().filter_map(first).collect(),
            groups,
            values: 0,
        }
    }

    /// Adds rows of what is multiplied by a matrix.
    pub fn add(&mut self, matrix: &str, rows: &[f32]) {
        if let Some(place) = self.counted.get(matrix) {
            let gram = self.grams[*place].get_mut();
            gram.unwrap_or_else(PoisonError::into_inner).add(rows);
            self.values += rows.len();
        }
    }

    /// Adds the same rows in a model that nothing is rounded in.
    pub fn add_exact(&mut self, matrix: &str, rows: &[f32]) {
        if let Some(place) = self.counted.get(matrix) {
            let gram = self.grams[*place].get_mut();
            gram.unwrap_or_else(PoisonError::into_inner).add_exact(rows);
        }
    }

    /// Between two texts: multiplies what was added, once it is enough.
    pub fn end_text(&mut self) {
        let depths: usize = self.groups.iter().map(|it| it.depth).sum();
        if self.values >= ROWS_MAX * depths {
            self.multiply();
        }
    }

    fn multiply(&mut self) {
        self.values = 0;
        Executor::AllCores.each(self.grams.len(), &|place| {
            let gram = self.grams[place].lock();
            gram.unwrap_or_else(PoisonError::into_inner).fold();
        });
    }

    /// Rounds the matrices of this pass.
    pub(super) fn finish(mut self, graph: &GraphProto, storage: &mut Storage) {
        self.multiply();
        let of_graph = Matrix::all(graph);
        let rounded = Mutex::new(Vec::new());
        Executor::AllCores.each(self.groups.len(), &|place| {
            let gram = self.grams[place]
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let Some(factor) = gram.factor() else {
                return;
            };
            for name in &self.groups[place].matrices {
                let tensor = graph.initializer.iter().find(|it| it.name == *name);
                let matrix = of_graph.iter().find(|it| it.name == *name);
                let (Some(tensor), Some(matrix)) = (tensor, matrix) else {
                    continue;
                };
                let values = Floats::take(&mut tensor.clone()).to_vec();
                let (encoding, columns) = (storage.encoding(matrix), matrix.shape.1);
                let values = gram.corrected(&factor, &values);
                let scales = column_scales(&values, columns, &gram.diagonal(), encoding);
                let values = factor.round(&values, columns, encoding, &scales);
                let panels = encode_panels(&values, columns, encoding, &scales);
                let mut rounded = rounded.lock().unwrap_or_else(PoisonError::into_inner);
                rounded.push((name.clone(), Arc::from(panels)));
            }
        });
        let rounded = rounded.into_inner().unwrap_or_else(PoisonError::into_inner);
        storage.compensated.extend(rounded);
    }
}
