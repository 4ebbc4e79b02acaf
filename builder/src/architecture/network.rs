//! The layers that architectures are made of, with their tensors.

use super::settings::Settings;
use crate::checkpoint::{Checkpoint, Layout, Tensor};
use crate::error::BuildError;
use crate::graph::blocks::{
    Heads, all_positions, attend, gelu, gelu_tanh, mix, normalise, root_mean_square, sigmoid_gate,
    split,
};
use crate::graph::emit::{Emitter, int, ints};
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

/// Attention over one hidden state.
pub(super) struct Attention<'a> {
    /// The names of the three products before it.
    pub(super) products: [String; 3],
    pub(super) width: usize,
    pub(super) heads: usize,
    /// What is added to the scores beside the mask: `[1, heads, tokens, tokens]`.
    pub(super) bias: Option<&'a str>,
}

impl<'a> Network<'a> {
    pub(super) fn new(
        checkpoint: &'a Checkpoint,
        settings: &'a Settings,
        opset: i64,
        labels: usize,
    ) -> Self {
        Self {
            settings,
            labels,
            emitter: Emitter::new(&[], &GraphProto::default(), opset),
            checkpoint,
            base: String::new(),
            scope: String::new(),
            initializers: HashMap::new(),
            used: BTreeSet::new(),
            inputs: Vec::new(),
            mask: None,
        }
    }

    /// Begins the encoder, whose tensors have `base` before their names if the checkpoint is
    /// of a model with a head.
    pub(super) fn enter_base(&mut self, base: &str) {
        let prefix = format!("{base}.");
        let has_base = self
            .checkpoint
            .names()
            .any(|name| name.starts_with(&prefix));
        self.base = if has_base { prefix } else { String::new() };
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

    /// Rows of a table.
    pub(super) fn embedding(
        &mut self,
        path: &str,
        [rows, width]: [usize; 2],
        ids: &str,
    ) -> Emitted {
        let table = self.tensor(&format!("{path}.weight"), &[rows, width])?;
        self.emitter.enter(path);
        Ok(self.emitter.node("Gather", &[&table, ids]))
    }

    /// `x · Wᵀ + b`: `[…, inputs]` → `[…, outputs]`.
    pub(super) fn linear(&mut self, path: &str, sizes: [usize; 2], x: &str) -> Emitted {
        let product = self.product(path, sizes, x)?;
        let bias = self.tensor(&format!("{path}.bias"), &sizes[1..])?;
        Ok(self.emitter.node("Add", &[&product, &bias]))
    }

    /// The same without a bias.
    pub(super) fn product(&mut self, path: &str, sizes: [usize; 2], x: &str) -> Emitted {
        let matrix = self.matrix(&format!("{path}.weight"), sizes)?;
        self.emitter.enter(path);
        Ok(self.emitter.node("MatMul", &[x, &matrix]))
    }

    /// `x · Wᵀ` for part `index` of `parts` matrices that are stored as one.
    pub(super) fn linear_part(
        &mut self,
        path: &str,
        sizes: [usize; 2],
        [index, parts]: [usize; 2],
        x: &str,
    ) -> Emitted {
        let matrix = self.part(&format!("{path}.weight"), sizes, [index, parts])?;
        self.emitter.enter(path);
        Ok(self.emitter.node("MatMul", &[x, &matrix]))
    }

    /// Adds the same part of their biases, `width` each.
    pub(super) fn add_part(
        &mut self,
        path: &str,
        width: usize,
        [index, parts]: [usize; 2],
        x: &str,
    ) -> Emitted {
        let bias = self.tensor(&format!("{path}.bias"), &[parts * width])?;
        let [start, end] = [index, index + 1].map(|it| i64::try_from(it * width).unwrap_or(0));
        let bias = self.emitter.slice(&bias, 0, start, end);
        Ok(self.add(x, &bias))
    }

    /// `1 / √size`.
    pub(super) fn scale(&mut self, size: usize) -> String {
        // Head sizes are a few hundred at most.
        #[allow(clippy::cast_precision_loss, reason = "small")]
        let scale = 1.0 / (size as f32).sqrt();
        self.emitter.float(scale)
    }

    /// The same with a bias only where `biased` says so.
    pub(super) fn linear_if(
        &mut self,
        path: &str,
        sizes: [usize; 2],
        biased: bool,
        x: &str,
    ) -> Emitted {
        match biased {
            true => self.linear(path, sizes, x),
            false => self.product(path, sizes, x),
        }
    }

    /// Mean 0 and variance 1 over the last axis, scaled.
    pub(super) fn scale_norm(
        &mut self,
        path: &str,
        width: usize,
        epsilon: f32,
        x: &str,
    ) -> Emitted {
        let scale = self.tensor(&format!("{path}.weight"), &[width])?;
        self.emitter.enter(path);
        let output = self.emitter.fresh("LayerNormalization");
        normalise(&mut self.emitter, x, &scale, None, epsilon, &output);
        Ok(output)
    }

    /// Mean 0 and variance 1 over the last axis, scaled and shifted.
    pub(super) fn layer_norm(
        &mut self,
        path: &str,
        width: usize,
        epsilon: f32,
        x: &str,
    ) -> Emitted {
        let scale = self.tensor(&format!("{path}.weight"), &[width])?;
        let bias = self.tensor(&format!("{path}.bias"), &[width])?;
        self.emitter.enter(path);
        let output = self.emitter.fresh("LayerNormalization");
        normalise(&mut self.emitter, x, &scale, Some(&bias), epsilon, &output);
        Ok(output)
    }

    pub(super) fn add(&mut self, a: &str, b: &str) -> String {
        self.emitter.node("Add", &[a, b])
    }

    /// The values by their root mean square over the last axis, scaled.
    pub(super) fn root_mean_square(
        &mut self,
        path: &str,
        width: usize,
        epsilon: f32,
        x: &str,
    ) -> Emitted {
        let scale = self.tensor(&format!("{path}.weight"), &[width])?;
        self.emitter.enter(path);
        let output = self.emitter.fresh("RMSNormalization");
        root_mean_square(&mut self.emitter, x, &scale, epsilon, &output);
        Ok(output)
    }

    /// The function that config.json names under `key`.
    pub(super) fn activation(&mut self, key: &'static str, default: &str, x: &str) -> Emitted {
        let name = self.settings.text(key, default)?;
        self.activated(key, &name, x)
    }

    /// The function of that name, which config.json says under `key`.
    pub(super) fn activated(&mut self, key: &'static str, name: &str, x: &str) -> Emitted {
        let emitter = &mut self.emitter;
        let output = emitter.fresh(name);
        match name {
            "gelu" | "gelu_python" => gelu(emitter, x, &output),
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" | "gelu_accurate" => {
                gelu_tanh(emitter, x, &output);
            }
            "quick_gelu" => sigmoid_gate(emitter, x, 1.702, &output),
            "silu" | "swish" => sigmoid_gate(emitter, x, 1.0, &output),
            "relu" => emitter.node_to("Relu", &[x], vec![], &output),
            "tanh" => emitter.node_to("Tanh", &[x], vec![], &output),
            "sigmoid" => emitter.node_to("Sigmoid", &[x], vec![], &output),
            "linear" => emitter.node_to("Identity", &[x], vec![], &output),
            _ => return Err(self.settings.refuse(key)),
        }
        Ok(output)
    }

    pub(super) fn gelu(&mut self, x: &str) -> String {
        let output = self.emitter.fresh("gelu");
        gelu(&mut self.emitter, x, &output);
        output
    }

    pub(super) fn tanh(&mut self, x: &str) -> String {
        self.emitter.node("Tanh", &[x])
    }

    pub(super) fn relu(&mut self, x: &str) -> String {
        self.emitter.node("Relu", &[x])
    }

    /// `softmax(Q · Kᵀ / √size + bias + mask) · V`: `[batch, tokens, width]`.
    pub(super) fn attention(&mut self, attention: &Attention<'_>, x: &str) -> Emitted {
        let Attention { width, heads, .. } = *attention;
        let size = self.head_size(width, heads)?;
        let mask = self.mask();
        let [query, key, value] = self.products(&attention.products, [width; 2], x)?;
        let bias = match attention.bias {
            Some(bias) => self.add(bias, &mask),
            None => mask,
        };
        let scale = self.scale(size);
        let output = self.emitter.fresh("attention");
        let heads = Heads {
            query: &query,
            key: &key,
            value: &value,
            count: i64::try_from(heads).unwrap_or(i64::MAX),
            scale,
            bias: Some(&bias),
        };
        attend(&mut self.emitter, &heads, &output);
        Ok(output)
    }

    /// Query, key and value.
    pub(super) fn products(
        &mut self,
        paths: &[String; 3],
        sizes: [usize; 2],
        x: &str,
    ) -> Result<[String; 3], BuildError> {
        let [query, key, value] = paths;
        Ok([
            self.linear(query, sizes, x)?,
            self.linear(key, sizes, x)?,
            self.linear(value, sizes, x)?,
        ])
    }

    /// `softmax(Q · Kᵀ / √size + bias) · V`, of `[batch, heads, tokens, size]`: `[batch, tokens,
    /// heads · size]`.
    pub(super) fn attend(
        &mut self,
        [query, key, value]: [&str; 3],
        size: usize,
        bias: &str,
    ) -> String {
        let scale = self.scale(size);
        let emitter = &mut self.emitter;
        let query = emitter.node("Mul", &[query, &scale]);
        let swap = vec![ints("perm", &[0, 1, 3, 2])];
        let key = emitter.node_with("Transpose", &[key], swap);
        let scores = emitter.node("MatMul", &[&query, &key]);
        let scores = emitter.node("Add", &[&scores, bias]);
        let output = emitter.fresh("attention");
        mix(emitter, &scores, value, &output);
        output
    }

    /// `[batch, tokens, heads · size]` as `[batch, heads, tokens, size]`.
    pub(super) fn split(&mut self, x: &str, heads: usize) -> String {
        let count = i64::try_from(heads).unwrap_or(i64::MAX);
        split(&mut self.emitter, x, count, &[0, 2, 1, 3])
    }

    /// Values of a head, of which there must be whole ones.
    pub(super) fn head_size(&self, width: usize, heads: usize) -> Result<usize, BuildError> {
        match width.is_multiple_of(heads) {
            true => Ok(width / heads),
            false => Err(self.settings.refuse("num_attention_heads")),
        }
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
        let first = self.emitter.integer(0);
        self.emitter
            .node_with("Gather", &[x, &first], vec![int("axis", 1)])
    }

    /// Logits of all entries of the vocabulary, by the table of the words, or by a matrix of
    /// its own where the checkpoint has one.
    pub(super) fn decoder(
        &mut self,
        [own, words]: [&str; 2],
        bias: Option<&str>,
        [width, rows]: [usize; 2],
        x: &str,
    ) -> Emitted {
        let words = self.in_base(words);
        let name = if self.has(own) { own } else { &words };
        let matrix = self.matrix(name, [width, rows])?;
        self.emitter.enter(own);
        let product = self.emitter.node("MatMul", &[x, &matrix]);
        let Some(bias) = bias else {
            return Ok(product);
        };
        let bias = self.tensor(bias, &[rows])?;
        Ok(self.add(&product, &bias))
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
        let nothing = Emitter::new(&[], &GraphProto::default(), self.emitter.opset);
        let emitter = std::mem::replace(&mut self.emitter, nothing);
        let (node, mut initializer) = emitter.finish();
        let mut tensors: Vec<TensorProto> = self.initializers.drain().map(|(_, it)| it).collect();
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        initializer.append(&mut tensors);
        GraphProto {
            node,
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
