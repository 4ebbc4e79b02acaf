//! One tokenizer out of all of a folder's files.
//!
//! What a tokenizer is stands in tokenizer.json, or in the files that its class has kept its
//! vocabulary in before (`vocabulary.rs`), in tokenizer_config.json,
//! special_tokens_map.json, added_tokens.json and in the defaults of the class that
//! they name. They are resolved here as `AutoTokenizer` of transformers 5 does, into
//! the one tokenizer.json that is stored. Where the files contradict one another, a
//! finding says which of them decides; where transformers 4 decides otherwise, too.

mod added;
mod class;
mod components;
mod differences;
mod parts;
pub(super) mod pattern;
mod settings;
pub(super) mod vocabulary;

use super::config::Config;
use super::findings::Findings;
use super::{Paths, parse_json, read_file, read_json_if_there};
use crate::error::BuildError;
use added::{Sources, Special, Token, Tokens};
use class::{Choice, Class, Said};
use components::Components;
use differences::Contradictions;
use encoderfile::manifest::TruncationSide;
use encoderfile::{Bug, panics};
use serde::Deserialize;
use serde_json::Value;
use settings::Settings;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tokenizers::{ModelWrapper, PostProcessorWrapper, Tokenizer};
use vocabulary::Vocabulary;

/// Texts that every tokenizer has to tokenise: none, words, spaces at both ends, several
/// scripts, and lines.
const PROBES: [&str; 5] = [
    "",
    "A cat sits on the mat.",
    "  two  spaces ",
    "Zoë flew to 東京 😀",
    "How do I reset my password?\nI can't log in any more!",
];

/// A folder's tokenizer, and what else its files say about texts.
pub(super) struct Resolved {
    /// The tokenizer.json that is stored.
    pub(super) json: Vec<u8>,
    /// Of the special tokens that have a key, such as `mask_token`.
    special_ids: HashMap<String, u32>,
    /// The largest token id that it can produce.
    pub(super) largest_id: u32,
    /// tokenizer_config.json, for the limit that it may state.
    pub(super) config: Value,
    /// The truncation side, and who says so.
    pub(super) truncation_side: Option<(TruncationSide, &'static str)>,
    /// Whether the texts of a pair are told apart by segment ids.
    pub(super) makes_type_ids: bool,
    /// Special tokens in a text are plain text.
    pub(super) split_special_tokens: bool,
    /// Decoded text is tidied up.
    pub(super) clean_up_decoded: bool,
}

impl Resolved {
    /// The id of the special token of a key such as `mask_token`.
    pub(super) fn special_id(&self, key: &str) -> Option<u32> {
        self.special_ids.get(key).copied()
    }
}

/// The files, as they are.
struct Files<'a> {
    paths: &'a Paths,
    config: &'a Config,
    tokenizer_config: Value,
    special_tokens_map: Value,
    added_tokens: Value,
    /// tokenizer.json, or what the vocabulary has of one.
    tokenizer: Value,
    /// Where that is.
    path: PathBuf,
    /// Bytes of tokenizer.json, with its regular expressions as the runtime reads them.
    bytes: Option<Vec<u8>>,
    /// Without tokenizer.json.
    vocabulary: Option<Vocabulary>,
}

/// Reads them all and resolves them.
pub(super) fn resolve(
    paths: &Paths,
    config: &Config,
    findings: &mut Findings,
) -> Result<Resolved, BuildError> {
    let mut files = Files::read(paths, config, findings)?;
    let choice = files.class()?;
    let class = files.builder(&choice, findings)?;
    let settings = Settings::read(&paths.tokenizer_config, &files.tokenizer_config, class)?;
    let mut tokens = files.tokens(&settings)?;
    files.read_vocabulary(&settings, &mut tokens, findings)?;
    tokens.set_defaults(class, files.pad_token_of_padding(class));
    set_special_extra(class, &settings, &mut tokens)?;
    let tokenizer = files.build(&settings, &mut tokens, findings)?;
    probe(&files.path, &tokenizer)?;
    let resolved = to_value(&files.path, &tokenizer)?;
    let original = match &files.bytes {
        Some(_) => to_value(&files.path, &load(&files.path, &files.tokenizer)?)?,
        None => resolved.clone(),
    };
    let json = files.stored(&original, &resolved, &tokenizer)?;
    let truncation_side = settings.truncation_side(&files.tokenizer)?;
    let (of_class, _) = settings.makes_type_ids()?;
    let makes_type_ids = of_class || paths.tokenizer_stands_alone;
    let contradictions = Contradictions {
        choice: &choice,
        vocabulary: files.vocabulary.as_ref().and(files.path.file_name()),
        settings: &settings,
        special_tokens_map: &files.special_tokens_map,
        original: &original,
        resolved: &resolved,
        tokens: &tokens,
        type_vocab_size: config.unsigned("type_vocab_size").unwrap_or(0),
        adds_segments: config.is_xlm(),
    };
    contradictions.note(findings)?;
    let is_bpe = matches!(tokenizer.get_model(), ModelWrapper::BPE(_));
    let special_id = |(key, special): &(String, Option<Special>)| {
        let id = tokenizer.token_to_id(special.as_ref()?.content())?;
        Some((key.clone(), id))
    };
    let ids = tokenizer.get_vocab(true).into_values();
    let even_bpe = "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output";
    Ok(Resolved {
        json,
        truncation_side,
        makes_type_ids,
        split_special_tokens: settings.flag("split_special_tokens", false)?,
        clean_up_decoded: settings.flag("clean_up_tokenization_spaces", false)?
            && (!is_bpe || settings.flag(even_bpe, false)?),
        special_ids: tokens.named.iter().filter_map(special_id).collect(),
        largest_id: ids.max().unwrap_or(0),
        config: files.tokenizer_config,
    })
}

impl<'a> Files<'a> {
    fn read(
        paths: &'a Paths,
        config: &'a Config,
        findings: &mut Findings,
    ) -> Result<Self, BuildError> {
        let mut tokenizer = Value::Null;
        let mut bytes = None;
        if paths.tokenizer.exists() {
            let mut json = read_file(&paths.tokenizer)?;
            tokenizer = parse_json(&paths.tokenizer, &json)?;
            if translate(&paths.tokenizer, &mut tokenizer, findings)? {
                json = tokenizer.to_string().into_bytes();
            }
            bytes = Some(json);
        }
        let beside = |name: &str| {
            let path = paths.tokenizer_config.with_file_name(name);
            Ok::<_, BuildError>(read_json_if_there(&path)?.unwrap_or_default())
        };
        Ok(Self {
            tokenizer_config: read_json_if_there(&paths.tokenizer_config)?.unwrap_or_default(),
            special_tokens_map: beside("special_tokens_map.json")?,
            added_tokens: beside("added_tokens.json")?,
            path: paths.tokenizer.clone(),
            vocabulary: None,
            tokenizer,
            bytes,
            paths,
            config,
        })
    }

    /// The class that builds the tokenizer; without tokenizer.json, that of its vocabulary.
    fn builder(&mut self, choice: &Choice, findings: &mut Findings) -> Result<Class, BuildError> {
        if choice.class.passes_over_file() && self.bytes.take().is_some() {
            let source = format!("{} of transformers 5", choice.class.name());
            findings.note("tokenizer", "tokenizer.json is not read", source);
        }
        if self.bytes.is_some() {
            return Ok(choice.class);
        }
        let vocabulary = Vocabulary::read(&self.paths.tokenizer, choice.class)?;
        self.path.clone_from(&vocabulary.path);
        self.vocabulary = Some(vocabulary);
        Ok(choice.class.of_vocabulary())
    }

    /// Without tokenizer.json, what stands for it.
    fn read_vocabulary(
        &mut self,
        settings: &Settings<'_>,
        tokens: &mut Tokens,
        findings: &mut Findings,
    ) -> Result<(), BuildError> {
        let Some(vocabulary) = &self.vocabulary else {
            return Ok(());
        };
        vocabulary.complete(settings.class(), tokens);
        self.tokenizer = vocabulary.tokenizer(settings, tokens)?;
        translate(&self.path, &mut self.tokenizer, findings)?;
        Ok(())
    }

    fn class(&self) -> Result<Choice, BuildError> {
        if self.paths.tokenizer_stands_alone {
            return Ok(Choice {
                class: Class::Generic,
                source: "tokenizer.json alone".into(),
            });
        }
        let said = Said {
            tokenizer_config: (&self.paths.tokenizer_config, &self.tokenizer_config),
            config: (&self.config.path, &self.config.json),
            is_byte_level: ["normalizer", "pre_tokenizer", "post_processor", "decoder"]
                .iter()
                .any(|part| mentions(&self.tokenizer[*part], "ByteLevel")),
        };
        said.choose()
    }

    fn tokens(&self, settings: &Settings<'_>) -> Result<Tokens, BuildError> {
        let beside = |name: &str| self.paths.tokenizer_config.with_file_name(name);
        let sources = Sources {
            settings,
            map: (&beside("special_tokens_map.json"), &self.special_tokens_map),
            added: (&beside("added_tokens.json"), &self.added_tokens),
            tokenizer: (&self.path, &self.tokenizer["added_tokens"]),
            of_model: (self.vocabulary.as_ref())
                .and_then(|vocabulary| vocabulary.additional_tokens(settings.class())),
        };
        sources.read()
    }

    /// The padding token that tokenizer.json's padding has, for classes without one.
    fn pad_token_of_padding(&self, class: Class) -> Option<&str> {
        let token = self.tokenizer["padding"]["pad_token"].as_str();
        token.filter(|_| !class.has_pad_token())
    }

    /// The tokenizer of the class, with its added tokens.
    fn build(
        &self,
        settings: &Settings<'_>,
        tokens: &mut Tokens,
        findings: &mut Findings,
    ) -> Result<Tokenizer, BuildError> {
        let path = &self.path;
        let spelling = |key: &str| tokens.get(key).map(|it| it.content().to_owned());
        let components = Components {
            settings,
            file: &self.tokenizer,
            path,
            vocabulary: self.vocabulary.as_ref(),
            token: &spelling,
        };
        let mut tokenizer = if settings.class().keeps_file() {
            load(path, &self.tokenizer)?
        } else {
            load(path, &components.tokenizer()?)?
        };
        components.check(&|token| tokenizer.token_to_id(token))?;
        let there = tokenizer.get_added_tokens_decoder();
        let there: Vec<String> = there.into_values().map(|it| it.content).collect();
        let to_add = tokens.to_add(&there);
        let to_add = self.with_rows(&tokenizer, to_add, findings);
        let added = tokenizer.add_tokens(to_add.iter().map(Token::to_added));
        added.map_err(|error| unusable(path, &error))?;
        match settings.class() {
            Class::RemBert => add_again(path, &mut tokenizer, tokens)?,
            Class::Esm => refuse_ids(settings, &tokenizer, tokens)?,
            _ => {}
        }
        let id = |token: &str| tokenizer.token_to_id(token);
        if let Some(processor) = components.post_processor(&id)? {
            let processor = PostProcessorWrapper::deserialize(processor)
                .map_err(|error| unusable(path, &error.into()))?;
            tokenizer.with_post_processor(Some(processor));
        }
        Ok(tokenizer)
    }

    /// Without tokens that would get an id beyond the model's embedding: a class's
    /// defaults that the vocabulary lacks. transformers fails at a text that has one.
    fn with_rows(
        &self,
        tokenizer: &Tokenizer,
        tokens: Vec<Token>,
        findings: &mut Findings,
    ) -> Vec<Token> {
        let rows = self.config.vocabulary_size().unwrap_or(u32::MAX) as usize;
        let mut next = tokenizer.get_vocab_size(true);
        let mut kept = Vec::new();
        for token in tokens {
            let is_new = tokenizer.token_to_id(&token.content).is_none();
            if is_new && next >= rows {
                let meaning = format!(
                    "added token {:?} is left out: the model's embedding has no row for it",
                    token.content
                );
                findings.note("tokenizer", meaning, "config.json vocab_size");
                continue;
            }
            next += usize::from(is_new);
            kept.push(token);
        }
        kept
    }

    /// The file as it is, where resolving changed nothing.
    fn stored(
        &self,
        original: &Value,
        resolved: &Value,
        tokenizer: &Tokenizer,
    ) -> Result<Vec<u8>, BuildError> {
        if let Some(bytes) = &self.bytes
            && original == resolved
        {
            return Ok(bytes.clone());
        }
        let json = tokenizer.to_string(false);
        Ok(json
            .map_err(|error| unusable(&self.path, &error))?
            .into_bytes())
    }
}

/// Refuses what a class written in Python does otherwise than the tokenizers library: added
/// tokens with ids of their own, and special tokens in a text as plain text.
fn refuse_ids(
    settings: &Settings<'_>,
    tokenizer: &Tokenizer,
    tokens: &Tokens,
) -> Result<(), BuildError> {
    let path = settings.path();
    if settings.flag("split_special_tokens", false)? {
        return Err(BuildError::key(path, "split_special_tokens", &true.into()));
    }
    for (id, token) in &tokens.by_id {
        if tokenizer.token_to_id(&token.content) != Some(*id) {
            let key = format!("added_tokens_decoder.{id}");
            return Err(BuildError::key(path, &key, &token.content.clone().into()));
        }
    }
    Ok(())
}

/// Adds every special token again, as special: those of tokenizer.json too, which
/// [`Tokens::to_add`] leaves as they are.
fn add_again(path: &Path, tokenizer: &mut Tokenizer, tokens: &Tokens) -> Result<(), BuildError> {
    let mut again: Vec<Token> = tokens.all_special();
    again.retain(|token| tokenizer.token_to_id(&token.content).is_some());
    let added = tokenizer.add_tokens(again.iter().map(Token::to_added));
    added.map(|_| ()).map_err(|error| unusable(path, &error))
}

/// Special tokens that a class has beside the named ones, and the flags that it gives
/// to named ones.
fn set_special_extra(
    class: Class,
    settings: &Settings<'_>,
    tokens: &mut Tokens,
) -> Result<(), BuildError> {
    match class {
        Class::Camembert => {
            tokens.make("mask_token", |mask| Token::new(mask).lstrip().special());
            if tokens.extra.is_none() {
                tokens.extend(["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"].map(str::to_owned));
            }
        }
        Class::Mpnet | Class::BigBird => {
            for key in settings::NAMED.iter().filter(|key| **key != "mask_token") {
                tokens.make(key, Token::new);
            }
            tokens.make("mask_token", |mask| Token::new(mask).lstrip());
        }
        Class::T5 => {
            let extra_ids = settings.extra_ids()?;
            let mut extra = tokens.extra.iter().flatten();
            let has_sentinels = extra.any(|it| it.content().contains("<extra_id_"));
            // A list of the class's own argument is completed, others are taken as they are.
            if tokens.extra.is_none() || tokens.extra_is_argument && !has_sentinels {
                tokens.extend((0..extra_ids).map(|id| format!("<extra_id_{id}>")));
            }
        }
        _ => {}
    }
    Ok(())
}

/// Translates the regular expressions of tokenizer.json at `path`. Returns whether there
/// was something to translate.
fn translate(
    path: &Path,
    tokenizer: &mut Value,
    findings: &mut Findings,
) -> Result<bool, BuildError> {
    let translations =
        pattern::translate_all(tokenizer).map_err(|refused| BuildError::Pattern {
            path: path.to_owned(),
            place: refused.place,
            problem: refused.source.to_string(),
        })?;
    for translation in &translations {
        let source = format!("tokenizer.json {}", translation.place);
        let meaning = format!("`{}`, as Oniguruma reads it", translation.from);
        findings.note("regular expression", meaning, source);
    }
    Ok(!translations.is_empty())
}

/// The tokenizers library panics over some files; that is an error like any other.
fn load(path: &Path, json: &Value) -> Result<Tokenizer, BuildError> {
    guarded(path, || Tokenizer::deserialize(json).map_err(Into::into))
}

/// Tokenises texts of several kinds: what fails here is tokenizer.json's to mend, and
/// would be taken for a fault of the graph later.
fn probe(path: &Path, tokenizer: &Tokenizer) -> Result<(), BuildError> {
    for text in PROBES {
        guarded(path, || tokenizer.encode(text, true))?;
    }
    Ok(())
}

fn guarded<T>(
    path: &Path,
    run: impl FnOnce() -> Result<T, tokenizers::Error>,
) -> Result<T, BuildError> {
    let fails = |bug: Bug| {
        let panic = bug.detail().unwrap_or_default();
        Err(format!("the tokenizers library fails over it: {panic}").into())
    };
    let result = panics::catch(run).unwrap_or_else(fails);
    result.map_err(|error| unusable(path, &error))
}

fn to_value(path: &Path, tokenizer: &Tokenizer) -> Result<Value, BuildError> {
    serde_json::to_value(tokenizer).map_err(|error| unusable(path, &error.into()))
}

fn unusable(path: &Path, error: &tokenizers::Error) -> BuildError {
    BuildError::Tokenizer {
        path: path.to_owned(),
        problem: error.to_string().replace('\n', " "),
    }
}

/// Whether a component of that type is anywhere in it.
fn mentions(component: &Value, kind: &str) -> bool {
    match component {
        Value::Object(fields) => {
            fields.get("type").is_some_and(|it| it == kind)
                || fields.values().any(|value| mentions(value, kind))
        }
        Value::Array(list) => list.iter().any(|value| mentions(value, kind)),
        _ => false,
    }
}
