//! text-embeddings-inference's gRPC services, `tei.v1`: beside upstream's, with
//! TEI's status codes and the headers that its answers have.

mod rerank;

use super::client;
use super::schema::tei::embed_server::{Embed, EmbedServer};
use super::schema::tei::info_server::{Info, InfoServer};
use super::schema::tei::predict_server::{Predict, PredictServer};
use super::schema::tei::rerank_server::RerankServer;
use super::schema::tei::tokenize_server::{Tokenize, TokenizeServer};
use super::schema::tei::*;
use super::status::{code, with_code};
use axum::http::HeaderMap;
use encoderfile::Item;
use encoderfile::{Options, Overflow, Prediction as Predicted, Side, Values};
use encoderfile_dialects::add_headers;
use encoderfile_dialects::engine::Client;
use encoderfile_dialects::failure::{Failure, Kind};
use encoderfile_dialects::service::{Capability, Report, Service};
use encoderfile_dialects::tei::classify::ranked;
use encoderfile_dialects::tei::token_rows;
use encoderfile_dialects::tei::tokens::spelt;
use futures_util::stream::try_unfold;
use futures_util::{Stream, StreamExt, TryStreamExt};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::block_in_place;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Code, Extensions, Request, Response, Status, Streaming};

/// Of a stream, so many texts for each worker are in the queue at once: the next is
/// there when one is done, and no stream fills the queue.
const AHEAD: usize = 2;

/// Answers in the order of the requests.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// All five services.
#[derive(Clone)]
pub(super) struct Tei {
    service: Arc<Service>,
}

/// Adds the services, whose messages have at most `limit` bytes.
pub(super) fn add_to(routes: Routes, service: Arc<Service>, limit: usize) -> Routes {
    let tei = Tei { service };
    routes
        .add_service(
            InfoServer::new(tei.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(limit)
                .max_encoding_message_size(usize::MAX),
        )
        .add_service(
            EmbedServer::new(tei.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(limit)
                .max_encoding_message_size(usize::MAX),
        )
        .add_service(
            PredictServer::new(tei.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(limit)
                .max_encoding_message_size(usize::MAX),
        )
        .add_service(
            RerankServer::new(tei.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(limit)
                .max_encoding_message_size(usize::MAX),
        )
        .add_service(
            TokenizeServer::new(tei)
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(limit)
                .max_encoding_message_size(usize::MAX),
        )
}

/// Each service's full name, and whether it serves this model.
pub(super) fn served(service: &Service) -> [(&'static str, bool); 5] {
    let has = |capability| service.capabilities().contains(&capability);
    [
        ("tei.v1.Info", true),
        ("tei.v1.Tokenize", true),
        ("tei.v1.Embed", service.embeds()),
        ("tei.v1.Predict", has(Capability::Classify)),
        ("tei.v1.Rerank", has(Capability::Rerank)),
    ]
}

/// TEI's code for a failure.
fn status(failure: Failure) -> Status {
    let code = match failure.kind {
        Kind::Tokenizer | Kind::Backend => Code::FailedPrecondition,
        Kind::Limit => Code::InvalidArgument,
        kind => code(kind),
    };
    with_code(&failure, code)
}

/// What becomes of a long text. A field of proto3 that is not set is false.
fn long(truncate: bool) -> Overflow {
    if truncate {
        Overflow::Truncate
    } else {
        Overflow::Error
    }
}

/// The truncation side. Right is also what is not set, and then the model says.
fn side(direction: i32) -> Result<Option<Side>, Status> {
    match TruncationDirection::try_from(direction) {
        Ok(TruncationDirection::Right) => Ok(None),
        Ok(TruncationDirection::Left) => Ok(Some(Side::Left)),
        Err(_) => Err(Status::invalid_argument(
            "truncation_direction: no such value",
        )),
    }
}

fn metadata(report: &Report) -> Metadata {
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Metadata {
        compute_chars: number(report.characters),
        compute_tokens: number(report.tokens),
        total_time_ns: nanoseconds(report.total),
        tokenization_time_ns: nanoseconds(report.tokenization),
        queue_time_ns: nanoseconds(report.queued),
        inference_time_ns: nanoseconds(report.inference),
    }
}

/// No count of a request is beyond four billion.
fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

impl Tei {
    /// Refuses what this model has no head for.
    fn require(&self, capability: Capability) -> Result<(), Status> {
        let required = self.service.require(capability);
        required.map_err(|failure| with_code(&failure, Code::FailedPrecondition))
    }

    /// One text's result.
    async fn infer(
        &self,
        client: Client,
        text: Item,
        options: Options,
    ) -> Result<(Predicted, Report), Status> {
        let answer = self.service.infer(client, vec![text], options).await;
        let mut answer = answer.map_err(status)?;
        match answer.predictions.pop() {
            Some(prediction) => Ok((prediction, answer.report)),
            None => Err(super::unexpected()),
        }
    }

    /// A message with what it took in the headers.
    fn respond<T>(&self, message: T, report: &Report) -> Response<T> {
        let mut headers = HeaderMap::new();
        add_headers(&mut headers, &self.service, report);
        let headers = MetadataMap::from_headers(headers);
        Response::from_parts(headers, message, Extensions::default())
    }

    /// Answers each message of a stream; the first that fails ends it.
    fn stream<Q, A, F>(
        &self,
        request: Request<Streaming<Q>>,
        answer: impl Fn(Self, Client, Q) -> F + Send + 'static,
    ) -> Response<Answers<A>>
    where
        Q: Send + 'static,
        A: Send + 'static,
        F: Future<Output = Result<(A, Report), Status>> + Send + 'static,
    {
        let (tei, client) = (self.clone(), client(&request));
        let answers = request.into_inner().map(move |message| {
            let answered = message.map(|message| answer(tei.clone(), client, message));
            async move { Ok::<A, Status>(answered?.await?.0) }
        });
        let answers = Box::pin(answers.buffered(self.ahead()));
        // tonic's stream fails again each time that it is asked after a failure.
        Response::new(Box::pin(try_unfold(answers, async |mut answers| {
            let answer: Option<A> = answers.try_next().await?;
            Ok(answer.map(|answer| (answer, answers)))
        })))
    }

    fn ahead(&self) -> usize {
        AHEAD * self.service.engine.workers()
    }

    async fn embed_text(
        self,
        client: Client,
        request: EmbedRequest,
    ) -> Result<(EmbedResponse, Report), Status> {
        self.require(Capability::Embed)?;
        let options = Options {
            overflow: long(request.truncate),
            truncation_side: side(request.truncation_direction)?,
            normalize: Some(request.normalize),
            prompt_name: request.prompt_name,
            dimensions: request.dimensions.map(|it| it as usize),
            ..Options::default()
        };
        let text = Item::Text(request.inputs);
        let (prediction, report) = self.infer(client, text, options).await?;
        let Values::SentenceEmbedding { embedding } = prediction.values else {
            return Err(super::unexpected());
        };
        let response = EmbedResponse {
            embeddings: embedding,
            metadata: Some(metadata(&report)),
        };
        Ok((response, report))
    }

    async fn embed_sparse_text(
        self,
        client: Client,
        request: EmbedSparseRequest,
    ) -> Result<(EmbedSparseResponse, Report), Status> {
        self.require(Capability::Sparse)?;
        let options = Options {
            overflow: long(request.truncate),
            truncation_side: side(request.truncation_direction)?,
            prompt_name: request.prompt_name,
            ..Options::default()
        };
        let options = self.service.sparse(options).map_err(status)?;
        let text = Item::Text(request.inputs);
        let (prediction, report) = self.infer(client, text, options).await?;
        let Values::SparseEmbedding { sparse_embedding } = prediction.values else {
            return Err(super::unexpected());
        };
        let values = sparse_embedding.into_iter().map(|it| SparseValue {
            index: it.index,
            value: it.value,
        });
        let response = EmbedSparseResponse {
            sparse_embeddings: values.collect(),
            metadata: Some(metadata(&report)),
        };
        Ok((response, report))
    }

    async fn embed_tokens(
        self,
        client: Client,
        request: EmbedAllRequest,
    ) -> Result<(EmbedAllResponse, Report), Status> {
        self.require(Capability::TokenEmbeddings)?;
        let options = Options {
            overflow: long(request.truncate),
            truncation_side: side(request.truncation_direction)?,
            prompt_name: request.prompt_name,
            unpooled: self.service.capabilities().contains(&Capability::Embed),
            special_tokens: true,
            ..Options::default()
        };
        let text = Item::Text(request.inputs);
        let (prediction, report) = self.infer(client, text, options).await?;
        let rows = token_rows(prediction).into_iter();
        let rows = rows.map(|embeddings| TokenEmbedding { embeddings });
        let response = EmbedAllResponse {
            token_embeddings: rows.collect(),
            metadata: Some(metadata(&report)),
        };
        Ok((response, report))
    }

    async fn classify(
        self,
        client: Client,
        request: PredictPairRequest,
    ) -> Result<(PredictResponse, Report), Status> {
        let mut inputs = request.inputs.into_iter();
        let text = match (inputs.next(), inputs.next(), inputs.next()) {
            (Some(text), None, _) => Item::Text(text),
            (Some(text), Some(pair), None) => Item::Pair(text, pair),
            _ => {
                return Err(Status::invalid_argument("`inputs` must be one text or two"));
            }
        };
        self.require(Capability::Classify)?;
        let options = Options {
            overflow: long(request.truncate),
            truncation_side: side(request.truncation_direction)?,
            raw_scores: request.raw_scores,
            ..Options::default()
        };
        let (prediction, report) = self.infer(client, text, options).await?;
        let classes = ranked(prediction, &self.service.pipeline().labels);
        let predictions = classes.into_iter().map(|it| Prediction {
            score: it.score,
            label: it.label,
        });
        let response = PredictResponse {
            predictions: predictions.collect(),
            metadata: Some(metadata(&report)),
        };
        Ok((response, report))
    }

    async fn encode(
        self,
        client: Client,
        request: EncodeRequest,
    ) -> Result<(EncodeResponse, Report), Status> {
        let options = self.service.with_defaults(Options {
            prompt_name: request.prompt_name,
            ..Options::default()
        });
        let prompt = options.prompt(self.service.pipeline());
        let whole: Vec<char> = prompt.chars().chain(request.inputs.chars()).collect();
        let texts = vec![Item::Text(request.inputs)];
        let tokenized = self.service.tokenize(client, texts, options).await;
        let (mut tokens, report) = tokenized.map_err(status)?;
        let tokens = tokens.pop().ok_or_else(super::unexpected)?;
        let tokens = block_in_place(|| spelt(tokens, &whole, request.add_special_tokens));
        let tokens = tokens.into_iter().map(|it| SimpleToken {
            id: it.id,
            text: it.text,
            special: it.special,
            start: it.start.map(number),
            stop: it.stop.map(number),
        });
        let tokens = tokens.collect();
        Ok((EncodeResponse { tokens }, report))
    }

    async fn decode_ids(
        self,
        client: Client,
        request: DecodeRequest,
    ) -> Result<(DecodeResponse, Report), Status> {
        let ids = vec![request.ids];
        let skip = request.skip_special_tokens;
        let decoded = self.service.decode(client, ids, skip).await;
        let (mut texts, report) = decoded.map_err(status)?;
        let text = texts.pop().ok_or_else(super::unexpected)?;
        Ok((DecodeResponse { text }, report))
    }
}

#[tonic::async_trait]
impl Info for Tei {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let service = &self.service;
        let (info, limits) = (&service.info, &service.limits);
        let capabilities = service.capabilities();
        let model_type = if service.embeds() {
            ModelType::Embedding
        } else if capabilities.contains(&Capability::Rerank) {
            ModelType::Reranker
        } else if capabilities.contains(&Capability::Classify) {
            ModelType::Classifier
        } else {
            let task = service.task().name();
            let message = format!("TEI has no type for a model of {task}");
            return Err(Status::failed_precondition(message));
        };
        Ok(Response::new(InfoResponse {
            version: env!("CARGO_PKG_VERSION").into(),
            sha: None,
            docker_label: None,
            model_id: service.model_id.clone(),
            model_sha: Some(info.payload_digest.clone()),
            model_dtype: info.weights.clone(),
            model_type: model_type.into(),
            max_concurrent_requests: number(limits.max_concurrent_requests),
            max_input_length: info.max_tokens,
            max_batch_tokens: number(limits.max_queued_tokens),
            max_batch_requests: None,
            max_client_batch_size: number(limits.max_client_batch_size),
            tokenization_workers: number(service.engine.workers()),
        }))
    }
}

#[tonic::async_trait]
impl Embed for Tei {
    async fn embed(
        &self,
        request: Request<EmbedRequest>,
    ) -> Result<Response<EmbedResponse>, Status> {
        let (client, tei) = (client(&request), self.clone());
        let (message, report) = tei.embed_text(client, request.into_inner()).await?;
        Ok(self.respond(message, &report))
    }

    type EmbedStreamStream = Answers<EmbedResponse>;

    async fn embed_stream(
        &self,
        request: Request<Streaming<EmbedRequest>>,
    ) -> Result<Response<Self::EmbedStreamStream>, Status> {
        Ok(self.stream(request, Self::embed_text))
    }

    async fn embed_sparse(
        &self,
        request: Request<EmbedSparseRequest>,
    ) -> Result<Response<EmbedSparseResponse>, Status> {
        let (client, tei) = (client(&request), self.clone());
        let answered = tei.embed_sparse_text(client, request.into_inner()).await;
        let (message, report) = answered?;
        Ok(self.respond(message, &report))
    }

    type EmbedSparseStreamStream = Answers<EmbedSparseResponse>;

    async fn embed_sparse_stream(
        &self,
        request: Request<Streaming<EmbedSparseRequest>>,
    ) -> Result<Response<Self::EmbedSparseStreamStream>, Status> {
        Ok(self.stream(request, Self::embed_sparse_text))
    }

    async fn embed_all(
        &self,
        request: Request<EmbedAllRequest>,
    ) -> Result<Response<EmbedAllResponse>, Status> {
        let (client, tei) = (client(&request), self.clone());
        let (message, report) = tei.embed_tokens(client, request.into_inner()).await?;
        Ok(self.respond(message, &report))
    }

    type EmbedAllStreamStream = Answers<EmbedAllResponse>;

    async fn embed_all_stream(
        &self,
        request: Request<Streaming<EmbedAllRequest>>,
    ) -> Result<Response<Self::EmbedAllStreamStream>, Status> {
        Ok(self.stream(request, Self::embed_tokens))
    }
}

impl From<PredictRequest> for PredictPairRequest {
    fn from(request: PredictRequest) -> Self {
        Self {
            inputs: vec![request.inputs],
            truncate: request.truncate,
            raw_scores: request.raw_scores,
            truncation_direction: request.truncation_direction,
        }
    }
}

#[tonic::async_trait]
impl Predict for Tei {
    async fn predict(
        &self,
        request: Request<PredictRequest>,
    ) -> Result<Response<PredictResponse>, Status> {
        let (client, tei) = (client(&request), self.clone());
        let (message, report) = tei.classify(client, request.into_inner().into()).await?;
        Ok(self.respond(message, &report))
    }

    async fn predict_pair(
        &self,
        request: Request<PredictPairRequest>,
    ) -> Result<Response<PredictResponse>, Status> {
        let (client, tei) = (client(&request), self.clone());
        let (message, report) = tei.classify(client, request.into_inner()).await?;
        Ok(self.respond(message, &report))
    }

    type PredictStreamStream = Answers<PredictResponse>;

    async fn predict_stream(
        &self,
        request: Request<Streaming<PredictRequest>>,
    ) -> Result<Response<Self::PredictStreamStream>, Status> {
        Ok(self.stream(request, |tei, client, message| {
            tei.classify(client, message.into())
        }))
    }

    type PredictPairStreamStream = Answers<PredictResponse>;

    async fn predict_pair_stream(
        &self,
        request: Request<Streaming<PredictPairRequest>>,
    ) -> Result<Response<Self::PredictPairStreamStream>, Status> {
        Ok(self.stream(request, Self::classify))
    }
}

#[tonic::async_trait]
impl Tokenize for Tei {
    async fn tokenize(
        &self,
        request: Request<EncodeRequest>,
    ) -> Result<Response<EncodeResponse>, Status> {
        let (client, tei) = (client(&request), self.clone());
        let (message, _) = tei.encode(client, request.into_inner()).await?;
        Ok(Response::new(message))
    }

    type TokenizeStreamStream = Answers<EncodeResponse>;

    async fn tokenize_stream(
        &self,
        request: Request<Streaming<EncodeRequest>>,
    ) -> Result<Response<Self::TokenizeStreamStream>, Status> {
        Ok(self.stream(request, Self::encode))
    }

    async fn decode(
        &self,
        request: Request<DecodeRequest>,
    ) -> Result<Response<DecodeResponse>, Status> {
        let (client, tei) = (client(&request), self.clone());
        let (message, _) = tei.decode_ids(client, request.into_inner()).await?;
        Ok(Response::new(message))
    }

    type DecodeStreamStream = Answers<DecodeResponse>;

    async fn decode_stream(
        &self,
        request: Request<Streaming<DecodeRequest>>,
    ) -> Result<Response<Self::DecodeStreamStream>, Status> {
        Ok(self.stream(request, Self::decode_ids))
    }
}
