//! Our reader of ONNX and its operators against tract-onnx's: the same graph,
//! as the builder leaves it, read twice, computed by the same engine, and
//! compared.
//!
//! tract-onnx is kept out of what is shipped because of its size. Here it is an
//! independent opinion on what each operator means.

#![allow(clippy::unwrap_used, reason = "what fails here is a failed test")]

use anyhow::{Context, anyhow, ensure};
use encoderfile::graph::{InputFact, Tokens, read};
use encoderfile_builder::folder::{self, Overrides, Paths};
use encoderfile_builder::graph::Graph;
use encoderfile_tests::fixture;
use prost::Message;
use std::path::Path;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::InferenceModelExt;

/// Fixtures that tract-onnx cannot run, and why.
const NOT_RUN_BY_TRACT_ONNX: [(&str, &str); 13] = [
    ("deberta-embedding", LENGTHS_AS_INDICES),
    ("deberta-sequence_classification", LENGTHS_AS_INDICES),
    ("files-opset-23-roberta", "CumSum of what was cast to int64"),
    ("files-slices", "a Slice of the text by steps"),
    ("files-static", ROUNDED_OTHERWISE),
    ("files-static-16-bits", "QuantizeLinear of 16 bits"),
    ("files-static-convolutions", ROUNDED_OTHERWISE),
    ("files-static-operators", ROUNDED_OTHERWISE),
    ("files-static-others", ROUNDED_OTHERWISE),
    ("files-static-per-channel", ROUNDED_OTHERWISE),
    ("files-static-session", ROUNDED_OTHERWISE),
    ("gemma3_text-embedding", TWO_RANGES),
    ("gemma3_text-sequence_classification", TWO_RANGES),
];

const ROUNDED_OTHERWISE: &str = "QuantizeLinear, whose steps are others than ONNX Runtime's";

const LENGTHS_AS_INDICES: &str = "GatherElements by indices computed from the length";

/// `runtime/graph/src/passes/indices.rs` keeps the engine from it; here it is as it comes.
const TWO_RANGES: &str = "a mask that compares two ranges, which the engine splits wrongly";

/// How many are compared at least, so that an empty folder is no success.
const COMPARED_MIN: usize = 125;

/// How long the sequences are.
const LENGTHS: [usize; 3] = [1, 7, 30];

const MAX_TOKENS: u32 = 64;

/// The smallest vocabulary of the fixtures is larger.
const IDS_BELOW: i64 = 32;

/// Both sides compute with the same kernels; only how an operator is composed
/// of them differs.
const TOLERANCE: f32 = 1e-4;

#[test]
fn every_fixture_agrees_with_tract_onnx() {
    let mut failures = Vec::new();
    let mut compared = 0;
    for fixture in fixture::all().unwrap() {
        let known = NOT_RUN_BY_TRACT_ONNX
            .iter()
            .find(|(name, _)| *name == fixture.name);
        match (compare(&fixture.folder), known) {
            (Ok(()), None) => compared += 1,
            (Ok(()), Some((name, _))) => failures.push(format!("{name}: tract-onnx runs it")),
            (Err(_), Some(_)) => {}
            (Err(error), None) => failures.push(format!("{}: {error:#}", fixture.name)),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(compared >= COMPARED_MIN, "only {compared} models");
}

fn compare(folder: &Path) -> anyhow::Result<()> {
    let paths = Paths::in_folder(folder)?;
    let model = folder::read(&paths, &Overrides::default())?;
    let graph = Graph::read(&paths.weights, &model)?;
    let model = graph.to_onnx();
    let inputs = model.graph.as_ref().map_or(0, |it| it.input.len());
    let inputs = vec![InputFact::OfText(i64::datum_type()); inputs];
    let ours = read(&model, Tokens::UpTo(MAX_TOKENS), &inputs);
    let ours = ours.map_err(|error| anyhow!("our reader: {error}: {:?}", error.detail()))?;
    let theirs = onnx()
        .with_ignore_value_info(true)
        .with_ignore_output_shapes(true)
        .model_for_read(&mut &*model.encode_to_vec())
        .context("tract-onnx")?;
    let ours = ours
        .model
        .into_optimized()
        .and_then(TypedModel::into_runnable);
    let ours = ours.context("ours")?;
    let theirs = plan(theirs).context("tract-onnx's")?;
    for length in LENGTHS {
        let ours = run(&ours, length).context("ours")?;
        let theirs = run(&theirs, length).context("tract-onnx's")?;
        ensure!(ours.len() == theirs.len(), "another number of outputs");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            ensure!(ours.shape() == theirs.shape(), "another shape");
            let distance = distance(ours, theirs)?;
            ensure!(
                distance <= TOLERANCE,
                "{distance:.1e} apart at length {length}"
            );
        }
    }
    Ok(())
}

type Plan = Arc<TypedRunnableModel>;

fn plan(mut model: InferenceModel) -> TractResult<Plan> {
    let length = model.symbols.sym("S");
    model.symbols.add_assertion("S>=1")?;
    model.symbols.add_assertion(format!("S<={MAX_TOKENS}"))?;
    for place in 0..model.inputs.len() {
        let shape = tvec!(1.to_dim(), length.to_dim());
        model.set_input_fact(place, InferenceFact::dt_shape(i64::datum_type(), shape))?;
    }
    model.into_optimized()?.into_runnable()
}

/// Ids that differ, everything attended to, the second half of the other type.
fn run(plan: &Plan, length: usize) -> TractResult<TVec<TValue>> {
    let model = plan.model();
    let inputs = model.inputs.iter().map(|input| {
        let positions = 0..i64::try_from(length)?;
        let half = i64::try_from(length / 2)?;
        let values: Vec<i64> = match model.node(input.node).name.as_str() {
            "attention_mask" => positions.map(|_| 1).collect(),
            "token_type_ids" => positions.map(|it| i64::from(it > half)).collect(),
            _ => positions.map(|it| (it * 7 + 5) % IDS_BELOW).collect(),
        };
        Ok(tensor1(&values).into_shape(&[1, length])?.into_tvalue())
    });
    plan.run(inputs.collect::<TractResult<_>>()?)
}

fn distance(a: &Tensor, b: &Tensor) -> TractResult<f32> {
    let (a, b) = (a.cast_to::<f32>()?, b.cast_to::<f32>()?);
    let (a, b) = (a.try_as_plain_ram()?, b.try_as_plain_ram()?);
    let pairs = a.as_slice::<f32>()?.iter().zip(b.as_slice::<f32>()?);
    // NaN is no agreement.
    Ok(pairs
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |worst, it| if it <= worst { worst } else { it }))
}
