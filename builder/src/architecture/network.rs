//! A graph that is being written: its inputs, and the checkpoint's tensors in it.

use super::settings::Settings;
use crate::checkpoint::{Checkpoint, Layout, Tensor};
use crate::error::BuildError;
use crate::folder::Model;
use crate::graph::blocks::all_positions;
use crate::graph::emit::{Emitter, int};
use encoderfile::onnx::{
    GraphProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};
use std::collections::{BTreeSet, HashMap};

/// The name of a value that was written, or what is wrong with the folder.
pub(super) type Emitted = Result<String, BuildError>;

/// A graph that is being written.
pub(super) struct Network<'a> {
    pub(super) settings: &'a Settings,
    /// How many labels a classifier has.
    pub(super) labels: usize,
    /// Whether the tokenizer gives segment ids.
    pub(super) has_segments: bool,
    /// No text has more tokens.
    longest: u32,
    pub(super) emitter: Emitter<'static>,
    checkpoint: &'a Checkpoint,
    /// What stands before the names of the encoder's tensors.
    base: String,
    /// The same of the tensors of what is written now.
    scope: String,
    initializers: HashMap<String, TensorProto>,
    used: BTreeSet<String>,
    inputs: Vec<&'static str>,
    mask: Option<String>,
}

impl<'a> Network<'a> {
    pub(super) fn new(
        checkpoint: &'a Checkpoint,
        settings: &'a Settings,
        opset: i64,
        model: &Model,
    ) -> Self {
        Self {
            settings,
            labels: model.pipeline.labels.len(),
            has_segments: model.makes_type_ids,
            longest: model.limits.at_most(),
            emitter: Emitter::new(&[], &[], &[], opset),
            checkpoint,
            base: String::new(),
            scope: String::new(),
            initializers: HashMap::new(),
            used: BTreeSet::new(),
            inputs: Vec::new(),
            mask: None,
        }
    }

    /// Begins the encoder, whose tensors have one of `bases` before their names if the
    /// checkpoint is of a model with a head.
    pub(super) fn enter_base(&mut self, bases: &[&str]) {
        let mut prefixes = bases.iter().map(|base| format!("{base}."));
        let is_there = |prefix: &String| self.checkpoint.names().any(|it| it.starts_with(prefix));
        self.base = prefixes.find(is_there).unwrap_or_default();
        self.scope.clone_from(&self.base);
    }

    /// Begins the head, whose names are whole.
    pub(super) fn leave_base(&mut self) {
        self.scope.clear();
    }

    /// The whole name of one of the encoder's tensors or modules.
    pub(super) fn in_base(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// An input: `[batch, tokens]`.
    pub(super) fn input(&mut self, name: &'static str) -> String {
        if !self.inputs.contains(&name) {
            self.inputs.push(name);
        }
        name.to_owned()
    }

    /// 0 for tokens that are attended to, and the least float32 for others: `[batch, 1, 1,
    /// tokens]`.
    pub(super) fn mask(&mut self) -> String {
        if let Some(mask) = &self.mask {
            return mask.clone();
        }
        let mask = self.input("attention_mask");
        let emitter = &mut self.emitter;
        emitter.enter("attention_mask");
        let axes = emitter.integers(&[1, 2]);
        let mask = emitter.node("Unsqueeze", &[&mask, &axes]);
        let to_float = vec![int("to", i64::from(DataType::Float as i32))];
        let mask = emitter.node_with("Cast", &[&mask], to_float);
        let [one, least] = [1.0, f32::MIN].map(|it| emitter.float(it));
        let hidden = emitter.node("Sub", &[&one, &mask]);
        let mask = emitter.node("Mul", &[&hidden, &least]);
        self.mask = Some(mask.clone());
        mask
    }

    /// Whether there is a tensor of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.checkpoint
            .get(&format!("{}{name}", self.scope))
            .is_some()
    }

    /// A tensor of that shape.
    pub(super) fn tensor(&mut self, name: &str, shape: &[usize]) -> Emitted {
        self.place(name, shape, Layout::Stored)
    }

    /// A matrix `[outputs, inputs]` for the product with rows of `inputs` values.
    pub(super) fn matrix(&mut self, name: &str, [inputs, outputs]: [usize; 2]) -> Emitted {
        self.place(name, &[outputs, inputs], Layout::Transposed)
    }

    /// Part `index` of `parts` matrices `[outputs, inputs]` that are stored as one.
    pub(super) fn part(
        &mut self,
        name: &str,
        [inputs, outputs]: [usize; 2],
        [index, parts]: [usize; 2],
    ) -> Emitted {
        let (full, tensor) = self.take(name, &[parts * outputs, inputs])?;
        let value = format!("{full}.{index}.T");
        if !self.initializers.contains_key(&value) {
            let part = tensor.rows(index * outputs..(index + 1) * outputs);
            let proto = part.to_onnx(&value, Layout::Transposed)?;
            self.initializers.insert(value.clone(), proto);
        }
        Ok(value)
    }

    /// A tensor, which has to have that shape, and its whole name.
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<(String, &'a Tensor), BuildError> {
        let full = format!("{}{name}", self.scope);
        let Some((full, tensor)) = self.find(&full) else {
            return Err(self.checkpoint.problem(&full, "is not there"));
        };
        if tensor.shape != shape {
            let problem = format!("has shape {:?}, expected {shape:?}", tensor.shape);
            return Err(self.checkpoint.problem(&full, problem));
        }
        self.used.insert(full.clone());
        Ok((full, tensor))
    }

    fn place(&mut self, name: &str, shape: &[usize], layout: Layout) -> Emitted {
        let (full, tensor) = self.take(name, shape)?;
        let value = match layout {
            Layout::Stored => full.clone(),
            Layout::Transposed => format!("{full}.T"),
        };
        if !self.initializers.contains_key(&value) {
            let mut proto = tensor.to_onnx(&full, layout)?;
            proto.name.clone_from(&value);
            self.initializers.insert(value.clone(), proto);
        }
        Ok(value)
    }

    /// A tensor by its name, or the name that TensorFlow's checkpoints gave it.
    fn find(&self, name: &str) -> Option<(String, &'a Tensor)> {
        let old = match name.rsplit_once('.') {
            Some((module, "weight")) => Some(format!("{module}.gamma")),
            Some((module, "bias")) => Some(format!("{module}.beta")),
            _ => None,
        };
        let names = std::iter::once(name.to_owned()).chain(old);
        let mut found = names.filter_map(|name| {
            let tensor = self.checkpoint.get(&name)?;
            Some((name, tensor))
        });
        found.next()
    }

    /// 0, 1, …: `[tokens]`.
    pub(super) fn positions(&mut self) -> String {
        let ids = self.input("input_ids");
        self.emitter.enter("positions");
        all_positions(&mut self.emitter, &ids)
    }

    /// Positions of tokens that are no padding, from `padding + 1` on, and `padding` for that:
    /// `[batch, tokens]`.
    pub(super) fn positions_after(&mut self, padding: i64) -> String {
        let ids = self.input("input_ids");
        let emitter = &mut self.emitter;
        emitter.enter("positions");
        let padding = emitter.integer(padding);
        let is_padding = emitter.node("Equal", &[&ids, &padding]);
        let is_token = emitter.node("Not", &[&is_padding]);
        let to = |data_type| vec![int("to", i64::from(data_type as i32))];
        let counted = emitter.node_with("Cast", &[&is_token], to(DataType::Int32));
        let axis = emitter.integer(1);
        let count = emitter.node("CumSum", &[&counted, &axis]);
        let count = emitter.node("Mul", &[&count, &counted]);
        let count = emitter.node_with("Cast", &[&count], to(DataType::Int64));
        emitter.node("Add", &[&count, &padding])
    }

    /// The first token's row: `[batch, tokens, width]` → `[batch, width]`.
    pub(super) fn first_token(&mut self, x: &str) -> String {
        self.token(0, x)
    }

    /// The last token's row: `[batch, tokens, width]` → `[batch, width]`.
    pub(super) fn last_token(&mut self, x: &str) -> String {
        self.token(-1, x)
    }

    fn token(&mut self, place: i64, x: &str) -> String {
        let place = self.emitter.integer(place);
        self.emitter
            .node_with("Gather", &[x, &place], vec![int("axis", 1)])
    }

    /// Passes over a tensor, if it is there, that has to be a copy of another.
    pub(super) fn pass_over_copy(
        &mut self,
        copy: &str,
        original: &str,
        why: &str,
    ) -> Result<(), BuildError> {
        let [copy, original] = [copy, original].map(|it| format!("{}{it}", self.scope));
        let found = [&copy, &original].map(|it| self.checkpoint.get(it));
        if let [Some(found), Some(expected)] = found
            && !found.equals(expected, &copy)?
        {
            let problem = format!("is not a copy of {original}, {why}");
            return Err(self.checkpoint.problem(&copy, problem));
        }
        self.used.insert(copy);
        Ok(())
    }

    /// Refuses a key if texts may have more than so many tokens.
    pub(super) fn require_at_most(&self, key: &'static str, most: usize) -> Result<(), BuildError> {
        match usize::try_from(self.longest) {
            Ok(longest) if longest <= most => Ok(()),
            _ => Err(self.settings.too_long(key, most, self.longest)),
        }
    }

    /// Says that a tensor, if it is there, is a buffer of what is computed here.
    pub(super) fn passed_over(&mut self, name: &str) {
        self.used.insert(format!("{}{name}", self.scope));
    }

    /// Refuses tensors beside those that were used, but for those of heads that were not
    /// asked for, and of the encoder those that `unused` begins.
    pub(super) fn refuse_superfluous(&self, unused: &[&str]) -> Result<(), BuildError> {
        let root = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        let roots: BTreeSet<String> = self.used.iter().map(|it| root(it)).collect();
        let is_superfluous = |name: &&str| {
            let inside = name.strip_prefix(&*self.base).unwrap_or(name);
            let is_unused = unused.iter().any(|part| inside.starts_with(part));
            let is_ours = roots.contains(&root(name)) || self.base.is_empty();
            is_ours && !is_unused && !self.used.contains(*name)
        };
        match self.checkpoint.names().find(is_superfluous) {
            Some(name) => Err(self.checkpoint.problem(
                name,
                "is not one that this architecture has with these settings",
            )),
            None => Ok(()),
        }
    }

    /// The graph that gives `value` under the name `output`.
    pub(super) fn finish(&mut self, value: &str, output: &str) -> GraphProto {
        self.emitter.node_to("Identity", &[value], vec![], output);
        let nothing = Emitter::new(&[], &[], &[], self.emitter.opset);
        let emitter = std::mem::replace(&mut self.emitter, nothing);
        let written = emitter.finish();
        let mut tensors: Vec<TensorProto> = self.initializers.drain().map(|(_, it)| it).collect();
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        let mut initializer = written.initializers;
        initializer.append(&mut tensors);
        GraphProto {
            node: written.nodes,
            name: "encoderfile".into(),
            initializer,
            input: self.inputs.iter().map(|it| ids(it)).collect(),
            output: vec![ValueInfoProto {
                name: output.into(),
                ..ValueInfoProto::default()
            }],
            ..GraphProto::default()
        }
    }
}

/// An input of int64: `[batch, tokens]`.
fn ids(name: &str) -> ValueInfoProto {
    let dim = ["batch", "tokens"].map(|name| Dimension {
        value: Some(dimension::Value::DimParam(name.into())),
    });
    let tensor = type_proto::Tensor {
        elem_type: DataType::Int64.into(),
        shape: Some(TensorShapeProto { dim: dim.into() }),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
        }),
    }
}
