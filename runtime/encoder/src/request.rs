//! What a request may say. Every shell offers these fields under these names.

use crate::error::OptionsError;
use encoderfile_format::manifest::{Pipeline, Task, TruncationStrategy};
use serde::Deserialize;

/// One thing to compute a result for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A text.
    Text(&'a str),
    /// Sequence classification: two texts.
    Pair(&'a str, &'a str),
    /// Embeddings: the tokens of a text, with or without the special tokens
    /// around them.
    Ids(&'a [u32]),
}

impl<'a> From<&'a str> for Input<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

/// How results are computed. The default is what the model folder says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// What to do with a text of more tokens than the model takes.
    pub long: Long,
    /// Which end of a long text is cut.
    pub truncation_side: Option<Side>,
    /// Which text of a long pair is cut.
    pub truncation: Option<Truncation>,
    /// The most tokens of a sequence, special tokens included, where that is
    /// less than the model takes.
    pub max_tokens: Option<usize>,

    /// Embeddings: divide by the L2 norm, or not.
    pub normalize: Option<bool>,
    /// Embeddings: keep so many of the first values, and normalise what is
    /// kept where the whole would be.
    pub dimensions: Option<usize>,
    /// Embeddings and cross-encoders: put this in front of the text, of a pair's first;
    /// empty for no prompt at all.
    pub prompt: Option<String>,
    /// Embeddings and cross-encoders: put the model's prompt of this name there.
    pub prompt_name: Option<String>,
    /// Embeddings: put the model's prompt for such texts in front of the text,
    /// if it has one.
    pub role: Option<Role>,

    /// Sentence embeddings: the vector of each token instead, before pooling.
    pub unpooled: bool,

    /// Per-token results: also the tokens that are not in the text.
    pub special_tokens: bool,

    /// Token classification: spans instead of tokens, made in this way.
    pub aggregation: Option<Aggregation>,
    /// Spans: labels to leave out instead of `O`.
    pub ignore_labels: Option<Vec<String>>,
    /// Spans: read a long text in windows that share so many tokens.
    pub stride: Option<usize>,

    /// Reranking: score the text as an answer to this query.
    pub query: Option<String>,
    /// Zero-shot classification: the labels to choose from.
    pub labels: Option<Vec<String>>,
    /// Zero-shot classification: the sentence a label is put into, at `{}`.
    pub template: Option<String>,
    /// Zero-shot classification: each label by itself, rather than one of all.
    pub multi_label: bool,
    /// Classification and reranking: logits instead of scores.
    pub raw_scores: bool,

    /// Fill-mask and reranking: so many of the best. Sparse embeddings: so
    /// many of the largest weights.
    pub top_k: Option<usize>,
    /// Fill-mask: only these words.
    pub targets: Option<Vec<String>>,
}

/// What to do with a text of more tokens than the model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Long {
    /// Cut it and say so in the result.
    #[default]
    Truncate,
    /// Refuse it.
    Error,
    /// Sentence embeddings: the mean over windows that cover all of it.
    Mean,
}

/// An end of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The beginning.
    Left,
    /// The end.
    Right,
}

/// Which text of a pair is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Truncation {
    /// The longer one, then both.
    #[default]
    LongestFirst,
    /// The first.
    OnlyFirst,
    /// The second.
    OnlySecond,
}

/// What a text is to a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// What somebody looks for.
    Query,
    /// What may be found.
    Document,
}

impl Role {
    /// The names of the prompts for this role; the first that a model has is it.
    pub fn prompt_names(self) -> &'static [&'static str] {
        match self {
            Self::Query => &["query"],
            Self::Document => &["document", "passage", "corpus"],
        }
    }
}

/// How tokens become spans; transformers' `aggregation_strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(serde::Serialize, utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Every token by itself.
    None,
    /// Neighbouring tokens with the same label.
    Simple,
    /// Words, each with the label of its first token.
    First,
    /// Words, each with the label of the largest mean score.
    Average,
    /// Words, each with the label of its surest token.
    Max,
}

impl Options {
    /// Refuses what the model cannot serve, by name.
    pub(crate) fn check(&self, task: Task, pipeline: &Pipeline) -> Result<(), OptionsError> {
        for (option, is_set, applies) in self.uses(task) {
            if is_set && !applies {
                return Err(OptionsError::Inapplicable {
                    option,
                    task: task.name(),
                });
            }
        }
        self.problem(pipeline).map_or(Ok(()), Err)
    }

    /// Each option that some task lacks: its name, whether it was given, and
    /// whether `task` has it.
    fn uses(&self, task: Task) -> [(&'static str, bool, bool); 18] {
        let vectors = matches!(task, Task::Embedding | Task::SentenceEmbedding);
        let texts = matches!(task, Task::SentenceEmbedding | Task::SparseEmbedding);
        let sentences = task == Task::SentenceEmbedding && !self.unpooled;
        let classes = task == Task::SequenceClassification;
        let tokens = task == Task::TokenClassification;
        let masks = task == Task::FillMask;
        let reranks = classes && self.query.is_some();
        [
            ("long=mean", self.long == Long::Mean, sentences),
            ("truncation", self.truncation.is_some(), classes),
            ("normalize", self.normalize.is_some(), vectors),
            ("dimensions", self.dimensions.is_some(), sentences),
            ("unpooled", self.unpooled, task == Task::SentenceEmbedding),
            ("prompt", self.prompt.is_some(), texts || classes),
            ("prompt_name", self.prompt_name.is_some(), texts || classes),
            ("role", self.role.is_some(), texts),
            (
                "special_tokens",
                self.special_tokens,
                task == Task::Embedding || tokens || self.unpooled,
            ),
            ("aggregation", self.aggregation.is_some(), tokens),
            ("ignore_labels", self.ignore_labels.is_some(), tokens),
            ("stride", self.stride.is_some(), tokens),
            ("query", self.query.is_some(), classes),
            ("labels", self.labels.is_some(), classes),
            ("template", self.template.is_some(), classes),
            (
                "top_k",
                self.top_k.is_some(),
                masks || reranks || task == Task::SparseEmbedding,
            ),
            ("targets", self.targets.is_some(), masks),
            ("raw_scores", self.raw_scores, classes),
        ]
    }

    /// What is wrong with the options together.
    fn problem(&self, pipeline: &Pipeline) -> Option<OptionsError> {
        let prompts = [
            self.prompt.is_some(),
            self.prompt_name.is_some(),
            self.role.is_some(),
        ];
        if prompts.into_iter().filter(|is_set| *is_set).count() > 1 {
            return Some(OptionsError::Exclusive {
                options: &["prompt", "prompt_name", "role"],
            });
        }
        if let Some(name) = &self.prompt_name
            && !pipeline.prompts.iter().any(|prompt| prompt.name == *name)
        {
            let known = pipeline.prompts.iter().map(|prompt| prompt.name.clone());
            return Some(OptionsError::NoSuchPrompt {
                name: name.clone(),
                known: known.collect(),
            });
        }
        let per_token = pipeline.output.per_token;
        if self.unpooled && !per_token {
            return Some(OptionsError::PooledInGraph);
        }
        if self.max_tokens == Some(0) {
            return Some(OptionsError::Zero {
                option: "max_tokens",
            });
        }
        if self.top_k == Some(0) {
            return Some(OptionsError::Zero { option: "top_k" });
        }
        if self.targets.as_ref().is_some_and(Vec::is_empty) {
            return Some(OptionsError::Empty { option: "targets" });
        }
        self.span_problem()
            .or_else(|| self.zero_shot_problem(pipeline))
            .or_else(|| self.rerank_problem(pipeline))
            .or_else(|| self.dimensions_problem(pipeline))
    }

    fn span_problem(&self) -> Option<OptionsError> {
        let spans = !matches!(self.aggregation, None | Some(Aggregation::None));
        if self.stride.is_some() && !spans {
            return Some(OptionsError::Needs {
                option: "stride",
                needs: "an `aggregation` of simple, first, average or max: windows are joined by their spans",
            });
        }
        if self.ignore_labels.is_some() && self.aggregation.is_none() {
            return Some(OptionsError::Needs {
                option: "ignore_labels",
                needs: "an `aggregation`",
            });
        }
        if self.special_tokens && self.aggregation.is_some() {
            return Some(OptionsError::SpecialTokensOfSpans);
        }
        if self.stride.is_some() && self.long == Long::Error {
            return Some(OptionsError::Exclusive {
                options: &["stride", "long=error"],
            });
        }
        None
    }

    fn zero_shot_problem(&self, pipeline: &Pipeline) -> Option<OptionsError> {
        let Some(labels) = &self.labels else {
            let orphan = if self.multi_label {
                Some("multi_label")
            } else {
                self.template.as_ref().map(|_| "template")
            };
            return orphan.map(|option| OptionsError::Needs {
                option,
                needs: "`labels`",
            });
        };
        if pipeline.entailment.is_none() {
            return Some(OptionsError::Needs {
                option: "labels",
                needs: "a model trained on natural language inference: one with a label whose name starts with \"entail\"",
            });
        }
        if labels.is_empty() {
            return Some(OptionsError::Empty { option: "labels" });
        }
        if self.query.is_some() {
            return Some(OptionsError::Exclusive {
                options: &["labels", "query"],
            });
        }
        if self.template().matches("{}").count() != 1 {
            return Some(OptionsError::Template {
                template: self.template().to_owned(),
            });
        }
        None
    }

    fn rerank_problem(&self, pipeline: &Pipeline) -> Option<OptionsError> {
        let logits = pipeline.labels.len();
        (self.query.is_some() && logits != 1).then_some(OptionsError::NoScore { logits })
    }

    fn dimensions_problem(&self, pipeline: &Pipeline) -> Option<OptionsError> {
        let width = pipeline.embedding_width();
        let dimensions = self.dimensions?;
        (dimensions == 0 || dimensions > width)
            .then_some(OptionsError::Dimensions { dimensions, width })
    }

    /// The sentence a label is put into.
    pub(crate) fn template(&self) -> &str {
        self.template.as_deref().unwrap_or("This example is {}.")
    }

    /// Which text of a long pair is cut.
    pub(crate) fn truncation(&self, pipeline: &Pipeline) -> Truncation {
        self.truncation
            .unwrap_or(match pipeline.truncation_strategy {
                TruncationStrategy::LongestFirst => Truncation::LongestFirst,
                TruncationStrategy::OnlyFirst => Truncation::OnlyFirst,
                TruncationStrategy::OnlySecond => Truncation::OnlySecond,
            })
    }

    /// The text to put in front of a text.
    pub fn prompt<'a>(&'a self, pipeline: &'a Pipeline) -> &'a str {
        let find = |name: &str| pipeline.prompts.iter().find(|prompt| prompt.name == name);
        if let Some(prompt) = &self.prompt {
            return prompt;
        }
        let prompt = match (&self.prompt_name, self.role) {
            (Some(name), _) => find(name),
            (None, Some(role)) => role.prompt_names().iter().find_map(|name| find(name)),
            (None, None) => find(&pipeline.default_prompt),
        };
        prompt.map_or("", |prompt| &prompt.text)
    }
}
