//! config.json: task, activation, sizes.

mod labels;

use super::findings::Findings;
use super::parse_json;
use crate::architecture::{self, Completed};
use crate::error::BuildError;
use encoderfile::manifest::{Activation, Task};
use serde_json::Value;
use std::path::{Path, PathBuf};

pub use labels::LabelsSource;

/// Model types whose plain `…Model` is a decoder without saying so in its config.
const DECODER_MODEL_TYPES: [&str; 14] = [
    "bloom", "falcon", "gemma", "gemma2", "gpt2", "gpt_neo", "gpt_neox", "gptj", "llama",
    "mistral", "opt", "phi", "qwen2", "qwen3",
];

/// Model types that are decoders unless their config says that every token sees all.
const MAYBE_BIDIRECTIONAL: [&str; 2] = ["gemma3", "gemma3_text"];

/// Classes that predict masked words without being called `…ForMaskedLM`.
const MASKED_LANGUAGE_MODELS: [&str; 2] = ["FlaubertWithLMHeadModel", "XLMWithLMHeadModel"];

/// A parsed config.json and where it is.
pub(super) struct Config {
    pub(super) path: PathBuf,
    pub(super) json: Value,
    /// What says what `model_type` does not.
    completed: Option<Completed>,
}

impl Config {
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, BuildError> {
        let mut json = parse_json(path, bytes)?;
        let completed = json.as_object_mut().and_then(architecture::complete);
        let path = path.to_owned();
        Ok(Self {
            path,
            json,
            completed,
        })
    }

    pub(super) fn architecture(&self) -> Option<&str> {
        self.json["architectures"][0].as_str()
    }

    pub(super) fn model_type(&self) -> &str {
        self.json["model_type"].as_str().unwrap_or_default()
    }

    /// Says of what architecture the model is taken to be, where no `model_type` says it.
    pub(super) fn note_model_type(&self, findings: &mut Findings) {
        if let Some(Completed { model_type, source }) = &self.completed {
            findings.note("model type", *model_type, source.clone());
        }
    }

    /// XLM or `FlauBERT`, which have embeddings of languages, and of segments those of the words.
    pub(super) fn is_xlm(&self) -> bool {
        matches!(self.model_type(), "flaubert" | "xlm")
    }

    /// Says that nothing is added for the language of a text, where the model could.
    pub(super) fn note_languages(&self, findings: &mut Findings) {
        let languages = self.unsigned("n_langs").unwrap_or(1);
        if self.is_xlm() && languages > 1 && self.json["use_lang_emb"] != false {
            let meaning = "no embedding of one is added, as transformers does without `langs`";
            findings.note("language", meaning, "config.json n_langs");
        }
    }

    pub(super) fn unsigned(&self, key: &str) -> Option<u32> {
        self.json[key]
            .as_u64()
            .and_then(|it| u32::try_from(it).ok())
    }

    pub(super) fn vocabulary_size(&self) -> Option<u32> {
        self.unsigned("vocab_size")
    }

    pub(super) fn hidden_size(&self) -> Option<u32> {
        let names = ["hidden_size", "d_model", "dim", "n_embd", "emb_dim"];
        names.into_iter().find_map(|name| self.unsigned(name))
    }

    pub(super) fn refuse_decoders(&self) -> Result<(), BuildError> {
        let refuse = |why: String| {
            Err(BuildError::NotAnEncoder {
                path: self.path.clone(),
                why,
            })
        };
        let architecture = self.architecture().unwrap_or_default();
        // T5EncoderModel is the encoder alone, with the config of both.
        if self.json["is_encoder_decoder"] == true && !architecture.ends_with("EncoderModel") {
            return refuse("`is_encoder_decoder` is true".into());
        }
        if self.json["is_decoder"] == true {
            return refuse("`is_decoder` is true".into());
        }
        let decodes = |architecture: &str| {
            ["ForCausalLM", "LMHeadModel", "ForConditionalGeneration"]
                .iter()
                .any(|head| architecture.ends_with(head))
        };
        if decodes(architecture) && !MASKED_LANGUAGE_MODELS.contains(&architecture) {
            return refuse(format!("`architectures` names the decoder {architecture}"));
        }
        if DECODER_MODEL_TYPES.contains(&self.model_type()) {
            return refuse(format!("`model_type` is {}", self.model_type()));
        }
        let looks_back = self.json["use_bidirectional_attention"] != true;
        if MAYBE_BIDIRECTIONAL.contains(&self.model_type()) && looks_back {
            return refuse(format!(
                "`model_type` is {}, and `use_bidirectional_attention` is not true",
                self.model_type()
            ));
        }
        Ok(())
    }

    /// The task that the architecture's head is for.
    pub(super) fn task(&self) -> Result<Task, BuildError> {
        let architecture = self.architecture().unwrap_or_default();
        if architecture.ends_with("ForSequenceClassification") {
            return Ok(Task::SequenceClassification);
        }
        if architecture.ends_with("ForTokenClassification") {
            return Ok(Task::TokenClassification);
        }
        if architecture.ends_with("ForMaskedLM") || MASKED_LANGUAGE_MODELS.contains(&architecture) {
            return Ok(Task::FillMask);
        }
        if architecture.ends_with("Model") {
            return Ok(Task::Embedding);
        }
        Err(BuildError::UnknownHead {
            path: self.path.clone(),
            architecture: architecture.to_owned(),
        })
    }

    /// How logits become scores, and who says so. `activation` is what
    /// config_sentence_transformers.json says.
    pub(super) fn activations(
        &self,
        labels: usize,
        activation: Option<&str>,
    ) -> Result<Activations, BuildError> {
        let one_label = labels == 1;
        if let Some((function, key)) = self.cross_encoder_activation(activation) {
            let activation = match function.rsplit('.').next() {
                _ if !function.starts_with("torch.nn.") => None,
                Some("Identity") => Some(Activation::Identity),
                Some("Sigmoid") => Some(Activation::Sigmoid),
                Some("Softmax") => Some(Activation::Softmax),
                _ => None,
            };
            let Some(activation) = activation else {
                return Err(BuildError::key(&self.path, key, &function.into()));
            };
            return Ok(Activations {
                classify: activation,
                rerank: activation,
                source: key.to_owned(),
            });
        }
        let (classify, source) = match self.json["problem_type"].as_str() {
            Some("regression") => (Activation::Identity, "problem_type"),
            Some("multi_label_classification") => (Activation::Sigmoid, "problem_type"),
            Some("single_label_classification") | None if one_label => {
                (Activation::Sigmoid, "one label")
            }
            Some("single_label_classification") | None => (Activation::Softmax, "several labels"),
            Some(other) => return Err(BuildError::key(&self.path, "problem_type", &other.into())),
        };
        Ok(Activations {
            classify,
            // sentence-transformers looks at the number of labels alone.
            rerank: if one_label {
                Activation::Sigmoid
            } else {
                Activation::Identity
            },
            source: format!("config.json {source}"),
        })
    }

    /// What sentence-transformers' CrossEncoder applies, in its newest and its older places.
    fn cross_encoder_activation<'a>(
        &'a self,
        newest: Option<&'a str>,
    ) -> Option<(&'a str, &'static str)> {
        let nested = self.json["sentence_transformers"]["activation_fn"].as_str();
        let oldest = self.json["sbert_ce_default_activation_function"].as_str();
        newest
            .map(|it| (it, "config_sentence_transformers.json activation_fn"))
            .or(nested.map(|it| (it, "config.json sentence_transformers.activation_fn")))
            .or(oldest.map(|it| (it, "config.json sbert_ce_default_activation_function")))
    }
}

/// How logits become scores.
pub(super) struct Activations {
    /// transformers' text-classification pipeline.
    pub(super) classify: Activation,
    /// sentence-transformers' CrossEncoder.
    pub(super) rerank: Activation,
    pub(super) source: String,
}
