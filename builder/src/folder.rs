//! Reading a model folder: the many dialects of Hugging Face folders, once,
//! into one [`Model`].
//!
//! Nothing that changes a result is ignored: a key this program does not serve
//! is refused by name.

mod config;
mod findings;
mod limit;
mod sentence;
mod tokenizer;
mod weights_file;

use crate::error::BuildError;
use crate::graph;
use config::Config;
use encoderfile::manifest::{
    Activation, Finding, Pipeline, Pooling, Splade, Task, TruncationSide, TruncationStrategy,
};
use findings::Findings;
use sentence::{Head, Sentence};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tokenizer::Resolved;

pub use config::LabelsSource;
pub(crate) use sentence::{HYBRID_FILES, Module, modules};
pub(crate) use weights_file::{Listing, choose as choose_weights};

pub use limit::{Limit, Limits, Tables};
pub use sentence::{DenseWeights, HybridWeights, ModuleWeights};
pub use tokenizer::pattern::{Unsupported as UnsupportedPattern, translate as translate_pattern};
pub(crate) use tokenizer::vocabulary::FILES as VOCABULARY_FILES;

/// Where each file of a model is; tokenizer_config.json need not exist.
#[derive(Clone, Debug)]
pub struct Paths {
    /// For messages: the folder, or what was given instead.
    pub folder: PathBuf,
    /// The ONNX file; or model.safetensors, or the index of its shards.
    pub weights: PathBuf,
    /// config.json.
    pub config: PathBuf,
    /// tokenizer.json.
    pub tokenizer: PathBuf,
    /// tokenizer_config.json.
    pub tokenizer_config: PathBuf,
    /// tokenizer.json is all there is of the tokenizer: no class of transformers reads
    /// it, so none has defaults.
    pub tokenizer_stands_alone: bool,
}

impl Paths {
    /// The usual places in `folder`.
    ///
    /// # Errors
    /// [`BuildError`] where there is no such folder, it has neither an ONNX file nor
    /// model.safetensors, or several ONNX files of which none is the usual one, or its
    /// modules.json cannot be read.
    pub fn in_folder(folder: &Path) -> Result<Self, BuildError> {
        Self::in_folder_with(folder, None)
    }

    /// The same with the name of the file of weights, if there is one to be preferred.
    ///
    /// # Errors
    /// The same, and [`BuildError::NoSuchOnnx`] where there is none of that name.
    pub fn in_folder_with(folder: &Path, weights: Option<&Path>) -> Result<Self, BuildError> {
        if !folder.is_dir() {
            return Err(BuildError::NoFolder(folder.to_owned()));
        }
        // sentence-transformers 1 kept the model in a folder of its own.
        let place = folder.join(sentence::transformer_path(folder)?);
        let chosen = choose_weights(folder, weights).map(|it| folder.join(it));
        let weights = chosen.or_else(|error| {
            let there = choose_weights(&*place, weights).map(|it| place.join(it));
            there.map_err(|_| error)
        });
        Ok(Self {
            folder: folder.to_owned(),
            weights: weights?,
            config: place.join("config.json"),
            tokenizer: place.join("tokenizer.json"),
            tokenizer_config: place.join("tokenizer_config.json"),
            tokenizer_stands_alone: false,
        })
    }
}

/// What the caller says instead of the folder.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The task.
    pub task: Option<Task>,
    /// Tasks that go before it where the folder says that it is for one of them.
    pub tasks_as_stated: &'static [Task],
    /// Maximum sequence length in tokens, special tokens included.
    pub max_length: Option<u32>,
    /// Truncation side: which end of a text beyond the maximum sequence length is truncated.
    pub truncation_side: Option<TruncationSide>,
    /// Truncation strategy: which text of a pair beyond it is truncated.
    pub truncation_strategy: Option<TruncationStrategy>,
    /// The licence.
    pub license: Option<String>,
}

/// What a folder means, apart from its graph.
#[derive(Clone, Debug)]
pub struct Model {
    /// What it computes.
    pub task: Task,
    /// How: everything but what only the graph says.
    pub pipeline: Pipeline,
    /// The modules after pooling; their places in the file are not known yet.
    pub modules: Vec<ModuleWeights>,
    /// What a sentence embedding has beside it.
    pub hybrid: Option<HybridWeights>,
    /// Whether the folder leaves unsaid how token vectors become one.
    pub pooling_is_assumed: bool,
    /// How many tokens a sequence may have, as far as the folder says.
    pub limits: Limits,
    /// Who says how many labels there are.
    pub labels_source: LabelsSource,
    /// What was understood, and where it was said.
    pub findings: Vec<Finding>,
    /// The first of `architectures`.
    pub architecture: String,
    /// As far as the folder says.
    pub license: String,
    /// Rows of the token embedding, as far as config.json says.
    pub vocabulary_size: Option<u32>,
    /// Values of a token's hidden state, as far as config.json says.
    pub hidden_size: Option<u32>,
    /// The largest id that the tokenizer gives.
    pub largest_id: u32,
    /// Whether the texts of a pair are told apart by segment ids.
    pub makes_type_ids: bool,
    /// Where config.json is.
    pub config_path: PathBuf,
    /// config.json as it is.
    pub config_json: Vec<u8>,
    /// tokenizer.json, resolved: see `folder/tokenizer.rs`.
    pub tokenizer_json: Vec<u8>,
}

/// Reads everything but the graph.
///
/// # Errors
/// [`BuildError`], with the file and key at fault, for a file that is missing or malformed,
/// and for whatever in the folder is not understood or not served.
pub fn read(paths: &Paths, overrides: &Overrides) -> Result<Model, BuildError> {
    let config_json = read_file(&paths.config)?;
    let config = Config::parse(&paths.config, &config_json)?;
    config.refuse_decoders()?;
    let mut tokenizer_findings = Findings::default();
    let tokenizer = tokenizer::resolve(paths, &config, &mut tokenizer_findings)?;
    let sentence = sentence::read(paths)?;
    let (task, task_source) = task(paths, &config, sentence.as_ref(), overrides)?;
    let pooling_is_assumed = sentence.is_none();
    let sentence = for_task(sentence.unwrap_or_default(), task);

    let mut folder = Folder {
        paths,
        overrides,
        config,
        tokenizer,
        labels_source: LabelsSource::Default,
        findings: Findings::default(),
    };
    folder.findings.note("task", task.name(), task_source);
    folder.config.note_model_type(&mut folder.findings);
    folder.config.note_languages(&mut folder.findings);
    let mut pipeline = folder.pipeline(task, &sentence)?;
    folder.read_classes(task, &sentence, &mut pipeline)?;
    let reranks = task == Task::SequenceClassification && pipeline.labels.len() == 1;
    if pooling_is_assumed && reranks {
        folder.refuse_chat_template()?;
    }
    folder.read_special_tokens(task, &mut pipeline)?;
    folder.read_late_interaction(&sentence, &mut pipeline)?;
    let hybrid = folder.read_hybrid(task, pooling_is_assumed)?;
    let limits = Limits::read(
        &folder.config,
        &folder.tokenizer.config,
        &sentence,
        overrides,
    );
    let mut findings = folder.findings.into_vec();
    findings.extend(sentence.findings.into_vec());
    findings.extend(tokenizer_findings.into_vec());
    Ok(Model {
        task,
        pipeline,
        modules: sentence.modules,
        hybrid,
        pooling_is_assumed,
        limits,
        labels_source: folder.labels_source,
        findings,
        architecture: folder.config.architecture().unwrap_or_default().to_owned(),
        license: match &overrides.license {
            Some(license) => license.clone(),
            None => license(&paths.folder),
        },
        vocabulary_size: folder.config.vocabulary_size(),
        hidden_size: folder.config.hidden_size(),
        largest_id: folder.tokenizer.largest_id,
        makes_type_ids: folder.tokenizer.makes_type_ids,
        config_path: paths.config.clone(),
        config_json,
        tokenizer_json: folder.tokenizer.json,
    })
}

/// Refuses a decoder by its config.json, before anything else of it is there.
pub(crate) fn refuse_decoders(config: &Path) -> Result<(), BuildError> {
    Config::parse(config, &read_file(config)?)?.refuse_decoders()
}

/// Whether a graph beside the checkpoint would not hold all of it, by its config.json:
/// Stanford's ColBERT has its projection in the checkpoint alone.
pub(crate) fn is_of_two_files(config: &Path) -> Result<bool, BuildError> {
    sentence::is_stanfords(config)
}

/// The task and who says so.
fn task(
    paths: &Paths,
    config: &Config,
    sentence: Option<&Sentence>,
    overrides: &Overrides,
) -> Result<(Task, &'static str), BuildError> {
    if let Some(task) = overrides.task {
        if !overrides.tasks_as_stated.is_empty()
            && let Ok(stated) = stated_task(paths, config, sentence)
            && overrides.tasks_as_stated.contains(&stated.0)
        {
            return Ok(stated);
        }
        let has_roles = || sentence.is_some_and(|it| matches!(it.head, Head::LateInteraction(_)));
        if task == Task::LateInteraction && !has_roles() {
            return Err(BuildError::NoRoles(paths.folder.clone()));
        }
        return Ok((task, "--task or model_type of this build"));
    }
    stated_task(paths, config, sentence)
}

/// The task that the folder is for, and what in it says so.
fn stated_task(
    paths: &Paths,
    config: &Config,
    sentence: Option<&Sentence>,
) -> Result<(Task, &'static str), BuildError> {
    Ok(match sentence.map(|sentence| &sentence.head) {
        Some(Head::Pooling(_)) if sentence.is_some_and(|it| it.logits.is_some()) => (
            Task::SequenceClassification,
            "modules.json: the last Dense gives scores",
        ),
        Some(Head::Pooling(_)) => (Task::SentenceEmbedding, "modules.json"),
        Some(Head::Splade(_)) => (Task::SparseEmbedding, "modules.json"),
        Some(Head::LateInteraction(_)) => (Task::LateInteraction, "ColBERT's files"),
        Some(Head::None) | None => match config.task()? {
            // optimum's exports of sentence-transformers keep none of its files.
            Task::Embedding if graph::has_output(&paths.weights, graph::SENTENCE_VECTOR)? => (
                Task::SentenceEmbedding,
                "the graph's output sentence_embedding",
            ),
            task => (task, "config.json architectures"),
        },
    })
}

/// What of the folder's modules the task uses. Without any, a task has what
/// sentence-transformers gives a plain transformers folder.
fn for_task(mut sentence: Sentence, task: Task) -> Sentence {
    let is_late = matches!(sentence.head, Head::LateInteraction(_));
    let note_projection = |findings: &mut Findings| {
        let meaning = "not used, nor roles: they are for late interaction";
        findings.note("projection", meaning, "task of this build");
    };
    if is_late && task != Task::LateInteraction {
        sentence.findings = Findings::default();
        note_projection(&mut sentence.findings);
        sentence.settings.note(&mut sentence.findings);
        sentence.modules.clear();
        sentence.head = Head::None;
    }
    match (task, &sentence.head) {
        (Task::LateInteraction, Head::LateInteraction(_)) => {}
        (Task::SequenceClassification, Head::Pooling(_)) if sentence.logits.is_some() => {}
        (Task::SentenceEmbedding, Head::Pooling(_)) | (Task::SparseEmbedding, Head::Splade(_)) => {}
        (Task::SentenceEmbedding, _) => {
            sentence.head = Head::Pooling(vec![Pooling::Mean]);
            let source = "no Pooling module, so as sentence-transformers does";
            sentence
                .findings
                .note("pooling", "the mean over all tokens", source);
        }
        (Task::SparseEmbedding, _) => {
            sentence.head = Head::Splade(Splade::default());
            let meaning = "the maximum over all tokens of log(1 + relu(logit))";
            let source = "no SpladePooling module, so as sentence-transformers does";
            sentence.findings.note("pooling", meaning, source);
        }
        _ => {
            let mut settings = sentence::Settings::default();
            if task == Task::SequenceClassification {
                // A cross-encoder's stand before the first text of a pair.
                settings.prompts = sentence.settings.prompts;
                settings.default_prompt = sentence.settings.default_prompt;
                settings.activation = sentence.settings.activation;
            }
            let mut findings = Findings::default();
            if is_late {
                note_projection(&mut findings);
            }
            settings.note(&mut findings);
            return Sentence {
                limit: sentence.limit,
                lower_case: sentence.lower_case,
                settings,
                findings,
                ..Sentence::default()
            };
        }
    }
    sentence
}

/// A folder that is being read.
struct Folder<'a> {
    paths: &'a Paths,
    overrides: &'a Overrides,
    config: Config,
    tokenizer: Resolved,
    labels_source: LabelsSource,
    findings: Findings,
}

impl Folder<'_> {
    /// Casing, pooling and prompts.
    fn pipeline(&mut self, task: Task, sentence: &Sentence) -> Result<Pipeline, BuildError> {
        let overrides = self.overrides;
        let settings = &sentence.settings;
        let (pooling, splade) = match &sentence.head {
            Head::Pooling(modes) => (modes.clone(), None),
            Head::Splade(splade) => (Vec::new(), Some(*splade)),
            Head::None | Head::LateInteraction(_) => (Vec::new(), None),
        };
        Ok(Pipeline {
            truncation_side: self.truncation_side(),
            truncation_strategy: overrides.truncation_strategy.unwrap_or_default(),
            lower_case: sentence.lower_case,
            split_special_tokens: self.tokenizer.split_special_tokens,
            pooling,
            normalize: sentence.normalize && task == Task::SentenceEmbedding,
            prompts: settings.prompts.clone(),
            default_prompt: settings.default_prompt.clone(),
            exclude_prompt: sentence.exclude_prompt,
            dimensions: settings.dimensions,
            similarity: settings.similarity.unwrap_or_default(),
            splade,
            ..Pipeline::default()
        })
    }

    fn truncation_side(&mut self) -> TruncationSide {
        if let Some(side) = self.overrides.truncation_side {
            return side;
        }
        let (side, source) = self.tokenizer.truncation_side.unwrap_or_default();
        if side == TruncationSide::Left {
            self.findings
                .note("truncation", "the beginning of a long text is cut", source);
        }
        side
    }

    /// The activation of a cross-encoder made of modules, whose config knows nothing
    /// of its scores.
    fn read_scores(
        &mut self,
        logits: u32,
        sentence: &Sentence,
        pipeline: &mut Pipeline,
    ) -> Result<(), BuildError> {
        pipeline.labels = (0..logits).map(|id| format!("LABEL_{id}")).collect();
        let stated = sentence.settings.activation.as_deref();
        let activations = self.config.activations(pipeline.labels.len(), stated)?;
        pipeline.activation = activations.rerank;
        pipeline.rerank_activation = activations.rerank;
        let name = activations.rerank.name();
        let meaning = format!("{name} of what the last Dense gives");
        self.findings
            .note("activation", meaning, activations.source);
        Ok(())
    }

    /// Labels and activations of a classifier.
    fn read_classes(
        &mut self,
        task: Task,
        sentence: &Sentence,
        pipeline: &mut Pipeline,
    ) -> Result<(), BuildError> {
        if !matches!(
            task,
            Task::SequenceClassification | Task::TokenClassification
        ) {
            return Ok(());
        }
        if let Some(logits) = sentence.logits {
            return self.read_scores(logits, sentence, pipeline);
        }
        let labels = self.config.labels()?;
        labels.note(&mut self.findings);
        self.labels_source = labels.source;
        pipeline.labels = labels.names;
        if task == Task::TokenClassification {
            pipeline.activation = Activation::Softmax;
            return Ok(());
        }
        let activations = self.config.activations(
            pipeline.labels.len(),
            sentence.settings.activation.as_deref(),
        )?;
        pipeline.activation = activations.classify;
        let source = activations.source;
        let meaning = activations.classify.name();
        self.findings.note("activation", meaning, source.clone());
        if pipeline.labels.len() == 1 {
            pipeline.rerank_activation = activations.rerank;
            let meaning = format!(
                "{} of the logit of (query, text)",
                activations.rerank.name()
            );
            self.findings.note("reranking", meaning, source);
        }
        if let Some((index, key)) = self.config.entailment(&pipeline.labels)?
            && pipeline.labels.len() > 1
        {
            pipeline.entailment = u32::try_from(index).ok();
            let meaning = format!("label {:?} decides", pipeline.labels[index]);
            let source = format!("config.json {key}");
            self.findings.note("zero-shot", meaning, source);
        }
        Ok(())
    }

    /// sentence-transformers' cross-encoder of a folder without modules puts each pair
    /// into its chat template, where it has one.
    fn refuse_chat_template(&self) -> Result<(), BuildError> {
        let path = &self.paths.tokenizer_config;
        let inside = &self.tokenizer.config["chat_template"];
        if !inside.is_null() {
            return Err(BuildError::key(path, "chat_template", inside));
        }
        for name in ["chat_template.jinja", "chat_template.json"] {
            let path = path.with_file_name(name);
            if path.exists() {
                return Err(BuildError::key(&path, "chat_template", &name.into()));
            }
        }
        Ok(())
    }

    /// Roles, query expansion and skiplist.
    fn read_late_interaction(
        &mut self,
        sentence: &Sentence,
        pipeline: &mut Pipeline,
    ) -> Result<(), BuildError> {
        let Head::LateInteraction(head) = &sentence.head else {
            return Ok(());
        };
        let (tokenizer, findings) = (&mut self.tokenizer, &mut self.findings);
        let max_length = self.overrides.max_length;
        let lower_case = sentence.lower_case;
        let resolved = head.resolve(self.paths, tokenizer, lower_case, max_length, findings)?;
        // Its own goes before the tokenizer.
        pipeline.lower_case = sentence.lower_case && !resolved.lower_case;
        pipeline.late_interaction = Some(resolved);
        Ok(())
    }

    /// The linear layers beside a model of sentence embeddings.
    fn read_hybrid(
        &mut self,
        task: Task,
        pooling_is_assumed: bool,
    ) -> Result<Option<HybridWeights>, BuildError> {
        if task != Task::SentenceEmbedding || pooling_is_assumed {
            return Ok(None);
        }
        HybridWeights::read(&self.paths.folder, &self.tokenizer, &mut self.findings)
    }

    fn read_special_tokens(
        &mut self,
        task: Task,
        pipeline: &mut Pipeline,
    ) -> Result<(), BuildError> {
        let id = |key: &str| self.tokenizer.special_id(key);
        match task {
            Task::TokenClassification => pipeline.unknown_token_id = id("unk_token"),
            Task::FillMask => {
                pipeline.mask_token_id = id("mask_token");
                pipeline.padding_token_id = id("pad_token");
                pipeline.clean_up_decoded = self.tokenizer.clean_up_decoded;
                if pipeline.mask_token_id.is_none() {
                    let path = &self.paths.tokenizer_config;
                    let found = &self.tokenizer.config["mask_token"];
                    return Err(BuildError::key(path, "mask_token", found));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Reads a file.
///
/// # Errors
/// [`BuildError::Read`], which names the file.
pub fn read_file(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(|source| BuildError::Read {
        path: path.to_owned(),
        source,
    })
}

fn read_json_if_there(path: &Path) -> Result<Option<Value>, BuildError> {
    if !path.is_file() {
        return Ok(None);
    }
    parse_json(path, &read_file(path)?).map(Some)
}

fn parse_json(path: &Path, bytes: &[u8]) -> Result<Value, BuildError> {
    serde_json::from_slice(bytes).map_err(|source| BuildError::Json {
        path: path.to_owned(),
        source,
    })
}

/// The `license:` of the front matter of README.md, the model card.
fn license(folder: &Path) -> String {
    let Ok(card) = fs::read_to_string(folder.join("README.md")) else {
        return String::new();
    };
    let Some(front_matter) = card
        .strip_prefix("---\n")
        .and_then(|rest| rest.split("\n---").next())
    else {
        return String::new();
    };
    let line = front_matter
        .lines()
        .find_map(|line| line.strip_prefix("license:"));
    line.unwrap_or_default().trim().to_owned()
}
