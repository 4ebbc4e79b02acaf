//! Ollama: `/api/embed` and what its clients ask about the model.

use super::answer::{Answer, Answered};
use super::route::route;
use super::{Call, Dialect, Route};
use crate::failure::{Failure, Kind};
use crate::fields::{some_object, whole};
use crate::service::{Capability, Report};
use encoderfile::Item;
use encoderfile::{Options, Overflow};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// Ollama.
pub(super) struct Ollama;

impl Dialect for Ollama {
    fn name(&self) -> &'static str {
        "Ollama"
    }

    fn routes(&self) -> Vec<Route> {
        vec![
            route!(embed),
            route!(embeddings),
            route!(show),
            route!(tags),
            route!(ps),
            route!(version),
        ]
    }

    fn error(&self, _: &Failure, message: String) -> Value {
        json!(OllamaError { error: message })
    }

    #[cfg(test)]
    fn error_schema(&self) -> crate::openapi::AnySchema {
        crate::openapi::schema::<OllamaError>()
    }

    fn status(&self, kind: Kind) -> StatusCode {
        match kind {
            Kind::TooLong => StatusCode::BAD_REQUEST,
            _ => kind.status(),
        }
    }

    fn names(&self) -> &'static [(&'static str, &'static str)] {
        &[("max_tokens", "num_ctx")]
    }

    fn texts(&self) -> Option<&'static str> {
        Some("input")
    }

    /// Ollama's own examples send JSON without saying so.
    fn takes_any_content_type(&self) -> bool {
        true
    }

    fn has_unknown(&self, path: &str) -> bool {
        path.starts_with("/api/")
    }
}

/// Ollama's error.
#[derive(Serialize, ToSchema)]
struct OllamaError {
    /// What is wrong and what to do.
    error: String,
}

/// Files carry no timestamps.
const UNKNOWN_TIME: &str = "1970-01-01T00:00:00Z";

/// Texts to embed.
#[derive(Deserialize, ToSchema)]
#[schema(as = ollama::EmbedRequest)]
struct EmbedRequest {
    /// There is one model here, whatever it is called.
    #[allow(dead_code, reason = "clients send it")]
    model: Option<String>,
    /// Nothing, an empty text or no texts load the model, which is loaded.
    input: Option<Input>,
    /// Truncate what is too long, rather than refuse it.
    truncate: Option<bool>,
    /// Keep so many of the first values, if there are more.
    #[serde(default, deserialize_with = "whole")]
    dimensions: Option<i64>,
    /// The model is always loaded.
    #[allow(dead_code, reason = "clients send it")]
    keep_alive: Option<Value>,
    #[serde(default, deserialize_with = "some_object")]
    options: Option<ModelOptions>,
}

/// One text or several.
#[derive(Deserialize, ToSchema)]
#[schema(as = ollama::Input)]
#[serde(untagged, expecting = "a text or a list of texts")]
enum Input {
    One(String),
    Many(Vec<String>),
}

/// Of Ollama's options, the one that applies to encoders.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = ollama::ModelOptions)]
struct ModelOptions {
    /// Maximum sequence length in tokens, special tokens included.
    #[serde(default, deserialize_with = "whole")]
    num_ctx: Option<i64>,
}

impl ModelOptions {
    /// The maximum sequence length. Ollama says it thus where no text would be left.
    fn max_tokens(&self, call: &Call) -> Result<Option<usize>, Failure> {
        let Some(num_ctx) = self.num_ctx else {
            return Ok(None);
        };
        let max_tokens = usize::try_from(num_ctx).unwrap_or(0);
        let special_tokens = call.service.encoder.tokenizer().special_tokens();
        if max_tokens > special_tokens {
            return Ok(Some(max_tokens));
        }
        let message = format!(
            "input after truncation exceeds maximum context length: `num_ctx` is {num_ctx}, and each text has {special_tokens} special tokens"
        );
        Err(Failure::new(Kind::TooLong, message))
    }
}

/// Vectors in the order of the texts, of length 1.
#[derive(Serialize, ToSchema)]
#[schema(as = ollama::EmbedResponse)]
struct EmbedResponse {
    model: String,
    embeddings: Vec<Vec<f32>>,
    /// Nanoseconds.
    total_duration: u64,
    /// Nanoseconds: the model was loaded before the server listened.
    load_duration: u64,
    /// Tokens of the texts, without special tokens.
    prompt_eval_count: usize,
}

/// A vector for each text.
#[utoipa::path(post, path = "/api/embed", operation_id = "ollama_embed", tag = "ollama", request_body = EmbedRequest,
    responses((status = 200, description = "in the order of the texts", body = EmbedResponse)))]
async fn embed(call: Call, request: EmbedRequest) -> Answered {
    call.service.require(Capability::Embed)?;
    let model_options = request.options.unwrap_or_default();
    let options = Options {
        overflow: match request.truncate {
            Some(false) => Overflow::Error,
            _ => Overflow::Truncate,
        },
        normalize: Some(true),
        dimensions: request.dimensions.and_then(|it| fewer(&call, it)),
        max_tokens: model_options.max_tokens(&call)?,
        ..Options::default()
    };
    let texts = match request.input {
        Some(Input::One(text)) if !text.is_empty() => vec![Item::Text(text)],
        Some(Input::Many(texts)) => texts.into_iter().map(Item::Text).collect(),
        _ => Vec::new(),
    };
    let count = texts.len();
    let (embeddings, report) = if texts.is_empty() {
        (Vec::new(), Report::default())
    } else {
        let embedded = call.service.embed(call.client, texts, options).await;
        embedded.map_err(in_ollamas_words)?
    };
    let special_tokens = call.service.encoder.tokenizer().special_tokens();
    let response = EmbedResponse {
        model: call.service.model_id.clone(),
        embeddings,
        total_duration: u64::try_from(report.total.as_nanos()).unwrap_or(u64::MAX),
        load_duration: 0,
        prompt_eval_count: report.tokens.saturating_sub(count * special_tokens),
    };
    Ok(Answer::computed(&call, report, response))
}

/// Dimensions, if the vector has more.
fn fewer(call: &Call, dimensions: i64) -> Option<usize> {
    let dimensions = usize::try_from(dimensions).ok()?;
    (0 < dimensions && dimensions < call.service.served_width()).then_some(dimensions)
}

/// Clients look for Ollama's words.
fn in_ollamas_words(failure: Failure) -> Failure {
    if failure.kind == Kind::TooLong {
        let message = format!("the input length exceeds the context length: {failure}");
        return Failure::new(failure.kind, message);
    }
    failure
}

/// A text to embed.
#[derive(Deserialize, ToSchema)]
#[schema(as = ollama::EmbeddingsRequest)]
struct EmbeddingsRequest {
    /// There is one model here, whatever it is called.
    #[allow(dead_code, reason = "clients send it")]
    model: Option<String>,
    /// Nothing or an empty text loads the model, which is loaded.
    prompt: Option<String>,
    /// The model is always loaded.
    #[allow(dead_code, reason = "clients send it")]
    keep_alive: Option<Value>,
    #[serde(default, deserialize_with = "some_object")]
    options: Option<ModelOptions>,
}

/// A vector, not divided by its norm.
#[derive(Serialize, ToSchema)]
#[schema(as = ollama::EmbeddingsResponse)]
struct EmbeddingsResponse {
    embedding: Vec<f32>,
}

/// The older form: one text.
#[utoipa::path(post, path = "/api/embeddings", operation_id = "ollama_embeddings", tag = "ollama", request_body = EmbeddingsRequest,
    responses((status = 200, description = "of any length", body = EmbeddingsResponse)))]
async fn embeddings(call: Call, request: EmbeddingsRequest) -> Answered {
    call.service.require(Capability::Embed)?;
    let options = Options {
        normalize: Some(false),
        max_tokens: request.options.unwrap_or_default().max_tokens(&call)?,
        ..Options::default()
    };
    let prompt = request.prompt.filter(|prompt| !prompt.is_empty());
    let (embedding, report) = match prompt {
        None => (Vec::new(), Report::default()),
        Some(prompt) => {
            let texts = vec![Item::Text(prompt)];
            let (mut vectors, report) = call.service.embed(call.client, texts, options).await?;
            (vectors.pop().unwrap_or_default(), report)
        }
    };
    Ok(Answer::computed(
        &call,
        report,
        EmbeddingsResponse { embedding },
    ))
}

/// The models of this server.
#[derive(Serialize, ToSchema)]
#[schema(as = ollama::Tags)]
struct Tags {
    models: Vec<Model>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ollama::Model)]
struct Model {
    name: String,
    model: String,
    modified_at: &'static str,
    /// Bytes of the file's parts.
    size: u64,
    digest: String,
    details: Details,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ollama::Details)]
struct Details {
    parent_model: &'static str,
    format: &'static str,
    family: String,
    families: Vec<String>,
    parameter_size: String,
    quantization_level: String,
}

/// The one model there is.
#[utoipa::path(get, path = "/api/tags", tag = "ollama",
    responses((status = 200, description = "a list of one", body = Tags)))]
async fn tags(call: Call) -> Answered {
    Answer::small(&Tags {
        models: vec![Model::of(&call)],
    })
}

impl Model {
    fn of(call: &Call) -> Self {
        let service = &call.service;
        let info = &service.info;
        Self {
            name: service.model_id.clone(),
            model: service.model_id.clone(),
            modified_at: UNKNOWN_TIME,
            size: info.sizes_bytes.iter().map(|(_, bytes)| bytes).sum(),
            digest: info.payload_digest.clone(),
            details: Details::of(call),
        }
    }
}

impl Details {
    fn of(call: &Call) -> Self {
        let info = &call.service.info;
        Self {
            parent_model: "",
            format: "encoderfile",
            family: model_type(&info.architecture),
            families: vec![model_type(&info.architecture)],
            parameter_size: String::new(),
            quantization_level: info.weights.clone(),
        }
    }
}

/// The models in memory.
#[derive(Serialize, ToSchema)]
#[schema(as = ollama::Running)]
struct Running {
    models: Vec<RunningModel>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ollama::RunningModel)]
struct RunningModel {
    #[serde(flatten)]
    model: Model,
    /// Never.
    expires_at: &'static str,
    /// Bytes on a graphics card.
    size_vram: u64,
    /// Tokens of one text.
    context_length: u32,
}

/// The one model there is: it is always loaded.
#[utoipa::path(get, path = "/api/ps", tag = "ollama",
    responses((status = 200, description = "a list of one", body = Running)))]
async fn ps(call: Call) -> Answered {
    Answer::small(&Running {
        models: vec![RunningModel {
            model: Model::of(&call),
            expires_at: "9999-12-31T23:59:59Z",
            size_vram: 0,
            context_length: call.service.info.max_tokens,
        }],
    })
}

/// Which model.
#[derive(Deserialize, ToSchema)]
#[schema(as = ollama::ShowRequest)]
#[allow(dead_code, reason = "there is one model here, whatever it is called")]
struct ShowRequest {
    model: Option<String>,
    /// The older name of `model`.
    name: Option<String>,
    /// Ollama shows tensors too.
    verbose: Option<bool>,
}

/// What a model is.
#[derive(Serialize, ToSchema)]
#[schema(as = ollama::ShowResponse)]
struct ShowResponse {
    license: String,
    modelfile: &'static str,
    parameters: &'static str,
    template: &'static str,
    details: Details,
    /// Under GGUF's names.
    model_info: Map<String, Value>,
    capabilities: Vec<&'static str>,
    modified_at: &'static str,
}

/// What the model is, whatever it is called.
#[utoipa::path(post, path = "/api/show", tag = "ollama", request_body = ShowRequest,
    responses((status = 200, description = "its limits and licence", body = ShowResponse)))]
async fn show(call: Call, _: ShowRequest) -> Answered {
    let service = &call.service;
    let info = &service.info;
    let architecture = model_type(&info.architecture);
    let mut model_info = Map::new();
    model_info.insert("general.architecture".into(), architecture.clone().into());
    let mut number = |key: &str, number: usize| {
        model_info.insert(format!("{architecture}.{key}"), number.into());
    };
    number("context_length", info.max_tokens as usize);
    let embeds = service.capabilities().contains(&Capability::Embed);
    if embeds {
        number("embedding_length", service.served_width());
    }
    Answer::small(&ShowResponse {
        license: info.license.clone(),
        modelfile: "",
        parameters: "",
        template: "{{ .Prompt }}",
        details: Details::of(&call),
        model_info,
        capabilities: if embeds {
            vec!["embedding"]
        } else {
            Vec::new()
        },
        modified_at: UNKNOWN_TIME,
    })
}

/// The model's type as GGUF and Ollama write it: `bert` of `BertForMaskedLM`. Files
/// have the class's name alone, so hyphens that a type has (`xlm-roberta`) are lost.
fn model_type(class: &str) -> String {
    let head = class.find("For").or_else(|| class.find("Model"));
    let name = head.map_or(class, |head| &class[..head]);
    name.to_ascii_lowercase()
}

/// What answers.
#[derive(Serialize, ToSchema)]
#[schema(as = ollama::Version)]
struct Version {
    version: &'static str,
}

/// The server's version.
#[utoipa::path(get, path = "/api/version", tag = "ollama",
    responses((status = 200, description = "of encoderfile", body = Version)))]
async fn version(_: Call) -> Answered {
    Answer::small(&Version {
        version: env!("CARGO_PKG_VERSION"),
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{embeddings, has_numbers};
    use http::Request;

    #[test]
    fn requests_need_no_content_type_but_from_pages() {
        let model = embeddings();
        let request = r#"{"input": ["a cat", "a"]}"#;
        let json = model.answer(Request::post("/api/embed"), request).good();
        assert!(has_numbers(
            &json["embeddings"][0],
            &model.embedding("a cat")
        ));
        // Without the special tokens.
        assert_eq!(json["prompt_eval_count"], 3);
        let page = Request::post("/api/embed").header("origin", "http://other.example");
        let json = model.answer(page, request).refused(403);
        assert!(
            json["error"].as_str().unwrap().contains("origins"),
            "{json}"
        );
    }

    #[test]
    fn a_long_text_is_a_bad_request() {
        let text = "a ".repeat(1000);
        let request = format!(r#"{{"input": "{text}", "truncate": false}}"#);
        let json = embeddings().post("/api/embed", &request).refused(400);
        let message = json["error"].as_str().unwrap();
        let expected = "the input length exceeds the context length: ";
        assert!(message.starts_with(expected), "{message}");
    }
}
