//! OpenAI: `/v1/embeddings` and `/v1/models`.

use super::answer::{Answer, Answered};
use super::route::route;
use super::tei::Inputs;
use super::{Call, Dialect, Route, openapi};
use crate::failure::{Failure, Kind};
use crate::fields::whole;
use crate::service::Report;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use encoderfile::Options;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

/// OpenAI.
pub(crate) struct OpenAi;

impl Dialect for OpenAi {
    fn name(&self) -> &'static str {
        "OpenAI"
    }

    fn routes(&self) -> Vec<Route> {
        vec![
            route!(embeddings),
            route!(embeddings_alias),
            route!(models),
            route!(model),
        ]
    }

    fn error(&self, failure: &Failure, message: String) -> Value {
        let empty = self.texts().filter(|_| failure.kind == Kind::Empty);
        json!(OpenAiError {
            error: OpenAiErrorBody::new(failure.kind, message, failure.field().or(empty)),
        })
    }

    fn error_schema(&self) -> RefOr<Schema> {
        openapi::schema::<OpenAiError>()
    }

    fn texts(&self) -> Option<&'static str> {
        Some("input")
    }

    fn has_unknown(&self, path: &str) -> bool {
        path.starts_with("/v1/")
    }
}

/// OpenAI's error.
#[derive(Serialize, ToSchema)]
struct OpenAiError {
    #[schema(inline)]
    error: OpenAiErrorBody,
}

#[derive(Serialize, ToSchema)]
struct OpenAiErrorBody {
    /// What is wrong and what to do.
    message: String,
    /// The kind of error.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The field at fault, where that is known.
    param: Option<String>,
    /// A name for programs.
    code: Option<&'static str>,
}

impl OpenAiErrorBody {
    fn new(kind: Kind, message: String, field: Option<&str>) -> Self {
        let (kind, code) = match kind {
            Kind::NotFound if field == Some("model") => {
                ("invalid_request_error", Some("model_not_found"))
            }
            Kind::Unauthorized => ("authentication_error", Some("invalid_api_key")),
            Kind::Overloaded => ("rate_limit_error", Some("rate_limit_exceeded")),
            Kind::NotFinite => ("server_error", Some("not_finite")),
            Kind::Backend | Kind::Internal | Kind::Unavailable => ("server_error", None),
            _ => ("invalid_request_error", None),
        };
        Self {
            message,
            kind,
            param: field.map(str::to_owned),
            code,
        }
    }
}

/// Texts to embed.
#[derive(Deserialize, ToSchema)]
#[schema(as = openai::EmbeddingsRequest)]
struct EmbeddingsRequest {
    /// Texts, or token ids of this model's vocabulary.
    input: Inputs,
    /// There is one model here, whatever it is called.
    #[allow(dead_code, reason = "clients send it")]
    model: Option<String>,
    #[allow(dead_code, reason = "clients send it")]
    user: Option<String>,
    /// As numbers, or as the base64 of their float32 bytes, little-endian.
    #[serde(default)]
    encoding_format: EncodingFormat,
    /// Keep so many of the first values.
    #[serde(default, deserialize_with = "whole")]
    dimensions: Option<usize>,
}

/// How vectors are written.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[schema(as = openai::EncodingFormat)]
#[serde(rename_all = "snake_case")]
pub(super) enum EncodingFormat {
    #[default]
    Float,
    Base64,
}

/// Vectors in the order of the texts.
#[derive(Serialize, ToSchema)]
#[schema(as = openai::EmbeddingsResponse)]
struct EmbeddingsResponse {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: Usage,
}

/// A text's vector.
#[derive(Serialize, ToSchema)]
#[schema(as = openai::Embedding)]
struct Embedding {
    object: &'static str,
    embedding: Vector,
    index: usize,
}

/// Numbers or base64.
#[derive(Serialize, ToSchema)]
#[schema(as = openai::Vector)]
#[serde(untagged)]
pub(super) enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

/// Tokens that were computed, special tokens included.
#[derive(Serialize, ToSchema)]
#[schema(as = openai::Usage)]
pub(super) struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

impl Usage {
    pub(super) fn of(report: &Report) -> Self {
        Self {
            prompt_tokens: report.tokens,
            total_tokens: report.tokens,
        }
    }
}

/// A vector for each text.
#[utoipa::path(post, path = "/v1/embeddings", tag = "openai", request_body = EmbeddingsRequest,
    responses((status = 200, description = "in the order of the texts", body = EmbeddingsResponse)))]
async fn embeddings(call: Call, request: EmbeddingsRequest) -> Answered {
    let options = Options {
        overflow: call.service.overflow(None),
        dimensions: request.dimensions,
        normalize: Some(true),
        ..Options::default()
    };
    let texts = request.input.into_texts();
    let (vectors, report) = call.service.embed(call.client, texts, options).await?;
    let format = request.encoding_format;
    let data = vectors.into_iter().enumerate();
    let data = data.map(|(index, vector)| Embedding {
        object: "embedding",
        embedding: format.write(vector),
        index,
    });
    let response = EmbeddingsResponse {
        object: "list",
        data: data.collect(),
        model: call.service.model_id.clone(),
        usage: Usage::of(&report),
    };
    Ok(Answer::computed(&call, report, response))
}

/// `/v1/embeddings` under the name that TEI has for it too.
#[utoipa::path(post, path = "/embeddings", tag = "tei", request_body = EmbeddingsRequest,
    responses((status = 200, description = "in the order of the texts", body = EmbeddingsResponse)))]
async fn embeddings_alias(call: Call, request: EmbeddingsRequest) -> Answered {
    embeddings(call, request).await
}

impl EncodingFormat {
    pub(super) fn write(self, vector: Vec<f32>) -> Vector {
        match self {
            Self::Float => Vector::Float(vector),
            Self::Base64 => {
                let bytes: Vec<u8> = vector.iter().flat_map(|it| it.to_le_bytes()).collect();
                Vector::Base64(STANDARD.encode(bytes))
            }
        }
    }
}

/// The models of this server.
#[derive(Serialize, ToSchema)]
#[schema(as = openai::Models)]
struct Models {
    object: &'static str,
    data: Vec<Model>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = openai::Model)]
struct Model {
    id: String,
    object: &'static str,
    /// Unknown: files carry no timestamps.
    created: u64,
    owned_by: &'static str,
}

/// The one model there is.
#[utoipa::path(get, path = "/v1/models", tag = "openai",
    responses((status = 200, description = "a list of one", body = Models)))]
async fn models(call: Call) -> Answered {
    Answer::small(&Models {
        object: "list",
        data: vec![Model::of(&call)],
    })
}

/// The model, if it has this name.
#[utoipa::path(get, path = "/v1/models/{*model}", operation_id = "openai_model", tag = "openai",
    params(("model" = String, Path, description = "its name")),
    responses((status = 200, description = "it has", body = Model)))]
async fn model(call: Call) -> Answered {
    let path = call.head.uri.path();
    let name = path.strip_prefix("/v1/models/").unwrap_or(path);
    let name = percent_decode_str(name).decode_utf8().map_err(|_| {
        Failure::new(Kind::Malformed, "Invalid URL: Invalid UTF-8 in `model`").about("model")
    })?;
    let model = Model::of(&call);
    if name != model.id {
        let message = format!("no model {name:?}; this server has {:?}", model.id);
        return Err(Failure::new(Kind::NotFound, message).about("model"));
    }
    Answer::small(&model)
}

impl Model {
    fn of(call: &Call) -> Self {
        Self {
            id: call.service.model_id.clone(),
            object: "model",
            created: 0,
            owned_by: "encoderfile",
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::dialects::testing::{embeddings, has_numbers};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn vectors_are_numbers_or_their_bytes() {
        let model = embeddings();
        let json = model.post("/v1/embeddings", r#"{"input": "a cat"}"#).good();
        let embedding = model.embedding("a cat");
        assert!(has_numbers(&json["data"][0]["embedding"], &embedding));
        assert_eq!(json["usage"]["total_tokens"], 4);
        let request = r#"{"input": "a cat", "encoding_format": "base64"}"#;
        let json = model.post("/v1/embeddings", request).good();
        let bytes: Vec<u8> = embedding.iter().flat_map(|it| it.to_le_bytes()).collect();
        assert_eq!(json["data"][0]["embedding"], STANDARD.encode(bytes));
    }

    #[test]
    fn a_refusal_names_the_field() {
        let model = embeddings();
        let json = model
            .post("/v1/embeddings", r#"{"input": []}"#)
            .refused(400);
        assert_eq!(json["error"]["param"], "input");
        assert_eq!(json["error"]["type"], "invalid_request_error");
        let json = model.post("/v1/nowhere", "{}").refused(404);
        assert_eq!(json["error"]["type"], "invalid_request_error");
    }

    #[test]
    fn a_model_is_found_by_its_name() {
        let model = embeddings();
        for path in [
            "/v1/models/all-MiniLM-L6-v2",
            "/v1/models/all%2DMiniLM-L6-v2",
        ] {
            assert_eq!(model.get(path).good()["id"], "all-MiniLM-L6-v2", "{path}");
        }
        let json = model.get("/v1/models/a/b").refused(404);
        assert_eq!(json["error"]["code"], "model_not_found");
        let json = model.get("/v1/models/%ff").refused(400);
        assert_eq!(json["error"]["param"], "model");
    }
}
