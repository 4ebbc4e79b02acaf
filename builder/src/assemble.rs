//! From a model folder to a payload: the graph split, the pipeline written
//! down, the result run before it is stored.

use crate::error::BuildError;
use crate::fingerprint::BUILDER;
use crate::folder::{HYBRID_FILES, Limit, Model, ModuleWeights, Paths};
use crate::graph::{Binding, Graph, Storage, Weights};
use crate::modules::{place_hybrid, place_modules};
use crate::precision::{self, Precision};
use crate::trial::{GOLDEN_TEXTS, Trial};
use crate::{checkpoint, inputs};
use encoderfile::container::{self, ArtifactKind};
use encoderfile::golden;
use encoderfile::limits::GRAPH_LEN_MAX;
use encoderfile::manifest::{
    self, BuildOption, DenseFunction, Finding, HubCommit, Manifest, Output, Pipeline, Provenance,
    StoredWeights, Task,
};
use encoderfile::source::{Source, Spliced};
use encoderfile::{Encoder, Executor};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// What a file is called, and what it is made of.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Upstream's `name`: the `model_id` of results.
    pub name: String,
    /// The caller's version of the model.
    pub version: String,
    /// The model of the hub that it is made of, if it is.
    pub source: Option<HubCommit>,
    /// What was asked for beside what the folder says.
    pub options: Vec<BuildOption>,
    /// By which a later build knows that it would give the same file again.
    pub fingerprint: Vec<u8>,
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
/// [`BuildError`], with the file at fault: for parts that do not fit one another, a precision
/// that cannot be had, and a model that does not run, panics, or gives numbers that
/// are not finite.
pub fn assemble(
    paths: &Paths,
    mut model: Model,
    graph: &Graph,
    identity: Identity,
    precision: &Precision,
) -> Result<Assembled, BuildError> {
    leave_to_graph(paths, &mut model, &graph.binding.output)?;
    note_graph(paths, &mut model, graph);
    let pipeline = pipeline(paths, &model, &graph.binding)?;
    let trial = Trial {
        paths,
        model: &model,
        pipeline: &pipeline,
    };
    let decided = precision::decide(trial, graph, precision)?;
    let stored = decided.stored;
    check_graph(paths, graph, stored.onnx.len() as u64)?;
    let (golden, full_length) = trial.run(|| {
        let encoder = trial.encoder(&stored)?;
        let golden = trial.results(&encoder, &GOLDEN_TEXTS)?;
        let full_length = trial.full_length(&encoder, &golden)?;
        Ok((golden, full_length))
    })?;
    model.findings.extend(decided.finding);
    let provenance = provenance(paths, &model, graph, &pipeline, &identity);
    let manifest = Manifest {
        name: identity.name,
        version: identity.version,
        model: Some(manifest::Model {
            task: model.task,
            pipeline: stored.pipeline,
            provenance,
            weights: StoredWeights {
                encoding: decided.encoding,
                mean_cosine: decided.cosines.mean,
                min_cosine: decided.cosines.min,
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

/// Where the model comes from, and what was asked for.
fn provenance(
    paths: &Paths,
    model: &Model,
    graph: &Graph,
    pipeline: &Pipeline,
    identity: &Identity,
) -> Provenance {
    Provenance {
        builder: BUILDER.into(),
        license: model.license.clone(),
        architecture: model.architecture.clone(),
        source_sha256: graph.source_sha256.to_vec(),
        embedding_space_id: embedding_space_id(graph, model, pipeline),
        findings: model.findings.clone(),
        source: identity.source.clone(),
        source_file: inputs::name_in(&paths.folder, &paths.weights),
        source_format: checkpoint::format(&paths.weights).into(),
        options: identity.options.clone(),
        fingerprint: identity.fingerprint.clone(),
    }
}

/// A model as its folder has it: weights as float32, computed in float32.
///
/// # Errors
/// [`BuildError`], with the file at fault, for parts that do not fit one another and a graph
/// that cannot be computed.
pub fn exact(paths: &Paths, mut model: Model, graph: &Graph) -> Result<Encoder, BuildError> {
    leave_to_graph(paths, &mut model, &graph.binding.output)?;
    note_limit(&mut model, &graph.limit);
    let pipeline = pipeline(paths, &model, &graph.binding)?;
    let trial = Trial {
        paths,
        model: &model,
        pipeline: &pipeline,
    };
    let stored = trial.stored(graph, &Storage::exact());
    trial.run(|| trial.encoder(&stored))
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
    let modules = ["pooling", "dense", "layer norm", "sparse", "colbert"];
    model
        .findings
        .retain(|finding| !modules.contains(&finding.subject.as_str()));
    model.findings.push(Finding {
        subject: "pooling".into(),
        meaning: "in the graph, with the modules that follow it".into(),
        source: "its output has one row a text".into(),
    });
    if model.hybrid.take().is_some() {
        model.findings.push(Finding {
            subject: "sparse".into(),
            meaning: "not served, nor colbert: both need the token vectors (`last_hidden_state`)"
                .into(),
            source: "its output has one row a text".into(),
        });
    }
    Ok(())
}

/// Whether a graph's rows are what the modules give, and not what they take: Vespa's
/// exporter of `ColBERT` and LightOn's, whose files say so where the width does not.
fn projects(paths: &Paths, model: &Model, output: &Output) -> bool {
    let dense = |module: &ModuleWeights| match module {
        ModuleWeights::Dense(dense) => Some((dense.in_features, dense.out_features)),
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
        ModuleWeights::Dense(dense) => {
            dense.function == DenseFunction::Identity && dense.residual.is_none()
        }
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
            ModuleWeights::Dense(dense) => (
                "Dense",
                dense.in_features as usize,
                dense.out_features as usize,
            ),
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
    let token_width = pipeline.output.width;
    let layers = model.hybrid.iter().flat_map(|it| [&it.sparse, &it.colbert]);
    for (layer, name) in layers.zip(HYBRID_FILES) {
        if layer.in_features != token_width {
            return fail(format!(
                "{name} takes {} values, but is given {token_width}",
                layer.in_features
            ));
        }
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
    if let Some(hybrid) = &model.hybrid {
        hasher.update(&place_hybrid(hybrid, &mut modules).to_bytes());
    }
    let mut bytes = vec![0; usize::try_from(modules.len()).unwrap_or(0)];
    // In memory, where every read succeeds.
    let _ = modules.read_at(0, &mut bytes);
    hasher.update(&bytes);
    hasher.finalize().as_bytes().to_vec()
}
