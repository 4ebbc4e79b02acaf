//! Graphs of checkpoints: what the Python class of an architecture computes, written as ONNX.
//!
//! Each architecture is one file, which says how its encoder and its heads are made of
//! [`Network`]'s layers; config.json says their sizes. Code of a model folder is never run.

mod activation;
mod albert;
mod bert;
mod convbert;
mod deberta;
mod decoder;
mod distilbert;
mod esm;
mod eurobert;
mod gated;
mod gemma;
mod jina;
mod layers;
mod mobilebert;
mod modernbert;
mod mpnet;
mod network;
mod relative;
mod roberta;
mod roformer;
mod rotary;
mod rotary_bert;
mod settings;
mod squeezebert;
mod t5;
mod xlm;

use crate::checkpoint::Checkpoint;
use crate::error::BuildError;
use crate::folder::Model;
use encoderfile::manifest::Task;
use encoderfile::onnx::{GraphProto, ModelProto, OperatorSetIdProto};
use network::{Emitted, Network};
use serde_json::{Map, Value};
use settings::Settings;
use std::path::Path;

/// The opset that graphs are written in: the first with `LayerNormalization`.
const OPSET: i64 = 17;

/// An architecture: its encoder and its heads.
pub(super) struct Architecture {
    /// `model_type` in config.json.
    model_type: &'static str,
    /// Which code of their own its folders name.
    code: Code,
    /// What stands before the encoder's tensors in the checkpoint of a model with a head: one
    /// of these.
    bases: &'static [&'static str],
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

/// What `auto_map` in config.json names: classes of Python code that lies in the folder or on the
/// hub. It is never run; where it is known what such classes compute, config.json says the rest.
#[derive(Clone, Copy)]
enum Code {
    /// None: transformers has the architecture.
    None,
    /// Classes whose names begin so, in folders older than the architecture in transformers.
    MayBe(&'static str),
    /// Such classes always.
    Is(&'static str),
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
    eurobert::EUROBERT,
    gemma::GEMMA_3_TEXT,
    jina::JINA_BERT,
    mobilebert::MOBILEBERT,
    modernbert::MODERNBERT,
    mpnet::MPNET,
    roberta::CAMEMBERT,
    roberta::DATA2VEC_TEXT,
    roberta::ROBERTA,
    roberta::XLM_ROBERTA,
    roformer::ROFORMER,
    rotary_bert::GTE,
    rotary_bert::NEW,
    rotary_bert::NOMIC_BERT,
    squeezebert::SQUEEZEBERT,
    t5::T5,
    xlm::FLAUBERT,
    xlm::XLM,
];

/// The graph of a checkpoint with the head of the model's task, all tensors in it, and the
/// SHA-256 of what it was made of.
pub(crate) fn read(path: &Path, model: &Model) -> Result<(ModelProto, [u8; 32]), BuildError> {
    let settings = Settings::parse(&model.config_path, &model.config_json)?;
    let architecture = architecture(&settings, &model.config_path)?;
    let checkpoint = Checkpoint::open(path)?;
    let mut network = Network::new(&checkpoint, &settings, OPSET, model);
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

/// What follows the architecture in the name of a class.
const HEADS: [&str; 4] = ["model", "for", "withlmhead", "encodermodel"];

/// All keys of config.json in BERT's first release, before any other architecture had one.
const OF_THE_FIRST_BERT: [&str; 11] = [
    "attention_probs_dropout_prob",
    "hidden_act",
    "hidden_dropout_prob",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "type_vocab_size",
    "vocab_size",
];

/// What a config.json without `model_type` is taken to be of.
pub(crate) struct Completed {
    pub(crate) model_type: &'static str,
    /// What says so, for people.
    pub(crate) source: String,
}

/// Completes a config.json without `model_type`, as transformers before 2.9 wrote it: by its
/// class, for `BertForMaskedLM` is of `bert`; and by its keys where it names none.
pub(crate) fn complete(json: &mut Map<String, Value>) -> Option<Completed> {
    let is_unsaid = |key: &str| json.get(key).is_none_or(Value::is_null);
    if !is_unsaid("model_type") {
        return None;
    }
    let completed = match is_unsaid("architectures") {
        true => of_the_first_bert(json)?,
        false => of_class(json["architectures"][0].as_str()?)?,
    };
    json.insert("model_type".into(), completed.model_type.into());
    Some(completed)
}

fn of_class(class: &str) -> Option<Completed> {
    let lower = class.to_lowercase();
    let is_of = |it: &&Architecture| {
        let letters = it.model_type.replace(['-', '_'], "");
        let head = lower.strip_prefix(&letters);
        head.is_some_and(|head| HEADS.iter().any(|it| head.starts_with(it)))
    };
    Some(Completed {
        model_type: ARCHITECTURES.iter().find(is_of)?.model_type,
        source: format!("config.json architectures ({class}), without model_type"),
    })
}

fn of_the_first_bert(json: &Map<String, Value>) -> Option<Completed> {
    let has_all = OF_THE_FIRST_BERT.iter().all(|it| json.contains_key(*it));
    let has_others = json
        .keys()
        .any(|it| !OF_THE_FIRST_BERT.contains(&it.as_str()));
    (has_all && !has_others).then(|| Completed {
        model_type: bert::BERT.model_type,
        source: "config.json, whose keys are those of BERT's first release".into(),
    })
}

/// The architecture that config.json names.
fn architecture(settings: &Settings, path: &Path) -> Result<&'static Architecture, BuildError> {
    let model_type = settings.text("model_type", "")?;
    let classes = settings.own_classes()?;
    let mut of_type = ARCHITECTURES
        .iter()
        .filter(|it| it.model_type == model_type)
        .peekable();
    if of_type.peek().is_none() {
        return Err(BuildError::Architecture {
            path: path.to_owned(),
            model_type,
        });
    }
    let known = of_type.find(|it| it.code.allows(&classes));
    known.ok_or_else(|| settings.refuse("auto_map"))
}

impl Code {
    fn allows(self, classes: &[String]) -> bool {
        match self {
            Self::None => classes.is_empty(),
            Self::MayBe(prefix) => classes.iter().all(|it| it.starts_with(prefix)),
            Self::Is(prefix) => !classes.is_empty() && Self::MayBe(prefix).allows(classes),
        }
    }
}

impl Architecture {
    fn write(&self, network: &mut Network<'_>, model: &Model) -> Result<GraphProto, BuildError> {
        network.enter_base(self.bases);
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What config.json is completed with; and that only this changes.
    fn completed_with(json: &Value) -> Option<&'static str> {
        let before = json.as_object().unwrap().clone();
        let mut after = before.clone();
        let found = complete(&mut after).map(|it| it.model_type);
        let mut expected = before;
        if let Some(model_type) = found {
            expected.insert("model_type".into(), model_type.into());
        }
        assert_eq!(after, expected);
        found
    }

    #[test]
    fn a_class_says_what_model_type_does_not() {
        for (class, expected) in [
            ("BertForMaskedLM", Some("bert")),
            ("BertModel", Some("bert")),
            ("XLMModel", Some("xlm")),
            ("XLMWithLMHeadModel", Some("xlm")),
            ("XLMRobertaForTokenClassification", Some("xlm-roberta")),
            ("T5EncoderModel", Some("t5")),
            ("DistilBertForSequenceClassification", Some("distilbert")),
            ("BertGenerationEncoder", None),
            ("GPT2Model", None),
        ] {
            for json in [
                json!({"architectures": [class]}),
                json!({"architectures": [class], "model_type": null}),
            ] {
                assert_eq!(completed_with(&json), expected, "{class}");
            }
        }
    }

    #[test]
    fn the_keys_of_the_first_bert_say_it_too() {
        let mut json = json!({"hidden_act": "gelu"});
        for key in OF_THE_FIRST_BERT {
            assert_eq!(completed_with(&json), None, "before {key}");
            json[key] = 1.into();
        }
        assert_eq!(completed_with(&json), Some("bert"));
        json["embedding_size"] = 1.into();
        assert_eq!(completed_with(&json), None);
    }

    #[test]
    fn a_model_type_that_is_said_stays() {
        for json in [
            json!({"architectures": ["BertModel"], "model_type": "roberta"}),
            json!({"architectures": [], "hidden_size": 3}),
            json!({"architectures": "BertModel"}),
            json!({}),
        ] {
            assert_eq!(completed_with(&json), None);
        }
    }
}
