//! Folders of sentence-transformers' `MultiVectorEncoder`: prompts are text, lengths and
//! expansion the Transformer's, the skiplist a module.

use super::{KNOWN, LateInteraction, Rules, settings};
use crate::error::BuildError;
use crate::folder::read_json_if_there;
use crate::folder::sentence::{
    Keys, Listed, Sentence, problem_of, read_config, refuse_namesakes, refuse_other_vectors,
    refuse_unknown, unsigned,
};
use encoderfile::manifest::{self, QueryExpansion, RoleSequence};
use serde_json::Value;
use std::path::Path;

/// Those that `MultiVectorEncoder` has in sentence_bert_config.json.
const LENGTHS: [&str; 3] = ["query_length", "document_length", "query_expansion"];

/// That of them which says what queries are padded with.
const EXPANSION: &str = "query_expansion";

pub(super) fn read(folder: &Path, path: &Path, config: &Value) -> Result<Sentence, BuildError> {
    refuse_unknown(path, config, &KNOWN)?;
    // Any other name is that of the plain sum.
    let mean_score = config["similarity_fn_name"] == "meanmaxsim";
    let Modules {
        mut sentence,
        lengths,
        mask,
    } = Modules::read(folder)?;
    sentence.settings = settings(path, config)?;
    // Each role has a prompt of its own, if an empty one.
    sentence.settings.default_prompt = String::new();
    sentence.settings.note(&mut sentence.findings);
    let path = folder.join("sentence_bert_config.json");
    let file = Keys {
        path: &path,
        config: &lengths,
    };
    let expansion = expansion(&file)?;
    let query_length = query_length(&file, expansion)?;
    // Without a mask, what no token attends to is not scored either, and so changes nothing.
    let is_scored = |it: &QueryExpansion| it.attended || !mask.source.is_empty();
    let expansion = expansion.filter(is_scored);
    let role = |max_tokens, skips| RoleSequence {
        max_tokens,
        skips,
        ..RoleSequence::default()
    };
    let [in_queries, in_documents] = mask.skips;
    let head = LateInteraction {
        rules: Rules::MultiVectorEncoder,
        settings: manifest::LateInteraction {
            query: role(query_length, in_queries),
            document: role(file.length("document_length", 0)?, in_documents),
            expansion,
            role_prompts: true,
            mean_score,
            ..manifest::LateInteraction::default()
        },
        prefixes: [None, None],
        expansion_token: expansion_token(&file)?,
        skiplist: mask.skiplist,
        skiplist_source: mask.source,
        path: path.clone(),
    };
    Ok(sentence.with_head(head))
}

/// What modules.json lists.
#[derive(Default)]
struct Modules {
    sentence: Sentence,
    /// What the Transformer's file says, lengths among it.
    lengths: Value,
    mask: Mask,
}

impl Modules {
    fn read(folder: &Path) -> Result<Self, BuildError> {
        let mut sentence = Sentence::default();
        let mut lengths = Value::Null;
        let mut mask = Mask::default();
        let modules = folder.join("modules.json");
        let list = read_json_if_there(&modules)?.unwrap_or_default();
        let list = list.as_array().map_or(&[][..], Vec::as_slice);
        refuse_namesakes(&modules, list)?;
        for (place, module) in list.iter().enumerate() {
            let listed = Listed::of(&modules, module)?;
            match listed.kind {
                "Transformer" if place == 0 => {
                    lengths = sentence.read_transformer(folder, &listed, &LENGTHS)?;
                }
                "Dense" => sentence.read_projection(folder, &listed, &["token_embeddings"])?,
                "MultiVectorMask" if mask.source.is_empty() => mask = Mask::read(folder, &listed)?,
                "Normalize" => {
                    let path = folder.join(listed.file("config.json"));
                    let names = ["module_input_name", "module_output_name"];
                    let config = read_config(&path, &names)?;
                    refuse_other_vectors(&path, &config, &["token_embeddings"])?;
                    sentence.normalize = true;
                }
                _ => return Err(BuildError::key(&modules, "type", &module["type"])),
            }
        }
        if !sentence.normalize {
            let problem = "no Normalize module at the end, without which vectors are not served";
            return Err(problem_of(&modules, problem));
        }
        Ok(Self {
            sentence,
            lengths,
            mask,
        })
    }
}

/// What a `MultiVectorMask` module says.
#[derive(Default)]
struct Mask {
    skiplist: Vec<String>,
    /// Whether it is for queries and for documents.
    skips: [bool; 2],
    source: String,
}

impl Mask {
    fn read(folder: &Path, listed: &Listed<'_>) -> Result<Self, BuildError> {
        let path = folder.join(listed.file("config.json"));
        let known = ["skiplist_words", "skiplist_tasks", "keep_only_token_ids"];
        let config = read_config(&path, &known)?;
        let only = &config["keep_only_token_ids"];
        if !only.is_null() {
            return Err(BuildError::key(&path, "keep_only_token_ids", only));
        }
        let file = Keys {
            path: &path,
            config: &config,
        };
        let tasks = file.words("skiplist_tasks")?;
        let tasks = tasks.unwrap_or_else(|| vec!["document".into()]);
        let is_known = |task: &String| task == "query" || task == "document";
        if !tasks.iter().all(is_known) {
            let tasks = &config["skiplist_tasks"];
            return Err(BuildError::key(&path, "skiplist_tasks", tasks));
        }
        let skips = ["query", "document"].map(|role| tasks.iter().any(|task| task == role));
        Ok(Self {
            skiplist: file.words("skiplist_words")?.unwrap_or_default(),
            skips,
            source: listed.file("config.json"),
        })
    }
}

/// What queries are padded with, its token apart.
fn expansion(file: &Keys<'_>) -> Result<Option<QueryExpansion>, BuildError> {
    let (path, config) = (file.path, &file.config[EXPANSION]);
    if config.is_null() {
        return Ok(None);
    }
    refuse_unknown(path, config, &["strategy", "attend", "token", "length"])?;
    Ok(Some(QueryExpansion {
        length: unsigned(&config["length"], path, "query_expansion.length")?,
        attended: Keys { path, config }.flag("attend", false)?,
        ..QueryExpansion::default()
    }))
}

/// The token that queries are padded with; `None` for the tokenizer's.
fn expansion_token(file: &Keys<'_>) -> Result<Option<String>, BuildError> {
    match &file.config[EXPANSION]["token"] {
        Value::Null => Ok(None),
        Value::String(token) => Ok(Some(token.clone())),
        _ => Err(file.refuse(EXPANSION)),
    }
}

/// How many tokens a query may have; 0 for as many as the model takes.
fn query_length(file: &Keys<'_>, expansion: Option<QueryExpansion>) -> Result<u32, BuildError> {
    let longest = file.length("query_length", 0)?;
    let Some(QueryExpansion { length, .. }) = expansion else {
        return Ok(longest);
    };
    match file.config[EXPANSION]["strategy"].as_str() {
        Some("fixed") => Ok(length),
        Some("min") if longest == 0 => Ok(0),
        Some("min") => Ok(longest.max(length)),
        _ => Err(file.refuse(EXPANSION)),
    }
}
