//! What a request may say. Every shell offers these fields under these names.

use crate::error::Error;
use crate::heads::Head;
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
    pub(crate) fn check(
        &self,
        head: &dyn Head,
        task: Task,
        pipeline: &Pipeline,
    ) -> Result<(), Error> {
        let taken = head.options(self);
        let given = self.of_some_tasks();
        let mut given = given.into_iter().filter(|(_, is_given)| *is_given);
        if let Some((option, _)) = given.find(|(option, _)| !taken.contains(option)) {
            return Err(Error::Option {
                option,
                task: task.name(),
            });
        }
        let problem = self.problem(pipeline).or_else(|| head.problem(self));
        problem.map_or(Ok(()), |problem| Err(Error::Request(problem)))
    }

    /// Each option that some task lacks, and whether it was given.
    fn of_some_tasks(&self) -> [(&'static str, bool); 18] {
        [
            ("long=mean", self.long == Long::Mean),
            ("truncation", self.truncation.is_some()),
            ("normalize", self.normalize.is_some()),
            ("dimensions", self.dimensions.is_some()),
            ("unpooled", self.unpooled),
            ("prompt", self.prompt.is_some()),
            ("prompt_name", self.prompt_name.is_some()),
            ("role", self.role.is_some()),
            ("special_tokens", self.special_tokens),
            ("aggregation", self.aggregation.is_some()),
            ("ignore_labels", self.ignore_labels.is_some()),
            ("stride", self.stride.is_some()),
            ("query", self.query.is_some()),
            ("labels", self.labels.is_some()),
            ("template", self.template.is_some()),
            ("top_k", self.top_k.is_some()),
            ("targets", self.targets.is_some()),
            ("raw_scores", self.raw_scores),
        ]
    }

    /// What is wrong with the options together, for any task.
    fn problem(&self, pipeline: &Pipeline) -> Option<String> {
        let prompts = [
            self.prompt.is_some(),
            self.prompt_name.is_some(),
            self.role.is_some(),
        ];
        if prompts.into_iter().filter(|is_set| *is_set).count() > 1 {
            return Some("give one of `prompt`, `prompt_name` and `role`".into());
        }
        if let Some(name) = &self.prompt_name
            && !pipeline.prompts.iter().any(|prompt| prompt.name == *name)
        {
            let names: Vec<&str> = pipeline.prompts.iter().map(|it| it.name.as_str()).collect();
            return Some(match names.as_slice() {
                [] => format!("no prompt named `{name}`: the model has none"),
                names => format!("no prompt named `{name}`: it has {}", names.join(", ")),
            });
        }
        if self.max_tokens == Some(0) {
            return Some("`max_tokens` is 0".into());
        }
        if self.top_k == Some(0) {
            return Some("`top_k` is 0".into());
        }
        if self.targets.as_ref().is_some_and(Vec::is_empty) {
            return Some("`targets` is empty".into());
        }
        let orphan = match (&self.labels, self.multi_label, &self.template) {
            (None, true, _) => "multi_label",
            (None, false, Some(_)) => "template",
            _ => return None,
        };
        Some(format!("`{orphan}` needs `labels`"))
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
