//! Graphs of checkpoints: what the Python class of an architecture computes, written as ONNX.
//!
//! Each architecture is one file, which says how its encoder and its heads are made of
//! [`Network`]'s layers; config.json says their sizes. Code of a model folder is never run.

mod albert;
mod bert;
mod convbert;
mod deberta;
mod distilbert;
mod esm;
mod mobilebert;
mod modernbert;
mod mpnet;
mod network;
mod relative;
mod roberta;
mod roformer;
mod rotary;
mod settings;
mod squeezebert;
mod t5;

use crate::checkpoint::Checkpoint;
use crate::error::BuildError;
use crate::folder::Model;
use encoderfile::manifest::Task;
use encoderfile::onnx::{GraphProto, ModelProto, OperatorSetIdProto};
use network::{Emitted, Network};
use settings::Settings;
use std::path::Path;

/// The opset that graphs are written in: the first with `LayerNormalization`.
const OPSET: i64 = 17;

/// An architecture: its encoder and its heads.
pub(super) struct Architecture {
    /// `model_type` in config.json.
    model_type: &'static str,
    /// What stands before the encoder's tensors in the checkpoint of a model with a head.
    base: &'static str,
    /// Writes the encoder; gives the last hidden state, `[batch, tokens, width]`.
    encode: fn(&mut Network<'_>) -> Emitted,
    /// Writes the head of `…ForSequenceClassification`; gives logits, `[batch, labels]`.
    classify: Head,
    /// Writes that of `…ForTokenClassification`; gives logits, `[batch, tokens, labels]`.
    classify_tokens: Head,
    /// Writes that of `…ForMaskedLM`; gives logits, `[batch, tokens, vocabulary]`.
    predict: Head,
    /// Tensors of the encoder that nothing here needs: parts of names after `base`.
    unused: &'static [&'static str],
}

/// Writes a head over the last hidden state.
type Head = fn(&mut Network<'_>, &str) -> Emitted;

const ARCHITECTURES: &[Architecture] = &[
    albert::ALBERT,
    bert::BERT,
    bert::BIG_BIRD,
    bert::ELECTRA,
    bert::ERNIE,
    bert::MEGATRON_BERT,
    bert::REMBERT,
    convbert::CONVBERT,
    deberta::DEBERTA,
    deberta::DEBERTA_V2,
    distilbert::DISTILBERT,
    esm::ESM,
    mobilebert::MOBILEBERT,
    modernbert::MODERNBERT,
    mpnet::MPNET,
    roberta::CAMEMBERT,
    roberta::DATA2VEC_TEXT,
    roberta::ROBERTA,
    roberta::XLM_ROBERTA,
    roformer::ROFORMER,
    squeezebert::SQUEEZEBERT,
    t5::T5,
];

/// The graph of a checkpoint with the head of the model's task, all tensors in it, and the
/// SHA-256 of what it was made of.
pub(crate) fn read(path: &Path, model: &Model) -> Result<(ModelProto, [u8; 32]), BuildError> {
    let settings = Settings::parse(&model.config_path, &model.config_json)?;
    let model_type = settings.text("model_type", "")?;
    let known = ARCHITECTURES.iter().find(|it| it.model_type == model_type);
    let architecture = known.ok_or_else(|| BuildError::Architecture {
        path: model.config_path.clone(),
        model_type: model_type.clone(),
    })?;
    let checkpoint = Checkpoint::open(path)?;
    let mut network = Network::new(&checkpoint, &settings, OPSET, model.pipeline.labels.len());
    let graph = architecture.write(&mut network, model)?;
    network.refuse_superfluous(architecture.unused)?;
    settings.refuse_unread()?;
    let proto = ModelProto {
        // The first that has this opset.
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
        graph: Some(graph),
    };
    Ok((proto, checkpoint.sha256(&model.config_json)))
}

impl Architecture {
    fn write(&self, network: &mut Network<'_>, model: &Model) -> Result<GraphProto, BuildError> {
        network.enter_base(self.base);
        let hidden = (self.encode)(network)?;
        let head: Option<Head> = match model.task {
            // A head of modules is not in the graph.
            Task::SequenceClassification if !model.pipeline.pooling.is_empty() => None,
            Task::SequenceClassification => Some(self.classify),
            Task::TokenClassification => Some(self.classify_tokens),
            Task::FillMask | Task::SparseEmbedding => Some(self.predict),
            Task::Embedding | Task::SentenceEmbedding | Task::LateInteraction => None,
        };
        let Some(head) = head else {
            return Ok(network.finish(&hidden, "last_hidden_state"));
        };
        network.leave_base();
        let logits = head(network, &hidden)?;
        Ok(network.finish(&logits, "logits"))
    }
}
