//! From a model folder to a payload: the graph split, the pipeline written
//! down, the result run before it is stored.

use crate::error::BuildError;
use crate::folder::{Model, Paths};
use crate::graph::{Binding, Graph, Weights};
use encoderfile_runtime::container::{self, ArtifactKind};
use encoderfile_runtime::pooling::cosine;
use encoderfile_runtime::proto::{
    Activation, Golden, Manifest, Pipeline, Provenance, Task, Weights as StoredWeights,
    WeightsEncoding,
};
use encoderfile_runtime::source::{Source, Spliced};
use encoderfile_runtime::{Encoder, golden};
use prost::Message;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

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

/// What a file is called.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Upstream's `name`: the `model_id` of results.
    pub name: String,
    /// The caller's version of the model.
    pub version: String,
}

/// A model that has been checked by running it, ready to be written.
pub struct Assembled {
    manifest: Manifest,
    model: Model,
    graph: Vec<u8>,
    golden: Vec<u8>,
    weights: Arc<Weights>,
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

    /// The payload, which is read from the model's files and computed while it
    /// is written; the same model gives the same bytes.
    pub fn payload(&self) -> io::Result<Spliced<'_>> {
        let contents: [container::Content<'_>; 5] = [
            (ArtifactKind::ModelConfig, &self.model.config_json),
            (ArtifactKind::Tokenizer, &self.model.tokenizer_json),
            (ArtifactKind::Graph, &self.graph),
            (ArtifactKind::Golden, &self.golden),
            (ArtifactKind::Weights, &*self.weights),
        ];
        container::compose(self.manifest.clone(), &contents)
    }
}

/// Checks a model by running it, and makes everything its file will hold.
pub fn assemble(
    paths: &Paths,
    model: Model,
    graph: &Graph,
    identity: Identity,
    encoding: WeightsEncoding,
) -> Result<Assembled, BuildError> {
    let pipeline = pipeline(paths, &model, &graph.binding)?;
    let encoding = match encoding {
        WeightsEncoding::F32 => graph.source_encoding(),
        smaller => smaller,
    };
    let (onnx, weights) = graph.split(encoding);
    let weights = Arc::new(weights);
    let (golden, worst_cosine) = run(paths, || {
        let stored = golden_cases(&model, &pipeline, &onnx, &weights)?;
        let worst_cosine = if encoding == graph.source_encoding() {
            1.0
        } else {
            let (onnx, weights) = graph.split(WeightsEncoding::F32);
            let exact = golden_cases(&model, &pipeline, &onnx, &Arc::new(weights))?;
            worst_cosine(&stored, &exact)
        };
        Ok((stored, worst_cosine))
    })?;
    let provenance = Provenance {
        builder: concat!("encoderfile ", env!("CARGO_PKG_VERSION")).into(),
        license: model.license.clone(),
        architecture: model.architecture.clone(),
        source_sha256: graph.source_sha256.to_vec(),
        embedding_space_id: embedding_space_id(graph, &model, &pipeline),
    };
    let manifest = Manifest {
        task: model.task.into(),
        name: identity.name,
        version: identity.version,
        pipeline: Some(pipeline),
        provenance: Some(provenance),
        stored_weights: Some(StoredWeights {
            encoding: encoding.into(),
            worst_cosine,
            quantized_matrices: u32::try_from(graph.quantized_matrices()).unwrap_or(u32::MAX),
        }),
        ..Manifest::default()
    };
    Ok(Assembled {
        manifest,
        golden: golden.encode_to_vec(),
        graph: onnx,
        model,
        weights,
    })
}

fn pipeline(paths: &Paths, model: &Model, binding: &Binding) -> Result<Pipeline, BuildError> {
    let classifies = matches!(
        model.task,
        Task::SequenceClassification | Task::TokenClassification
    );
    let width = binding.output.width as usize;
    let labels = match (classifies, model.labels.as_slice()) {
        (false, _) => Vec::new(),
        // What transformers calls labels that nobody named.
        (true, []) => (0..width).map(|id| format!("LABEL_{id}")).collect(),
        (true, labels) if labels.len() == width => labels.to_vec(),
        (true, labels) => {
            return Err(BuildError::Labels {
                path: paths.config.clone(),
                labels: labels.len(),
                logits: width,
            });
        }
    };
    Ok(Pipeline {
        max_tokens: model.limit.max_tokens,
        max_tokens_source: model.limit.source.clone(),
        truncation_side: model.truncation_side.into(),
        lower_case: model.lower_case,
        inputs: binding.inputs.clone(),
        output: Some(binding.output.clone()),
        pooling: model.pooling.iter().map(|mode| (*mode).into()).collect(),
        normalize: model.normalize,
        labels,
        activation: if classifies {
            model.activation.into()
        } else {
            Activation::Softmax.into()
        },
        vocabulary_size: vocabulary_size(paths, model, binding)?,
    })
}

/// Rows of the embedding, if the tokenizer stays within them.
fn vocabulary_size(paths: &Paths, model: &Model, binding: &Binding) -> Result<u32, BuildError> {
    let tokenizer = encoderfile_runtime::tokenizer::largest_id(&model.tokenizer_json);
    let largest_id = tokenizer.map_err(|error| BuildError::Runtime {
        path: paths.tokenizer.clone(),
        source: error.into(),
    })?;
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

fn golden_cases(
    model: &Model,
    pipeline: &Pipeline,
    onnx: &[u8],
    weights: &Arc<Weights>,
) -> Result<Golden, encoderfile_runtime::Error> {
    let source: Arc<dyn Source> = Arc::<Weights>::clone(weights);
    let tokenizer = &model.tokenizer_json;
    let encoder = Encoder::from_parts(model.task, pipeline.clone(), tokenizer, onnx, &source)?;
    let mut session = encoder.session()?;
    let cases = GOLDEN_TEXTS.iter();
    let cases = cases.map(|text| golden::case(&mut session, text));
    Ok(Golden {
        cases: cases.collect::<Result<_, _>>()?,
    })
}

/// Runs the model; an inference engine that panics is an error, not a crash.
fn run<T>(
    paths: &Paths,
    model: impl FnOnce() -> Result<T, encoderfile_runtime::Error>,
) -> Result<T, BuildError> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(model));
    std::panic::set_hook(hook);
    match result {
        Ok(result) => result.map_err(|source| BuildError::Runtime {
            path: paths.folder.clone(),
            source,
        }),
        Err(panic) => Err(BuildError::Panic {
            path: paths.weights.clone(),
            message: panic_message(&*panic),
        }),
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no message").replace('\n', " ")
}

fn worst_cosine(stored: &Golden, exact: &Golden) -> f32 {
    let cases = stored.cases.iter().zip(&exact.cases);
    cases
        .map(|(stored, exact)| cosine(&stored.values, &exact.values))
        .fold(1.0, f32::min)
}

/// One id for everything whose embeddings may be compared, however the weights are stored.
fn embedding_space_id(graph: &Graph, model: &Model, pipeline: &Pipeline) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&graph.source_sha256);
    hasher.update(blake3::hash(&model.tokenizer_json).as_bytes());
    hasher.update(&pipeline.encode_to_vec());
    hasher.finalize().as_bytes().to_vec()
}
