//! Embeddings, in as many types of numbers as are asked for.

use super::{ApiVersion, next_id};
use crate::Call;
use crate::answer::{Answer, Answered};
use crate::failure::{Failure, Kind};
use crate::fields::whole;
use crate::service::Report;
use crate::vector::{EncodingFormat, OutputDtype, Vector};
use encoderfile::{Item, Options, Overflow, Role, Side};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Texts to embed.
#[derive(Deserialize, ToSchema)]
#[schema(as = embed::CohereRequest)]
pub(super) struct Request {
    /// There is one model here, whatever it is called.
    #[allow(dead_code, reason = "clients send it")]
    model: Option<String>,
    /// Prepend the model's prompt for queries or documents, where it has one.
    input_type: Option<InputType>,
    texts: Option<Vec<String>>,
    /// The same as objects; each has one text.
    inputs: Option<Vec<Input>>,
    /// In which numbers. Without it, `/v2/embed` gives `float`, and `/v1/embed` a list of those.
    embedding_types: Option<Vec<EmbeddingType>>,
    /// Which end of a text of too many tokens is truncated, or none: then it is refused.
    truncate: Option<Truncate>,
    /// Maximum sequence length in tokens, special tokens included.
    #[schema(minimum = 1)]
    #[serde(default, deserialize_with = "whole")]
    max_tokens: Option<usize>,
    /// Keep so many of the first values.
    #[schema(minimum = 1)]
    #[serde(default, deserialize_with = "whole")]
    output_dimension: Option<usize>,
}

/// What the texts are for.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[schema(as = embed::InputType)]
#[serde(rename_all = "snake_case")]
enum InputType {
    SearchDocument,
    SearchQuery,
    Classification,
    Clustering,
}

impl InputType {
    fn role(self) -> Option<Role> {
        match self {
            Self::SearchDocument => Some(Role::Document),
            Self::SearchQuery => Some(Role::Query),
            Self::Classification | Self::Clustering => None,
        }
    }
}

/// An end of a text, or none.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[schema(as = embed::Truncate)]
#[serde(rename_all = "UPPERCASE")]
enum Truncate {
    None,
    Start,
    End,
}

/// A text as content.
#[derive(Deserialize, ToSchema)]
#[schema(as = embed::Input)]
struct Input {
    content: [Content; 1],
}

#[derive(Deserialize, ToSchema)]
#[schema(as = embed::Content)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content {
    Text { text: String },
}

/// Numbers, or base64 of float32.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = embed::EmbeddingType)]
#[serde(rename_all = "snake_case")]
enum EmbeddingType {
    Float,
    Int8,
    Uint8,
    Binary,
    Ubinary,
    Base64,
}

impl EmbeddingType {
    fn written(self) -> (OutputDtype, EncodingFormat) {
        let dtype = match self {
            Self::Float | Self::Base64 => OutputDtype::Float,
            Self::Int8 => OutputDtype::Int8,
            Self::Uint8 => OutputDtype::Uint8,
            Self::Binary => OutputDtype::Binary,
            Self::Ubinary => OutputDtype::Ubinary,
        };
        let format = match self {
            Self::Base64 => EncodingFormat::Base64,
            _ => EncodingFormat::Float,
        };
        (dtype, format)
    }
}

/// Vectors in the order of the texts.
#[derive(Serialize, ToSchema)]
#[schema(as = embed::CohereResponse)]
pub(super) struct Response {
    id: String,
    response_type: &'static str,
    embeddings: Embeddings,
    /// For each text what `int8` and `uint8` (less 128) are to be multiplied by.
    #[serde(skip_serializing_if = "Option::is_none")]
    scales: Option<Vec<f32>>,
    texts: Vec<String>,
    meta: Meta,
}

#[derive(Serialize, ToSchema)]
#[schema(as = embed::Embeddings)]
#[serde(untagged)]
enum Embeddings {
    ByType(Box<ByType>),
    /// Of `/v1/embed` without `embedding_types`.
    Floats(Vec<Vec<f32>>),
}

#[derive(Default, Serialize, ToSchema)]
#[schema(as = embed::ByType)]
struct ByType {
    #[serde(skip_serializing_if = "Option::is_none")]
    float: Option<Vec<Vector>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    int8: Option<Vec<Vector>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uint8: Option<Vec<Vector>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary: Option<Vec<Vector>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ubinary: Option<Vec<Vector>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<Vec<Vector>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = embed::Meta)]
struct Meta {
    api_version: ApiVersion,
    billed_units: BilledUnits,
}

#[derive(Serialize, ToSchema)]
#[schema(as = embed::BilledUnits)]
struct BilledUnits {
    input_tokens: usize,
}

/// A vector for each text, by type.
#[utoipa::path(post, path = "/v2/embed", operation_id = "cohere_embed", tag = "cohere", request_body = Request,
    responses((status = 200, description = "in the order of the texts", body = Response)))]
pub(super) async fn embed(call: Call, request: Request) -> Answered {
    let types = request.embedding_types.clone();
    let types = types.unwrap_or_else(|| vec![EmbeddingType::Float]);
    answer(call, request, "2", Some(types)).await
}

/// The same as `/v2/embed`; without `embedding_types`, a list of vectors for each text.
#[utoipa::path(post, path = "/v1/embed", operation_id = "cohere_embed_v1", tag = "cohere", request_body = Request,
    responses((status = 200, description = "in the order of the texts", body = Response)))]
pub(super) async fn embed_v1(call: Call, request: Request) -> Answered {
    let types = request.embedding_types.clone();
    answer(call, request, "1", types).await
}

async fn answer(
    call: Call,
    request: Request,
    version: &'static str,
    types: Option<Vec<EmbeddingType>>,
) -> Answered {
    let options = request.options(&call);
    let texts = request.into_texts()?;
    let items = texts.iter().cloned().map(Item::Text).collect();
    let (vectors, report) = call.service.embed(call.client, items, options).await?;
    let meta = Meta::of(version, &report);
    let made = Answer::made_by(move || {
        let (embeddings, scales) = match types {
            None => (Embeddings::Floats(vectors), None),
            Some(types) => by_type(&vectors, &types),
        };
        Ok(Response {
            id: next_id("embed"),
            response_type: embeddings.response_type(),
            embeddings,
            scales,
            texts,
            meta,
        })
    });
    Ok(made.with(&call, report))
}

impl Request {
    fn options(&self, call: &Call) -> Options {
        let (overflow, truncation_side) = match self.truncate {
            None => (call.service.overflow(None), None),
            Some(Truncate::None) => (Overflow::Error, None),
            Some(Truncate::Start) => (Overflow::Truncate, Some(Side::Left)),
            Some(Truncate::End) => (Overflow::Truncate, Some(Side::Right)),
        };
        Options {
            overflow,
            truncation_side,
            max_tokens: self.max_tokens,
            role: self.input_type.and_then(InputType::role),
            dimensions: self.output_dimension,
            normalize: Some(true),
            ..Options::default()
        }
    }

    fn into_texts(self) -> Result<Vec<String>, Failure> {
        let of_input = |Input { content }: Input| {
            let [Content::Text { text }] = content;
            text
        };
        let texts = match (self.texts, self.inputs) {
            (Some(_), Some(_)) => {
                let problem = "`texts` and `inputs`: give one of them";
                return Err(Failure::new(Kind::Validation, problem).about("inputs"));
            }
            (Some(texts), None) => texts,
            (None, Some(inputs)) => inputs.into_iter().map(of_input).collect(),
            (None, None) => Vec::new(),
        };
        match texts.is_empty() {
            true => Err(Failure::of_field(Kind::Empty, "texts", "no texts")),
            false => Ok(texts),
        }
    }
}

/// The vectors in each of those types, and their scales if one of those has some.
fn by_type(vectors: &[Vec<f32>], types: &[EmbeddingType]) -> (Embeddings, Option<Vec<f32>>) {
    let mut embeddings = Box::<ByType>::default();
    let mut found = None;
    for each in types {
        let place = match each {
            EmbeddingType::Float => &mut embeddings.float,
            EmbeddingType::Int8 => &mut embeddings.int8,
            EmbeddingType::Uint8 => &mut embeddings.uint8,
            EmbeddingType::Binary => &mut embeddings.binary,
            EmbeddingType::Ubinary => &mut embeddings.ubinary,
            EmbeddingType::Base64 => &mut embeddings.base64,
        };
        // A list may name a type as often as it is long, and each is megabytes.
        if place.is_some() {
            continue;
        }
        let (dtype, format) = each.written();
        let written = vectors.iter().map(|it| format.write(it.clone(), dtype));
        let (written, scales): (Vec<_>, Vec<_>) = written.unzip();
        found = found.or(scales.into_iter().collect());
        *place = Some(written);
    }
    (Embeddings::ByType(embeddings), found)
}

impl Embeddings {
    fn response_type(&self) -> &'static str {
        match self {
            Self::ByType(_) => "embeddings_by_type",
            Self::Floats(_) => "embeddings_floats",
        }
    }
}

impl Meta {
    fn of(version: &'static str, report: &Report) -> Self {
        Self {
            api_version: ApiVersion { version },
            billed_units: BilledUnits {
                input_tokens: report.tokens,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{embeddings, has_numbers};
    use serde_json::json;

    #[test]
    fn embeddings_are_the_models_in_each_type() {
        let model = embeddings();
        let request = r#"{"texts": ["a cat", "a"], "input_type": "search_document",
            "embedding_types": ["float", "int8", "uint8", "ubinary"]}"#;
        let json = model.post("/v2/embed", request).good();
        assert_eq!(json["response_type"], "embeddings_by_type");
        assert_eq!(json["texts"], json!(["a cat", "a"]));
        let embedding = model.embedding("a cat");
        assert!(has_numbers(&json["embeddings"]["float"][0], &embedding));
        let scale = json["scales"][0].as_f64().unwrap();
        let (int8, uint8) = (
            &json["embeddings"]["int8"][0],
            &json["embeddings"]["uint8"][0],
        );
        for (place, value) in embedding.iter().enumerate() {
            let quantized = int8[place].as_i64().unwrap();
            assert_eq!(uint8[place].as_i64().unwrap(), quantized + 128);
            #[allow(clippy::cast_precision_loss, reason = "of one byte")]
            let error = (quantized as f64 * scale - f64::from(*value)).abs();
            assert!(error <= scale * 0.501, "{place}: {error} of {scale}");
        }
        let bits = json["embeddings"]["ubinary"][0].as_array().unwrap();
        assert_eq!(bits.len(), embedding.len() / 8);
        assert_eq!(json["embeddings"]["binary"], json!(null));
    }

    #[test]
    fn a_type_that_is_named_often_is_given_once() {
        let request = json!({"texts": ["a"], "embedding_types": vec!["ubinary"; 1000]});
        let json = embeddings().post("/v2/embed", &request.to_string()).good();
        assert_eq!(json["embeddings"].as_object().unwrap().len(), 1);
        assert_eq!(json["embeddings"]["ubinary"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn the_first_version_gives_lists() {
        let model = embeddings();
        let json = model.post("/v1/embed", r#"{"texts": ["a"]}"#).good();
        assert_eq!(json["response_type"], "embeddings_floats");
        assert!(has_numbers(&json["embeddings"][0], &model.embedding("a")));
    }

    #[test]
    fn an_input_is_a_text() {
        let model = embeddings();
        let text = json!({"content": [{"type": "text", "text": "a"}]});
        let request = json!({"inputs": [text], "output_dimension": 4}).to_string();
        let json = model.post("/v2/embed", &request).good();
        assert_eq!(json["embeddings"]["float"][0].as_array().unwrap().len(), 4);
        let image = json!({"content": [{"type": "image_url", "image_url": {"url": ""}}]});
        let request = json!({"inputs": [image]}).to_string();
        let json = model.post("/v2/embed", &request).refused(422);
        let message = json["message"].as_str().unwrap();
        assert!(message.contains("image_url"), "{message}");
    }

    #[test]
    fn a_refusal_has_coheres_names() {
        let model = embeddings();
        let refused = |request: &str, status| {
            let json = model.post("/v2/embed", request).refused(status);
            json["message"].as_str().unwrap().to_owned()
        };
        let message = refused(r#"{"texts": []}"#, 400);
        assert!(message.starts_with("`texts`: "), "{message}");
        let message = refused(r#"{"texts": ["a"], "output_dimension": 1000}"#, 422);
        assert!(message.contains("`output_dimension`"), "{message}");
        let message = refused(r#"{"texts": ["a"], "embedding_types": ["int4"]}"#, 422);
        assert!(message.contains("embedding_types[0]"), "{message}");
        let long = "a ".repeat(1000);
        let request = json!({"texts": [long], "truncate": "NONE"}).to_string();
        assert!(refused(&request, 422).contains("tokens"));
    }
}
