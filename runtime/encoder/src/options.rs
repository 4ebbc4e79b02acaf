//! What a request may say: one table, `options!` below, from which the fields of
//! [`Options`] and everything that frontends know of them are made.
//!
//! **Invariant:** every frontend offers every option of [`OPTIONS`] under its name, or
//! the table says why it does not; tests of the frontends compare them with it.

mod table;

pub use table::{OptionKind, OptionRow, Surface};

use crate::error::{OptionsError, RequestError};
use crate::heads::Head;
use crate::json;
use encoderfile_format::manifest::{Pipeline, Task, TruncationStrategy as Stored};
use serde::Deserialize;
use serde_json::{Map, Value};
use table::{choices, options};

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

choices! {
    /// What to do with a text of more tokens than the model takes.
    Overflow {
        /// Truncate it to the limit, and say so in the result.
        Truncate = "truncate",
        /// Refuse it.
        Error = "error",
        /// Sentence embeddings: the mean over windows that cover all of it.
        Mean = "mean",
    }

    /// An end of a text, for the truncation side.
    Side {
        /// The beginning.
        Left = "left",
        /// The end.
        Right = "right",
    }

    /// Which text of a pair is truncated.
    TruncationStrategy {
        /// The longer one, then both.
        LongestFirst = "longest_first",
        /// The first.
        OnlyFirst = "only_first",
        /// The second.
        OnlySecond = "only_second",
    }

    /// What a text is to a search.
    Role {
        /// What somebody looks for.
        Query = "query",
        /// What may be found.
        Document = "document",
    }

    /// The vectors of a model that has several kinds of them (BGE-M3).
    Vectors {
        /// The embedding of the text.
        Dense = "dense",
        /// Weights of vocabulary entries; scores are sums of products of those that both have.
        Sparse = "sparse",
        /// A vector for each token but the first; scores are the mean of `MaxSim`.
        Colbert = "colbert",
        /// All three, of one pass; scores are the mean of the three.
        All = "all",
    }

    /// How tokens become spans; transformers' `aggregation_strategy`.
    Aggregation {
        /// Every token by itself.
        None = "none",
        /// Neighbouring tokens with the same label.
        Simple = "simple",
        /// Words, each with the label of its first token.
        First = "first",
        /// Words, each with the label of the largest mean score.
        Average = "average",
        /// Words, each with the label of its most certain token.
        Max = "max",
    }
}

#[allow(
    clippy::derivable_impls,
    reason = "the macro derives for every choice alike"
)]
impl Default for Overflow {
    fn default() -> Self {
        Self::Truncate
    }
}

impl table::Field for Overflow {
    const KIND: OptionKind = <Self as table::Value>::KIND;

    fn is_given(&self) -> bool {
        *self != Self::default()
    }
}

/// Why the tools of a language model lack an option.
const NOT_A_MODELS: &str = "a language model has no reason to choose it; /predict has it";

/// Why tools of language models give no token embeddings of a sentence embedding model.
const OF_SENTENCES: &str = "a language model has no use for the token embeddings of a sentence";

options! {
    "" => {
        /// What to do with a text of more tokens than the model's maximum sequence length
        overflow: Overflow, or "long", of tokens, default "truncate",
            but (Mcp, "results say what was truncated");
        /// Truncation side: which end of a text of too many tokens is truncated
        truncation_side: Option<Side>, of tokens, default "what the model says",
            but (Mcp, NOT_A_MODELS);
        /// Truncation strategy: which text of a pair of too many tokens is truncated
        truncation_strategy: Option<TruncationStrategy>, or "truncation", of tokens,
            default "what the model says (longest_first unless its build said otherwise); \
                     with labels: only_first",
            but (Mcp, NOT_A_MODELS);
        /// Maximum sequence length in tokens, special tokens included
        max_tokens: Option<usize>, of tokens, default "what the model takes",
            but (Mcp, NOT_A_MODELS);
    }
    "Embeddings" => {
        /// Prepend this to every text, to the first of a pair (cross-encoders have it too);
        /// empty for no prompt
        prompt: Option<String>, of tokens, default "what the model says",
            but (Mcp, NOT_A_MODELS);
        /// Prepend the model's prompt of this name
        prompt_name: Option<String>, of tokens,
            but (Mcp, NOT_A_MODELS);
        /// Take every text for a query or a document: prepend the model's prompt for it, if it
        /// has one; late interaction gives it its marker, length and expansion
        role: Option<Role>, of tokens;
        /// Divide embeddings by their L2 norm, or not
        normalize: Option<bool>, of results, default "what the model says",
            but (Mcp, NOT_A_MODELS);
        /// Keep only the first values of an embedding, and normalise them where the whole
        /// would be
        dimensions: Option<usize>, of results;
        /// Which vectors of a model that has several kinds (BGE-M3) are given, or scored where
        /// there is a query
        vectors: Option<Vectors>, of results, default "dense; with a query all",
            but (Mcp, "each kind has a tool of its own");
    }
    "Tokens and spans" => {
        /// Give the token embeddings instead of the one that they are pooled into
        unpooled: bool, of results,
            but (Mcp, OF_SENTENCES);
        /// Also give the tokens that are not in the text ([CLS] and the like)
        special_tokens: bool, of results,
            but (Mcp, NOT_A_MODELS);
        /// Give labelled spans instead of tokens
        aggregation: Option<Aggregation>, of results,
            but (Mcp, "`extract_entities` gives spans of simple aggregation");
        /// Leave out spans with these labels
        ignore_labels: Option<Vec<String>>, of results, default "O",
            but (Mcp, NOT_A_MODELS);
        /// Read a text of too many tokens in overlapping windows, which share this many of
        /// them, so that none of it is lost
        stride: Option<usize>, of results,
            but (Mcp, NOT_A_MODELS);
    }
    "Classification and reranking" => {
        /// Score the texts as answers to this query, best first (over gRPC in their order)
        query: Option<String>, of results;
        /// Choose among these labels instead of the model's (models trained on NLI)
        labels: Option<Vec<String>>, of results;
        /// The sentence that a label is put into, at {}
        template: Option<String>, of results, default "\"This example is {}.\"",
            but (Mcp, NOT_A_MODELS);
        /// Score each label independently (multi-label), rather than one of all
        multi_label: bool, of results;
        /// Give logits instead of scores (MaxSim is raw in any case)
        raw_scores: bool, of results,
            but (Mcp, NOT_A_MODELS);
    }
    "Words and weights" => {
        /// Return the top K: fill-mask candidates (default 5), answers to a query (over
        /// gRPC all), or sparse weights
        top_k: Option<usize>, of results;
        /// Restrict fill-mask candidates to these words
        targets: Option<Vec<String>>, as typed, of results,
            but (Mcp, NOT_A_MODELS);
    }
}

impl Role {
    /// The names of the prompts for this role; the first that a model has is it.
    pub fn prompt_names(self) -> &'static [&'static str] {
        match self {
            Self::Query => &["query"],
            Self::Document => &["document", "passage", "corpus"],
        }
    }

    /// The role whose prompts are called so.
    pub(crate) fn of_prompt(name: &str) -> Option<Self> {
        let mut roles = Self::ALL.iter().copied();
        roles.find(|role| role.prompt_names().contains(&name))
    }
}

impl Options {
    /// The options that a JSON object has, as it is beside a request's inputs.
    ///
    /// # Errors
    /// [`RequestError::Json`] for what is no such object; an unknown option is named.
    pub fn from_json(json: &str) -> Result<Self, RequestError> {
        Self::from_fields(json::read(json)?)
    }

    /// The same of an object's members.
    ///
    /// # Errors
    /// The same.
    pub fn from_fields(fields: Map<String, Value>) -> Result<Self, RequestError> {
        Ok(Self::deserialize(Value::Object(fields))?)
    }

    /// Refuses what the model cannot serve, by name.
    pub(crate) fn check(
        &self,
        head: &dyn Head,
        task: Task,
        pipeline: &Pipeline,
    ) -> Result<(), OptionsError> {
        let taken = head.options(self);
        if let Some(option) = self.of_some_tasks().find(|option| !taken.contains(option)) {
            return Err(OptionsError::Inapplicable {
                option,
                task: task.name(),
            });
        }
        let problem = self.problem(head, pipeline);
        let problem = problem.or_else(|| head.problem(self));
        problem.map_or(Ok(()), Err)
    }

    /// The options that were given and that some task lacks.
    fn of_some_tasks(&self) -> impl Iterator<Item = &'static str> {
        const OF_ALL: [&str; 4] = ["overflow", "truncation_side", "max_tokens", "multi_label"];

        let windows = (self.overflow == Overflow::Mean).then_some("overflow=mean");
        let given = self.given().filter(|name| !OF_ALL.contains(name));
        windows.into_iter().chain(given)
    }

    /// What is wrong with the options together, for any task.
    fn problem(&self, head: &dyn Head, pipeline: &Pipeline) -> Option<OptionsError> {
        let prompts = [
            self.prompt.is_some(),
            self.prompt_name.is_some(),
            self.role.is_some() && head.role_is_prompt(),
        ];
        if prompts.into_iter().filter(|is_set| *is_set).count() > 1 {
            return Some(OptionsError::Exclusive {
                options: &["prompt", "prompt_name", "role"],
            });
        }
        // Where roles are more than prompts, a role's name says which.
        let is_role = |name: &str| !head.role_is_prompt() && Role::of_prompt(name).is_some();
        if let Some(name) = &self.prompt_name
            && !pipeline.prompts.iter().any(|prompt| prompt.name == *name)
            && !is_role(name)
        {
            let known = pipeline.prompts.iter().map(|prompt| prompt.name.clone());
            return Some(OptionsError::NoSuchPrompt {
                name: name.clone(),
                known: known.collect(),
            });
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
        let orphan = match (&self.labels, self.multi_label, &self.template) {
            (None, true, _) => "multi_label",
            (None, false, Some(_)) => "template",
            _ => return None,
        };
        Some(OptionsError::Needs {
            option: orphan,
            needs: "`labels`",
        })
    }

    /// The sentence a label is put into.
    pub(crate) fn template(&self) -> &str {
        self.template.as_deref().unwrap_or("This example is {}.")
    }

    /// The truncation strategy for pairs: the request's, or else the pipeline's.
    pub(crate) fn truncation_strategy(&self, pipeline: &Pipeline) -> TruncationStrategy {
        let stored = || match pipeline.truncation_strategy {
            Stored::LongestFirst => TruncationStrategy::LongestFirst,
            Stored::OnlyFirst => TruncationStrategy::OnlyFirst,
            Stored::OnlySecond => TruncationStrategy::OnlySecond,
        };
        self.truncation_strategy.unwrap_or_else(stored)
    }

    /// The prompt to prepend to a text: empty for none, also where the model lacks the one
    /// that is asked for.
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
