//! `encoderfile:encoder`: what programs ask of the model, in types of their own language.

use crate::Component;
use crate::bindings::exports::encoderfile::encoder::encoder as types;
use crate::loaded::{self, Problem};
use encoderfile::output::{Entity, Filling, Ranked, TokenInfo, TokenVector, Tokenized};
use encoderfile::{
    Aggregation, Capability, Error, Item, Options, Overflow, Prediction, Role, Side, TokenUsage,
    Values, one_line,
};

type Answer<T> = Result<T, types::Error>;

impl types::Guest for Component {
    type Model = Model;
}

/// The resource `model`.
pub(crate) struct Model(encoderfile::Model);

impl types::GuestModel for Model {
    fn open(path: Option<String>) -> Answer<types::Model> {
        let model = loaded::open(path.as_deref())?;
        Ok(types::Model::new(Self(model)))
    }

    fn info(&self) -> types::Info {
        let (info, encoder) = (self.0.info(), self.0.encoder());
        let methods = encoder.capabilities().into_iter().filter_map(method);
        types::Info {
            name: info.name.clone(),
            version: info.version.clone(),
            task: info.task.to_owned(),
            capabilities: methods.map(str::to_owned).collect(),
            dimensions: self.0.dimensions().map(count),
            max_tokens: info.max_tokens,
            labels: info.labels.clone().unwrap_or_default(),
            similarity: info.similarity.map(str::to_owned),
            license: info.license.clone(),
            payload_digest: info.payload_digest.clone(),
            embedding_space_id: info.embedding_space_id.clone(),
            json: self.0.info_json().unwrap_or_default(),
        }
    }

    fn embed(
        &self,
        inputs: Vec<types::Input>,
        reading: Option<types::Reading>,
        options: Option<types::EmbedOptions>,
    ) -> Answer<Vec<types::Embedding>> {
        let options = with_embedding(options_of(reading), options);
        self.each(
            Capability::Embed,
            inputs,
            options,
            |values, usage| match values {
                Values::SentenceEmbedding { embedding } => Some(types::Embedding {
                    values: embedding,
                    usage,
                }),
                _ => None,
            },
        )
    }

    fn embed_tokens(
        &self,
        inputs: Vec<types::Input>,
        reading: Option<types::Reading>,
        options: Option<types::EmbedOptions>,
    ) -> Answer<Vec<types::TokenEmbeddings>> {
        let options = with_embedding(options_of(reading), options);
        self.each(
            Capability::TokenEmbeddings,
            inputs,
            options,
            |values, usage| match values {
                Values::Embedding { embeddings } => Some(types::TokenEmbeddings {
                    tokens: embeddings.into_iter().map(Into::into).collect(),
                    usage,
                }),
                _ => None,
            },
        )
    }

    fn sparse(
        &self,
        inputs: Vec<types::Input>,
        reading: Option<types::Reading>,
        top_k: Option<u32>,
    ) -> Answer<Vec<types::SparseEmbedding>> {
        let options = Options {
            top_k: top_k.map(size),
            ..options_of(reading)
        };
        self.each(Capability::Sparse, inputs, options, |values, usage| {
            let Values::SparseEmbedding { sparse_embedding } = values else {
                return None;
            };
            let weights = sparse_embedding.into_iter().map(|it| types::SparseValue {
                index: it.index,
                value: it.value,
            });
            Some(types::SparseEmbedding {
                values: weights.collect(),
                usage,
            })
        })
    }

    fn classify(
        &self,
        inputs: Vec<types::Input>,
        reading: Option<types::Reading>,
        options: Option<types::ClassifyOptions>,
    ) -> Answer<Vec<types::Classification>> {
        let asked = options.unwrap_or(types::ClassifyOptions {
            top_k: None,
            raw_scores: false,
        });
        let options = Options {
            raw_scores: asked.raw_scores,
            ..options_of(reading)
        };
        let labels = &self.0.encoder().pipeline().labels;
        let most = asked.top_k.map_or(usize::MAX, size);
        self.each(
            Capability::Classify,
            inputs,
            options,
            |values, usage| match values {
                Values::SequenceClassification { scores, .. } => {
                    let classes = best_first(labels.iter().cloned().zip(scores), most);
                    Some(types::Classification { classes, usage })
                }
                _ => None,
            },
        )
    }

    fn zero_shot(
        &self,
        inputs: Vec<types::Input>,
        labels: Vec<String>,
        reading: Option<types::Reading>,
        options: Option<types::ZeroShotOptions>,
    ) -> Answer<Vec<types::Classification>> {
        let asked = options.unwrap_or(types::ZeroShotOptions {
            template: None,
            multi_label: false,
        });
        let options = Options {
            labels: Some(labels),
            template: asked.template,
            multi_label: asked.multi_label,
            ..options_of(reading)
        };
        self.each(
            Capability::ZeroShot,
            inputs,
            options,
            |values, usage| match values {
                Values::ZeroShot { labels, scores } => {
                    let classes = best_first(labels.into_iter().zip(scores), usize::MAX);
                    Some(types::Classification { classes, usage })
                }
                _ => None,
            },
        )
    }

    fn entities(
        &self,
        inputs: Vec<types::Input>,
        reading: Option<types::Reading>,
        options: Option<types::EntityOptions>,
    ) -> Answer<Vec<types::EntityList>> {
        let asked = options.unwrap_or(types::EntityOptions {
            aggregation: None,
            ignore_labels: None,
            stride: None,
        });
        let options = Options {
            aggregation: Some(asked.aggregation.map_or(Aggregation::Simple, Into::into)),
            ignore_labels: asked.ignore_labels,
            stride: asked.stride.map(size),
            ..options_of(reading)
        };
        self.each(
            Capability::Entities,
            inputs,
            options,
            |values, usage| match values {
                Values::Entities { entities } => Some(types::EntityList {
                    entities: entities.into_iter().map(Into::into).collect(),
                    usage,
                }),
                _ => None,
            },
        )
    }

    fn fill_mask(
        &self,
        inputs: Vec<types::Input>,
        reading: Option<types::Reading>,
        options: Option<types::FillMaskOptions>,
    ) -> Answer<Vec<types::FilledText>> {
        let asked = options.unwrap_or(types::FillMaskOptions {
            top_k: None,
            targets: None,
        });
        let options = Options {
            top_k: asked.top_k.map(size),
            targets: asked.targets,
            ..options_of(reading)
        };
        self.each(Capability::FillMask, inputs, options, |values, usage| {
            let Values::FillMask { masks } = values else {
                return None;
            };
            let masks = masks
                .into_iter()
                .map(|mask| mask.into_iter().map(Into::into).collect());
            Some(types::FilledText {
                masks: masks.collect(),
                usage,
            })
        })
    }

    fn rerank(
        &self,
        query: String,
        documents: Vec<String>,
        reading: Option<types::Reading>,
        top_k: Option<u32>,
    ) -> Answer<Vec<types::Ranked>> {
        let options = Options {
            query: Some(query),
            top_k: top_k.map(size),
            ..options_of(reading)
        };
        let options = self.0.encoder().asked_for(Capability::Rerank, options)?;
        let items = documents.into_iter().map(Item::Text).collect();
        let predictions = self.predictions(items, &options)?;
        let ranked = encoderfile::output::rank(&predictions, options.top_k);
        Ok(ranked.into_iter().map(Into::into).collect())
    }

    fn tokenize(
        &self,
        inputs: Vec<types::Input>,
        reading: Option<types::Reading>,
    ) -> Answer<Vec<types::TokenList>> {
        let options: Options = options_of(reading);
        let inputs = inputs.into_iter().enumerate();
        let lists = inputs.map(|(place, input)| {
            let tokens = self.0.tokenize(Item::from(input), &options);
            tokens.map(Into::into).map_err(|error| at(place, &error))
        });
        lists.collect()
    }

    fn infer(&self, request: String) -> Answer<String> {
        Ok(self.0.infer_json(&request)?)
    }
}

impl Model {
    /// A result of that kind for each input; the first that fails fails all.
    fn each<T>(
        &self,
        kind: Capability,
        inputs: Vec<types::Input>,
        options: Options,
        result: impl Fn(Values, Option<types::Usage>) -> Option<T>,
    ) -> Answer<Vec<T>> {
        let options = self.0.encoder().asked_for(kind, options)?;
        let items = inputs.into_iter().map(Item::from).collect();
        let predictions = self.predictions(items, &options)?.into_iter();
        let results = predictions.map(|it| {
            let usage = it.usage.map(Into::into);
            let unexpected = || types::Error::Bug(format!("a result that is no {}", kind.name()));
            result(it.values, usage).ok_or_else(unexpected)
        });
        results.collect()
    }

    fn predictions(&self, items: Vec<Item>, options: &Options) -> Answer<Vec<Prediction>> {
        self.0.check(options)?;
        let results = self.0.infer_all(items, options).into_iter().enumerate();
        let results = results.map(|(place, result)| result.map_err(|error| at(place, &error)));
        results.collect()
    }
}

/// The options that say how texts become tokens.
fn options_of(reading: Option<types::Reading>) -> Options {
    let Some(reading) = reading else {
        return Options::default();
    };
    Options {
        prompt: reading.prompt,
        prompt_name: reading.prompt_name,
        role: reading.role.map(|role| match role {
            types::Role::Query => Role::Query,
            types::Role::Document => Role::Document,
        }),
        overflow: match reading.overflow {
            None | Some(types::Overflow::Truncate) => Overflow::Truncate,
            Some(types::Overflow::Error) => Overflow::Error,
            Some(types::Overflow::Mean) => Overflow::Mean,
        },
        truncation_side: reading.truncation_side.map(|side| match side {
            types::Side::Left => Side::Left,
            types::Side::Right => Side::Right,
        }),
        max_tokens: reading.max_tokens.map(size),
        ..Options::default()
    }
}

/// The method that gives that kind of result.
fn method(kind: Capability) -> Option<&'static str> {
    match kind {
        Capability::Embed => Some("embed"),
        Capability::TokenEmbeddings => Some("embed-tokens"),
        Capability::Sparse => Some("sparse"),
        Capability::Classify => Some("classify"),
        Capability::Rerank => Some("rerank"),
        Capability::ZeroShot => Some("zero-shot"),
        Capability::Entities => Some("entities"),
        Capability::FillMask => Some("fill-mask"),
        _ => None,
    }
}

fn with_embedding(options: Options, asked: Option<types::EmbedOptions>) -> Options {
    let Some(asked) = asked else { return options };
    Options {
        normalize: asked.normalize,
        dimensions: asked.dimensions.map(size),
        ..options
    }
}

fn best_first(classes: impl Iterator<Item = (String, f32)>, most: usize) -> Vec<types::ClassScore> {
    let classes = classes.map(|(label, score)| types::ClassScore { label, score });
    let mut classes: Vec<_> = classes.collect();
    classes.sort_by(|a, b| b.score.total_cmp(&a.score));
    classes.truncate(most);
    classes
}

/// wasm32 counts in 32 bits.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The error of an input.
fn at(place: usize, error: &Error) -> types::Error {
    match types::Error::from(error) {
        types::Error::Request(request) => types::Error::Request(types::RequestError {
            input: Some(count(place)),
            ..request
        }),
        other => other,
    }
}

impl From<&Error> for types::Error {
    fn from(error: &Error) -> Self {
        let message = one_line(error);
        match error {
            Error::File(_) => Self::File(message),
            Error::Request(request) => Self::Request(types::RequestError {
                message,
                field: request.option().map(str::to_owned),
                input: None,
            }),
            _ => Self::Bug(message),
        }
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<Problem> for types::Error {
    fn from(problem: Problem) -> Self {
        match problem.is_bug {
            true => Self::Bug(problem.message),
            false => Self::File(problem.message),
        }
    }
}

impl From<types::Input> for Item {
    fn from(input: types::Input) -> Self {
        match input {
            types::Input::Text(text) => Self::Text(text),
            types::Input::Pair((text, pair)) => Self::Pair(text, pair),
            types::Input::Ids(ids) => Self::Ids(ids),
        }
    }
}

impl From<types::Aggregation> for Aggregation {
    fn from(aggregation: types::Aggregation) -> Self {
        match aggregation {
            types::Aggregation::Simple => Self::Simple,
            types::Aggregation::First => Self::First,
            types::Aggregation::Average => Self::Average,
            types::Aggregation::Max => Self::Max,
        }
    }
}

impl From<TokenUsage> for types::Usage {
    fn from(usage: TokenUsage) -> Self {
        Self {
            tokens_total: count(usage.tokens_total),
            tokens_used: count(usage.tokens_used),
            windows: usage.windows.map(count),
        }
    }
}

impl From<TokenVector> for types::TokenEmbedding {
    fn from(token: TokenVector) -> Self {
        let TokenInfo {
            token: text,
            token_id,
            start,
            end,
        } = token.token_info;
        Self {
            token: text,
            id: token_id,
            start: count(start),
            end: count(end),
            values: token.embedding,
        }
    }
}

impl From<Entity> for types::Entity {
    fn from(entity: Entity) -> Self {
        Self {
            label: entity.label.name().to_owned(),
            score: entity.score,
            word: entity.word,
            start: count(entity.start),
            end: count(entity.end),
        }
    }
}

impl From<Filling> for types::Filling {
    fn from(filling: Filling) -> Self {
        Self {
            score: filling.score,
            token: filling.token,
            token_text: filling.token_str,
            sequence: filling.sequence,
        }
    }
}

impl From<Ranked> for types::Ranked {
    fn from(ranked: Ranked) -> Self {
        Self {
            index: count(ranked.index),
            score: ranked.score,
            usage: ranked.usage.map(Into::into),
        }
    }
}

impl From<Tokenized> for types::TokenList {
    fn from(tokenized: Tokenized) -> Self {
        let tokens = tokenized.tokens.into_iter().map(|it| types::Token {
            text: it.info.token,
            id: it.info.token_id,
            start: count(it.info.start),
            end: count(it.info.end),
            special: it.special,
        });
        let (total, used) = (tokenized.tokens_total, tokenized.tokens_used);
        let usage = TokenUsage {
            tokens_total: total,
            tokens_used: used,
            windows: None,
        };
        Self {
            tokens: tokens.collect(),
            usage: (total != used).then(|| usage.into()),
        }
    }
}
