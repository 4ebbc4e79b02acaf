//! OpenAI: `/v1/embeddings` and `/v1/models`.

mod embeddings;

use super::answer::{Answer, Answered};
use super::route::route;
use super::{Call, Dialect, Route};
use crate::failure::{Failure, Kind};
use crate::service::Report;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// OpenAI.
pub(crate) struct OpenAi;

impl Dialect for OpenAi {
    fn name(&self) -> &'static str {
        "OpenAI"
    }

    fn routes(&self) -> Vec<Route> {
        vec![
            route!(embeddings::embeddings),
            route!(embeddings::embeddings_alias),
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

    #[cfg(test)]
    fn error_schema(&self) -> crate::openapi::AnySchema {
        crate::openapi::schema::<OpenAiError>()
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
    use crate::testing::embeddings;

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
