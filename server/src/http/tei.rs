//! TEI's routes.

use super::App;
use super::body::Json;
use super::reply::{Answered, reply};
use crate::engine::{Client, Text};
use crate::failure::{Failure, Kind};
use crate::service::Capability;
use axum::extract::State;
use encoderfile_runtime::output::{SparseValue, rank};
use encoderfile_runtime::pooling::similarity;
use encoderfile_runtime::{Long, Options, Prediction, Side, Tokens, Values};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// One text, or the ids of its tokens.
#[derive(Clone, Deserialize, ToSchema)]
#[schema(as = tei::Single)]
#[serde(untagged, expecting = "a text or a list of token ids")]
pub(super) enum Single {
    Text(String),
    Ids(Vec<u32>),
}

/// One text or several, or the ids of their tokens.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::Inputs)]
#[serde(
    untagged,
    expecting = "a text, a list of texts, a list of token ids or a list of such lists"
)]
pub(super) enum Inputs {
    One(Single),
    Many(Vec<Single>),
}

impl Inputs {
    /// The texts. An empty list is none.
    pub(super) fn into_texts(self) -> Vec<Text> {
        let text = |single| match single {
            Single::Text(text) => Text::One(text),
            Single::Ids(ids) => Text::Ids(ids),
        };
        match self {
            Self::One(Single::Ids(ids)) if ids.is_empty() => Vec::new(),
            Self::One(single) => vec![text(single)],
            Self::Many(many) => many.into_iter().map(text).collect(),
        }
    }
}

/// An end of a text, written as TEI's Rust and Python clients do.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[schema(as = tei::Direction)]
pub(super) enum Direction {
    #[serde(alias = "left")]
    Left,
    #[serde(alias = "right")]
    Right,
}

impl From<Direction> for Side {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Left => Self::Left,
            Direction::Right => Self::Right,
        }
    }
}

/// What becomes of a long text.
fn long(app: &App, truncate: Option<bool>) -> Long {
    if truncate.unwrap_or(app.service.limits.auto_truncate) {
        Long::Truncate
    } else {
        Long::Error
    }
}

/// Texts to embed.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::EmbedRequest)]
pub(super) struct EmbedRequest {
    pub(super) inputs: Inputs,
    /// Cut what is too long, rather than refuse it.
    pub(super) truncate: Option<bool>,
    /// Which end is cut.
    pub(super) truncation_direction: Option<Direction>,
    /// The model's prompt to put in front of each text.
    pub(super) prompt_name: Option<String>,
    /// Divide by the L2 norm.
    #[serde(default = "yes")]
    pub(super) normalize: Option<bool>,
    /// Keep so many of the first values.
    pub(super) dimensions: Option<usize>,
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "serde's default has the field's type"
)]
fn yes() -> Option<bool> {
    Some(true)
}

impl EmbedRequest {
    fn options(&self, app: &App) -> Options {
        Options {
            long: long(app, self.truncate),
            truncation_side: self.truncation_direction.map(Side::from),
            prompt_name: self.prompt_name.clone(),
            ..Options::default()
        }
    }
}

/// A vector for each text.
#[utoipa::path(post, path = "/embed", tag = "tei", request_body = EmbedRequest,
    responses((status = 200, description = "[texts][dimensions]", body = Vec<Vec<f32>>)))]
pub(super) async fn embed(
    State(app): State<Arc<App>>,
    client: Client,
    Json(request): Json<EmbedRequest>,
) -> Answered {
    let options = Options {
        normalize: request.normalize,
        dimensions: request.dimensions,
        ..request.options(&app)
    };
    let texts = request.inputs.into_texts();
    let (vectors, report) = app.service.embed(client, texts, options).await?;
    reply(&app, &report, vectors).await
}

/// Texts whose tokens to embed.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::EmbedTokensRequest)]
pub(super) struct EmbedTokensRequest {
    inputs: Inputs,
    /// Cut what is too long, rather than refuse it.
    truncate: Option<bool>,
    /// Which end is cut.
    truncation_direction: Option<Direction>,
    /// The model's prompt to put in front of each text.
    prompt_name: Option<String>,
}

impl EmbedTokensRequest {
    fn into_parts(self, app: &App) -> (Vec<Text>, Options) {
        let options = Options {
            long: long(app, self.truncate),
            truncation_side: self.truncation_direction.map(Side::from),
            prompt_name: self.prompt_name,
            ..Options::default()
        };
        (self.inputs.into_texts(), options)
    }
}

/// A vector for each token of each text, special tokens included, before pooling.
#[utoipa::path(post, path = "/embed_all", tag = "tei", request_body = EmbedTokensRequest,
    responses((status = 200, description = "[texts][tokens][hidden_size]", body = Vec<Vec<Vec<f32>>>)))]
pub(super) async fn embed_all(
    State(app): State<Arc<App>>,
    client: Client,
    Json(request): Json<EmbedTokensRequest>,
) -> Answered {
    app.service.require(Capability::TokenEmbeddings)?;
    let (texts, options) = request.into_parts(&app);
    let options = Options {
        unpooled: app.service.capabilities().contains(&Capability::Embed),
        special_tokens: true,
        ..options
    };
    let answer = app.service.infer(client, texts, options).await?;
    let rows: Vec<Vec<Vec<f32>>> = answer.predictions.into_iter().map(token_rows).collect();
    reply(&app, &answer.report, rows).await
}

/// The vectors of a text's tokens.
pub(super) fn token_rows(prediction: Prediction) -> Vec<Vec<f32>> {
    match prediction.values {
        Values::Embedding { embeddings } => embeddings
            .into_iter()
            .map(|token| token.embedding)
            .collect(),
        _ => Vec::new(),
    }
}

/// The nonzero weights of each text's vocabulary vector.
#[utoipa::path(post, path = "/embed_sparse", tag = "tei", request_body = EmbedTokensRequest,
    responses((status = 200, description = "[texts][weights]", body = Vec<Vec<SparseValue>>)))]
pub(super) async fn embed_sparse(
    State(app): State<Arc<App>>,
    client: Client,
    Json(request): Json<EmbedTokensRequest>,
) -> Answered {
    app.service.require(Capability::Sparse)?;
    let (texts, options) = request.into_parts(&app);
    let answer = app.service.infer(client, texts, options).await?;
    let weights = answer.predictions.into_iter().map(|it| match it.values {
        Values::SparseEmbedding { sparse_embedding } => sparse_embedding,
        _ => Vec::new(),
    });
    reply(&app, &answer.report, weights.collect::<Vec<_>>()).await
}

/// A text, a pair, or a batch of either.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::PredictInputs)]
#[serde(
    untagged,
    expecting = "a text, a list of two texts, or a list of lists of one or two texts"
)]
pub(super) enum PredictInputs {
    /// A text.
    One(String),
    /// A text, or a pair.
    Pair(Vec<String>),
    /// Several of those.
    Batch(Vec<Vec<String>>),
}

/// Texts or pairs to classify.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::PredictRequest)]
#[serde(deny_unknown_fields)]
pub(super) struct PredictRequest {
    inputs: PredictInputs,
    /// Cut what is too long, rather than refuse it.
    truncate: Option<bool>,
    /// Which end is cut.
    truncation_direction: Option<Direction>,
    /// Give logits.
    #[serde(default)]
    raw_scores: bool,
}

/// A label and its score.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = tei::Class)]
pub(super) struct Class {
    pub(super) score: f32,
    pub(super) label: String,
}

/// TEI's `/predict`.
pub(super) async fn predict(app: &App, client: Client, request: PredictRequest) -> Answered {
    app.service.require(Capability::Classify)?;
    let options = Options {
        long: long(app, request.truncate),
        truncation_side: request.truncation_direction.map(Side::from),
        raw_scores: request.raw_scores,
        ..Options::default()
    };
    let (texts, batch) = match request.inputs {
        PredictInputs::One(text) => (vec![Text::One(text)], false),
        PredictInputs::Pair(pair) => (vec![text_or_pair(pair)?], false),
        PredictInputs::Batch(batch) => {
            let texts = batch.into_iter().map(text_or_pair);
            (texts.collect::<Result<_, _>>()?, true)
        }
    };
    let answer = app.service.infer(client, texts, options).await?;
    let labels = &app.service.pipeline().labels;
    let predictions = answer.predictions.into_iter();
    let mut classes: Vec<Vec<Class>> = predictions.map(|it| ranked(it, labels)).collect();
    match batch {
        true => reply(app, &answer.report, classes).await,
        false => reply(app, &answer.report, classes.pop().unwrap_or_default()).await,
    }
}

fn text_or_pair(texts: Vec<String>) -> Result<Text, Failure> {
    let count = texts.len();
    let mut texts = texts.into_iter();
    match (texts.next(), texts.next(), texts.next()) {
        (Some(text), None, _) => Ok(Text::One(text)),
        (Some(text), Some(pair), None) => Ok(Text::Pair(text, pair)),
        _ => Err(Failure::new(
            Kind::Validation,
            format!("`inputs`: a list of {count} texts is neither a text nor a pair"),
        )),
    }
}

/// All labels with their scores, best first.
pub(super) fn ranked(prediction: Prediction, labels: &[String]) -> Vec<Class> {
    let Values::SequenceClassification { scores, .. } = prediction.values else {
        return Vec::new();
    };
    let classes = labels.iter().zip(scores);
    let mut classes: Vec<Class> = classes
        .map(|(label, score)| Class {
            score,
            label: label.clone(),
        })
        .collect();
    classes.sort_by(|a, b| b.score.total_cmp(&a.score));
    classes
}

/// Texts to rank as answers to a query.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::RerankRequest)]
pub(super) struct RerankRequest {
    query: String,
    texts: Vec<String>,
    /// Cut what is too long, rather than refuse it.
    truncate: Option<bool>,
    /// Which end is cut.
    truncation_direction: Option<Direction>,
    /// Give logits.
    #[serde(default)]
    raw_scores: bool,
    /// Give the texts back.
    #[serde(default)]
    return_text: bool,
}

/// A text's place and score.
#[derive(Serialize, ToSchema)]
#[schema(as = tei::Rank)]
struct Rank {
    /// Its place in the request.
    index: usize,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// The texts, best answer first.
#[utoipa::path(post, path = "/rerank", tag = "tei", request_body = RerankRequest,
    responses((status = 200, description = "best first", body = Vec<Rank>)))]
pub(super) async fn rerank(
    State(app): State<Arc<App>>,
    client: Client,
    Json(request): Json<RerankRequest>,
) -> Answered {
    app.service.require(Capability::Rerank)?;
    let options = Options {
        long: long(&app, request.truncate),
        truncation_side: request.truncation_direction.map(Side::from),
        raw_scores: request.raw_scores,
        query: Some(request.query),
        ..Options::default()
    };
    let texts = request.texts.iter().cloned().map(Text::One).collect();
    let answer = app.service.infer(client, texts, options).await?;
    let ranks = rank(&answer.predictions, None).into_iter().map(|it| Rank {
        index: it.index,
        score: it.score,
        text: request.return_text.then(|| request.texts[it.index].clone()),
    });
    reply(&app, &answer.report, ranks.collect::<Vec<_>>()).await
}

/// A sentence and those to compare it with.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::SimilarityRequest)]
pub(super) struct SimilarityRequest {
    inputs: SimilarityInputs,
    parameters: Option<SimilarityParameters>,
}

/// A sentence and those to compare it with.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::SimilarityInputs)]
pub(super) struct SimilarityInputs {
    pub(super) source_sentence: String,
    pub(super) sentences: Vec<String>,
}

/// How the sentences are embedded.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = tei::SimilarityParameters)]
pub(super) struct SimilarityParameters {
    /// Cut what is too long, rather than refuse it.
    truncate: Option<bool>,
    /// Which end is cut.
    truncation_direction: Option<Direction>,
    /// The model's prompt to put in front of each sentence.
    prompt_name: Option<String>,
}

/// How alike sentences are, by the model's own measure.
#[utoipa::path(post, path = "/similarity", tag = "tei", request_body = SimilarityRequest,
    responses((status = 200, description = "[sentences]", body = Vec<f32>)))]
pub(super) async fn similarity_route(
    State(app): State<Arc<App>>,
    client: Client,
    Json(request): Json<SimilarityRequest>,
) -> Answered {
    let parameters = request.parameters.unwrap_or_default();
    similarities(&app, client, request.inputs, parameters).await
}

pub(super) async fn similarities(
    app: &App,
    client: Client,
    inputs: SimilarityInputs,
    parameters: SimilarityParameters,
) -> Answered {
    app.service.require(Capability::Similarity)?;
    if inputs.sentences.is_empty() {
        return Err(Failure::new(Kind::Empty, "`sentences` is empty"));
    }
    let options = Options {
        long: long(app, parameters.truncate),
        truncation_side: parameters.truncation_direction.map(Side::from),
        prompt_name: parameters.prompt_name,
        ..Options::default()
    };
    let sentences = inputs.sentences.into_iter();
    let texts = std::iter::once(inputs.source_sentence).chain(sentences);
    let texts = texts.map(Text::One).collect();
    let (vectors, report) = app.service.embed(client, texts, options).await?;
    let function = app.service.pipeline().similarity();
    let (source, sentences) = vectors.split_at(1);
    let values = sentences
        .iter()
        .map(|it| similarity(&source[0], it, function));
    reply(app, &report, values.collect::<Vec<f32>>()).await
}

/// Texts to tokenise.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::TokenizeRequest)]
pub(super) struct TokenizeRequest {
    inputs: TokenizeInputs,
    /// Also the tokens that are not in the text.
    #[serde(default = "is_so")]
    add_special_tokens: bool,
    /// The model's prompt to put in front of each text.
    prompt_name: Option<String>,
}

fn is_so() -> bool {
    true
}

/// One text or several.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::TokenizeInputs)]
#[serde(untagged, expecting = "a text or a list of texts")]
enum TokenizeInputs {
    One(String),
    Many(Vec<String>),
}

/// A token.
#[derive(Serialize, ToSchema)]
#[schema(as = tei::Token)]
struct Token {
    id: u32,
    /// As the text spells it; of a special token, as the vocabulary does.
    text: String,
    special: bool,
    /// First code point of the text, with its prompt; none of a special token.
    start: Option<usize>,
    /// One past the last.
    stop: Option<usize>,
}

/// All tokens of each text.
#[utoipa::path(post, path = "/tokenize", tag = "tei", request_body = TokenizeRequest,
    responses((status = 200, description = "[texts][tokens]", body = Vec<Vec<Token>>)))]
pub(super) async fn tokenize(
    State(app): State<Arc<App>>,
    client: Client,
    Json(request): Json<TokenizeRequest>,
) -> Answered {
    let texts = match request.inputs {
        TokenizeInputs::One(text) => vec![text],
        TokenizeInputs::Many(texts) => texts,
    };
    let options = Options {
        prompt_name: request.prompt_name,
        ..Options::default()
    };
    let prompt = options.prompt(app.service.pipeline()).to_owned();
    let inputs = texts.iter().cloned().map(Text::One).collect();
    let (tokens, report) = app.service.tokenize(client, inputs, options).await?;
    let tokens = tokens.into_iter().zip(&texts).map(|(tokens, text)| {
        let whole: Vec<char> = prompt.chars().chain(text.chars()).collect();
        spelt(tokens, &whole, request.add_special_tokens)
    });
    let tokens: Vec<Vec<Token>> = tokens.collect();
    reply(&app, &report, tokens).await
}

fn spelt(tokens: Tokens, text: &[char], special_tokens: bool) -> Vec<Token> {
    let columns = tokens.ids.into_iter().zip(tokens.tokens);
    let columns = columns.zip(tokens.offsets).zip(tokens.special);
    let kept = columns.filter(|(_, special)| special_tokens || !special);
    let spelt = kept.map(|(((id, token), (start, stop)), special)| Token {
        id,
        text: match text.get(start..stop) {
            Some(spelling) if !special => spelling.iter().collect(),
            _ => token,
        },
        special,
        start: (!special).then_some(start),
        stop: (!special).then_some(stop),
    });
    spelt.collect()
}

/// Token ids.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::DecodeRequest)]
pub(super) struct DecodeRequest {
    ids: DecodeIds,
    /// Leave out the tokens that are in no text.
    #[serde(default = "is_so")]
    skip_special_tokens: bool,
}

/// One list of token ids or several.
#[derive(Deserialize, ToSchema)]
#[schema(as = tei::DecodeIds)]
#[serde(untagged, expecting = "a list of token ids or a list of such lists")]
enum DecodeIds {
    One(Vec<u32>),
    Many(Vec<Vec<u32>>),
}

/// The text of each list of token ids.
#[utoipa::path(post, path = "/decode", tag = "tei", request_body = DecodeRequest,
    responses((status = 200, description = "[texts]", body = Vec<String>)))]
pub(super) async fn decode(
    State(app): State<Arc<App>>,
    client: Client,
    Json(request): Json<DecodeRequest>,
) -> Answered {
    let ids = match request.ids {
        DecodeIds::One(ids) => vec![ids],
        DecodeIds::Many(many) => many,
    };
    let skip = request.skip_special_tokens;
    let (texts, report) = app.service.decode(client, ids, skip).await?;
    reply(&app, &report, texts).await
}
