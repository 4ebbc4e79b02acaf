//! Everything the builder learned from a model folder. The runtime reads this
//! and nothing else; it never guesses.

use super::names::{
    Activation, Compute, DenseFunction, InputRole, IntegerType, Pooling, Similarity,
    TruncationSide, TruncationStrategy,
};

/// How texts become results.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pipeline {
    /// Maximum sequence length in tokens, special tokens included.
    pub max_tokens: u32,
    /// Where `max_tokens` came from, for people: a file and key.
    pub max_tokens_source: String,
    /// The truncation side: which end of a text of too many tokens is truncated.
    pub truncation_side: TruncationSide,
    /// The truncation strategy: which text of a pair of too many tokens is truncated.
    pub truncation_strategy: TruncationStrategy,
    /// Lower-case the text before tokenisation (sentence-transformers' `do_lower_case`).
    pub lower_case: bool,
    /// Special tokens in a text are read like any other text.
    pub split_special_tokens: bool,
    /// Rows of the token embedding: every token id is below this.
    pub vocabulary_size: u32,

    /// The inputs of the graph, bound by name.
    pub inputs: Vec<Input>,
    /// The one output of the graph that is read.
    pub output: Output,
    /// What products with large matrices are computed in.
    pub compute: Compute,

    /// Sentence embeddings, and cross-encoders whose head is not in the graph: one or more
    /// modes, concatenated in this order; none where the graph pools.
    pub pooling: Vec<Pooling>,
    /// The tokens of the prompt take no part in pooling.
    pub exclude_prompt: bool,
    /// What follows pooling, in this order. An L2 norm at the very end is
    /// `normalize` instead.
    pub modules: Vec<Module>,
    /// Sentence embeddings: divide by the L2 norm at the end unless a request says otherwise.
    pub normalize: bool,
    /// Embeddings: only so many of the first values are kept, after everything
    /// else and without another norm; 0 for all.
    pub dimensions: u32,
    /// How embeddings are meant to be compared.
    pub similarity: Similarity,
    /// Sparse embeddings: from vocabulary logits to one weight a vocabulary entry.
    pub splade: Option<Splade>,
    /// Late interaction: how queries and documents become sequences, and what is kept.
    pub late_interaction: Option<LateInteraction>,
    /// Sentence embeddings: what a model has beside the pooled vector.
    pub hybrid: Option<Hybrid>,
    /// Embeddings and cross-encoders: named texts that are prepended to a text.
    pub prompts: Vec<Prompt>,
    /// The name of the prompt for requests that say nothing; empty for none.
    pub default_prompt: String,

    /// Classification: the label of each logit.
    pub labels: Vec<String>,
    /// Classification: how logits become scores.
    pub activation: Activation,
    /// A head of one logit: how a (query, text) pair is scored when reranking.
    pub rerank_activation: Activation,
    /// Heads trained on natural language inference: the label that says that the
    /// second text follows from the first.
    pub entailment: Option<u32>,

    /// Fill-mask: the token that stands for any other.
    pub mask_token_id: Option<u32>,
    /// Token classification: the token of a word that the vocabulary lacks.
    pub unknown_token_id: Option<u32>,
    /// Fill-mask: the token that is left out of decoded texts.
    pub padding_token_id: Option<u32>,
    /// The tokenizer's `clean_up_tokenization_spaces`: decoded text has no space before a
    /// full stop and the like.
    pub clean_up_decoded: bool,
}

impl Pipeline {
    /// How many values a sentence embedding has before any of them are left out.
    pub fn embedding_width(&self) -> usize {
        let dense = self.modules.iter().rev().find_map(|module| match module {
            Module::Dense(dense) => Some(dense.out_features as usize),
            _ => None,
        });
        dense.unwrap_or_else(|| self.pooled_width())
    }

    /// The most tokens of a sequence in that role.
    pub fn limit(&self, role: RoleSequence) -> u32 {
        match role.max_tokens {
            0 => self.max_tokens,
            of_role => of_role.min(self.max_tokens),
        }
    }

    /// How many values pooling gives, before any module.
    pub fn pooled_width(&self) -> usize {
        // A model that pools in its graph has no modes.
        let modes = self.pooling.len().max(1);
        (self.output.width as usize).saturating_mul(modes)
    }
}

/// A text that is prepended to every text of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// What requests call it.
    pub name: String,
    /// What is prepended.
    pub text: String,
}

/// One input of the graph, bound by name: `[1, tokens]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// In the graph.
    pub name: String,
    /// What it is given.
    pub role: InputRole,
    /// In which type.
    pub integer_type: IntegerType,
    /// The first of the position ids: RoBERTa counts from after its padding id.
    pub first_position: u32,
    /// Segment ids are 0 for both texts of a pair.
    pub zeros: bool,
}

/// The output of the graph that is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// In the graph.
    pub name: String,
    /// hidden_size, or the number of labels or vocabulary entries.
    pub width: u32,
    /// Whether there is one row per token: `[1, tokens, width]` rather than `[1, width]`.
    /// A sentence embedding without is pooled in the graph.
    pub per_token: bool,
}

/// A step between pooling and the finished embedding.
#[derive(Clone, Debug, PartialEq)]
pub enum Module {
    /// A linear layer.
    Dense(Dense),
    /// Mean 0 and variance 1 over the values, then scale and shift.
    LayerNorm(LayerNorm),
    /// Divides by the L2 norm.
    L2Norm,
}

/// `function(weight · x + bias)`, and the residual if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dense {
    /// Values of its input.
    pub in_features: u32,
    /// Values of its output.
    pub out_features: u32,
    /// `[out_features, in_features]`.
    pub weight: StoredTensor,
    /// `[out_features]`.
    pub bias: Option<StoredTensor>,
    /// What is applied to each value.
    pub function: DenseFunction,
    /// What is added at the end.
    pub residual: Option<Residual<StoredTensor>>,
}

/// A residual connection around a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residual<T> {
    /// Its input.
    Identity,
    /// This matrix times its input: `[out_features, in_features]`.
    Projected(T),
}

/// LayerNorm over the values of a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorm {
    /// `[width]`.
    pub weight: StoredTensor,
    /// `[width]`.
    pub bias: StoredTensor,
    /// Added to the variance.
    pub epsilon: f32,
}

/// float32 values, row after row, within the weights artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredTensor {
    /// From the artifact's first byte.
    pub offset: u64,
    /// In bytes.
    pub length: u64,
}

/// BGE-M3: linear layers on the token vectors that the embedding is pooled of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hybrid {
    /// The weight of a token: `[1, hidden_size]`.
    pub sparse: Dense,
    /// The vector of a token, for `MaxSim`; the first token has none.
    pub colbert: Dense,
    /// Token ids in ascending order that never have a weight.
    pub unweighted: Vec<u32>,
}

/// `ColBERT`: a vector for each token of a query and of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LateInteraction {
    /// How a query becomes a sequence.
    pub query: RoleSequence,
    /// How a document becomes a sequence.
    pub document: RoleSequence,
    /// What is put behind queries.
    pub expansion: Option<QueryExpansion>,
    /// Token ids in ascending order, whose vectors are left out of the roles that say so.
    pub skiplist: Vec<u32>,
    /// White space at both ends of a text, its prompt included, is left out.
    pub strip: bool,
    /// The text is lower-cased before the tokenizer looks for added tokens in it, and
    /// not after, as [`Pipeline::lower_case`] has it.
    pub lower_case: bool,
    /// A role has the prompt of its name where a request names none.
    pub role_prompts: bool,
    /// A score is the mean over the query's vectors rather than the sum.
    pub mean_score: bool,
}

impl LateInteraction {
    /// How queries and documents are compared, as sentence-transformers calls it.
    pub fn similarity(&self) -> &'static str {
        match self.mean_score {
            true => "meanmaxsim",
            false => "maxsim",
        }
    }
}

/// How the texts of a role become sequences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleSequence {
    /// The most tokens, special tokens and prefix included; 0 for as many as the model
    /// takes.
    pub max_tokens: u32,
    /// The token at index 1, which is in no text.
    pub prefix_id: Option<u32>,
    /// Vectors of tokens in the skiplist are left out.
    pub skips: bool,
}

/// Tokens behind a query that have vectors like any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryExpansion {
    /// All of them are this one.
    pub token_id: u32,
    /// Shorter queries are made so long.
    pub length: u32,
    /// Tokens attend to them too; the attention mask hides them otherwise.
    pub attended: bool,
}

/// Per vocabulary entry: the maximum or sum over tokens of log(1 + relu(logit)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Splade {
    /// Sum rather than maximum.
    pub sum: bool,
    /// log(1 + …) once more.
    pub twice: bool,
}
