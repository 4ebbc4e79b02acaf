//! Running a model before it is stored: its results, those that are stored with it, and how far
//! rounding took them from the exact ones.

use crate::error::BuildError;
use crate::folder::{Model, Paths};
use crate::graph::{Graph, Storage, Weights};
use crate::modules::{place_hybrid, place_modules};
use encoderfile::golden::{self, GoldenCase};
use encoderfile::manifest::Pipeline;
use encoderfile::pooling::cosine;
use encoderfile::source::Source;
use encoderfile::{Bug, Encoder, Error, FileError, GraphError, detail, one_line, panics};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The texts whose results are stored: short ones, an empty one, other
/// scripts, punctuation, and one of some length. They must not change lightly:
/// every file's bytes depend on them.
pub(crate) const GOLDEN_TEXTS: [&str; 6] = [
    "",
    "A cat sits on the mat.",
    "The stock market fell sharply on Monday, and investors sold their shares.",
    "Zoë flew to 東京 😀",
    "How do I reset my password? I can't log in any more!",
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, \
     must be in want of a wife. However little known the feelings or views of such a man may be \
     on his first entering a neighbourhood, this truth is so well fixed in the minds of the \
     surrounding families, that he is considered as the rightful property of some one or other \
     of their daughters.",
];

/// Values that are kept to be compared with: those of the texts after them are not.
const COMPARED_MAX: usize = 1 << 24;

/// A model that can be run.
#[derive(Clone, Copy)]
pub(crate) struct Trial<'a> {
    pub(crate) paths: &'a Paths,
    pub(crate) model: &'a Model,
    pub(crate) pipeline: &'a Pipeline,
}

/// A model as it will be in the file.
pub(crate) struct Stored {
    pub(crate) pipeline: Pipeline,
    pub(crate) onnx: Vec<u8>,
    pub(crate) weights: Arc<Weights>,
}

/// How far results are from those in float32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cosines {
    pub(crate) mean: f32,
    pub(crate) min: f32,
}

impl Cosines {
    /// Of what is the same.
    pub(crate) const ONE: Self = Self {
        mean: 1.0,
        min: 1.0,
    };

    /// Of results and those of the same texts in float32.
    pub(crate) fn of(results: &[GoldenCase], exact: &[GoldenCase]) -> Self {
        let pairs = results.iter().zip(exact);
        // A text without tokens has no values, and nothing to lose.
        let pairs = pairs.filter(|(_, exact)| exact.values.iter().any(|it| *it != 0.0));
        let cosines: Vec<f32> = pairs
            .map(|(result, exact)| cosine(&result.values, &exact.values))
            .collect();
        if cosines.is_empty() {
            return Self::ONE;
        }
        Self {
            mean: cosines.iter().sum::<f32>() / cosines.len() as f32,
            min: cosines.iter().copied().fold(1.0, f32::min),
        }
    }
}

impl Trial<'_> {
    pub(crate) fn stored(self, graph: &Graph, storage: &Storage) -> Stored {
        let (onnx, mut weights) = graph.split(storage);
        let modules = place_modules(&self.model.modules, &mut weights);
        let hybrid = self.model.hybrid.as_ref();
        let hybrid = hybrid.map(|it| place_hybrid(it, &mut weights));
        Stored {
            pipeline: Pipeline {
                modules,
                hybrid,
                compute: storage.compute,
                ..self.pipeline.clone()
            },
            onnx,
            weights: Arc::new(weights),
        }
    }

    pub(crate) fn encoder(self, stored: &Stored) -> Result<Encoder, BuildError> {
        let source: Arc<dyn Source> = Arc::<Weights>::clone(&stored.weights);
        let encoder = Encoder::from_parts(
            self.model.task,
            stored.pipeline.clone(),
            &self.model.tokenizer_json,
            &stored.onnx,
            &source,
        );
        let encoder = encoder.map_err(|source| self.does_not_run(source))?;
        encoder.use_cores(std::thread::available_parallelism().map_or(1, usize::from));
        Ok(encoder)
    }

    /// The results of texts.
    pub(crate) fn results(
        self,
        encoder: &Encoder,
        texts: &[&str],
    ) -> Result<Vec<GoldenCase>, BuildError> {
        let session = encoder.session();
        let mut session = session.map_err(|source| self.does_not_run(source))?;
        let cases = texts.iter().map(|text| {
            let case = golden::case(&mut session, text);
            case.map_err(|source| match source {
                Error::File(FileError::NotFinite { .. }) => BuildError::NotFinite {
                    path: self.paths.weights.clone(),
                    text: (*text).into(),
                    source: source.into(),
                },
                source => self.does_not_run(source),
            })
        });
        cases.collect()
    }

    /// The results of as many texts as can be kept.
    pub(crate) fn compared(
        self,
        encoder: &Encoder,
        texts: &[&str],
    ) -> Result<Vec<GoldenCase>, BuildError> {
        let mut results = Vec::new();
        let mut values = 0;
        for text in texts {
            let mut result = self.results(encoder, &[text])?;
            values += result.iter().map(|it| it.values.len()).sum::<usize>();
            results.append(&mut result);
            if values > COMPARED_MAX {
                break;
            }
        }
        Ok(results)
    }

    /// Computes as many tokens as a text may have: whatever runs out before the
    /// limit does so here, and not when somebody has such a text.
    pub(crate) fn full_length(
        self,
        encoder: &Encoder,
        golden: &[GoldenCase],
    ) -> Result<Duration, BuildError> {
        let tokens = golden.iter().flat_map(|case| &case.input_ids);
        let max_tokens = self.pipeline.max_tokens;
        let ids = tokens.copied().cycle().take(max_tokens as usize);
        let ids: Vec<u32> = ids.collect();
        let start = Instant::now();
        let (problem, detail) = match panics::catch(|| encoder.session()?.compute(&ids)) {
            Ok(Ok(())) => return Ok(start.elapsed()),
            Ok(Err(error)) => (one_line(&error), detail(&error).map(Into::into)),
            Err(bug) => (
                "the inference engine failed".into(),
                bug.detail().map(Into::into),
            ),
        };
        Err(BuildError::FullLength {
            path: self.paths.weights.clone(),
            max_tokens,
            stated_by: self.pipeline.max_tokens_source.clone(),
            problem,
            detail,
        })
    }

    /// Runs the model; an inference engine that panics is an error, not a crash.
    pub(crate) fn run<T>(
        self,
        model: impl FnOnce() -> Result<T, BuildError>,
    ) -> Result<T, BuildError> {
        panics::catch(model).unwrap_or_else(|bug| {
            Err(BuildError::Panic {
                path: self.paths.weights.clone(),
                detail: bug.detail().unwrap_or_default().to_owned(),
            })
        })
    }

    pub(crate) fn does_not_run(self, source: Error) -> BuildError {
        // The graph failed over a text, or gave another shape for it than for others.
        if let Error::Bug(Bug::Engine(_))
        | Error::File(FileError::Graph(GraphError::OutputShape { .. })) = source
        {
            return BuildError::OneLength {
                path: self.paths.weights.clone(),
                source: source.into(),
            };
        }
        BuildError::Runtime {
            path: self.paths.folder.clone(),
            source: source.into(),
        }
    }
}
