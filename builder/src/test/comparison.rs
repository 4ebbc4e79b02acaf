//! `--against`: an encoderfile's numbers beside those of the model that it was made of, with
//! float32 weights and computed in float32.
//!
//! The numbers are those of golden cases ([`Session::raw`](encoderfile::Session::raw)): the
//! vector of a sentence, the vectors of tokens, logits.

use crate::assemble::exact;
use crate::folder::{self, Overrides, Paths};
use crate::graph::Graph;
use crate::trial::GOLDEN_TEXTS;
use anyhow::Context;
use encoderfile::golden::{self, GoldenCase};
use encoderfile::manifest::{self, Pipeline};
use encoderfile::pooling::cosine;
use encoderfile::{Encoder, Model};
use serde::Serialize;
use std::path::PathBuf;

/// What a file is compared with.
#[derive(Clone, Debug)]
pub struct Against {
    /// The model that it was made of.
    pub source: Paths,
    /// Texts beside the golden ones.
    pub texts: Vec<String>,
    /// The worst cosine allowed [default: see [`Comparison::min_cosine`]].
    pub min_cosine: Option<f32>,
}

/// How far a file's numbers are from its source's.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Whether the source's weights are those that the file was made of, by their SHA-256.
    pub same_weights: bool,
    /// How many of the texts have other token ids.
    pub token_mismatches: usize,
    /// The worst cosine allowed. Where nobody says: four times as far from 1 as the worst of
    /// the golden texts when the file was built, and 0.0001 further. Of a thousand texts the
    /// worst embedding with int8 weights was 1.4 to 4.2 times as far as the worst of those six.
    pub min_cosine: f32,
    /// Over the texts that have the source's token ids, as all that follow; 0 for none.
    pub worst_cosine: f32,
    /// Over the texts.
    pub mean_cosine: f32,
    /// Over the texts.
    pub largest_difference: f32,
    /// Of the texts' largest differences.
    pub mean_difference: f32,
    /// The golden texts and then the others.
    pub texts: Vec<Compared>,
}

/// A text's numbers beside the source's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// The text.
    pub text: String,
    /// How many the file makes of it.
    pub tokens: usize,
    /// `None` where the source has other token ids.
    pub cosine: Option<f32>,
    /// The largest absolute difference of two numbers.
    pub largest_difference: Option<f32>,
}

/// A source that the file cannot have been made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OtherModel {
    /// Other labels.
    #[error("{}: another model: its labels are {}, the file's {}", .folder.display(), .found.join(", "), .expected.join(", "))]
    Labels {
        /// The model folder.
        folder: PathBuf,
        /// Its labels.
        found: Vec<String>,
        /// The file's labels.
        expected: Vec<String>,
    },
    /// Other sizes.
    #[error("{}: another model: its {what} is {found}, the file's {expected}", .folder.display())]
    Size {
        /// The model folder.
        folder: PathBuf,
        /// Of what.
        what: &'static str,
        /// The folder's.
        found: usize,
        /// The file's.
        expected: usize,
    },
}

impl Comparison {
    /// Whether the file is as near to its source as it has to be.
    pub fn passed(&self) -> bool {
        self.token_mismatches == 0 && self.worst_cosine >= self.min_cosine
    }

    fn of(texts: Vec<Compared>, same_weights: bool, min_cosine: f32) -> Self {
        let cosines: Vec<f32> = texts.iter().filter_map(|it| it.cosine).collect();
        let differences = texts.iter().filter_map(|it| it.largest_difference);
        let differences: Vec<f32> = differences.collect();
        Self {
            same_weights,
            token_mismatches: texts.len() - cosines.len(),
            min_cosine,
            worst_cosine: cosines.iter().copied().reduce(f32::min).unwrap_or_default(),
            mean_cosine: mean(&cosines),
            largest_difference: differences.iter().copied().fold(0.0, f32::max),
            mean_difference: mean(&differences),
            texts,
        }
    }
}

/// Compares a model that was read of a file, which says `of_file` of it.
///
/// # Errors
/// [`BuildError`](crate::BuildError) for a folder that no file can be built of, [`OtherModel`] for that of another
/// model, and [`encoderfile::Error`] for a text that either of them fails over.
pub(super) fn compare(
    model: &Model,
    of_file: &manifest::Model,
    against: &Against,
) -> anyhow::Result<Comparison> {
    let (source, same_weights) = read(&against.source, of_file)?;
    let golden = GOLDEN_TEXTS.iter().copied();
    let texts = golden.chain(against.texts.iter().map(String::as_str));
    let compared = texts.map(|text| {
        let in_text = || format!("text {text:?}");
        let file = golden::case(&mut model.encoder().session()?, text);
        let exact = golden::case(&mut source.session()?, text);
        let folder = || against.source.folder.display().to_string();
        let exact = exact.with_context(folder).with_context(in_text)?;
        Ok(Compared::of(&file.with_context(in_text)?, &exact))
    });
    let texts = compared.collect::<anyhow::Result<Vec<_>>>()?;
    let allowed = || allowed(of_file.weights.min_cosine);
    let min_cosine = against.min_cosine.unwrap_or_else(allowed);
    Ok(Comparison::of(texts, same_weights, min_cosine))
}

/// The worst cosine allowed of any text, by the worst of the golden ones: see
/// [`Comparison::min_cosine`].
fn allowed(measured: f32) -> f32 {
    1.0 - 4.0 * (1.0 - measured) - 1e-4
}

/// The model of a folder, if it can be that of the file; and whether its weights are.
fn read(paths: &Paths, of_file: &manifest::Model) -> anyhow::Result<(Encoder, bool)> {
    let pipeline = &of_file.pipeline;
    let roles = pipeline.late_interaction.as_ref();
    let overrides = Overrides {
        task: Some(of_file.task),
        // What `build --max-length` says may be less than what the folder does.
        max_length: Some(roles.map_or(pipeline.max_tokens, |it| pipeline.limit(it.document))),
        truncation_side: Some(pipeline.truncation_side),
        truncation_strategy: Some(pipeline.truncation_strategy),
        license: None,
        ..Overrides::default()
    };
    let folder = folder::read(paths, &overrides)?;
    let graph = Graph::read(&paths.weights, &folder)?;
    let same_weights = graph.source_sha256[..] == of_file.provenance.source_sha256[..];
    let source = exact(paths, folder, &graph)?;
    is_of(paths, source.pipeline(), pipeline)?;
    source.use_cores(std::thread::available_parallelism().map_or(1, usize::from));
    Ok((source, same_weights))
}

/// Refuses a pipeline whose results have another form than the file's.
fn is_of(paths: &Paths, found: &Pipeline, expected: &Pipeline) -> Result<(), OtherModel> {
    let folder = || paths.folder.clone();
    let sizes = [
        (
            "vocabulary size",
            [found, expected].map(|it| it.vocabulary_size as usize),
        ),
        (
            "output width",
            [found, expected].map(|it| it.output.width as usize),
        ),
        (
            "embedding width",
            [found, expected].map(Pipeline::embedding_width),
        ),
    ];
    if found.labels != expected.labels {
        return Err(OtherModel::Labels {
            folder: folder(),
            found: found.labels.clone(),
            expected: expected.labels.clone(),
        });
    }
    let other = sizes
        .into_iter()
        .find(|(_, [found, expected])| found != expected);
    other.map_or(Ok(()), |(what, [found, expected])| {
        Err(OtherModel::Size {
            folder: folder(),
            what,
            found,
            expected,
        })
    })
}

impl Compared {
    fn of(file: &GoldenCase, exact: &GoldenCase) -> Self {
        let same_tokens = file.input_ids == exact.input_ids;
        // Vocabulary entries that are never predicted have logits of -inf.
        let pairs = file.values.iter().zip(&exact.values);
        let pairs = pairs.filter(|(file, exact)| file.is_finite() || file != exact);
        let (file_values, exact_values): (Vec<f32>, Vec<f32>) = pairs.unzip();
        let differences = file_values.iter().zip(&exact_values);
        let largest = differences.fold(0.0, |largest: f32, (file, exact)| {
            let difference = (file - exact).abs();
            if difference.is_nan() {
                f32::INFINITY
            } else {
                largest.max(difference)
            }
        });
        let cosine = match largest == 0.0 {
            // Also of no numbers, and of zeros.
            true => 1.0,
            false => finite_cosine(&file_values, &exact_values),
        };
        Self {
            text: file.text.clone(),
            tokens: file.input_ids.len(),
            cosine: same_tokens.then_some(cosine),
            largest_difference: same_tokens.then_some(largest),
        }
    }
}

/// -1 where it is no number.
fn finite_cosine(one: &[f32], other: &[f32]) -> f32 {
    let cosine = cosine(one, other);
    if cosine.is_nan() { -1.0 } else { cosine }
}

/// 0 for no numbers.
fn mean(numbers: &[f32]) -> f32 {
    numbers.iter().fold(0.0, |sum, it| sum + it) / numbers.len().max(1) as f32
}
