//! From a model folder to a payload: the graph split, the pipeline written
//! down, the result run before it is stored.

use crate::error::BuildError;
use crate::folder::{Limit, Model, ModuleWeights, Paths};
use crate::graph::{Binding, Graph, ProductInputs, Weights};
use encoderfile::container::{self, ArtifactKind};
use encoderfile::golden::{self, GoldenCase};
use encoderfile::limits::GRAPH_LEN_MAX;
use encoderfile::manifest::{
    self, Compute, Dense, DenseFunction, Finding, HubCommit, LayerNorm, Manifest, Module, Output,
    Pipeline, Provenance, Residual, StoredTensor, StoredWeights, Task, WeightsEncoding,
};
use encoderfile::pooling::cosine;
use encoderfile::source::{Source, Spliced};
use encoderfile::weights::TENSOR_ALIGNMENT;
use encoderfile::{Bug, Encoder, Error, Executor, FileError, GraphError, detail, one_line, panics};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The texts whose results are stored: short ones, an empty one, other
/// scripts, punctuation, and one of some length. They must not change lightly:
/// every file's bytes depend on them.
const GOLDEN_TEXTS: [&str; 6] = [
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

/// What a file is called, and what it is made of.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Upstream's `name`: the `model_id` of results.
    pub name: String,
    /// The caller's version of the model.
    pub version: String,
    /// The model of the hub that it is made of, if it is.
    pub source: Option<HubCommit>,
}

/// How a model is stored and computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Of the large matrices.
    pub weights: WeightsEncoding,
    /// Of products with them.
    pub compute: Compute,
}

impl Encoding {
    /// float32 throughout.
    pub const EXACT: Self = Self {
        weights: WeightsEncoding::F32,
        compute: Compute::F32,
    };
}

/// A model that has been checked by running it, ready to be written.
pub struct Assembled {
    manifest: Manifest,
    model: Model,
    graph: Vec<u8>,
    golden: Vec<u8>,
    weights: Arc<Weights>,
    full_length: Duration,
}

impl Assembled {
    /// What the file will say of itself; artifacts are filled in when written.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How many bytes the large tensors take.
    pub fn weights_len(&self) -> u64 {
        self.weights.len()
    }

    /// How long a text of full length took to compute on all cores of this machine.
    pub fn full_length(&self) -> Duration {
        self.full_length
    }

    /// The payload, which is read from the model's files and computed while it
    /// is written; the same model gives the same bytes.
    ///
    /// # Errors
    /// What the system says of reading the model's files, which are hashed here, and of kind
    /// `InvalidInput` for a manifest that no reader would take.
    pub fn payload(&self) -> io::Result<Spliced<'_>> {
        let contents: [container::Content<'_>; 5] = [
            (ArtifactKind::ModelConfig, &self.model.config_json),
            (ArtifactKind::Tokenizer, &self.model.tokenizer_json),
            (ArtifactKind::Graph, &self.graph),
            (ArtifactKind::Golden, &self.golden),
            (ArtifactKind::Weights, &*self.weights),
        ];
        container::compose_with(&self.manifest, &contents, &Executor::AllCores)
    }
}

/// Checks a model by running it, and makes everything its file will hold.
///
/// # Errors
/// [`BuildError`], with the file at fault: for parts that do not fit one another, a value
/// that `encoding` cannot hold, and a model that does not run, panics, or gives numbers that
/// are not finite.
pub fn assemble(
    paths: &Paths,
    mut model: Model,
    graph: &Graph,
    identity: Identity,
    encoding: Encoding,
) -> Result<Assembled, BuildError> {
    leave_to_graph(paths, &mut model, &graph.binding.output)?;
    note_graph(paths, &mut model, graph);
    let pipeline = pipeline(paths, &model, &graph.binding)?;
    let encoding = Encoding {
        weights: match encoding.weights {
            WeightsEncoding::F32 => graph.source_encoding(),
            smaller => smaller,
        },
        ..encoding
    };
    let as_in_source = Encoding {
        weights: graph.source_encoding(),
        ..Encoding::EXACT
    };
    if encoding.weights != as_in_source.weights
        && let Some((name, value)) = graph.unfit(encoding)
    {
        return Err(BuildError::Tensor {
            path: paths.weights.clone(),
            name,
            problem: format!(
                "holds {value}, which {} cannot; build with --weights f32",
                encoding.weights.name()
            ),
        });
    }
    let exact = (encoding != as_in_source)
        .then(|| Exact::of(paths, &model, graph, &pipeline, encoding.compute))
        .transpose()?;
    let inputs = exact.as_ref().and_then(|it| it.product_inputs.as_ref());
    let smoothed = inputs.map(|inputs| graph.smoothed(inputs));
    let stored = smoothed.as_ref().unwrap_or(graph);
    let stored = Stored::new(stored, &model, &pipeline, encoding);
    check_graph(paths, graph, stored.onnx.len() as u64)?;
    let (golden, full_length) = run(paths, || stored.try_out(paths, &model))?;
    let min_cosine = exact.map_or(1.0, |exact| min_cosine(&golden, &exact.golden));
    let provenance = Provenance {
        builder: concat!("encoderfile ", env!("CARGO_PKG_VERSION")).into(),
        license: model.license.clone(),
        architecture: model.architecture.clone(),
        source_sha256: graph.source_sha256.to_vec(),
        embedding_space_id: embedding_space_id(graph, &model, &pipeline),
        findings: model.findings.clone(),
        source: identity.source,
    };
    let manifest = Manifest {
        name: identity.name,
        version: identity.version,
        model: Some(manifest::Model {
            task: model.task,
            pipeline: stored.pipeline,
            provenance,
            weights: StoredWeights {
                encoding: encoding.weights,
                min_cosine,
                quantized_matrices: u32::try_from(graph.quantized_matrices()).unwrap_or(u32::MAX),
            },
        }),
        ..Manifest::default()
    };
    Ok(Assembled {
        manifest,
        golden: golden::encode(&golden),
        graph: stored.onnx,
        weights: stored.weights,
        model,
        full_length,
    })
}

/// Refuses a graph that no reader would take, and names its largest tensor.
fn check_graph(paths: &Paths, graph: &Graph, length: u64) -> Result<(), BuildError> {
    if length <= GRAPH_LEN_MAX {
        return Ok(());
    }
    let (name, values) = graph.largest_inside().unwrap_or_default();
    Err(BuildError::Tensor {
        path: paths.weights.clone(),
        name,
        problem: format!(
            "its {values} values stay in the graph, as all do but floats and 8-bit integers: the graph takes {length} bytes, and readers take at most {GRAPH_LEN_MAX}"
        ),
    })
}

/// The golden texts in float32.
struct Exact {
    golden: Vec<GoldenCase>,
    /// What is multiplied on the way, where that is to be quantised.
    product_inputs: Option<ProductInputs>,
}

impl Exact {
    fn of(
        paths: &Paths,
        model: &Model,
        graph: &Graph,
        pipeline: &Pipeline,
        compute: Compute,
    ) -> Result<Self, BuildError> {
        let stored = Stored::new(graph, model, pipeline, Encoding::EXACT);
        run(paths, || {
            let encoder = stored.encoder(paths, model)?;
            let inputs = (compute == Compute::Int8).then(|| product_inputs(&encoder));
            let inputs = inputs.transpose();
            Ok(Self {
                golden: stored.try_texts(paths, &encoder)?,
                product_inputs: inputs.map_err(|source| does_not_run(paths, source))?,
            })
        })
    }
}

/// What the golden texts make of products' inputs.
fn product_inputs(encoder: &Encoder) -> Result<ProductInputs, Error> {
    let mut inputs = ProductInputs::default();
    let mut session = encoder.session()?;
    for text in GOLDEN_TEXTS {
        session.products(text, |weights, rows| inputs.add(weights, rows))?;
    }
    Ok(inputs)
}

/// The model's pipeline with what the graph adds to it.
fn pipeline(paths: &Paths, model: &Model, binding: &Binding) -> Result<Pipeline, BuildError> {
    let classifies = matches!(
        model.task,
        Task::SequenceClassification | Task::TokenClassification
    );
    let mut pipeline = model.pipeline.clone();
    let width = binding.output.width as usize;
    let of_modules = !pipeline.pooling.is_empty();
    if classifies && !of_modules && pipeline.labels.len() != width {
        return Err(BuildError::Labels {
            path: paths.config.clone(),
            labels: pipeline.labels.len(),
            said_by: model.labels_source,
            logits: width,
        });
    }
    pipeline.inputs.clone_from(&binding.inputs);
    pipeline.output = binding.output.clone();
    pipeline.vocabulary_size = vocabulary_size(paths, model, binding)?;
    check_widths(paths, model, &pipeline)?;
    Ok(pipeline)
}

/// Writes down what the graph says.
fn note_graph(paths: &Paths, model: &mut Model, graph: &Graph) {
    note_limit(model, &graph.limit);
    let file = paths.weights.file_name().unwrap_or_default();
    let findings = graph.findings(&file.to_string_lossy());
    model.findings.extend(findings);
}

/// Writes down how many tokens a sequence may have, now that the graph is known.
fn note_limit(model: &mut Model, limit: &Limit) {
    model.pipeline.max_tokens = limit.max_tokens;
    model.pipeline.max_tokens_source.clone_from(&limit.source);
    let finding = Finding {
        subject: "limit".into(),
        meaning: format!("{} tokens", limit.max_tokens),
        source: limit.source.clone(),
    };
    // Beside the task, which is always the first.
    model.findings.insert(model.findings.len().min(1), finding);
    if let Some(positions) = model.limits.passed_over(limit) {
        model.findings.push(Finding {
            subject: "limit".into(),
            meaning: format!(
                "not {positions}: no table of the graph runs out there; sentence-transformers cuts there where max_seq_length is not said"
            ),
            source: "config.json max_position_embeddings".into(),
        });
    }
}

/// Takes out of a model what its graph does.
fn leave_to_graph(paths: &Paths, model: &mut Model, output: &Output) -> Result<(), BuildError> {
    match model.task {
        Task::SentenceEmbedding if !output.per_token => leave_pooling_to_graph(paths, model),
        Task::LateInteraction if projects(paths, model, output) => {
            leave_projection_to_graph(paths, model, output)
        }
        _ => Ok(()),
    }
}

/// Takes out of a model what its graph does: pooling and all that follows. A
/// norm at the end may stay, it changes nothing twice.
fn leave_pooling_to_graph(paths: &Paths, model: &mut Model) -> Result<(), BuildError> {
    if model.pipeline.exclude_prompt {
        return Err(BuildError::Widths {
            path: paths.weights.clone(),
            problem: "pools in the graph, where the prompt cannot be left out; export the token vectors (`last_hidden_state`)".into(),
        });
    }
    model.pipeline.pooling.clear();
    model.modules.clear();
    let modules = ["pooling", "dense", "layer norm"];
    model
        .findings
        .retain(|finding| !modules.contains(&finding.subject.as_str()));
    model.findings.push(Finding {
        subject: "pooling".into(),
        meaning: "in the graph, with the modules that follow it".into(),
        source: "its output has one row a text".into(),
    });
    Ok(())
}

/// Whether a graph's rows are what the modules give, and not what they take: Vespa's
/// exporter of `ColBERT` and LightOn's, whose files say so where the width does not.
fn projects(paths: &Paths, model: &Model, output: &Output) -> bool {
    let dense = |module: &ModuleWeights| match module {
        ModuleWeights::Dense {
            in_features,
            out_features,
            ..
        } => Some((*in_features, *out_features)),
        _ => None,
    };
    let mut dense = model.modules.iter().filter_map(dense);
    let Some((taken, first)) = dense.next() else {
        return false;
    };
    let given = dense.next_back().map_or(first, |(_, given)| given);
    let is_lightons = paths.folder.join("onnx_config.json").is_file() && output.name == "output";
    is_lightons || (output.width == given && output.width != taken)
}

/// Takes the projection out of a model whose graph has it. Exporters leave out activations
/// and residuals, so that there must be none; a norm may stay, it changes nothing twice.
fn leave_projection_to_graph(
    paths: &Paths,
    model: &mut Model,
    output: &Output,
) -> Result<(), BuildError> {
    let is_plain = |module: &ModuleWeights| match module {
        ModuleWeights::Dense {
            function, residual, ..
        } => *function == DenseFunction::Identity && residual.is_none(),
        ModuleWeights::L2Norm => true,
        ModuleWeights::LayerNorm { .. } => false,
    };
    let Output { name, width, .. } = output;
    if !model.modules.iter().all(is_plain) {
        return Err(BuildError::Widths {
            path: paths.weights.clone(),
            problem: format!(
                "its output `{name}` is projected, and need not have the activations and residuals of the Dense modules; export the token vectors (`last_hidden_state`)"
            ),
        });
    }
    model.modules.clear();
    model.findings.retain(|finding| finding.subject != "dense");
    model.findings.push(Finding {
        subject: "dense".into(),
        meaning: "in the graph".into(),
        source: format!("its output `{name}` has {width} values a token"),
    });
    Ok(())
}

/// Refuses modules of other widths than what they are given, and dimensions
/// that the embedding does not have.
fn check_widths(paths: &Paths, model: &Model, pipeline: &Pipeline) -> Result<(), BuildError> {
    let fail = |problem: String| {
        Err(BuildError::Widths {
            path: paths.folder.clone(),
            problem,
        })
    };
    let mut width = pipeline.embedding_width();
    for module in &model.modules {
        let (name, expected, next) = match module {
            ModuleWeights::Dense {
                in_features,
                out_features,
                ..
            } => ("Dense", *in_features as usize, *out_features as usize),
            ModuleWeights::LayerNorm { weight, .. } => ("LayerNorm", weight.len(), weight.len()),
            ModuleWeights::L2Norm => continue,
        };
        if expected != width {
            return fail(format!(
                "module {name} takes {expected} values, but is given {width}"
            ));
        }
        width = next;
    }
    if pipeline.dimensions as usize > width {
        return fail(format!(
            "config_sentence_transformers.json: `truncate_dim` is {}, but embeddings have {width} values",
            pipeline.dimensions
        ));
    }
    Ok(())
}

/// Rows of the embedding, if the tokenizer stays within them.
fn vocabulary_size(paths: &Paths, model: &Model, binding: &Binding) -> Result<u32, BuildError> {
    let largest_id = model.largest_id;
    let rows = binding.vocabulary_size.unwrap_or(largest_id + 1);
    // Ids may be passed to the graph as 32-bit signed integers.
    if largest_id >= rows || i32::try_from(rows).is_err() {
        return Err(BuildError::Vocabulary {
            path: paths.tokenizer.clone(),
            largest_id,
            rows,
        });
    }
    Ok(rows)
}

/// Puts the weights of the modules behind the graph's.
fn place_modules(modules: &[ModuleWeights], weights: &mut Weights) -> Vec<Module> {
    let mut place = |values: &[f32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        let length = bytes.len() as u64;
        StoredTensor {
            offset: weights.push(bytes, TENSOR_ALIGNMENT),
            length,
        }
    };
    let modules = modules.iter().map(|module| match module {
        ModuleWeights::Dense {
            in_features,
            out_features,
            weight,
            bias,
            function,
            residual,
        } => Module::Dense(Dense {
            in_features: *in_features,
            out_features: *out_features,
            weight: place(weight),
            bias: bias.as_deref().map(&mut place),
            function: *function,
            residual: residual.as_ref().map(|residual| match residual {
                Residual::Identity => Residual::Identity,
                Residual::Projected(weight) => Residual::Projected(place(weight)),
            }),
        }),
        ModuleWeights::LayerNorm {
            weight,
            bias,
            epsilon,
        } => Module::LayerNorm(LayerNorm {
            weight: place(weight),
            bias: place(bias),
            epsilon: *epsilon,
        }),
        ModuleWeights::L2Norm => Module::L2Norm,
    });
    modules.collect()
}

/// A model as it will be in the file.
struct Stored {
    pipeline: Pipeline,
    onnx: Vec<u8>,
    weights: Arc<Weights>,
}

impl Stored {
    fn new(graph: &Graph, model: &Model, pipeline: &Pipeline, encoding: Encoding) -> Self {
        let (onnx, mut weights) = graph.split(encoding);
        let modules = place_modules(&model.modules, &mut weights);
        Self {
            pipeline: Pipeline {
                modules,
                compute: encoding.compute,
                ..pipeline.clone()
            },
            onnx,
            weights: Arc::new(weights),
        }
    }

    fn encoder(&self, paths: &Paths, model: &Model) -> Result<Encoder, BuildError> {
        let source: Arc<dyn Source> = Arc::<Weights>::clone(&self.weights);
        let encoder = Encoder::from_parts(
            model.task,
            self.pipeline.clone(),
            &model.tokenizer_json,
            &self.onnx,
            &source,
        );
        encoder.map_err(|source| does_not_run(paths, source))
    }

    /// The results of the golden texts, and how long a text of full length took.
    fn try_out(
        &self,
        paths: &Paths,
        model: &Model,
    ) -> Result<(Vec<GoldenCase>, Duration), BuildError> {
        let encoder = self.encoder(paths, model)?;
        let golden = self.try_texts(paths, &encoder)?;
        let took = self.try_full_length(paths, &encoder, &golden)?;
        Ok((golden, took))
    }

    fn try_texts(&self, paths: &Paths, encoder: &Encoder) -> Result<Vec<GoldenCase>, BuildError> {
        let session = encoder.session();
        let mut session = session.map_err(|source| does_not_run(paths, source))?;
        let cases = GOLDEN_TEXTS.iter().map(|text| {
            let case = golden::case(&mut session, text);
            case.map_err(|source| match source {
                Error::File(FileError::NotFinite { .. }) => BuildError::NotFinite {
                    path: paths.weights.clone(),
                    text: (*text).into(),
                    source: source.into(),
                },
                source => does_not_run(paths, source),
            })
        });
        cases.collect()
    }

    /// Computes as many tokens as a text may have: whatever runs out before the
    /// limit does so here, and not when somebody has such a text.
    fn try_full_length(
        &self,
        paths: &Paths,
        encoder: &Encoder,
        golden: &[GoldenCase],
    ) -> Result<Duration, BuildError> {
        let tokens = golden.iter().flat_map(|case| &case.input_ids);
        let max_tokens = self.pipeline.max_tokens;
        let ids = tokens.copied().cycle().take(max_tokens as usize);
        let ids: Vec<u32> = ids.collect();
        encoder.use_cores(std::thread::available_parallelism().map_or(1, usize::from));
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
            path: paths.weights.clone(),
            max_tokens,
            stated_by: self.pipeline.max_tokens_source.clone(),
            problem,
            detail,
        })
    }
}

fn does_not_run(paths: &Paths, source: Error) -> BuildError {
    // The graph failed over a text, or gave another shape for it than for others.
    if let Error::Bug(Bug::Engine(_))
    | Error::File(FileError::Graph(GraphError::OutputShape { .. })) = source
    {
        return BuildError::OneLength {
            path: paths.weights.clone(),
            source: source.into(),
        };
    }
    BuildError::Runtime {
        path: paths.folder.clone(),
        source: source.into(),
    }
}

/// Runs the model; an inference engine that panics is an error, not a crash.
fn run<T>(paths: &Paths, model: impl FnOnce() -> Result<T, BuildError>) -> Result<T, BuildError> {
    panics::catch(model).unwrap_or_else(|bug| {
        Err(BuildError::Panic {
            path: paths.weights.clone(),
            detail: bug.detail().unwrap_or_default().to_owned(),
        })
    })
}

fn min_cosine(stored: &[GoldenCase], exact: &[GoldenCase]) -> f32 {
    let cases = stored.iter().zip(exact);
    cases
        .map(|(stored, exact)| cosine(&stored.values, &exact.values))
        .fold(1.0, f32::min)
}

/// One id for everything whose embeddings may be compared, however the weights are stored.
fn embedding_space_id(graph: &Graph, model: &Model, pipeline: &Pipeline) -> Vec<u8> {
    let mut modules = Weights::default();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&graph.source_sha256);
    hasher.update(blake3::hash(&model.tokenizer_json).as_bytes());
    // Without the places of the modules' weights, which depend on how the
    // others are stored; with the weights themselves.
    hasher.update(&pipeline.to_bytes());
    for module in place_modules(&model.modules, &mut modules) {
        hasher.update(&module.to_bytes());
    }
    let mut bytes = vec![0; usize::try_from(modules.len()).unwrap_or(0)];
    // In memory, where every read succeeds.
    let _ = modules.read_at(0, &mut bytes);
    hasher.update(&bytes);
    hasher.finalize().as_bytes().to_vec()
}
