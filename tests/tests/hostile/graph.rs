//! Graphs that lie about their tensors. A file's hashes protect its content
//! from accidents, not from whoever wrote it.

use crate::memory;
use anyhow::{Context, ensure};
use encoderfile::container::ArtifactKind;
use encoderfile::graph::{self, Stage};
use encoderfile::manifest::{Output, Pipeline, Task};
use encoderfile::onnx::attribute_proto::AttributeType;
use encoderfile::onnx::{GraphProto, StringStringEntryProto, TensorProto, tensor_proto::DataType};
use encoderfile::{
    Encoder, Error, FileError, GraphError, Options, Payload, RequestError, Source, TaskProblem,
};
use encoderfile_tests::fixture;
use encoderfile_tests::process;
use encoderfile_tests::programs::Program;
use prost::Message;
use std::collections::HashSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Arc;

/// The parts of a built fixture.
struct Parts {
    task: Task,
    pipeline: Pipeline,
    tokenizer: Vec<u8>,
    graph: Vec<u8>,
    weights: Arc<dyn Source>,
    /// Of the whole file.
    length: usize,
}

impl Parts {
    /// `None` where there is no tool to build with.
    fn of(weights: &str) -> anyhow::Result<Option<Self>> {
        Self::of_model("bert-embedding", weights)
    }

    fn of_model(model: &str, weights: &str) -> anyhow::Result<Option<Self>> {
        let Some(encoderfile) = Program::Encoderfile.find()? else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("model.ef");
        let mut build = Command::new(encoderfile);
        build.args([
            "build",
            "--target",
            "bundle",
            "--weights",
            weights,
            "--model",
        ]);
        build.arg(fixture::folder(model)).arg("-o").arg(&path);
        process::succeed(&mut build)?;
        let bytes = fs::read(path)?;
        let length = bytes.len();
        let payload = Payload::open(Arc::new(bytes))?;
        let model = payload.model()?;
        Ok(Some(Self {
            task: model.task,
            pipeline: model.pipeline.clone(),
            tokenizer: payload.read(ArtifactKind::Tokenizer, 1 << 20)?,
            graph: payload.read(ArtifactKind::Graph, 1 << 20)?,
            weights: Arc::new(payload.artifact(ArtifactKind::Weights)?),
            length,
        }))
    }

    /// Loads a graph with the other parts and runs a text through it; a panic
    /// is a failed test. Says how much memory that took at most.
    fn try_run(&self, graph: &[u8]) -> anyhow::Result<(Result<(), Error>, usize)> {
        let run = || -> Result<(), Error> {
            let (pipeline, weights) = (self.pipeline.clone(), &self.weights);
            let encoder =
                Encoder::from_parts(self.task, pipeline, &self.tokenizer, graph, weights)?;
            encoder.session()?.infer("a text", &Options::default())?;
            Ok(())
        };
        let (result, peak) = memory::peak(|| catch_unwind(AssertUnwindSafe(run)));
        let result = result.map_err(|panic| {
            let message = panic.downcast_ref::<String>().cloned();
            let message = message.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            anyhow::anyhow!("it panicked: {}", message.unwrap_or_default())
        })?;
        Ok((result, peak))
    }

    /// The graph with one of its tensors outside the graph changed.
    fn with_tensor(
        &self,
        index: usize,
        change: &dyn Fn(&mut TensorProto),
    ) -> anyhow::Result<Vec<u8>> {
        let mut model = graph::decode(&self.graph)?;
        let graph = model.graph.as_mut().context("no graph")?;
        let tensors = graph.initializer.iter_mut();
        let mut outside = tensors.filter(|it| !it.external_data.is_empty());
        change(outside.nth(index).context("no such tensor")?);
        Ok(model.encode_to_vec())
    }

    fn tensors_outside(&self) -> anyhow::Result<usize> {
        let model = graph::decode(&self.graph)?;
        let graph = model.graph.context("no graph")?;
        Ok(graph
            .initializer
            .iter()
            .filter(|it| !it.external_data.is_empty())
            .count())
    }
}

/// Sets an entry of `external_data`.
fn set(key: &'static str, value: impl ToString) -> impl Fn(&mut TensorProto) {
    let value = value.to_string();
    move |tensor| {
        tensor.external_data.retain(|entry| entry.key != key);
        let (key, value) = (key.into(), value.clone());
        tensor
            .external_data
            .push(StringStringEntryProto { key, value });
    }
}

fn remove(key: &'static str) -> impl Fn(&mut TensorProto) {
    move |tensor| tensor.external_data.retain(|entry| entry.key != key)
}

fn dims(dims: &'static [i64]) -> impl Fn(&mut TensorProto) {
    move |tensor| tensor.dims = dims.to_vec()
}

type Change<'a> = (&'static str, Box<dyn Fn(&mut TensorProto) + 'a>);

/// What may be wrong with the place or shape of a tensor.
fn changes(weights_len: u64) -> Vec<Change<'static>> {
    let mut changes: Vec<Change<'static>> = Vec::new();
    for offset in [weights_len, weights_len - 1, 1 << 32, 1 << 63, u64::MAX] {
        changes.push((
            "an offset beyond the weights",
            Box::new(set("offset", offset)),
        ));
    }
    for length in [0, 1, weights_len + 1, 1 << 32, u64::MAX] {
        changes.push(("another length", Box::new(set("length", length))));
    }
    for number in ["", "-1", "1e3", "18446744073709551616"] {
        changes.push((
            "an offset that is no number",
            Box::new(set("offset", number)),
        ));
        changes.push((
            "a length that is no number",
            Box::new(set("length", number)),
        ));
    }
    changes.push(("no offset", Box::new(remove("offset"))));
    changes.push(("no length", Box::new(remove("length"))));
    for encoding in ["", "int5", "int4:48", "f16:32", "panels16"] {
        changes.push(("an unknown encoding", Box::new(set("encoding", encoding))));
    }
    for layout in ["", "rows", "panels8"] {
        changes.push(("an unknown layout", Box::new(set("layout", layout))));
    }
    let of_other_axes = |tensor: &mut TensorProto| match tensor.dims.len() {
        2 => set("layout", "panels16-of-stack")(tensor),
        _ => set("layout", "panels16")(tensor),
    };
    changes.push(("a layout of other axes", Box::new(of_other_axes)));
    let shapes: [&'static [i64]; 9] = [
        &[],
        &[-1, 32],
        &[i64::MIN, i64::MIN],
        &[i64::MAX, i64::MAX],
        &[1 << 32, 1 << 32],
        // Products that wrap around to 0.
        &[1, 1 << 32, 1 << 32],
        &[1 << 62, 4],
        &[700, 0],
        &[0, 32],
    ];
    for shape in shapes {
        changes.push(("another shape", Box::new(dims(shape))));
    }
    changes
}

/// Every change to every tensor outside the graph gives a typed error, and
/// takes no more memory than loading the honest file, and that file once more.
fn refuse_all(parts: &Parts) -> anyhow::Result<()> {
    let (honest, honest_peak) = parts.try_run(&parts.graph)?;
    honest.context("the honest graph")?;
    for index in 0..parts.tensors_outside()? {
        for (name, change) in changes(parts.weights.len()) {
            let graph = parts.with_tensor(index, &change)?;
            let at = || format!("tensor {index}: {name}");
            let (result, peak) = parts.try_run(&graph).with_context(at)?;
            let error = result.err().with_context(at).context("it ran")?;
            let typed = matches!(
                error,
                Error::File(FileError::Graph(
                    GraphError::Weights(_)
                        | GraphError::Engine {
                            stage: Stage::Reading,
                            ..
                        }
                ))
            );
            ensure!(typed, "{}: {error:?}", at());
            ensure!(
                peak <= honest_peak + parts.length,
                "{}: {peak} bytes, honest {honest_peak}",
                at()
            );
        }
    }
    Ok(())
}

#[test]
fn a_tensor_that_is_not_where_the_graph_says_is_refused() -> anyhow::Result<()> {
    match Parts::of("f32")? {
        Some(parts) => refuse_all(&parts),
        None => Ok(()),
    }
}

#[test]
fn the_same_for_rounded_weights() -> anyhow::Result<()> {
    for weights in ["f16", "bf16", "int8", "int4:32"] {
        if let Some(parts) = Parts::of(weights)? {
            refuse_all(&parts).context(weights)?;
        }
    }
    Ok(())
}

#[test]
fn the_same_for_weights_that_were_quantised_before() -> anyhow::Result<()> {
    match Parts::of_model("files-int8", "f32")? {
        Some(parts) => refuse_all(&parts),
        None => Ok(()),
    }
}

/// DeBERTa's vectors of relative positions, as each head has them.
#[test]
fn the_same_for_stacks_of_matrices() -> anyhow::Result<()> {
    let Some(parts) = Parts::of_model("deberta-v2-embedding", "f32")? else {
        return Ok(());
    };
    let model = graph::decode(&parts.graph)?;
    let tensors = model.graph.context("no graph")?.initializer;
    let in_panels = |it: &StringStringEntryProto| it.value == "panels16-of-stack";
    let is_stack = |it: &TensorProto| it.external_data.iter().any(in_panels);
    ensure!(tensors.iter().any(is_stack), "no stack in the payload");
    refuse_all(&parts)
}

/// Each tensor is what it says, and all of them together more than the file.
#[test]
fn tensors_that_share_bytes_take_no_more_memory_than_the_file() -> anyhow::Result<()> {
    const COPIES: usize = 64;

    let Some(parts) = Parts::of("f32")? else {
        return Ok(());
    };
    let mut model = graph::decode(&parts.graph)?;
    let initializers = &mut model.graph.as_mut().context("no graph")?.initializer;
    let outside = |it: &&TensorProto| !it.external_data.is_empty();
    let largest = initializers.iter().filter(outside);
    let largest = largest.max_by_key(|it| it.dims.iter().product::<i64>());
    let largest = largest.context("no tensor outside the graph")?.clone();
    for copy in 0..COPIES {
        let name = format!("copy {copy}");
        initializers.push(TensorProto {
            name,
            ..largest.clone()
        });
    }
    let (result, peak) = parts.try_run(&model.encode_to_vec())?;
    let error = result.err().context("it ran")?;
    ensure!(
        matches!(error, Error::File(FileError::Graph(GraphError::Weights(_)))),
        "{error}"
    );
    let (honest, honest_peak) = parts.try_run(&parts.graph)?;
    honest.context("the honest graph")?;
    ensure!(peak <= honest_peak + parts.length, "{peak} bytes");
    Ok(())
}

#[test]
fn zero_sized_shapes_that_agree_with_their_length_are_refused() -> anyhow::Result<()> {
    let Some(parts) = Parts::of("f32")? else {
        return Ok(());
    };
    let shapes: [&'static [i64]; 4] = [&[700, 0], &[0, 32], &[0, 0], &[1, 1 << 32, 1 << 32]];
    for index in 0..parts.tensors_outside()? {
        for shape in shapes {
            let graph = parts.with_tensor(index, &|tensor| {
                dims(shape)(tensor);
                set("length", 0)(tensor);
            })?;
            let at = || format!("tensor {index} of shape {shape:?}");
            let (result, _) = parts.try_run(&graph).with_context(at)?;
            let error = result.err().with_context(at).context("it ran")?;
            ensure!(
                matches!(error, Error::File(FileError::Graph(GraphError::Weights(_)))),
                "{}: {error}",
                at()
            );
        }
    }
    Ok(())
}

/// A norm's weights, a bias, a scale: what is small stays in the graph.
#[test]
fn zero_sized_tensors_in_the_graph_are_refused() -> anyhow::Result<()> {
    for model in ["bert-embedding", "modernbert-embedding", "files-int8"] {
        let Some(parts) = Parts::of_model(model, "f32")? else {
            return Ok(());
        };
        let mut decoded = graph::decode(&parts.graph)?;
        let inside = decoded.graph.take().context("no graph")?;
        for index in 0..inside.initializer.len() {
            for shape in [&[0][..], &[0, 32], &[32, 0]] {
                let mut changed = inside.clone();
                let tensor = &mut changed.initializer[index];
                // Shapes and indices are lists, which may be empty.
                let is_float = tensor.data_type == DataType::Float as i32;
                if !is_float || !tensor.external_data.is_empty() {
                    continue;
                }
                tensor.dims = shape.to_vec();
                tensor.raw_data.clear();
                tensor.float_data.clear();
                let at = format!("{model}: `{}` of shape {shape:?}", tensor.name);
                decoded.graph = Some(changed);
                let (result, _) = parts.try_run(&decoded.encode_to_vec())?;
                ensure!(result.is_err(), "{at}: it ran");
            }
        }
    }
    Ok(())
}

/// What a graph of this size takes, and more than what is tried below should, in bytes.
const PEAK_MAX: usize = 64 << 20;

/// Lists of integers that an operator may have instead of `old`. None is so large that a
/// tensor would be.
fn other_integers(old: &[i64]) -> Vec<Vec<i64>> {
    let first = old.first().copied().unwrap_or(0);
    let mut others = vec![vec![], vec![first; old.len()], vec![0; old.len()]];
    for odd in [-1, 7, -9, i64::MIN] {
        others.push(vec![odd; old.len().max(1)]);
        let mut one = old.to_vec();
        one.truncate(one.len().saturating_sub(1));
        one.push(odd);
        others.push(one);
    }
    others.push([old, old].concat());
    others.retain(|it| it != old);
    others
}

/// Graphs with other integers in one place: an attribute or a constant, once for each
/// operator that reads it.
fn with_other_integers(graph: &GraphProto) -> Vec<(String, GraphProto)> {
    let mut graphs = Vec::new();
    let mut known = HashSet::new();
    for (place, node) in graph.node.iter().enumerate() {
        for (index, attribute) in node.attribute.iter().enumerate() {
            let (is_list, old) = match attribute.r#type() {
                AttributeType::Ints => (true, attribute.ints.clone()),
                AttributeType::Int => (false, vec![attribute.i]),
                _ => continue,
            };
            let name = format!("`{}` {old:?} of {}", attribute.name, node.op_type);
            if !known.insert(name.clone()) {
                continue;
            }
            for integers in other_integers(&old) {
                let mut changed = graph.clone();
                let attribute = &mut changed.node[place].attribute[index];
                match (is_list, &integers[..]) {
                    (true, _) => attribute.ints.clone_from(&integers),
                    (false, [integer]) => attribute.i = *integer,
                    (false, _) => continue,
                }
                graphs.push((format!("{name} is {integers:?}"), changed));
            }
        }
    }
    for (index, tensor) in graph.initializer.iter().enumerate() {
        if tensor.data_type != DataType::Int64 as i32 || !tensor.external_data.is_empty() {
            continue;
        }
        let (chunks, _) = tensor.raw_data.as_chunks::<8>();
        let old: Vec<i64> = chunks.iter().map(|it| i64::from_le_bytes(*it)).collect();
        let readers = graph.node.iter();
        let readers = readers.filter(|node| node.input.contains(&tensor.name));
        let readers: Vec<&str> = readers.map(|node| &*node.op_type).collect();
        let name = format!("a constant {old:?} of {readers:?}");
        if !known.insert(name.clone()) {
            continue;
        }
        for integers in other_integers(&old) {
            let mut changed = graph.clone();
            let tensor = &mut changed.initializer[index];
            if !tensor.dims.is_empty() {
                tensor.dims = vec![integers.len().try_into().unwrap_or(0)];
            }
            let bytes: Vec<u8> = integers.iter().flat_map(|it| it.to_le_bytes()).collect();
            tensor.raw_data = bytes.into();
            graphs.push((format!("{name} is {integers:?}"), changed));
        }
    }
    graphs
}

/// Axes, permutations, steps and shapes that an operator does not expect neither go on
/// without end nor end the program.
#[test]
fn integers_that_no_operator_expects_take_no_memory() -> anyhow::Result<()> {
    for model in ["bert-embedding", "deberta-v2-embedding"] {
        let Some(parts) = Parts::of_model(model, "f32")? else {
            return Ok(());
        };
        parts.try_run(&parts.graph)?.0.context("as it is")?;
        let mut decoded = graph::decode(&parts.graph)?;
        let graphs = with_other_integers(&decoded.graph.take().context("no graph")?);
        ensure!(graphs.len() > 100, "{model}: only {} graphs", graphs.len());
        for (at, changed) in graphs {
            decoded.graph = Some(changed);
            // A panic of the engine's is an error to whoever opens a file (`panics.rs`).
            if let Ok((_, peak)) = parts.try_run(&decoded.encode_to_vec()) {
                ensure!(peak <= PEAK_MAX, "{model}, {at}: {peak} bytes");
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_no_graph_is_refused() -> anyhow::Result<()> {
    let Some(parts) = Parts::of("f32")? else {
        return Ok(());
    };
    let (result, _) = parts.try_run(&[])?;
    ensure!(
        matches!(
            result,
            Err(Error::File(FileError::Graph(GraphError::NoGraph)))
        ),
        "{result:?}"
    );
    let (result, _) = parts.try_run(&[0xff; 100])?;
    ensure!(
        matches!(
            result,
            Err(Error::File(FileError::Graph(GraphError::Decode { .. })))
        ),
        "{result:?}"
    );
    for cut in (1..parts.graph.len()).step_by(97) {
        let at = || format!("cut to {cut}");
        let (result, _) = parts.try_run(&parts.graph[..cut]).with_context(at)?;
        ensure!(
            matches!(result, Err(Error::File(FileError::Graph(_)))),
            "{}: {result:?}",
            at()
        );
    }
    Ok(())
}

#[test]
fn many_empty_entries_take_no_memory() -> anyhow::Result<()> {
    let Some(parts) = Parts::of("f32")? else {
        return Ok(());
    };
    let (_, honest_peak) = parts.try_run(&parts.graph)?;
    let mut model = graph::decode(&parts.graph)?;
    let graph = model.graph.as_mut().context("no graph")?;
    // Two bytes each in the file, two hundred in memory.
    graph.node.resize_with(4 << 20, Default::default);
    let (result, peak) = parts.try_run(&model.encode_to_vec())?;
    ensure!(
        matches!(
            result,
            Err(Error::File(FileError::Graph(GraphError::Entries { .. })))
        ),
        "{result:?}"
    );
    ensure!(peak <= honest_peak, "{peak} bytes, honest {honest_peak}");
    Ok(())
}

#[test]
fn a_pipeline_that_does_not_fit_the_graph_is_refused() -> anyhow::Result<()> {
    use GraphError::{NoSuchName, OutputShape, UnboundInput};

    let Some(honest) = Parts::of("f32")? else {
        return Ok(());
    };
    let refused = |name: &str, change: &dyn Fn(&mut Pipeline)| {
        let mut pipeline = honest.pipeline.clone();
        change(&mut pipeline);
        let parts = Parts {
            pipeline,
            tokenizer: honest.tokenizer.clone(),
            graph: honest.graph.clone(),
            weights: Arc::clone(&honest.weights),
            ..honest
        };
        let (result, _) = parts
            .try_run(&parts.graph)
            .with_context(|| name.to_owned())?;
        result.err().with_context(|| format!("{name}: it ran"))
    };
    let output = |change: fn(&mut Output)| move |it: &mut Pipeline| change(&mut it.output);
    let file = |name: &str, change: &dyn Fn(&mut Pipeline), is_it: fn(&FileError) -> bool| {
        let error = refused(name, change)?;
        let is_expected = matches!(&error, Error::File(error) if is_it(error));
        ensure!(is_expected, "{name}: {error:?}");
        Ok(())
    };
    let manifest = |error: &FileError| matches!(error, FileError::Manifest(_));
    file(
        "another input",
        &|it| it.inputs[0].name = "pixels".into(),
        |error| matches!(error, FileError::Graph(NoSuchName { what: "input", .. })),
    )?;
    file(
        "another output",
        &output(|it| it.name = "image".into()),
        |error| matches!(error, FileError::Graph(NoSuchName { what: "output", .. })),
    )?;
    file("a missing input", &|it| drop(it.inputs.pop()), |error| {
        matches!(error, FileError::Graph(UnboundInput { .. }))
    })?;
    file("a wide output", &output(|it| it.width = u32::MAX), manifest)?;
    file("no width", &output(|it| it.width = 0), manifest)?;
    file("another width", &output(|it| it.width = 31), |error| {
        matches!(error, FileError::Graph(OutputShape { .. }))
    })?;
    file(
        "another rank",
        &output(|it| it.per_token = false),
        |error| matches!(error, FileError::Task(TaskProblem::OutputRank)),
    )?;
    file("no room for a text", &|it| it.max_tokens = 2, |error| {
        matches!(error, FileError::NoRoom { max_tokens: 2, .. })
    })?;
    let error = refused("a smaller vocabulary", &|it| it.vocabulary_size = 3)?;
    let is_id = matches!(error, Error::Request(RequestError::TokenId { .. }));
    ensure!(is_id, "{error:?}");
    Ok(())
}
