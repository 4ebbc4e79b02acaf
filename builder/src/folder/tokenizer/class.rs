//! Which tokenizer class of transformers 5 reads a folder, and what that class is:
//! its names, its default special tokens and which keys of tokenizer_config.json it
//! reads.
//!
//! Most classes take no more of tokenizer.json than its vocabulary and build the rest
//! themselves (`components.rs`); [`Class::Generic`] takes the file as it is.

use super::settings::NAMED;
use crate::error::BuildError;
use serde_json::Value;
use std::path::Path;

/// A tokenizer class of transformers 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Albert,
    Bert,
    BigBird,
    Camembert,
    Deberta,
    DebertaV2,
    DistilBert,
    Gemma,
    /// `TokenizersBackend`, which older versions call `PreTrainedTokenizerFast`.
    Generic,
    Gpt2,
    Llama,
    Mpnet,
    RemBert,
    Roberta,
    T5,
    XlmRoberta,
}

/// A class with its names, the newest first, and the model types that have it where
/// no file names a class.
type Named = (Class, &'static [&'static str], &'static [&'static str]);

const NAMES: [Named; 16] = [
    (
        Class::Albert,
        &["AlbertTokenizer", "FNetTokenizer"],
        &["albert", "yoso", "fnet"],
    ),
    (
        Class::Bert,
        &[
            "BertTokenizer",
            "ConvBertTokenizer",
            "DPRContextEncoderTokenizer",
            "DPRQuestionEncoderTokenizer",
            "ElectraTokenizer",
            "LayoutLMTokenizer",
            "LxmertTokenizer",
            "MobileBertTokenizer",
            "SqueezeBertTokenizer",
        ],
        &[
            "align",
            "bert",
            "blip",
            "bros",
            "chinese_clip",
            "convbert",
            "distilbert",
            "dpr",
            "electra",
            "ernie",
            "flava",
            "git",
            "layoutlm",
            "lxmert",
            "megatron-bert",
            "mobilebert",
            "nezha",
            "nomic_bert",
            "qdqbert",
            "realm",
            "retribert",
            "squeezebert",
            "vilt",
            "visual_bert",
        ],
    ),
    (Class::BigBird, &["BigBirdTokenizer"], &["big_bird"]),
    (Class::Camembert, &["CamembertTokenizer"], &["camembert"]),
    (Class::Deberta, &["DebertaTokenizer"], &["deberta"]),
    (Class::DebertaV2, &["DebertaV2Tokenizer"], &["deberta-v2"]),
    (Class::DistilBert, &["DistilBertTokenizer"], &[]),
    (
        Class::Gemma,
        &["GemmaTokenizer"],
        &[
            "gemma",
            "gemma2",
            "gemma3",
            "gemma3_text",
            "gemma3n",
            "gemma3n_text",
            "t5gemma",
        ],
    ),
    (
        Class::Generic,
        &["TokenizersBackend", "PreTrainedTokenizer", "BloomTokenizer"],
        &[],
    ),
    (
        Class::Gpt2,
        &["GPT2Tokenizer"],
        &["gpt2", "gpt_neo", "gptj", "opt", "phi", "starcoder2"],
    ),
    (Class::Llama, &["LlamaTokenizer"], &["idefics", "idefics2"]),
    (Class::Mpnet, &["MPNetTokenizer"], &["mpnet"]),
    (Class::RemBert, &["RemBertTokenizer"], &["rembert"]),
    (
        Class::Roberta,
        &[
            "RobertaTokenizer",
            "BartTokenizer",
            "LEDTokenizer",
            "LongformerTokenizer",
            "MvpTokenizer",
        ],
        &[
            "bart",
            "bridgetower",
            "clap",
            "data2vec-text",
            "ibert",
            "led",
            "lilt",
            "longformer",
            "mega",
            "mra",
            "mvp",
            "roberta",
            "roberta-prelayernorm",
        ],
    ),
    (
        Class::T5,
        &["T5Tokenizer"],
        &["mt5", "switch_transformers", "t5"],
    ),
    (
        Class::XlmRoberta,
        &["XLMRobertaTokenizer"],
        &[
            "gte",
            "jina_embeddings_v3",
            "metaclip_2",
            "xlm-roberta",
            "xmod",
        ],
    ),
];

/// Classes that transformers knows and this program does not: they tokenise in Python,
/// or build a tokenizer of their own. Names that are in neither list are nobody's, and
/// transformers reads such a folder with [`Class::Generic`].
const UNSUPPORTED: [(&str, &str); 63] = [
    ("BarthezTokenizer", "barthez"),
    ("BartphoTokenizer", "bartpho"),
    ("BertGenerationTokenizer", "bert-generation"),
    ("BertJapaneseTokenizer", "bert-japanese"),
    ("BertweetTokenizer", "bertweet"),
    ("BioGptTokenizer", "biogpt"),
    ("BlenderbotSmallTokenizer", "blenderbot-small"),
    ("BlenderbotTokenizer", "blenderbot"),
    ("ByT5Tokenizer", "byt5"),
    ("CLIPTokenizer", "clip"),
    ("CTRLTokenizer", "ctrl"),
    ("CanineTokenizer", "canine"),
    ("ClvpTokenizer", "clvp"),
    ("CodeGenTokenizer", "codegen"),
    ("CodeLlamaTokenizer", "code_llama"),
    ("CohereTokenizer", "cohere"),
    ("CpmAntTokenizer", "cpmant"),
    ("CpmTokenizer", "cpm"),
    ("DPRReaderTokenizer", ""),
    ("EsmTokenizer", "esm"),
    ("EsmcTokenizer", "esmc"),
    ("FSMTTokenizer", "fsmt"),
    ("FlaubertTokenizer", "flaubert"),
    ("FunnelTokenizer", "funnel"),
    ("GPTNeoXJapaneseTokenizer", "gpt_neox_japanese"),
    ("GPTNeoXTokenizer", "gpt_neox"),
    ("GPTSw3Tokenizer", "gpt-sw3"),
    ("HerbertTokenizer", "herbert"),
    ("LasrTokenizer", "lasr_encoder"),
    ("LayoutLMv2Tokenizer", "layoutlmv2"),
    ("LayoutLMv3Tokenizer", "layoutlmv3"),
    ("LayoutXLMTokenizer", "layoutxlm"),
    ("LukeTokenizer", "luke"),
    ("M2M100Tokenizer", "m2m_100"),
    ("MBart50Tokenizer", "mbart50"),
    ("MBartTokenizer", "mbart"),
    ("MLukeTokenizer", "mluke"),
    ("MarianTokenizer", "marian"),
    ("MarkupLMTokenizer", "markuplm"),
    ("MyT5Tokenizer", "myt5"),
    ("NllbTokenizer", "nllb"),
    ("NougatTokenizer", "nougat"),
    ("OpenAIGPTTokenizer", "openai-gpt"),
    ("PLBartTokenizer", "plbart"),
    ("PegasusTokenizer", "pegasus"),
    ("PerceiverTokenizer", "perceiver"),
    ("PhobertTokenizer", "phobert"),
    ("ProphetNetTokenizer", "prophetnet"),
    ("Qwen2Tokenizer", "qwen2"),
    ("Qwen3_5Tokenizer", "qwen3_5"),
    ("ReformerTokenizer", "reformer"),
    ("RoCBertTokenizer", "roc_bert"),
    ("RoFormerTokenizer", "roformer"),
    ("SeamlessM4TTokenizer", "seamless_m4t"),
    ("Siglip2Tokenizer", "siglip2"),
    ("SiglipTokenizer", "siglip"),
    ("SplinterTokenizer", "splinter"),
    ("TapasTokenizer", "tapas"),
    ("UdopTokenizer", "udop"),
    ("WhisperTokenizer", "whisper"),
    ("XGLMTokenizer", "xglm"),
    ("XLMTokenizer", "xlm"),
    ("XLNetTokenizer", "xlnet"),
];

/// Model types whose folders name a class that transformers does not believe.
const WITH_A_WRONG_CLASS: [&str; 3] = ["modernbert", "modernbert-decoder", "siglip2"];

/// The class that reads a folder, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) class: Class,
    pub(super) source: String,
}

/// A name that is known, served or not.
enum Known {
    Served(Class),
    Unsupported(&'static str),
    Nobodys,
}

/// What the files say of the class.
pub(super) struct Said<'a> {
    /// tokenizer_config.json, and where it is.
    pub(super) tokenizer_config: (&'a Path, &'a Value),
    /// config.json, and where it is.
    pub(super) config: (&'a Path, &'a Value),
    /// Whether tokenizer.json has ByteLevel anywhere.
    pub(super) is_byte_level: bool,
}

impl Said<'_> {
    /// As `AutoTokenizer` of transformers 5.24 decides.
    pub(super) fn choose(&self) -> Result<Choice, BuildError> {
        let (path, tokenizer_config) = self.tokenizer_config;
        let (config_path, config) = self.config;
        let name = |path: &Path, value: &Value| match value {
            Value::Null => Ok(None),
            Value::String(name) => Ok(Some(name.strip_suffix("Fast").unwrap_or(name).to_owned())),
            other => Err(BuildError::key(path, "tokenizer_class", other)),
        };
        let named = name(path, &tokenizer_config["tokenizer_class"])?
            .map(|name| (name, "tokenizer_config.json tokenizer_class"))
            .or(name(config_path, &config["tokenizer_class"])?
                .map(|name| (name, "config.json tokenizer_class")));
        let model_type = config["model_type"].as_str().unwrap_or_default();
        let of_type = of_model_type(model_type);
        let of_type_source = format!("config.json model_type {model_type}");
        let Some((name, source)) = named else {
            if remote_code(tokenizer_config).is_some() {
                return Err(self.remote_code());
            }
            return self.served(of_type, of_type_source);
        };
        if remote_code(tokenizer_config).is_some() {
            return match of_name(&name) {
                Known::Nobodys => Err(self.remote_code()),
                known => self.served(known, source.into()),
            };
        }
        let is_llama = name == "LlamaTokenizer" && self.is_byte_level;
        if is_llama && !WITH_A_WRONG_CLASS.contains(&model_type) {
            let source = "tokenizer.json is ByteLevel, which LlamaTokenizer is not";
            return self.served(Known::Served(Class::Generic), source.into());
        }
        if WITH_A_WRONG_CLASS.contains(&model_type) {
            return self.served(of_type, of_type_source);
        }
        self.served(of_name(&name), source.into())
    }

    fn served(&self, known: Known, source: String) -> Result<Choice, BuildError> {
        match known {
            Known::Served(class) => Ok(Choice { class, source }),
            Known::Nobodys => Ok(Choice {
                class: Class::Generic,
                source,
            }),
            Known::Unsupported(class) => Err(BuildError::TokenizerClass {
                path: self.tokenizer_config.0.to_owned(),
                class: class.into(),
                source_key: source,
            }),
        }
    }

    fn remote_code(&self) -> BuildError {
        let (path, tokenizer_config) = self.tokenizer_config;
        BuildError::key(path, "auto_map", &tokenizer_config["auto_map"])
    }
}

/// The class in somebody's own file of Python, where the folder names one.
fn remote_code(tokenizer_config: &Value) -> Option<&Value> {
    let map = &tokenizer_config["auto_map"];
    let entry = if map.is_array() {
        map
    } else {
        &map["AutoTokenizer"]
    };
    (!entry.is_null()).then_some(entry)
}

fn of_name(name: &str) -> Known {
    let served = NAMES.iter().find(|(_, names, _)| names.contains(&name));
    let unsupported = UNSUPPORTED.iter().find(|(known, _)| *known == name);
    match (served, unsupported) {
        (Some((class, ..)), _) => Known::Served(*class),
        (None, Some((known, _))) => Known::Unsupported(known),
        (None, None) => Known::Nobodys,
    }
}

fn of_model_type(model_type: &str) -> Known {
    let served = NAMES.iter().find(|(.., types)| types.contains(&model_type));
    let unsupported = UNSUPPORTED.iter().find(|(_, known)| *known == model_type);
    match (served, unsupported) {
        (Some((class, ..)), _) => Known::Served(*class),
        (None, Some((known, _))) if !model_type.is_empty() => Known::Unsupported(known),
        _ => Known::Nobodys,
    }
}

impl Class {
    /// As transformers 5 spells it.
    pub(super) fn name(self) -> &'static str {
        let named = NAMES.iter().find(|(class, ..)| *class == self);
        named.map_or("", |(_, names, _)| names[0])
    }

    /// Special tokens that it has where no file names them, by their keys.
    pub(super) fn default_tokens(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        // bos, eos, unk, sep, pad, cls and mask; empty for none.
        let tokens = match self {
            Self::Albert | Self::RemBert => [
                "[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]",
            ],
            Self::Bert | Self::DistilBert => ["", "", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"],
            Self::BigBird => ["<s>", "</s>", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"],
            Self::Camembert | Self::Roberta | Self::XlmRoberta => {
                ["<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"]
            }
            Self::Deberta | Self::DebertaV2 => [
                "[CLS]", "[SEP]", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]",
            ],
            Self::Gemma => ["<bos>", "<eos>", "<unk>", "", "<pad>", "", "<mask>"],
            Self::Generic => [""; 7],
            Self::Gpt2 => [
                "<|endoftext|>",
                "<|endoftext|>",
                "<|endoftext|>",
                "",
                "",
                "",
                "",
            ],
            Self::Llama => ["<s>", "</s>", "<unk>", "", "", "", ""],
            Self::Mpnet => ["<s>", "</s>", "[UNK]", "</s>", "<pad>", "<s>", "<mask>"],
            Self::T5 => ["", "</s>", "<unk>", "", "<pad>", "", ""],
        };
        NAMED
            .into_iter()
            .zip(tokens)
            .filter(|(_, token)| !token.is_empty())
    }

    /// Whether the class makes segment ids where no file lists `model_input_names`.
    pub(super) fn makes_type_ids(self) -> bool {
        matches!(self, Self::Bert | Self::Deberta | Self::DebertaV2)
    }

    /// The same of transformers 4, where 5 no longer does.
    pub(super) fn made_type_ids_before_5(self) -> bool {
        matches!(self, Self::Albert | Self::Generic | Self::RemBert)
    }

    /// Whether transformers 4 reads a key and 5 does not: what is put around a text
    /// is tokenizer.json's to say.
    pub(super) fn drops_since_5(self, key: &str) -> bool {
        matches!(self, Self::Gemma | Self::Llama)
            && ["add_bos_token", "add_eos_token"].contains(&key)
    }

    /// Keys of tokenizer_config.json that change how this class tokenises.
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Albert => &["do_lower_case", "keep_accents", "add_prefix_space"],
            Self::RemBert => &["do_lower_case", "keep_accents", "add_prefix_space"],
            Self::Bert | Self::DistilBert | Self::Mpnet => {
                &["do_lower_case", "strip_accents", "tokenize_chinese_chars"]
            }
            Self::BigBird | Self::Camembert | Self::XlmRoberta => &["add_prefix_space"],
            Self::Deberta | Self::Gpt2 => &["add_prefix_space"],
            Self::DebertaV2 => &[
                "do_lower_case",
                "split_by_punct",
                "add_prefix_space",
                "unk_id",
            ],
            Self::Gemma | Self::Generic => &[],
            Self::Llama => &["add_prefix_space", "legacy"],
            Self::Roberta => &["add_prefix_space", "trim_offsets"],
            Self::T5 => &["extra_ids"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn choose(tokenizer_config: &Value, config: &Value, is_byte_level: bool) -> String {
        let said = Said {
            tokenizer_config: (Path::new("tokenizer_config.json"), tokenizer_config),
            config: (Path::new("config.json"), config),
            is_byte_level,
        };
        match said.choose() {
            Ok(choice) => choice.class.name().into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_class_is_the_one_that_auto_tokenizer_takes() {
        let bert = json!({"model_type": "bert"});
        let none = json!({});
        let named = |name: &str| json!({ "tokenizer_class": name });
        assert_eq!(choose(&none, &bert, false), "BertTokenizer");
        assert_eq!(choose(&Value::Null, &bert, false), "BertTokenizer");
        assert_eq!(
            choose(&named("ElectraTokenizerFast"), &bert, false),
            "BertTokenizer"
        );
        assert_eq!(
            choose(&named("PreTrainedTokenizerFast"), &bert, false),
            "TokenizersBackend"
        );
        assert_eq!(
            choose(&named("XLMRobertaTokenizer"), &bert, false),
            "XLMRobertaTokenizer"
        );
        assert_eq!(
            choose(&named("SomebodysTokenizer"), &bert, false),
            "TokenizersBackend"
        );
        assert_eq!(
            choose(&none, &named("RobertaTokenizer"), false),
            "RobertaTokenizer"
        );
        assert_eq!(
            choose(&none, &json!({"model_type": "new"}), false),
            "TokenizersBackend"
        );
        let modernbert = json!({"model_type": "modernbert"});
        assert_eq!(
            choose(&named("BertTokenizer"), &modernbert, false),
            "TokenizersBackend"
        );
        assert_eq!(
            choose(&named("LlamaTokenizer"), &bert, true),
            "TokenizersBackend"
        );
        assert_eq!(
            choose(&named("LlamaTokenizer"), &bert, false),
            "LlamaTokenizer"
        );
    }

    #[test]
    fn a_class_of_python_is_refused_by_name() {
        let config = json!({"model_type": "esm"});
        let error = choose(&json!({}), &config, false);
        assert!(
            error.contains("EsmTokenizer") && error.contains("model_type"),
            "{error}"
        );
        let error = choose(
            &json!({"tokenizer_class": "PhobertTokenizerFast"}),
            &config,
            false,
        );
        assert!(error.contains("PhobertTokenizer"), "{error}");
        let remote = json!({"auto_map": {"AutoTokenizer": ["tokenization.Mine", null]}});
        let error = choose(&remote, &config, false);
        assert!(error.contains("auto_map"), "{error}");
    }
}
