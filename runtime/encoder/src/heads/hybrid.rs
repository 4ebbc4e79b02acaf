//! Hybrid embeddings (BGE-M3): the embedding of a text, and of the same token vectors a
//! weight for each vocabulary entry in it and `ColBERT`'s vectors.
//!
//! **Invariant:** whatever a request asks for, the graph is computed once for a text, and the
//! embedding is what the same model without the other two gives.

use super::modules::{self, Module, dot};
use super::sentence_embedding::{self, SentenceEmbedding};
use super::sparse_embedding::largest;
use super::token_embedding::token_info;
use super::{Capability, Head, Item, Part};
use crate::error::{OptionsError, RequestError, TaskProblem};
use crate::options::{Input, Options, Role, Vectors};
use crate::output::{SparseValue, TokenVector, Values};
use crate::pooling::normalize;
use crate::processor::Processor;
use crate::tokenizer::Tokens;
use encoderfile_format::Source;
use encoderfile_format::manifest::{self, Pipeline};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct HybridEmbedding {
    dense: SentenceEmbedding,
    /// From a row of the graph to the weight of its token.
    sparse: Vec<Module>,
    /// From a row of the graph to the vector of its token.
    colbert: Vec<Module>,
    /// Token ids in ascending order that have no weight.
    unweighted: Vec<u32>,
    /// Values of the graph's rows.
    hidden_size: usize,
}

impl HybridEmbedding {
    pub(super) fn new(
        pipeline: &Pipeline,
        hybrid: &manifest::Hybrid,
        weights: &Arc<dyn Source>,
    ) -> Result<Self, TaskProblem> {
        let load = |dense: &manifest::Dense| {
            let module = manifest::Module::Dense(dense.clone());
            modules::load(&[module], weights)
        };
        Ok(Self {
            dense: SentenceEmbedding::new(pipeline, weights)?,
            sparse: load(&hybrid.sparse)?,
            colbert: load(&hybrid.colbert)?,
            unweighted: hybrid.unweighted.clone(),
            hidden_size: pipeline.output.width as usize,
        })
    }

    /// The weight of each token: `[tokens]` of `[tokens, hidden_size]`.
    fn token_weights(&self, output: &[f32]) -> Vec<f32> {
        modules::apply_each(&self.sparse, output.to_vec(), self.hidden_size).values
    }

    /// The weight of each vocabulary entry that has one: the largest of its tokens.
    fn sparse(&self, sequence: &Tokens, output: &[f32]) -> Vec<SparseValue> {
        let mut weights: BTreeMap<u32, f32> = BTreeMap::new();
        for (id, weight) in sequence.ids.iter().zip(self.token_weights(output)) {
            if weight > 0.0 && self.unweighted.binary_search(id).is_err() {
                let largest = weights.entry(*id).or_default();
                *largest = largest.max(weight);
            }
        }
        let weights = weights.into_iter();
        weights
            .map(|(index, value)| SparseValue { index, value })
            .collect()
    }

    /// The vector of each token but the first, of length one.
    fn vectors(&self, output: &[f32]) -> modules::Vectors {
        let rows = output.get(self.hidden_size..).unwrap_or_default();
        let mut vectors = modules::apply_each(&self.colbert, rows.to_vec(), self.hidden_size);
        vectors.each_mut().for_each(normalize);
        vectors
    }

    fn colbert(&self, sequence: &Tokens, output: &[f32]) -> Vec<TokenVector> {
        let vectors = self.vectors(output);
        let rows = vectors.values.chunks_exact(vectors.width.max(1));
        let vectors = (1..).zip(rows).map(|(at, row)| TokenVector {
            embedding: row.to_vec(),
            token_info: token_info(sequence, at),
        });
        vectors.collect()
    }

    /// What a request asks for, of one sequence.
    fn values(
        &self,
        sequence: &Tokens,
        output: Vec<f32>,
        skipped: usize,
        options: &Options,
    ) -> Values {
        match wanted(options) {
            Vectors::Dense => Values::SentenceEmbedding {
                embedding: self.dense.one(output, skipped, options),
            },
            Vectors::Sparse => Values::SparseEmbedding {
                sparse_embedding: self.sparse(sequence, &output),
            },
            Vectors::Colbert => Values::Embedding {
                embeddings: self.colbert(sequence, &output),
            },
            Vectors::All => Values::HybridEmbedding {
                sparse_embedding: self.sparse(sequence, &output),
                embeddings: self.colbert(sequence, &output),
                embedding: self.dense.one(output, skipped, options),
            },
        }
    }
}

/// The vectors that a request asks for.
fn wanted(options: &Options) -> Vectors {
    let default = match options.query {
        Some(_) => Vectors::All,
        None => Vectors::Dense,
    };
    options.vectors.unwrap_or(default)
}

/// How well a document answers a query, by the same vectors of either; of all the mean of
/// the three scores, as FlagEmbedding's `colbert+sparse+dense`.
fn score(query: &Values, document: &Values) -> f32 {
    match (query, document) {
        (
            Values::SentenceEmbedding { embedding: query },
            Values::SentenceEmbedding {
                embedding: document,
            },
        ) => dot(query, document),
        (
            Values::SparseEmbedding {
                sparse_embedding: query,
            },
            Values::SparseEmbedding {
                sparse_embedding: document,
            },
        ) => lexical_score(query, document),
        (
            Values::Embedding { embeddings: query },
            Values::Embedding {
                embeddings: document,
            },
        ) => mean_max_sim(query, document),
        (
            Values::HybridEmbedding {
                embedding,
                sparse_embedding,
                embeddings,
            },
            Values::HybridEmbedding {
                embedding: dense,
                sparse_embedding: sparse,
                embeddings: colbert,
            },
        ) => {
            let lexical = lexical_score(sparse_embedding, sparse);
            (dot(embedding, dense) + lexical + mean_max_sim(embeddings, colbert)) / 3.0
        }
        _ => 0.0,
    }
}

/// The sum of products of the weights that both have.
fn lexical_score(query: &[SparseValue], document: &[SparseValue]) -> f32 {
    let products = query.iter().filter_map(|it| {
        let found = document.binary_search_by_key(&it.index, |other| other.index);
        let other = document.get(found.ok()?)?;
        Some(it.value * other.value)
    });
    products.sum()
}

/// `MaxSim`, divided by the number of the query's vectors.
fn mean_max_sim(query: &[TokenVector], document: &[TokenVector]) -> f32 {
    if query.is_empty() || document.is_empty() {
        return 0.0;
    }
    let largest = query.iter().map(|query| {
        let products = document
            .iter()
            .map(|document| dot(&query.embedding, &document.embedding));
        products.fold(f32::NEG_INFINITY, f32::max)
    });
    largest.sum::<f32>() / query.len() as f32
}

/// The options of a request's query, or of its documents. A prompt that is named is the
/// query's; otherwise either has that of its role.
fn of_role(role: Role, options: &Options) -> Options {
    let mut options = options.clone();
    let is_named = options.prompt.is_some() || options.prompt_name.is_some();
    if role == Role::Document {
        (options.prompt, options.prompt_name) = (None, None);
    }
    if role == Role::Document || !is_named {
        options.role = Some(role);
    }
    options
}

/// What comes out, in words.
pub(super) fn describe(pipeline: &Pipeline, hybrid: &manifest::Hybrid) -> String {
    let dense = sentence_embedding::describe(pipeline);
    let width = hybrid.colbert.out_features;
    format!("{dense}; weights of tokens; {width} numbers a token, compared by the mean of MaxSim")
}

impl Head for HybridEmbedding {
    fn capabilities(&self) -> Vec<Capability> {
        let mut capabilities = self.dense.capabilities();
        capabilities.extend([Capability::Sparse, Capability::Rerank]);
        capabilities
    }

    fn result(&self) -> &'static str {
        self.dense.result()
    }

    fn giving(&self, result: &str, options: Options) -> Option<Options> {
        match result {
            "sparse_embedding" => Some(Options {
                vectors: Some(Vectors::Sparse),
                ..options
            }),
            result => self.dense.giving(result, options),
        }
    }

    fn options(&self, request: &Options) -> Vec<&'static str> {
        let mut options = vec!["vectors", "prompt", "prompt_name"];
        match (&request.query, wanted(request)) {
            // A score is raw already.
            (Some(_), _) => options.extend(["query", "top_k", "raw_scores"]),
            (None, Vectors::Dense) => options.extend(self.dense.options(request)),
            (None, Vectors::Sparse) => options.extend(["role", "top_k"]),
            (None, Vectors::Colbert) => options.push("role"),
            (None, Vectors::All) => options.extend(["role", "normalize", "dimensions", "top_k"]),
        }
        options
    }

    fn problem(&self, options: &Options) -> Option<OptionsError> {
        self.dense.problem(options)
    }

    fn takes_ids(&self) -> bool {
        true
    }

    fn shared(
        &self,
        processor: Processor<'_>,
        options: &Options,
    ) -> Result<Option<Tokens>, RequestError> {
        let Some(query) = &options.query else {
            return Ok(None);
        };
        let options = of_role(Role::Query, options);
        let query = processor.sequence(Input::Text(query), &options);
        query.map(Some).map_err(RequestError::in_query)
    }

    fn item(
        &self,
        processor: Processor<'_>,
        input: Input<'_>,
        options: &Options,
    ) -> Result<Item, RequestError> {
        match options.query {
            Some(_) => {
                let options = of_role(Role::Document, options);
                self.dense.item(processor, input, &options)
            }
            None => self.dense.item(processor, input, options),
        }
    }

    fn reduce(
        &self,
        processor: Processor<'_>,
        sequence: &Tokens,
        output: Vec<f32>,
        item: &Item,
        options: &Options,
    ) -> Result<Part, RequestError> {
        if options.query.is_none() && wanted(options) == Vectors::Dense {
            return self
                .dense
                .reduce(processor, sequence, output, item, options);
        }
        let is_query = options.query.is_some() && item.shared.is_none();
        let skipped = match is_query {
            true => {
                let options = of_role(Role::Query, options);
                self.dense.skipped(processor, &options)?
            }
            false => item.skipped,
        };
        let mut values = self.values(sequence, output, skipped, options);
        if let Some(query) = &item.shared {
            let score = match &query.part {
                Part::Values(query) => score(query, &values),
                Part::Vector(_) | Part::Entities(_) => 0.0,
            };
            return Ok(Part::Values(Values::Score { score }));
        }
        if let Some(top_k) = options.top_k.filter(|_| options.query.is_none())
            && let Values::SparseEmbedding { sparse_embedding }
            | Values::HybridEmbedding {
                sparse_embedding, ..
            } = &mut values
        {
            largest(sparse_embedding, top_k);
        }
        Ok(Part::Values(values))
    }

    fn finish(&self, item: &Item, parts: Vec<Part>, options: &Options) -> Option<Values> {
        self.dense.finish(item, parts, options)
    }

    fn golden(
        &self,
        processor: Processor<'_>,
        sequence: &Tokens,
        output: Vec<f32>,
    ) -> Result<Vec<f32>, RequestError> {
        let weights = self.token_weights(&output);
        let vectors = self.vectors(&output);
        let mut numbers = self.dense.golden(processor, sequence, output)?;
        numbers.extend(weights);
        numbers.extend(vectors.values);
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sparse(values: &[(u32, f32)]) -> Vec<SparseValue> {
        let values = values.iter();
        values
            .map(|(index, value)| SparseValue {
                index: *index,
                value: *value,
            })
            .collect()
    }

    #[test]
    fn a_lexical_score_is_of_what_both_have() {
        let query = sparse(&[(2, 0.5), (7, 2.0), (9, 1.0)]);
        let document = sparse(&[(1, 4.0), (7, 0.25), (9, 3.0)]);
        assert_eq!(lexical_score(&query, &document), 3.5);
        assert_eq!(lexical_score(&query, &[]), 0.0);
    }

    #[test]
    fn a_named_prompt_is_the_querys() {
        let named = Options {
            prompt_name: Some("s2p".into()),
            ..Options::default()
        };
        let query = of_role(Role::Query, &named);
        assert_eq!(
            (query.prompt_name.as_deref(), query.role),
            (Some("s2p"), None)
        );
        let document = of_role(Role::Document, &named);
        assert_eq!(
            (document.prompt_name, document.role),
            (None, Some(Role::Document))
        );
        let query = of_role(Role::Query, &Options::default());
        assert_eq!(query.role, Some(Role::Query));
    }
}
