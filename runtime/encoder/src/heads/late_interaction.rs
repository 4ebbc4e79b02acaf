//! Late interaction (`ColBERT`): a vector for each token, and texts scored against a query
//! by `MaxSim`, the sum over the query's vectors of the largest dot product with one of the
//! document's.
//!
//! **Invariant:** a sequence is what `PyLate` makes of a text in that role, token for
//! token: text and special tokens, the role's marker at index 1, and behind a query
//! expansion tokens up to a length, which no token attends to unless the model says
//! otherwise.

use super::modules::{self, Module, dot};
use super::token_embedding::token_info;
use super::{Capability, Head, Item, Part, check_rank, vectors};
use crate::error::{LimitedBy, OptionsError, RequestError, TaskProblem};
use crate::options::{Input, Options, Role};
use crate::output::{TokenVector, Values};
use crate::pooling::normalize;
use crate::processor::{Processor, check_length};
use crate::tokenizer::Tokens;
use encoderfile_format::Source;
use encoderfile_format::manifest::{self, Pipeline, RoleSequence, Task};
use encoderfile_graph::AttentionMask;
use std::sync::Arc;

pub(super) struct LateInteraction {
    settings: manifest::LateInteraction,
    /// What the graph's rows go through.
    modules: Vec<Module>,
    /// Values of the graph's rows.
    hidden_size: usize,
    /// Values of a token's vector.
    width: usize,
}

impl LateInteraction {
    pub(super) fn new(pipeline: &Pipeline, weights: &Arc<dyn Source>) -> Result<Self, TaskProblem> {
        check_rank(pipeline, true)?;
        let settings = pipeline.late_interaction.clone();
        Ok(Self {
            settings: settings.ok_or(TaskProblem::Roles)?,
            modules: modules::load(&pipeline.modules, weights)?,
            hidden_size: pipeline.output.width as usize,
            width: pipeline.embedding_width(),
        })
    }

    fn of(&self, role: Role) -> &RoleSequence {
        match role {
            Role::Query => &self.settings.query,
            Role::Document => &self.settings.document,
        }
    }

    /// The role of a request's texts. Who names a prompt as a role is named means that role.
    fn role(options: &Options) -> Role {
        let named = || Role::of_prompt(options.prompt_name.as_deref()?);
        options.role.or_else(named).unwrap_or(Role::Document)
    }

    /// The prompt that a request names, or else that of the role where it has one, or
    /// else the model's. A query's is not that of the documents it ranks.
    fn prompt<'a>(&self, role: Role, options: &'a Options, pipeline: &'a Pipeline) -> &'a str {
        let is_others = options.query.is_some() && role == Role::Document;
        let named = Some(options).filter(|_| !is_others);
        if let Some(prompt) = named.and_then(|it| it.prompt.as_ref()) {
            return prompt;
        }
        let find = |name: &str| pipeline.prompts.iter().find(|it| it.name == name);
        let prompt = match named.and_then(|it| it.prompt_name.as_deref()) {
            Some(name) => find(name),
            None if self.settings.role_prompts => find(role.name()),
            None => find(&pipeline.default_prompt),
        };
        prompt.map_or("", |prompt| &prompt.text)
    }

    /// The sequence of a text, cut to the role's length.
    fn tokens(
        &self,
        role: Role,
        processor: Processor<'_>,
        input: Input<'_>,
        options: &Options,
    ) -> Result<Tokens, RequestError> {
        let limit = self.limit(role, processor, options);
        let markers = usize::from(self.of(role).prefix_id.is_some());
        let text = self.text(role, processor, input, options)?;
        let room = Options {
            max_tokens: Some(limit.saturating_sub(markers)),
            ..without_prompt(options)
        };
        let tokens = processor.sequence(Input::Text(&text.text), &room);
        let mut tokens = tokens.map_err(|error| with_markers(error, markers, limit, options))?;
        text.place(&mut tokens);
        self.complete(role, processor, &mut tokens, limit)?;
        Ok(tokens)
    }

    /// The most tokens of a sequence: the least of what the role, the model and the
    /// request say.
    fn limit(&self, role: Role, processor: Processor<'_>, options: &Options) -> usize {
        let of_role = processor.pipeline.limit(*self.of(role)) as usize;
        processor.tokenizer.limit(options.max_tokens).min(of_role)
    }

    /// Adds the role's marker, and to a query the expansion tokens that it lacks.
    fn complete(
        &self,
        role: Role,
        processor: Processor<'_>,
        tokens: &mut Tokens,
        limit: usize,
    ) -> Result<(), RequestError> {
        if let Some(id) = self.of(role).prefix_id {
            let at = tokens.ids.len().min(1);
            add(processor, tokens, at, id)?;
        }
        let Some(expansion) = self.settings.expansion.filter(|_| role == Role::Query) else {
            return Ok(());
        };
        let length = limit.min(expansion.length as usize);
        let count = length.saturating_sub(tokens.ids.len());
        for _ in 0..count {
            add(processor, tokens, tokens.ids.len(), expansion.token_id)?;
        }
        if !expansion.attended {
            tokens.hidden = count;
        }
        Ok(())
    }

    /// A text as the tokenizer is given it.
    fn text(
        &self,
        role: Role,
        processor: Processor<'_>,
        input: Input<'_>,
        options: &Options,
    ) -> Result<Prepared, RequestError> {
        check_length(input)?;
        let mut text = self.prompt(role, options, processor.pipeline).to_owned();
        match input {
            Input::Ids(ids) => text += &processor.tokenizer.decode(ids, true)?,
            Input::Text(given) => text += given,
            Input::Pair(..) => {
                let (option, task) = ("text_pair", Task::LateInteraction.name());
                return Err(OptionsError::Inapplicable { option, task }.into());
            }
        }
        let settings = &self.settings;
        Ok(Prepared::new(&text, settings.strip, settings.lower_case))
    }

    /// The vectors of a sequence that are kept, each with its place in it.
    fn kept<'r>(
        &self,
        role: Role,
        sequence: &Tokens,
        vectors: &'r [f32],
    ) -> Vec<(usize, &'r [f32])> {
        let skips = self.of(role).skips;
        let skiplist = &self.settings.skiplist;
        let is_kept = |id: &u32| !skips || skiplist.binary_search(id).is_err();
        let vectors = vectors.chunks_exact(self.width).enumerate();
        let vectors = vectors.zip(&sequence.ids);
        let kept = vectors.filter(|(_, id)| is_kept(id));
        kept.map(|(vector, _)| vector).collect()
    }

    /// A row of the graph becomes a vector of length one.
    fn projected(&self, output: Vec<f32>) -> Vec<f32> {
        let mut vectors = modules::apply_each(&self.modules, output, self.hidden_size);
        vectors.each_mut().for_each(normalize);
        vectors.values
    }

    /// `MaxSim` of a query and a document, by what is kept of either.
    fn score(&self, query: (&Tokens, &[f32]), document: (&Tokens, &[f32])) -> f32 {
        let document = self.kept(Role::Document, document.0, document.1);
        let query = self.kept(Role::Query, query.0, query.1);
        if document.is_empty() || query.is_empty() {
            return 0.0;
        }
        let largest = query.iter().map(|(_, query)| {
            let products = document.iter().map(|(_, document)| dot(query, document));
            products.fold(f32::NEG_INFINITY, f32::max)
        });
        let sum: f32 = largest.sum();
        match self.settings.mean_score {
            true => sum / query.len() as f32,
            false => sum,
        }
    }
}

/// What comes out, in words.
pub(super) fn describe(pipeline: &Pipeline) -> String {
    let width = pipeline.embedding_width();
    let is_mean = similarity(pipeline) == Some("meanmaxsim");
    let mean = if is_mean { "the mean of " } else { "" };
    format!("{width} numbers a token, compared by {mean}MaxSim")
}

/// How queries and documents are compared.
pub(super) fn similarity(pipeline: &Pipeline) -> Option<&'static str> {
    let settings = pipeline.late_interaction.as_ref();
    settings.map(manifest::LateInteraction::similarity)
}

impl Head for LateInteraction {
    fn capabilities(&self) -> Vec<Capability> {
        vec![Capability::TokenEmbeddings, Capability::Rerank]
    }

    fn result(&self) -> &'static str {
        "embeddings"
    }

    fn options(&self, request: &Options) -> Vec<&'static str> {
        // Special tokens have vectors that count; who asks for them gets what all get.
        let mut options = vec!["prompt", "prompt_name", "special_tokens", "query", "role"];
        if request.query.is_some() {
            // A score is raw already.
            options.extend(["top_k", "raw_scores"]);
        }
        options
    }

    fn problem(&self, options: &Options) -> Option<OptionsError> {
        let options = options.query.as_ref().and(options.role);
        options.map(|_| OptionsError::Exclusive {
            options: &["query", "role"],
        })
    }

    fn takes_ids(&self) -> bool {
        true
    }

    fn role_is_prompt(&self) -> bool {
        false
    }

    fn attention_mask(&self) -> AttentionMask {
        match &self.settings.expansion {
            Some(expansion) if !expansion.attended => AttentionMask::Hides,
            _ => AttentionMask::Ones,
        }
    }

    fn sequence(
        &self,
        processor: Processor<'_>,
        input: Input<'_>,
        options: &Options,
    ) -> Result<Tokens, RequestError> {
        self.tokens(Self::role(options), processor, input, options)
    }

    fn whole(
        &self,
        processor: Processor<'_>,
        input: Input<'_>,
        options: &Options,
    ) -> Result<Tokens, RequestError> {
        let role = Self::role(options);
        let text = self.text(role, processor, input, options)?;
        let mut tokens = processor.whole(Input::Text(&text.text), &without_prompt(options))?;
        text.place(&mut tokens);
        self.complete(
            role,
            processor,
            &mut tokens,
            self.limit(role, processor, options),
        )?;
        Ok(tokens)
    }

    fn shared(
        &self,
        processor: Processor<'_>,
        options: &Options,
    ) -> Result<Option<Tokens>, RequestError> {
        let Some(query) = &options.query else {
            return Ok(None);
        };
        let query = self.tokens(Role::Query, processor, Input::Text(query), options);
        query.map(Some).map_err(RequestError::in_query)
    }

    fn item(
        &self,
        processor: Processor<'_>,
        input: Input<'_>,
        options: &Options,
    ) -> Result<Item, RequestError> {
        let role = match options.query {
            Some(_) => Role::Document,
            None => Self::role(options),
        };
        Ok(vec![self.tokens(role, processor, input, options)?].into())
    }

    fn reduce(
        &self,
        _processor: Processor<'_>,
        _sequence: &Tokens,
        output: Vec<f32>,
        _item: &Item,
        _options: &Options,
    ) -> Result<Part, RequestError> {
        Ok(Part::Vector(self.projected(output)))
    }

    fn finish(&self, item: &Item, parts: Vec<Part>, options: &Options) -> Option<Values> {
        let rows = vectors(parts);
        let sequence = item.sequences.first()?;
        if let Some(query) = &item.shared {
            let query = (&query.sequence, query.part.vector()?);
            let score = self.score(query, (sequence, rows.first()?));
            return Some(Values::Score { score });
        }
        let role = Self::role(options);
        let kept = self.kept(role, sequence, rows.first()?);
        let embeddings = kept.into_iter().map(|(at, vector)| TokenVector {
            embedding: vector.to_vec(),
            token_info: token_info(sequence, at),
        });
        Some(Values::Embedding {
            embeddings: embeddings.collect(),
        })
    }

    fn golden(
        &self,
        _processor: Processor<'_>,
        sequence: &Tokens,
        output: Vec<f32>,
    ) -> Result<Vec<f32>, RequestError> {
        let rows = self.projected(output);
        let kept = self.kept(Role::Document, sequence, &rows);
        Ok(kept.into_iter().flat_map(|(_, row)| row.to_vec()).collect())
    }
}

/// A text as the tokenizer is given it, and where in the original its characters are.
struct Prepared {
    text: String,
    /// The place in the original of each code point.
    places: Vec<usize>,
}

impl Prepared {
    fn new(original: &str, strip: bool, lower_case: bool) -> Self {
        let mut text = original;
        let mut first = 0;
        if strip {
            let rest = text.trim_start_matches(is_space);
            first = text[..text.len() - rest.len()].chars().count();
            text = rest.trim_end_matches(is_space);
        }
        let mut places = Vec::new();
        for (place, character) in (first..).zip(text.chars()) {
            // Every character of a lower-cased text is one of those of its original alone.
            let length = match lower_case {
                true => character.to_lowercase().count(),
                false => 1,
            };
            places.resize(places.len() + length, place);
        }
        Self {
            text: match lower_case {
                true => text.to_lowercase(),
                false => text.to_owned(),
            },
            places,
        }
    }

    /// Has the offsets of tokens be those in the original.
    fn place(&self, tokens: &mut Tokens) {
        for (start, end) in &mut tokens.offsets {
            let last = end.checked_sub(1).filter(|last| last >= start);
            let ends = [Some(*start), last].map(|at| self.places.get(at?).copied());
            if let [Some(first), Some(last)] = ends {
                (*start, *end) = (first, last + 1);
            }
        }
    }
}

/// White space as Python's `str.strip` knows it.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// Puts a token of its own at a place of a sequence.
fn add(
    processor: Processor<'_>,
    tokens: &mut Tokens,
    at: usize,
    id: u32,
) -> Result<(), RequestError> {
    tokens.ids.insert(at, id);
    tokens.type_ids.insert(at, 0);
    tokens.tokens.insert(at, processor.tokenizer.spelling(id)?);
    tokens.offsets.insert(at, (0, 0));
    tokens.special.insert(at, true);
    tokens.total += 1;
    Ok(())
}

/// The options of a request whose prompt is in the text already.
fn without_prompt(options: &Options) -> Options {
    Options {
        prompt: Some(String::new()),
        prompt_name: None,
        role: None,
        ..options.clone()
    }
}

/// What is wrong with a text, where the sequence has more than the tokenizer makes.
fn with_markers(
    error: RequestError,
    markers: usize,
    limit: usize,
    options: &Options,
) -> RequestError {
    match error {
        RequestError::TooManyTokens { tokens_total, .. } => RequestError::TooManyTokens {
            tokens_total: tokens_total + markers,
            max_tokens: limit,
            limited_by: match options.max_tokens == Some(limit) {
                true => LimitedBy::Request,
                false => LimitedBy::Model,
            },
        },
        RequestError::NoRoom { special_tokens, .. } => RequestError::NoRoom {
            max_tokens: limit,
            special_tokens: special_tokens + markers,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_those_of_the_text_that_was_given() {
        // U+0130 is two code points in lower case.
        let text = Prepared::new("\u{1f} \u{130}ST A\n", true, true);
        assert_eq!(text.text, "i\u{307}st a");
        assert_eq!(text.places, [2, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_text_is_left_as_it_is_where_nothing_says_otherwise() {
        let text = Prepared::new(" A ", false, false);
        assert_eq!((text.text.as_str(), text.places), (" A ", vec![0, 1, 2]));
    }
}
