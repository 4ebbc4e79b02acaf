//! At what precision a model is stored and computed: what was asked for, what that means for
//! each matrix, and what it costs.

mod calibration_texts;
mod target;

use crate::error::BuildError;
use crate::graph::{Graph, Matrix, ProductInputs, Rule, Storage};
use crate::progress::Progress;
use crate::trial::{Cosines, GOLDEN_TEXTS, Stored, Trial};
use calibration_texts::CalibrationTexts;
use encoderfile::golden::GoldenCase;
use encoderfile::manifest::{Compute, Finding};
use encoderfile::weights::WeightsEncoding;
use encoderfile::{Encoder, Error};
use std::ops::ControlFlow;
use std::path::PathBuf;

pub use target::TargetSize;

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Precision {
    /// How the large matrices are stored [default: as they are in the source, which may be in
    /// blocks of int4].
    pub weights: Option<WeightsEncoding>,
    /// Others for some of them; a later rule goes before an earlier one.
    pub rules: Vec<Rule>,
    /// How large the file may be: matrices are stored more exactly where that saves most.
    pub target_size: Option<TargetSize>,
    /// The smallest cosine to float32 that is accepted.
    pub min_cosine: Option<f32>,
    /// A file of texts for rounding with compensation [default: `calibration.txt` of the
    /// folder, or else built-in ones].
    pub calibration: Option<PathBuf>,
    /// What products with large matrices are computed in [default: float32].
    pub compute: Option<Compute>,
}

impl Precision {
    /// As the source has it, computed in float32.
    pub fn exact() -> Self {
        Self::default()
    }
}

/// A model whose precision is decided.
pub(crate) struct Decided {
    pub(crate) stored: Stored,
    pub(crate) cosines: Cosines,
    /// What was asked for, or else what the source has.
    pub(crate) encoding: WeightsEncoding,
    pub(crate) finding: Option<Finding>,
}

/// Decides it, and rounds.
///
/// # Errors
/// [`BuildError`] for a value that an encoding cannot hold, a rule for no matrix, a size that
/// cannot be had, results that are too far off, texts that cannot be read, and a model that does
/// not run.
pub(crate) fn decide(
    trial: Trial<'_>,
    graph: &Graph,
    precision: &Precision,
) -> Result<Decided, BuildError> {
    let matrices = graph.matrices();
    let compute = precision.compute.unwrap_or_default();
    let mut storage = Storage::of(&matrices, precision.weights, &precision.rules, compute)?;
    let source = graph.source_encoding();
    if storage.is_exact(&matrices) && precision.target_size.is_none() {
        return Ok(Decided {
            stored: trial.stored(graph, &storage),
            cosines: Cosines::ONE,
            encoding: source,
            finding: None,
        });
    }
    refuse_unfit(trial, graph, &storage)?;
    let texts = CalibrationTexts::read(precision.calibration.as_deref(), &trial.paths.folder)?;
    let reference = trial.run(|| Reference::of(trial, graph, &texts, compute))?;
    if let Some(target) = precision.target_size {
        storage = target.fit(trial, graph, precision, &reference)?;
    }
    let smoothed = reference.product_inputs.as_ref();
    let smoothed = smoothed.map(|inputs| graph.smoothed(inputs));
    let graph = smoothed.as_ref().unwrap_or(graph);
    let calibrated = trial.run(|| compensate(trial, graph, &mut storage, &texts))?;
    let stored = trial.stored(graph, &storage);
    let cosines = trial.run(|| {
        let encoder = trial.encoder(&stored)?;
        let results = trial.compared(&encoder, &texts.compared())?;
        Ok(Cosines::of(&results, &reference.results))
    })?;
    if let Some(min_cosine) = precision.min_cosine
        && cosines.min < min_cosine
    {
        return Err(BuildError::MinCosine {
            path: trial.paths.weights.clone(),
            min_cosine,
            measured: cosines.min,
            texts: reference.results.len(),
        });
    }
    Ok(Decided {
        stored,
        cosines,
        encoding: lowest(&matrices, &storage).unwrap_or(source),
        finding: calibrated.then(|| texts.finding()),
    })
}

/// The encoding in which most is stored.
fn lowest(matrices: &[Matrix], storage: &Storage) -> Option<WeightsEncoding> {
    let encodings = matrices.iter().map(|it| storage.encoding(it));
    encodings.min_by_key(|it| it.unit_len(1 << 10, 1))
}

fn refuse_unfit(trial: Trial<'_>, graph: &Graph, storage: &Storage) -> Result<(), BuildError> {
    let Some((name, value, encoding)) = graph.unfit(storage) else {
        return Ok(());
    };
    Err(BuildError::Tensor {
        path: trial.paths.weights.clone(),
        name,
        problem: format!("holds {value}, which {encoding} cannot; build with --weights f32"),
    })
}

/// Results in float32.
pub(crate) struct Reference {
    /// Of the texts that are compared.
    pub(crate) results: Vec<GoldenCase>,
    /// What is multiplied on the way, where that is to be quantised.
    product_inputs: Option<ProductInputs>,
}

impl Reference {
    fn of(
        trial: Trial<'_>,
        graph: &Graph,
        texts: &CalibrationTexts,
        compute: Compute,
    ) -> Result<Self, BuildError> {
        let stored = trial.stored(graph, &Storage::exact());
        let encoder = trial.encoder(&stored)?;
        let inputs = (compute == Compute::Int8).then(|| product_inputs(&encoder));
        let inputs = inputs.transpose();
        Ok(Self {
            results: trial.compared(&encoder, &texts.compared())?,
            product_inputs: inputs.map_err(|source| trial.does_not_run(source))?,
        })
    }
}

/// What the golden texts make of products' inputs.
fn product_inputs(encoder: &Encoder) -> Result<ProductInputs, Error> {
    let mut inputs = ProductInputs::default();
    let mut session = encoder.session()?;
    for text in GOLDEN_TEXTS {
        session.products(text, |weights, rows| {
            inputs.add(weights, rows);
            ControlFlow::Continue(())
        })?;
    }
    Ok(inputs)
}

/// Rounds the matrices that are quantised for what the texts give them; returns whether there
/// are any.
fn compensate(
    trial: Trial<'_>,
    graph: &Graph,
    storage: &mut Storage,
    texts: &CalibrationTexts,
) -> Result<bool, BuildError> {
    let passes = graph.calibration_passes(storage);
    let any = !passes.is_empty();
    let progress = Progress::of_passes(passes.len());
    let exact = trial.encoder(&trial.stored(graph, &Storage::exact()))?;
    for mut pass in passes {
        let stored = trial.stored(graph, &storage.compensated());
        let encoder = trial.encoder(&stored)?;
        let seen = encoder.session().and_then(|mut session| {
            let mut exact = exact.session()?;
            for text in texts.calibration() {
                exact.products(text, |weights, rows| pass.add_exact(weights, rows))?;
                session.products(text, |weights, rows| pass.add(weights, rows))?;
                pass.end_text();
            }
            Ok(())
        });
        seen.map_err(|source| trial.does_not_run(source))?;
        graph.round(pass, storage);
        progress.add();
    }
    Ok(any)
}
