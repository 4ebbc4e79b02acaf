//! gRPC: a service for each task, upstream's four among them, TEI's five, health and
//! reflection.

mod convert;
mod status;
mod tei;

use crate::http::check_key;
use crate::keys::Keys;
use axum::Router;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderValue, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response as HttpResponse;
use encoderfile::Item;
use encoderfile::manifest::Task;
use encoderfile::{Options, Prediction};
use encoderfile_dialects::engine::Client;
use encoderfile_dialects::failure::{Failure, Kind};
use encoderfile_dialects::service::Service;
use metadata::{GetModelMetadataRequest, GetModelMetadataResponse, ModelType};
use status::status;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use tonic_health::ServingStatus;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

#[allow(missing_docs, reason = "generated; documented in the schemas")]
#[allow(
    clippy::all,
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated"
)]
mod schema {
    pub(crate) mod embedding {
        tonic::include_proto!("encoderfile.embedding");
    }
    pub(crate) mod fill_mask {
        tonic::include_proto!("encoderfile.fill_mask");
    }
    pub(crate) mod metadata {
        tonic::include_proto!("encoderfile.metadata");
    }
    pub(crate) mod options {
        tonic::include_proto!("encoderfile.options");
    }
    pub(crate) mod sentence_embedding {
        tonic::include_proto!("encoderfile.sentence_embedding");
    }
    pub(crate) mod sequence_classification {
        tonic::include_proto!("encoderfile.sequence_classification");
    }
    pub(crate) mod sparse_embedding {
        tonic::include_proto!("encoderfile.sparse_embedding");
    }
    pub(crate) mod tei {
        tonic::include_proto!("tei.v1");
    }
    pub(crate) mod token {
        tonic::include_proto!("encoderfile.token");
    }
    pub(crate) mod token_classification {
        tonic::include_proto!("encoderfile.token_classification");
    }
}
use schema::{metadata, options};

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/services.binpb"));

/// The service of each kind of result, by the field that holds it: one method that
/// `Predict`s and one that says what the model is.
macro_rules! services {
    ($($result:literal: $package:ident :: $server:ident :: $service:ident as $new:ident,
        $request:ident -> $response:ident by $convert:ident;)+) => {
        /// Package and service of each kind of result.
        const SERVICES: &[(&str, &str, &str)] = &[
            $(($result, stringify!($package), stringify!($service)),)+
        ];

        /// The services of all models; this one answers one of them.
        fn add_services(routes: Routes, inference: &Inference) -> Routes {
            let limit = inference.service.limits.payload_limit;
            $(
                let routes = routes.add_service(
                    schema::$package::$server::$new::new(inference.clone())
                        .accept_compressed(CompressionEncoding::Gzip)
                        .max_decoding_message_size(limit)
                        .max_encoding_message_size(usize::MAX),
                );
            )+
            routes
        }

        $(
            #[tonic::async_trait]
            impl schema::$package::$server::$service for Inference {
                async fn predict(
                    &self,
                    request: Request<schema::$package::$request>,
                ) -> Result<Response<schema::$package::$response>, Status> {
                    let client = client(&request);
                    let it = request.into_inner();
                    let predictions = self
                        .predict(stringify!($package), $result, client, it.inputs, it.options)
                        .await?;
                    let results = predictions.into_iter().map(convert::$convert);
                    Ok(Response::new(schema::$package::$response {
                        results: results.collect::<Option<_>>().ok_or_else(unexpected)?,
                        model_id: self.service.model_id.clone(),
                        metadata: it.metadata,
                    }))
                }

                async fn get_model_metadata(
                    &self,
                    _: Request<GetModelMetadataRequest>,
                ) -> Result<Response<GetModelMetadataResponse>, Status> {
                    Ok(self.metadata())
                }
            }
        )+
    };
}

services! {
    "embeddings": embedding::embedding_inference_server::EmbeddingInference
        as EmbeddingInferenceServer,
        EmbeddingRequest -> EmbeddingResponse by token_embeddings;
    "embedding": sentence_embedding::sentence_embedding_inference_server::SentenceEmbeddingInference
        as SentenceEmbeddingInferenceServer,
        SentenceEmbeddingRequest -> SentenceEmbeddingResponse by sentence_embedding;
    "sparse_embedding": sparse_embedding::sparse_embedding_inference_server::SparseEmbeddingInference
        as SparseEmbeddingInferenceServer,
        SparseEmbeddingRequest -> SparseEmbeddingResponse by sparse_embedding;
    "logits": sequence_classification::sequence_classification_inference_server::SequenceClassificationInference
        as SequenceClassificationInferenceServer,
        SequenceClassificationRequest -> SequenceClassificationResponse by classes;
    "tokens": token_classification::token_classification_inference_server::TokenClassificationInference
        as TokenClassificationInferenceServer,
        TokenClassificationRequest -> TokenClassificationResponse by token_classes;
    "masks": fill_mask::fill_mask_inference_server::FillMaskInference
        as FillMaskInferenceServer,
        FillMaskRequest -> FillMaskResponse by masks;
}

/// Who may ask whether the server is there, without a key.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// All of gRPC.
pub(crate) fn router(
    service: Arc<Service>,
    keys: Arc<Keys>,
    draining: CancellationToken,
) -> anyhow::Result<Router> {
    let inference = Inference { service };
    let limit = inference.service.limits.payload_limit;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (reporter, health) = tonic_health::server::health_reporter();
    let service = inference.service.clone();
    tokio::spawn(report_health(reporter, service.clone(), draining));

    let routes = add_services(Routes::new(health), &inference);
    let routes = tei::add_to(routes, service, limit)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .into_axum_router()
        .layer(from_fn_with_state(keys, require))
        .layer(CatchPanicLayer::custom(
            |_: Box<dyn std::any::Any + Send>| {
                Status::internal("the request failed unexpectedly").into_http::<axum::body::Body>()
            },
        ));
    let routes = ServiceBuilder::new().map_request(full_name).service(routes);
    Ok(Router::new().fallback_service(routes))
}

/// Says which services are served, until they no longer are. Of upstream's, those
/// of other tasks are unknown, and of TEI's not served, as each has it.
async fn report_health(
    reporter: tonic_health::server::HealthReporter,
    service: Arc<Service>,
    draining: CancellationToken,
) {
    let gives = |result| service.encoder.giving(result, Options::default()).is_some();
    let names = SERVICES.iter().filter(|(served, ..)| gives(served));
    let names = names.map(|(_, package, name)| format!("encoderfile.{package}.{name}"));
    let names = std::iter::once(String::new()).chain(names);
    let upstreams = names.map(|name| (name, true));
    let teis = tei::served(&service).map(|(name, is_served)| (name.to_owned(), is_served));
    let services: Vec<(String, bool)> = upstreams.chain(teis).collect();
    for (name, is_served) in &services {
        let status = match is_served {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        reporter.set_service_status(name, status).await;
    }
    draining.cancelled().await;
    for (name, _) in &services {
        let status = ServingStatus::NotServing;
        reporter.set_service_status(name, status).await;
    }
}

/// Some of upstream's clients leave out the task's package:
/// `encoderfile.EmbeddingInference`.
fn full_name<B>(mut request: http::Request<B>) -> http::Request<B> {
    let path = request.uri().path();
    let full = SERVICES.iter().find_map(|(_, package, name)| {
        let method = path.strip_prefix("/encoderfile.")?.strip_prefix(name)?;
        Some(format!("/encoderfile.{package}.{name}{method}"))
    });
    if let Some(uri) = full.and_then(|path| path.parse::<Uri>().ok()) {
        *request.uri_mut() = uri;
    }
    request
}

/// Lets calls pass that carry a key, and notes whose it is.
async fn require(
    State(keys): State<Arc<Keys>>,
    mut request: HttpRequest,
    next: Next,
) -> HttpResponse {
    let open = request.uri().path().starts_with(HEALTH);
    match check_key(&keys, &request) {
        Ok(client) => {
            request.extensions_mut().insert(client);
        }
        Err(_) if open => {}
        Err(failure) => return status(failure).into_http(),
    }
    let mut response = next.run(request).await;
    // A message beyond the limit is one resource exhausted, not a seek past an end.
    let out_of_range = HeaderValue::from(Code::OutOfRange as i32);
    if response.headers().get(Status::GRPC_STATUS) == Some(&out_of_range) {
        let exhausted = HeaderValue::from(Code::ResourceExhausted as i32);
        response
            .headers_mut()
            .insert(Status::GRPC_STATUS, exhausted);
    }
    response
}

/// What answers the services; each is for one task.
#[derive(Clone)]
struct Inference {
    service: Arc<Service>,
}

impl Inference {
    fn metadata(&self) -> Response<GetModelMetadataResponse> {
        let labels = (0_u32..).zip(self.service.pipeline().labels.iter().cloned());
        Response::new(GetModelMetadataResponse {
            model_id: self.service.model_id.clone(),
            model_type: model_type(self.service.task()).into(),
            id2label: labels.collect(),
        })
    }

    async fn predict(
        &self,
        package: &str,
        result: &str,
        client: Client,
        inputs: Vec<String>,
        options: Option<options::Options>,
    ) -> Result<Vec<Prediction>, Status> {
        let options = options.map_or_else(|| Ok(Options::default()), convert::options)?;
        let Some(options) = self.service.encoder.giving(result, options) else {
            let (model, task) = (&self.service.model_id, self.service.task().name());
            return Err(Status::unimplemented(format!(
                "`{package}` does not apply to the task of {model}: {task}"
            )));
        };
        let texts = inputs.into_iter().map(Item::Text).collect();
        let answer = self
            .service
            .infer(client, texts, options)
            .await
            .map_err(status)?;
        Ok(answer.predictions)
    }
}

/// Both have one name for it, in other case.
fn model_type(task: Task) -> ModelType {
    let name = task.name().to_uppercase();
    ModelType::from_str_name(&name).unwrap_or(ModelType::Unspecified)
}

/// Whose call it is.
fn client<T>(request: &Request<T>) -> Client {
    let client = request.extensions().get::<Client>();
    client.copied().unwrap_or(Client::Local)
}

fn unexpected() -> Status {
    status(Failure::new(Kind::Internal, "a result of another task"))
}
