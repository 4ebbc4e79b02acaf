//! Folders of late interaction: `PyLate`'s, those of sentence-transformers'
//! `MultiVectorEncoder`, and Stanford's `ColBERT` as `PyLate` reads them.
//!
//! What each key means was established by running the references:
//! `tests/models/late_interaction.md`. A key that is not known there is refused.

mod multi_vector;

use super::settings::{NAME, Settings};
use super::weights::{self, DenseWeights, File, ModuleWeights};
use super::{Head, Keys, Listed, Sentence, problem_of, refuse_namesakes, refuse_unknown};
use crate::error::BuildError;
use crate::folder::findings::Findings;
use crate::folder::limit::Limit;
use crate::folder::tokenizer::Resolved;
use crate::folder::{Paths, read_json_if_there};
use encoderfile::manifest::{self, DenseFunction, QueryExpansion, RoleSequence};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tokenizers::{AddedToken, Tokenizer};

/// Keys of config_sentence_transformers.json that every kind of folder may have.
const KNOWN: [&str; 7] = [
    "__version__",
    "requirements",
    "keep_in_fp32_modules",
    "model_type",
    "prompts",
    "default_prompt_name",
    "similarity_fn_name",
];

/// Those that `PyLate` alone has.
const PYLATES: [&str; 7] = [
    "query_prefix",
    "document_prefix",
    "query_length",
    "document_length",
    "do_query_expansion",
    "attend_to_expansion_tokens",
    "skiplist_words",
];

/// Python's `string.punctuation`, a word of a skiplist each.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// Whose rules a folder follows where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    PyLate,
    MultiVectorEncoder,
}

/// What a folder says of its queries and documents, before its tokenizer is asked.
#[derive(Debug)]
pub(in crate::folder) struct LateInteraction {
    rules: Rules,
    /// Which file says most of it.
    path: PathBuf,
    /// Without the ids of tokens.
    settings: manifest::LateInteraction,
    /// Of queries and documents: the token, and the key that names it.
    prefixes: [Option<(&'static str, String)>; 2],
    /// What queries are expanded by; `None` for the tokenizer's mask token.
    expansion_token: Option<String>,
    skiplist: Vec<String>,
    /// Which file says the skiplist.
    skiplist_source: String,
}

/// `None` for a folder of something else.
pub(super) fn read(paths: &Paths) -> Result<Option<Sentence>, BuildError> {
    let folder = &paths.folder;
    let path = folder.join(NAME);
    let config = read_json_if_there(&path)?.unwrap_or_default();
    let modules = read_json_if_there(&folder.join("modules.json"))?.unwrap_or_default();
    let modules = modules.as_array().map_or(&[][..], Vec::as_slice);
    let is_pylates = |module: &Value| {
        let class = module["type"].as_str();
        class.is_some_and(|class| class.starts_with("pylate."))
    };
    let says = |key: &&str| !config[*key].is_null();
    let is_pylates = modules.iter().any(is_pylates) || PYLATES.iter().any(says);
    let sentence = match config["model_type"].as_str() {
        Some("MultiVectorEncoder") => multi_vector::read(folder, &path, &config)?,
        Some("ColBERT") => pylate(folder, &path, &config)?,
        // A ColBERT that began as another model keeps that one's type.
        None | Some("SentenceTransformer") if is_pylates => pylate(folder, &path, &config)?,
        None | Some("SentenceTransformer") if modules.len() < 2 && is_stanfords(&paths.config)? => {
            stanford(folder, &path, &config)?
        }
        _ => return Ok(None),
    };
    Ok(Some(sentence))
}

impl LateInteraction {
    /// What it means with the folder's tokenizer, which then knows both prefixes.
    pub(in crate::folder) fn resolve(
        &self,
        paths: &Paths,
        resolved: &mut Resolved,
        lower_case: bool,
        max_length: Option<u32>,
        findings: &mut Findings,
    ) -> Result<manifest::LateInteraction, BuildError> {
        let unusable = |error: tokenizers::Error| BuildError::Tokenizer {
            path: paths.tokenizer.clone(),
            problem: error.to_string().replace('\n', " "),
        };
        let mut tokenizer = Tokenizer::from_bytes(&resolved.json).map_err(unusable)?;
        for (key, token) in self.prefixes.iter().flatten() {
            // PyLate would make up a row of the embedding at random.
            if tokenizer.token_to_id(token).is_none() {
                return Err(BuildError::TokenWithoutId {
                    path: paths.tokenizer.clone(),
                    key: (*key).to_owned(),
                    token: token.clone(),
                });
            }
            let added = tokenizer.get_added_vocabulary().get_vocab();
            if !added.contains_key(token) {
                let added = tokenizer.add_tokens([AddedToken::from(token.as_str(), false)]);
                added.map_err(unusable)?;
                resolved.json = tokenizer.to_string(false).map_err(unusable)?.into_bytes();
            }
        }
        let mut settings = self.settings.clone();
        settings.lower_case = self.rules == Rules::PyLate && lower_case;
        let file = file_name(&self.path);
        let mut document_source = &*file;
        if let Some(max_length) = max_length {
            // Queries keep the length that they were trained with.
            settings.document.max_tokens = max_length;
            document_source = "max_length of this build";
        }
        let roles = [
            ("query", &mut settings.query, &*file),
            ("document", &mut settings.document, document_source),
        ];
        for ((name, role, source), prefix) in roles.into_iter().zip(&self.prefixes) {
            let prefix = prefix.as_ref().map(|(_, token)| token);
            role.prefix_id = prefix.and_then(|token| tokenizer.token_to_id(token));
            let length = match role.max_tokens {
                0 => "as many tokens as the model takes".into(),
                length => format!("{length} tokens"),
            };
            let marked = prefix.map_or(String::new(), |it| format!(", {it:?} the second of them"));
            findings.note(name, format!("{length}{marked}"), source);
        }
        if let Some(expansion) = &mut settings.expansion {
            expansion.token_id = self.expansion_id(paths, resolved, &tokenizer)?;
            let token = tokenizer.id_to_token(expansion.token_id);
            let hidden = match expansion.attended {
                true => "",
                false => ", which no token attends to",
            };
            let (token, length) = (token.unwrap_or_default(), expansion.length);
            let meaning = format!("queries get {token:?} up to {length} tokens{hidden}");
            findings.note("query expansion", meaning, file);
        }
        settings.skiplist = self.skiplist_ids(resolved, &tokenizer, findings)?;
        Ok(settings)
    }

    fn expansion_id(
        &self,
        paths: &Paths,
        resolved: &Resolved,
        tokenizer: &Tokenizer,
    ) -> Result<u32, BuildError> {
        let refuse = |key: &str| {
            let value = &resolved.config[key];
            BuildError::key(&paths.tokenizer_config, key, value)
        };
        if resolved.config["padding_side"] == "left" {
            return Err(refuse("padding_side"));
        }
        let id = match &self.expansion_token {
            Some(token) => tokenizer.token_to_id(token),
            None => {
                let special = |key| resolved.special_id(key);
                let last = || special("pad_token").filter(|_| self.rules == Rules::PyLate);
                special("mask_token")
                    .or_else(|| special("eos_token"))
                    .or_else(last)
            }
        };
        id.ok_or_else(|| refuse("mask_token"))
    }

    /// The ids of the words. One that is no token is the unknown token to `PyLate`, and
    /// nothing to `MultiVectorEncoder`.
    fn skiplist_ids(
        &self,
        resolved: &Resolved,
        tokenizer: &Tokenizer,
        findings: &mut Findings,
    ) -> Result<Vec<u32>, BuildError> {
        let ids = self.skiplist.iter().map(|word| tokenizer.token_to_id(word));
        let mut ids: BTreeSet<u32> = ids.flatten().collect();
        let is_no_token = |word: &&str| tokenizer.token_to_id(word).is_none();
        let words = self.skiplist.iter().map(String::as_str);
        let strangers = words.filter(is_no_token).collect::<Vec<_>>().join(" ");
        if !ids.is_empty() {
            let roles = match self.settings.query.skips {
                true => "queries and documents",
                false => "documents",
            };
            let meaning = format!("no vectors of {} tokens in {roles}", ids.len());
            findings.note("skiplist", meaning, &self.skiplist_source);
        }
        if strangers.is_empty() {
            return Ok(ids.into_iter().collect());
        }
        let unknown = resolved.special_id("unk_token");
        let is_pylates = self.rules == Rules::PyLate;
        let meaning = match unknown.filter(|_| is_pylates) {
            Some(id) => {
                ids.insert(id);
                format!("no vectors of unknown tokens, as which PyLate reads {strangers}")
            }
            None if is_pylates => {
                let strangers = strangers.into();
                return Err(BuildError::key(&self.path, "skiplist_words", &strangers));
            }
            None => format!("without {strangers}: no tokens of the vocabulary"),
        };
        findings.note("skiplist", meaning, &self.skiplist_source);
        Ok(ids.into_iter().collect())
    }
}

pub(in crate::folder) fn is_stanfords(config: &Path) -> Result<bool, BuildError> {
    let config = read_json_if_there(config)?.unwrap_or_default();
    Ok(config["architectures"][0] == "HF_ColBERT")
}

fn pylate(folder: &Path, path: &Path, config: &Value) -> Result<Sentence, BuildError> {
    refuse_unknown(path, config, &[&KNOWN[..], &PYLATES].concat())?;
    let file = Keys { path, config };
    let lengths = [
        file.length("query_length", 32)?,
        file.length("document_length", 180)?,
    ];
    let attended = file.flag("attend_to_expansion_tokens", false)?;
    let expands = file.flag("do_query_expansion", true)?;
    let head = LateInteraction {
        rules: Rules::PyLate,
        path: path.to_owned(),
        settings: of_pylate(lengths, expands.then_some(attended)),
        prefixes: [
            prefix(&file, "query_prefix", "[Q] ")?,
            prefix(&file, "document_prefix", "[D] ")?,
        ],
        expansion_token: None,
        skiplist: file.words("skiplist_words")?.unwrap_or_else(punctuation),
        skiplist_source: NAME.into(),
    };
    let sentence = modules_of_pylate(folder, path, config)?;
    if sentence.modules.is_empty() {
        let problem = "no Dense module; PyLate would make up a projection at random";
        return Err(problem_of(&folder.join("modules.json"), problem));
    }
    Ok(sentence.with_head(head))
}

/// What `PyLate` makes of a list of modules, if there is one.
fn modules_of_pylate(folder: &Path, path: &Path, config: &Value) -> Result<Sentence, BuildError> {
    let mut sentence = Sentence {
        settings: settings(path, config)?,
        ..Sentence::default()
    };
    let modules = folder.join("modules.json");
    let list = read_json_if_there(&modules)?.unwrap_or_default();
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    refuse_namesakes(&modules, list)?;
    for (place, module) in list.iter().enumerate() {
        let listed = Listed::of(&modules, module)?;
        match listed.kind {
            "Transformer" if place == 0 => {
                sentence.read_transformer(folder, &listed, &[])?;
            }
            "Dense" => {
                let vectors = ["sentence_embedding", "token_embeddings"];
                sentence.read_projection(folder, &listed, &vectors)?;
            }
            "Pooling" | "Normalize" | "LayerNorm" => {
                let meaning = format!("{} is not used, as in PyLate", listed.kind);
                sentence.findings.note("module", meaning, "modules.json");
            }
            _ => return Err(BuildError::key(&modules, "type", &module["type"])),
        }
    }
    sentence.settings.note(&mut sentence.findings);
    Ok(sentence)
}

/// Queries are cut and expanded to the first length; whether tokens attend to what they
/// are expanded by, if they are.
fn of_pylate([query, document]: [u32; 2], attended: Option<bool>) -> manifest::LateInteraction {
    manifest::LateInteraction {
        query: RoleSequence {
            max_tokens: query,
            ..RoleSequence::default()
        },
        document: RoleSequence {
            max_tokens: document,
            skips: true,
            ..RoleSequence::default()
        },
        expansion: attended.map(|attended| QueryExpansion {
            length: query,
            attended,
            ..QueryExpansion::default()
        }),
        strip: true,
        ..manifest::LateInteraction::default()
    }
}

fn stanford(folder: &Path, settings: &Path, stated: &Value) -> Result<Sentence, BuildError> {
    const METADATA: &str = "artifact.metadata";

    if !stated.is_null() {
        refuse_unknown(settings, stated, &KNOWN)?;
    }
    let mut sentence = modules_of_pylate(folder, settings, stated)?;
    let path = folder.join(METADATA);
    let config = read_json_if_there(&path)?.unwrap_or_default();
    let file = Keys {
        path: &path,
        config: &config,
    };
    // PyLate passes over what these say; Stanford's own program does not.
    for (key, served) in [
        ("mask_punctuation", Value::Bool(true)),
        ("similarity", "cosine".into()),
        ("interaction", "colbert".into()),
    ] {
        if !config[key].is_null() && config[key] != served {
            return Err(BuildError::key(&path, key, &config[key]));
        }
    }
    let lengths = [
        file.length("query_maxlen", 32)?,
        file.length("doc_maxlen", 180)?,
    ];
    let attended = file.flag("attend_to_mask_tokens", false)?;
    let head = LateInteraction {
        rules: Rules::PyLate,
        path: path.clone(),
        settings: of_pylate(lengths, Some(attended)),
        prefixes: [
            prefix(&file, "query_token_id", "[unused0]")?,
            prefix(&file, "doc_token_id", "[unused1]")?,
        ],
        expansion_token: None,
        skiplist: punctuation(),
        skiplist_source: METADATA.into(),
    };
    let weights = File::read(folder, &Listed { kind: "", path: "" })?;
    let name = "linear.weight";
    let shape = weights.shape(name)?;
    let [out_features, in_features] = *shape else {
        return Err(problem_of(&path, "`linear.weight` is no matrix"));
    };
    sentence.modules.push(ModuleWeights::Dense(DenseWeights {
        in_features,
        out_features,
        weight: weights.get(name, &shape)?,
        bias: None,
        function: DenseFunction::Identity,
        residual: None,
    }));
    let meaning = format!("{in_features} to {out_features} values");
    let source = "model.safetensors linear.weight";
    sentence.findings.note("dense", meaning, source);
    Ok(sentence.with_head(head))
}

impl Sentence {
    fn read_projection(
        &mut self,
        folder: &Path,
        listed: &Listed<'_>,
        vectors: &[&str],
    ) -> Result<(), BuildError> {
        let (dense, scores) = weights::dense(folder, listed, vectors, &mut self.findings)?;
        if scores.is_some() {
            let path = folder.join(listed.file("config.json"));
            let scores = "scores".into();
            return Err(BuildError::key(&path, "module_output_name", &scores));
        }
        self.push(dense);
        Ok(())
    }

    /// Its limit is the longer of both roles', whatever else its files state.
    fn with_head(mut self, head: LateInteraction) -> Self {
        let roles = [head.settings.query, head.settings.document];
        let lengths = roles.map(|role| role.max_tokens);
        if !lengths.contains(&0) {
            let source = file_name(&head.path);
            self.limit = Some(Limit {
                max_tokens: lengths.into_iter().max().unwrap_or_default(),
                source: format!("{source}, the length of the longer role"),
            });
        }
        self.head = Head::LateInteraction(Box::new(head));
        self
    }
}

/// The token of that key, and the key for messages; none where it is empty.
fn prefix(
    file: &Keys<'_>,
    key: &'static str,
    default: &str,
) -> Result<Option<(&'static str, String)>, BuildError> {
    let token = match &file.config[key] {
        Value::Null => default.to_owned(),
        Value::String(token) => token.clone(),
        _ => return Err(file.refuse(key)),
    };
    Ok((!token.is_empty()).then_some((key, token)))
}

/// Prompts, and which of them holds where nobody says. The similarity is MaxSim, whatever
/// a file calls it: neither reference reads another name.
fn settings(path: &Path, config: &Value) -> Result<Settings, BuildError> {
    let mut others = config.clone();
    if let Some(keys) = others.as_object_mut() {
        keys.remove("similarity_fn_name");
    }
    Settings::of(path, &others)
}

fn punctuation() -> Vec<String> {
    PUNCTUATION.chars().map(String::from).collect()
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
