//! config.json as an architecture reads it: every key is asked for, or known to mean nothing
//! for what is computed here, or refused.

use crate::error::BuildError;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Keys of text generation, which transformers 2 to 4 have written into every config.
const OF_GENERATION: &[&str] = &[
    "bad_words_ids",
    "begin_suppress_tokens",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_scores",
    "prefix",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict_in_generate",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "top_k",
    "top_p",
    "typical_p",
];

/// Keys that change nothing of what an encoder computes at inference, or are read elsewhere
/// (labels, activations, padding, the tokenizer); and what others than transformers write, and
/// none of its classes reads: FARM's `name`, `pre_trained` and what stands with it of TinyBERT,
/// `enable_recompute` and others of PaddleNLP, `emb_size` of rubert-tiny.
const WITHOUT_EFFECT: &[&str] = &[
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_name_or_path",
    "_num_labels",
    "add_cross_attention",
    "architectures",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "bos_token_id",
    "cell",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "classifier_dropout_prob",
    "cls_token_id",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "directionality",
    "down_scale_factor",
    "dropout",
    "dtype",
    "emb_size",
    "enable_recompute",
    "eos_token_id",
    "eos_token_ids",
    "finetuning_task",
    "fuse",
    "gap_size",
    "gradient_checkpointing",
    "hidden_dropout_prob",
    "id2label",
    "initializer_factor",
    "initializer_range",
    "is_decoder",
    "is_encoder_decoder",
    "label2id",
    "language",
    "layers_to_keep",
    "mask_token_id",
    "max_position_embeddings",
    "memory_attention",
    "model_name",
    "model_type",
    "name",
    "net_structure_type",
    "num_labels",
    "num_memory_blocks",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "pad_token_id",
    "paddlenlp_version",
    "pool_act",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
    "pre_trained",
    "problem_type",
    "qa_dropout",
    "return_dict",
    "sbert_ce_default_activation_function",
    "sentence_transformers",
    "sep_token_id",
    "seq_classif_dropout",
    "sinusoidal_pos_embds",
    "structure",
    "summary_activation",
    "summary_last_dropout",
    "summary_type",
    "summary_use_proj",
    "tie_encoder_decoder",
    "tie_weights_",
    "tie_word_embeddings",
    "tokenizer_class",
    "torch_dtype",
    "torchscript",
    "training",
    "transformers.js_config",
    "transformers_version",
    "unk_token_id",
    "use_bfloat16",
    "use_cache",
    "xla_device",
];

/// Other names of keys, of which `attribute_map` of the class in transformers says that they are
/// the same: architectures, the other name, and the key. The other name counts where both are said.
const OTHER_NAMES: &[(&[&str], &str, &str)] = &[
    (&["distilbert"], "hidden_size", "dim"),
    (&["distilbert"], "num_attention_heads", "n_heads"),
    (&["distilbert"], "num_hidden_layers", "n_layers"),
    (&["flaubert", "xlm"], "hidden_size", "emb_dim"),
    (&["flaubert", "xlm"], "n_words", "vocab_size"),
    (&["flaubert", "xlm"], "num_attention_heads", "n_heads"),
    (&["flaubert", "xlm"], "num_hidden_layers", "n_layers"),
    (&["t5"], "head_dim", "d_kv"),
    (&["t5"], "hidden_size", "d_model"),
    (&["t5"], "num_attention_heads", "num_heads"),
    (&["t5"], "num_hidden_layers", "num_layers"),
];

/// Far more than any encoder has.
const LAYERS_MAX: usize = 1 << 10;

/// A config.json whose keys are counted as they are read.
pub(super) struct Settings {
    path: PathBuf,
    json: Map<String, Value>,
    read: RefCell<HashSet<&'static str>>,
}

impl Settings {
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, BuildError> {
        let mut json = serde_json::from_slice(bytes).map_err(|source| BuildError::Json {
            path: path.to_owned(),
            source,
        })?;
        super::complete(&mut json);
        Ok(Self {
            path: path.to_owned(),
            json,
            read: RefCell::default(),
        })
    }

    /// Says that a key changes nothing of what is computed here.
    pub(super) fn without_effect(&self, key: &'static str) {
        self.read.borrow_mut().insert(key);
    }

    fn get(&self, key: &'static str) -> Option<&Value> {
        let name = self.name_of(key);
        self.read.borrow_mut().extend([key, name]);
        self.said(name)
    }

    /// A value, unless it is null.
    fn said(&self, key: &str) -> Option<&Value> {
        self.json.get(key).filter(|value| !value.is_null())
    }

    /// What config.json calls a key: by another name, if it has that.
    fn name_of<'a>(&self, key: &'a str) -> &'a str {
        let model_type = self.said("model_type").and_then(Value::as_str);
        let is_of = |(types, other, of): &&(&[&str], &str, &str)| {
            *of == key
                && types.iter().any(|it| Some(*it) == model_type)
                && self.said(other).is_some()
        };
        OTHER_NAMES
            .iter()
            .find(is_of)
            .map_or(key, |(_, other, _)| other)
    }

    /// Whether a key is there, and not null.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.said(self.name_of(key)).is_some()
    }

    /// Whether a key is there with null for its value.
    pub(super) fn is_null(&self, key: &'static str) -> bool {
        self.json.get(key).is_some_and(Value::is_null)
    }

    pub(super) fn refuse(&self, key: &str) -> BuildError {
        let key = self.name_of(key);
        let found = self.json.get(key).unwrap_or(&Value::Null);
        BuildError::key(&self.path, key, found)
    }

    /// Refuses a key that holds for texts of `most` tokens, and not of `longest`.
    pub(super) fn too_long(&self, key: &str, most: usize, longest: u32) -> BuildError {
        BuildError::TooLong {
            path: self.path.clone(),
            key: key.to_owned(),
            value: self.json.get(key).unwrap_or(&Value::Null).to_string(),
            most,
            longest,
        }
    }

    fn or<T>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, BuildError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => read(value).ok_or_else(|| self.refuse(key)),
        }
    }

    /// A number of something; the architecture's own default where nothing is said.
    pub(super) fn count(&self, key: &'static str, default: usize) -> Result<usize, BuildError> {
        self.or(key, default, |value| usize::try_from(value.as_u64()?).ok())
    }

    /// A number above zero of something; the architecture's own default where nothing is said.
    pub(super) fn size_or(&self, key: &'static str, default: usize) -> Result<usize, BuildError> {
        match self.count(key, default)? {
            0 if self.has(key) => Err(self.refuse(key)),
            size => Ok(size),
        }
    }

    /// A number above zero of something, which must be said.
    pub(super) fn size(&self, key: &'static str) -> Result<usize, BuildError> {
        match self.size_or(key, 0)? {
            0 => Err(self.refuse(key)),
            size => Ok(size),
        }
    }

    /// How many layers there are: the largest encoders have a hundred, and ALBERT's cost no
    /// tensors that would have to be there.
    pub(super) fn layers(&self, key: &'static str) -> Result<usize, BuildError> {
        match self.size(key)? {
            layers if layers <= LAYERS_MAX => Ok(layers),
            _ => Err(self.refuse(key)),
        }
    }

    pub(super) fn integer(&self, key: &'static str, default: i64) -> Result<i64, BuildError> {
        self.or(key, default, Value::as_i64)
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "what is computed is float32"
    )]
    pub(super) fn float(&self, key: &'static str, default: f32) -> Result<f32, BuildError> {
        self.or(key, default, |value| Some(value.as_f64()? as f32))
    }

    pub(super) fn flag(&self, key: &'static str, default: bool) -> Result<bool, BuildError> {
        self.or(key, default, Value::as_bool)
    }

    pub(super) fn text(&self, key: &'static str, default: &str) -> Result<String, BuildError> {
        self.or(key, default.to_owned(), |value| {
            Some(value.as_str()?.to_owned())
        })
    }

    /// Words in a list, or with `|` between them.
    pub(super) fn words(&self, key: &'static str) -> Result<Vec<String>, BuildError> {
        self.or(key, Vec::new(), |value| match value {
            Value::String(words) => Some(words.split('|').map(str::to_owned).collect()),
            Value::Array(words) => {
                let words = words.iter().map(|word| Some(word.as_str()?.to_owned()));
                words.collect()
            }
            _ => None,
        })
    }

    /// The names of the classes in `auto_map`, without files and repositories.
    pub(super) fn own_classes(&self) -> Result<Vec<String>, BuildError> {
        let key = "auto_map";
        let Some(map) = self.object(key)? else {
            return Ok(Vec::new());
        };
        let class = |value: &Value| Some(value.as_str()?.rsplit('.').next()?.to_owned());
        let classes: Option<Vec<String>> = map.values().map(class).collect();
        classes.ok_or_else(|| self.refuse(key))
    }

    /// Keys and values in one.
    pub(super) fn object(
        &self,
        key: &'static str,
    ) -> Result<Option<&Map<String, Value>>, BuildError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(self.refuse(key)),
        }
    }

    /// Whether each of `layers` layers is local: as `layer_types` says, or else `is_local`.
    pub(super) fn local_layers(
        &self,
        layers: usize,
        is_local: impl Fn(usize) -> bool,
    ) -> Result<Vec<bool>, BuildError> {
        let key = "layer_types";
        let Some(types) = self.get(key) else {
            return Ok((0..layers).map(is_local).collect());
        };
        let types = types.as_array().filter(|it| it.len() == layers);
        let types = types.into_iter().flatten().map(|it| match it.as_str() {
            Some("sliding_attention") => Some(true),
            Some("full_attention") => Some(false),
            _ => None,
        });
        let types: Option<Vec<bool>> = types.collect();
        let types = types.filter(|it| it.len() == layers);
        types.ok_or_else(|| self.refuse(key))
    }

    /// Refuses a key that says anything but what is served.
    pub(super) fn only(&self, key: &'static str, served: &Value) -> Result<(), BuildError> {
        match self.get(key) {
            Some(value) if value != served => Err(self.refuse(key)),
            _ => Ok(()),
        }
    }

    /// Refuses a key that does not say what is served, and one that says nothing.
    pub(super) fn exactly(&self, key: &'static str, served: &Value) -> Result<(), BuildError> {
        match self.get(key) {
            Some(value) if value == served => Ok(()),
            _ => Err(self.refuse(key)),
        }
    }

    /// Refuses what nobody asked for and is not known to have no effect.
    pub(super) fn refuse_unread(&self) -> Result<(), BuildError> {
        // Heads that were taken out would leave matrices of other shapes.
        self.only("pruned_heads", &Map::new().into())?;
        let read = self.read.borrow();
        let is_known = |key: &str| WITHOUT_EFFECT.contains(&key) || OF_GENERATION.contains(&key);
        let is_unread = |(key, value): &(&String, &Value)| {
            !value.is_null() && !read.contains(key.as_str()) && !is_known(key)
        };
        match self.json.iter().find(is_unread) {
            Some((key, value)) => Err(BuildError::UnknownKey {
                path: self.path.clone(),
                key: key.clone(),
                value: value.to_string(),
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{OTHER_NAMES, Settings};
    use serde_json::json;
    use std::path::Path;

    #[test]
    fn the_other_name_counts_before_the_usual_one() {
        for (types, other, key) in OTHER_NAMES {
            for model_type in *types {
                let read = |other_value: serde_json::Value| {
                    let json = json!({"model_type": model_type, *other: other_value, *key: 5});
                    let path = Path::new("config.json");
                    let settings = Settings::parse(path, json.to_string().as_bytes()).unwrap();
                    settings.text("model_type", "").unwrap();
                    let count = settings.count(key, 7).unwrap();
                    settings.refuse_unread().unwrap();
                    (count, settings.refuse(key).to_string())
                };
                let (count, refused) = read(json!(3));
                assert_eq!(count, 3, "{model_type} {other}");
                assert!(refused.contains(&format!("`{other}`: 3")), "{refused}");
                let (count, refused) = read(json!(null));
                assert_eq!(count, 5, "{model_type} {other}");
                assert!(refused.contains(&format!("`{key}`: 5")), "{refused}");
            }
        }
    }

    #[test]
    fn another_architecture_has_no_other_names() {
        let json = json!({"model_type": "bert", "n_words": 3, "vocab_size": 5});
        let settings = Settings::parse(Path::new("config.json"), json.to_string().as_bytes());
        let settings = settings.unwrap();
        assert_eq!(settings.count("vocab_size", 7).unwrap(), 5);
        let refused = settings.refuse_unread().unwrap_err().to_string();
        assert!(refused.contains("n_words"), "{refused}");
    }
}
